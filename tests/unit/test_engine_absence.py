# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that keeps a prefill instance away until decode has missed it: its own process, as systemd runs it, on real sockets."""

from __future__ import annotations

import os
import re
import runpy
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.tests.unit.support.playbooks import ROOT

PROGRAM = ROOT / "roles/engine/files/absence.py"
ABSENCE = runpy.run_path(str(PROGRAM))
HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LISTENING = "   0: 010200C0:7530 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n"


def run(*words: object) -> str:
    """Run the program and return what it says."""
    command = [sys.executable, "-I", "-S", str(PROGRAM), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


def waited(name: str, least: float) -> tuple[float, str]:
    """Wait as systemd has it wait, and return the seconds and what it says."""
    told = Path(f"{name}.told")
    told.write_text(f"# Seconds.\n{least:g}\n", encoding="utf-8")
    return seconds("wait", name, told)


def seconds(*words: object) -> tuple[float, str]:
    began = time.monotonic()
    said = run(*words)
    return time.monotonic() - began, said


@pytest.fixture
def name(tmp_path: Path) -> str:
    return str(tmp_path / "bootstrap-8998")


@pytest.fixture
def engine() -> Iterator[socket.socket]:
    """Return a socket that stands for the engine's: bound, and not listening yet."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield one


def appears(path: Path, within: float) -> bool:
    end = time.monotonic() + within
    while time.monotonic() < end and not path.exists():
        time.sleep(0.05)
    return path.exists()


@pytest.mark.parametrize(
    ("text", "port", "found"),
    [
        (LISTENING, 30000, True),
        (LISTENING, 30001, False),
        (LISTENING.replace(" 0A ", " 01 "), 30000, False),
        (LISTENING.replace("010200C0:7530", "B80D0120000000000000000001000000:7530"), 30000, True),
        (LISTENING.replace("010200C0:7530 00000000:0000", "010200C0:9C41 020200C0:7530"), 30000, False),
        ("   0: 010200C0\n", 30000, False),
        ("", 30000, False),
    ],
)
def test_the_kernels_table(text: str, port: int, found: bool) -> None:
    assert ABSENCE["listens"](HEADER + text, port) is found


def test_it_is_marked_when_it_serves_and_not_before(name: str, engine: socket.socket) -> None:
    command = [sys.executable, "-I", "-S", str(PROGRAM), "watch", name, str(engine.getsockname()[1])]
    assert subprocess.run(command, check=False, timeout=20).returncode == 0, "it goes to the background"
    assert not appears(Path(f"{name}.served"), 2)
    engine.listen()
    assert appears(Path(f"{name}.served"), 5)


def test_what_has_served_and_ended_waits_for_the_rest_of_its_time(name: str, tmp_path: Path) -> None:
    Path(f"{name}.served").touch()
    run("stopped", name)
    assert [path.name for path in tmp_path.iterdir()] == ["bootstrap-8998.stopped"]
    time.sleep(1)
    took, said = waited(name, 3)
    assert 1 < took < 2.9
    assert re.fullmatch(r"waits [12]\.\d s: back within 3 s of its end, this instance would not be missed by decode\n", said)
    assert waited(name, 3)[1] == ""


def test_the_first_start_on_a_host_waits_for_nothing(name: str) -> None:
    assert waited(name, 20)[1] == ""


def test_what_ran_before_the_program_was_there_may_have_served(name: str) -> None:
    run("stopped", name)
    assert waited(name, 1)[1]


def test_one_that_ends_again_before_it_serves_waits_no_second_time(name: str) -> None:
    Path(f"{name}.served").touch()
    run("stopped", name)
    assert waited(name, 1)[1]
    run("stopped", name)
    assert waited(name, 1)[1] == ""


def test_where_it_cannot_look_it_waits(tmp_path: Path) -> None:
    """A start without a wait could hang every request."""
    told = tmp_path / "told"
    told.write_text("1\n", encoding="utf-8")
    took, said = seconds("wait", tmp_path / ("x" * 300), told)
    assert took >= 1
    assert said.splitlines()[0].endswith("File name too long, so that nobody knows when this instance ended")


def test_an_end_that_nobody_noted_was_just_now(name: str) -> None:
    """The host lost its power: its file is as old as the engine's last start."""
    served = Path(f"{name}.served")
    served.touch()
    os.utime(served, (1, 1))
    took, said = waited(name, 2)
    assert took >= 2
    assert said.startswith("waits 2.0 s: ")


@pytest.mark.parametrize(("since", "left"), [(0.0, 12.0), (5.5, 6.5), (12.0, 0.0), (4000.0, 0.0), (-4000.0, 12.0)])
def test_a_clock_that_was_set_makes_it_wait_no_longer(since: float, left: float, name: str) -> None:
    stopped = Path(f"{name}.stopped")
    stopped.touch()
    assert ABSENCE["left"](name, 12.0, stopped.stat().st_mtime + since) == pytest.approx(left)
