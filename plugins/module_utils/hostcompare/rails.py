# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rails of a host in their places: one that is missing keeps its place, so that rail i means the same on every host."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import gpumap
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.locality import Locality
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.ports import ACTIVE, Port, beside, flatten, order


@dataclass(frozen=True)
class Rail:
    """One data port, or the place of one that is missing.

    :ivar state: of the port, C(ACTIVE) where it carries data.
    :ivar rate: Gb/s, None where the port is not ACTIVE or does not say.
    :ivar addresses: with prefix where it is known, link-local ones left out.
    :ivar board: what tells one NIC model from another.
    """

    device: str
    port: int
    several: bool
    state: str
    layer: str
    rate: float | None
    netdev: str
    mtu: int | None
    active_mtu: int | None
    gid_index: int | None
    gids_read: bool
    nccl_gid: int | None
    addresses: tuple[str, ...]
    board: str
    firmware: str
    numa: int | None

    @property
    def active(self) -> bool:
        """Whether it carries data."""
        return self.state == ACTIVE

    @property
    def label(self) -> str:
        """The shortest text that names the port."""
        return f"{self.device}:{self.port}" if self.several else self.device

    def subnets(self) -> tuple[str, ...]:
        """Return the networks of its addresses."""
        return tuple(sorted({str(ipaddress.ip_interface(text).network) for text in self.addresses if "/" in text}))


def _usable(text: str) -> bool:
    try:
        return not ipaddress.ip_interface(text).ip.is_link_local
    except ValueError:
        return False


def _rail(port: Port, device: Mapping[str, Any], row: Mapping[str, Any], gid: int | None) -> Rail:
    active = port.state == ACTIVE
    model = "/".join(str(device[name]) for name in ("hca_type", "board_id") if device.get(name))
    found = beside(port, port.gid_index if gid is None else gid)
    own = [text for text in found if "/" in text] or list(found)
    return Rail(
        device=port.device,
        port=port.number,
        several=port.several,
        state=port.state,
        layer=port.layer,
        rate=port.rate if active else None,
        netdev=port.netdev,
        mtu=row.get("netdev_mtu"),
        active_mtu=row.get("active_mtu"),
        gid_index=gid,
        gids_read=port.gids_read,
        nccl_gid=row.get("nccl_auto_gid_index"),
        addresses=tuple(sorted(filter(_usable, own))),
        board="soft" if port.soft else model or ":".join(str(device[name]) for name in ("vendor", "device") if device.get(name)),
        firmware=str(device.get("fw_ver") or ""),
        numa=device.get("numa_node"),
    )


def spare(facts: Mapping[str, Any]) -> list[str]:
    """Return ports of the chosen models that are down and that the selection does not call missing: soft ones, and second ones."""
    chosen = facts["selection"]
    ports = {port.key: port for port in flatten(dict(facts))}
    models = {ports[key].model for key in chosen["data_ports"] if key in ports}
    used = {*chosen["data_ports"], *chosen["missing"]}
    return [key for key, port in ports.items() if key not in used and port.state != ACTIVE and (port.model in models or not models)]


def _in_places(facts: Mapping[str, Any], present: Sequence[str], absent: Sequence[str]) -> list[str]:
    """Return ports in the order that they would have if all of them were ACTIVE."""
    if not absent:
        return list(present)
    ports = {port.key: port for port in flatten(dict(facts))}
    lost = [key for key in absent if key in ports]
    whole = sorted((ports[key] for key in [*present, *lost] if key in ports), key=order)
    locality = Locality(dict(facts))
    found, _question = gpumap.deal(locality, whole)
    if gpumap.one_to_one(found) and len(found) == len({port.device for port in whole}):
        gpus = {names[0]: int(gpu) for gpu, names in found.items()}
        return [port.key for port in sorted(whole, key=lambda port: gpus[port.device])]
    places = list(present)
    for key in lost:
        after = [index for index, other in enumerate(places) if other in ports and order(ports[other]) > order(ports[key])]
        places.insert(after[0] if after else len(places), key)
    return places


def read(facts: Mapping[str, Any], more: Sequence[str] = ()) -> list[Rail]:
    """Return the rails of a host in their places.

    :param facts: as rdma_facts returns them, with C(selection).
    :param more: ports that are missing, too, beyond those that the selection names.
    """
    chosen = facts["selection"]
    indexes = chosen["gid_indexes"]
    present = [f"{row['device']}:{row['port']}" for row in chosen["rails"]]
    ports = {port.key: port for port in flatten(dict(facts))}
    rows = {f"{device['name']}:{row['port']}": (device, row) for device in facts["devices"] for row in device["ports"]}
    places = _in_places(facts, present, [*chosen["missing"], *more])
    return [_rail(ports[key], *rows[key], indexes.get(key)) for key in places if key in rows]
