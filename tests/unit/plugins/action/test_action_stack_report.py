# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of playbooks/versions.yml against this machine under three names, each with real environments of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.railyard.sglang.plugins.action import stack_report
from ansible_collections.railyard.sglang.plugins.module_utils.stack.apply import apply
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import parse_definition
from ansible_collections.railyard.sglang.plugins.modules import stack_report as module
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.stack.conftest import uv_wheel
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.stack.tiny_stack import MINOR, Tiny
from ansible_collections.railyard.sglang.tests.unit.support import playbooks
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster

ENGINE, ROUTER = "sglang-0.5.8-cpu", "sglang-router-0.3.2"
HOSTS = {"p0": [ENGINE], "d0": [ENGINE], "r0": [ROUTER]}
__all__ = ["uv_wheel"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, uv_wheel: Path) -> Path:
    """Three hosts with a tiny package in the place of the engine's and the router's, and the inventory of them."""
    place = tmp_path_factory.mktemp("versions")
    inventory = cluster(1, 1, 1, 1)
    for host, names in HOSTS.items():
        (place / host).mkdir()
        tiny = Tiny(place / host, uv_wheel)
        for name in names:
            data = tiny.changed(name=name)
            apply([parse_definition(data)], tiny.options(link=frozenset({name})), os.uname().machine)
            stack = place / "definitions" / name
            (stack / "tiny_stub").mkdir(parents=True, exist_ok=True)
            for path, text in data.pop("files").items():
                (stack / path).write_text(text, encoding="utf-8")
            (stack / "requirements.txt").write_text(data.pop("lock"), encoding="utf-8")
            data.pop("installer")
            files = {path: path for path in ("tiny_stub/__init__.py", "tiny_stub/any.py")}
            (stack / "stack.yml").write_text(yaml.safe_dump({**data, "files": files}), encoding="utf-8")
        own = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "sglang_become": False}
        inventory.hostvars[host] |= {**own, "stack_root": str(tiny.root), "stack_definition_paths": [str(place / "definitions")]}
    groups = {
        name: {"hosts": {host: inventory.hostvars[host] for host in hosts}} for name, hosts in inventory.groups.items() if name != "all"
    }
    (place / "hosts.yml").write_text(json.dumps({"all": {"children": groups}}), encoding="utf-8")
    return place


def run(world: Path, place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the playbook, and write into a directory of the test."""
    extra = ("-e", f"versions_directory={place / 'versions'}")
    return playbooks.playbook(place, "-i", str(world / "hosts.yml"), "railyard.sglang.versions", *extra, *words, seconds=600)


def recap(done: subprocess.CompletedProcess[str], host: str) -> tuple[str, str]:
    """Return the changed and the failed tasks of a host."""
    found = re.search(rf"^{host} .*changed=(\d+) .*failed=(\d+)", done.stdout, re.MULTILINE)
    assert found, done.stdout + done.stderr
    return found.group(1), found.group(2)


def test_hosts_as_locked(world: Path, tmp_path: Path) -> None:
    done = run(world, tmp_path, "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "versions").exists()
    assert "3 hosts against the locks: no differences" in done.stdout
    done = run(world, tmp_path)
    assert sum(int(recap(done, host)[0]) for host in HOSTS) == 1
    data = json.loads((tmp_path / "versions/versions.json").read_text("utf-8"))
    assert data["drift"] == []
    for host, (name,) in HOSTS.items():
        row = data["hosts"][host]
        assert row["stacks"][name]["packages"] == {"tiny": "1.0"} == data["locked"][name]["packages"]
        assert row["kernel"] == os.uname().release
        assert row["stacks"][name]["python"].startswith(f"3.{MINOR}.")
    assert f"{ENGINE} on p0, d0" in (tmp_path / "versions/versions.txt").read_text("utf-8").replace("d0, p0", "p0, d0")
    done = run(world, tmp_path)
    assert [recap(done, host) for host in HOSTS] == [("0", "0")] * 3


def test_drift_ends_the_run_after_everything_was_written(world: Path, tmp_path: Path) -> None:
    (site,) = (world / "d0/sglang").resolve().glob(f"{ENGINE}/lib/python3.*/site-packages")
    (site / "tiny-1.0.dist-info").rename(site / "tiny-1.1.dist-info")
    shutil.copytree(site / "tiny-1.1.dist-info", site / "surplus-3.dist-info")
    try:
        done = run(world, tmp_path)
        assert done.returncode == 2, done.stdout + done.stderr
        said = " ".join((done.stdout + done.stderr).split())
        assert f"d0: {ENGINE}: tiny: found 1.1, locked 1.0. Fix: find out who changed it" in said
        assert f"d0: {ENGINE}: surplus: found 3, locked nothing." in said
        assert "What is installed differs from the locks in 2 places." in said
        data = json.loads((tmp_path / "versions/versions.json").read_text("utf-8"))
        assert [(row["host"], row["package"]) for row in data["drift"]] == [("d0", "surplus"), ("d0", "tiny")]
        done = run(world, tmp_path, "-e", "versions_fail=false")
        assert done.returncode == 0
        done = run(world, tmp_path, "--limit", "p0,r0")
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads((tmp_path / "versions/versions.json").read_text("utf-8"))["absent"] == ["d0"]
        assert "not in this run" in done.stdout
    finally:
        (site / "tiny-1.1.dist-info").rename(site / "tiny-1.0.dist-info")
        shutil.rmtree(site / "surplus-3.dist-info")


def test_a_file_that_was_changed(world: Path, tmp_path: Path) -> None:
    (site,) = (world / "p0/sglang").resolve().glob(f"{ENGINE}/lib/python3.*/site-packages")
    path = site / "tiny-1.0.dist-info/METADATA"
    before = path.read_bytes()
    path.write_bytes(before.replace(b"tiny", b"tinY"))
    try:
        assert run(world, tmp_path).returncode == 0
        done = run(world, tmp_path, "-e", "versions_verify=true")
        assert done.returncode == 2
        assert "tiny-1.0.dist-info/METADATA: found missing or altered after the install" in " ".join(done.stdout.split())
    finally:
        path.write_bytes(before)


def test_options_are_documented_as_they_are() -> None:
    documented: dict[str, dict[str, Any]] = yaml.safe_load(module.DOCUMENTATION)["options"]
    known = ("type", "elements", "default", "choices", "required")
    assert {name: {key: row[key] for key in known if key in row} for name, row in documented.items()} == stack_report.SPEC
