# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who compiles, who receives, who stops and who may not start, for clusters written as tables."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from ansible_collections.railyard.sglang.plugins.module_utils.jitcache import turns


def row(instance: str, rank: int = 0, nodes: int = 2, **changes: Any) -> dict[str, Any]:
    pool = instance.partition("-")[0]
    made = {
        "instance": instance, "rank": rank, "nodes": nodes, "unit": f"sglang-{instance}.service", "gpus": list(range(8)),
        "state": "missing", "path": f"/var/cache/sglang/s/{pool}/deep_gemm", "key": f"key{pool}", "parts": {},
        "kernels": 0, "bytes": 0, "problems": [],
        "warnings": [], "differs": [], "why": "", "error": "", "later": False, "certain": True, "partial": "/partial", "active": False,
        "expected": f"expected{pool}", "trees": {}, "units": [f"sglang-{instance}.service"],
    }
    return {**made, **changes}


def looked(**hosts: Any) -> dict[str, Any]:
    return {host: {"caches": rows if isinstance(rows, list) else [rows]} for host, rows in hosts.items()}


def short(entry: Any) -> str:
    if isinstance(entry, str):
        return entry
    return str(entry["instance"]) + (f" from {entry['source']}" if "source" in entry else "")


def compact(made: dict[str, Any]) -> dict[str, Any]:
    """Return what is done, by host, without what is empty."""
    found: dict[str, Any] = {}
    for name in ("compile", "settle", "receive", "stop_heads", "stop_others"):
        for host, rows in made[name].items():
            if rows:
                found.setdefault(name, {})[host] = [short(entry) for entry in rows]
    sends = {host: [entry["key"] for entry in rows] for host, rows in made["send"].items() if rows}
    return {**found, **({"send": sends} if sends else {})}


def decide(hosts: dict[str, Any], **options: Any) -> dict[str, Any]:
    return turns.turns(hosts, dict.fromkeys(hosts, "c"), **options)


FOUR = {"p0": row("prefill-0", 0), "p1": row("prefill-0", 1), "p2": row("prefill-1", 0), "p3": row("prefill-1", 1)}


def four(**changes: dict[str, Any]) -> dict[str, Any]:
    return looked(**{host: {**value, **changes.get(host, {})} for host, value in FOUR.items()})


WHOLE, KEPT, UNUSED = {"state": "whole"}, {"state": "kept"}, {"state": "unused", "key": ""}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nobody has it": (
        four(),
        {
            "compile": {"p0": ["prefill-0"], "p1": ["prefill-0"]}, "receive": {"p2": ["prefill-1 from p0"], "p3": ["prefill-1 from p0"]},
            "send": {"p0": ["keyprefill"]},
        },
    ),
    "all have it": (four(p0=WHOLE, p1=WHOLE, p2=WHOLE, p3=WHOLE), {}),
    "one has it": (
        four(p3=WHOLE),
        {
            "receive": {"p0": ["prefill-0 from p3"], "p1": ["prefill-0 from p3"], "p2": ["prefill-1 from p3"]},
            "send": {"p3": ["keyprefill"]},
        },
    ),
    "one lacks it": (
        four(p0=WHOLE, p1={"state": "partial"}, p2=WHOLE, p3=WHOLE),
        {"receive": {"p1": ["prefill-0 from p0"]}, "send": {"p0": ["keyprefill"]}},
    ),
    "it is kept and not in use": (
        four(p0=KEPT, p1=KEPT, p2=KEPT, p3=KEPT), {"settle": {host: [f"prefill-{int(host[1]) // 2}"] for host in FOUR}},
    ),
    "another key of one pool": (
        four(p0=WHOLE, p1=WHOLE, p2={"key": "own"}, p3={"key": "own"}), {"compile": {"p2": ["prefill-1"], "p3": ["prefill-1"]}},
    ),
    "DeepGEMM is not used": (four(p0=UNUSED, p1=UNUSED, p2=UNUSED, p3=UNUSED), {}),
    "stages have other layers each": (
        four(p0={"key": "s0"}, p1={"key": "s1"}, p2={"key": "s0"}, p3={"key": "s1"}),
        {
            "compile": {"p0": ["prefill-0"], "p1": ["prefill-0"]}, "receive": {"p2": ["prefill-1 from p0"], "p3": ["prefill-1 from p1"]},
            "send": {"p0": ["s0"], "p1": ["s1"]},
        },
    ),
    "a stage is lost everywhere": (
        four(p0={"key": "s0", **WHOLE}, p1={"key": "s1"}, p2={"key": "s0", **WHOLE}, p3={"key": "s1"}),
        {"compile": {"p0": ["prefill-0"], "p1": ["prefill-0"]}, "receive": {"p3": ["prefill-1 from p1"]}, "send": {"p1": ["s1"]}},
    ),
    "two pools": (
        looked(p0=row("prefill-0", nodes=1), d0=row("decode-0", nodes=1)), {"compile": {"p0": ["prefill-0"], "d0": ["decode-0"]}},
    ),
    "two instances of a pool on one host": (
        looked(p0=[row("prefill-0", nodes=1, gpus=[0, 1]), row("prefill-1", nodes=1, gpus=[2, 3])]), {"compile": {"p0": ["prefill-0"]}},
    ),
    "the same on two hosts": (
        looked(**{host: [row(f"prefill-{host}0", nodes=1, gpus=[0]), row(f"prefill-{host}1", nodes=1, gpus=[1])] for host in ("a", "b")}),
        {"compile": {"a": ["prefill-a0"]}, "receive": {"b": ["prefill-b0 from a"]}, "send": {"a": ["keyprefill"]}},
    ),
    "nothing was looked at": ({"r0": {"skipped": True}}, {}),
}


@pytest.mark.parametrize(("hosts", "done"), CASES.values(), ids=CASES)
def test_decision(hosts: dict[str, Any], done: dict[str, Any]) -> None:
    made = decide(hosts)
    assert (compact(made), made["refused"]) == (done, [])
    assert made["work"] is bool(set(done) & {"compile", "settle", "receive"})


def test_two_clusters_with_the_same_names_compile_by_themselves_and_share() -> None:
    hosts = looked(a0=row("prefill-0", 0, 1), b0=row("prefill-0", 0, 1))
    made = turns.turns(hosts, {"a0": "a", "b0": "b"})
    assert compact(made) == {"compile": {"a0": ["prefill-0"]}, "receive": {"b0": ["prefill-0 from a0"]}, "send": {"a0": ["keyprefill"]}}


def test_an_instance_that_is_cut_by_limit() -> None:
    made = decide(looked(p1=row("prefill-0", 1)))
    assert made["refused"] == [
        "prefill-0: its ranks compile together, and 1 of 2 take part in this run. Fix: run without --limit, or name all its hosts"
    ]


def test_at_start_nothing_is_done() -> None:
    made = decide(four(), at_start=True)
    assert (compact(made), made["refused"], made["work"]) == ({}, [], False)


@pytest.mark.parametrize("at_start", [False, True])
def test_an_error_is_refused_whatever_is_compiled_where(at_start: bool) -> None:
    made = decide(four(p1={"error": "SGLANG_DG_CACHE_DIR: is on nfs4", "state": "unknown", "key": ""}), at_start=at_start)
    assert made["refused"] == ["p1: prefill-0: SGLANG_DG_CACHE_DIR: is on nfs4"]


RUNS = {"active": True}


def test_who_holds_the_gpus_is_stopped_by_consent_only() -> None:
    hosts = four(p0=RUNS, p1=RUNS, p2={**RUNS, **WHOLE, "key": "other"}, p3={**RUNS, **WHOLE, "key": "other"})
    made = decide(hosts)
    assert made["refused"] == [
        "prefill-0 runs on p0, p1, and its GPUs are needed to compile kernels. Fix: set sglang_allow_restart: true to consent to stopping"
        " it for the time of the compilation; deepgemm_compile_at_start: true lets the engines compile while they start"
    ]
    made = decide(hosts, allow_stop=True)
    assert made["refused"] == []
    assert compact(made)["stop_heads"] == {"p0": ["sglang-prefill-0.service"]}
    assert compact(made)["stop_others"] == {"p1": ["sglang-prefill-0.service"]}


def test_engines_that_the_plan_has_no_more_hold_gpus_too() -> None:
    old = {"unit": "sglang-prefill-9.service", "rank": 0}
    hosts = four(p2=WHOLE, p3=WHOLE)
    hosts["p0"]["caches"][0]["key"] = hosts["p1"]["caches"][0]["key"] = "own"
    hosts["p1"]["others"] = [{**old, "rank": 1}]
    hosts["p3"]["others"] = [old]
    hosts["p2"]["others"] = [{"unit": "sglang-decode-9.service", "rank": 0}]
    made = decide(hosts)
    assert [line.partition(". Fix")[0] for line in made["refused"]] == [
        "sglang-prefill-9.service, which the plan has no more, runs on p1, p3, and its GPUs may be needed to compile kernels"
    ]
    made = decide(hosts, allow_stop=True)
    assert (compact(made)["stop_heads"], compact(made)["stop_others"]) == ({"p3": [old["unit"]]}, {"p1": [old["unit"]]})


@pytest.mark.parametrize("at_start", [False, True])
def test_a_compilation_that_a_lost_run_has_left_is_ended(at_start: bool) -> None:
    hosts = four(p0=WHOLE, p1=WHOLE, p2=WHOLE, p3={"state": "missing", "key": "own"})
    for host in ("p0", "p3"):
        hosts[host]["compiling"] = [hosts[host]["caches"][0]["instance"]]
    made = decide(hosts, at_start=at_start)
    # The one that is begun anew is ended by that.
    ended = {"p0": ["prefill-0"]} | ({"p3": ["prefill-1"]} if at_start else {})
    assert {host: names for host, names in made["orphans"].items() if names} == ended
    assert len(turns.gate(hosts, at_start)) == (2 if at_start else 3)


def test_kernels_wait_for_the_end_of_an_engine_that_runs_from_others() -> None:
    hosts = four(p0={**KEPT, **RUNS}, p1=KEPT, p2=WHOLE, p3=WHOLE)
    made = decide(hosts)
    assert compact(made) == {"settle": {"p1": ["prefill-0"]}}
    assert len(turns.gate(hosts)) == 1
    assert turns.gate(four(p0={**KEPT, **RUNS}, p1={**KEPT, **RUNS}, p2=WHOLE, p3=WHOLE)) == []


def test_an_instance_stops_as_one() -> None:
    # Both use p0; the other one runs on p9, too.
    own, other = row("prefill-0", 0, 1, gpus=[0, 1]), row("other-0", 1, 2, gpus=[1, 2], **WHOLE, **RUNS)
    made = decide(looked(p0=[own, other], p9=row("other-0", 0, 2, **WHOLE, **RUNS)), allow_stop=True)
    unit = "sglang-other-0.service"
    assert compact(made) == {"compile": {"p0": ["prefill-0"]}, "stop_heads": {"p9": [unit]}, "stop_others": {"p0": [unit]}}


def test_what_receives_only_stops_nobody() -> None:
    made = decide(four(p0=WHOLE, p1=WHOLE, p2=RUNS, p3=RUNS))
    assert (made["refused"], made["interrupts"]) == ([], [])


LATER = {"state": "unknown", "key": "", "error": "/opt/sglang/s: is not there", "later": True}


PREDICTED = {**CASES["nobody has it"][1], "send": {"p0": [""]}}


@pytest.mark.parametrize(("certain", "done"), [(True, PREDICTED), (False, {})])
def test_check_mode_on_bare_hosts(certain: bool, done: dict[str, Any]) -> None:
    bare = {host: {**LATER, "certain": certain} for host in FOUR}
    made = decide(four(**bare), check=True)
    assert (compact(made), made["refused"]) == (done, [])
    assert len(decide(four(**bare))["refused"]) == 4


GATES: dict[str, tuple[dict[str, Any], bool, str]] = {
    "whole": ({"state": "whole"}, False, ""),
    "not used": ({"state": "unused"}, False, ""),
    "missing": ({}, False, "are missing. Fix: site.yml --tags deepgemm; deepgemm_compile_at_start: true"),
    "missing, at start": ({}, True, ""),
    "partial": ({"state": "partial", "problems": ["cache/x is missing"]}, False, "are partial (cache/x is missing). Fix: site.yml"),
    "partial, at start": ({"state": "partial", "problems": ["cache/x is missing"]}, True, ""),
    "of another key": ({"differs": ["nvcc: 12.9 -> 13.0"]}, False, "are missing (nvcc: 12.9 -> 13.0). Fix"),
    "not in use": ({"state": "kept"}, False, "are there and not in use. Fix"),
    "network": ({"state": "unknown", "error": "is on nfs"}, False, "is on nfs"),
    "network, at start": ({"state": "unknown", "error": "is on nfs"}, True, "is on nfs"),
    "no stack": (LATER, False, "is not there"),
    "no stack, at start": (LATER, True, ""),
}


@pytest.mark.parametrize(("changes", "at_start", "text"), GATES.values(), ids=GATES)
def test_gate(changes: dict[str, Any], at_start: bool, text: str) -> None:
    found = turns.gate(looked(p0=row("prefill-0", **changes)), at_start)
    assert bool(found) is bool(text)
    assert all(line.startswith("p0: prefill-0: ") and text in line for line in found)


def test_gate_of_hosts_that_were_not_looked_at() -> None:
    assert turns.gate({"p0": {"skipped": True}}) == []


def test_an_instance_has_compiled_when_all_its_ranks_have() -> None:
    hosts = looked(p0=row("prefill-0", 0), p1=row("prefill-0", 1), d0=row("decode-0", 0, 1))
    made = decide(hosts)
    done = {"instance": "prefill-0", "state": "done", "why": "", "log": "/l", "tail": []}
    lost = {**done, "state": "failed", "why": "it ended with exit-code exited 1", "tail": ["Traceback", "boom"]}
    ended = {"p0": {"jobs": [done]}, "p1": {"jobs": [lost]}, "d0": {"jobs": [{**done, "instance": "decode-0"}]}}
    found = turns.failures(made["compile"], ended, dict.fromkeys(hosts, "c"))
    assert found == {"keys": ["keyprefill"], "lines": ["p1: prefill-0: it ended with exit-code exited 1 (log: /l)\n  Traceback\n  boom"]}
    assert turns.failures(made["compile"], {"p0": {"skipped": True}}, {}) == {"keys": [], "lines": []}


states = st.sampled_from(["missing", "partial", "whole", "kept", "unused"])


drawn = st.tuples(st.integers(1, 3), st.sampled_from(["k1", "k2"]), st.lists(states, min_size=3, max_size=3))


@hypothesis.settings(deadline=None)
@hypothesis.given(st.lists(drawn, min_size=1, max_size=5))
def test_every_rank_gets_its_kernels_and_no_key_is_compiled_twice(instances: list[tuple[int, str, list[str]]]) -> None:
    hosts: dict[str, Any] = {}
    for number, (nodes, key, found) in enumerate(instances):
        for rank in range(nodes):
            hosts[f"h{number}x{rank}"] = row(f"p{number}-0", rank, nodes, key=key, path=f"/c/{number}", state=found[rank])
    made = decide(looked(**hosts))
    assert made["refused"] == []
    compiled = {rows[0]["instance"]: rows[0]["key"] for rows in made["compile"].values() if rows}
    assert sorted(compiled.values()) == sorted(set(compiled.values()))
    assert not {value["key"] for value in hosts.values() if value["state"] in ("whole", "kept")} & set(compiled.values())
    for host, value in hosts.items():
        gets = [name for name in ("compile", "settle", "receive") if made[name][host]]
        lacks = value["state"] not in ("whole", "unused")
        assert len(gets) == (1 if lacks or value["instance"] in compiled else 0), host
        for entry in made["receive"][host]:
            assert {"path": entry["source_path"], "key": entry["key"]} in made["send"][entry["source"]]
    assert decide(looked(**hosts)) == made
