# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Model directories, whole and damaged."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.model import directory


def shard(path: Path, header: object = None, data: bytes = b"\0" * 8) -> None:
    """Write a safetensors file."""
    text = json.dumps(header or {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "__metadata__": {"format": "pt"}}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_index(model: Path, content: object) -> None:
    (model / "model.safetensors.index.json").write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture(name="model")
def write_model(tmp_path: Path) -> Path:
    """A model of two shards with their index."""
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    for number in (1, 2):
        shard(tmp_path / f"{number}.safetensors")
    write_index(tmp_path, {"weight_map": {"a": "1.safetensors", "b": "2.safetensors", "c": "1.safetensors"}})
    return tmp_path


def truncate(model: Path) -> None:
    path = model / "2.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def pad(model: Path) -> None:
    with (model / "2.safetensors").open("ab") as stream:
        stream.write(b"\0")


def header(content: bytes) -> Callable[[Path], None]:
    return lambda model: (model / "2.safetensors").write_bytes(struct.pack("<Q", len(content)) + content) and None


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (truncate, r"2.safetensors has \d+ bytes, its header promises \d+"),
    "padded": (pad, r"2.safetensors has \d+ bytes, its header promises \d+"),
    "missing": (lambda model: (model / "2.safetensors").unlink(), "2.safetensors is missing"),
    "empty": (lambda model: (model / "2.safetensors").write_bytes(b""), r"has no readable header \(0 bytes\)"),
    "a page of an error": (lambda model: (model / "2.safetensors").write_bytes(b"<html>404 Not Found</html>"), "has no readable header"),
    "a pointer": (
        lambda model: (model / "2.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n"),
        "has no readable header",
    ),
    "cut in its header": (lambda model: (model / "2.safetensors").write_bytes(struct.pack("<Q", 99) + b"{"), "has no readable header"),
    "a header that is not JSON": (header(b"{]"), "has a damaged header"),
    "a header that is a list": (header(b"[1]"), "has a damaged header"),
    "a header without offsets": (header(b'{"a": {}}'), "has a damaged header"),
    "a header with short offsets": (header(b'{"a": {"data_offsets": [0]}}'), "has a damaged header"),
    "a header that is not UTF-8": (header(b"\xff\xfe"), "has a damaged header"),
    "no config": (lambda model: (model / "config.json").unlink(), "config.json is missing"),
    "index without a map": (lambda model: write_index(model, {}), "index.json cannot be read: 'weight_map'"),
    "index that is a list": (lambda model: write_index(model, []), "index.json cannot be read"),
    "index with a list": (lambda model: write_index(model, {"weight_map": []}), "index.json cannot be read"),
    "index that is not JSON": (lambda model: (model / "model.safetensors.index.json").write_text("{"), "index.json cannot be read"),
    "index that names nothing": (lambda model: write_index(model, {"weight_map": {}}), "no .safetensors file is there"),
}


def test_whole(model: Path) -> None:
    assert directory.problems(str(model)) == []
    (model / "model.safetensors.index.json").unlink()
    assert directory.problems(str(model)) == []


@pytest.mark.parametrize(("damage", "text"), DAMAGES.values(), ids=DAMAGES)
def test_damaged(model: Path, damage: Callable[[Path], object], text: str) -> None:
    damage(model)
    found = directory.problems(str(model))
    assert len(found) == 1
    assert re.search(text, found[0]), found


def test_a_file_that_the_index_does_not_name_is_not_looked_at(model: Path) -> None:
    (model / "old.safetensors").write_bytes(b"")
    assert directory.problems(str(model)) == []


def test_all_problems_come_at_once(model: Path) -> None:
    (model / "config.json").unlink()
    (model / "1.safetensors").unlink()
    truncate(model)
    assert len(directory.problems(str(model))) == 3


def test_no_directory(tmp_path: Path) -> None:
    assert directory.problems(str(tmp_path / "x")) == [f"{tmp_path}/x does not exist"]


def test_no_weights(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    assert directory.problems(str(tmp_path)) == ["no .safetensors file is there"]


def test_the_checksum_is_of_names_and_content(model: Path) -> None:
    def checksum() -> str:
        return directory.checksum(directory.manifest(str(model)))

    first = checksum()
    assert len(first) == 64
    assert set(directory.manifest(str(model))) == {"config.json", "1.safetensors", "2.safetensors", "model.safetensors.index.json"}
    (model / "config.json").write_text("{ }", encoding="utf-8")
    second = checksum()
    (model / "config.json").write_text("{}", encoding="utf-8")
    assert checksum() == first != second
    (model / "1.safetensors").rename(model / "3.safetensors")
    assert checksum() not in {first, second}
