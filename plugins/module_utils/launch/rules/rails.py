# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of the rails: the NICs that move KV cache and collectives, each with an address of its own on RoCE."""

from __future__ import annotations

from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import addresses, environment
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings, listed
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract

VARIABLE = "sglang_rail_addresses"


def check(contract: Contract, findings: Findings) -> None:
    """Report rail addresses that are wrong, used twice, missing, or that cannot reach their like on other hosts."""
    engines = list(dict.fromkeys(rank.host for rank in contract.ranks))
    rows = {host: contract.cluster.hosts[host] for host in engines}
    rails = {host: _read(host, row, findings) for host, row in rows.items() if row[VARIABLE]}
    owner: dict[str, str] = {row["sglang_fabric_address"]: f"the fabric address of {host}" for host, row in rows.items()}
    for host, own in rails.items():
        _check_host(host, rows[host], own, owner, findings)
    for host in engines if rails else ():
        # One that --limit leaves out has not been looked at.
        if not rows[host][VARIABLE] and (host in contract.cluster.looks or not contract.cluster.looks):
            findings.add(
                "rails.missing", VARIABLE, f"is not set, and {listed(list(rails))} have rail addresses",
                "write them for every engine host, or for none", host,
            )
    if not contract.cluster.variables["sglang_rails_routed"]:
        _check_alike(rows, rails, findings)


def _read(host: str, row: dict[str, Any], findings: Findings) -> dict[str, Any]:
    """Return the interfaces of a host's rails by device."""
    found = {}
    for device, text in row[VARIABLE].items():
        interface = addresses.interface(text)
        if interface is None:
            findings.add(
                "rails.form", f"{VARIABLE}.{device}", f"{text!r} is not a host's ADDRESS/PREFIX",
                "write the rail's address with the length of its network, for example 203.0.113.1/26", host,
            )
        else:
            found[str(device)] = interface
    return found


def _check_host(host: str, row: dict[str, Any], own: dict[str, Any], owner: dict[str, str], findings: Findings) -> None:
    devices = environment.known_devices(row)
    subnets: dict[str, str] = {}
    for device, interface in own.items():
        where, text = f"{VARIABLE}.{device}", str(interface.ip)
        if devices and device not in devices:
            findings.add(
                "rails.device", where, f"{device} is not one of the host's data devices {listed(devices)}",
                "correct the name, or list the device in sglang_rdma_devices", host,
            )
        # One NIC may carry the fabric address, too: then both are the same on this host.
        if owner.get(text, f"the fabric address of {host}") != f"the fabric address of {host}":
            findings.add("rails.twice", where, f"{text} is also {owner[text]}", "give each rail an address of its own", host)
        owner[text] = f"that of {device} on {host}"
        other = subnets.setdefault(str(interface.cidr), device)
        if other != device:
            findings.add(
                "rails.one-subnet", where,
                f"{device} and {other} are both in {interface.cidr}: the host answers and sends for both by one of them",
                "give each rail a subnet of its own, or set arp_ignore=1, arp_announce=2 and a routing rule for each address", host,
            )
    for device in devices if own else ():
        if device not in own:
            findings.add("rails.incomplete", VARIABLE, f"{device} has no address, and others of this host have", "write it, too", host)


def _check_alike(rows: dict[str, dict[str, Any]], rails: dict[str, dict[str, Any]], findings: Findings) -> None:
    """Compare rail for rail, in the order of the data devices, with the first host."""
    first: tuple[str, list[str]] | None = None
    for host, own in rails.items():
        order = environment.known_devices(rows[host]) or list(own)
        subnets = [str(own[device].cidr) if device in own else "" for device in order]
        if first is None:
            first = (host, subnets)
            continue
        apart = [index for index, (mine, theirs) in enumerate(zip(subnets, first[1])) if mine and theirs and mine != theirs]
        if apart:
            index = apart[0]
            more = f", and {len(apart) - 1} more likewise" if len(apart) > 1 else ""
            findings.add(
                "rails.differ", VARIABLE,
                f"rail {index} is in {subnets[index]} here and in {first[1][index]} on {first[0]}{more}: peers of a rail need a router",
                "list the data devices of every host in the same order, or set sglang_rails_routed: true where rails are routed", host,
            )
