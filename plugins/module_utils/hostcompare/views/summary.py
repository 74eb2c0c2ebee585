# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The summary as rows of cells, which the text and the page both show: one row per host, one column per rail, what differs marked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare import clock as clocks
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.catalogue import Mark, Report
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.hosts import Host
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.rails import Rail
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.rules.common import Comparison
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.ports import ETHERNET, INFINIBAND
from ansible_collections.railyard.sglang.plugins.module_utils.launch.catalogue import ERROR, WARNING
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import SEVERITIES

SCHEMA = 1
# What a cell says by itself.
PLAIN = ("rate ", "GID ", "GID index ")
MTU = ("MTU ", "active MTU ")
LAST = ("MTU", "driver", "kernel", "clock")


@dataclass(frozen=True)
class Cell:
    """One cell.

    :ivar lines: what it says, the most important first; the text shows the first, the page all.
    :ivar extra: what is shown because it differs.
    :ivar marks: why it is marked.
    """

    lines: tuple[str, ...]
    marks: tuple[Mark, ...] = ()
    extra: str = ""

    @property
    def severity(self) -> str:
        """The worst of its marks, empty where there is none."""
        return min((mark.severity for mark in self.marks), key=SEVERITIES.index, default="")

    @property
    def sign(self) -> str:
        """What marks it without colour: a star, or a tilde where nothing has to be done."""
        return "*" if self.severity in (ERROR, WARNING) else "~" if self.severity else ""

    @property
    def text(self) -> str:
        """The cell on one line."""
        return self.sign + self.lines[0] + (f" [{self.extra}]" if self.extra else "")

    @property
    def title(self) -> str:
        """What the others have."""
        return "; ".join(dict.fromkeys(mark.others for mark in self.marks))


@dataclass
class Group:
    """Hosts of one instance, or the routers of a cluster."""

    cluster: str
    name: str
    rows: list[tuple[Host, list[Cell]]] = field(default_factory=list)


def header(seen: Comparison) -> list[str]:
    """Return the names of the columns."""
    return ["host", "GPUs", "topology", *(f"rail {index}" for index in range(seen.width)), *LAST]


def subnets(seen: Comparison, cluster: str) -> list[str]:
    """Return the most usual network of each rail of a cluster, an empty text where there is none."""
    found = []
    for index in range(seen.width):
        counts = Counter(net for host, rail in seen.rail(index) if host.member.cluster == cluster for net in rail.subnets())
        found.append(min(counts, key=lambda net: (-counts[net], net), default=""))
    return found


def short(model: str) -> str:
    """Return models of GPUs without their makers."""
    return model.replace("NVIDIA ", "").replace("AMD Instinct ", "")


def _extra(marks: Sequence[Mark]) -> str:
    return ", ".join(dict.fromkeys(mark.show for mark in marks if mark.show and not mark.show.startswith(PLAIN)))


def _rail(rail: Rail) -> tuple[str, ...]:
    if not rail.active:
        return (f"{rail.label} {rail.state}", rail.netdev)
    rate = "" if rail.rate is None else f" {rail.rate:g}"
    kind = {INFINIBAND: " IB", ETHERNET: "" if rail.gid_index is None else f" g{rail.gid_index}"}.get(rail.layer, f" {rail.layer}")
    return (f"{rail.label}{rate}{kind}", rail.netdev, ", ".join(rail.addresses))


def _mtu(host: Host) -> str:
    pairs = {(rail.mtu, rail.active_mtu) for rail in host.rails if rail.active and rail.mtu is not None}
    if len(pairs) > 1:
        known = sorted({mtu for mtu, _active in pairs if mtu is not None})
        return "-".join(map(str, dict.fromkeys((known[0], known[-1])))) + " mixed"
    return "".join(f"{mtu}/{active}" if active else str(mtu) for mtu, active in pairs)


def _cells(host: Host, columns: Sequence[str], marks: Mapping[tuple[str, str], list[Mark]]) -> list[Cell]:
    def of(column: str) -> tuple[Mark, ...]:
        return tuple(marks.get((host.name, column), ()))

    on_rails = [mark for index in range(len(host.rails)) for mark in of(f"rail {index}")]
    state = "" if host.facts else "not in this run" if not host.looked_at else "no facts" if host.member.serves else ""
    plain = {
        "host": (f"{host.name}{f' ({state})' if state else ''}",),
        "GPUs": (short(host.gpus),),
        "topology": (host.digest,),
        "MTU": (_mtu(host),),
        "driver": (host.driver,),
        "kernel": (host.kernel,),
        "clock": (f"{host.clock.middle:+.3f}s ±{host.clock.error:.3f}",) if host.clock else ("",),
    }
    cells = []
    for column in columns:
        own = of(column)
        if column == "MTU":
            own = tuple(mark for mark in on_rails if mark.show.startswith(MTU))
        if column in plain:
            cells.append(Cell(plain[column], own))
        else:
            index = int(column.partition(" ")[2])
            lines = _rail(host.rails[index]) if index < len(host.rails) else ("-" if host.facts and host.member.serves else "",)
            cells.append(Cell(tuple(line for line in lines if line) or ("",), own, _extra(own)))
    return cells


def groups(seen: Comparison, report: Report) -> list[Group]:
    """Return the rows of the summary, instance by instance; a host stands in the first of its instances."""
    marks: dict[tuple[str, str], list[Mark]] = {}
    for mark in report.marks:
        marks.setdefault((mark.host, mark.column), []).append(mark)
    columns = header(seen)
    found: dict[tuple[str, str], Group] = {}
    for host in seen.hosts:
        key = (host.member.cluster, host.member.places[0])
        group = found.setdefault(key, Group(*key))
        group.rows.append((host, _cells(host, columns, marks)))
    return list(found.values())


def data(seen: Comparison, report: Report) -> dict[str, Any]:
    """Return everything as plain data."""
    rows = []
    for host in seen.hosts:
        marks = [mark for mark in report.marks if mark.host == host.name]
        rows.append({
            "name": host.name, "cluster": host.member.cluster, "places": list(host.member.places), "looked_at": host.looked_at,
            "facts": host.facts, "gpus": host.gpus, "topology": host.digest, "driver": host.driver, "kernel": host.kernel,
            "clock": clocks.data(host.clock) if host.clock else None,
            "rails": [{"rail": index, **asdict(rail)} for index, rail in enumerate(host.rails)],
            "differs": [{"column": mark.column, "severity": mark.severity, "text": mark.others} for mark in marks],
        })
    return {"schema": SCHEMA, "findings": [asdict(found) for found in report.findings()], "hosts": rows}


def used(table: Iterable[Group], columns: Sequence[str]) -> list[int]:
    """Return the columns that say something of some host."""
    rows = [cells for group in table for _host, cells in group.rows]
    return [index for index, _name in enumerate(columns) if any(row[index].lines[0] for row in rows)]
