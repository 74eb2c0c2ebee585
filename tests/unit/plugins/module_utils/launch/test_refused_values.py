# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of the right type that make no sense, and faults of the collection itself."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import contract, texts
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract
from ansible_collections.railyard.sglang.tests.unit.support.clusters import GONE, Inventory, Refusal, cluster, gpu_cluster

PREFILL = "sglang_pools.prefill"
NEW = {"sglang_stack": "sglang-0.5.23-cu13"}
NAN, INF = float("nan"), float("inf")


def argument(name: str, value: Any, text: str, **changes: Any) -> Refusal:
    """Return the refusal of an argument's value."""
    return Refusal("argument.value", {f"sglang_args.{name}": value, **changes}, f"sglang_args.{name}", text)


def host(name: str, value: Any, text: str) -> Refusal:
    """Return the refusal of a variable of one host."""
    return Refusal("input.type", {f"p1:{name}": value}, name, text, host="p1")


def of_cluster(name: str, value: Any, text: str, fix: str = "") -> Refusal:
    """Return the refusal of a variable of the cluster."""
    return Refusal("input.type", {name: value}, name, text, fix)


REFUSALS = {
    "a fault of a rule": Refusal(
        "plan.internal", {"sglang_model.name": "broken"}, "sglang_pools", "_broken ended with ZeroDivisionError: ", "report it"
    ),
    "an unknown number of GPUs": Refusal("plan.gpu-count", {"p0:sglang_gpu.count": 0}, "sglang_gpu.count", "is not set on p0:", "set it"),
    "pages of nothing": argument("page-size", 0, "0 is less than 1"),
    "pages below nothing": argument("page-size", -64, "-64 is less than 1"),
    "no request": argument("max-running-requests", 0, "0 is less than 1"),
    "no context": argument("context-length", -1, "-1 is less than 1"),
    "no context, with a unit": argument("context-length", "0k", "'0k' is less than 1", **NEW),
    "no tokens": argument("max-total-tokens", 0, "0 is less than 1"),
    "experts below nothing": argument("ep-num-redundant-experts", -1, "-1 is less than 0"),
    "no memory": argument("mem-fraction-static", 0, "0 is not between 0 and 1"),
    "all memory": argument("mem-fraction-static", 1.0, "1.0 is not between 0 and 1"),
    "more than the memory": argument("mem-fraction-static", 1.5, "1.5 is not between 0 and 1"),
    "less than no memory": argument("mem-fraction-static", -1, "-1 is not between 0 and 1"),
    "an infinite share": of_cluster("sglang_args.mem-fraction-static", INF, "is .nan or .inf", "write a number"),
    "a share that is no number": of_cluster("sglang_args.mem-fraction-static", NAN, "is .nan or .inf"),
    "a variable that is no number": Refusal("input.type", {"sglang_env": {"A": NAN}}, "sglang_env.A", "is .nan or .inf"),
    "memory of a host that is no number": Refusal(
        "input.type", {"p1:sglang_gpu.memory_gib": NAN}, "sglang_gpu.memory_gib", "is .nan or .inf", host="p1"
    ),
    "MiB for GiB": Refusal("input.type", {"p1:sglang_gpu.memory_gib": 81559}, "sglang_gpu.memory_gib", "81559 is above 1024", host="p1"),
    "many GPUs": Refusal("input.type", {"p1:sglang_gpu.count": 65}, "sglang_gpu.count", "65 is above 64", host="p1"),
    "the name of a GPU": Refusal("input.type", {"p1:sglang_gpu.arch": "h100"}, "sglang_gpu.arch", "'h100' does not match", host="p1"),
    "a GID index that no port has": host("sglang_gid_index", 300, "300 is above 255"),
    "an interface with a blank": host("sglang_fabric_interface", "eth 0; ls", "does not match"),
    "a long name of an interface": host("sglang_fabric_interface", "e" * 16, "does not match"),
    "an endless tp": of_cluster(f"{PREFILL}.tp", 10_000_000, "10000000 is above 4096"),
    "an endless dp of an instance": Refusal(
        "input.type",
        {f"{PREFILL}.instances": [{"name": "a", "hosts": ["p0", "p1"], "dp": 5000}]},
        f"{PREFILL}.instances[0].dp",
        "5000 is above 4096",
    ),
    "more GPUs than any host has": Refusal(
        "placement.gpu-count",
        {f"{PREFILL}.tp": 160, "p0:sglang_gpu.count": 0},
        f"{PREFILL}.hosts",
        "no host has more than 64",
        host="p0",
    ),
    "hosts in a list": Refusal(
        "input.type",
        {f"{PREFILL}.instances": [{"name": "a", "hosts": [["p0"]]}]},
        f"{PREFILL}.instances[0].hosts[0]",
        "['p0'] is not a text",
    ),
    "hosts as numbers": Refusal(
        "input.type",
        {f"{PREFILL}.instances": [{"name": "a", "hosts": ["p0", 1]}]},
        f"{PREFILL}.instances[0].hosts[1]",
        "1 is not a text",
        "in quotes",
    ),
    "a model without a name": of_cluster("sglang_model.name", "", "does not match"),
    "a model above": of_cluster("sglang_model.path", "/a/../root/x", "does not match"),
    "a root above": of_cluster("sglang_root", "/opt/..", "does not match"),
}


def _broken(contract: Contract, findings: Findings) -> None:
    if contract.cluster.model["name"] == "broken":
        findings.add("plan.internal", "", str(1 // 0), "")


@pytest.fixture(autouse=True)
def _a_rule_with_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "RULES", (_broken, *contract.RULES))


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refused(refusal: Refusal) -> None:
    refusal.check(gpu_cluster())


def test_a_fault_of_a_rule_hides_no_other() -> None:
    found = gpu_cluster().change({"sglang_model.name": "broken", f"{PREFILL}.bootstrap_port": 100}).findings()
    assert {"plan.internal", "port.privileged"} <= {row.rule for row in found}


def test_a_fault_of_a_rule_cannot_be_waived() -> None:
    found = gpu_cluster().change({"sglang_model.name": "broken", "sglang_waive": {"plan.internal": "it is late"}}).findings()
    assert [(row.rule, row.variable) for row in found] == [("waiver.invalid", "sglang_waive.plan.internal")]


def test_no_number_is_reported_once_and_not_as_different() -> None:
    found = gpu_cluster().change({"sglang_env": {"A": float("nan")}}).findings()
    assert [(row.rule, row.variable) for row in found] == [("input.type", "sglang_env.A")]


@pytest.mark.parametrize(
    "inventory",
    [
        gpu_cluster().change({"sglang_args.page-size": 1, "sglang_args.mem-fraction-static": 0.99}),
        gpu_cluster().change({"sglang_gpu.memory_gib": 1024, "sglang_gid_index": 255, "sglang_fabric_interface": "enp1s0f0np0.100"}),
        gpu_cluster().change({"sglang_args.chunked-prefill-size": -1, "sglang_args.max-running-requests": 1}),
        gpu_cluster().change({"sglang_model.path": "/opt/models..x/a", "sglang_model.name": "a b"}),
        *(gpu_cluster().change({"sglang_gpu.arch": arch}) for arch in ("", "sm90", "sm_90a", "SM 90", "9.0", "90", "gfx942", "ascend910b")),
        cluster().change({"sglang_gpu": GONE}),
    ],
)
def test_accepted(inventory: Inventory) -> None:
    refused = {row.rule for row in inventory.findings()} & {row.rule for row in REFUSALS.values()}
    assert refused == set()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("0", 0), ("15000", 15000), ("", None), ("-5", None), ("\u00b2", None), ("\u0663", None), ("1e9", None), ("9" * 5000, None)],
)
def test_number(text: str, wanted: int | None) -> None:
    assert texts.number(text) == wanted
