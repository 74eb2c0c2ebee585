# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment of engines and router."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import environment as launch_environment
from ansible_collections.railyard.sglang.tests.unit.support.clusters import GONE, cluster, gpu_cluster

ENGINE = {
    "GLOO_SOCKET_IFNAME": "fab0",
    "HF_HUB_OFFLINE": "1",
    "HOME": "/var/lib/sglang",
    "MC_FORCE_TCP": "1",
    "OMP_NUM_THREADS": "1",
    "PATH": "/opt/sglang/sglang-0.5.8-cpu/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONNOUSERSITE": "1",
    "PYTHONUNBUFFERED": "1",
    "SGLANG_CPU_OMP_THREADS_BIND": "0|1",
    "SGLANG_HOST_IP": "203.0.113.10",
    "SGLANG_USE_CPU_ENGINE": "1",
    "TORCHDYNAMO_DISABLE": "1",
    "XDG_CACHE_HOME": "/var/cache/sglang",
}


def environment(changes: dict[str, Any], host: str = "p0") -> dict[str, str]:
    return cluster().change(changes).plan()["hosts"][host]["ranks"][0]["environment"]


def test_of_an_engine() -> None:
    assert environment({}) == ENGINE


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"sglang_env": {"A": "x y"}}, {"A": "x y"}),
        ({"sglang_env": {"A": 1, "B": 1.5, "C": ""}}, {"A": "1", "B": "1.5", "C": ""}),
        ({"sglang_env": {"OMP_NUM_THREADS": 4}}, {"OMP_NUM_THREADS": "4"}),
        ({"sglang_env": {"MC_FORCE_TCP": None}}, {"MC_FORCE_TCP": None}),
        ({"sglang_env": {"A": "1"}, "sglang_pools.prefill.env": {"A": "2"}}, {"A": "2"}),
        ({"sglang_env": {"A": "1"}, "sglang_pools.prefill.env": {"A": None}}, {}),
        ({"sglang_env": {"A": "1"}, "p0:sglang_host_env": {"A": "3"}}, {"A": "3"}),
        ({"sglang_pools.decode.env": {"A": "1"}, "p1:sglang_host_env": {"B": "1"}}, {}),
        ({"sglang_env": {"A": {"file": "x"}}, "sglang_files": {"x": {"content": ""}}}, {"A": "/etc/sglang/prefill-0/x"}),
        ({"sglang_cpu_cores": 1}, {"SGLANG_CPU_OMP_THREADS_BIND": "0|0"}),
        ({"sglang_pools.prefill.tp": 4}, {"SGLANG_CPU_OMP_THREADS_BIND": "0|1|0|1"}),
    ],
)
def test_a_change_shows(changes: dict[str, Any], difference: dict[str, str | None]) -> None:
    wanted = {name: value for name, value in {**ENGINE, **difference}.items() if value is not None}
    assert environment(changes) == wanted


def test_one_host_needs_no_interface() -> None:
    plan = cluster(1, 1, 1, 1).change({"sglang_fabric_interface": GONE}).plan()
    found = plan["hosts"]["p0"]["ranks"][0]["environment"]
    assert "GLOO_SOCKET_IFNAME" not in found
    assert "SGLANG_CPU_OMP_THREADS_BIND" not in found


@pytest.mark.parametrize(("given", "wanted"), [({}, {}), ({"A": 1}, {"A": "1"}), ({"PYTHONUNBUFFERED": None}, {"PYTHONUNBUFFERED": None})])
def test_of_the_router(given: dict[str, Any], wanted: dict[str, str | None]) -> None:
    common = {
        "PATH": "/opt/sglang/sglang-router-0.3.2/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    found = cluster().change({"sglang_router.env": given}).plan()["routers"][0]["environment"]
    assert found == {name: value for name, value in {**common, **wanted}.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "transports", "devices"),
    [
        ({"sglang_transfer_backend": "nixl"}, "tcp", "fab0"),
        ({"sglang_transfer_backend": "nixl", "sglang_env": {"UCX_TLS": "tcp,self"}}, "tcp,self", "fab0"),
        ({"sglang_transfer_backend": "mooncake"}, None, None),
    ],
)
def test_without_rdma_nixl_keeps_to_tcp(changes: dict[str, Any], transports: str | None, devices: str | None) -> None:
    found = environment(changes)
    assert (found.get("UCX_TLS"), found.get("UCX_NET_DEVICES")) == (transports, devices)
    # A bridge would be left out, and IPv4 is what UCX takes by itself.
    assert (found.get("UCX_TCP_BRIDGE_ENABLE"), found.get("UCX_TCP_AF_PRIO")) == ("y" if devices else None, None)


@pytest.mark.parametrize(("address", "families"), [("203.0.113.10", None), ("2001:db8::10", "inet6,inet")])
def test_without_rdma_nixl_takes_the_family_of_the_fabric(address: str, families: str | None) -> None:
    row = {"sglang_fabric_interface": "", "sglang_fabric_address": address}
    found = {name: value for name, (value, _why) in launch_environment._ucx_over_tcp(row, "").items()}
    assert found == {"UCX_TLS": "tcp", **({"UCX_TCP_AF_PRIO": families} if families else {})}


@pytest.mark.parametrize(("backend", "transports"), [("nixl", "tcp,cuda_copy,cuda_ipc"), ("mooncake", None)])
def test_without_rdma_nixl_brings_the_memory_of_gpus_to_tcp(backend: str, transports: str | None) -> None:
    changes = {"sglang_transfer_backend": backend, "sglang_rdma": False}
    found = gpu_cluster().change(changes).plan()["hosts"]["p0"]["ranks"][0]["environment"]
    assert found.get("UCX_TLS") == transports
    assert ("MC_FORCE_TCP" in found) == (backend == "mooncake")


@pytest.mark.parametrize(
    ("changes", "devices", "argument"),
    [
        ({}, "mlx5_0:1,mlx5_3:1,fab0", False),
        ({"sglang_rdma_devices": [], "sglang_rdma_device_map": {"0": "mlx5_0,mlx5_1", "1": "mlx5_0"}}, "mlx5_0:1,mlx5_1:1,fab0", False),
        ({"sglang_env.UCX_NET_DEVICES": "mlx5_3:1,fab0"}, "mlx5_3:1,fab0", False),
        ({"sglang_rdma_devices": []}, None, False),
        ({"sglang_stack": "sglang-0.5.23-cu13", "sglang_router_stack": "smg-1.13.0"}, None, True),
        ({"sglang_transfer_backend": "mooncake"}, None, True),
    ],
)
def test_devices_of_nixl(changes: dict[str, Any], devices: str | None, argument: bool) -> None:
    base = {"sglang_transfer_backend": "nixl", "sglang_rdma_devices": ["mlx5_0", "mlx5_3"]}
    rank = gpu_cluster().change({**base, **changes}).plan()["hosts"]["p0"]["ranks"][0]
    assert rank["environment"].get("UCX_NET_DEVICES") == devices
    assert ("disaggregation-ib-device" in rank["arguments"] or "--disaggregation-ib-device" in rank["argv"]) == argument


def test_a_map_of_lists_names_each_device_once() -> None:
    changes = {"sglang_rdma_devices": [], "sglang_rdma_device_map": {str(gpu): f"mlx5_{gpu // 4},mlx5_{gpu // 4 + 2}" for gpu in range(8)}}
    rank = gpu_cluster().change(changes).plan()["hosts"]["p0"]["ranks"][0]
    assert rank["environment"]["NCCL_IB_HCA"] == "=mlx5_0,mlx5_2,mlx5_1,mlx5_3"
