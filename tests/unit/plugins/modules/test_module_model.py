# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module model on a real directory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.model import directory
from ansible_collections.railyard.sglang.plugins.module_utils.model.tiny import parts
from ansible_collections.railyard.sglang.plugins.modules import model
from ansible_collections.railyard.sglang.tests.unit.support.modules import run

CHECKSUM = "449d3a60c466578c67f3c297fc817c18b011cd80a7645ecaeab1f0413a37b5ea"


@pytest.fixture(name="path")
def name_path(tmp_path: Path) -> Path:
    return tmp_path / "models" / "tiny"


def tiny(path: Path, check: bool = False, **arguments: Any) -> dict[str, Any]:
    return run(model.main, {"path": str(path), "source": "tiny", **arguments}, check)


def test_creates_once(path: Path) -> None:
    first = tiny(path)
    assert (first["changed"], first["checksum"], first["problems"]) == (True, CHECKSUM, [f"{path} does not exist"])
    assert path.stat().st_mode & 0o777 == 0o755
    assert os.listdir(path.parent) == ["tiny"]
    inodes = {entry.name: entry.stat().st_ino for entry in path.iterdir()}
    assert tiny(path) == {"changed": False, "checksum": CHECKSUM, "problems": []}
    assert {entry.name: entry.stat().st_ino for entry in path.iterdir()} == inodes


def truncate(path: Path) -> None:
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200000])


def flip(path: Path) -> None:
    weights = path / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "truncated weights": (truncate, "model.safetensors has 200000 bytes, its header promises"),
    "one bit": (flip, "model.safetensors is missing or differs"),
    "no tokenizer": (lambda path: (path / "tokenizer.json").unlink(), "tokenizer.json is missing or differs"),
    "another config": (lambda path: (path / "config.json").write_text("{}"), "config.json is missing or differs"),
}


@pytest.mark.parametrize(("damage", "text"), DAMAGES.values(), ids=DAMAGES)
def test_check_mode_predicts_and_the_run_repairs(path: Path, damage: Callable[[Path], Any], text: str) -> None:
    tiny(path)
    damage(path)
    before = directory.manifest(str(path))
    predicted = tiny(path, check=True)
    assert directory.manifest(str(path)) == before
    assert predicted["changed"]
    assert text in predicted["problems"][0]
    done = tiny(path)
    assert {key: done[key] for key in ("changed", "problems", "diff")} == {key: predicted[key] for key in ("changed", "problems", "diff")}
    assert done["checksum"] == CHECKSUM
    assert not tiny(path)["changed"]


def test_check_mode_on_a_bare_host(path: Path) -> None:
    assert tiny(path, check=True)["changed"]
    assert not path.parent.exists()


def test_remains_of_an_interrupted_run_go_and_nothing_else(path: Path) -> None:
    for name in (".tiny.new-abc", ".tiny.old-abc", ".tiny.versions", ".tinyother", ".tiny.backup"):
        (path.parent / name).mkdir(parents=True)
        (path.parent / name / "model.safetensors").write_bytes(b"half")
    (path.parent / ".tiny.old-file").write_text("mine", encoding="utf-8")
    tiny(path)
    assert sorted(os.listdir(path.parent)) == [".tiny.backup", ".tiny.old-file", ".tiny.versions", ".tinyother", "tiny"]


def real(path: Path) -> None:
    """Be a model of one file that has the names of the tiny one's."""
    for name, content in parts().items():
        (path / name).write_bytes(content[::-1])


FOREIGN: dict[str, Callable[[Path], Any]] = {
    "a model of the same names": real,
    "another file": lambda path: (path / "model-00001-of-00002.safetensors").write_bytes(b"weights"),
    "another directory": lambda path: (path / "original").mkdir(),
    "a part of the tiny one, and a note": lambda path: ((path / "config.json").write_bytes(parts()["config.json"]), (path / "x").touch()),
    "a marked one that got another file": lambda path: (tiny(path), (path / "weights.bin").touch(), (path / "config.json").unlink()),
    "a marked one that got a directory": lambda path: (tiny(path), (path / "original").mkdir(), (path / "config.json").unlink()),
}


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("fill", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("linked", [False, True])
def test_what_somebody_else_put_there_is_left_alone(path: Path, fill: Callable[[Path], Any], linked: bool, check: bool) -> None:
    place = path.parent / "elsewhere" if linked else path
    place.mkdir(parents=True)
    if linked:
        path.symlink_to("elsewhere")
    fill(place)
    before = {item.relative_to(path.parent): item.lstat().st_ino for item in path.parent.rglob("*")}
    result = tiny(path, check)
    assert result["failed"]
    assert f"{place}: holds what the tiny model does not consist of" in result["msg"]
    assert "Fix: move it away, give sglang_model.path another name, or set sglang_model.source to path" in result["msg"]
    assert {item.relative_to(path.parent): item.lstat().st_ino for item in path.parent.rglob("*")} == before


def test_a_file_in_its_place_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("mine", encoding="utf-8")
    assert "is no directory, and the tiny model" in tiny(path)["msg"]
    assert path.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("names", [[], ["config.json"], ["model.safetensors", "tokenizer.json"]])
def test_one_without_a_mark_that_is_its_own_is_completed(path: Path, names: list[str]) -> None:
    path.mkdir(parents=True)
    for name in names:
        (path / name).write_bytes(parts()[name])
    assert tiny(path)["checksum"] == CHECKSUM
    # From now on it is known as such, whatever happens to its files.
    flip(path)
    assert tiny(path)["checksum"] == CHECKSUM
    assert os.listdir(path.parent) == ["tiny"]


def test_a_slash_at_the_end_is_the_same_path(path: Path) -> None:
    result = run(model.main, {"path": f"{path}/", "source": "tiny"})
    assert result["checksum"] == CHECKSUM
    assert sorted(os.listdir(path.parent)) == ["tiny"]


def test_a_checksum_that_is_not_met(path: Path) -> None:
    result = tiny(path, checksum="0" * 64)
    assert result["failed"]
    assert f"its checksum is {CHECKSUM}, wanted 000" in result["msg"]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    result = tiny(tmp_path / "file" / "tiny")
    assert result["failed"]
    assert "writing it failed" in result["msg"]
    assert "Fix: free space or make" in result["msg"]


@pytest.mark.parametrize("checksum", ["", CHECKSUM])
def test_a_whole_directory_of_the_operator(path: Path, checksum: str) -> None:
    tiny(path)
    result = run(model.main, {"path": str(path), "checksum": checksum})
    assert result == {"changed": False, "checksum": checksum, "problems": []}


@pytest.mark.parametrize("check", [False, True])
def test_a_damaged_directory_of_the_operator_is_named_and_left_alone(path: Path, check: bool) -> None:
    tiny(path)
    truncate(path)
    before = directory.manifest(str(path))
    result = run(model.main, {"path": str(path)}, check)
    assert result["failed"]
    assert f"The model in {path} is not whole: model.safetensors has 200000 bytes" in result["msg"]
    assert "Fix: copy the model again, or set sglang_model.source" in result["msg"]
    assert directory.manifest(str(path)) == before


def test_a_directory_of_the_operator_that_is_not_there(path: Path) -> None:
    result = run(model.main, {"path": str(path)})
    assert result["failed"]
    assert result["problems"] == [f"{path} does not exist"]
