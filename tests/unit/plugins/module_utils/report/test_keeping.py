# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How reports are written on the controller."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.report import keeping


def test_write_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.txt"
    for content in ("a long text\n", "short\n", "\u00e9\n"):
        keeping.write(path, content)
        assert path.read_bytes() == content.encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "plan.txt"
    path.write_text("before\n", encoding="utf-8")
    with pytest.raises(UnicodeEncodeError):
        keeping.write(path, "\ud800")
    assert path.read_text(encoding="utf-8") == "before\n"
    assert list(tmp_path.iterdir()) == [path]


def test_read(tmp_path: Path) -> None:
    assert keeping.read(tmp_path / "none") == ""
    (tmp_path / "plan.json").write_bytes(b'{"schema": 2}\xff')
    assert keeping.read(tmp_path / "plan.json") == '{"schema": 2}\ufffd'
    with pytest.raises(IsADirectoryError):
        keeping.read(tmp_path)


def test_keep_writes_what_differs(tmp_path: Path) -> None:
    directory, files = tmp_path / "new/reports", {"a.txt": "a\n", "b.txt": "b\n"}
    assert keeping.keep(directory, files, check_mode=True) == ["a.txt", "b.txt"]
    assert not directory.exists()
    assert keeping.keep(directory, files, check_mode=False) == ["a.txt", "b.txt"]
    assert {path.name: path.read_text() for path in directory.iterdir()} == files
    before = (directory / "a.txt").stat()
    assert keeping.keep(directory, files | {"b.txt": "c\n"}, check_mode=False) == ["b.txt"]
    assert (directory / "b.txt").read_text() == "c\n"
    assert (directory / "a.txt").stat() == before
    assert keeping.keep(directory, {"a.txt": "a\n"}, check_mode=False) == []


def test_a_report_of_an_earlier_version_is_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "network.txt"
    path.write_text("a\n", encoding="utf-8")
    path.chmod(0o644)
    assert keeping.keep(tmp_path, {"network.txt": "a\n"}, check_mode=True) == ["network.txt"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert keeping.keep(tmp_path, {"network.txt": "a\n"}, check_mode=False) == ["network.txt"]
    assert (stat.S_IMODE(path.stat().st_mode), path.read_text(encoding="utf-8")) == (0o600, "a\n")
    assert keeping.keep(tmp_path, {"network.txt": "a\n"}, check_mode=False) == []
