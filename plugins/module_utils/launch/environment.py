# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment of every process, each variable with the reason for its value."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Collection, Mapping
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import mooncake
from ansible_collections.railyard.sglang.plugins.module_utils.launch import addresses, cacheplaces, files, hosts, looked, refusals
from ansible_collections.railyard.sglang.plugins.module_utils.launch.arguments import Given
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.inputs import Cluster
from ansible_collections.railyard.sglang.plugins.module_utils.launch.instance import Instance
from ansible_collections.railyard.sglang.plugins.module_utils.launch.stacks import EngineStack

NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*\Z")
# Derived from the topology; another value would put the KV cache on another network.
# HOST_IP silently takes the place of an unset SGLANG_HOST_IP.
TYPED = {"SGLANG_HOST_IP": "sglang_fabric_address", "HOST_IP": "sglang_fabric_address"}
ADDRESS = "SGLANG_HOST_IP"
# Mooncake goes over TCP by this variable being set at all.
FORCED = "MC_FORCE_TCP"
# Other transports of Mooncake than RDMA, each on by being set at all.
TRANSPORTS = (FORCED, "MC_FORCE_MNNVL", "MC_INTRANODE_NVLINK")
# UCX_TLS beside TCP: what brings the memory of a device there.
UCX_COPIES = {"cpu": "", "cuda": ",cuda_copy,cuda_ipc", "rocm": ",rocm_copy,rocm_ipc"}
# Unset, they mean the default class: nothing is missing.
TRAFFIC_CLASSES = ("MC_IB_TC", "NCCL_IB_TC", "NVSHMEM_IB_TRAFFIC_CLASS", "UCX_IB_TRAFFIC_CLASS")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


STORE, STORE_OF_MOONCAKE = "ASCEND_MF_STORE_URL", "ENABLE_ASCEND_TRANSFER_WITH_MOONCAKE"


def ascend_store(env: Mapping[str, str]) -> tuple[str, int] | None:
    """Return address and port of the store of memfabric_hybrid, or None where none is named."""
    try:
        parts = urllib.parse.urlsplit(env.get(STORE, ""))
        return (addresses.canonical(parts.hostname), parts.port) if parts.hostname and parts.port else None
    except ValueError:
        return None


def with_mooncake(env: Mapping[str, str]) -> bool:
    """Whether Mooncake is told to move the KV cache of NPUs."""
    return env.get(STORE_OF_MOONCAKE, "").lower() in ("1", "true", "yes", "y")


def common(stack: str, root: str) -> dict[str, tuple[str, str]]:
    """Return the environment of any process of a stack."""
    return {
        "PATH": (f"{root}/{stack}/bin:{SYSTEM_PATH}", "programs of the stack first"),
        "PYTHONNOUSERSITE": ("1", "nothing outside of the stack is imported"),
        "PYTHONUNBUFFERED": ("1", "log lines reach the journal when they are written"),
    }


def engine(
    instance: Instance, rank: int, stack: EngineStack, cluster: Cluster, told: looked.Told | None = None,
) -> dict[str, tuple[str, str]]:
    """Return what the plan derives for one rank.

    :param told: what a look at the host has shown.
    """
    host = instance.hosts[rank]
    address = hosts.kv(cluster, host)
    interface = cluster.hosts[host]["sglang_fabric_interface"]
    derived = common(stack.name, cluster.variables["sglang_root"]) | {
        "HOME": ("/var/lib/sglang", "caches of libraries that look nowhere else"),
        "XDG_CACHE_HOME": ("/var/cache/sglang", "writable under the unit's hardening"),
        "HF_HUB_OFFLINE": ("1", "the model is on the host: nothing is fetched while serving"),
        "SGLANG_HOST_IP": (address, "KV cache and handshake address; unset, it would follow the default route"),
    }
    if interface:
        derived["GLOO_SOCKET_IFNAME"] = (interface, f"the interface of {address}; unset, Gloo follows the host name")
        if stack.device in ("cuda", "rocm"):
            derived["NCCL_SOCKET_IFNAME"] = ("=" + interface, "the same interface, matched exactly")
    parsed = addresses.parse(address)
    mooncake = instance.mode != "plain" and cluster.variables["sglang_transfer_backend"].startswith("mooncake")
    if mooncake and parsed is not None and parsed.version == 6:
        derived["MC_USE_IPV6"] = ("1", "Mooncake listens on IPv4 unless it is told")
    derived |= stack.environment
    derived |= cacheplaces.environment(instance, rank, stack)
    derived |= _rdma(instance, cluster.hosts[host], cluster, stack, told)
    if FORCED in derived and looked.wanted(cluster.variables, stack):
        del derived[FORCED]
    if stack.device == "cpu" and instance.sizes.tp > 1:
        cores = cluster.variables["sglang_cpu_cores"]
        first = instance.gpu[rank]
        binding = "|".join(str((first + core) % cores) for core in range(instance.sizes.tp))
        derived["SGLANG_CPU_OMP_THREADS_BIND"] = (binding, f"one entry per tensor parallel rank, on {cores} core(s)")
    return derived


def known_devices(row: Mapping[str, Any]) -> list[str]:
    """Return the data devices of a host as far as they are known, each once."""
    mapped = (name.strip() for text in row["sglang_rdma_device_map"].values() for name in text.split(","))
    return list(dict.fromkeys(row["sglang_rdma_devices"] or (name for name in mapped if name)))


def _rdma(
    instance: Instance, row: dict[str, Any], cluster: Cluster, stack: EngineStack, told: looked.Told | None,
) -> dict[str, tuple[str, str]]:
    """Return what the libraries are told of RDMA."""
    backend = cluster.variables["sglang_transfer_backend"] if instance.mode != "plain" else ""
    if not looked.wanted(cluster.variables, stack):
        off = "sglang_rdma is false"
        over_tcp = {FORCED: ("1", off)} if backend == "mooncake" and stack.device in looked.GPUS else {}
        if backend == "nixl" and stack.device in UCX_COPIES:
            over_tcp = _ucx_over_tcp(row, UCX_COPIES[stack.device])
        return over_tcp | ({"NCCL_IB_DISABLE": ("1", off)} if stack.device in looked.GPUS and instance.nodes > 1 else {})
    if told is not None:
        derived = [name for name in told.environment if name.endswith("_GID_INDEX")]
        return told.environment | _gid_index(row, stack, backend, derived)
    return _fabric(row, stack, backend) | (_nixl(row, stack) if backend == "nixl" else {}) | _said(instance, cluster, stack, backend)


def _said(instance: Instance, cluster: Cluster, stack: EngineStack, backend: str) -> dict[str, tuple[str, str]]:
    """Return what follows from variables of the cluster alone."""
    traffic_class = cluster.variables["sglang_rdma_traffic_class"]
    rows = mooncake.transport(1, None, None) if backend == "mooncake" else []
    found = {row["name"]: (row["value"], row["why"]) for row in rows}
    if traffic_class >= 0:
        names = (["MC_IB_TC"] if backend == "mooncake" else []) + (["NCCL_IB_TC"] if stack.device in looked.GPUS else [])
        found |= {name: (str(traffic_class), "sglang_rdma_traffic_class") for name in names}
    if cluster.variables["sglang_rdma_cross_rail"] is False and instance.nodes > 1 and stack.device in looked.GPUS:
        found["NCCL_CROSS_NIC"] = ("0", "sglang_rdma_cross_rail is false")
    return found


def _ucx_over_tcp(row: Mapping[str, Any], copies: str) -> dict[str, tuple[str, str]]:
    """Return what keeps NIXL's UCX, which takes the fastest way that it finds, to TCP on the fabric's interface.

    The defaults are those of the UCX in NIXL 1.5.1: inet before inet6, and no bridges.
    """
    interface = row["sglang_fabric_interface"]
    found = {"UCX_TLS": ("tcp" + copies, "no RDMA is planned, and UCX would also take hosts for one that share a kernel")}
    if interface:
        found["UCX_NET_DEVICES"] = (interface, "the interface of the fabric; unset, UCX takes all")
        found["UCX_TCP_BRIDGE_ENABLE"] = ("y", "the interface may be a bridge, which UCX leaves out by itself")
    if ":" in row["sglang_fabric_address"]:
        found["UCX_TCP_AF_PRIO"] = ("inet6,inet", "the fabric's address is of IPv6, and UCX takes IPv4 where an interface has both")
    return found


def _gid_index(row: dict[str, Any], stack: EngineStack, backend: str, derived: Collection[str] = ()) -> dict[str, tuple[str, str]]:
    """Return the index that the operator gives.

    :param derived: variables that are set anyhow, and then to this index.
    """
    if row["sglang_gid_index"] < 0:
        return {}
    names = ["NCCL_IB_GID_INDEX", "MC_GID_INDEX"] if stack.device in looked.GPUS else ["MC_GID_INDEX"] if backend == "mooncake" else []
    return {name: (str(row["sglang_gid_index"]), "sglang_gid_index, for NCCL and Mooncake alike") for name in [*names, *derived]}


def _nixl(row: dict[str, Any], stack: EngineStack) -> dict[str, tuple[str, str]]:
    """Return what names RDMA devices to UCX where NIXL does not read the argument."""
    devices, interface = known_devices(row), row["sglang_fabric_interface"]
    if stack.nixl_devices or not devices or not interface:
        return {}
    why = f"NIXL of {stack.version} reads no argument for devices; {interface} is for what goes over TCP"
    return {"UCX_NET_DEVICES": (",".join([*(f"{name}:1" for name in devices), interface]), why)}


def _fabric(row: dict[str, Any], stack: EngineStack, backend: str) -> dict[str, tuple[str, str]]:
    """Return what names RDMA devices and GIDs, as far as the variables of the host do."""
    devices = known_devices(row) if stack.device in looked.GPUS else []
    named = {"NCCL_IB_HCA": ("=" + ",".join(devices), "the data devices of the host, matched exactly")} if devices else {}
    return named | _gid_index(row, stack, backend)


def unknown(
    row: dict[str, Any], stack: EngineStack, given: Collection[str], told: looked.Told | None = None,
) -> list[dict[str, str]]:
    """Return what the variables do not tell: of a host that nobody has looked at, or that even a look did not answer.

    :param given: arguments and variables that an operator has written.
    """
    if told is not None:
        open_rows = [entry for entry in told.unknown if entry["name"] not in given and entry["name"] not in TRAFFIC_CLASSES]
        return [{"name": entry["name"], "why": f"{entry['unknown']}: {entry['why']}"} for entry in open_rows]
    gpus = stack.device in looked.GPUS
    why_devices = "the host's RDMA devices are not known: set sglang_rdma_devices, or sglang_rdma_device_map"
    rows = []
    if not row["sglang_rdma_devices"] and not row["sglang_rdma_device_map"]:
        names = ("--disaggregation-ib-device", "NCCL_IB_HCA") if gpus else ("--disaggregation-ib-device",)
        rows += [{"name": name, "why": why_devices} for name in names if name not in given]
    if row["sglang_gid_index"] < 0:
        why = "the index of the RoCE v2 GID is not known: set sglang_gid_index"
        names = ("NCCL_IB_GID_INDEX", "MC_GID_INDEX") if gpus else ("MC_GID_INDEX",)
        rows += [{"name": name, "why": why} for name in names if name not in given]
    return rows


def operator(layers: list[tuple[str, dict[str, Any]]], findings: Findings) -> dict[str, Given]:
    """Merge layers of an operator's environment, later ones win; null takes an earlier or derived value back."""
    merged: dict[str, Given] = {}
    for variable, given in layers:
        for name, value in given.items():
            where = f"{variable}.{name}"
            if refusals.variable(str(name), value, where, findings):
                continue
            if not NAME.match(str(name)):
                findings.add("environment.name", where, "is not the name of an environment variable", "use letters, digits and _")
            elif (name in TYPED and value is not None) or str(name).startswith("RAILYARD_"):
                findings.add("environment.typed", where, "is decided by the plan", f"set {TYPED.get(name, 'nothing')} instead")
            elif isinstance(value, bool):
                findings.add(
                    "environment.value", where, f"{value} is a boolean, which programs read in many ways",
                    "quote what is meant: \"1\", \"true\", ...",
                )
            elif isinstance(value, (dict, list)) and not files.is_reference(value):
                findings.add(
                    "environment.value", where, f"{value!r} is not a text",
                    "write one text, or {file: NAME} of the files",
                )
            elif isinstance(value, str) and ("\n" in value or "\0" in value):
                findings.add("environment.value", where, "holds a line break", "an environment file has one line per variable")
            else:
                if name in files.PATH_VARIABLES and files.is_path(value):
                    findings.add(
                        "environment.bare-path", where, f"{value!r} names a file that the plan does not know",
                        "put the file into sglang_files and write {file: NAME}: all ranks then hold the same bytes",
                    )
                merged[str(name)] = Given(value, where)
    return merged
