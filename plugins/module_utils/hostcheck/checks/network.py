# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses and ports of the plan on the host."""

from __future__ import annotations

from typing import Dict, Iterator, List, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck import sockets
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.context import Context
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import Row, bad, good, needless, some, unknown


def check(context: Context) -> Iterator[Row]:
    """Compare addresses, interfaces and ports."""
    yield from _addresses(context)
    yield from _taken(context)
    yield from _ephemeral(context)


def _addresses(context: Context) -> Iterator[Row]:
    plan, found = context.plan, context.addresses
    wanted = dict(plan.get("addresses") or {})
    if plan.get("router"):
        wanted.setdefault(plan["router"]["address"], "sglang_management_address")
    if not wanted:
        yield needless("preflight.address", "the plan gives this host no address")
    apart = []
    for address, variable in wanted.items():
        held = found.get(address)
        interface = plan.get("fabric_interface", "") if variable == "sglang_fabric_address" else ""
        if held is None:
            # A host of containers has thousands.
            present = some([f"{name} {text}" for text, name in sorted(found.items(), key=lambda row: row[1])], 16)
            yield bad(
                "preflight.address", f"no interface has the planned address {address}; the host has {present or 'none'}",
                f"correct {variable}, or configure the interface", "absent", address, variable=variable,
            )
            continue
        yield good("preflight.address", f"{address} on {held}", address)
        if interface:
            apart.append((address, held, interface))
    for address, held, interface in apart:
        if held == interface:
            yield good("preflight.interface", held, interface)
        else:
            yield bad(
                "preflight.interface", f"{address} is on {held}, not on {interface}", f"set sglang_fabric_interface to {held}",
                held, interface, variable="sglang_fabric_interface",
            )
    if not apart:
        yield needless("preflight.interface", "the plan names no interface for an address that this host has")


def _taken(context: Context) -> Iterator[Row]:
    units: Dict[int, str] = {row["port"]: part["unit"] for part in context.parts for row in part["ports"]}
    planned = context.plan.get("ports") or []
    taken, hidden = False, []
    for row in planned:
        number, variable = row["port"], row["variable"]
        # torch's rendezvous listens on every address, whatever it is told.
        for held in sockets.holders(context.listeners, number, "" if row["purpose"] == "rendezvous" else row["address"]):
            # A port of another unit of this cluster is free when that unit has been stopped, which the engine stage does first.
            if held.unit in context.own_units:
                continue
            if not held.pid and context.open.partial:
                hidden.append(number)
                continue
            taken = True
            who = f"{held.command or 'a process'} (pid {held.pid}{', ' + held.unit if held.unit else ''})"
            yield bad(
                "preflight.port-taken", f"port {number}, planned for {row['purpose']} of {units[number]}, is held by {who}",
                f"stop that process, or choose another port in {variable}", f"{number}: {who}", "free", variable=variable,
            )
    if not planned:
        yield needless("preflight.port-taken", "the plan has no port on this host")
    elif not taken and not context.root.exists("/proc/net/tcp"):
        yield unknown("preflight.port-taken", "/proc/net/tcp cannot be read", "free")
    elif hidden:
        text = f"{some(sorted(set(hidden)), 8)} are held, and by whom a plain user cannot tell: by this cluster's own units?"
        yield unknown("preflight.port-taken", text, "free")
    elif not taken:
        yield good("preflight.port-taken", f"{some(sorted({row['port'] for row in planned}), 8)} free or its own", "free")


def _range(text: Optional[str]) -> Optional[Tuple[int, int]]:
    words = (text or "").split()
    return (int(words[0]), int(words[1])) if len(words) == 2 and all(word.isdigit() for word in words) else None


def reserved_ports(text: str) -> List[Tuple[int, int]]:
    """Return the ranges of C(ip_local_reserved_ports), for example C(5000,30000-30010); what is no range is left out."""
    ranges = []
    for part in filter(None, text.strip().split(",")):
        low, _dash, high = part.partition("-")
        if low.isdigit() and (high or low).isdigit():
            ranges.append((int(low), int(high or low)))
    return ranges


def _ephemeral(context: Context) -> Iterator[Row]:
    planned = context.plan.get("ports") or []
    if not planned:
        yield needless("preflight.port-ephemeral", "the plan has no port on this host")
        return
    limits = _range(context.root.read("/proc/sys/net/ipv4/ip_local_port_range"))
    if limits is None:
        yield unknown("preflight.port-ephemeral", "net.ipv4.ip_local_port_range cannot be read", "outside of it")
        return
    low, high = limits
    reserved = reserved_ports(context.root.read("/proc/sys/net/ipv4/ip_local_reserved_ports") or "")
    inside = False
    for row in planned:
        number, variable = row["port"], row["variable"]
        if low <= number <= high and not any(first <= number <= last for first, last in reserved):
            inside = True
            yield bad(
                "preflight.port-ephemeral", f"port {number} ({row['purpose']}) lies in this host's ephemeral range {low}-{high}",
                f"choose another port in {variable}, or add {number} to net.ipv4.ip_local_reserved_ports",
                f"{number} in {low}-{high}", "outside of it", variable=variable,
            )
    if not inside:
        yield good("preflight.port-ephemeral", f"{low}-{high}", "no planned port in it")
