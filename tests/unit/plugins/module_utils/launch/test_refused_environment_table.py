# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the table of environment variables says of a plan's processes."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch.variables import Context, judge
from ansible_collections.railyard.sglang.tests.unit.support.clusters import Inventory, Refusal, cluster, gpu_cluster

HCA = "NCCL_IB_HCA"


def written(rule: str, name: str, value: str | None, text: str, fix: str = "", **more: Any) -> Refusal:
    """Return a variable of the cluster that breaks a rule."""
    env = {name: value, **more.get("env", {})}
    return Refusal(
        f"environment.{rule}",
        {"sglang_env": env, **more.get("changes", {})},
        f"sglang_env.{name}",
        text,
        fix,
        severity=more.get("severity", ""),
    )


NVSHMEM = {"sglang_args.moe-a2a-backend": "deepep"}
REFUSALS = {
    "nothing reads it": written("never-read", "SGLANG_HACK_DEEPEP_NUM_SMS", "8", "no version of sglang", "--deepep-config"),
    "nothing here reads it": written("never-read", "UCX_IB_GID_INDEX", "3", "only with nixl", "harmless", severity="note"),
    "overwritten": written("overwritten", "CUDA_DEVICE_MAX_CONNECTIONS", "1", "sglang sets it to 8", "remove it"),
    "renamed": written("renamed", "SGL_CHUNKED_PREFIX_CACHE_THRESHOLD", "0", "rewrites it to SGLANG_", "write SGLANG_"),
    "expandable segments": written(
        "dangerous", "PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True", "registering them for RDMA fails", "leave", severity="error"
    ),
    "a timeout of days": written(
        "dangerous", "SGLANG_DISAGGREGATION_WAITING_TIMEOUT", "100000", "is never given up", "600 is enough", severity="error"
    ),
    "library in front of all": written("dangerous", "LD_PRELOAD", "/x.so", ""),
    "other version": written("version", "SGLANG_DISAGGREGATION_NIXL_BACKEND", "UCX", "0.5.23 does", "use that version"),
    "invented": written(
        "unknown-sglang", "SGLANG_DISAGGREGATION_QUEUE_SIZES", "4", "has no such variable", "SGLANG_DISAGGREGATION_QUEUE_SIZE"
    ),
    "not in the table": written("unknown", "MY_OWN", "1", "not in the table"),
    "value": written("value", "SGLANG_DISAGGREGATION_QUEUE_SIZE", "four", "'four' is not a whole number"),
    "traffic class of NCCL alone": written(
        "traffic-class", "NCCL_IB_TC", "106", "NCCL_IB_TC=106 is set and MC_IB_TC is not", "set MC_IB_TC=106"
    ),
    "two traffic classes": written(
        "traffic-class", "NCCL_IB_TC", "106", "traffic classes differ", "one lossless class", env={"MC_IB_TC": "136"}
    ),
    "service level of NCCL alone, with DeepEP": written(
        "traffic-class", "NCCL_IB_SL", "3", "NVSHMEM_IB_SL is not", "set NVSHMEM_IB_SL=3", changes=NVSHMEM
    ),
    "two GID indexes": written(
        "gid-index", "NCCL_IB_GID_INDEX", "5", "GID indexes differ: NCCL_IB_GID_INDEX=5, MC_GID_INDEX=3", "show_gids"
    ),
    "a GID index that is followed": written(
        "gid-index", "MC_GID_INDEX", None, "Mooncake follows NCCL_IB_GID_INDEX=3", "set both, or neither", severity="note"
    ),
    "HCA by a prefix": written("hca-prefix", HCA, "mlx5_1", "also takes mlx5_10, mlx5_11", "NCCL_IB_HCA==mlx5_1"),
    "HCA by a prefix, devices not known": written(
        "hca-prefix", HCA, "mlx5_0", "the devices of the host are not known", severity="note", changes={"sglang_rdma_devices": []}
    ),
    "Gloo's interface taken back": written("gloo-interface", "GLOO_SOCKET_IFNAME", None, "takes the address of the host name", "set it"),
    "NCCL's interface by a prefix": written("interface-prefix", "NCCL_SOCKET_IFNAME", "fab0", "", "="),
    "lists that exclude each other": written(
        "exclusive",
        "NVSHMEM_HCA_LIST",
        "mlx5_0",
        "exclude each other",
        "keep one",
        changes=NVSHMEM,
        env={"NVSHMEM_HCA_PE_MAPPING": "mlx5_0:1:1", "NVSHMEM_ENABLE_NIC_PE_MAPPING": "1"},
    ),
    "a mapping that deals nothing": written(
        "incomplete",
        "NVSHMEM_HCA_PE_MAPPING",
        "mlx5_0:1:1",
        "deals no devices by it",
        "set NVSHMEM_ENABLE_NIC_PE_MAPPING=1",
        changes=NVSHMEM,
    ),
    "fewer threads than queues": written(
        "threads",
        "SGLANG_DISAGGREGATION_QUEUE_SIZE",
        "8",
        "SGLANG_DISAGGREGATION_THREAD_POOL_SIZE 4: with fewer threads prefill stops",
        env={"SGLANG_DISAGGREGATION_THREAD_POOL_SIZE": "4"},
    ),
    "a proxy": written(
        "proxy", "http_proxy", "http://192.0.2.1:3128", "http_proxy without NO_PROXY", "name the fabric's network in NO_PROXY"
    ),
    "in a pool": Refusal(
        "environment.overwritten",
        {"sglang_pools.decode.env": {"CUDA_DEVICE_MAX_CONNECTIONS": "1"}},
        "sglang_pools.decode.env.CUDA_DEVICE_MAX_CONNECTIONS",
        "sglang sets it to 8",
    ),
    "on a host": Refusal(
        "environment.hca-prefix", {"d1:sglang_host_env": {HCA: "mlx5_1"}}, f"sglang_host_env.{HCA}", "also takes", host="d1"
    ),
    "a host's own": Refusal(
        "environment.dangerous", {"p1:sglang_host_env": {"NCCL_P2P_DISABLE": "1"}}, "sglang_host_env.NCCL_P2P_DISABLE", "", host="p1"
    ),
    "of the router": Refusal("environment.unknown", {"sglang_router.env": {"MY_OWN": "1"}}, "sglang_router.env.MY_OWN", "not in the table"),
    "of engines, at the router": Refusal(
        "environment.never-read",
        {"sglang_router.env": {"NCCL_DEBUG": "INFO"}},
        "sglang_router.env.NCCL_DEBUG",
        "a router does not read it",
        severity="note",
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refused(refusal: Refusal) -> None:
    refusal.check(gpu_cluster())


def environment(inventory: Inventory) -> list[Any]:
    return [found for found in inventory.findings() if found.rule.startswith("environment.")]


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"NCCL_DEBUG": "WARN"},
        {"NCCL_IB_TC": "106", "MC_IB_TC": "106"},
        {"NCCL_IB_GID_INDEX": None, "MC_GID_INDEX": None},
        {HCA: "=mlx5_1"},
        {"NCCL_SOCKET_IFNAME": "=fab0"},
        {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:False"},
        {"SGLANG_HACK_DEEPEP_NUM_SMS": None},
        {"http_proxy": "http://192.0.2.1:3128", "NO_PROXY": "203.0.113.0/24"},
    ],
)
def test_accepted(env: dict[str, Any]) -> None:
    found = environment(gpu_cluster().change({"sglang_env": env}))
    assert [str(row) for row in found if row.severity in ("error", "warning")] == []


@pytest.mark.parametrize(
    ("stack", "env", "rules"),
    [
        # Mooncake 0.3.8 reads no service level, 0.3.12 does.
        ("sglang-0.5.8-cu12", {"NCCL_IB_SL": "5"}, set()),
        ("sglang-0.5.8-cu12", {"NCCL_IB_SL": "5", "MC_IB_SL": "5"}, {"environment.version"}),
        ("sglang-0.5.23-cu13", {"NCCL_IB_SL": "5"}, {"environment.traffic-class"}),
        ("sglang-0.5.23-cu13", {"NCCL_IB_SL": "5", "MC_IB_SL": "5"}, set()),
        # Which one it has is not known.
        ("sglang-0.5.8-cu13", {"NCCL_IB_SL": "5", "MC_IB_SL": "5"}, set()),
    ],
)
def test_the_stack_tells_its_mooncake(stack: str, env: dict[str, str], rules: set[str]) -> None:
    found = environment(gpu_cluster().change({"sglang_stack": stack, "sglang_env": env}))
    assert {row.rule for row in found if row.severity in ("error", "warning")} == rules


def test_an_unknown_variable_has_a_fix() -> None:
    (found,) = environment(gpu_cluster().change({"sglang_env": {"QQ": "1"}}))
    assert (found.rule, found.severity) == ("environment.unknown", "note")
    assert "spelling" in found.fix


def test_a_router_s_own_variables_are_its_own() -> None:
    assert environment(gpu_cluster().change({"sglang_router.env": {"RUST_LOG": "debug", "NCCL_DEBUG": None}})) == []


def test_what_is_written_once_is_reported_once() -> None:
    (found,) = environment(gpu_cluster(4, 4).change({"sglang_env": {"CUDA_DEVICE_MAX_CONNECTIONS": "1"}}))
    assert (found.host, found.place) == ("", "")
    (found,) = environment(
        gpu_cluster(4, 4).change(
            {
                "sglang_pools.decode.instances": [
                    {"name": "a", "hosts": ["d0", "d1"], "env": {"CUDA_DEVICE_MAX_CONNECTIONS": "1"}},
                    {"name": "b", "hosts": ["d2", "d3"]},
                ]
            }
        )
    )
    assert (found.host, found.place) == ("", "a")


def test_what_several_variables_show_is_reported_once_for_each_instance() -> None:
    found = environment(gpu_cluster(4).change({"sglang_env": {"NCCL_IB_TC": "106"}}))
    assert [row.place for row in found] == ["prefill-0", "prefill-1", "decode-0"]


def test_a_waiver_with_a_reason_lets_a_plan_pass() -> None:
    changes = {"sglang_env": {HCA: "mlx5_1"}, "sglang_waive": {"environment.hca-prefix": "all three are rails of one fabric"}}
    found = [row for row in environment(gpu_cluster().change(changes)) if row.rule == "environment.hca-prefix"]
    assert {row.severity for row in found} == {"waived"}
    assert len(gpu_cluster().change(changes).plan()["instances"]) == 2


def test_what_a_plan_derives_is_right_by_its_own_table() -> None:
    for inventory, device in (
        (cluster(), "cpu"),
        (gpu_cluster(), "cuda"),
        (gpu_cluster().change({"sglang_stack": "sglang-0.5.23-rocm"}), "rocm"),
    ):
        plan = inventory.plan()
        engine = plan["clusters"][0]["stacks"]["engine"].split("-")[1]
        seen = Context(engine=engine, device=device, multi_host=True, uses=frozenset({"rdma"} if device != "cpu" else ()))
        ranks = [rank for row in plan["instances"] for rank in row["ranks"]]
        assert len(ranks) == 4
        for rank in ranks:
            verdicts = {name: judge(name, value, seen) for name, value in rank["environment"].items()}
            assert not {name: found for name, found in verdicts.items() if any(row.severity != "note" for row in found)}
