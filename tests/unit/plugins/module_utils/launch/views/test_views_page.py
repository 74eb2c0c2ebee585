# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page: it needs nothing else, everything in it is escaped, its links lead somewhere."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import asdict
from html.parser import HTMLParser
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import porttable
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import PlanError
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import page, processes, reading
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster, gpu_cluster

EVIL = '<script>alert("x")</script>&\'"'
VOID = {"meta", "br", "rect", "polyline", "circle", "path"}


def finding(severity: str, place: str = "", host: str = "", text: str = "is wrong") -> dict[str, Any]:
    row = {"rule": "some.rule", "variable": "sglang_args.x", "text": text, "fix": "right it", "host": host}
    return {**row, "severity": severity, "cluster": "lab", "place": place}


def replaced(value: Any) -> Any:
    """Return a plan in which every free text holds what HTML would take for its own."""
    if isinstance(value, dict):
        return {key: item if key in KEPT else replaced(item) for key, item in value.items()}
    if isinstance(value, list):
        return [replaced(item) for item in value]
    return value + EVIL if isinstance(value, str) else value


# What decides how something is drawn; the rest is text to be shown.
KEPT = (
    "severity", "mode", "device", "url", "health_url", "argv", "name", "cluster", "host", "instance", "hosts", "workers", "address",
    "purpose",
)


def evil() -> dict[str, Any]:
    plan = gpu_cluster().plan()
    plan["findings"] = [finding("warning", "prefill-0"), finding("note")]
    plan = replaced(plan)
    plan["routers"][0]["argv"].append(EVIL)
    plan["instances"][0]["ranks"][0]["argv"].append(EVIL)
    plan["clusters"][0]["model"]["name"] = EVIL
    return plan


def several() -> dict[str, Any]:
    plan, other = cluster().plan(), cluster().change({"sglang_cluster": "west"}).plan()
    for key in ("clusters", "instances", "routers", "findings"):
        plan[key] += other[key]
    plan["hosts"] |= {"w" + host: {**row, "name": "w" + host} for host, row in other["hosts"].items()}
    plan["findings"] = [finding("note", "prefill-0"), {**finding("warning", "decode-0"), "cluster": "west"}]
    return plan


PLANS: dict[str, Callable[[], dict[str, Any]]] = {
    "lab": lambda: cluster().plan(),
    "unknown values": lambda: gpu_cluster().change({"sglang_rdma_devices": []}).plan(),
    "evil": evil,
    "several clusters": several,
}
REFUSAL = [finding("error", "prefill-0"), finding("warning", host="p0", text=EVIL)]


@functools.cache
def html(name: str) -> str:
    if name == "refused":
        return page.refusal(REFUSAL)
    plan = PLANS[name]()
    return page.view(plan, porttable.flows(plan))


class Reader(HTMLParser):
    """Keeps what a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@functools.cache
def read(name: str) -> Reader:
    reader = Reader()
    reader.feed(html(name))
    reader.close()
    return reader


NAMES = [*PLANS, "refused"]


@pytest.mark.parametrize("name", NAMES)
def test_every_tag_is_closed(name: str) -> None:
    assert read(name).open == []


@pytest.mark.parametrize("name", NAMES)
def test_needs_nothing_else(name: str) -> None:
    reader = read(name)
    assert {"script", "link", "img", "iframe", "object", "use", "image"}.isdisjoint(reader.tags)
    assert [value for key, value in reader.attributes if key in ("href", "src", "action", "xlink:href") and not value.startswith("#")] == []
    assert [key for key, _value in reader.attributes if key.startswith("on")] == []
    assert "url(" not in html(name).partition("</style>")[0]
    assert "@import" not in html(name)


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere_and_names_are_one_of_a_kind(name: str) -> None:
    reader = read(name)
    ids = [value for key, value in reader.attributes if key == "id"]
    assert len(ids) == len(set(ids))
    links = [value[1:] for key, value in reader.attributes if key == "href"]
    marks = [value.removeprefix("url(#").removesuffix(")") for key, value in reader.attributes if key in ("marker-start", "marker-end")]
    assert set(links) | set(marks) <= set(ids)


def test_everything_is_escaped() -> None:
    assert "<script" not in html("evil")
    assert read("evil").text.count(EVIL) > 50
    assert "<script" not in html("refused")
    assert EVIL in read("refused").text


def test_light_and_dark() -> None:
    style = html("lab").split("<style>")[1].split("</style>")[0]
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    made = set(re.findall(r"(--[\w-]+):", light))
    assert made == set(re.findall(r"(--[\w-]+):", dark))
    assert set(re.findall(r"var\((--[\w-]+)\)", html("lab"))) <= made


def test_rank_values_that_differ_are_told_apart_and_others_are_not() -> None:
    (instance,) = [row for row in gpu_cluster().plan()["instances"] if row["mode"] == "prefill"]
    reader = Reader()
    reader.feed(processes.instance(instance))
    assert "--node-rank (rank 0)" in reader.text
    assert "--node-rank (rank 1)" in reader.text
    assert "--nnodes" in reader.text
    assert "--nnodes (rank" not in reader.text
    for rank in instance["ranks"]:
        for name, value in rank["environment"].items():
            assert name in reader.text
            assert value in reader.text
        assert [why for why in rank["reasons"].values() if why not in reader.text and rank["rank"] == 0] == []


def test_unknown_values_are_marked() -> None:
    assert html("unknown values").count('class="unknown-value">NCCL_IB_HCA<') >= 2
    assert 'class="unknown-value"' not in html("lab").split("</style>")[1]


def test_clusters_have_a_picture_each_and_findings_say_which() -> None:
    assert html("several clusters").count("<svg viewBox") == 2
    assert "warning, cluster west, decode-0, rule some.rule" in read("several clusters").text


def test_refusal_has_no_picture_and_every_finding() -> None:
    assert "<svg viewBox" not in html("refused")
    assert "refused 1 error, 1 warning" in read("refused").text
    assert "error, prefill-0, rule some.rule" in read("refused").text


def test_a_refusal_with_a_draft_has_its_findings_beside_their_places() -> None:
    with pytest.raises(PlanError) as error:
        gpu_cluster().change({"sglang_env.SGLANG_HOST_IP": None}).plan()
    assert error.value.draft is not None
    rows = [asdict(found) for found in error.value.findings]
    text = page.refusal(rows, error.value.draft)
    assert text.count("<svg viewBox") == 1
    drawn = text[text.index("<svg viewBox") : text.index("</svg>", text.index("<svg viewBox"))]
    numbers = [entry.number for entry in reading.entries(rows) if entry.first["place"] in ("prefill-0", "decode-0")]
    assert len(numbers) >= 4
    assert [number for number in numbers if f'href="#finding-{number}"' not in drawn] == []
    assert "No plan of lab" in text
    assert "not a plan: it would not work" in text
    assert "Who must reach whom" not in text


def test_an_inventory_that_cannot_be_read_has_no_draft() -> None:
    with pytest.raises(PlanError) as error:
        gpu_cluster().change({"sglang_pools.prefill.tp": "many"}).plan()
    assert error.value.draft is None


@pytest.mark.parametrize(
    ("severities", "verdict"),
    [
        ([], "planned no findings"), (["note"], "planned 1 note"), (["waived"], "planned 1 waived"),
        (["note", "warning"], "planned, with warnings"),
    ],
)
def test_verdict(severities: list[str], verdict: str) -> None:
    plan = cluster().plan()
    plan["findings"] = [finding(severity) for severity in severities]
    reader = Reader()
    reader.feed(page.view(plan, []))
    assert verdict in reader.text


def test_a_large_page_stays_small() -> None:
    plan = gpu_cluster(60, 60).plan()
    plan["findings"] = [finding("note", host=host, text=f"{host} has no such thing") for host in plan["hosts"]]
    text = page.view(plan, porttable.flows(plan))
    assert len(text) < 10000 * 60
    assert text.count('<li id="finding-') == len(reading.entries(plan["findings"])) == 1
    assert "(and 120 more like this)" in text


def test_command_can_be_typed() -> None:
    command = processes.command({"python": "/opt/a b/python", "argv": ["-m", "x", "--name", "a'b", "--flag", "--map", '{"0": "y"}']})
    assert command == "'/opt/a b/python' -m x \\\n  --name 'a'\"'\"'b' \\\n  --flag \\\n  --map '{\"0\": \"y\"}'"
