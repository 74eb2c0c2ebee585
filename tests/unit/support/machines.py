# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of machines, written as data: what C(rdma_facts) would return for them, as far as the choice of devices needs it.

    facts = machine([nic("mlx5_0"), nic("mlx5_1", rate=100)], {0: {"mlx5_0": "PIX"}})
"""

from __future__ import annotations

from typing import Any

CONNECTX7 = {"hca_type": "MT4129", "board_id": "MT_0000000838"}
OTHER_BOARD = {"hca_type": "MT4129", "board_id": "MT_0000000999"}
BLUEFIELD3 = {"hca_type": "MT41692", "board_id": "MT_0000000884"}
PORT_FIELDS = ("rate", "state", "layer", "netdev", "addresses", "bond", "rocev2_gid_index", "gids", "traffic_class")

Facts = dict[str, Any]


def port(number: int = 1, rate: float | None = 400, state: str = "ACTIVE", layer: str = "InfiniBand", **more: Any) -> Facts:
    """Return one port."""
    return {"port": number, "state": state, "rate_gbps": rate, "link_layer": layer, **more}


def nic(name: str, pci: str = "", ports: list[Facts] | None = None, card: Facts | None = None, **more: Any) -> Facts:
    """Return one device with one port, unless its ports are given.

    :param more: fields of the device, or of its port where the device has no such field.
    """
    of_port = {key: more.pop(key) for key in PORT_FIELDS if key in more}
    return {"name": name, "pci": pci or None, "ports": [port(**of_port)] if ports is None else ports,
            **(CONNECTX7 if card is None else card), **more}


def roce(name: str, index: int | None, address: str = "", **more: Any) -> Facts:
    """Return a device with one Ethernet port that has an address with its prefix, and a RoCE v2 GID for it."""
    return nic(name, layer="Ethernet", addresses=[address] if address else [], rocev2_gid_index=index, gids=[], netdev=f"{name}_if", **more)


def machine(nics: list[Facts], near: dict[int, dict[str, str]] | None = None, others: str = "NODE", system: Facts | None = None) -> Facts:
    """Return the facts of a machine.

    :param near: path classes by GPU and device.
    :param others: path class of the pairs that it does not name.
    """
    names = [row["name"] for row in nics]
    gpus = [{"index": index, "paths": {name: paths.get(name, others) for name in names}} for index, paths in (near or {}).items()]
    return {"present": bool(nics), "devices": nics, "gpus": gpus, "system": system or {}}


def names(*numbers: int, stem: str = "mlx5_") -> list[str]:
    """Return device names by number."""
    return [f"{stem}{number}" for number in numbers]


def beside(*devices: str, path: str = "PIX") -> dict[int, dict[str, str]]:
    """Return one GPU per device, with that device on its switch."""
    return {index: {name: path} for index, name in enumerate(devices)}


def blind(count: int) -> dict[int, dict[str, str]]:
    """Return GPUs of which nothing is known; for a machine with C(others="UNKNOWN")."""
    return {index: {} for index in range(count)}


def several(count: int) -> list[Facts]:
    """Return equal devices, mlx5_0 and on."""
    return [nic(name) for name in names(*range(count))]


# Eight devices with one GPU beside each, or with two GPUs and two devices on each of four switches, as in a DGX A100.
EIGHT = names(*range(8))
RAILS = several(8)
ONE_EACH = beside(*EIGHT)
PAIRS = {gpu: dict.fromkeys(names(gpu // 2 * 2, gpu // 2 * 2 + 1), "PXB") for gpu in range(8)}
# Two rails in networks of their own, and a slower port.
ROCE = machine(
    [roce("mlx5_0", 3, "192.0.2.1/25"), roce("mlx5_1", 3, "192.0.2.129/25"), roce("mlx5_2", 5, "198.51.100.1/24", rate=100)],
    {0: {"mlx5_0": "PIX"}, 1: {"mlx5_1": "PIX"}},
)
# A port of eight is down, and four storage ports are as fast as the others.
STORAGE_AND_ONE_DOWN = machine([*RAILS[:7], nic("mlx5_7", state="DOWN", rate=10), *map(nic, names(8, 9, 10, 11))], ONE_EACH)
ONE_CABLE_PER_CARD = machine(
    [nic(f"mlx5_{row}", f"0000:{row // 2 + 16:02x}:00.{row % 2}", state="DOWN" if row % 2 else "ACTIVE") for row in range(16)],
    {gpu: {f"mlx5_{2 * gpu}": "PIX", f"mlx5_{2 * gpu + 1}": "PIX"} for gpu in range(8)},
)
