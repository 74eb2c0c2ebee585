# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with an inventory: one finding names the variable, the host, the rule and the fix."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch.catalogue import ERROR, NOTE, RULES, WAIVED, WARNING

SEVERITIES = (ERROR, WARNING, NOTE, WAIVED)


MANY = 8


def listed(names: Sequence[str]) -> str:
    """Return names as a person wants to read them: all of a few, the first of many."""
    return ", ".join(names) if len(names) <= MANY else f"{', '.join(names[:MANY])} and {len(names) - MANY} more"


@dataclass(frozen=True)
class Finding:
    """One violated rule.

    :ivar rule: identifier of the rule, for example C(topology.group-empty).
    :ivar variable: the inventory variable (with its path) that is to blame.
    :ivar host: inventory name of the host concerned, empty when it is the whole cluster.
    :ivar text: what is wrong, with the values found.
    :ivar fix: what to write instead.
    :ivar severity: V(error) stops the run, V(warning) and V(note) are shown, V(waived) was accepted by the operator.
    :ivar cluster: name of the cluster, set when the plan is put together.
    :ivar place: instance, or C(router), that it concerns, empty when it is no single one.
    """

    rule: str
    variable: str
    text: str
    fix: str
    host: str = ""
    severity: str = ERROR
    cluster: str = ""
    place: str = ""

    def __str__(self) -> str:
        where = f"{self.variable} (host {self.host})" if self.host else self.variable
        level = "" if self.severity == ERROR else self.severity + ": "
        return f"{level}{where}: {self.text} [rule {self.rule}] Fix: {self.fix}"


class PlanError(Exception):
    """The inventory cannot be planned.

    :ivar findings: every violated rule that was found, errors first, never empty.
    :ivar draft: what was planned all the same, for a picture of what is wrong with it; it must not run.
    """

    def __init__(self, findings: Iterable[Finding], draft: Mapping[str, Any] | None = None) -> None:
        self.draft = draft
        self.findings = tuple(sorted(findings, key=lambda found: SEVERITIES.index(found.severity)))
        super().__init__("\n".join(str(finding) for finding in self.findings))


class Findings:
    """Collects findings so that an operator sees all of them at once, not the first.

    :param waived: rule to the operator's reason for accepting its violation.
    :param lenient: rules whose violation does not stop this run; it is a warning.
    """

    def __init__(self, waived: Mapping[str, str] | None = None, lenient: Collection[str] = ()) -> None:
        self.waived = dict(waived or {})
        self.lenient = frozenset(lenient)
        self._found: dict[Finding, None] = {}

    def add(
        self, rule: str, variable: str, text: str, fix: str, host: str = "", *, severity: str = "", place: str = "",
    ) -> None:
        """Record one violated rule.

        :param severity: another one than the rule's own.
        """
        finding = Finding(rule, variable, text, fix, host, severity or RULES[rule].severity, place=place)
        if rule in self.lenient and finding.severity == ERROR:
            finding = replace(finding, severity=WARNING)
        if rule in self.waived:
            finding = replace(finding, severity=WAIVED, text=f"{text} (waived: {self.waived[rule]})")
        self._found[finding] = None

    def __bool__(self) -> bool:
        return any(finding.severity == ERROR for finding in self._found)

    def all(self) -> list[Finding]:
        """Return what was recorded, errors first."""
        return sorted(self._found, key=lambda found: SEVERITIES.index(found.severity))

    def stop(self) -> None:
        """Raise PlanError when an error was recorded."""
        if self:
            raise PlanError(self._found)
