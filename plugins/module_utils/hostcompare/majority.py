# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is usual among hosts, and which of them differ: first within an instance, then within what surrounds it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.hosts import Host

# Values are compared and counted only: texts, numbers, tuples of them.
Row = tuple[Host, Any]


@dataclass(frozen=True)
class Odd:
    """A host that differs.

    :ivar usual: what the others have; None where as many hosts have one value as another.
    :ivar inside: whether it differs from its own instance; else the whole instance differs from others.
    :ivar rivals: values with their hosts, where nothing is usual.
    """

    host: Host
    value: Any
    usual: Any
    inside: bool
    rivals: tuple[tuple[Any, tuple[str, ...]], ...] = ()


def usual(values: Iterable[Any], wider: Iterable[Mapping[Any, int]]) -> Any:
    """Return what most have, None where that is undecided.

    :param wider: how frequent values are in wider circles, which are asked in turn where several are equally frequent.
    """
    counts = Counter(values)
    best = max(counts.values(), default=0)
    tied = [value for value, count in counts.items() if count == best]
    for circle in (counts, *wider):
        top = max((circle.get(value, 0) for value in tied), default=0)
        tied = [value for value in tied if circle.get(value, 0) == top]
        if len(tied) == 1:
            return tied[0]
    return None


def _rivals(rows: Sequence[Row]) -> tuple[tuple[Any, tuple[str, ...]], ...]:
    names: dict[Any, list[str]] = {}
    for host, value in rows:
        names.setdefault(value, []).append(host.name)
    return tuple(sorted(((value, tuple(sorted(own))) for value, own in names.items()), key=lambda row: row[1]))


def _differ(rows: Sequence[Row], wider: Sequence[Mapping[Any, int]], inside: bool, found: dict[str, Odd]) -> None:
    """Add the hosts of one group that differ from the others of it."""
    rest = [row for row in rows if row[0].name not in found]
    if len({value for _host, value in rest}) < 2:
        return
    best = usual([value for _host, value in rest], wider)
    rivals = _rivals(rest) if best is None else ()
    for host, value in rest:
        if value != best:
            found[host.name] = Odd(host, value, best, inside, rivals)


def _groups(rows: Iterable[Row], of: str) -> dict[tuple[str, str], list[Row]]:
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        member = row[0].member
        for name in ("",) if of == "cluster" else getattr(member, of):
            found.setdefault((member.cluster, name), []).append(row)
    return found


def odd(rows: Sequence[Row], *, beyond: str = "cluster", hint: Mapping[Any, int] | None = None) -> list[Odd]:
    """Return the hosts that differ from what is usual, each once.

    :param rows: hosts with their values; a host that has none is left out.
    :param beyond: what surrounds an instance, its C(pools) or its C(cluster).
    :param hint: how frequent values are at all, which decides where hosts do not.
    """
    found: dict[str, Odd] = {}
    circles = {kind: {key: Counter(value for _host, value in own) for key, own in _groups(rows, kind).items()}
               for kind in ("pools", "cluster")}
    last = [hint] if hint else []
    for (cluster, _name), own in _groups(rows, "places").items():
        around = [circles["pools"][cluster, pool] for pool in own[0][0].member.pools]
        _differ(own, [*around, circles["cluster"][cluster, ""], *last], True, found)
    for (cluster, _name), own in _groups(rows, beyond).items():
        _differ(own, [circles["cluster"][cluster, ""], *last], False, found)
    return list(found.values())
