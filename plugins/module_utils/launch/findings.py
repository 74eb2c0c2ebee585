# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with an inventory: one finding names the variable, the host, the rule and the fix."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One violated rule.

    :ivar rule: identifier of the rule, for example C(topology.group-empty).
    :ivar variable: the inventory variable (with its path) that is to blame.
    :ivar host: inventory name of the host concerned, empty when it is the whole cluster.
    :ivar text: what is wrong, with the values found.
    :ivar fix: what to write instead.
    """

    rule: str
    variable: str
    text: str
    fix: str
    host: str = ""

    def __str__(self) -> str:
        where = f"{self.variable} (host {self.host})" if self.host else self.variable
        return f"{where}: {self.text} [rule {self.rule}] Fix: {self.fix}"


class PlanError(Exception):
    """The inventory cannot be planned.

    :ivar findings: every violated rule that was found, never empty.
    """

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))


class Findings:
    """Collects findings so that an operator sees all of them at once, not the first."""

    def __init__(self) -> None:
        self._found: list[Finding] = []

    def add(self, rule: str, variable: str, text: str, fix: str, host: str = "") -> None:
        """Record one violated rule."""
        finding = Finding(rule, variable, text, fix, host)
        if finding not in self._found:
            self._found.append(finding)

    def __bool__(self) -> bool:
        return bool(self._found)

    def stop(self) -> None:
        """Raise PlanError when anything was recorded."""
        if self._found:
            raise PlanError(self._found)
