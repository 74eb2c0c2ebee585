# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables, findings that come many times, and the files of a report."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import porttable
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import reading, report, text
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster, gpu_cluster


def view(plan: dict[str, Any]) -> str:
    return text.view(plan, porttable.flows(plan))


def finding(severity: str, host: str = "", place: str = "", cluster_name: str = "lab", **other: str) -> dict[str, Any]:
    row = {"rule": "a.b", "variable": "sglang_x", "text": f"{host or place} is wrong", "fix": "right it", "host": host}
    return {**row, "severity": severity, "cluster": cluster_name, "place": place, **other}


LINES = [
    "Plan of 1 cluster: ",
    "lab      deepseek-r1  sglang-0.5.8-cu12  sglang-router-0.3.2  prefill 1, decode 1      5    32",
    "lab      prefill-0  prefill  tp 16      2  http://203.0.113.10:30000   ",
    "prefill-0     0  p0    0-7   203.0.113.10   30000 API, 8998 KV bootstrap, 5000 rendezvous",
    "decode-0      1  d1    0-7   203.0.113.111  30001 rank health",
    "on r0, http://198.51.100.210:8000, ports 8000 router API, 29000 router metrics",
    "  prefill-0  prefill  http://203.0.113.10:30000             8998",
    "lab decode                      p0, p1              tcp       15000-17000  Mooncake handshake               always",
]


def test_tables() -> None:
    found = view(gpu_cluster().plan()).splitlines()
    assert [line for line in LINES if not any(row.startswith(line) for row in found)] == []
    assert "Not known before the hosts are looked at" not in found
    assert [line for line in found if line != line.rstrip()] == []


def test_unknown_values_have_a_table() -> None:
    plan = gpu_cluster().change({"p1:sglang_rdma_devices": []}).plan()
    assert [row[0] for row in text.unknown(plan)] == ["--disaggregation-ib-device", "NCCL_IB_HCA"]
    assert {row[2] for row in text.unknown(plan)} == {"prefill-0 rank 1"}
    assert "Not known before the hosts are looked at" in view(plan)


def test_cpu_has_no_gpus() -> None:
    assert "prefill-0     0  p0    none" in view(cluster().plan())


def test_loopback_ports_are_local() -> None:
    assert "5000 rendezvous (local)" in view(cluster(1, 1, 1, 1).plan())


def test_findings_the_worst_first_with_their_fix() -> None:
    rows = [finding("note", "p0"), finding("waived", "p1"), finding("warning", place="prefill-0"), finding("note")]
    assert text.findings(rows) == [
        "1. warning: sglang_x (prefill-0): prefill-0 is wrong [rule a.b]", "   fix: right it",
        "2. note: sglang_x (host p0): p0 is wrong [rule a.b]", "   fix: right it",
        "3. note: sglang_x:  is wrong [rule a.b]", "   fix: right it",
        "4. waived: sglang_x (host p1): p1 is wrong [rule a.b]", "   fix: right it",
    ]
    assert text.findings([finding("note", "p0")], several=True)[0].startswith("1. note: sglang_x (cluster lab, host p0)")
    assert text.findings([]) == ["none"]


@pytest.mark.parametrize(
    ("count", "numbers", "first"),
    [
        (6, 6, "1. note: sglang_x (host h0): h0 is wrong [rule a.b]"),
        (7, 1, "1. note: sglang_x (host h0, h1, ... h6 (7)): h0 is wrong (and 6 more like this) [rule a.b]"),
    ],
)
def test_many_alike_are_one(count: int, numbers: int, first: str) -> None:
    rows = [finding("note", f"h{index}") for index in range(count)]
    assert text.findings(rows)[0] == first
    assert len(text.findings(rows)) == 2 * numbers


def test_alike_means_the_same_but_for_host_and_text() -> None:
    rows = [finding("note", f"h{index}") for index in range(7)]
    for other in ({"rule": "a.c"}, {"variable": "sglang_y"}, {"fix": "leave it"}, {"severity": "waived"}, {"cluster": "west"}):
        assert len(reading.entries([*rows, {**rows[0], **other}])) == 2


@pytest.mark.parametrize(
    ("numbers", "wanted"), [([], ""), ([3], "3"), ([0, 1, 2, 3, 6], "0-3, 6"), ([5, 4, 9, 8], "4-5, 8-9")],
)
def test_spans(numbers: list[int], wanted: str) -> None:
    assert text.spans(numbers) == wanted


def test_refusal() -> None:
    found = text.refusal([finding("error", "p0"), finding("warning", cluster_name="west")])
    assert found.startswith("No plan: 1 error, 1 warning.")
    assert "1. error: sglang_x (cluster lab, host p0): p0 is wrong [rule a.b]\n   fix: right it\n" in found


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        (["-m", "x", "--a", "1", "--b"], {"--a": ("1",), "--b": ()}),
        (["--prefill", "u", "8998", "--prefill", "v"], {"--prefill": ("u", "8998", "v")}),
    ],
)
def test_options(argv: list[str], wanted: dict[str, tuple[str, ...]]) -> None:
    assert reading.options(argv) == wanted


# Value of the argument, NCCL_IB_HCA, and the devices by GPU.
DEVICES = [
    ("", "", {}),
    ("mlx5_0,mlx5_1", "", {"": ("mlx5_0", "mlx5_1")}),
    ('{"0": "mlx5_0,mlx5_2", "1": "mlx5_1"}', "", {"0": ("mlx5_0", "mlx5_2"), "1": ("mlx5_1",)}),
    ("", "=mlx5_4,mlx5_5", {"": ("mlx5_4", "mlx5_5")}),
    ("", "^=mlx5_4", {}),
    ("mlx5_0", "=mlx5_4", {"": ("mlx5_0",)}),
]


@pytest.mark.parametrize(("argument", "variable", "wanted"), DEVICES)
def test_devices(argument: str, variable: str, wanted: dict[str, tuple[str, ...]]) -> None:
    given = {"disaggregation-ib-device": argument} if argument else {}
    environment = {"NCCL_IB_HCA": variable} if variable else {}
    assert reading.devices({"argv": [], "arguments": given, "environment": environment}) == wanted
    words = ["--disaggregation-ib-device", argument] if argument else []
    assert reading.devices({"argv": words, "arguments": {}, "environment": environment}) == wanted


def test_the_same_plan_gives_the_same_bytes() -> None:
    one, other = (report.files(gpu_cluster().plan(), {}, 22, "public") for _turn in range(2))
    assert one == other
    shuffled = json.loads(json.dumps(gpu_cluster().plan(), sort_keys=True))
    assert report.files(shuffled, {}, 22, "public")["plan.json"] == one["plan.json"]
    assert sorted(one) == ["firewall.json", "firewall.nft", "plan.html", "plan.json", "plan.txt"]
    assert all(content.endswith("\n") for content in one.values())


def test_plan_json_is_the_plan() -> None:
    plan = gpu_cluster().plan()
    content = report.files(plan, {}, 22, "public")["plan.json"]
    assert json.loads(content) == plan
    assert content.startswith('{\n "clusters": [\n')


def test_refused_files() -> None:
    assert sorted(report.refused([finding("error")])) == ["plan.html", "plan.txt"]


@pytest.mark.parametrize(
    ("level", "wanted"), [("error", ["error"]), ("warning", ["error", "warning"]), ("note", ["error", "warning", "note"])],
)
def test_failures(level: str, wanted: list[str]) -> None:
    rows = [finding(severity) for severity in ("error", "warning", "note", "waived")]
    assert [row["severity"] for row in report.failures(rows, level)] == wanted


@pytest.mark.parametrize(
    ("sources", "name"),
    [
        (["/srv/inventory/east"], "east"),
        (["/srv/inventory/east/"], "east"),
        (["inventory/east.yml", "inventory/west.yml"], "east"),
        (["inventory/east/hosts.yml"], "east"),
        (["./inventory/east/inventory.ini"], "east"),
        (["hosts.yml"], "hosts"),
        (["p0,p1,"], "hosts"),
        ([], "hosts"),
        (["/"], "hosts"),
    ],
)
def test_name_of_an_inventory(sources: list[str], name: str) -> None:
    assert report.name_of(sources) == name
