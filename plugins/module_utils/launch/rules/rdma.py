# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every GPU reaches the fabric by RDMA devices that its host has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from ansible_collections.railyard.sglang.plugins.module_utils.launch import looked
from ansible_collections.railyard.sglang.plugins.module_utils.launch.catalogue import NOTE
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.instance import Instance
from ansible_collections.railyard.sglang.plugins.module_utils.launch.ranks import Rank
from ansible_collections.railyard.sglang.plugins.module_utils.launch.rules import ib_device
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract

OPTION = "disaggregation-ib-device"
# How far a NIC is from its GPU, in the words of nvidia-smi topo -m, and NCCL's levels, words and numbers, on the same scale.
PATHS = {"PIX": 1, "PXB": 2, "PHB": 4, "NODE": 4, "SYS": 5}
LEVELS = {"LOC": 0, "NVL": 0, "NVB": 0, "C2C": 0, "PIX": 1, "PXB": 2, "P2C": 3, "PXN": 3, "PHB": 4, "SYS": 5}
LEVELS |= {"0": 0, "1": 1, "2": 2, "3": 4, "4": 5, "5": 5}
USUAL_LEVEL = "PXB"
LEVEL = "NCCL_NET_GDR_LEVEL"


def check(contract: Contract, findings: Findings) -> None:
    """Judge the RDMA devices of every rank."""
    if not looked.wanted(contract.cluster.variables, contract.engine):
        return
    for instance in contract.instances:
        _same_number(contract, instance, findings)
    for rank in contract.ranks:
        _collectives(contract, rank, findings)
        if rank.told is None or not rank.told.judged or any(row["ok"] is None and row["name"] == LEVEL for row in rank.told.judged):
            _distance(contract, rank, findings)
        _cross_nic(contract, rank, findings)
        if rank.instance.mode == "plain":
            continue
        if contract.value(rank, "disaggregation-transfer-backend") == "nixl" and not contract.engine.nixl_devices:
            _nixl(contract, rank, findings)
        else:
            _devices(contract, rank, findings)
    for host in dict.fromkeys(rank.host for rank in contract.ranks):
        _twice(contract, host, findings)


def _variable(contract: Contract, rank: Rank) -> str:
    """Return the variable that decides the rank's devices."""
    option = contract.table.find(OPTION)
    row = contract.cluster.hosts[rank.host]
    if option is not None and option.dest in rank.written:
        return rank.written[option.dest]
    return "sglang_rdma_device_map" if row["sglang_rdma_device_map"] else "sglang_rdma_devices"


def _gpus(rank: Rank) -> range:
    first = rank.instance.gpu[rank.number]
    return range(first, first + rank.instance.gpus_per_host)


def _listed(text: str) -> list[str]:
    """Return the device names of a list such as NCCL_IB_HCA's."""
    return [name for item in text.lstrip("^=").split(",") if (name := item.split(":")[0].strip())]


def _known(contract: Contract, rank: Rank) -> list[str]:
    """Return the devices of the host as far as anything names them."""
    row = contract.cluster.hosts[rank.host]
    hca = rank.environment.get("NCCL_IB_HCA", "")
    mapped = [name for text in row["sglang_rdma_device_map"].values() for name in _listed(text)]
    return list(dict.fromkeys([*row["sglang_rdma_devices"], *mapped, *(() if hca.startswith("^") else _listed(hca))]))


def _devices(contract: Contract, rank: Rank, findings: Findings) -> None:
    value, variable, place = contract.value(rank, OPTION), _variable(contract, rank), rank.instance.name
    text = ib_device.text_of(value, rank, contract.cluster, contract.read) if value else None
    if text is None:
        return
    devices = ib_device.parse(text, contract.engine.version)
    if devices.problem:
        known = _known(contract, rank)[:2] or ["mlx5_0", "mlx5_1"]
        findings.add(
            "rdma.form", variable, devices.problem,
            f"write {','.join(known)}, or a map of each GPU: " + '{"0": "' + known[0] + '", ...}', rank.host, place=place,
        )
        return
    missing = [str(gpu) for gpu in _gpus(rank) if not devices.of(gpu)]
    if missing:
        findings.add(
            "rdma.map-incomplete", variable, f"GPU {', '.join(missing)} of {place} is not in the map: the engine stops with a ValueError",
            f"name the devices of GPU {_gpus(rank)[0]} to {_gpus(rank)[-1]}", rank.host, place=place,
        )
    used = list(dict.fromkeys(name for gpu in _gpus(rank) for name in devices.of(gpu)))
    _unknown(contract, rank, variable, used, findings)
    _one_for_all(contract, rank, variable, used, findings)


def _nixl(contract: Contract, rank: Rank, findings: Findings) -> None:
    """UCX takes what UCX_NET_DEVICES names, and all devices without it."""
    option = contract.table.find(OPTION)
    written = rank.written.get(option.dest, "") if option is not None else ""
    if written and contract.value(rank, OPTION):
        findings.add(
            "rdma.nixl-devices", written, f"NIXL of {contract.engine.version} does not read --{OPTION}",
            "name the devices in sglang_rdma_devices, or set UCX_NET_DEVICES: DEVICE:1,...,INTERFACE", place=rank.instance.name,
        )
    if not rank.environment.get("UCX_NET_DEVICES"):
        findings.add(
            "rdma.nixl-devices", rank.written.get("UCX_NET_DEVICES", "sglang_env.UCX_NET_DEVICES"),
            "is not set: UCX takes every device of the host, those of other networks among them",
            "set sglang_rdma_devices and sglang_fabric_interface: the plan derives it", severity=NOTE, place=rank.instance.name,
        )


def _twice(contract: Contract, host: str, findings: Findings) -> None:
    given = list(contract.cluster.hosts[host]["rdma_written"])
    again = [name for name, count in Counter(given).items() if count > 1]
    if again:
        findings.add(
            "rdma.twice", "sglang_rdma_devices", f"{', '.join(again)} is named more than once", "name each data device once", host,
        )


def _cross_nic(contract: Contract, rank: Rank, findings: Findings) -> None:
    """Rails are kept apart by a map, and mixed by the variable."""
    if rank.environment.get("NCCL_CROSS_NIC") == "1" and contract.cluster.hosts[rank.host]["sglang_rdma_device_map"]:
        findings.add(
            "rdma.cross-nic", rank.written.get("NCCL_CROSS_NIC", "sglang_env.NCCL_CROSS_NIC"),
            "NCCL_CROSS_NIC=1 lets NCCL leave the NIC that the map gives a GPU",
            "on a rail-optimised fabric set 0; keep 1 where all NICs are on one network", place=rank.instance.name,
        )


def _present(contract: Contract, host: str) -> list[str]:
    """Return the devices that a host has: all that can carry data where somebody has looked, else those that are written."""
    look = contract.cluster.looks.get(host)
    if look is None:
        return list(contract.cluster.hosts[host]["sglang_rdma_devices"])
    ports = [(str(device["name"]), port) for device in look.facts.get("devices") or [] for port in device.get("ports") or []]
    return list(dict.fromkeys(name for name, port in ports if port.get("state") == "ACTIVE"))


def _unknown(contract: Contract, rank: Rank, variable: str, used: Collection[str], findings: Findings) -> None:
    present = _present(contract, rank.host)
    absent = [name for name in used if name not in present]
    if present and absent:
        findings.add(
            "rdma.device-unknown", variable,
            f"{', '.join(absent)} is not among the data devices of the host ({', '.join(present)}): where none of the names is found, "
            "Mooncake goes over TCP without a word",
            "correct the name, or add it to sglang_rdma_devices of this host", rank.host, place=rank.instance.name,
        )


def _one_for_all(contract: Contract, rank: Rank, variable: str, used: list[str], findings: Findings) -> None:
    count = len(_gpus(rank)) if contract.engine.device in looked.GPUS else 1
    others = [name for name in _known(contract, rank) if name not in used]
    only_one = contract.cluster.hosts[rank.host]["sglang_rdma_devices"] == used
    if len(used) == 1 and count > 1 and not only_one:
        rest = f", and {', '.join(others)} move no KV cache" if others else ""
        findings.add(
            "rdma.one-nic", variable, f"{count} GPUs of {rank.instance.name} share {used[0]}{rest}",
            "give each GPU the NIC on its own PCIe switch: set sglang_rdma_device_map of this host (nvidia-smi topo -m shows them), "
            "or list all in sglang_rdma_devices",
            rank.host, place=rank.instance.name,
        )


def _collectives(contract: Contract, rank: Rank, findings: Findings) -> None:
    """Names of devices in the environment that the host does not have."""
    present = _present(contract, rank.host)
    for name in ("NCCL_IB_HCA", "UCX_NET_DEVICES", "NVSHMEM_HCA_LIST"):
        text = rank.environment.get(name, "")
        if not present or not text or text.startswith("^") or name not in rank.written:
            continue
        exact = name != "NCCL_IB_HCA" or text.startswith("=")
        devices = [item.split(":")[0] for item in text.split(",") if ":" in item] if name == "UCX_NET_DEVICES" else _listed(text)
        absent = [item for item in devices if item not in present and (exact or not any(other.startswith(item) for other in present))]
        if absent:
            findings.add(
                "rdma.device-unknown", rank.written[name],
                f"{', '.join(absent)} is not among the data devices of the host ({', '.join(present)})",
                "correct the name, or add it to sglang_rdma_devices of this host", rank.host, place=rank.instance.name,
            )


def _distance(contract: Contract, rank: Rank, findings: Findings) -> None:
    """NCCL uses GPUDirect RDMA only for NICs as near as its level says."""
    path = contract.cluster.hosts[rank.host]["sglang_gpu_nic_path"]
    given = rank.environment.get("NCCL_NET_GDR_LEVEL", "")
    if not path or (given and given not in LEVELS) or PATHS[path] <= LEVELS[given or USUAL_LEVEL]:
        return
    level = f"NCCL_NET_GDR_LEVEL={given}" if given else f"NCCL's own level {USUAL_LEVEL}"
    needed = {"NODE": "PHB"}.get(path, path)
    findings.add(
        "rdma.gdr-level", rank.written.get("NCCL_NET_GDR_LEVEL", "sglang_env.NCCL_NET_GDR_LEVEL"),
        f"the NICs of this host are {path} away from its GPUs, and {level} is nearer: "
        "GPUDirect RDMA is off, and all traffic goes through host memory",
        f"set NCCL_NET_GDR_LEVEL: {needed}", rank.host, severity="" if given else NOTE, place=rank.instance.name,
    )


def _same_number(contract: Contract, instance: Instance, findings: Findings) -> None:
    counts = {}
    for host in instance.hosts:
        row = contract.cluster.hosts[host]
        if host not in contract.cluster.looks and (contract.cluster.looks or row["rdma_written"]) and not row["sglang_rdma_devices"]:
            continue  # Not known of a host that nobody has looked at: left out by --limit, or described by PCI addresses.
        mapped = {name for text in row["sglang_rdma_device_map"].values() for name in _listed(text)}
        counts[host] = len(row["sglang_rdma_devices"] or mapped)
    if len(set(counts.values())) > 1:
        fewest = min(counts, key=lambda host: counts[host])
        shown = ", ".join(f"{host} {count or 'none'}" for host, count in counts.items())
        findings.add(
            "rdma.devices-differ", "sglang_rdma_devices",
            f"hosts of {instance.name} name different numbers of RDMA devices ({shown}): the slowest host decides",
            "name the data devices of every host, rail by rail in the same order", fewest, place=instance.name,
        )
