# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rules have in common: the hosts to compare, and how a difference is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare import majority
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.catalogue import RULES, Report
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.hosts import Host
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.majority import Odd
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.rails import Rail
from ansible_collections.railyard.sglang.plugins.module_utils.launch.catalogue import ERROR, WAIVED, WARNING
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import SEVERITIES, listed
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views.text import spans

FACTS = "ansible_facts.rdma"
MOST_PARTS = 8


@dataclass(frozen=True)
class Comparison:
    """What a rule may look at.

    :ivar hosts: all hosts of the plan, in its order.
    :ivar routed: clusters whose rails are routed.
    :ivar clock_seconds: how far clocks may be apart.
    """

    hosts: Sequence[Host]
    routed: frozenset[str] = frozenset()
    clock_seconds: float = 1.0

    @property
    def engines(self) -> list[Host]:
        """Hosts with a rank and with facts."""
        return [host for host in self.hosts if host.facts and host.member.serves]

    @property
    def width(self) -> int:
        """The largest number of rails of a host."""
        return max((len(host.rails) for host in self.hosts), default=0)

    def rail(self, index: int) -> list[tuple[Host, Rail]]:
        """Return rail i of every host that has it and uses it."""
        return [(host, host.rails[index]) for host in self.engines if index < len(host.rails) and host.rails[index].active]


def shown(value: Any) -> str:
    """Return a value as a person reads it."""
    if isinstance(value, tuple):
        return ", ".join(map(shown, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else "none" if value in (None, "") else str(value)


def among(rivals: Iterable[tuple[Any, tuple[str, ...]]], unit: str = "") -> str:
    """Return values with their hosts, where none is usual."""
    return "; ".join(f"{shown(value)}{unit} on {listed(names)}" for value, names in rivals)


def severity(rule: str, odd: Odd) -> str:
    """Return how bad a difference is: the rule's own severity within an instance, at most a warning beyond."""
    own = RULES[rule].severity
    return own if odd.inside or SEVERITIES.index(own) >= SEVERITIES.index(WARNING) else WARNING


def place(odd: Odd) -> str:
    """Return the instance that a difference belongs to."""
    return odd.host.member.places[0] if odd.inside else ""


@dataclass
class OnRails:
    """Differences of one host, rail by rail."""

    odd: Odd
    rows: list[tuple[int, Rail, Odd]] = field(default_factory=list)


def by_rail(
    seen: Comparison, value: Callable[[Host, Rail], Any], *, beyond: str = "cluster", same: Callable[[Any, Any], bool] | None = None,
    without: Mapping[str, set[int]] | None = None, hints: bool = True,
) -> list[OnRails]:
    """Return for every host the rails on which it differs from the others.

    :param value: what is compared; None leaves the host out.
    :param same: whether two values that are not equal are alike all the same.
    :param without: rails of hosts that are left out.
    :param hints: whether all rails are alike, so that the others tell where the hosts of one rail do not.
    """
    left_out = without or {}
    table = [
        [(host, found) for host, rail in seen.rail(index) if index not in left_out.get(host.name, ())
         and (found := value(host, rail)) is not None]
        for index in range(seen.width)
    ]
    often = Counter(found for rows in table for _host, found in rows) if hints else None
    result: dict[str, OnRails] = {}
    for index, rows in enumerate(table):
        for odd in majority.odd(rows, beyond=beyond, hint=often):
            if same is None or odd.usual is None or not same(odd.value, odd.usual):
                entry = result.setdefault(odd.host.name, OnRails(odd))
                entry.rows.append((index, odd.host.rails[index], odd))
    return list(result.values())


def places(rows: Sequence[tuple[int, Rail, Odd]], unit: str = "") -> str:
    """Return rails with their own and the usual value; rails that differ alike are told together."""
    groups: dict[tuple[str, str], list[tuple[int, Rail]]] = {}
    for index, rail, odd in rows:
        others = "" if odd.rivals else f", the others {shown(odd.usual)}{unit}"
        groups.setdefault((f"{shown(odd.value)}{unit}", others), []).append((index, rail))
    parts = []
    for (own, others), rails in groups.items():
        index, rail = rails[0]
        name = f"rail {named(index, rail)}" if len(rails) == 1 else f"rails {spans([number for number, _rail in rails])}"
        parts.append(f"{name} {own}{others}")
    return "; ".join(parts[:MOST_PARTS]) + (f" and {len(parts) - MOST_PARTS} more" if len(parts) > MOST_PARTS else "")


def named(index: int, rail: Rail) -> str:
    """Return the number of a rail with its device and network device."""
    return f"{index} ({rail.label}{', ' + rail.netdev if rail.netdev else ''})"


def tell_rails(
    report: Report, rule: str, differences: Sequence[OnRails], what: str, fix: str, *, unit: str = "", short: str = "",
    variable: str = FACTS, level: Callable[[Odd], str] | None = None,
) -> None:
    """Report differences of rails: one finding per host, one per rail where no value is usual.

    :param short: what the summary calls it, where that is another word.
    :param level: how bad a difference is, where the rule alone decides.
    """
    judge = level or (lambda odd: severity(rule, odd))
    for entry in differences:
        host = entry.odd.host
        told = [row for row in entry.rows if not row[2].rivals]
        for index, _rail, odd in entry.rows:
            end = judge(odd)
            others = among(odd.rivals, unit) if odd.rivals else f"the others have {shown(odd.usual)}{unit}"
            if odd.rivals:
                text = f"rail {index}: {what} {others}: none of them is usual"
                end = report.add(rule, variable, text, fix, cluster=host.member.cluster, place=place(odd), severity=end)
            elif rule in report.waived.get(host.member.cluster, {}):
                end = WAIVED
            report.mark(
                host.name, f"rail {index}", f"rail {index}: {what} {shown(odd.value)}{unit}; {others}", end,
                f"{short or what} {shown(odd.value)}{unit}",
            )
        if told:
            worst = min((judge(odd) for _index, _rail, odd in told), key=SEVERITIES.index)
            inside = next((odd for _index, _rail, odd in told if odd.inside), told[0][2])
            report.add(
                rule, variable, f"{what}: {places(told, unit)}", fix,
                cluster=host.member.cluster, host=host.name, place=place(inside), severity=worst,
            )


def tell(report: Report, rule: str, found: Sequence[Odd], what: str, fix: str, *, column: str) -> None:
    """Report differences of whole hosts."""
    for odd in found:
        own, cluster = shown(odd.value), odd.host.member.cluster
        end = severity(rule, odd)
        if odd.rivals:
            others = among(odd.rivals)
            text = f"{what}: {others}: none of them is usual"
            end = report.add(rule, FACTS, text, fix, cluster=cluster, place=place(odd), severity=end)
        else:
            others = f"the others have {shown(odd.usual)}"
            end = report.add(
                rule, FACTS, f"{what}: {own}, {others}", fix, cluster=cluster, host=odd.host.name, place=place(odd), severity=end,
            )
        report.mark(odd.host.name, column, f"{what}: {others}", end)


def error_or_warning(is_error: bool) -> str:
    """Return the severity of a rule that says when it is an error."""
    return ERROR if is_error else WARNING
