# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The summary: one line per host, one column per rail, what differs marked without colour, too, and nothing of a host taken for HTML."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.clock import Clock
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.compare import compare
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.views import page, summary, text
from ansible_collections.railyard.sglang.plugins.module_utils.launch.catalogue import WAIVED
from ansible_collections.railyard.sglang.tests.unit.support import fleets

Facts = dict[str, dict[str, Any]]
EVIL = '<script>alert("x")</script>&\'"'
VOID = {"meta", "br"}


class Page(HTMLParser):
    """Reads a page, and fails where elements are not closed in their order.

    :ivar rows: cells of the table of hosts: tag, attributes and text.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[tuple[str, dict[str, str | None], list[str]]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append((tag, dict(attrs), []))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1][2].append(data)


@pytest.fixture(scope="module")
def seen(twelve: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Twelve hosts, some of them different."""
    place = tmp_path_factory.mktemp("views")
    facts = {
        **twelve, "p1": fleets.machine(place, 2, mtu={3: 1500}), "d2": fleets.machine(place, 9, state={5: "DOWN"}),
        "d0": fleets.machine(place, 7, gid=5), "p5": fleets.machine(place, 6, rails=7),
    }
    del facts["p2"], facts["d5"]
    clocks = {**dict.fromkeys([*fleets.NAMES, "r0"], Clock(-0.01, 0.02)), "d1": Clock(4.9, 5.1)}
    return compare(fleets.plan(), facts, clocks, absent=("d5",))


def lines(seen: Any) -> dict[str, str]:
    """Return the line of each host."""
    found = {}
    for line in text.view(*seen).splitlines():
        match = re.match(r"(?:prefill-\d|decode-\d|router) +[*~]?([pdr]\d)\b", line)
        if match:
            assert match.group(1) not in found
            found[match.group(1)] = line
    return found


def test_text_has_one_line_per_host_and_one_column_per_rail(seen: Any) -> None:
    rows = lines(seen)
    assert set(rows) == {*fleets.NAMES, "r0"}
    head = next(line for line in text.view(*seen).splitlines() if line.startswith("instance"))
    assert re.findall(r"rail \d", head) == [f"rail {index}" for index in range(8)]
    for index in range(8):
        # Columns stay rails, also on the host where rail 5 is missing.
        assert {rows[name][head.index(f"rail {index}") :].lstrip("*~")[:6] for name in ("p0", "d2")} == {f"mlx5_{index}"}
    assert "  8 x H100 80GB HBM3  " in rows["p0"]
    assert "*" not in rows["p0"] + rows["p3"] + rows["r0"]


def test_text_marks_what_differs(seen: Any) -> None:
    rows = lines(seen)
    assert "*mlx5_3 400 g3 [active MTU 1024]" in rows["p1"]
    assert "*1500-9000 mixed" in rows["p1"]
    assert "*mlx5_5 DOWN" in rows["d2"]
    assert rows["d0"].count("~mlx5_") == 8
    assert "~mlx5_0 400 g5" in rows["d0"]
    assert rows["p5"].split()[1] == "*p5"
    assert "  -  " in rows["p5"]
    assert "*p2 (no facts)" in rows["p2"]
    assert "d5 (not in this run)" in rows["d5"]
    assert "*" not in rows["d5"]
    assert "*+5.000s ±0.100" in rows["d1"]
    said = text.view(*seen)
    assert "Networks of the rails: 0 203.0.113.0/27, 1 203.0.113.32/27" in said
    assert "active MTU: rail 3 (mlx5_3, ens3np0) 1024, the others 4096 [rule compare.active-mtu]" in said


def test_page_needs_nothing_else_and_marks_with_a_sign_and_a_title(seen: Any) -> None:
    html = page.view(*seen)
    shown = Page(html)
    assert not re.search(r"(?:src|href)\s*=|url\(|@import|<script", html)
    cells = {row[0][2][-1].partition(" ")[0]: row for row in shown.rows if row and row[0][0] == "th" and len(row) > 2}
    assert {*fleets.NAMES, "r0"} <= set(cells)
    head = shown.rows[0]
    assert {len(cells[name]) for name in fleets.NAMES} == {len(head)}
    place = next(index for index, cell in enumerate(head) if cell[2][0] == "rail 3")
    tag, attributes, words = cells["p1"][place]
    assert (tag, attributes["class"]) == ("td", "odd error")
    assert attributes["title"] == "rail 3: active MTU 1024; the others have 4096"
    assert words[:3] == ["*", "mlx5_3 400 g3", "[active MTU 1024]"]
    assert "class" not in cells["p0"][place][1]
    assert cells["d0"][place][1]["class"] == "odd note"
    assert cells["d0"][place][2][0] == "~"
    assert head[place][2][1] == "203.0.113.96/27"


def test_page_without_findings(twelve: Facts) -> None:
    html = page.view(*compare(fleets.plan(), twelve))
    assert "hosts fit together" in html
    assert 'class="odd' not in html


def test_nothing_of_a_host_is_taken_for_html(twelve: Facts) -> None:
    facts = json.loads(json.dumps(twelve))
    for row in facts.values():
        for port in (port for device in row["devices"] for port in device["ports"]):
            port["netdev"] = EVIL
    facts["p0"]["system"]["kernel"] = EVIL
    facts["p0"]["system"]["nvidia"]["version"] = EVIL
    facts["p1"]["gpus"][0]["model"] = EVIL
    facts["p3"]["devices"][0]["board_id"] = EVIL
    plan = json.loads(json.dumps(fleets.plan()).replace('"r0"', json.dumps(EVIL)).replace('"east"', json.dumps("east" + EVIL)))
    seen = compare(plan, facts)
    html = page.view(*seen)
    shown = Page(html)
    assert "script" not in {tag for tag, _attributes in shown.tags}
    harmless = {"lang", "charset", "name", "content", "class", "title", "id", "colspan"}
    assert {name for _tag, attributes in shown.tags for name in attributes} <= harmless
    assert EVIL in "".join(shown.words)
    assert json.loads(json.dumps(summary.data(*seen)))


@pytest.mark.parametrize("count", [12, 125])
def test_page_of_many_hosts(count: int, twelve: Facts) -> None:
    names = [f"h{number:03d}" for number in range(count)]
    plan = fleets.plan({f"prefill-{start}": names[start : start + 4] for start in range(0, count, 4)}, router="")
    kinds = list(twelve.values())
    seen = compare(plan, {name: kinds[number % 12] for number, name in enumerate(names)})
    rows = [row for row in Page(page.view(*seen)).rows if len(row) > 2 and row[0][0] == "th"]
    assert len(rows) == count + 1
    assert len(page.view(*seen)) < 4000 * count


def test_several_clusters_are_told_apart(twelve: Facts) -> None:
    east, west = fleets.plan({"prefill-0": ["p0", "p1"]}, router=""), fleets.plan({"prefill-0": ["d0", "d1"]}, router="", cluster="west")
    both = {key: east[key] + west[key] for key in ("clusters", "instances", "routers")} | {"hosts": {**east["hosts"], **west["hosts"]}}
    seen = compare(both, {name: twelve[name] for name in ("p0", "p1", "d0", "d1")})
    said = text.view(*seen)
    assert "east prefill-0" in said
    assert "west prefill-0" in said
    assert "Networks of the rails of west: 0 203.0.113.0/27" in said
    assert "prefill-0 of west, 2 hosts" in page.view(*seen)


def test_waived_findings_are_marked_as_such(twelve: Facts, tmp_path: Path) -> None:
    facts = {**twelve, "p1": fleets.machine(tmp_path, 2, kernel="6.1.0")}
    seen = compare(fleets.plan(), facts, waived={"east": {"compare.kernel": "it boots from a new image"}})
    assert "~6.1.0" in text.view(*seen)
    assert f'class="odd {WAIVED}"' in page.view(*seen)


def test_data_names_every_rail_and_every_difference(seen: Any) -> None:
    data = summary.data(*seen)
    assert data["schema"] == summary.SCHEMA
    rows = {row["name"]: row for row in data["hosts"]}
    assert [rail["rail"] for rail in rows["d2"]["rails"]] == list(range(8))
    assert rows["d2"]["rails"][5]["state"] == "DOWN"
    assert [row["column"] for row in rows["p1"]["differs"]] == ["rail 3"]
    assert rows["d1"]["clock"]["offset"] == 5.0
    assert (rows["d5"]["looked_at"], rows["p2"]["looked_at"], rows["p2"]["facts"]) == (False, True, False)
    assert {row["rule"] for row in data["findings"]} >= {"compare.active-mtu", "compare.missing", "compare.clock"}
