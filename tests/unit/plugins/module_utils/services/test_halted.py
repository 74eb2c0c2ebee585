# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Halted processes of a unit: on each layout of control groups, with real processes."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.services.halted import halted

UNIT = "/system.slice/sglang-decode-0.service"


def tree(root: Path, place: str, pids: list[int]) -> str:
    """Write a root with a control group of some real processes; return it."""
    directory = root / place / UNIT.lstrip("/")
    directory.mkdir(parents=True)
    (directory / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids), encoding="utf-8")
    (root / "proc").symlink_to("/proc")
    return str(root)


@pytest.mark.parametrize("place", ["sys/fs/cgroup", "sys/fs/cgroup/systemd"])
def test_the_one_that_is_stopped(place: str, tmp_path: Path) -> None:
    running, stopped = (subprocess.Popen(["sleep", "60"]) for _number in range(2))
    try:
        stopped.send_signal(signal.SIGSTOP)
        root = tree(tmp_path, place, [running.pid, stopped.pid, 2**22 + 1])
        for _try in range(100):
            if halted(UNIT, root):
                break
            time.sleep(0.05)
        assert halted(UNIT, root) == [f"sleep (pid {stopped.pid})"]
        assert halted("", root) == []
        assert halted("/", root) == []
    finally:
        for process in (running, stopped):
            process.kill()
            process.wait(10)


def test_names_hold_brackets(tmp_path: Path) -> None:
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/stat").write_text("7 (sglang) S (x) t 1 7 7 0", encoding="utf-8")
    inner = tmp_path / "sys/fs/cgroup" / UNIT.lstrip("/") / "inner"
    inner.mkdir(parents=True)
    (inner / "cgroup.procs").write_text("7\n", encoding="utf-8")
    assert halted(UNIT, str(tmp_path)) == ["sglang) S (x (pid 7)"]
