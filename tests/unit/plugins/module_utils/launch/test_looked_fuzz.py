# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of a file may have been written by anybody: the plan refuses them or uses them, and never breaks."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from ansible_collections.railyard.sglang.tests.unit.support import mi300x
from ansible_collections.railyard.sglang.tests.unit.support.clusters import looked, rails

ODD: tuple[Any, ...] = (None, "", "x", 0, -1, 7, 1.5, True, [], ["x"], {}, {"x": 1}, "::1/64", "203.0.113.1/24", "9" * 400)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything below a value."""
    if isinstance(value, dict):
        rows: Any = value.items()
    elif isinstance(value, list):
        rows = enumerate(value)
    else:
        return
    for key, item in rows:
        yield (*path, key)
        yield from places(item, (*path, key))


def damaged(facts: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    """Return facts in which a few values were removed or are something else."""
    found = copy.deepcopy(facts)
    for _time in range(data.draw(st.integers(1, 4))):
        *above, last = data.draw(st.sampled_from(list(places(found))))
        holder: Any = found
        for key in above:
            holder = holder[key]
        if data.draw(st.booleans()):
            del holder[last]
        else:
            holder[last] = data.draw(st.sampled_from(ODD))
    return found


@pytest.mark.parametrize("whole", [mi300x.facts(31), rails(1)], ids=["of a tree", "of two lines"])
@hypothesis.settings(max_examples=100, deadline=None, derandomize=True)
@hypothesis.given(data=st.data())
def test_damaged_facts(whole: dict[str, Any], data: st.DataObject) -> None:
    inventory = looked(1, 1, 1).change({"sglang_pools.prefill.tp": 8, "sglang_pools.decode.tp": 8})
    inventory.facts["p0"] = damaged(whole, data)
    assert "plan.internal" not in {found.rule for found in inventory.findings()}
