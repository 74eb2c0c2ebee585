# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.lab.lab import Lab
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import Completed
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import HostRecord, Paths, Record
from ansible_collections.railyard.sglang.plugins.module_utils.lab.survey import Survey, describe, take_survey

PATHS = Paths(Path("/c"), "lab")
P0 = HostRecord("p0", "prefill", "198.51.100.10", "203.0.113.10")
RECORD = Record("lab", "0011aabb", "boot", "image", 0, "198.51.100.0/24", "203.0.113.0/24", (P0, replace(P0, name="p1")))
WHOLE = Survey(
    frozenset({"railyard-lab", "railyard-lab-p0"}),
    frozenset({"mgmt", "fabric", "m-p0", "f-p0"}),
    frozenset({"/c/lab/lab/hosts/p0/root"}),
    frozenset({"p0"}),
)


def test_whole_host() -> None:
    assert WHOLE.whole(PATHS, "p0")
    assert not WHOLE.whole(PATHS, "p1")


@pytest.mark.parametrize(
    ("part", "left"),
    [("namespaces", {"railyard-lab"}), ("links", {"mgmt", "fabric", "m-p0"}), ("mounted", set()), ("running", {"p1"})],
)
def test_host_lacks_a_part(part: str, left: set[str]) -> None:
    assert not replace(WHOLE, **{part: frozenset(left)}).whole(PATHS, "p0")


def test_nothing_is_there_and_nothing_is_run(tmp_path: Path) -> None:
    lab = Lab(Paths(tmp_path, "nosuchlab"), lambda argv, _stdin=None: Completed(1, "", f"unexpected: {argv}"))
    assert take_survey(lab, None) == Survey(frozenset(), frozenset(), frozenset(), frozenset())
    # A record of before the machine was booted: its process ids mean nothing.
    assert take_survey(lab, RECORD).running == frozenset()


def test_description_tells_the_dead_from_the_running(tmp_path: Path) -> None:
    lab = Lab(Paths(tmp_path, "lab"), lambda _argv, _stdin=None: Completed(0, "", ""))
    assert describe(lab, None, []) == {"lab": "lab", "state": "absent"}
    hosts = describe(lab, RECORD, ["p0"])["hosts"]
    assert hosts == {"p0": "198.51.100.10 203.0.113.10 running", "p1": "198.51.100.10 203.0.113.10 dead"}
