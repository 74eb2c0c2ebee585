# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rank_state action shows."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.action import rank_state
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import last_words

ROW = {"instance": "prefill-0", "rank": 1, "host": "p1", "state": "loading", "detail": "/health: refused"}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "  prefill-0 rank 1 on p1: loading (/health: refused), 12 s"),
        ({"state": "ready", "detail": ""}, "  prefill-0 rank 1 on p1: ready, 12 s"),
    ],
)
def test_line(changes: dict[str, Any], line: str) -> None:
    assert rank_state._line({**ROW, **changes}, 12.3) == line


def test_the_verdict_names_host_cause_and_fix() -> None:
    text = rank_state.ActionModule._verdict(None, [ROW], 300.2, [f"line {number}" for number in range(20)])
    assert text.startswith("Not ready after 300 s:\n- prefill-0 rank 1 on p1 is loading: /health: refused\n")
    assert "line 4\n" not in text
    assert "line 5\n" in text
    assert "line 19\nFix: what the journal names" in text


def test_the_verdict_names_what_no_new_start_mends() -> None:
    cause = last_words.Cause("L26", "A file of the model is cut off", "Copy the model again.")
    text = rank_state.ActionModule._verdict(None, [ROW], 27.0, ["its last line"], cause)
    assert text.startswith("Not ready after 27 s, and not waited for any longer: it has ended, and will do so at each start. L26: A file")
    assert text.endswith("its last line\nFix: Copy the model again. Then run again with --tags verify.")
