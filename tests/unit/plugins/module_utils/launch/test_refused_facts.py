# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that are not what the inventory says, or that cannot do what is planned."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support.clusters import DEVICES, Refusal, looked, rails
from ansible_collections.railyard.sglang.tests.unit.support.machines import RAILS, beside, blind, machine, nic, roce

WRITTEN, MAP = "sglang_rdma_devices", "sglang_rdma_device_map"
PEERMEM = {"peermem": {"loaded": True}}
NEITHER = {
    "peermem": {"loaded": False, "file_present": False, "api_in_kernel": False},
    "dmabuf": {"kernel_ok": True, "open": False},
}
FAR = {gpu: {name: "PHB"} for gpu, name in enumerate(DEVICES)}
NIC_OF_ALL = [roce(name, 3, f"203.0.113.{32 * rail + 1}/27") for rail, name in enumerate(DEVICES)]


def changed(**more: Any) -> dict[str, Any]:
    """Return the first host with another first NIC."""
    return {"!p0": rails(1, **more)}


def unread(row: dict[str, Any]) -> dict[str, Any]:
    """Return a device whose GID table could not be read."""
    (port,) = row["ports"]
    return {**row, "ports": [{key: value for key, value in port.items() if key != "gids"} | {"rocev2_gid_index": None}]}


def lent(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of a host that has given a GPU to a virtual machine: processes count the others."""
    first, *others = facts["gpus"]
    rest = [{**row, "index": number} for number, row in enumerate(others)]
    return {**facts, "gpus": [{**first, "index": None, "driver": "vfio-pci"}, *rest]}


def pairs(number: int, stem: str = "mlx5_") -> dict[str, Any]:
    """Return the facts of a host with two NICs beside each of four GPUs, all in networks of their own."""
    near = {gpu: {f"{stem}{rail}": "PIX" for rail in (2 * gpu, 2 * gpu + 1)} for gpu in range(4)}
    return machine([roce(f"{stem}{rail}", 3, f"203.0.113.{32 * rail + number}/27") for rail in range(8)], near, system=PEERMEM)


REFUSALS = {
    "a device without a name": Refusal(
        "facts.form", {"!p0": {"devices": [{"ports": [{}]}]}}, "plan_facts", "not facts of module", "facts.yml", "p0"
    ),
    "facts that are a text": Refusal("facts.form", {"!p0": "none"}, "plan_facts", "AttributeError", host="p0"),
    "a host without RDMA": Refusal(
        "facts.no-device", {"!p0": machine([], beside(*DEVICES))}, WRITTEN, "no ACTIVE port to carry data", "sglang_rdma: false", "p0"
    ),
    "a host whose ports are all down": Refusal(
        "facts.no-device", {"!d1": machine([nic("mlx5_0", state="DOWN")])}, WRITTEN, "left out mlx5_0 DOWN", host="d1"
    ),
    "few fast ports and many slow ones": Refusal(
        "facts.ambiguous", {"!p1": machine([*RAILS, nic("mlx5_8", rate=800)], beside(*(f"mlx5_{row}" for row in range(8))))},
        WRITTEN, "which carry data?", "set sglang_rdma_devices: mlx5_8 or mlx5_0", "p1",
    ),
    "a guest that hides its PCI layout": Refusal(
        "facts.ambiguous", {"!p0": machine(NIC_OF_ALL, blind(8), "UNKNOWN", PEERMEM)},
        MAP, "neither PCI nor NUMA tells", f"set {MAP}", "p0",
    ),
    "GID indexes that differ": Refusal(
        "facts.ambiguous", changed(rocev2_gid_index=5), "sglang_rdma_address_range", "NCCL_IB_ADDR_RANGE is not known", host="p0",
        severity="warning",
    ),
    "a device that is not there": Refusal(
        "facts.contradiction", {WRITTEN: [*DEVICES[:7], "mlx5_12"]}, WRITTEN, "the host has no RDMA device mlx5_12", host="p0"
    ),
    "a device that is down": Refusal(
        "facts.contradiction", {WRITTEN: DEVICES, **changed(state="DOWN")}, WRITTEN, "mlx5_0 is DOWN, not ACTIVE", "repair the host", "p0"
    ),
    "a device that is there, by PCI address, on no host": Refusal(
        "facts.contradiction", {WRITTEN: ["0000:1a:00.0"]}, WRITTEN, "has no RDMA device 0000:1a:00.0", host="d0"
    ),
    "fewer devices than promised": Refusal(
        "facts.contradiction", {"sglang_rdma_expected_devices": 9}, "sglang_rdma_expected_devices", "8 data devices", host="p0"
    ),
    "a slower rate than promised": Refusal(
        "facts.contradiction", {"sglang_rdma_expected_rate_gbps": 800}, "sglang_rdma_expected_rate_gbps", "mlx5_0 has 400 Gb/s", host="p0"
    ),
    "a map of a device that is not chosen": Refusal(
        "facts.contradiction", {MAP: {str(gpu): "mlx5_1" if gpu == 7 else name for gpu, name in enumerate(DEVICES)}, WRITTEN: DEVICES},
        MAP, "mlx5_1 of GPU 7 is not a data device", host="p0",
    ),
    "a lost address": Refusal(
        "facts.no-gid", changed(rocev2_gid_index=None), WRITTEN, "mlx5_0: no RoCE v2 GID", "its address again", "p0"
    ),
    "another index than the host's": Refusal(
        "facts.gid-index", {"sglang_gid_index": 5}, "sglang_gid_index", "5 is not the RoCE v2 GID", "leave it out", "p0"
    ),
    "an index in the environment": Refusal(
        "facts.gid-index", {"sglang_env.MC_GID_INDEX": "5", "sglang_env.NCCL_IB_GID_INDEX": "5"}, "sglang_env.MC_GID_INDEX",
        "5 is not the RoCE v2 GID", host="d1",
    ),
    "an index for ports that differ": Refusal(
        "facts.gid-index", {"sglang_env.MC_GID_INDEX": "3", **changed(rocev2_gid_index=5)}, "sglang_env.MC_GID_INDEX",
        "(mlx5_0:1 5)", host="p0",
    ),
    "GIDs that nobody could read": Refusal(
        "facts.no-gid", {"!p0": machine([unread(row) for row in NIC_OF_ALL], beside(*DEVICES), system=PEERMEM)},
        WRITTEN, "no GID could be read", "as root", "p0", severity="warning",
    ),
    "a GPU that has fallen off the bus": Refusal(
        "facts.gpu-count", {"!p0": machine(NIC_OF_ALL, beside(*DEVICES[:7]), system=PEERMEM)}, "sglang_pools.prefill.tp",
        "the host shows 7 GPUs, and prefill-0 needs 8", "Xid 79", "p0",
    ),
    "a GPU that a virtual machine has": Refusal(
        "facts.gpu-count", {"!p0": lent(machine(NIC_OF_ALL, beside(*DEVICES), system=PEERMEM))}, "sglang_pools.prefill.tp",
        "the host shows 7 GPUs, and prefill-0 needs 8", host="p0",
    ),
    "an address that a rail does not have": Refusal(
        "facts.contradiction", {"p0:sglang_rail_addresses": {"mlx5_0": "198.51.100.9/24"}}, "sglang_rail_addresses.mlx5_0",
        "198.51.100.9/24 is not on it", "leave it out", "p0",
    ),
    "a distance that is another": Refusal(
        "facts.contradiction", {"sglang_gpu_nic_path": "SYS"}, "sglang_gpu_nic_path", "is SYS, and the NICs are PIX", host="p0"
    ),
    "a port without a cable": Refusal(
        "facts.port-missing", changed(state="DOWN"), WRITTEN, "mlx5_0:1 is of the same model", "cable", "p0"
    ),
    "a listed device of another rate": Refusal(
        "facts.devices", {WRITTEN: [*DEVICES, "mlx5_1"]}, WRITTEN, "different rates", "name the data devices", "d1"
    ),
    "neither peer memory nor DMA-BUF": Refusal(
        "facts.registration", {"!p0": {**rails(1), "system": NEITHER}}, "sglang_transfer_backend", "no nvidia_peermem module",
        "the open NVIDIA driver", "p0",
    ),
    "nobody knows whether GPU memory can be registered": Refusal(
        "facts.registration", {"!p0": {**rails(1), "system": {}}}, "sglang_transfer_backend", "not known", host="p0", severity="warning"
    ),
    "a level nearer than the NICs": Refusal(
        "facts.nccl", {"!p0": machine(NIC_OF_ALL, FAR, system=PEERMEM), "sglang_env.NCCL_NET_GDR_LEVEL": "PIX"},
        "sglang_env.NCCL_NET_GDR_LEVEL", "PIX switches GPUDirect off", "NCCL_NET_GDR_LEVEL=PHB", "p0",
    ),
    "rails that do not reach each other": Refusal(
        "facts.nccl", {"sglang_rdma_cross_rail": False, "sglang_env.NCCL_CROSS_NIC": "1"}, "sglang_env.NCCL_CROSS_NIC",
        "do not reach each other", "set NCCL_CROSS_NIC=0", "d0",
    ),
    "rails of other names, several for each GPU": Refusal(
        "facts.rail-names",
        {"!p0": pairs(1), "!p1": pairs(2), "!d0": pairs(3), "!d1": pairs(4, "ro5_")},
        WRITTEN, "rail 0 is ro5_0 here and mlx5_0 on p0", "name the RDMA devices alike", "d1",
    ),
    "no traffic class": Refusal(
        "facts.traffic-class", {}, "sglang_rdma_traffic_class", "lossless class of the switches", "waive"
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refused(name: str) -> None:
    REFUSALS[name].check(looked())
