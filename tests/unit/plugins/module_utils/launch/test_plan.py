# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan says of every process of the lab's shape."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support.clusters import GONE, cluster, options

RANKS = [("prefill", 0), ("prefill", 1), ("decode", 0), ("decode", 1)]
HOST = {("prefill", 0): "p0", ("prefill", 1): "p1", ("decode", 0): "d0", ("decode", 1): "d1"}
ADDRESS = {"p0": "203.0.113.10", "p1": "203.0.113.11", "d0": "203.0.113.110", "d1": "203.0.113.111"}
PORT = {"prefill": "30000", "decode": "30001"}


@pytest.fixture(name="plan", scope="module")
def planned() -> dict[str, Any]:
    return cluster().plan()


def rank_of(plan: dict[str, Any], pool: str, number: int) -> dict[str, Any]:
    (instance,) = [row for row in plan["instances"] if row["pool"] == pool]
    return instance["ranks"][number]


@pytest.mark.parametrize(("pool", "number"), RANKS)
def test_command_line(plan: dict[str, Any], pool: str, number: int) -> None:
    rank = rank_of(plan, pool, number)
    host = HOST[pool, number]
    assert rank["argv"][:2] == ["-m", "sglang.launch_server"]
    assert options(rank["argv"][2:]) == {
        "--config": [f"/etc/sglang/{pool}-0/arguments.yaml"],
        "--model-path": ["/opt/models/tiny"],
        "--served-model-name": ["tiny"],
        "--disaggregation-mode": [pool],
        "--disaggregation-bootstrap-port": ["8998"],
        "--host": [ADDRESS[host]],
        "--port": [PORT[pool]],
        "--tensor-parallel-size": ["2"],
        "--nnodes": ["2"],
        "--node-rank": [str(number)],
        "--dist-init-addr": [ADDRESS[HOST[pool, 0]] + ":5000"],
        "--uvicorn-access-log-exclude-prefixes": ["/health", "/metrics"],
    }


@pytest.mark.parametrize(("pool", "number"), RANKS)
def test_argument_file(plan: dict[str, Any], pool: str, number: int) -> None:
    assert rank_of(plan, pool, number)["arguments"] == {
        "attention-backend": "torch_native",
        "device": "cpu",
        "disable-cuda-graph": True,
        "disable-overlap-schedule": True,
        "disaggregation-transfer-backend": "mooncake",
        "grammar-backend": "none",
        "max-total-tokens": 4096,
        "mem-fraction-static": 0.1,
        "sampling-backend": "pytorch",
        "skip-server-warmup": True,
        "sleep-on-idle": True,
    }


@pytest.mark.parametrize(("pool", "number"), RANKS)
def test_one_address_per_rank(plan: dict[str, Any], pool: str, number: int) -> None:
    rank, head = rank_of(plan, pool, number), rank_of(plan, pool, 0)
    given = options(rank["argv"][2:])
    assert given["--host"] == [rank["address"]] == [rank["environment"]["SGLANG_HOST_IP"]]
    assert rank["health_url"] == f"http://{rank['address']}:{PORT[pool]}/health"
    assert given["--dist-init-addr"][0].split(":")[0] == options(head["argv"][2:])["--host"][0]
    if pool == "prefill":
        rows = [{"engine_rank": number, "dp_group": 0, "pp_rank": 0}]
        assert rank["registration"] == {"url": f"http://{head['address']}:8998", "address": rank["address"], "engine_ranks": rows}
    else:
        assert rank["registration"] is None


@pytest.mark.parametrize(("pool", "number"), RANKS)
def test_where_ranks_meet(plan: dict[str, Any], pool: str, number: int) -> None:
    rank, other = rank_of(plan, pool, number), rank_of(plan, pool, 1 - number)
    known = (other["address"], other["address"].replace("203.0.113.", "198.51.100."))
    peers = [{"rank": 1 - number, "host": other["host"], "address": address} for address in known]
    assert rank["meeting"] == {"port": 5000, "peers": peers}


def test_the_router_lists_rank_0_only(plan: dict[str, Any]) -> None:
    (router,) = plan["routers"]
    text = " ".join(router["argv"])
    assert text.endswith("--prefill http://203.0.113.10:30000 8998 --decode http://203.0.113.110:30001")
    assert not [word for word in router["argv"] for host in ("p1", "d1") if f"//{ADDRESS[host]}:" in word]
    assert [(row["role"], row["url"]) for row in router["workers"]] == [
        ("prefill", "http://203.0.113.10:30000"),
        ("decode", "http://203.0.113.110:30001"),
    ]


def test_the_router_binds_its_management_address(plan: dict[str, Any]) -> None:
    (router,) = plan["routers"]
    given = options(router["argv"][2:])
    assert (given["--host"], given["--port"]) == (["198.51.100.210"], ["8000"])
    assert (given["--prometheus-host"], given["--prometheus-port"]) == (["198.51.100.210"], ["29000"])
    assert router["url"] == "http://198.51.100.210:8000"
    own = cluster().change({"r0:sglang_management_address": "192.0.2.9"}).plan()["routers"][0]
    assert own["url"] == "http://192.0.2.9:8000"


@pytest.mark.parametrize(("engine", "router"), [("sglang-0.5.8-cpu", "sglang-router-0.3.2"), ("sglang-0.5.23-cpu", "smg-1.13.0")])
def test_the_router_is_of_the_engines_time(engine: str, router: str) -> None:
    plan = cluster().change({"sglang_stack": engine, "sglang_router_stack": GONE}).plan()
    assert plan["clusters"][0]["stacks"] == {"engine": engine, "router": router}
    assert [row["stack"] for row in plan["routers"]] == [router]
    assert [row["rule"] for row in plan["findings"] if row["rule"] == "routing.version"] == []


def test_the_router_s_defaults_give_way() -> None:
    changes = {"sglang_router.args": {"health-check-timeout-secs": 25, "policy": "round_robin", "health-failure-threshold": None}}
    given = options(cluster().change(changes).plan()["routers"][0]["argv"][2:])
    assert given["--health-check-timeout-secs"] == ["25"]
    assert given["--health-check-interval-secs"] == ["10"]
    assert given["--policy"] == ["round_robin"]
    assert "--health-failure-threshold" not in given


def test_one_host_per_instance_meets_on_loopback() -> None:
    plan = cluster(2, 1, 1, 2).plan()
    for instance in plan["instances"]:
        (rank,) = instance["ranks"]
        given = options(rank["argv"][2:])
        assert not {"--dist-init-addr", "--nnodes", "--node-rank"} & set(given)
        assert given["--nccl-port"] == ["5000"]
        (meeting,) = [row for row in rank["ports"] if row["purpose"] == "rendezvous"]
        assert (meeting["port"], meeting["address"]) == (5000, "127.0.0.1")


def test_two_hosts_meet_at_rank_0(plan: dict[str, Any]) -> None:
    for pool, number in RANKS:
        purposes = {row["purpose"]: row for row in rank_of(plan, pool, number)["ports"]}
        if number:
            assert set(purposes) == {"rank health"}
        else:
            assert purposes["rendezvous"]["address"] == ADDRESS[HOST[pool, 0]]
            assert ("KV bootstrap" in purposes) == (pool == "prefill")


@pytest.mark.parametrize(
    ("prefill", "decode", "hint"),
    [(2, 2, None), (2, 4, ["4"]), (4, 2, ["2"])],
)
def test_prefill_is_told_decode_s_size_when_it_differs(prefill: int, decode: int, hint: list[str] | None) -> None:
    plan = cluster().change({"sglang_pools.prefill.tp": prefill, "sglang_pools.decode.tp": decode}).plan()
    for pool, number in RANKS:
        value = rank_of(plan, pool, number)["arguments"].get("disaggregation-decode-tp")
        assert value == (int(hint[0]) if hint and pool == "prefill" else None)


def test_engine_ranks_are_those_of_the_host() -> None:
    plan = cluster().change({"sglang_pools.prefill.tp": 8}).plan()
    rows = [[row["engine_rank"] for row in rank["registration"]["engine_ranks"]] for rank in plan["instances"][0]["ranks"]]
    assert rows == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_ipv6_is_bracketed_in_urls_and_plain_elsewhere() -> None:
    six = {"p0": "2001:db8::10", "p1": "[2001:DB8::11]", "d0": "2001:db8:0::12", "d1": "2001:db8::13"}
    changes = {f"{host}:sglang_fabric_address": address for host, address in six.items()}
    plan = cluster().change({"sglang_fabric_network": "2001:db8::/64", **changes}).plan()
    first, second = plan["instances"][0]["ranks"]
    given = options(second["argv"][2:])
    assert given["--host"] == ["2001:db8::11"] == [second["environment"]["SGLANG_HOST_IP"]]
    assert given["--dist-init-addr"] == ["[2001:db8::10]:5000"]
    assert first["health_url"] == "http://[2001:db8::10]:30000/health"
    assert second["registration"]["url"] == "http://[2001:db8::10]:8998"
    assert " ".join(plan["routers"][0]["argv"]).endswith("--prefill http://[2001:db8::10]:30000 8998 --decode http://[2001:db8::12]:30001")


def test_it_is_plain_data_and_the_same_every_time(plan: dict[str, Any]) -> None:
    text = json.dumps(plan, sort_keys=True)
    assert json.loads(text) == plan
    assert json.dumps(cluster().plan()) == json.dumps(plan)
    assert plan["schema"] == 2


def test_every_derived_value_has_a_reason(plan: dict[str, Any]) -> None:
    for instance in plan["instances"]:
        for rank in instance["ranks"]:
            names = [word for word in rank["argv"] if word.startswith("--") and word != "--config"]
            names += ["--" + name for name in rank["arguments"]] + list(rank["environment"])
            assert [name for name in names if not rank["reasons"].get(name)] == []
    (router,) = plan["routers"]
    listed = {word for word in router["argv"] if word.startswith("--")} - {"--prefill", "--decode"}
    assert listed <= set(router["reasons"])


def test_an_operator_s_value_wins_over_the_stack_s_and_later_layers_over_earlier() -> None:
    changes = {
        "sglang_args": {"attention-backend": "intel_amx", "decode-log-interval": 1, "sleep-on-idle": False, "max-total-tokens": None},
        "sglang_pools.decode.args": {"decode_log_interval": 2},
        "d1:sglang_host_args": {"--decode-log-interval": 4, "grammar-backend": None},
        "sglang_waive": {"parity.ranks": "layers are the matter of this test"},
    }
    plan = cluster().change(changes).plan()
    sizes = {host: plan["hosts"][host]["ranks"][0]["arguments"]["decode-log-interval"] for host in ("p0", "p1", "d0", "d1")}
    assert sizes == {"p0": 1, "p1": 1, "d0": 2, "d1": 4}
    rank = plan["hosts"]["d1"]["ranks"][0]
    assert rank["arguments"]["attention-backend"] == "intel_amx"
    assert not {"sleep-on-idle", "max-total-tokens", "grammar-backend"} & set(rank["arguments"])
    assert rank["reasons"]["--attention-backend"] == "written in sglang_args.attention-backend"


def test_null_takes_a_derived_argument_back() -> None:
    changes = {"sglang_pools.decode.tp": 4, "sglang_args.disaggregation-decode-tp": None}
    assert "disaggregation-decode-tp" not in cluster().change(changes).plan()["instances"][0]["ranks"][0]["arguments"]


def test_a_host_s_slice_holds_what_its_roles_read(plan: dict[str, Any]) -> None:
    assert list(plan["hosts"]) == ["p0", "p1", "d0", "d1", "r0"]
    engine, router = plan["hosts"]["p1"], plan["hosts"]["r0"]
    assert (engine["router"], router["ranks"], router["model"]) == (None, [], None)
    assert engine["model"] == {"path": "/opt/models/tiny", "name": "tiny", "source": "tiny", "checksum": ""}
    assert engine["stacks"] == ["sglang-0.5.8-cpu"]
    assert router["stacks"] == ["sglang-router-0.3.2"]
    assert engine["store_stacks"] == router["store_stacks"] == ["sglang-0.5.8-cpu", "sglang-router-0.3.2"]
    assert plan["clusters"][0]["pools"] == {"prefill": ["prefill-0"], "decode": ["decode-0"]}


def test_the_cluster_s_name_has_a_default() -> None:
    assert cluster().change({"sglang_cluster": GONE}).plan()["clusters"][0]["name"] == "cluster"


# Each change and the instances that must restart on all their ranks, none of the others.
BOTH, PREFILL, DECODE, NEITHER = {"prefill-0", "decode-0"}, {"prefill-0"}, {"decode-0"}, set[str]()


@pytest.mark.parametrize(
    ("changes", "restarting", "router"),
    [
        ({"sglang_args.page-size": 16}, BOTH, False),
        ({"sglang_pools.prefill.args": {"decode-log-interval": 16}}, PREFILL, False),
        ({"sglang_pools.decode.env": {"A": "1"}}, DECODE, False),
        ({"d1:sglang_host_env": {"A": "1"}}, DECODE, False),
        ({"p1:sglang_fabric_address": "203.0.113.99"}, PREFILL, False),
        ({"p0:sglang_fabric_address": "203.0.113.99"}, PREFILL, True),
        ({"sglang_pools.decode.port": 30002}, DECODE, True),
        ({"sglang_pools.prefill.files": {"x": {"content": "1"}}}, PREFILL, False),
        ({"sglang_router.args": {"policy": "random"}}, NEITHER, True),
        ({"sglang_router.env": {"A": "1"}}, NEITHER, True),
        ({"@prefill": ["p1", "p0"]}, PREFILL, True),
        ({"sglang_cluster": "other"}, NEITHER, False),
    ],
)
def test_a_change_reaches_all_ranks_of_its_instance_and_no_other(
    plan: dict[str, Any], changes: dict[str, Any], restarting: set[str], router: bool
) -> None:
    after = cluster().change(changes).plan()
    before = {row["name"]: row["digest"] for row in plan["instances"]}
    assert {row["name"] for row in after["instances"] if row["digest"] != before[row["name"]]} == restarting
    for row in after["instances"]:
        assert {rank["instance_digest"] for rank in row["ranks"]} == {row["digest"]}
    assert (after["routers"][0]["digest"] != plan["routers"][0]["digest"]) == router


def test_digests_are_short_hexadecimal(plan: dict[str, Any]) -> None:
    assert all(re.fullmatch("[0-9a-f]{16}", row["digest"]) for row in [*plan["instances"], *plan["routers"]])
