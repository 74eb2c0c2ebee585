# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Arguments as versions of SGLang write them into their logs, and engines of different versions by them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import catalogue, cluster
from ansible_collections.railyard.sglang.tests.unit.support import doctorlogs

OLD = "a='x', b=None, c=['p=1', 'q'], d=Thing(e=1, f={'g': 2}), h='it\\'s h=3)', i=-0.5)"
NEW = "'a': 'x', 'b': None, 'c': ['p: 1', 'q'], 'd': {'e': 1, 'f': {'g': 2}}, 'h': \"it's 'h': 3}\", 'i': -0.5}"


@pytest.mark.parametrize("text", [OLD, NEW])
def test_names_are_those_at_the_top(text: str) -> None:
    assert cluster.names_of(text) == frozenset("abcdhi")


@pytest.mark.parametrize("text", [OLD, NEW])
def test_of_a_line_that_was_cut_off_nothing_is_known(text: str) -> None:
    assert {cluster.names_of(text[:length]) for length in range(len(text))} == {frozenset()}


def test_both_forms_say_the_same() -> None:
    old = cluster.arguments("host='203.0.113.10', port=30000, kv_cache_dtype='auto', dist_init_addr=None, nnodes=1)")
    new = cluster.arguments("'host': '203.0.113.10', 'port': 30000, 'kv_cache_dtype': 'auto', 'dist_init_addr': None, 'nnodes': 1}")
    assert old == new == {"host": "203.0.113.10", "port": "30000", "kv_cache_dtype": "auto", "nnodes": "1"}


def test_a_real_line_of_0_5_23_is_read() -> None:
    text = (doctorlogs.CORPUS / "healthy-0523/prefill-0-rank0.log").read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if "server_args={" in line]
    inside = line.partition("server_args={")[2]
    assert len(cluster.names_of(inside)) == 546
    assert cluster.arguments(inside)["disaggregation_mode"] == "prefill"


def arguments(case: str, role: str) -> str:
    """Return the line of arguments of an engine of the corpus."""
    text = (doctorlogs.CORPUS / case / f"{role}-0-rank0.log").read_text(encoding="utf-8")
    return next(line for line in text.splitlines() if "server_args=" in line)


OF_0_5_8, OF_0_5_23 = arguments("engines-of-two-versions", "prefill"), arguments("healthy-0523", "prefill")
SERVED = '{time} {host} python[7]: [x] INFO:     203.0.113.99:4000 - "POST /generate HTTP/1.1" 200 OK'
SHORTENED = "2026-11-28T09:00:00+0000 d0 python[7]: server_args=ServerArgs(disaggregation_mode='decode', ...)"


def engine(line: str, role: str, host: str, minute: int = 0) -> str:
    """Return a line of arguments as another engine would have written it, in a minute after nine."""
    for form in ("disaggregation_mode='prefill'", "'disaggregation_mode': 'prefill'"):
        line = line.replace(form, form.replace("prefill", role))
    return re.sub(r"^\S+ \S+", f"2026-11-28T09:{minute:02}:00+0000 {host}", line) + "\n"


@pytest.mark.parametrize(
    ("logs", "findings"),
    [
        ({"p": engine(OF_0_5_8, "prefill", "p0"), "d": engine(OF_0_5_8, "decode", "d0")}, []),
        ({"p": engine(OF_0_5_23, "prefill", "p0"), "d": engine(OF_0_5_23, "decode", "d0")}, []),
        ({"p": engine(OF_0_5_8, "prefill", "p0"), "d": engine(OF_0_5_23, "decode", "d0")}, [("L59", "d0", "blocks")]),
        # A warm-up of the engine itself is no request that was served.
        (
            {
                "p": engine(OF_0_5_8, "prefill", "p0"),
                "d": engine(OF_0_5_23, "decode", "d0") + SERVED.format(time="2026-11-28T09:01:00+0000", host="d0") + "\n",
            },
            [("L59", "d0", "degrades")],
        ),
        # The log of before an upgrade lies beside the one of today.
        (
            {
                "p": engine(OF_0_5_23, "prefill", "p0", 5),
                "d.log.1": engine(OF_0_5_8, "decode", "d0"),
                "d.log": engine(OF_0_5_23, "decode", "d0", 5),
            },
            [],
        ),
        # Engines that need nothing of each other, or of which nobody knows whether they do.
        ({"one": engine(OF_0_5_8, "null", "p0"), "other": engine(OF_0_5_23, "null", "d0")}, []),
        ({"one": engine(OF_0_5_8, "prefill", "p0"), "other": engine(OF_0_5_23, "prefill", "p1")}, []),
        (
            {
                "p": engine(OF_0_5_8, "prefill", "p0"),
                "d": engine(OF_0_5_8, "decode", "d0"),
                "p-new": engine(OF_0_5_23, "prefill", "p1"),
                "d-new": engine(OF_0_5_23, "decode", "d1"),
            },
            [],
        ),
        # Shortened by whoever sent it.
        ({"p": engine(OF_0_5_8, "prefill", "p0"), "d": SHORTENED + "\n"}, []),
    ],
)
def test_versions_of_engines_that_serve_together(logs: dict[str, str], findings: list[tuple[str, str, str]], tmp_path: Path) -> None:
    for name, text in logs.items():
        (tmp_path / (name if ".log" in name else f"{name}.log")).write_text(text, encoding="utf-8")
    result = doctorlogs.diagnosed(tmp_path, catalogue.load())
    assert [(row.id, row.host, row.severity) for row in result.findings if row.severity != catalogue.NOTE] == findings


def test_a_healthy_cluster_of_0_5_23_is_read_and_not_only_passed_over() -> None:
    result = doctorlogs.diagnosed(doctorlogs.CORPUS / "healthy-0523", catalogue.load())
    assert result.verdict == "clean"
    assert {engine.role: len(engine.names) for engine in result.cluster.engines.values()} == {"prefill": 546, "decode": 546}


@pytest.mark.parametrize(("marker", "log"), [("started", "prefill-0-rank0"), ("started", "router"), ("served", "router")])
def test_points_in_the_life_of_0_5_23_and_smg_are_known(marker: str, log: str) -> None:
    lines = (doctorlogs.CORPUS / f"healthy-0523/{log}.log").read_text(encoding="utf-8").splitlines()
    known = catalogue.load().markers[marker]
    assert [line for line in lines for match in known.matches if match.pattern.search(line)]
