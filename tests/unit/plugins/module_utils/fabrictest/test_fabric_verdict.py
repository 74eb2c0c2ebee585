# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must not look good: ports that are down everywhere, clusters apart from each other, ways of which nothing is known."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest import page, report
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.crossing import crossing
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.judging import Limits, judge, least_gbps
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.reasons import REASONS
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.schedule import Options, Schedule, make

DOWN = "DOWN, not ACTIVE"
Hosts = dict[str, dict[str, Any]]


def hosts(count: int, rails: int, cluster: str = "a", first: int = 0, **change: Any) -> Hosts:
    """Return hosts of a cluster, whose rails are networks of their own."""
    return {
        f"h{number}": {
            "address": f"203.0.113.{number + 1}", "left_out": {}, "missing": [], "rdma": True, "cluster": cluster, "traffic_class": None,
            "ports": [
                {"device": f"mlx5_{rail}", "port": 1, "netdev": f"e{rail}", "gid_index": 3, "rate": 400.0, "rate_true": True,
                 "addresses": [f"198.{18 + (cluster != 'a')}.{rail}.{number + 1}/24"], "speed": "NDR", "link_layer": "Ethernet", "gpus": []}
                for rail in range(rails)
            ],
            **change,
        }
        for number in range(first, first + count)
    }


def records(schedule: Schedule, **change: Any) -> dict[str, list[dict[str, Any]]]:
    """Return good records of everything but of ways between rails, which have the change."""
    found: dict[str, list[dict[str, Any]]] = {}
    for host, tests in schedule.parts.items():
        for test in tests:
            figure = {"gbps": 380.0} if test["kind"].endswith("bw") else {"latency_us": 2.0}
            crosses = schedule.measurements[test["id"]]["kind"] == "cross"
            row = {"id": test["id"], "role": test["role"], "state": "ok", "code": "", "said": [], **figure, **(change if crosses else {})}
            found.setdefault(host, []).append(row)
    return found


def result(schedule: Schedule) -> dict[str, Any]:
    told = {host: {"perftest": "perftest 6.06", "user": "sglang", "unit": "x.service"} for host in schedule.parts}
    return report.document(schedule, told, records(schedule), Limits(), 1)


def bad(schedule: Schedule) -> list[str]:
    """Return the reasons of the failures, which the page has, too."""
    document = result(schedule)
    found = [row["reason"] for row in report.failures(document, True)]
    html = page.view(document, True, "x")
    assert all(reason in html for reason in found)
    assert ('class="verdict good"' in html) == (not found)
    assert ("Not as it should be" in "\n".join(report.text(document, True))) == bool(found)
    return found


def test_rail_that_is_down_on_all_hosts() -> None:
    given = hosts(3, 7, left_out={"mlx5_7:1": DOWN}, missing=["mlx5_7:1"])
    schedule = make(given, [], Options(cross_rails="none"))
    words = f"a port that ought to carry data does not: mlx5_7:1 is {DOWN}"
    assert bad(schedule) == [f"h{number}: {words}" for number in range(3)]
    assert [report.name(row) for row in report.failures(result(schedule), True)] == [f"h{number} mlx5_7:1" for number in range(3)]
    assert bad(make(given, [], Options(pairs=False))) == [], "nobody asks for pairs"


def test_port_that_a_rail_misses_is_told_once() -> None:
    given = hosts(2, 3)
    del given["h0"]["ports"][1]
    given["h0"] |= {"left_out": {"mlx5_1:1": DOWN}, "missing": ["mlx5_1:1"]}
    assert bad(make(given, [], Options())) == [f"h0 has no data port on rail 1: mlx5_1:1 is {DOWN}"]


def test_one_host_alone_that_lacks_a_port() -> None:
    schedule = make(hosts(1, 1, left_out={"roce_mlx5_1:1": DOWN}, missing=["roce_mlx5_1:1"]), [], Options())
    assert bad(schedule) == [f"h0: a port that ought to carry data does not: roce_mlx5_1:1 is {DOWN}"]


@pytest.mark.parametrize("count", [1, 3])
def test_every_port_of_every_host_is_down(count: int) -> None:
    schedule = make(hosts(count, 0, left_out={"mlx5_0:1": DOWN}), [], Options())
    assert bad(schedule) == [f"h{number}: no data port is measured: the plan uses RDMA" for number in range(count)]
    assert bad(make(hosts(count, 0, rdma=False), [], Options())) == [], "a cluster without RDMA has none to lose"


def test_nothing_is_left_to_measure() -> None:
    schedule = make(hosts(2, 2), [], Options(trim=True, max_seconds=1))
    assert schedule.measurements == {}
    assert bad(schedule) == [f"h{number}: no data port is measured: left out: fabric_max_seconds is 1" for number in range(2)]


def test_clusters_are_not_paired_with_each_other() -> None:
    given = {**hosts(2, 2), **hosts(3, 4, "b", 2, traffic_class=106), **hosts(1, 1, "c", 5)}
    schedule = make(given, [], Options())
    pairs = {frozenset(row[role]["host"] for role in ("client", "server")) for row in schedule.measurements.values()}
    assert pairs == {frozenset(pair) for pair in (("h0", "h1"), ("h2", "h3"), ("h2", "h4"), ("h3", "h4"), ("h5",))}
    assert schedule.rails.missing == []
    assert [sorted(rail) for rail in schedule.rails.rails] == [
        ["h0", "h1", "h2", "h3", "h4", "h5"], ["h0", "h1", "h2", "h3", "h4"], ["h2", "h3", "h4"], ["h2", "h3", "h4"],
    ]
    assert {host: {test["traffic_class"] for test in tests} for host, tests in schedule.parts.items()} == {
        "h0": {None}, "h1": {None}, "h2": {106}, "h3": {106}, "h4": {106}, "h5": {None},
    }
    for number, row in enumerate(schedule.rounds):
        assert all(schedule.measurements[name]["round"] == number for name in row["ids"])
        assert {(schedule.measurements[name]["kind"], schedule.measurements[name]["test"]) for name in row["ids"]} == {
            (row["kind"], row["test"])
        }
        own = ((host, test) for host, tests in schedule.parts.items() for test in tests if test["round"] == number)
        ports = [(host, test["device"], test["role"]) for host, test in own]
        assert len(ports) == len(set(ports))
    alone = make(hosts(3, 4, "b", 2), [], Options())
    assert [row["kind"] for row in schedule.rounds].count("same") == [row["kind"] for row in alone.rounds].count("same"), "side by side"
    assert bad(schedule) == []


def test_median_is_of_one_cluster() -> None:
    schedule = make({**hosts(3, 1), **hosts(3, 1, "b", 3)}, [], Options(cross_rails="none"))
    given = records(schedule)
    for number in (3, 4, 5):
        for row in given[f"h{number}"]:
            row.update({"gbps": row["gbps"] / 4} if "gbps" in row else {})
    found = judge(schedule.measurements, [], given, Limits(min_gbps=1))
    assert {row["state"] for row in found} == {"ok"}, "a slower fabric is not an outlier of a faster one"


@pytest.mark.parametrize("code", ["no-data", "completion", "rtr", "gid"])
def test_codes_that_mean_that_there_is_no_way(code: str) -> None:
    schedule = make(hosts(2, 3), [], Options())
    reached, advice = crossing(judge(schedule.measurements, [], records(schedule, state="failed", code=code), Limits()))
    assert reached is False
    assert "sglang_rdma_cross_rail: false" in advice


@pytest.mark.parametrize("code", ["memory", "unit", "port-taken", "connect", "unknown"])
def test_other_codes_say_nothing_of_a_way(code: str) -> None:
    schedule = make(hosts(2, 3), [], Options())
    reached, advice = crossing(judge(schedule.measurements, [], records(schedule, state="failed", code=code), Limits()))
    assert reached is None
    assert advice.startswith("not known: 2 of 2 ways between rails failed for another reason")
    assert REASONS[code].text.split("{")[0] in advice
    assert "cross_rail: false" not in advice


def test_no_report_says_nothing_of_a_way() -> None:
    schedule = make(hosts(2, 3), [], Options())
    assert crossing(judge(schedule.measurements, [], {}, Limits()))[0] is None


def test_clusters_that_differ_between_rails() -> None:
    schedule = make({**hosts(2, 2), **hosts(2, 2, "b", 2)}, [], Options())
    given = records(schedule)
    assert crossing(judge(schedule.measurements, [], given, Limits()))[0] is True
    broken = records(schedule, state="failed", code="no-data")
    reached, advice = crossing(judge(schedule.measurements, [], {**given, "h2": broken["h2"], "h3": broken["h3"]}, Limits()))
    assert reached is None
    assert advice.startswith("a: all 1 ways")
    assert "; b: none of 1 ways" in advice


@pytest.mark.parametrize(
    ("speed", "layer", "rate", "least"),
    [("QDR", "InfiniBand", 40.0, 28.8), ("SDR", "InfiniBand", 10.0, 7.2), ("QDR", "Ethernet", 40.0, 36.0),
     ("NDR", "InfiniBand", 400.0, 360.0), (None, "InfiniBand", 40.0, 36.0)],
)
def test_what_a_port_carries_of_its_rate(speed: str | None, layer: str, rate: float, least: float) -> None:
    given = hosts(2, 1)
    for row in given.values():
        row["ports"][0] |= {"speed": speed, "link_layer": layer, "rate": rate}
    (measurement, *_more) = make(given, [], Options()).measurements.values()
    assert least_gbps(measurement, Limits()) == least


def test_ways_between_rails_send_no_longer_than_they_may() -> None:
    schedule = make(hosts(2, 2), [], Options(bandwidth_seconds=20, test_seconds=30, cross_seconds=10))
    sent = {(schedule.measurements[test["id"]]["kind"], test["seconds"]) for test in schedule.parts["h0"]}
    assert sent == {("same", 20), ("cross", 7)}
    assert {row["typical"] for row in schedule.rounds if row["kind"] == "cross"} == {9}


def test_reasons_name_variables_that_there_are() -> None:
    text = " ".join(f"{row.text} {row.fix}" for row in REASONS.values())
    assert "fabric_port" not in text
    assert text.count("fabric_tcp_port") == 3
