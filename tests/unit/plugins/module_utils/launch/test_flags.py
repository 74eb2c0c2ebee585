# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Option tables and command line words."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import arguments, flags

ENGINE, ROUTER = flags.load("sglang-0.5.8"), flags.load("sglang-router-0.3.2")


@pytest.mark.parametrize("key", ["page-size", "page_size", "--page-size", "--page_size"])
def test_spellings(key: str) -> None:
    assert ENGINE.find(key) is ENGINE.options["page_size"]


@pytest.mark.parametrize("key", ["tp-size", "tensor-parallel-size", "tp_size"])
def test_aliases(key: str) -> None:
    assert ENGINE.find(key) is ENGINE.options["tensor_parallel_size"]


@pytest.mark.parametrize("key", ["", "-", "Page-Size", "page size", "pagesize"])
def test_nothing_else(key: str) -> None:
    assert ENGINE.find(key) is None


@pytest.mark.parametrize(
    ("dest", "value", "words"),
    [
        ("page_size", 32, ["--page-size", "32"]),
        ("enable_metrics", True, ["--enable-metrics"]),
        ("enable_metrics", False, []),
        ("cuda_graph_bs", [1, 2], ["--cuda-graph-bs", "1", "2"]),
        ("cuda_graph_bs", 1, ["--cuda-graph-bs", "1"]),
        ("preferred_sampling_params", {"b": 1, "a": [True]}, ["--preferred-sampling-params", '{"a":[true],"b":1}']),
        ("preferred_sampling_params", '{"a": 1}', ["--preferred-sampling-params", '{"a": 1}']),
        ("preferred_sampling_params", True, ["--preferred-sampling-params", "true"]),
        ("kv_events_config", {"a": 1}, ["--kv-events-config", '{"a":1}']),
        ("random_seed", -1, ["--random-seed=-1"]),
        ("weight_version", "--x", ["--weight-version=--x"]),
        ("mem_fraction_static", 1e-05, ["--mem-fraction-static", "1e-05"]),
    ],
)
def test_words(dest: str, value: Any, words: list[str]) -> None:
    assert flags.words(ENGINE.options[dest], value) == words


@pytest.mark.parametrize(
    ("dest", "value", "in_file"),
    [
        ("page_size", 32, True),
        ("enable_metrics", True, True),
        ("weight_version", "1.10", True),
        ("kv_events_config", '{"a":1}', True),
        ("kv_events_config", {"a": 1}, False),
        ("cuda_graph_bs", [1], False),
        ("cuda_graph_bs", 1, False),
        ("preferred_sampling_params", {}, False),
        ("weight_version", "-x", False),
        ("port", 1, False),
        ("model_path", "x", False),
    ],
)
def test_what_goes_into_the_argument_file(dest: str, value: Any, in_file: bool) -> None:
    line, content = arguments.split(ENGINE, {dest: value})
    assert bool(content) is in_file
    assert bool(line) is not in_file


@pytest.mark.parametrize(("dest", "value"), [("page_size", None), ("enable_metrics", False)])
def test_what_goes_nowhere(dest: str, value: Any) -> None:
    assert arguments.split(ENGINE, {dest: value}) == ([], {})


def test_the_tables_are_whole() -> None:
    assert len(ENGINE.options) == 328
    assert len(ROUTER.options) == 98
    for table, typed in ((ENGINE, arguments.TYPED), (ROUTER, arguments.ROUTER_TYPED)):
        assert set(typed) - set(table.options) <= {"config"}
    assert set(arguments.ON_COMMAND_LINE) <= set(ENGINE.options)
    assert set(arguments.ROUTER_DEFAULTS) <= set(ROUTER.options)


def test_a_table_that_is_not_there() -> None:
    with pytest.raises(OSError, match=r"sglang-9\.json"):
        flags.load("sglang-9")
