# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The schedule as a whole, and the verdict on what comes of it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest import groups, page, report
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.crossing import crossing
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.judging import Limits, judge
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.schedule import Options, Schedule, make


def port(host: int, rail: int, rate: float = 400.0, true: bool = True) -> dict[str, Any]:
    return {
        "device": f"mlx5_{rail}", "port": 1, "netdev": f"e{rail}", "gid_index": 3, "addresses": [f"198.18.{rail}.{host + 1}/24"],
        "rate": rate, "rate_true": true, "speed": None, "gpus": [rail], "link_layer": "Ethernet", "active_mtu": 4096,
    }


def hosts(count: int = 3, rails: int = 2, **change: Any) -> dict[str, dict[str, Any]]:
    return {
        f"h{host}": {"address": f"203.0.113.{host + 1}", "ports": [port(host, rail, **change) for rail in range(rails)], "left_out": {},
                     "missing": [], "rdma": True, "cluster": "a", "traffic_class": None}
        for host in range(count)
    }


def instance(name: str, *members: str, gpus: int = 2, device: str = "cuda") -> dict[str, Any]:
    return {
        "name": name,
        "ranks": [
            {"host": host, "device": device, "gpus": list(range(gpus)), "address": f"203.0.113.{int(host[1:]) + 1}", "python": "/p",
             "environment": {"SGLANG_HOST_IP": f"203.0.113.{int(host[1:]) + 1}", "NCCL_DEBUG": "WARN"}}
            for host in members
        ],
    }


@pytest.mark.parametrize("count", [2, 3, 12])
def test_no_port_of_a_host_is_used_twice_at_a_time(count: int) -> None:
    found = make(hosts(count, 8), [], Options())
    for number, _row in enumerate(found.rounds):
        ports = Counter(
            (name, test["device"], test["port"]) for name, tests in found.parts.items() for test in tests if test["round"] == number
        )
        assert max(ports.values()) == 1
        servers = Counter(
            (name, test["tcp_port"]) for name, tests in found.parts.items() for test in tests
            if test["round"] == number and test["role"] == "server"
        )
        assert max(servers.values()) == 1
    assert max(test["tcp_port"] for tests in found.parts.values() for test in tests) < 18515 + 8 * 8
    same = [row for row in found.measurements.values() if row["kind"] == "same"]
    assert len(same) == 3 * 8 * count * (count - 1) // 2, "both directions of bandwidth, and latency"


def test_both_ends_are_told_the_same() -> None:
    found = make(hosts(4, 2), [], Options())
    ends: dict[str, list[dict[str, Any]]] = {}
    for tests in found.parts.values():
        for test in tests:
            ends.setdefault(test["id"], []).append(test)
    assert set(ends) == set(found.measurements)
    for name, pair in ends.items():
        assert sorted(test["role"] for test in pair) == ["client", "server"]
        for key in ("round", "kind", "tcp_port", "size", "iterations", "seconds", "queue_pairs", "peer"):
            assert pair[0][key] == pair[1][key]
        assert pair[0]["peer"] == f"203.0.113.{int(found.measurements[name]['server']['host'][1:]) + 1}"


def test_ways_that_are_wanted_of_one_host() -> None:
    found = make(hosts(1, 2), [], Options())
    assert [row["kind"] for row in found.measurements.values()] == ["loopback"] * 4
    assert [test["role"] for test in found.parts["h0"]].count("client") == 4


def test_time_that_does_not_suffice() -> None:
    whole = make(hosts(6, 8), [], Options(max_seconds=60))
    assert whole.estimate > 60
    assert whole.left_out == []
    cut = make(hosts(6, 8), [], Options(max_seconds=60, trim=True))
    assert cut.estimate <= 60
    assert len(cut.measurements) + len(cut.left_out) == len(whole.measurements)
    assert all("fabric_max_seconds is 60" in row["why"] for row in cut.left_out)
    assert {row["kind"] for row in cut.left_out} == {"cross"}, "ways between rails go first"
    for tests in cut.parts.values():
        for test in tests:
            assert test["id"] in cut.rounds[test["round"]]["ids"]
    assert "left out" in " ".join(report.announce(cut))


def test_groups_of_all_reduces() -> None:
    rows = [instance("prefill-0", "h0", "h1"), instance("decode-0", "h2"), instance("npu", "h0", device="ascend")]
    found = make(hosts(3, 1), rows, Options(pairs=False))
    kinds = [(row["scope"], row["instance"], row["hosts"], row["where"]) for row in found.measurements.values()]
    assert kinds == [
        ("host", "prefill-0", ["h0"], ["h0", "h0"]), ("host", "prefill-0", ["h1"], ["h1", "h1"]),
        ("host", "decode-0", ["h2"], ["h2", "h2"]),
        ("instance", "prefill-0", ["h0", "h1"], ["h0", "h0", "h1", "h1"]),
    ]
    assert [len(row["ids"]) for row in found.rounds] == [3, 1], "hosts at the same time, then instances"
    second = next(test for test in found.parts["h1"] if test["id"] == "a3")
    assert second["order"]["ranks"] == [{"rank": 2, "gpu": 0}, {"rank": 3, "gpu": 1}]
    assert (second["order"]["world"], second["order"]["backend"], second["order"]["address"]) == (4, "nccl", "203.0.113.1")
    assert second["environment"]["NCCL_DEBUG"] == "WARN"
    assert "npu" in " ".join(found.notes)


def test_instance_whose_host_takes_no_part() -> None:
    found = make(hosts(1, 1), [instance("prefill-0", "h0", "h9", gpus=1, device="cpu")], Options(pairs=False))
    assert found.measurements == {}
    assert found.notes == ["prefill-0: no all-reduce over its hosts, since h9 take no part in this run"]


def good(schedule: Schedule, gbps: float = 380.0, latency: float = 2.5) -> dict[str, list[dict[str, Any]]]:
    """Return records of hosts on which all is well."""
    records: dict[str, list[dict[str, Any]]] = {}
    for host, tests in schedule.parts.items():
        for test in tests:
            row: dict[str, Any] = {"id": test["id"], "role": test["role"], "state": "ok", "code": "", "said": [], "seconds": 2.0}
            if test["kind"] == "allreduce":
                row["rows"] = [{"bytes": 1 << 20, "seconds": 0.01, "busbw_gbps": 90.0, "right": True}]
            else:
                figure = {"gbps": gbps} if test["kind"].endswith("bw") else {"latency_us": latency, "latency_p99_us": latency}
                row |= {**figure, "mtu": 4096, "errors": {}, "carried": {"counter": "c", "grown": 1, "enough": True}}
            records.setdefault(host, []).append(row)
    return records


def change(records: dict[str, list[dict[str, Any]]], name: str, role: str, **values: Any) -> None:
    row = next(row for rows in records.values() for row in rows if (row["id"], row["role"]) == (name, role))
    row.update(values)


def verdict(schedule: Schedule, records: dict[str, list[dict[str, Any]]], **limits: Any) -> dict[str, dict[str, Any]]:
    found = judge(schedule.measurements, schedule.rails.missing, records, Limits(**limits))
    return {row["id"]: row for row in found}


def test_all_is_well() -> None:
    schedule = make(hosts(3, 2), [instance("i", "h0", "h1")], Options())
    assert {row["state"] for row in verdict(schedule, good(schedule)).values()} == {"ok"}


def test_thresholds() -> None:
    schedule = make(hosts(2, 1), [], Options(cross_rails="none"))
    slow = verdict(schedule, good(schedule, gbps=300.0))
    assert {row["state"] for row in slow.values() if row["test"] == "write_bw"} == {"slow"}
    assert slow["m0"]["reason"] == "300.0 Gb/s, less than 360.0 Gb/s"
    assert slow["m0"]["signature"] == "D33"
    assert {row["state"] for row in verdict(schedule, good(schedule, gbps=300.0), min_gbps=250).values()} == {"ok"}
    late = verdict(schedule, good(schedule, latency=12.0))
    assert [row["state"] for row in late.values()] == ["ok", "ok", "slow"]
    assert {row["state"] for row in verdict(schedule, good(schedule, latency=12.0), max_latency_us=20).values()} == {"ok"}
    soft = make(hosts(2, 1, rate=2.5, true=False), [], Options())
    assert {row["state"] for row in verdict(soft, good(soft, gbps=0.1, latency=28000)).values()} == {"ok"}, "a rate that is not true"


def test_a_way_far_below_its_rail_is_marked() -> None:
    schedule = make(hosts(4, 1, true=False), [], Options())
    records = good(schedule)
    change(records, "m0", "client", gbps=200.0)
    found = verdict(schedule, records)
    assert [row["id"] for row in found.values() if row["state"] == "slow"] == ["m0"]
    assert "380.0 Gb/s of its rail" in found["m0"]["reason"]


@pytest.mark.parametrize(
    ("client", "server", "state", "words", "signature"),
    [
        ({"code": "connect"}, {"code": "no-peer"}, "failed", "h0: its peer could not be reached over TCP", ""),
        ({"code": "connect"}, {"code": "port-down"}, "failed", "h1: the port is down", ""),
        ({"code": "memory", "limit": "64K"}, {"code": "peer-left"}, "failed", "h0: memory could not be registered with LimitMEMLOCK=64K",
         "D30"),
        ({"code": "no-data"}, {"code": "no-data"}, "failed", "no data came by RDMA", "D15"),
        ({"code": "no-data"}, {"code": "completion"}, "failed", "h1: the transfer broke off", "D15"),
        ({"code": "connect"}, {"code": "no-perftest", "state": "not measured"}, "not measured", "h1: perftest is not installed", ""),
        ({"code": "gid"}, {"code": "peer-left"}, "failed", "GID index", "D14"),
    ],
)
def test_the_end_that_knows_more_speaks(
    client: dict[str, Any], server: dict[str, Any], state: str, words: str, signature: str,
) -> None:
    schedule = make(hosts(2, 1), [], Options())
    records = good(schedule)
    change(records, "m0", "client", **{"state": "failed", "gbps": None, **client})
    change(records, "m0", "server", **{"state": "failed", **server})
    found = verdict(schedule, records)["m0"]
    assert (found["state"], found["signature"]) == (state, signature)
    assert words in found["reason"]
    assert found["fix"]


def test_a_host_that_does_not_report() -> None:
    schedule = make(hosts(3, 1), [], Options())
    records = good(schedule)
    del records["h2"]
    for rows in records.values():
        for row in rows:
            ends = schedule.measurements[row["id"]]
            if "h2" in (ends["client"]["host"], ends["server"]["host"]):
                row.update(state="failed", code="no-peer")
    found = verdict(schedule, records)
    for row in found.values():
        away = "h2" in (row["client"]["host"], row["server"]["host"])
        assert (row["state"] == "failed") == away
        assert not away or row["reason"]


def test_rail_without_a_port_of_a_host_is_a_failure_of_exactly_that() -> None:
    given = hosts(2, 3)
    del given["h0"]["ports"][1]
    given["h0"]["left_out"] = {"mlx5_1:1": "DOWN, not ACTIVE"}
    schedule = make(given, [], Options(cross_rails="none"))
    found = verdict(schedule, good(schedule))
    bad = [row for row in found.values() if row["state"] != "ok"]
    assert [row["reason"] for row in bad] == ["h0 has no data port on rail 1: mlx5_1:1 is DOWN, not ACTIVE"]
    assert {row["client"]["rail"] for row in found.values() if row["kind"] == "same"} == {0, 2}


def test_rails_that_do_not_reach_each_other_are_no_failure() -> None:
    schedule = make(hosts(2, 3), [], Options())
    records = good(schedule)
    for row in schedule.measurements.values():
        if row["kind"] == "cross":
            change(records, row["id"], "client", state="failed", code="no-data", gbps=None)
    document = report.document(schedule, told(schedule), records, Limits(), 10)
    assert document["cross_rail_reachable"] is False
    assert "sglang_rdma_cross_rail: false" in document["cross_rail"]
    assert report.failures(document, True) == []
    change(records, "m6" if schedule.measurements["m6"]["kind"] == "cross" else "m9", "client", state="ok", code="", gbps=10.0)
    assert crossing(judge(schedule.measurements, [], records, Limits()))[0] is None
    assert crossing(judge(schedule.measurements, [], good(schedule), Limits()))[0] is True


@pytest.mark.parametrize(
    ("first", "second", "words", "culprits"),
    [
        ({"code": "reduce", "missing": [2]}, None, "h0: the all-reduce broke off; silent: h1", ["h1"]),
        ({"code": "missing", "missing": [2, 3]}, {"code": "no-stack", "state": "not measured"}, "h0: ranks did not come", ["h1"]),
        ({"code": "store", "missing": [0]}, {"code": "store", "missing": [0]}, "h1: the rendezvous at 203.0.113.1 could not", ["h0"]),
        ({"code": "wrong-sum", "missing": []}, {"code": "wrong-sum", "missing": []}, "the sums were WRONG", []),
    ],
)
def test_all_reduces_name_the_host_that_is_silent(
    first: dict[str, Any], second: dict[str, Any] | None, words: str, culprits: list[str],
) -> None:
    schedule = make(hosts(2, 1), [instance("i", "h0", "h1")], Options(pairs=False))
    records = good(schedule)
    change(records, "a2", "member", **{"state": "failed", "rows": [], **first})
    rows = [row for row in records["h1"] if row["id"] != "a2"]
    records["h1"] = rows + ([{"id": "a2", "role": "member", "state": "failed", "said": [], **second}] if second else [])
    found = verdict(schedule, records)["a2"]
    assert (found["state"], found["culprits"]) == ("failed", culprits)
    assert words in found["reason"]


def test_bus_bandwidth() -> None:
    schedule = make(hosts(2, 1), [instance("i", "h0", "h1")], Options(pairs=False))
    assert {row["state"] for row in verdict(schedule, good(schedule), min_busbw_gbps=80).values()} == {"ok"}
    assert {row["state"] for row in verdict(schedule, good(schedule), min_busbw_gbps=100).values()} == {"slow"}


def told(schedule: Schedule) -> dict[str, dict[str, Any]]:
    return {host: {"perftest": "perftest 6.06", "user": "sglang", "unit": "sglang-x.service"} for host in schedule.parts}


def test_views_say_what_failed_first_and_hold_no_foreign_code() -> None:
    schedule = make(hosts(3, 2), [instance("i<b>", "h0", "h1")], Options())
    records = good(schedule)
    change(records, "m3", "client", state="failed", code="no-data", gbps=None, said=["<script>alert(1)</script>"])
    change(records, "m1", "client", errors={"hw_counters/out_of_sequence": 7})
    document = json.loads(json.dumps(report.document(schedule, told(schedule), records, Limits(), 10)))
    assert document["schema"] == 1
    (bad,) = report.failures(document, True)
    text = "\n".join(report.text(document, True))
    assert report.name(bad) in text
    assert "D15" in text
    port_of = f"{schedule.measurements['m1']['client']['host']} {schedule.measurements['m1']['client']['device']}:1"
    assert f"{port_of}: hw_counters/out_of_sequence +7" in text
    html = page.view(document, True, "Fabric test of a & b")
    assert "<script" not in html
    assert "http" not in html.replace("http-equiv", "")
    assert "First: " in html
    assert html.count("</table>") == html.count("<table")
    assert "i&lt;b&gt;" in html
    assert report.failures(json.loads(json.dumps(document)) | {"measurements": []}, True) == []


def test_without_perftest_nothing_is_a_failure_where_that_is_accepted() -> None:
    schedule = make(hosts(2, 1), [], Options())
    records = good(schedule)
    for rows in records.values():
        for row in rows:
            row.update(state="not measured", code="no-perftest", gbps=None, latency_us=None)
    document = report.document(schedule, told(schedule), records, Limits(), 1)
    assert report.failures(document, False) == []
    assert len(report.failures(document, True)) == 3
    assert page.view(document, False, "x").count("n/m") == 3
    assert "<b>0</b><span>ways measured</span>" in page.view(document, False, "x")
    schedule = make(hosts(2, 1), [], Options())
    document = report.document(schedule, told(schedule), good(schedule), Limits(), 1)
    assert "<b>3</b><span>ways measured</span>" in page.view(document, False, "x")


def test_processes_of_a_cpu_rank() -> None:
    assert groups.processes({"gpus": []}) == [0]
    assert groups.processes({"gpus": [4, 5]}) == [4, 5]
