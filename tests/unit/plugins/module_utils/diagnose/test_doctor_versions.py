# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Arguments as versions of SGLang write them into their logs, and engines of different versions by them."""

from __future__ import annotations

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import cluster
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
