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


def test_remains_of_an_interrupted_run_go(path: Path) -> None:
    for name in (".tiny.new-abc", ".tiny.old-abc"):
        (path.parent / name).mkdir(parents=True)
        (path.parent / name / "model.safetensors").write_bytes(b"half")
    (path.parent / ".tinyother").mkdir()
    tiny(path)
    assert sorted(os.listdir(path.parent)) == [".tinyother", "tiny"]


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
