# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab as an operator asks for it, and what of that is wrong whatever the machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.layout import CONTROLLER, check_name
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import Bind, HostRecord


@dataclass(frozen=True)
class Settings:
    """A lab as an operator asks for it."""

    name: str
    cache: Path
    management_network: IPv4Network
    fabric_network: IPv4Network
    hosts: tuple[HostRecord, ...]
    owner: int = 0
    wait_seconds: int = 60
    extra_disk_mb: int = 0
    extra_packages: tuple[str, ...] = ()
    suite: str = ""
    apt_sources: tuple[Path, ...] = ()


def check_settings(settings: Settings) -> None:
    """Check what the machine has no say in. Raises LabError naming the value, the rule and the fix."""
    check_name(settings.name)
    if not settings.cache.is_absolute() or ":" in str(settings.cache) or '"' in str(settings.cache):
        raise LabError(
            f"cache is '{settings.cache}': it must be an absolute path without ':' and '\"', which overlayfs and ssh give a meaning"
        )
    if settings.management_network.overlaps(settings.fabric_network):
        raise LabError(
            f"management_network {settings.management_network} and fabric_network {settings.fabric_network} overlap: choose two that do not"
        )
    if not settings.hosts:
        raise LabError("hosts is empty, and a lab has at least one: use the inventory plugin railyard.sglang.lab, which lists them")
    seen: dict[str, str] = {}
    for host in settings.hosts:
        for what, address, network in (
            ("management_address", host.management_address, settings.management_network),
            ("fabric_address", host.fabric_address, settings.fabric_network),
        ):
            try:
                taken = IPv4Address(address) in (network[0], network[CONTROLLER], network[-1])
                inside = IPv4Address(address) in network
            except AddressValueError:
                inside = taken = False
            if taken or not inside:
                raise LabError(
                    f"host {host.name}: {what} {address} must be a host address of {network} "
                    f"other than the controller's {network[CONTROLLER]}"
                )
            if address in seen:
                raise LabError(f"host {host.name}: {what} {address} is that of {seen[address]} already")
            seen[address] = host.name
        if [each.name for each in settings.hosts].count(host.name) > 1:
            raise LabError(f"host {host.name} is listed more than once: each host needs a name of its own")
        # m-<name> is the name of an interface, of at most 15 characters.
        if not host.name.isalnum() or not 1 <= len(host.name) <= 12:
            raise LabError(f"host name '{host.name}' must be 1 to 12 letters and digits: it is part of interface names")


def bind_hosts(hosts: Sequence[HostRecord], binds: Sequence[dict[str, Any]]) -> tuple[HostRecord, ...]:
    """Give each host its bind mounts.

    Args:
        hosts: the hosts.
        binds: src, dst, hosts (names; empty: all) and writable_on (names) of each.

    Raises:
        LabError: a bind names a host that does not exist.
    """
    names = {host.name for host in hosts}
    for bind in binds:
        unknown = sorted({*bind["hosts"], *bind["writable_on"]} - names)
        if unknown:
            raise LabError(f"bind {bind['src']} names {', '.join(unknown)}, which the lab does not have: it has {', '.join(sorted(names))}")
    return tuple(
        replace(
            host,
            binds=tuple(
                Bind(bind["src"], bind["dst"], host.name not in bind["writable_on"])
                for bind in binds
                if not bind["hosts"] or host.name in bind["hosts"]
            ),
        )
        for host in hosts
    )
