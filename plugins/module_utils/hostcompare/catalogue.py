# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules by which hosts are compared with each other, in the form of the plan's rules, and what they found."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch.catalogue import WAIVED, Rule
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import SEVERITIES, Finding
from ansible_collections.railyard.sglang.plugins.module_utils.launch.waivers import LEAST_REASON

PREFIX = "compare."
DATA = os.path.join(os.path.dirname(__file__), "data", "rules", "compare.json")


def _load() -> dict[str, Rule]:
    with open(DATA, encoding="utf-8") as stream:
        rows = json.load(stream)
    return {key: Rule(key, row["severity"], row["text"], row.get("evidence", ""), row.get("waivable", False)) for key, row in rows.items()}


RULES = _load()


def waivers(given: Any) -> dict[str, str]:
    """Return rules of this catalogue that the operator has waived, with his reasons, of C(sglang_waive)."""
    rows = given.items() if isinstance(given, Mapping) else ()
    return {
        str(rule): str(reason) for rule, reason in rows
        if str(rule) in RULES and RULES[str(rule)].waivable and isinstance(reason, str) and len(reason.strip()) >= LEAST_REASON
    }


def wrong_waivers(given: Any) -> list[str]:
    """Return what is wrong with waivers of this catalogue; those of the plan and of the host checks are none of its business."""
    found = []
    for rule, reason in given.items() if isinstance(given, Mapping) else ():
        if not str(rule).startswith(PREFIX):
            continue
        if str(rule) not in RULES:
            found.append(f"{rule} is not a rule of the comparison")
        elif not RULES[str(rule)].waivable:
            found.append(f"{rule} cannot be waived")
        elif not isinstance(reason, str) or len(reason.strip()) < LEAST_REASON:
            found.append(f"{rule} has no reason of {LEAST_REASON} characters or more")
    return found


@dataclass(frozen=True)
class Mark:
    """One place of the summary that a finding is about.

    :ivar column: C(rail 3), C(GPUs), C(driver) or another column of the summary.
    :ivar show: what the cell would not say by itself.
    :ivar others: what most other hosts have, as a sentence.
    """

    host: str
    column: str
    show: str
    others: str
    severity: str


class Report:
    """Collects findings and the places that they are about.

    :param waived: cluster to rule to the operator's reason.
    """

    def __init__(self, waived: Mapping[str, Mapping[str, str]] | None = None) -> None:
        self.waived = waived or {}
        self._found: dict[Finding, None] = {}
        self.marks: list[Mark] = []

    def add(
        self, rule: str, variable: str, text: str, fix: str, *, cluster: str, host: str = "", place: str = "", severity: str = "",
    ) -> str:
        """Record one violated rule and return the severity that it ends with.

        :param severity: another one than the rule's own.
        """
        level = severity or RULES[rule].severity
        reason = self.waived.get(cluster, {}).get(rule)
        if reason:
            level, text = WAIVED, f"{text} (waived: {reason})"
        self._found[Finding(rule, variable, text, fix, host, level, cluster, place)] = None
        return level

    def mark(self, host: str, column: str, others: str, severity: str, show: str = "") -> None:
        """Remember that a place of the summary differs."""
        self.marks.append(Mark(host, column, show, others, severity))

    def findings(self) -> list[Finding]:
        """Return what was recorded, errors first, in an order that does not depend on that of the hosts."""
        def order(found: Finding) -> tuple[Any, ...]:
            return (SEVERITIES.index(found.severity), found.cluster, list(RULES).index(found.rule), found.host, found.text)

        return sorted(self._found, key=order)


def document(rules: Mapping[str, Rule]) -> list[str]:
    """Return the table of rules, in Markdown."""
    lines = ["| rule | severity | may be waived | what must hold | known from |", "|---|---|---|---|---|"]
    for rule in rules.values():
        cells = (f"`{rule.id}`", rule.severity, "yes" if rule.waivable else "no", rule.text, rule.evidence or "-")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines
