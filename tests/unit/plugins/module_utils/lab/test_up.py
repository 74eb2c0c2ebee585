# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

from ansible_collections.railyard.sglang.plugins.module_utils.lab.image import Recipe
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import HostRecord, Paths, Record
from ansible_collections.railyard.sglang.plugins.module_utils.lab.survey import Survey
from ansible_collections.railyard.sglang.plugins.module_utils.lab.up import Work

P0 = HostRecord("p0", "prefill", "198.51.100.10", "203.0.113.10")
RECORD = Record("lab", "0011aabb", "boot", "772a91916a67", 0, "198.51.100.0/24", "203.0.113.0/24", (P0,))
NOTHING = Survey(frozenset(), frozenset(), frozenset(), frozenset())
PATHS = Paths(Path("/c"), "lab")


def test_everything_is_to_be_done_in_this_order() -> None:
    work = Work(RECORD, NOTHING, (P0,), False, Recipe("bookworm", "x86_64", (), ""), True, 128, 256)
    assert work.actions(PATHS) == [
        "build root image 772a91916a67",
        "raise fs.inotify.max_user_instances from 128 to 256",
        "make network namespace railyard-lab",
        "start host p0",
    ]


def test_one_host_has_died() -> None:
    assert Work(RECORD, NOTHING, (P0,), True).actions(PATHS) == ["start host p0"]
