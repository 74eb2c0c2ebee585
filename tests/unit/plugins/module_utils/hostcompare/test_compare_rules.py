# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Twelve hosts, one of them different in one thing: exactly its rule finds it, at exactly its host, and marks exactly its place."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare import catalogue
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.clock import Clock
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.compare import compare
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.selection import Options
from ansible_collections.railyard.sglang.plugins.module_utils.launch.catalogue import ERROR, NOTE, WAIVED, WARNING
from ansible_collections.railyard.sglang.tests.unit.support import fleets

ROOT = Path(__file__).resolve().parents[5]
Facts = dict[str, dict[str, Any]]
GOOD = Clock(-0.02, 0.01, True, True)
RAILS = [f"rail {index}" for index in range(8)]


@dataclass(frozen=True)
class Case:
    """A difference, and how its finding must read.

    :ivar change: arguments of fleets.machine by host; a host with None has no facts.
    :ivar environment: of ranks, by host; C(*) is everybody.
    :ivar marks: columns that are marked on the host.
    """

    rule: str
    host: str
    text: str
    change: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    severity: str = ERROR
    environment: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    clocks: Mapping[str, Clock] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    place: str = ""


def one(host: str, **change: Any) -> dict[str, Any]:
    """Return a change of one host."""
    return {host: change}


def whole(instance: int, pool: str = "d", **change: Any) -> dict[str, Any]:
    """Return a change of both hosts of an instance."""
    return {f"{pool}{2 * instance + place}": change for place in (0, 1)}


def moved(rail: int, number: int) -> dict[int, str]:
    """Return an address of another network for a rail."""
    return {rail: str(fleets.NETS[(rail + 1) % 8][number])}


SEVEN = [f"mlx5_{index}" for index in range(7)]
CASES = {
    "a device is absent": Case(
        "compare.devices", "p5", "7 data devices (mlx5_0, mlx5_1, mlx5_2, mlx5_3, mlx5_4, mlx5_5, mlx5_6), the others have 8",
        one("p5", rails=7, gpus=8), marks=("host",), place="prefill-2",
    ),
    "the operator lists fewer": Case(
        "compare.devices", "d1", "7 data devices", one("d1", options=Options(include=SEVEN)), marks=("host",), place="decode-0",
    ),
    "the question is open": Case(
        "compare.devices", "d1", "0 data devices, because of a question that is open: ",
        one("d1", layer=dict.fromkeys(range(4), "InfiniBand")), marks=("host",), place="decode-0",
    ),
    "an instance has fewer": Case(
        "compare.devices", "d2", "7 data devices", whole(1, rails=7, gpus=8), WARNING, marks=("host",),
    ),
    "a link is down": Case(
        "compare.missing", "d2", "rail 5 (mlx5_5, ens5np0) is DOWN, not ACTIVE", one("d2", state={5: "DOWN"}), marks=("rail 5",),
        place="decode-1",
    ),
    "no subnet manager": Case(
        "compare.missing", "p0", "rail 0 (mlx5_0, ens0np0) is INIT", one("p0", state={0: "INIT"}), marks=("rail 0",), place="prefill-0",
    ),
    "a link of a whole instance is down": Case(
        "compare.missing", "d4", "rail 7 (mlx5_7, ens7np0) is DOWN", whole(2, state={7: "DOWN"}), WARNING, marks=("rail 7",),
        place="decode-2",
    ),
    "a slower host": Case(
        "compare.rate", "p3", "rate: rails 0-7 200 Gb/s, the others 400 Gb/s", one("p3", gbps=dict.fromkeys(range(8), 200)),
        marks=tuple(RAILS), place="prefill-1",
    ),
    "a slower pool": Case(
        "compare.rate", "d2", "rate: rails 0-7 200 Gb/s", whole(1, gbps=dict.fromkeys(range(8), 200)), WARNING, marks=tuple(RAILS),
    ),
    "InfiniBand": Case(
        "compare.link-layer", "p2", "link layer: rails 0-7 InfiniBand, the others Ethernet",
        one("p2", layer=dict.fromkeys(range(8), "InfiniBand")), marks=tuple(RAILS), place="prefill-1",
    ),
    "small MTU": Case(
        "compare.active-mtu", "p1", "active MTU: rail 3 (mlx5_3, ens3np0) 1024, the others 4096", one("p1", mtu={3: 1500}),
        marks=("rail 3",), place="prefill-0",
    ),
    "small MTU of an instance": Case(
        "compare.active-mtu", "d5", "active MTU: rails 0-7 1024", whole(2, mtu=dict.fromkeys(range(8), 1500)), marks=tuple(RAILS),
    ),
    "another MTU that RDMA does not notice": Case(
        "compare.mtu", "d3", "MTU: rails 2, 4 4200, the others 9000", one("d3", mtu={2: 4200, 4: 4200}), WARNING,
        marks=("rail 2", "rail 4"), place="decode-1",
    ),
    "the index of another host": Case(
        "compare.gid-index", "d0",
        "NCCL_IB_GID_INDEX is 3, and the RoCE v2 GID of the host's own address has another index: rail 0 (mlx5_0) 5",
        one("d0", gid=5), environment={"*": {"NCCL_IB_GID_INDEX": "3"}}, marks=tuple(RAILS), place="decode-0",
    ),
    "an index that nobody has": Case(
        "compare.gid-index", "p4", "MC_GID_INDEX is 7, and the RoCE v2 GID of the host's own address has another index: rail 0 (mlx5_0) 3",
        environment={"p4": {"MC_GID_INDEX": "7"}}, marks=tuple(RAILS), place="prefill-2",
    ),
    "another index, handled by its own": Case(
        "compare.gid-index", "d0", "GID index: rails 0-7 5, the others 3; handled for decode-0 by MC_GID_INDEX=5, NCCL_IB_GID_INDEX=5",
        one("d0", gid=5), NOTE, {"*": {"NCCL_IB_GID_INDEX": "3"}, "d0": {"NCCL_IB_GID_INDEX": "5", "MC_GID_INDEX": "5"}},
        marks=tuple(RAILS),
    ),
    "another index, handled by a range": Case(
        "compare.gid-index", "p0", "handled for prefill-0 by NCCL_IB_ADDR_RANGE=203.0.113.0/24", one("p0", gid=5), NOTE,
        {"p0": {"NCCL_IB_ADDR_RANGE": "203.0.113.0/24"}}, marks=tuple(RAILS),
    ),
    "another index, and none is set": Case(
        "compare.gid-index", "p0", "prefill-0 sets no index: each library looks for the GID itself", one("p0", gid=5), NOTE,
        {"*": {"NCCL_IB_GID_INDEX": "-1"}}, marks=tuple(RAILS),
    ),
    "a VLAN in front": Case(
        "compare.gid-auto", "p1", "NCCL by itself takes another than that of the port's own address: rail 0 (mlx5_0) 1 instead of 3",
        one("p1", first_gid="198.51.100.9"), marks=tuple(RAILS), place="prefill-0",
    ),
    "an address is lost": Case(
        "compare.gid-missing", "d1", "no RoCE v2 GID of an own address on rail 6 (mlx5_6, ens6np0), and other hosts have one there",
        one("d1", address={6: ""}), marks=("rail 6",),
    ),
    "rails in another order": Case(
        "compare.subnet", "p4",
        "subnet: rail 1 (mlx5_1, ens1np0) 203.0.113.64/27, the others 203.0.113.32/27; rail 2 (mlx5_2, ens2np0) 203.0.113.32/27",
        one("p4", order=[0, 2, 1, 3, 4, 5, 6, 7]), WARNING, marks=("rail 1", "rail 2"), place="prefill-2",
    ),
    "an address twice": Case(
        "compare.address-twice", "d2", "rail 4 has 203.0.113.130, and so has a rail of p1", one("d2", address={4: "203.0.113.130"}),
        marks=("rail 4",),
    ),
    "a GPU is absent": Case(
        "compare.gpus", "d4", "GPUs: 7 x NVIDIA H100 80GB HBM3, the others have 8 x NVIDIA H100 80GB HBM3",
        one("d4", gpus=7, options=Options(include=[f"mlx5_{index}" for index in range(8)])), marks=("GPUs",), place="decode-2",
    ),
    "other GPUs in a pool": Case("compare.gpus", "d2", "GPUs: 8 x NVIDIA H200", whole(1, model="NVIDIA H200"), WARNING, marks=("GPUs",)),
    "numa=off": Case(
        "compare.topology", "d5", "NUMA nodes 0 instead of 0, 1; NUMA node of rail 0 unknown instead of 0", one("d5", numa=False), WARNING,
        marks=("topology",), place="decode-2",
    ),
    "another board": Case(
        "compare.nic-model", "p2", "NIC model: rails 0-7 MT4129/MT_0999, the others MT4129/MT_0838",
        one("p2", board=dict.fromkeys(range(8), "MT_0999")), WARNING, marks=tuple(RAILS), place="prefill-1",
    ),
    "another driver": Case(
        "compare.driver", "p3", "GPU driver: nvidia 550.54.15 open, the others have nvidia 570.86.15 open", one("p3", driver="550.54.15"),
        WARNING, marks=("driver",), place="prefill-1",
    ),
    "another kind of driver": Case(
        "compare.driver", "p3", "nvidia 570.86.15 proprietary", one("p3", is_open=False), WARNING, marks=("driver",), place="prefill-1",
    ),
    "another kernel": Case(
        "compare.kernel", "d0", "kernel: 6.1.0-28-amd64, the others have 6.8.0-45-generic", one("d0", kernel="6.1.0-28-amd64"), WARNING,
        marks=("kernel",), place="decode-0",
    ),
    "old firmware on one device": Case(
        "compare.firmware", "d3", "firmware of MT4129/MT_0838: rail 6 28.33.0800, most devices have 28.39.1002",
        one("d3", firmware={6: "28.33.0800"}), WARNING, marks=("rail 6",),
    ),
    "no facts": Case("compare.facts-missing", "p2", "there are no facts about this host", {"p2": None}, WARNING, marks=("host",)),
    "not in the run": Case("compare.not-in-run", "", "not in this run, and not compared: d5, p2", severity=NOTE, absent=("p2", "d5")),
    "a clock ahead": Case(
        "compare.clock", "d1", "the clock is at least 4.880 s ahead of that of d0, and 11 more; it is +5.000 s within 0.110 s",
        clocks={"d1": Clock(4.89, 5.11, True, True)}, marks=("clock",),
    ),
    "a clock behind": Case(
        "compare.clock", "r0", "at least 2.970 s behind that of d0", clocks={"r0": Clock(-3.1, -2.99)}, marks=("clock",),
    ),
    "a clock that is hardly known": Case(
        "compare.clock-unknown", "", "the clocks of p0 are not known better than 3.000 s", severity=NOTE,
        clocks={"p0": Clock(-1, 5, True, True)},
    ),
    "a clock that nobody keeps": Case(
        "compare.clock-free", "", "no time service keeps the clocks of p3, p4", severity=NOTE,
        clocks={"p3": Clock(0, 0.01, True, False), "p4": Clock(0, 0.01, True, False)},
    ),
}
# Cases that two hosts have in common.
TWINS = {
    "an instance has fewer": "d3", "a link of a whole instance is down": "d5", "a slower pool": "d3", "small MTU of an instance": "d4",
    "an address twice": "p1", "other GPUs in a pool": "d3",
}


def changed(case: Case, twelve: Facts, place: Path) -> Facts:
    """Return the facts of twelve hosts, with the changes of a case."""
    facts = {**twelve}
    for host, change in case.change.items():
        if change is None:
            del facts[host]
        else:
            facts[host] = fleets.machine(place, fleets.NAMES.index(host) + 1, **change)
    return {host: row for host, row in facts.items() if host not in case.absent}


def run(case: Case, facts: Facts, **more: Any) -> Any:
    """Return what a comparison reports."""
    everybody = case.environment.get("*", {})
    environment = {host: case.environment.get(host, everybody) for host in fleets.NAMES}
    clocks = {**dict.fromkeys([*fleets.NAMES, "r0"], GOOD), **case.clocks}
    return compare(fleets.plan(environment=environment), facts, clocks, absent=case.absent, **more)[1]


@pytest.mark.parametrize("name", CASES)
def test_one_difference_is_found_by_its_rule_at_its_host(name: str, twelve: Facts, tmp_path: Path) -> None:
    case = CASES[name]
    report = run(case, changed(case, twelve, tmp_path))
    findings = report.findings()
    hosts = {case.host, *filter(None, [TWINS.get(name)])}
    assert {found.rule for found in findings} == {case.rule}, [str(found) for found in findings]
    assert {found.host for found in findings} == hosts
    assert len(findings) == len(hosts)
    assert {found.severity for found in findings} == {case.severity}
    (own,) = [found for found in findings if found.host == case.host]
    assert case.text in own.text
    assert (own.place, own.cluster) == (case.place, "east")
    assert own.fix
    assert {mark.host for mark in report.marks} == (hosts if case.marks else set())
    assert {mark.column for mark in report.marks if mark.host == case.host} == set(case.marks)
    assert {mark.severity for mark in report.marks} <= {case.severity}


def test_equal_hosts_have_no_finding(twelve: Facts) -> None:
    report = run(Case("", "", ""), twelve)
    assert report.findings() == []
    assert report.marks == []
    assert compare(fleets.plan(), twelve)[1].findings() == []


def test_hosts_without_gpus_and_devices_have_no_finding(tmp_path: Path) -> None:
    facts = {name: fleets.machine(tmp_path, number, gpus=0, rails=0) for number, name in enumerate(fleets.NAMES, 1)}
    assert compare(fleets.plan(device="cpu"), facts)[1].findings() == []


def test_a_cluster_without_rdma_needs_no_facts() -> None:
    plan = fleets.plan()
    for row in plan["hosts"].values():
        row["rdma"] = None
    assert compare(plan, {}, dict.fromkeys(fleets.NAMES, GOOD))[1].findings() == []
    plan["hosts"]["p0"]["rdma"] = {"known": False}
    (found,) = compare(plan, {})[1].findings()
    assert (found.rule, found.host) == ("compare.facts-missing", "p0")
    (found,) = compare(plan, {"p0": {"devices": [], "gpus": [], "system": {}, "selection": {}}})[1].findings()
    assert (found.rule, found.host) == ("compare.facts-missing", "p0")


def test_facts_about_rails_do_not_count_where_the_plan_uses_no_rdma(twelve: Facts, tmp_path: Path) -> None:
    """They may be of an earlier run."""
    spoiled = {"state": {5: "DOWN"}, "mtu": {3: 1500}, "address": {1: ""}, "kernel": "6.1.0"}
    facts = {**twelve, "d2": fleets.machine(tmp_path, 9, **spoiled), "d3": fleets.machine(tmp_path, 10, rails=7, gpus=8, kernel="6.1.0")}
    plan = fleets.plan()
    rules = {found.rule for found in compare(plan, facts)[1].findings()}
    assert rules >= {"compare.missing", "compare.active-mtu", "compare.devices", "compare.gid-missing", "compare.kernel"}
    for row in plan["hosts"].values():
        row["rdma"] = None
    seen, report = compare(plan, facts)
    assert {(found.rule, found.host) for found in report.findings()} == {("compare.kernel", "d2"), ("compare.kernel", "d3")}
    assert seen.width == 0


def test_instances_that_never_exchange_data_may_differ_with_a_warning(twelve: Facts, tmp_path: Path) -> None:
    for change, rule in (({"mtu": dict.fromkeys(range(8), 1500)}, "compare.active-mtu"),
                         ({"layer": dict.fromkeys(range(8), "InfiniBand")}, "compare.link-layer")):
        whole_one = {host: fleets.machine(tmp_path, 6 + number, **change) for number, host in enumerate(("d2", "d3"), 3)}
        plan = fleets.plan()
        levels = {found.severity for found in compare(plan, {**twelve, **whole_one})[1].findings() if found.rule == rule}
        assert levels == {ERROR}
        for row in plan["instances"]:
            row["mode"] = "plain"
        levels = {found.severity for found in compare(plan, {**twelve, **whole_one})[1].findings() if found.rule == rule}
        assert levels == {WARNING}
        half = {**twelve, "d2": whole_one["d2"]}
        assert {found.severity for found in compare(plan, half)[1].findings() if found.rule == rule} == {ERROR}


@pytest.mark.parametrize(("instances", "environment", "rules"), [
    ({"prefill-0": ["p0", "p1"]}, {}, ["compare.gid-auto", "compare.gid-auto"]),
    ({"prefill-0": ["p0"], "prefill-1": ["p1"]}, {}, []),
    ({"prefill-0": ["p0", "p1"]}, {"NCCL_IB_ADDR_FAMILY": "AF_INET6"}, []),
    ({"prefill-0": ["p0", "p1"]}, {"NCCL_IB_ADDR_FAMILY": "AF_INET"}, ["compare.gid-auto", "compare.gid-auto"]),
])
def test_only_instances_of_several_hosts_let_nccl_look_for_a_gid(
    instances: dict[str, list[str]], environment: dict[str, str], rules: list[str], tmp_path: Path,
) -> None:
    facts = {host: fleets.machine(tmp_path, number, first_gid=f"198.51.100.{number}") for number, host in enumerate(("p0", "p1"), 1)}
    plan = fleets.plan(instances, dict.fromkeys(("p0", "p1"), environment), "")
    assert [found.rule for found in compare(plan, facts)[1].findings()] == rules


def test_rails_that_are_routed_may_be_in_any_subnet(twelve: Facts, tmp_path: Path) -> None:
    case = CASES["rails in another order"]
    assert run(case, changed(case, twelve, tmp_path), routed={"east"}).findings() == []


def test_pools_may_have_other_machines(twelve: Facts, tmp_path: Path) -> None:
    """GPUs, topology and NIC models are compared within a pool only."""
    facts = {
        name: row if name.startswith("p") else fleets.machine(
            tmp_path, number, model="NVIDIA H200", numa=False, board=dict.fromkeys(range(8), "MT_0999"),
        )
        for number, (name, row) in enumerate(twelve.items(), 1)
    }
    assert compare(fleets.plan(), facts)[1].findings() == []


def test_a_rule_may_be_waived_with_a_reason(twelve: Facts, tmp_path: Path) -> None:
    case = CASES["small MTU"]
    facts = changed(case, twelve, tmp_path)
    reason = "the switch of rail 3 is replaced on Friday"
    report = run(case, facts, waived={"east": catalogue.waivers({"compare.active-mtu": reason})})
    (found,) = report.findings()
    assert found.severity == WAIVED
    assert f"(waived: {reason})" in found.text
    assert {mark.severity for mark in report.marks} == {WAIVED}
    (found,) = run(case, facts, waived={"west": {"compare.active-mtu": reason}}).findings()
    assert found.severity == ERROR


@pytest.mark.parametrize(
    "given",
    [None, [], {"compare.mtu": ""}, {"compare.mtu": 7}, {"compare.address-twice": "a long reason"}, {"other.rule": "a long reason"}],
)
def test_waivers_that_do_not_count(given: Any) -> None:
    assert catalogue.waivers(given) == {}


@pytest.mark.parametrize(("given", "wrong"), [
    (None, []), ([], []), ({"other.rule": 7}, []), ({"compare.clock": "a long reason"}, []),
    ({"compare.mtuu": "a long reason"}, ["compare.mtuu is not a rule of the comparison"]),
    ({"compare.address-twice": "a long reason"}, ["compare.address-twice cannot be waived"]),
    ({"compare.mtu": ""}, ["compare.mtu has no reason of 10 characters or more"]),
    ({"compare.rate": 7}, ["compare.rate has no reason of 10 characters or more"]),
])
def test_waivers_that_are_wrong(given: Any, wrong: list[str]) -> None:
    assert catalogue.wrong_waivers(given) == wrong


def pair(tmp_path: Path, **change: Any) -> list[tuple[str, str, str, str]]:
    """Return the findings of two hosts, each an instance of its own, of which the second one differs."""
    facts = {"p0": fleets.machine(tmp_path, 1), "d0": fleets.machine(tmp_path, 2, **change)}
    plan = fleets.plan({"prefill-0": ["p0"], "decode-0": ["d0"]}, router="")
    return [(found.rule, found.host, found.severity, found.text) for found in compare(plan, facts)[1].findings()]


def test_of_two_hosts_the_other_rails_tell_which_one_is_odd(tmp_path: Path) -> None:
    assert pair(tmp_path, mtu={2: 1500}) == [
        ("compare.active-mtu", "d0", ERROR, "active MTU: rail 2 (mlx5_2, ens2np0) 1024, the others 4096")
    ]
    assert [row[:3] for row in pair(tmp_path, state={4: "DOWN"})] == [("compare.missing", "d0", WARNING)]


def test_where_nothing_is_usual_all_are_named(tmp_path: Path) -> None:
    (found,) = pair(tmp_path, kernel="6.1.0")
    assert found == ("compare.kernel", "", WARNING, "kernel: 6.1.0 on d0; 6.8.0-45-generic on p0: none of them is usual")
    found = pair(tmp_path, gbps=dict.fromkeys(range(8), 200))
    assert {(rule, host) for rule, host, _severity, _text in found} == {("compare.rate", "")}
    assert "rail 0: rate 200 Gb/s on d0; 400 Gb/s on p0: none of them is usual" in [text for *_rest, text in found]


def test_two_clocks_that_are_apart_are_both_named(tmp_path: Path) -> None:
    plan = fleets.plan({"prefill-0": ["p0"], "decode-0": ["d0"]}, router="")
    (found,) = compare(plan, {}, {"p0": Clock(-0.1, 0.1, True, True), "d0": Clock(-5.2, -4.9, True, True)})[1].findings()
    assert (found.rule, found.host) == ("compare.clock", "d0")
    assert "at least 4.800 s behind that of p0" in found.text


def test_a_host_in_two_instances_is_told_once(twelve: Facts, tmp_path: Path) -> None:
    plan = fleets.plan({"prefill-0": ["p0", "p1"], "decode-0": ["p0", "p1"]})
    facts = {"p0": twelve["p0"], "p1": fleets.machine(tmp_path, 2, mtu={3: 1500})}
    (found,) = compare(plan, facts)[1].findings()
    assert (found.rule, found.host, found.place) == ("compare.active-mtu", "p1", "prefill-0")


def test_a_cloned_host_has_one_finding_for_all_of_its_addresses(twelve: Facts) -> None:
    report = compare(fleets.plan(), {**twelve, "p1": twelve["p0"]})[1]
    assert {(found.rule, found.host) for found in report.findings()} == {("compare.address-twice", "p0"), ("compare.address-twice", "p1")}
    text = next(found.text for found in report.findings() if found.host == "p1")
    assert text == (
        "rail 0 has 203.0.113.1, and so has a rail of p0; rail 1 has 203.0.113.33, and so has a rail of p0; and 6 more"
    )
    assert {mark.column for mark in report.marks if mark.host == "p1"} == set(RAILS)


def test_two_clusters_are_not_compared_with_each_other(twelve: Facts, tmp_path: Path) -> None:
    east, west = fleets.plan({"prefill-0": ["p0", "p1"]}, router=""), fleets.plan({"prefill-0": ["d0", "d1"]}, router="", cluster="west")
    both = {key: east[key] + west[key] for key in ("clusters", "instances", "routers")} | {"hosts": {**east["hosts"], **west["hosts"]}}
    facts = {name: twelve[name] for name in ("p0", "p1")}
    facts |= {name: fleets.machine(tmp_path, number, mtu=dict.fromkeys(range(8), 1500), address={0: "203.0.113.1"} if number == 7 else {})
              for number, name in ((7, "d0"), (8, "d1"))}
    assert compare(both, facts)[1].findings() == []


def test_every_rule_is_broken_by_a_case() -> None:
    assert {case.rule for case in CASES.values()} == set(catalogue.RULES)


def test_every_rule_of_the_code_is_in_the_catalogue() -> None:
    folder = ROOT / "plugins/module_utils/hostcompare/rules"
    named = {name for path in folder.glob("*.py") for name in re.findall(r'"(compare\.[a-z-]+)"', path.read_text(encoding="utf-8"))}
    assert named == set(catalogue.RULES)


def test_every_rule_says_what_it_is() -> None:
    launch = importlib.import_module("ansible_collections.railyard.sglang.plugins.module_utils.launch.catalogue")
    for rule in catalogue.RULES.values():
        assert rule.severity in (ERROR, WARNING, NOTE)
        assert rule.text.endswith(".")
        assert rule.id not in launch.RULES


def test_the_page_lists_the_rules() -> None:
    page = (ROOT / "docs/host-comparison.md").read_text(encoding="utf-8").splitlines()
    table = catalogue.document(catalogue.RULES)
    start = page.index(table[0])
    assert page[start : start + len(table)] == table
