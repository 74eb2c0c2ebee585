# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables for people."""

from __future__ import annotations

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.report import tables
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster


@pytest.mark.parametrize(
    ("header", "rows", "lines"),
    [
        (("host", "n"), [("p0", 1), ("p10", 12)], ["host   n", "----  --", "p0     1", "p10   12"]),
        (("stage", "seconds"), [("a", "1.5"), ("b", "12.0")], ["stage  seconds", "-----  -------", "a          1.5", "b         12.0"]),
        (("a", "b"), [("x", ""), ("", "long")], ["a  b", "-  ----", "x", "   long"]),
        (("a", "bb"), [], ["a  bb", "-  --"]),
    ],
)
def test_table(header: tuple[str, ...], rows: list[tuple[object, ...]], lines: list[str]) -> None:
    assert tables.table(header, rows) == lines


def test_processes() -> None:
    lines = tables.processes(cluster().plan(), {("p0", "prefill-0"): "ready", ("r0", "router"): "ready"})
    assert [line.split()[:4] for line in lines[2:]] == [
        ["p0", "prefill-0", "0", "203.0.113.10"],
        ["p1", "prefill-0", "1", "203.0.113.11"],
        ["d0", "decode-0", "0", "203.0.113.110"],
        ["d1", "decode-0", "1", "203.0.113.111"],
        ["r0", "router", "198.51.100.210", "8000"],
    ]
    assert "30000 API, 8998 KV bootstrap, 5000 rendezvous" in lines[2]
    assert [line.endswith("  ready") for line in lines[2:]] == [True, False, False, False, True]
    assert lines[3].endswith("  not looked at")


def test_stages() -> None:
    assert tables.stages({"Plan": 0.5, "Engine": 12.0}) == [
        "stage   seconds",
        "------  -------",
        "Plan        0.5",
        "Engine     12.0",
        "all        12.5",
    ]
