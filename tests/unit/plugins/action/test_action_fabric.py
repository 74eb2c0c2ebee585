# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the fabric test: alike in documentation, actions and role; refusals before anything is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.railyard.sglang.plugins.action import fabric_report, fabric_schedule
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.schedule import make
from ansible_collections.railyard.sglang.plugins.modules import fabric_report as report_module
from ansible_collections.railyard.sglang.plugins.modules import fabric_schedule as schedule_module

ROOT = Path(__file__).resolve().parents[4]
KNOWN = ("type", "elements", "default", "choices", "required")
GIVEN: dict[str, Any] = {
    **{name: row.get("default") for name, row in fabric_schedule.SPEC.items()}, "instances": [], "hosts": {},
}


def role_options() -> dict[str, dict[str, Any]]:
    text = (ROOT / "roles/fabric/meta/argument_specs.yml").read_text(encoding="utf-8")
    options: dict[str, dict[str, Any]] = yaml.safe_load(text)["argument_specs"]["main"]["options"]
    return options


@pytest.mark.parametrize(("module", "action"), [(schedule_module, fabric_schedule), (report_module, fabric_report)])
def test_options_are_documented_as_they_are(module: Any, action: Any) -> None:
    documented: dict[str, dict[str, Any]] = yaml.safe_load(module.DOCUMENTATION)["options"]
    assert {name: {key: row[key] for key in KNOWN if key in row} for name, row in documented.items()} == action.SPEC


def test_the_role_has_the_same_defaults() -> None:
    options = role_options()
    for name, row in fabric_schedule.SPEC.items():
        own = "fabric_rendezvous_port" if name == "allreduce_port" else f"fabric_{name}"
        if name not in ("hosts", "instances", "notes"):
            assert options[own].get("default") == row.get("default"), own
            assert options[own].get("choices", []) in (row.get("choices"), []), own


def test_documentation_names_every_variable_of_the_role() -> None:
    options = role_options()
    text = (ROOT / "docs/fabric.md").read_text(encoding="utf-8")
    assert [name for name in options if name != "fabric_plan" and f"| `{name}` |" not in text] == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"tests": []}, "fabric_tests is empty"),
        ({"hosts": {"b": {"traffic_class": 256}}}, "b: fabric_traffic_class (unset: sglang_rdma_traffic_class) is 256, not a number up to"),
        ({"hosts": {"b": {"traffic_class": "high"}}}, "b: fabric_traffic_class (unset: sglang_rdma_traffic_class) is high"),
        ({"hosts": {"b": {"traffic_class": [8]}}}, "b: fabric_traffic_class"),
        ({"hosts": {"a": {"traffic_class": 0}, "b": {"traffic_class": -1}, "c": {"traffic_class": None}}}, ""),
        ({"poll_seconds": 0}, "fabric_poll_seconds is 0, not from 1 to 600"),
        ({"poll_seconds": 601}, "fabric_poll_seconds is 601, not from 1 to 600"),
        ({"allreduce_port": 70000}, "fabric_rendezvous_port is 70000, not from 1024 to 65528"),
        ({"bandwidth_seconds": 12}, ""),
        ({"bandwidth_seconds": 13}, "fabric_bandwidth_seconds is 13, and fabric_test_seconds 15: a test would be ended before it is "
         "through. Fix: fabric_test_seconds of 16 or more"),
        ({"bandwidth_seconds": 60, "bandwidth_iterations": 10}, ""),
        ({"bandwidth_seconds": 60, "tests": ["write_lat"]}, ""),
        ({"bandwidth_seconds": 60, "pairs": False}, ""),
        ({"tcp_port": 80}, "fabric_tcp_port is 80, not from 1024 to 65535"),
        ({"allreduce_seconds": 1}, "fabric_allreduce_seconds is 1, not from 30 to 3600"),
        ({"allreduce_mib": []}, "fabric_allreduce_mib is not a list of sizes"),
        ({"allreduce_mib": [0.0]}, "fabric_allreduce_mib is not a list of sizes"),
        ({"latency_iterations": 1}, "fabric_latency_iterations is 1, not from 5"),
    ],
)
def test_options_that_make_no_sense(change: dict[str, Any], words: str) -> None:
    found = "; ".join(fabric_schedule.wrong({**GIVEN, **change}))
    assert words in found
    assert bool(found) == bool(words)


def refusals(*, serving: list[str], lacking: list[str], **change: Any) -> str:
    port = {"device": "mlx5_0", "port": 1, "netdev": "e0", "gid_index": 3, "addresses": [], "rate": 400.0, "rate_true": True,
            "speed": "NDR", "link_layer": "Ethernet"}
    hosts = {name: {"address": f"203.0.113.{place}", "ports": [port], "left_out": {}, "missing": [], "rdma": True, "cluster": "x",
                    "traffic_class": None} for place, name in enumerate(("a", "b"), 1)}
    given = {**GIVEN, **change, "hosts": {name: {"looked": {"serving": [], "lacking": []}} for name in hosts}}
    given["hosts"]["b"] = {"looked": {"serving": serving, "lacking": lacking}}
    return "\n".join(fabric_schedule.refusals(given, make(hosts, [], fabric_schedule.options(given))))


def test_refusals_name_host_variable_and_fix() -> None:
    assert refusals(serving=[], lacking=[]) == ""
    unit = ["sglang-prefill-0.service"]
    assert refusals(serving=unit, lacking=[]) == (
        "b: sglang-prefill-0.service would be disturbed. Fix: stop it, or consent by fabric_allow_serving: true"
    )
    assert refusals(serving=unit, lacking=[], allow_serving=True) == ""
    assert "b: ib_write_bw not found. Fix: install the package perftest" in refusals(serving=[], lacking=["ib_write_bw"])
    assert refusals(serving=[], lacking=["ib_write_bw"], require_perftest=False) == ""
    assert refusals(serving=[], lacking=["ib_write_bw"], pairs=False) == "", "nobody needs it"
    assert "fabric_max_seconds is 30. Fix: more time" in refusals(serving=[], lacking=[], max_seconds=30, bandwidth_seconds=60)
    assert "a lower fabric_tcp_port" in refusals(serving=[], lacking=[], tcp_port=65535)


def test_a_host_that_did_not_report() -> None:
    looked = {"perftest": "perftest 6.06", "unit": "", "serving": []}
    assert fabric_report.told({"looked": looked, "measured": None})["user"] == "nobody: it did not report"
    assert fabric_report.told({"looked": looked, "measured": {"user": "sglang"}})["unit"] == "the engine's unit as it would be installed"


def test_the_role_tells_every_host_by_itself_and_lets_the_schedule_check() -> None:
    tasks = yaml.safe_load((ROOT / "roles/fabric/tasks/main.yml").read_text(encoding="utf-8"))
    (given,) = [task["railyard.sglang.fabric_schedule"] for task in tasks if "railyard.sglang.fabric_schedule" in task]
    assert given["poll_seconds"] == "{{ fabric_poll_seconds }}"
    assert "own.fabric_traffic_class | default(own.sglang_rdma_traffic_class" in given["hosts"]
    assert set(given) == set(fabric_schedule.SPEC)
