# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every rule of the plan: what it says, how bad its violation is, and where it is known from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

ERROR, WARNING, NOTE, WAIVED = "error", "warning", "note", "waived"
DATA = os.path.join(os.path.dirname(__file__), "data", "rules")


@dataclass(frozen=True)
class Rule:
    """One rule.

    :ivar severity: V(error) stops a run; a rule may be lowered or raised where it says so in its text.
    :ivar text: the rule as a sentence.
    :ivar evidence: program and version, or record of a fault, that it is known from; empty where it is this collection's own format.
    :ivar waivable: whether an operator may accept its violation with a reason.
    """

    id: str
    severity: str
    text: str
    evidence: str
    waivable: bool


def _load() -> dict[str, Rule]:
    rules: dict[str, Rule] = {}
    for name in sorted(os.listdir(DATA)):
        with open(os.path.join(DATA, name), encoding="utf-8") as stream:
            for key, entry in json.load(stream).items():
                rules[key] = Rule(key, entry["severity"], entry["text"], entry.get("evidence", ""), entry.get("waivable", False))
    return rules


RULES = _load()


def document(rules: Mapping[str, Rule]) -> str:
    """Return the page that lists every rule, in Markdown."""
    lines = [
        "# Rules of the plan",
        "",
        "Checked on the controller before a host is reached. An error stops the run; a warning is shown; a note is in the plan.",
        "A rule that may be waived is accepted with a written reason: `sglang_waive: {RULE: why}`; its findings stay visible in the plan.",
        "",
    ]
    for area in dict.fromkeys(rule.id.split(".")[0] for rule in rules.values()):
        lines += [f"## {area}", "", "| rule | severity | may be waived | what must hold | known from |", "|---|---|---|---|---|"]
        for rule in rules.values():
            if rule.id.split(".")[0] == area:
                cells = (f"`{rule.id}`", rule.severity, "yes" if rule.waivable else "no", rule.text, rule.evidence or "-")
                lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)
