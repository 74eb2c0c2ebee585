# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the action writes files. Its runs are in tests/integration/test_plan_playbook.py."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.railyard.sglang.plugins.action import plan_report
from ansible_collections.railyard.sglang.plugins.modules import plan_report as module


def test_write_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.txt"
    for content in ("a long text\n", "short\n", "\u00e9\n"):
        plan_report.write(path, content)
        assert path.read_bytes() == content.encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "plan.txt"
    path.write_text("before\n", encoding="utf-8")
    with pytest.raises(UnicodeEncodeError):
        plan_report.write(path, "\ud800")
    assert path.read_text(encoding="utf-8") == "before\n"
    assert list(tmp_path.iterdir()) == [path]


def test_read(tmp_path: Path) -> None:
    assert plan_report.read(tmp_path / "none") == ""
    with pytest.raises(IsADirectoryError):
        plan_report.read(tmp_path)


def test_options_are_documented_as_they_are() -> None:
    documented: dict[str, dict[str, Any]] = yaml.safe_load(module.DOCUMENTATION)["options"]
    known = ("type", "elements", "default", "choices")
    assert {name: {key: row[key] for key in known if key in row} for name, row in documented.items()} == plan_report.SPEC
