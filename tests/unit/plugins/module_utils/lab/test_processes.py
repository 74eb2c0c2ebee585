# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Iterator, Optional

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.lab.processes import (
    Process,
    all_gone,
    identify,
    is_alive,
    parse_stat,
    read_recorded,
    send,
    wait_until,
)

STAT = "{pid} ({name}) {state} 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 {start} 1 2 3\n"


@pytest.mark.parametrize("name", ["sh", "a b", "a) S 1 (b", "((", "))"])
def test_stat(name: str) -> None:
    assert parse_stat(STAT.format(pid=7, name=name, state="S", start=4711)) == ("S", 4711)


@pytest.mark.parametrize(
    ("recorded", "state", "alive"),
    [
        (Process(7, 4711), "S", True),
        (Process(7, 4711), "R", True),
        (Process(7, 4711), "Z", False),
        (Process(7, 4712), "S", False),
        (Process(8, 4711), "S", False),
        (None, "S", False),
    ],
)
def test_alive_is_this_very_process(recorded: Optional[Process], state: str, alive: bool, tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/stat").write_text(STAT.format(pid=7, name="sh", state=state, start=4711))
    assert is_alive(recorded, tmp_path) is alive


@pytest.mark.parametrize(("text", "process"), [("7 4711\n", Process(7, 4711)), ("", None), ("7\n", None), ("7 x\n", None), ("7 1 2", None)])
def test_recorded(text: str, process: Optional[Process], tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(text)
    assert read_recorded(tmp_path / "pid") == process
    assert read_recorded(tmp_path / "none") is None


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def test_signal_reaches_only_the_recorded_process(child: subprocess.Popen[bytes]) -> None:
    process = identify(child.pid)
    assert process is not None
    send(Process(process.pid, process.start + 1), signal.SIGKILL)
    assert not wait_until(lambda: child.poll() is not None, 0.2)
    send(process, signal.SIGKILL)
    assert child.wait(5) == -signal.SIGKILL
    send(process, signal.SIGKILL)
    assert all_gone([process, None])


def test_identify() -> None:
    process = identify(os.getpid())
    assert process is not None
    assert is_alive(process)
    assert identify(999999999) is None
