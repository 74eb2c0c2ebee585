# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import files
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.files import Image


def own(content: bytes, mode: int = 0o600) -> Image:
    return Image(content, mode, os.getuid(), os.getgid())


def there(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_two_files_swap_their_names(tmp_path: Path) -> None:
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    files.put({one: own(b"1"), two: own(b"2")})
    assert files.put({one: own(b"2"), two: own(b"1")}) == [one, two]
    assert there(tmp_path) == {"one": b"2", "two": b"1"}


def test_what_has_no_content_goes_and_directories_come(tmp_path: Path) -> None:
    gone, new = str(tmp_path / "gone"), str(tmp_path / "a" / "b" / "new")
    files.put({gone: own(b"x")})
    assert files.missing_directories([new, gone]) == [str(tmp_path / "a"), str(tmp_path / "a" / "b")]
    assert files.put({gone: Image(), new: own(b"y")}) == sorted([gone, new])
    assert there(tmp_path / "a" / "b") == {"new": b"y"}
    assert not os.path.exists(gone)
    assert files.put({gone: Image(), new: own(b"y")}) == []


def test_a_file_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "profile"
    path.write_bytes(b"old\r\n\xff")
    path.chmod(0o640)
    os.utime(path, ns=(10**18, 10**18))
    before = files.image(str(path))
    path.write_bytes(b"new")
    path.chmod(0o600)
    kept = Image.of(before.about(), before.content)
    assert files.put({str(path): kept}) == [str(path)]
    about = path.stat()
    assert (path.read_bytes(), about.st_mode & 0o777, about.st_mtime_ns) == (b"old\r\n\xff", 0o640, 10**18)
    assert files.image(str(path)) == before


def test_an_image_of_nothing_is_kept_as_nothing(tmp_path: Path) -> None:
    nothing = files.image(str(tmp_path / "nothing"))
    assert Image.of(nothing.about(), None) == nothing == Image()


@pytest.mark.parametrize("kind", ["link", "directory", "pipe"])
def test_only_plain_files_are_taken(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    {"link": lambda: path.symlink_to("/etc/hostname"), "directory": path.mkdir, "pipe": lambda: os.mkfifo(path)}[kind]()
    with pytest.raises(OSError, match=r"x"):
        files.image(str(path))


def test_cut_off_in_between_no_file_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    files.put({one: own(b"1"), two: own(b"2")})
    before = {path: files.image(path) for path in (one, two)}
    rename, calls = os.rename, []

    def cut(source: str, target: str) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "rename", cut)
    with pytest.raises(KeyboardInterrupt):
        files.put({one: own(b"2"), two: own(b"1")})
    monkeypatch.undo()
    files.sweep(before)
    files.put(before)
    assert there(tmp_path) == {"one": b"1", "two": b"2"}


def test_a_label_is_given_where_no_context_is_known(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []
    path = str(tmp_path / "deep" / "file")
    files.put({path: own(b"x")}, lambda unfinished, final: seen.append((unfinished, final)))
    assert seen == [(str(tmp_path / "deep"), str(tmp_path / "deep")), (files.unfinished(path), path)]
