# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator may write: the variables of an inventory as tables of keys, and a finding for everything else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings

NOT_GIVEN: Any = object()
# The field of this name hides it in the class.
Type = type


@dataclass(frozen=True)
class Key:
    """One key of a variable: its type, its default (none: it must be given) and its legal values.

    :ivar item: type of the items of a list.
    """

    type: type
    default: Any = NOT_GIVEN
    choices: tuple[Any, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    pattern: str = ""
    item: Type | None = None


HIGHEST_PORT = 65535
# More than any cluster has: what lies above is a slip, such as MiB for GiB, and would make the lists of ranks and GPUs endless.
LARGEST_SIZE = 4096
MOST_GPUS = 64
LARGEST_GPU_GIB = 1024
HIGHEST_GID = 255
HIGHEST_TRAFFIC_CLASS = 255
# No part of a path leads out of the one before it.
INSIDE = r"(?!.*/\.\.(/|$))"
# As Linux names interfaces: at most 15 characters.
INTERFACE = r"|[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,14}"
# Compute capability (sm90, 9.0, 90), AMD's gfx, or a model of Ascend.
ARCH = r"|([sS][mM][ _]?)?[0-9]{1,3}(\.[0-9])?[a-f]?|gfx[0-9a-f]+|[aA]scend[A-Za-z0-9_-]*"
MODES = ("prefill", "decode", "plain")
LAUNCH = {"args": Key(dict, {}), "env": Key(dict, {}), "files": Key(dict, {})}

CLUSTER = {
    "sglang_cluster": Key(str, "cluster", pattern=r"[A-Za-z0-9][A-Za-z0-9._-]*"),
    "sglang_root": Key(str, "/opt/sglang", pattern=INSIDE + r"/[A-Za-z0-9._/-]+"),
    "sglang_stack": Key(str),
    # Empty: that of the engine's time.
    "sglang_router_stack": Key(str, ""),
    "sglang_model": Key(dict),
    "sglang_transfer_backend": Key(str, "mooncake"),
    "sglang_fabric_network": Key(str, ""),
    "sglang_cpu_cores": Key(int, 1, minimum=1, maximum=LARGEST_SIZE),
    "sglang_args": Key(dict, {}),
    "sglang_env": Key(dict, {}),
    "sglang_files": Key(dict, {}),
    "sglang_pools": Key(dict),
    "sglang_router": Key(dict, {}),
    "sglang_rails_routed": Key(bool, False),
    # Unset: as the device of the stack has it.
    "sglang_rdma": Key(bool, None),
    "sglang_rdma_cross_rail": Key(bool, None),
    "sglang_rdma_traffic_class": Key(int, -1, minimum=0, maximum=HIGHEST_TRAFFIC_CLASS),
    # How the role cuda gets nvcc to hosts that lack it.
    "sglang_cuda_install": Key(str, "no", ("no", "packages", "archives")),
    "sglang_deepep_gdrcopy": Key(bool, False),
    # An environment of stack_external that has DeepEP.
    "sglang_deepep_own": Key(bool, False),
    "sglang_waive": Key(dict, {}),
}
MODEL = {
    "path": Key(str, pattern=INSIDE + r"/\S+"),
    "name": Key(str, pattern=r"\S(.*\S)?"),
    "source": Key(str, "path", ("path", "tiny")),
    "checksum": Key(str, ""),
    "config": Key(str, ""),
}
# Highest rendezvous port: DP attention needs 13 more above it (sglang 0.5.8 DP_ATTENTION_HANDSHAKE_PORT_DELTA).
HIGHEST_DIST_INIT = 65486
PARALLEL = {
    "tp": Key(int, minimum=1, maximum=LARGEST_SIZE),
    "dp": Key(int, 1, minimum=1, maximum=LARGEST_SIZE),
    "pp": Key(int, 1, minimum=1, maximum=LARGEST_SIZE),
    "ep": Key(int, 1, minimum=1, maximum=LARGEST_SIZE),
    "dp_attention": Key(bool, False),
}
POOL = {
    "mode": Key(str, "", ("", "prefill", "decode", "plain")),
    "group": Key(str),
    "nodes_per_instance": Key(int, 1, minimum=1, maximum=LARGEST_SIZE),
    "port": Key(int, minimum=1, maximum=HIGHEST_PORT),
    "bootstrap_port": Key(int, 8998, minimum=1, maximum=HIGHEST_PORT),
    "dist_init_port": Key(int, 5000, minimum=1, maximum=HIGHEST_DIST_INIT),
    "instances": Key(list, []),
    **PARALLEL,
    **LAUNCH,
}
# What an instance does not say is its pool's.
INSTANCE = {
    "name": Key(str),
    "hosts": Key(list, item=str),
    "port": Key(int, 0, minimum=0, maximum=HIGHEST_PORT),
    "bootstrap_port": Key(int, 0, minimum=0, maximum=HIGHEST_PORT),
    "dist_init_port": Key(int, 0, minimum=0, maximum=HIGHEST_DIST_INIT),
    "first_gpu": Key(int, -1, minimum=0, maximum=MOST_GPUS - 1),
    **{name: Key(key.type, -1 if key.type is int else None, minimum=key.minimum, maximum=key.maximum) for name, key in PARALLEL.items()},
    **LAUNCH,
}
ROUTER = {
    "group": Key(str, "router"),
    "port": Key(int, 8000, minimum=1, maximum=HIGHEST_PORT),
    "metrics_port": Key(int, 29000, minimum=1, maximum=HIGHEST_PORT),
    "workers": Key(list, []),
    **LAUNCH,
}
WORKER = {
    "url": Key(str, pattern=r"https?://\S+"),
    "role": Key(str, choices=("prefill", "decode", "plain")),
    "bootstrap_port": Key(int, 0, minimum=0, maximum=HIGHEST_PORT),
}
GPU = {
    "count": Key(int, 0, minimum=0, maximum=MOST_GPUS),
    "memory_gib": Key(int, 0, minimum=0, maximum=LARGEST_GPU_GIB),
    "arch": Key(str, "", pattern=ARCH),
}
HOST = {
    "sglang_fabric_address": Key(str, ""),
    "sglang_fabric_interface": Key(str, "", pattern=INTERFACE),
    "sglang_management_address": Key(str, ""),
    "sglang_host_args": Key(dict, {}),
    "sglang_host_env": Key(dict, {}),
    "sglang_bind_address": Key(str, ""),
    "sglang_kv_address": Key(str, ""),
    "sglang_dist_init_address": Key(str, ""),
    "sglang_gpu": Key(dict, {}),
    "sglang_cuda_home": Key(str, "", pattern=INSIDE + r"/[A-Za-z0-9._/-]+"),
    "sglang_rdma_devices": Key(list, []),
    "sglang_rdma_device_map": Key(dict, {}),
    "sglang_rail_addresses": Key(dict, {}),
    # How far the NICs are from the GPUs, as nvidia-smi topo -m says it.
    "sglang_gpu_nic_path": Key(str, "", ("", "PIX", "PXB", "PHB", "NODE", "SYS")),
    "sglang_gid_index": Key(int, -1, minimum=0, maximum=HIGHEST_GID),
    # What is known of the data devices beforehand; see module rdma_facts.
    "sglang_rdma_exclude": Key(list, [], item=str),
    "sglang_rdma_link_layer": Key(str, "auto", ("auto", "InfiniBand", "Ethernet")),
    "sglang_rdma_min_rate_gbps": Key(float, None),
    "sglang_rdma_expected_devices": Key(int, None, minimum=0, maximum=LARGEST_SIZE),
    "sglang_rdma_expected_rate_gbps": Key(float, None),
    "sglang_rdma_address_range": Key(str, ""),
}
ADDRESSES = (
    "sglang_fabric_address", "sglang_management_address", "sglang_bind_address", "sglang_kv_address", "sglang_dist_init_address",
    "ansible_host",
)


def _type_name(kind: type) -> str:
    return {
        dict: "a map", list: "a list", int: "a whole number", float: "a number", str: "a text", bool: "true or false",
    }[kind]


def _wanted(key: Key) -> str:
    """Return what may be written, in words."""
    low = f" from {key.minimum}" if key.minimum is not None else ""
    high = f" up to {key.maximum}" if key.maximum is not None else ""
    return _type_name(key.type) + low + high + (" of that form" if key.pattern else "")


def _value_problem(key: Key, value: Any) -> str:
    if key.type is dict:
        good = isinstance(value, Mapping)
    elif key.type is int:
        good = isinstance(value, int) and not isinstance(value, bool)
    elif key.type is float:
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
    elif key.type is list:
        good = isinstance(value, (list, tuple))
    else:
        good = isinstance(value, key.type)
    if not good:
        return f"{value!r} is not {_type_name(key.type)}"
    if key.choices and value not in key.choices:
        return f"{value!r} is not one of {', '.join(map(str, key.choices))}"
    if key.pattern and not re.fullmatch(key.pattern, value):
        return f"{value!r} does not match {key.pattern}"
    if key.minimum is not None and value < key.minimum:
        return f"{value} is below {key.minimum}"
    if key.maximum is not None and value > key.maximum:
        return f"{value} is above {key.maximum}"
    return ""


def _check_items(kind: type, items: Sequence[Any], variable: str, findings: Findings, host: str) -> None:
    for index, item in enumerate(items):
        if not isinstance(item, kind):
            fix = f"write {_type_name(kind)}" + (", in quotes" if kind is str else "")
            findings.add("input.type", f"{variable}[{index}]", f"{item!r} is not {_type_name(kind)}", fix, host)


def read_map(
    given: Mapping[str, Any], keys: Mapping[str, Key], variable: str, findings: Findings, host: str = "",
) -> dict[str, Any]:
    """Return the typed values of a map, defaults filled in; a bad value is reported and replaced by its default."""
    prefix = variable + "." if variable else ""
    if variable:
        for name in given:
            if name not in keys:
                findings.add(
                    "input.unknown-key", prefix + str(name), "is not a key of this variable",
                    "the keys are " + ", ".join(sorted(keys)), host,
                )
    values: dict[str, Any] = {}
    for name, key in keys.items():
        value = given.get(name)
        if value is None:
            if key.default is NOT_GIVEN:
                findings.add("input.missing", prefix + name, "is not set", f"set it to {_type_name(key.type)}", host)
            value = key.type() if key.default is NOT_GIVEN else key.default
        else:
            problem = _value_problem(key, value)
            if problem:
                findings.add("input.type", prefix + name, problem, f"write {_wanted(key)}", host)
                value = key.type() if key.default is NOT_GIVEN else key.default
            if key.item:
                _check_items(key.item, value, prefix + name, findings, host)
        values[name] = dict(value) if key.type is dict else list(value) if key.type is list and value is not None else value
    return values
