# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.turns import turns

CASES = [
    pytest.param(["a", "b"], ["x", "y"], {0: "x", 1: "y"}, {}, id="nothing in the way"),
    pytest.param(["a", "b"], ["b", "a"], {0: "_nn0", 1: "_nn1"}, {0: "b", 1: "a"}, id="swap"),
    pytest.param(["a", "b"], ["b", "c"], {0: "_nn0", 1: "c"}, {0: "b"}, id="chain"),
    pytest.param(["a", "b"], ["a", "c"], {1: "c"}, {}, id="one has its name"),
    pytest.param([], [], {}, {}, id="none"),
]


@pytest.mark.parametrize(("current", "wanted", "first", "late"), CASES)
def test_turns(current: list[str], wanted: list[str], first: dict[int, str], late: dict[int, str]) -> None:
    assert turns(dict(enumerate(current)), dict(enumerate(wanted))) == (first, late)


@given(st.data())
def test_no_rename_meets_a_name_that_is_taken(data: st.DataObject) -> None:
    current = data.draw(st.lists(st.sampled_from([f"n{number}" for number in range(12)]), unique=True, max_size=9))
    wanted = data.draw(st.permutations([*current, "m0", "m1"]))[: len(current)]
    now = dict(enumerate(current))
    for turn in turns(dict(now), dict(enumerate(wanted))):
        for number, name in turn.items():
            assert name not in now.values()
            now[number] = name
    assert now == dict(enumerate(wanted))
