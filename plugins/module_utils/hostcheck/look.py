# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All checks of a host: rows, what follows from them, and the table for a person."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, Dict, Iterable, List, Mapping

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.checks import (
    firewall,
    gpulog,
    gpus,
    links,
    network,
    packages,
    proxies,
    rdma,
    registration,
    surroundings,
    system,
)
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.context import Context
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import (
    ERROR,
    NEEDLESS,
    OK,
    STATES,
    UNKNOWN,
    WAIVED,
    WARNING,
    Row,
)
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rules import RULES
from ansible_collections.railyard.sglang.plugins.module_utils.report import tables

SUBJECTS = (system, network, firewall, proxies, surroundings, packages, gpus, gpulog, rdma, links, registration)
PREFIX = "preflight."
LEAST_REASON = 10
WIDTH = 60
ORDER = {rule: place for place, rule in enumerate(RULES)}


def rows(context: Context) -> List[Row]:
    """Return the lines of a host in the order of the rules, at least one for each rule."""
    found: List[Row] = []
    faults: List[Row] = []
    for subject in SUBJECTS:
        try:
            found.extend(subject.check(context))
        except Exception as error:
            # A host is allowed to be odd in ways that nobody thought of: the other checks must be heard all the same.
            name = subject.__name__.rpartition(".")[2]
            text = f"the checks of {name} ended with {type(error).__name__}: {error}"[:300]
            faults.append(Row("preflight.internal", "", name, "", text, "report it with a capture of the host: playbooks/capture.yml"))
    seen = {row.rule for row in found}
    missing = [rule for rule in RULES if rule not in seen and rule != "preflight.internal"]
    found += [Row(rule, UNKNOWN, "", "", "the check ended early: see preflight.internal") for rule in missing]
    found += faults or [Row("preflight.internal", OK, "none", "none")]
    judged = [row if row.state else replace(row, state=RULES[row.rule].severity) for row in found]
    return sorted(judged, key=lambda row: ORDER[row.rule])


def addresses(context: Context) -> Dict[str, str]:
    """Return address to interface, empty where they cannot be read."""
    try:
        return context.addresses
    except Exception:
        # The line of preflight.internal says it.
        return {}


def wrong_waivers(waivers: Mapping[str, Any]) -> List[str]:
    """Return what is wrong with waivers of host checks; those of the plan's own rules are none of theirs."""
    found = []
    for rule, reason in waivers.items():
        if not str(rule).startswith(PREFIX):
            continue
        if rule not in RULES:
            found.append(f"{rule} is not a rule of the host checks")
        elif not isinstance(reason, str) or len(reason.strip()) < LEAST_REASON:
            found.append(f"{rule} has no reason of {LEAST_REASON} characters or more")
    return found


def waive(found: Iterable[Row], waivers: Mapping[str, Any]) -> List[Row]:
    """Return the lines with the accepted errors and warnings marked as such, each with the reason."""
    def judged(row: Row) -> Row:
        if row.rule not in waivers or row.state not in (ERROR, WARNING):
            return row
        return replace(row, state=WAIVED, text=f"{row.text} (waived: {waivers[row.rule]})")

    return [judged(row) for row in found]


def finding(row: Row) -> Dict[str, Any]:
    """Return a line as a finding, with the failures that it is known from."""
    return {**row.plain(), "severity": row.state, "failures": list(RULES[row.rule].failures)}


def sentence(row: Row) -> str:
    """Return a finding for a person."""
    failures = " ".join(RULES[row.rule].failures)
    return f"{row.text} [rule {row.rule}{', ' + failures if failures else ''}]" + (f" Fix: {row.fix}" if row.fix else "")


def warnings(found: Iterable[Row]) -> List[str]:
    """Return one sentence per rule with warnings: a host has many ports alike."""
    groups: Dict[str, List[Row]] = {}
    for row in found:
        if row.state == WARNING:
            groups.setdefault(row.rule, []).append(row)
    return [sentence(alike[0]) + (f" And {len(alike) - 1} more alike." if alike[1:] else "") for alike in groups.values()]


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."


def table(found: Iterable[Row]) -> List[str]:
    """Return one line per row under a header."""
    cells = []
    for row in found:
        shown = row.text if row.state in (UNKNOWN, NEEDLESS) else row.found
        failures = " ".join(RULES[row.rule].failures)
        cells.append((row.rule[len(PREFIX) :], row.state, _cut(shown), _cut(row.wanted), failures))
    return tables.table(("check", "state", "found", "wanted", "failures"), cells)


def notable(found: Iterable[Row]) -> List[Row]:
    """Return the lines that a person should see: neither as they should be nor needless."""
    return [row for row in found if row.state not in (OK, NEEDLESS)]


def summary(found: Iterable[Row]) -> str:
    """Return the number of lines in each state, worst first."""
    counts = Counter(row.state for row in found)
    return ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
