# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's connection is found in a process table, and in that of this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.onhost.sshconnection import connections
from ansible_collections.railyard.sglang.tests.unit.support.programs import environment

CONNECTION = ["192.0.2.9", "50000", "192.0.2.1", "22"]


def process(root: Path, pid: int, parent: int, environ: bytes, name: str = "sh") -> None:
    (root / str(pid)).mkdir()
    (root / str(pid) / "stat").write_text(f"{pid} ({name}) S {parent} 1 1 0\n")
    (root / str(pid) / "environ").write_bytes(environ)


def test_the_connection_is_found_above_sudo(tmp_path: Path) -> None:
    process(tmp_path, 40, 1, b"", "sshd: a) b (")
    process(tmp_path, 41, 40, b"HOME=/\0SSH_CONNECTION=192.0.2.9 50000 192.0.2.1 22\0")
    process(tmp_path, 42, 41, b"SUDO_USER=x\0")
    process(tmp_path, 43, 42, b"SUDO_USER=x\0NOT_SSH_CONNECTION=1 2 3 4\0")
    assert list(connections(str(tmp_path), 43)) == [CONNECTION]
    assert list(connections(str(tmp_path), 40)) == []
    assert list(connections(str(tmp_path), 999)) == []


@pytest.mark.parametrize("value", [b"", b"192.0.2.9 50000", b"a b c d e"])
def test_a_value_of_another_form_is_passed_over(tmp_path: Path, value: bytes) -> None:
    process(tmp_path, 41, 1, b"SSH_CONNECTION=192.0.2.9 50000 192.0.2.1 22\0")
    process(tmp_path, 42, 41, b"SSH_CONNECTION=" + value + b"\0")
    assert list(connections(str(tmp_path), 42)) == [CONNECTION]


def test_a_circle_of_parents_ends(tmp_path: Path) -> None:
    process(tmp_path, 5, 6, b"")
    process(tmp_path, 6, 5, b"")
    assert list(connections(str(tmp_path), 5)) == []


def test_real_processes() -> None:
    code = (
        "from ansible_collections.railyard.sglang.plugins.module_utils.onhost.sshconnection import connections\nprint(*next(connections()))"
    )
    inner = ["env", "-u", "SSH_CONNECTION", sys.executable, "-c", code]
    outer = [sys.executable, "-c", f"import subprocess; subprocess.run({inner!r}, check=True)"]
    given = environment(SSH_CONNECTION="192.0.2.9 50000 192.0.2.77 22")
    done = subprocess.run(outer, env=given, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "192.0.2.9 50000 192.0.2.77 22"
