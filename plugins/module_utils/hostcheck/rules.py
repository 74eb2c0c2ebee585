# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules that compare one host with its slice of the plan."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.facts import Host, holders, reserved_ports

# A rank of sglang 0.5.8 and its schedulers share messages and weights there.
SHM_BYTES = 64 * 1024 * 1024


def problem(rule: str, text: str, fix: str, variable: str = "") -> Dict[str, str]:
    """Return one row of the result."""
    return {"rule": rule, "text": text, "fix": fix, "variable": variable}


def _units(plan: Dict[str, Any]) -> Dict[int, str]:
    """Return port to the planned unit that listens on it."""
    parts: List[Dict[str, Any]] = list(plan.get("ranks") or [])
    if plan.get("router"):
        parts.append(plan["router"])
    return {row["port"]: part["unit"] for part in parts for row in part["ports"]}


def _addresses(plan: Dict[str, Any], host: Host) -> Iterator[Dict[str, str]]:
    wanted = dict(plan.get("addresses") or {})
    if plan.get("router"):
        wanted.setdefault(plan["router"]["address"], "sglang_management_address")
    for address, variable in wanted.items():
        held = host.addresses.get(address)
        interface = plan.get("fabric_interface", "") if variable == "sglang_fabric_address" else ""
        if held is None:
            present = ", ".join(f"{name} {text}" for text, name in sorted(host.addresses.items(), key=lambda row: row[1]))
            yield problem(
                "preflight.address", f"no interface has the planned address {address}; the host has {present or 'none'}",
                f"correct {variable}, or configure the interface", variable,
            )
        elif interface and held != interface:
            yield problem(
                "preflight.interface", f"{address} is on {held}, not on {interface}", f"set sglang_fabric_interface to {held}",
                "sglang_fabric_interface",
            )


def _ports(plan: Dict[str, Any], host: Host) -> Iterator[Dict[str, str]]:
    units = _units(plan)
    low, high = host.ephemeral
    reserved = reserved_ports(host.reserved)
    for row in plan.get("ports") or []:
        number, variable = row["port"], row["variable"]
        # torch's rendezvous listens on every address, whatever it is told.
        for held in holders(host, number, "" if row["purpose"] == "rendezvous" else row["address"]):
            # A port of another unit of this cluster is free when that unit has been stopped, which the engine stage does first.
            if held.unit == units[number] or held.unit in host.own_units:
                continue
            who = f"{held.command or 'a process'} (pid {held.pid}{', ' + held.unit if held.unit else ''})"
            yield problem(
                "preflight.port-taken",
                f"port {number}, planned for {row['purpose']} of {units[number]}, is held by {who}",
                f"stop that process, or choose another port in {variable}",
                variable,
            )
        if low <= number <= high and not any(first <= number <= last for first, last in reserved):
            yield problem(
                "preflight.port-ephemeral", f"port {number} ({row['purpose']}) lies in this host's ephemeral range {low}-{high}",
                f"choose another port in {variable}, or add {number} to net.ipv4.ip_local_reserved_ports", variable,
            )


def _kernel(plan: Dict[str, Any], host: Host) -> Iterator[Dict[str, str]]:
    tcp = any(rank["environment"].get("MC_FORCE_TCP") == "1" for rank in plan.get("ranks") or [])
    if tcp and host.ipv6_disabled:
        yield problem(
            "preflight.ipv6", "the kernel runs with ipv6.disable=1, and Mooncake's TCP transport opens an IPv6 socket",
            "remove it from the kernel command line; net.ipv6.conf.all.disable_ipv6=1 is harmless",
        )


def _system(plan: Dict[str, Any], host: Host) -> Iterator[Dict[str, str]]:
    if not host.systemd:
        yield problem("preflight.systemd", "systemd does not run this host", "the engines are systemd units: use a host booted by systemd")
    if plan.get("ranks") and host.shm_bytes < SHM_BYTES:
        yield problem(
            "preflight.shm", f"/dev/shm has {host.shm_bytes // 2**20} MiB free, the ranks need {SHM_BYTES // 2**20}",
            "free it, or mount it larger (tmpfs size=)",
        )
    for name in sorted(host.proxies):
        yield problem(
            "preflight.proxy", f"the service manager's environment has {name}: bootstrap and health calls would go through the proxy",
            f"systemctl unset-environment {name}, and remove it from DefaultEnvironment",
        )


def check(plan: Dict[str, Any], host: Host) -> List[Dict[str, str]]:
    """Return everything in which a host contradicts its slice of the plan; an empty list when nothing does."""
    return [row for rule in (_system, _addresses, _ports, _kernel) for row in rule(plan, host)]
