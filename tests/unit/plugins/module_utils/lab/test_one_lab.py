# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.lab.lab import Lab
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import Completed
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import Paths


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(Paths(tmp_path / "cache", "lab"), lambda _argv, _stdin=None: Completed(0, "", ""))


def test_lock_of_a_run_that_made_nothing_leaves_nothing(lab: Lab) -> None:
    with lab.locked(os.getuid()):
        assert lab.paths.labs.is_dir()
    assert not lab.paths.labs.exists()


def test_lock_keeps_what_was_made(lab: Lab) -> None:
    with lab.locked(os.getuid()):
        lab.paths.state.mkdir()
    assert lab.paths.state.is_dir()


def test_names_of_a_host_outside(lab: Lab) -> None:
    assert lab.inside() == ["nsenter", "--net=/run/netns/railyard-lab", "--"]
    assert lab.scope("p0") == "railyard-lab-p0.scope"
    assert str(lab.group("p0")) == "railyard-lab/lab/p0"
