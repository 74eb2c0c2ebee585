# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module host_capture, on this machine."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

from ansible_collections.railyard.sglang.plugins.modules import host_capture, rdma_facts
from ansible_collections.railyard.sglang.tests.unit.support.captured import Pairs
from ansible_collections.railyard.sglang.tests.unit.support.modules import run
from ansible_collections.railyard.sglang.tests.unit.support.unpacking import unpack_into


def test_twice_and_in_check_mode(tmp_path: Path) -> None:
    place, report = tmp_path / "host.tar.gz", tmp_path / "host.json"
    arguments = {"dest": str(place), "report": str(report), "names": ["kea7"]}
    predicted = run(host_capture.main, arguments, check=True)
    assert predicted["changed"]
    assert list(tmp_path.iterdir()) == []
    done = run(host_capture.main, arguments)
    assert done == predicted
    assert done["size"] == place.stat().st_size
    assert sorted(path.name for path in tmp_path.iterdir()) == ["host.json", "host.tar.gz"]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    assert json.loads(report.read_text(encoding="utf-8"))["replaced"] == done["replaced"]
    bytes_before = place.read_bytes()
    assert not run(host_capture.main, arguments)["changed"]
    assert place.read_bytes() == bytes_before
    report.write_text("x", encoding="utf-8")
    assert run(host_capture.main, arguments, check=True)["changed"]
    assert run(host_capture.main, arguments)["changed"]


def test_facts_of_the_archive(tmp_path: Path) -> None:
    place = tmp_path / "host.tar"
    run(host_capture.main, {"dest": str(place), "report": str(tmp_path / "host.json")})
    with tarfile.open(fileobj=io.BytesIO(place.read_bytes())) as archive:
        unpack_into(archive, tmp_path / "tree")
    here, there = (run(rdma_facts.main, row)["ansible_facts"] for row in ({}, {"root": str(tmp_path / "tree")}))
    Pairs(here, there)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    result = run(host_capture.main, {"dest": str(tmp_path / "no/such/directory.tar"), "report": str(tmp_path / "host.json")})
    assert result["failed"]
    assert result["msg"].startswith("cannot write /")


def test_a_link_in_the_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine", encoding="utf-8")
    os.symlink(other, tmp_path / "host.tar")
    run(host_capture.main, {"dest": str(tmp_path / "host.tar"), "report": str(tmp_path / "host.json")})
    assert other.read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "host.tar").is_symlink()
