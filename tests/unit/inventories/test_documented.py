# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every launch line of an inventory against its document's, flag by flag: each difference is listed with its reason, and none is stale."""

from __future__ import annotations

import functools
import re
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import flags
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import PlanError
from ansible_collections.railyard.sglang.tests.unit.support import documented, inventories, parsers
from ansible_collections.railyard.sglang.tests.unit.support.clusters import Inventory
from ansible_collections.railyard.sglang.tests.unit.support.documented import ABSENT

LINES = [pytest.param(line, id=f"{line.inventory}-{line.at}") for path in documented.files() for line in documented.lines(path.stem)]


def plan(inventory: Inventory) -> dict[str, Any]:
    """Return a plan, with what the contract refuses waived: the lines that were found in the field are compared, too."""
    try:
        return inventories.build(inventory)
    except PlanError as error:
        refused = {finding.rule: "only to compare the lines" for finding in error.findings if finding.severity == "error"}
        return inventories.build(inventory.change({"sglang_waive": refused}))


@functools.cache
def planned(name: str) -> dict[str, Any]:
    return plan(inventories.read(name))


@pytest.mark.parametrize("line", LINES)
def test_line(line: documented.Line) -> None:
    rendered = documented.Rendered(inventories.read(line.inventory), planned(line.inventory), line.at)
    found = documented.differences(line, rendered)
    assert found == documented.listed(line, rendered, found)
    for name, entry in line.differences.items():
        # Where a reason says that a value is the default, the real parser's table says so, too.
        if name.startswith("--") and re.match(r"the default(,|;|$)", entry.get("why", "")):
            assert documented.option(rendered.table, name).default == entry.get("ours", entry.get("document")), name


def test_every_inventory_is_documented() -> None:
    assert {path.stem for path in documented.files()} == set(inventories.NAMES)


@pytest.mark.parametrize("name", inventories.NAMES)
def test_every_pool_and_place(name: str) -> None:
    places = [line.at for line in documented.lines(name)]
    assert len(set(places)) == len(places)
    ranks = {f"{row['name']}/{rank['rank']}": row["pool"] for row in planned(name)["instances"] for rank in row["ranks"]}
    assert set(places) <= {*ranks, "router"}
    # Of the EPLB line of the guide there is no decode side, and shapes are published for one host of an instance.
    assert {ranks[place] for place in places if place != "router"} == set(ranks.values()) - ({"decode"} if name.endswith("eplb") else set())
    for entry in documented.load(name)["everywhere"]:
        assert any(entry in line.differences.values() for line in documented.lines(name)), entry


@pytest.mark.parametrize(
    ("changes", "name", "wanted"),
    [
        ({"sglang_args.mem-fraction-static": 0.9}, "--mem-fraction-static", (0.8, 0.9)),
        ({"sglang_args.trust-remote-code": None}, "--trust-remote-code", (True, ABSENT)),
        ({"sglang_env.MC_MTU": "4096"}, "MC_MTU", (ABSENT, "4096")),
        ({"sglang_pools.prefill.port": 30010}, "--port", (30000, 30010)),
    ],
)
def test_a_silent_difference_is_seen(changes: dict[str, Any], name: str, wanted: tuple[Any, Any]) -> None:
    inventory = inventories.read("field-2p2d").change(changes)
    line = next(line for line in documented.lines("field-2p2d") if line.at == "prefill-0/0")
    rendered = documented.Rendered(inventory, plan(inventory), line.at)
    found = documented.differences(line, rendered)
    assert found[name] == wanted
    assert found != documented.listed(line, rendered, found)


def test_a_stale_difference_is_seen() -> None:
    inventory = inventories.read("field-2p2d").change({"sglang_env.CUDA_DEVICE_MAX_CONNECTIONS": "1"})
    line = next(line for line in documented.lines("field-2p2d") if line.at == "decode-0/1")
    rendered = documented.Rendered(inventory, plan(inventory), line.at)
    found = documented.differences(line, rendered)
    assert "CUDA_DEVICE_MAX_CONNECTIONS" in set(documented.listed(line, rendered, found)) - set(found)


@pytest.mark.parametrize(
    ("table", "words", "wanted"),
    [
        ("sglang-0.5.8", ["--tp", "8"], {"--tensor-parallel-size": 8}),
        ("sglang-0.5.8", ["--cuda-graph-bs", "1", "2", "--trust-remote-code"], {"--cuda-graph-bs": [1, 2], "--trust-remote-code": True}),
        ("sglang-0.5.8", ["--mem-fraction-static=0.80"], {"--mem-fraction-static": 0.8}),
        ("sglang-router-0.3.2", ["--prefill", "http://a:1", "8998", "--prefill", "http://b:1"], {"--prefill": [["http://a:1", "8998"], ["http://b:1"]]}),
    ],
)
def test_how_words_are_read(table: str, words: list[str], wanted: dict[str, Any]) -> None:
    assert documented.arguments(flags.load(table), tuple(words)) == wanted


@pytest.mark.parametrize("table", [pytest.param(name, marks=parsers.NEEDS[name]) for name in parsers.VARIABLES])
def test_the_real_parser_reads_the_same_in_a_document(table: str) -> None:
    options, rows = flags.load(table), []
    for path in documented.files():
        for line in documented.lines(path.stem):
            rendered = documented.Rendered(inventories.read(line.inventory), planned(line.inventory), line.at)
            if rendered.table.name == table:
                rows.append(list(documented.words(line, rendered)))
    assert rows
    least = parsers.LEAST[options.distribution]
    # A published shape names no model.
    found = parsers.parse(table, [[*([] if "--model-path" in row else least), *row] for row in rows])
    for row, parsed in zip(rows, found["parsed"], strict=True):
        read = {documented.option(options, name).dest: value for name, value in documented.arguments(options, tuple(row)).items()}
        wanted = {**found["defaults"], **read}
        assert {name: value for name, value in parsed.items() if value != wanted[name]} == {}, row
