# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pieces over the borders of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.model import torrent


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, b"i0e"), (-7, b"i-7e"), ("ä", b"2:\xc3\xa4"), (b"", b"0:"), ([1, "a"], b"li1e1:ae"), ({"b": 1, "a": []}, b"d1:ale1:bi1ee")],
)
def test_bencode(value: object, text: bytes) -> None:
    assert torrent.bencode(value) == text


@pytest.mark.parametrize(
    ("total", "length"), [(1, 64 << 10), (100 << 20, 64 << 10), (1 << 30, 512 << 10), (40 << 30, 16 << 20), (1 << 40, 16 << 20)],
)
def test_piece_length(total: int, length: int) -> None:
    assert torrent.piece_length(total) == length


def test_pieces_go_over_the_borders_of_files(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    contents = {"a": b"1" * 1000, "b": b"", "d/c": b"2" * 2345}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    sizes = {name: len(content) for name, content in contents.items()}
    made = torrent.make(str(tmp_path), "m", sizes, "salt", length=512)
    whole = b"".join(contents.values())
    pieces = b"".join(hashlib.sha1(whole[start : start + 512], usedforsecurity=False).digest() for start in range(0, len(whole), 512))
    assert b"6:pieces%d:" % len(pieces) + pieces in made
    assert b"d6:lengthi2345e4:pathl1:d1:ceee" in made
    assert b"7:privatei1e" in made
    assert torrent.make(str(tmp_path), "m", sizes, "salt", threads=1, length=512) == made
    assert torrent.make(str(tmp_path), "m", sizes, "another", length=512) != made


def test_a_file_that_shrinks_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12")
    with pytest.raises(OSError, match="shorter"):
        torrent.make(str(tmp_path), "m", {"a": 3}, "salt")
