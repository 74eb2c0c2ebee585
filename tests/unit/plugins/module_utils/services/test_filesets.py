# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of files: what differs, how it is shown, and the identity of what a service reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.services import filesets
from ansible_collections.railyard.sglang.plugins.module_utils.services.filesets import Change, File


@pytest.fixture(name="file")
def write_file(tmp_path: Path) -> Path:
    path = tmp_path / "own" / "a"
    path.parent.mkdir()
    path.write_text("one\n", encoding="utf-8")
    path.chmod(0o640)
    return path


@pytest.mark.parametrize(
    ("content", "mode", "changes"),
    [(b"one\n", 0o640, 0), (b"two\n", 0o640, 1), (b"one\n", 0o644, 1), (b"one", 0o640, 1), (b"one\r\n", 0o640, 1)],
)
def test_a_file_that_is_there(file: Path, content: bytes, mode: int, changes: int) -> None:
    found = filesets.differences([File(str(file), content, mode)])
    assert found == [Change(str(file), b"one\n", content, mode)] * changes


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = str(tmp_path / "none" / "x")
    assert filesets.differences([File(path, b"")]) == [Change(path, None, b"", 0o644)]


def test_what_a_directory_holds_besides_must_go(file: Path) -> None:
    (file.parent / "b").write_text("old", encoding="utf-8")
    (file.parent / "d").mkdir()
    (file.parent / "d" / "c").write_bytes(b"\xff\x00")
    wanted = [File(str(file), b"one\n", 0o640)]
    found = filesets.differences(wanted, [str(file.parent)])
    assert [(change.path, change.after) for change in found] == [(str(file.parent / name), None) for name in ("b", "d/c")]
    assert filesets.differences(wanted, [str(file.parent / "none")]) == []


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [(Change("/a", b"x\n", b"y\n"), "x\n", "y\n"), (Change("/a", None, b"y\n"), "", "y\n"), (Change("/a", b"x\n", None), "x\n", "")],
)
def test_diff(change: Change, before: str, after: str) -> None:
    assert change.diff() == {"before_header": "/a", "after_header": "/a", "before": before, "after": after}


@pytest.mark.parametrize("content", [b"\xff", None])
def test_a_diff_is_text(content: bytes | None) -> None:
    shown = Change("/a", content, b"PK\xff").diff()
    assert shown["after"].startswith("(3 bytes, SHA-256 ")
    assert isinstance(shown["before"], str)


def test_a_directory_in_the_place_of_a_file(tmp_path: Path) -> None:
    assert filesets.differences([File(str(tmp_path), b"x")]) == [Change(str(tmp_path), None, b"x")]


FILES = [File("/a", b"1"), File("/b", b"2", restart=False)]


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ([File("/a", b"1"), File("/b", b"2", restart=False)], True),
        ([File("/a", b"1"), File("/b", b"3", restart=False)], True),
        ([File("/a", b"1")], True),
        ([File("/a", b"1", mode=0o600)], True),
        ([File("/a", b"2")], False),
        ([File("/c", b"1")], False),
        ([File("/a", b"1"), File("/b", b"2")], False),
        ([], False),
        ([File("/a", b"1", comments=True)], True),
        ([File("/a", b"# why\n1", comments=True)], True),
        ([File("/a", b"1\n", comments=True)], False),
        ([File("/a", b" # x\n1", comments=True)], False),
        ([File("/a", b"# why\n1")], False),
    ],
)
def test_identity_is_of_what_is_read_at_start(other: list[File], same: bool) -> None:
    assert (filesets.identity(other, [], {}) == filesets.identity(FILES, [], {})) is same


def test_identity_follows_links(tmp_path: Path) -> None:
    link, old, new = tmp_path / "stack", tmp_path / "store" / "old", tmp_path / "store" / "new"
    old.mkdir(parents=True)
    new.mkdir()
    link.symlink_to(old)

    def identity(roots: dict[str, Any] | None = None) -> str:
        return filesets.identity(FILES, [str(link)], roots or {})

    first = identity()
    assert first != filesets.identity(FILES, [], {})
    assert identity({str(link): str(old)}) == first
    predicted = identity({str(link): str(new)})
    assert predicted != first
    link.unlink()
    link.symlink_to(new)
    assert identity() == predicted
    assert len(predicted) == 16
