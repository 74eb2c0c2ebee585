# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pairs are slow."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.serving import outliers


def rows(first: dict[str, float], between: float = 0.01) -> list[dict[str, Any]]:
    """Pairs by PREFILL-DECODE with their seconds to the first token."""
    found = []
    for name, seconds in first.items():
        prefill, decode = (f"{kind}-{number}" for kind, number in zip(("prefill", "decode"), name.split("-")))
        found.append({
            "pair": f"{prefill} > {decode}", "prefill": prefill, "decode": decode, "first_seconds": seconds, "between_seconds": between,
        })  # fmt: skip
    return found


SQUARE = {"0-0": 5.0, "0-1": 5.2, "1-0": 4.9, "1-1": 5.1}


@pytest.mark.parametrize(
    ("first", "found"),
    [
        (SQUARE, []),
        # The field's: 95 s beside 5 s.
        ({**SQUARE, "1-1": 95.0}, [("pair", "prefill-1 > decode-1")]),
        ({"0-0": 5, "0-1": 5, "1-0": 5, "1-1": 5, "2-0": 95, "2-1": 90}, [("prefill", "prefill-2")]),
        ({"0-0": 5, "1-0": 5, "0-1": 5, "1-1": 5, "0-2": 95, "1-2": 90}, [("decode", "decode-2")]),
        # Noise of small values is none: above by times, not by seconds.
        ({"0-0": 0.1, "0-1": 0.1, "1-0": 0.1, "1-1": 0.5}, []),
        # Above by seconds, not by times.
        ({"0-0": 50, "0-1": 50, "1-0": 50, "1-1": 60}, []),
        # Half of the pairs, so that the median is slow, too: in the smallest square and in a larger one.
        ({"0-0": 5, "1-0": 5.1, "0-1": 95, "1-1": 94}, [("decode", "decode-1")]),
        (
            {f"{prefill}-{decode}": (95 if decode > 1 else 5) + prefill / 10 for prefill in range(4) for decode in range(4)},
            [("decode", "decode-2"), ("decode", "decode-3")],
        ),
        # Three of four decode instances.
        (
            {f"{prefill}-{decode}": 95 if decode else 5 for prefill in range(4) for decode in range(4)},
            [("decode", "decode-1"), ("decode", "decode-2"), ("decode", "decode-3")],
        ),
        # Two: the slower one, and neither where both are alike.
        ({"0-0": 5, "0-1": 95}, [("pair", "prefill-0 > decode-1")]),
        ({"0-0": 5, "0-1": 9}, []),
        ({"0-0": 5}, []),
        # Of many a single fast one is no measure.
        ({"0-0": 1, **{f"{prefill}-{decode}": 5 for prefill in range(1, 4) for decode in range(2)}}, []),
        ({}, []),
    ],
)
def test_outliers(first: dict[str, float], found: list[tuple[str, str]]) -> None:
    seen = outliers.find(rows(first))
    assert [(row["kind"], row["name"]) for row in seen] == found
    for row in seen:
        assert row["measure"] == "first_seconds"
        assert f"takes {row['seconds']:.2f} s to the first token, usual are {row['usual']:.2f} s" in row["text"]


def test_between_tokens_too() -> None:
    pairs = rows(SQUARE, between=0.004)
    pairs[2]["between_seconds"] = 0.045
    (row,) = outliers.find(pairs)
    assert (row["measure"], row["instances"]) == ("between_seconds", ["prefill-1", "decode-0"])
    pairs[2]["between_seconds"] = 0.02
    assert outliers.find(pairs) == []


def test_pairs_without_times_do_not_count() -> None:
    pairs = rows({**SQUARE, "2-0": 95.0})
    for row in pairs[:4]:
        row["first_seconds"] = row["between_seconds"] = None
    assert outliers.find(pairs) == []
