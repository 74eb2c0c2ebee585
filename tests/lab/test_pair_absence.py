# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A prefill instance that ends and starts at once stays away until decode has missed it; otherwise its requests would hang for good."""

from __future__ import annotations

import re

import pytest
from causekit import now
from labkit import Lab, wait_until

pytestmark = pytest.mark.lab

#: Seconds from its end until it is served again: its absence, a start, and the router's next look.
BOUND = 90
ENDS = {
    "restarted by hand": "systemctl restart {unit}",
    "killed": "systemctl kill --kill-whom=main --signal=KILL {unit}",
}


def log(lab: Lab, instance: str, since: str) -> str:
    rank = lab.rank(instance, 0)
    return lab.ssh(rank["host"], f"journalctl --unit {rank['unit']} --since {since} --output cat --no-pager")


@pytest.mark.parametrize("end", [pytest.param(name, marks=() if name == "killed" else pytest.mark.full) for name in ENDS])
def test_decode_misses_prefill_before_it_is_back(end: str, pair: Lab) -> None:
    rank = pair.rank("prefill-0", 0)
    pair.serving(60)
    before, since = pair.processes(), now()
    pair.ssh(rank["host"], ENDS[end].format(unit=rank["unit"]), seconds=60)
    unit = f"{rank['host']} {rank['unit']}"
    wait_until(lambda: pair.processes()[unit] != before[unit] and pair.processes()[unit][0] != "0", BOUND * pair.pace, "a new process")
    seconds = pair.serving(BOUND * pair.pace)
    pair.record("prefill ended", {"end": end, "seconds": round(seconds, 1)})
    print(f"{end}: served {seconds:.1f} s after its start")
    assert re.search(r"waits (\d+\.\d) s: back within 12 s of its end", log(pair, "prefill-0", since))
    assert "Losing connection with prefill instance" in log(pair, "decode-0", since)


@pytest.mark.full
def test_one_that_never_served_waits_for_nothing(pair: Lab) -> None:
    """A wait of its own for each of many failed starts would only be lost time."""
    rank = pair.rank("prefill-0", 0)
    pair.serving(60)
    pair.ssh(rank["host"], f"systemctl stop {rank['unit']}", seconds=60)
    pair.ssh(rank["host"], f"sleep 12; systemctl start {rank['unit']}", seconds=60)
    since = now()
    pair.ssh(rank["host"], f"systemctl restart {rank['unit']}", seconds=60)
    pair.serving(BOUND * pair.pace)
    said = log(pair, "prefill-0", since)
    assert "Started sglang-prefill-0" in said
    assert "waits " not in said
