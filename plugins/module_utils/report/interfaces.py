# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interface of which host becomes which, what else is rewritten, and what needs a person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.report.tables import table

HEADER = ("host", "now", "then", "PCI", "GPU", "subnet", "also")
# Files of this collection that name interfaces: beginning to the stage that writes them anew.
OWN = {
    "/etc/sglang/": "engine",
    "/etc/systemd/system/sglang-": "engine",
    "/etc/systemd/system/railyard-rdma-": "rdma",
    "/etc/udev/rules.d/90-railyard-rdma": "rdma",
    "/etc/railyard-sglang.nft": "network",
}
SHOWN_HOSTS = 4
# In what nic_names says of engines that are in the way: these, and what they use.
DRAINS, USES = "network_drain: true", " runs and uses "

Host = Mapping[str, Any]


def _in_the_way(host: Host) -> Iterator[tuple[list[str], list[str], str]]:
    """Return the units that are in the way: those that are stopped, those that are not, and what they use."""
    own = host.get("units") or [] if host.get("drain") else []
    for text in host["looked"].get("problems") or []:
        if DRAINS in text:
            units, _words, used = text.partition(USES)
            found = units.split(", ")
            yield [unit for unit in found if unit in own], [unit for unit in found if unit not in own], used.partition(". Fix")[0]


def refused(host: Host) -> list[str]:
    """Return why nothing may be changed on a host.

    :param host: C(looked) is what C(nic_names) returned in check mode, C(written) the interface that the inventory names, C(drain) whether
        an engine that is in the way is stopped, and C(units) are those that are, since the plan has them.
    """
    looked = host["looked"]
    renamed = {row["before"]: row["after"] for row in looked.get("rows") or [] if row["before"] != row["after"]}
    written = host.get("written") or ""
    found = [text for text in looked.get("problems") or [] if not (host.get("drain") and DRAINS in text)]
    if host.get("drain"):
        found += [
            f"{', '.join(strangers)}{USES}{used}, and is no unit of the plan on this host, which network_drain does not stop. "
            "Fix: stop it first"
            for _stopped, strangers, used in _in_the_way(host) if strangers
        ]
    if written in renamed:
        found.append(
            f"sglang_fabric_interface is {written}, which becomes {renamed[written]}: engines would look for the former name. Fix: set it "
            f"to {renamed[written]} and run --tags network first; or, in a cluster with RDMA, leave it out, and the plan finds the "
            "interface of sglang_fabric_address"
        )
    return found


def interfaces(host: Host) -> list[dict[str, Any]]:
    """Return the rows of a host, each with the GPUs of its rail.

    :param host: C(rails) are those of its slice of the plan.
    """
    rails = list(host.get("rails") or [])
    by_name = {row["netdev"]: row["gpus"] for row in rails if row.get("netdev")}
    by_pci = {row["pci"]: row["gpus"] for row in rails if row.get("pci")}
    return [
        {**row, "networks": list(row["networks"]), "gpus": list(by_name.get(row["before"], by_pci.get(row["pci"], [])))}
        for row in host["looked"].get("rows") or []
    ]


def _uneven(host: Host) -> list[str]:
    """Return why the numbers of a host's rails say nothing, where GPUs and rails do not fit."""
    served = {row.get("device") or row.get("netdev") or "?": len(row["gpus"]) for row in host.get("rails") or []}
    if len(set(served.values())) < 2:
        return []
    counts = ", ".join(f"{name} {number}" for name, number in served.items())
    return [
        f"NICs serve different numbers of GPUs ({counts}), as where a NIC or a GPU is missing: names by rail follow the record of the host "
        "alone. Fix: repair it, or name the NICs in network_interfaces, by mac or pci"
    ]


def _drained(host: Host) -> list[str]:
    """Return which engines are stopped for the time of the change."""
    rows = _in_the_way(host)
    return [f"{', '.join(stopped)} is stopped before the change, since it uses {used}" for stopped, _strangers, used in rows if stopped]


def document(hosts: Mapping[str, Host]) -> dict[str, Any]:
    """Return what the run would do, or does, as plain data."""
    return {
        "hosts": {
            name: {
                "interfaces": interfaces(host),
                **{key: list(host["looked"].get(key) or []) for key in ("actions", "references", "references_more")},
                "notes": [*_drained(host), *_uneven(host), *(host["looked"].get("notes") or [])],
                "refused": refused(host),
            }
            for name, host in hosts.items()
        }
    }


def _also(row: Mapping[str, Any]) -> str:
    parts = []
    if row["mtu_before"] != row["mtu_after"]:
        parts.append(f"MTU {row['mtu_before']} -> {row['mtu_after']}")
    if row["rdma_before"] != row["rdma_after"]:
        parts.append(f"{row['rdma_before']} -> {row['rdma_after']}")
    if row["management"]:
        parts.append("carries this connection")
    return ", ".join(parts)


def _hosts(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= SHOWN_HOSTS else f"{', '.join(names[:SHOWN_HOSTS])} and {len(names) - SHOWN_HOSTS} more"


def _alike(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Return each text once, with the hosts that it is about.

    :param rows: host and text.
    """
    found: dict[str, list[str]] = {}
    for host, text in rows:
        found.setdefault(text, []).append(host)
    return [f"{text} ({_hosts(list(dict.fromkeys(names)))})" for text, names in found.items()]


def stage(path: str) -> str:
    """Return the stage that writes a file anew, empty where it is none of this collection's."""
    return next((name for start, name in OWN.items() if path.startswith(start)), "")


def _reference(row: Mapping[str, Any]) -> str:
    line = f":{row['line']}" if row["line"] else ""
    return f"{row['path']}{line} names {row['name']}: {row['text']}"


def _more(row: Mapping[str, Any]) -> str:
    return f"{row['path']} names them in {row['places']} more places, which are not listed"


def _section(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield from ("", title, *(f"- {line}" for line in lines))


def text(found: Mapping[str, Any], dry: bool) -> list[str]:
    """Return the report as lines: a table of all interfaces, and what else there is to know.

    :param found: what C(document) returns.
    """
    hosts = found["hosts"]
    rows = [(host, row) for host, own in hosts.items() for row in own["interfaces"]]
    renamed = sum(row["before"] != row["after"] for _host, row in rows)
    verb = "would get" if dry else "get"
    lines = [f"{len(rows)} interfaces of {len({host for host, _row in rows})} hosts, {renamed} of them {verb} another name", ""]
    lines += table(HEADER, [
        (host, row["before"], row["after"], row["pci"] or "-", ",".join(map(str, row["gpus"])) or "-", ", ".join(row["networks"]) or "-",
         _also(row))
        for host, row in rows
    ])
    references = [(host, row) for host, own in hosts.items() for row in own["references"]]
    persons = [(host, _reference(row)) for host, row in references if not stage(row["path"])]
    more = [(host, row) for host, own in hosts.items() for row in own["references_more"]]
    persons += [(host, _more(row)) for host, row in more if not stage(row["path"])]
    later = [(host, f"{row['path']} (stage {stage(row['path'])})") for host, row in references + more if stage(row["path"])]
    told = {f"rename {row['before']} to {row['after']}" for _host, row in rows}
    each = {
        key: _alike((host, line) for host, own in hosts.items() for line in own[key] if line not in told)
        for key in ("actions", "notes", "refused")
    }
    lines += _section("Needs a person, since no program may rewrite it:", _alike(persons))
    lines += _section("Is written anew by a later stage of site.yml:", _alike(later))
    lines += _section(f"{'Would be done' if dry else 'Is done'} on the way:", each["actions"])
    lines += _section("Notes:", each["notes"])
    lines += _section("Would be refused:" if dry else "Is refused:", each["refused"])
    return lines
