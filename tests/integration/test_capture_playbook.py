# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of playbooks/capture.yml against this machine."""

from __future__ import annotations

import io
import json
import re
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.gather import gather
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.replay import open_root
from ansible_collections.railyard.sglang.tests.unit.support import playbooks
from ansible_collections.railyard.sglang.tests.unit.support.unpacking import unpack_into


def run(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the playbook with two names for this machine; the second one is the machine that is captured last."""
    inventory = place / "hosts.yml"
    variables = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "sglang_become": False}
    hosts = {name: {"capture_host_path": str(place / name)} for name in ("kea7", "moa8")}
    inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": variables}}), encoding="utf-8")
    directory = f"capture_directory={place / 'captures'}"
    return playbooks.playbook(place, "-i", str(inventory), "railyard.sglang.capture", "-e", directory, *words)


def recap(done: subprocess.CompletedProcess[str]) -> list[tuple[str, str]]:
    """Return changed and failed tasks of every host."""
    assert done.returncode == 0, done.stdout + done.stderr
    return re.findall(r"changed=(\d+) .*failed=(\d+)", done.stdout)


def test_check_run_and_second_run(tmp_path: Path) -> None:
    assert recap(run(tmp_path, "--check")) == [("1", "0"), ("1", "0")]
    assert not (tmp_path / "captures").exists()
    done = run(tmp_path)
    assert recap(done) == [("2", "0"), ("2", "0")]
    files = {path.name: path.read_bytes() for path in (tmp_path / "captures").iterdir()}
    assert sorted(files) == ["host-01.json", "host-01.tar.gz", "host-02.json", "host-02.tar.gz"]
    assert str(tmp_path / "captures/host-02.tar.gz") in re.sub(r"\n\s+", "", done.stdout)
    assert recap(run(tmp_path, "--limit", "moa8")) == [("0", "0")]
    assert {path.name: path.read_bytes() for path in (tmp_path / "captures").iterdir()} == files
    with tarfile.open(fileobj=io.BytesIO(files["host-02.tar.gz"])) as archive:
        unpack_into(archive, tmp_path / "tree")
    facts = gather(open_root(str(tmp_path / "tree")))
    assert "127.0.0.1/8" in facts["interfaces"]["lo"]["addresses"]
    # Neither the inventory's name nor the machine's own.
    assert b"moa8" not in files["host-02.json"]
    assert socket.gethostname() not in json.dumps(facts)
