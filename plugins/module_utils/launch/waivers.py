# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules that an operator accepts to break, each with a written reason: C(sglang_waive: {RULE: REASON})."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import catalogue
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings

LEAST_REASON = 10
# Rules of a host, and of hosts against each other, are waived by the same variable; the stage that has them knows their names.
OTHERS = ("preflight.", "compare.")


def read(given: Any) -> dict[str, str]:
    """Return the waivers that count: rules that may be waived, with a reason."""
    rows = given.items() if isinstance(given, Mapping) else ()
    return {str(rule): str(reason) for rule, reason in rows if not _problem(str(rule), reason)}


def _problem(rule: str, reason: Any) -> str:
    if rule not in catalogue.RULES and not rule.startswith(OTHERS):
        return "is not a rule"
    if rule in catalogue.RULES and not catalogue.RULES[rule].waivable:
        return "cannot be waived: without it there is no plan"
    if not isinstance(reason, str) or len(reason.strip()) < LEAST_REASON:
        return f"has no reason: {reason!r}"
    return ""


def check(given: Any, findings: Findings) -> None:
    """Report waivers that do not count."""
    for rule, reason in given.items() if isinstance(given, Mapping) else ():
        problem = _problem(str(rule), reason)
        if problem:
            fix = "name a rule of docs/rules.md and why its violation is accepted"
            findings.add("waiver.invalid", f"sglang_waive.{rule}", problem, fix)
