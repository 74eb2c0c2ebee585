# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.lab.limits import (
    count_instances,
    raise_limit,
    restore_limit,
    wanted_limit,
)


@pytest.mark.parametrize(
    ("limit", "used", "hosts", "wanted"),
    [(128, 0, 3, None), (128, 0, 4, None), (128, 0, 5, 256), (128, 60, 5, 256), (1024, 60, 5, None), (128, 120, 181, 3200)],
)
def test_wanted_limit(limit: int, used: int, hosts: int, wanted: Optional[int]) -> None:
    assert wanted_limit(limit, used, hosts) == wanted


def test_instances_are_counted(tmp_path: Path) -> None:
    for pid, target in (
        ("1", "anon_inode:inotify"),
        ("2", "anon_inode:[eventfd]"),
        ("3", "anon_inode:inotify"),
        ("self", "anon_inode:inotify"),
    ):
        (tmp_path / pid / "fd").mkdir(parents=True)
        os.symlink(target, tmp_path / pid / "fd/5")
    (tmp_path / "4").mkdir()
    assert count_instances(tmp_path) == 2


def test_limit_is_restored_after_two_raises(tmp_path: Path) -> None:
    limit, note = tmp_path / "limit", tmp_path / "register/note"
    limit.write_text("128\n")
    raise_limit(256, note, limit)
    raise_limit(512, note, limit)
    assert limit.read_text() == "512\n"
    restore_limit(note, limit)
    assert limit.read_text() == "128\n"
    assert not note.exists()
    restore_limit(note, limit)
    assert limit.read_text() == "128\n"


def test_limit_that_somebody_changed_is_left_alone(tmp_path: Path) -> None:
    limit, note = tmp_path / "limit", tmp_path / "note"
    limit.write_text("128\n")
    raise_limit(256, note, limit)
    limit.write_text("8192\n")
    restore_limit(note, limit)
    assert limit.read_text() == "8192\n"
    assert not note.exists()
