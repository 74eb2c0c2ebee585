# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture: nothing overlaps, everything is in its box, its size is bounded."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from xml.parsers import expat

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import drawing, picture, reading
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views.drawing import Box, Drawing
from ansible_collections.railyard.sglang.tests.unit.support.clusters import DEVICES, cluster, gpu_cluster

LONG = "a-very-long-name-of-a-host-in-a-data-centre-with-rows-and-racks"


def finding(severity: str, place: str = "", host: str = "", rule: str = "some.rule") -> dict[str, Any]:
    texts = {"rule": rule, "variable": "sglang_args.x", "text": f"{place or host} is wrong", "fix": "right it"}
    return {**texts, "host": host, "severity": severity, "cluster": "lab", "place": place}


def crowded() -> dict[str, Any]:
    plan = gpu_cluster(4, 4).plan()
    plan["findings"] = [finding("note", place, rule=f"a.b{number}") for place in ("prefill-0", "router", "") for number in range(14)]
    return plan


def mapped() -> dict[str, Any]:
    changes = {"sglang_rdma_devices": [], "sglang_rdma_device_map": {str(gpu): name for gpu, name in enumerate(DEVICES)}}
    return gpu_cluster().change(changes).plan()


def unknown() -> dict[str, Any]:
    return gpu_cluster().change({"sglang_rdma_devices": []}).plan()


def many_gpus() -> dict[str, Any]:
    plan = gpu_cluster().plan()
    for rank in reading.ranks(plan):
        rank["gpus"] = list(range(24))
        rank["host"] = LONG
    return plan


def wide() -> dict[str, Any]:
    return cluster(24, 12, 12, 12).plan()


def dp_attention() -> dict[str, Any]:
    sizes = {f"sglang_pools.{pool}.{key}": value for pool in ("prefill", "decode") for key, value in (("dp", 4), ("dp_attention", True))}
    return gpu_cluster().change(sizes).plan()


def routers() -> dict[str, Any]:
    plan = cluster().plan()
    plan["routers"] = [{**plan["routers"][0], "host": f"r{index}"} for index in range(20)]
    return plan


PLANS: dict[str, Callable[[], dict[str, Any]]] = {
    "lab": lambda: cluster().plan(),
    "single hosts": lambda: cluster(3, 5, 1, 1).plan(),
    "GPUs": lambda: gpu_cluster().plan(),
    "crowded": crowded,
    "mapped": mapped,
    "unknown": unknown,
    "24 GPUs and long names": many_gpus,
    "twelve ranks": wide,
    "DP attention": dp_attention,
    "twenty routers": routers,
    "many": lambda: gpu_cluster(40, 60).plan(),
}


@functools.cache
def drawn(name: str) -> tuple[dict[str, Any], Drawing]:
    plan = PLANS[name]()
    return plan, picture.cluster(plan, "lab", reading.entries(plan["findings"]))


def apart(one: Box, other: Box) -> bool:
    return (
        one.x + one.width <= other.x or other.x + other.width <= one.x or one.y + one.height <= other.y or other.y + other.height <= one.y
    )


@pytest.mark.parametrize("name", PLANS)
def test_boxes_do_not_overlap(name: str) -> None:
    boxes = drawn(name)[1].boxes
    for index, one in enumerate(boxes):
        clashes = [other.name for other in boxes[index + 1 :] if other.inside == one.inside and not apart(one, other)]
        assert clashes == [], one.name


@pytest.mark.parametrize("name", PLANS)
def test_boxes_lie_in_their_boxes_and_in_the_picture(name: str) -> None:
    found = drawn(name)[1]
    by_name = {box.name: box for box in found.boxes}
    assert len(by_name) == len(found.boxes)
    for box in found.boxes:
        outer = by_name[box.inside] if box.inside else Box("", 0, 0, found.width, found.height, "")
        assert box.width > 0, box
        assert box.height > 0, box
        assert outer.x <= box.x, box
        assert outer.y <= box.y, box
        assert box.x + box.width <= outer.x + outer.width + 0.1, box
        assert box.y + box.height <= outer.y + outer.height + 0.1, box


@pytest.mark.parametrize("name", PLANS)
def test_texts_stay_in_the_box_that_they_begin_in(name: str) -> None:
    found = drawn(name)[1]
    for label in found.labels:
        left = label.x - {"start": 0.0, "middle": label.width / 2, "end": label.width}[label.anchor]
        around = [box for box in found.boxes if box.x <= label.x <= box.x + box.width and box.y <= label.y <= box.y + box.height]
        inner = min(around, key=lambda box: box.width * box.height, default=Box("", 0, 0, found.width, found.height, ""))
        # A text of three characters is not shortened; its font may be wider than its box by a hair.
        assert inner.x - 3 <= left, (label, inner)
        assert left + label.width <= inner.x + inner.width + 3, (label, inner)


@pytest.mark.parametrize("name", PLANS)
def test_texts_do_not_run_into_badges(name: str) -> None:
    found = drawn(name)[1]
    for label in found.labels:
        for badge in found.badges:
            level = abs(label.y - 4 - badge.y) < 10
            left = label.x - {"start": 0.0, "middle": label.width / 2, "end": label.width}[label.anchor]
            assert not (level and left < badge.x + 9 and badge.x - 9 < left + label.width), (label, badge)


SIZES = [((4, 4), 4), ((16, 16), 16), ((40, 60), 16), ((80, 80), 16)]


@pytest.mark.parametrize(("hosts", "boxes"), SIZES)
def test_picture_is_bounded(hosts: tuple[int, int], boxes: int) -> None:
    found = picture.cluster(gpu_cluster(*hosts).plan(), "lab", [])
    assert len([box for box in found.boxes if box.kind.split()[0] in ("prefill", "decode")]) == boxes
    assert found.height < 2500


def test_instances_with_findings_are_drawn_before_others() -> None:
    plan = gpu_cluster(40, 4).plan()
    plan["findings"] = [finding("warning", "prefill-17"), finding("note", "", "p38")]
    found = picture.cluster(plan, "lab", reading.entries(plan["findings"]))
    texts = [label.text for label in found.labels if label.kind == "name"]
    assert {"prefill-0", "prefill-1", "prefill-17", "prefill-19", "13 more of prefill"} <= set(texts)
    assert sorted(badge.number for badge in found.badges) == [1, 2]


PLACES = [
    (finding("warning", "prefill-0"), "lab prefill-0"),
    (finding("note", "", "d1"), "lab decode-0"),
    (finding("note", "router"), "router 1"),
    (finding("waived", "router", "r0"), "router 1"),
    (finding("note"), ""),
]


@pytest.mark.parametrize(("row", "box"), PLACES)
def test_badge_is_beside_the_place_that_it_concerns(row: dict[str, Any], box: str) -> None:
    plan = cluster().plan()
    found = picture.cluster(plan, "lab", reading.entries([row]))
    (badge,) = found.badges
    assert badge.severity == row["severity"]
    around = [one.name for one in found.boxes if one.x < badge.x < one.x + one.width and one.y < badge.y < one.y + one.height]
    assert around == ([box] if box else [])


def test_findings_of_another_cluster_are_not_drawn() -> None:
    found = picture.cluster(cluster().plan(), "lab", reading.entries([{**finding("note", "prefill-0"), "cluster": "west"}]))
    assert found.badges == []


def kinds(found: Drawing) -> dict[str, int]:
    ends = [line.kind for line in found.lines if line.heads != "none"]
    return {kind: ends.count(kind) for kind in dict.fromkeys(ends)}


# What talks to what: arrowheads by kind of line.
ARROWS = [
    ("lab", {"request": 3, "kv": 2, "bootstrap": 1, "rendezvous": 2}),
    ("single hosts", {"request": 9, "kv": 8, "bootstrap": 3}),
]


@pytest.mark.parametrize(("name", "arrows"), ARROWS)
def test_who_talks_to_whom(name: str, arrows: dict[str, int]) -> None:
    assert kinds(drawn(name)[1]) == arrows


def test_an_instance_that_no_router_lists_gets_no_requests() -> None:
    plan = cluster(4, 2).plan()
    plan["routers"][0]["workers"] = [row for row in plan["routers"][0]["workers"] if row["instance"] != "prefill-1"]
    assert kinds(picture.cluster(plan, "lab", []))["request"] == 3


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("mapped", ["GPU 7", "mlx5_11", "30000 API", "8998 KV bootstrap", "5000 rendezvous"]),
        ("unknown", ["rails: not known before the host is looked at", "? 2 values not known yet"]),
        ("24 GPUs and long names", ["+9"]),
        ("twelve ranks", ["5 more ranks: p7 to p11"]),
        ("DP attention", ["5001-5005, 5013 DP attention"]),
        ("twenty routers", ["13 more routers"]),
        ("many", ["13 more of prefill", "23 more of decode", "prefill-7 to prefill-19: 26 hosts, 208 GPUs"]),
    ],
)
def test_words(name: str, texts: list[str]) -> None:
    found = {label.text for label in drawn(name)[1].labels}
    assert [text for text in texts if text not in found] == []


def test_a_shortened_text_is_whole_when_pointed_at() -> None:
    labels = [label for label in drawn("24 GPUs and long names")[1].labels if LONG in label.title]
    assert labels
    assert all("\u2026" in label.text for label in labels)


@pytest.mark.parametrize("name", PLANS)
def test_svg_is_well_formed(name: str) -> None:
    found = drawn(name)[1]
    tags: list[str] = []
    words: list[str] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda tag, _attributes: tags.append(tag)
    parser.CharacterDataHandler = words.append
    parser.Parse(drawing.svg(found, "a <b> & c"), True)
    assert "a <b> & c" in "".join(words)
    assert tags.count("rect") == len(found.boxes)
    assert tags.count("circle") == len(found.badges)
    assert tags.count("polyline") == len(found.lines)


@pytest.mark.parametrize(
    ("text", "room", "wanted"),
    [("short", 100, "short"), ("abcdefghij", 61, "abcdefghij"), ("abcdefghij", 43, "ab\u2026ghij"), ("abcdefghij", 1, "a\u2026j")],
)
def test_fit(text: str, room: float, wanted: str) -> None:
    assert drawing.fit(text, "chip", room) == wanted
