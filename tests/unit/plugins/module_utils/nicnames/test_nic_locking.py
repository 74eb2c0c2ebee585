# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One change of a host's network at a time, between real processes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import locking

HOLD = "import fcntl, os, sys, time; h = open(sys.argv[1], 'w'); fcntl.flock(h, 2); h.write(str(os.getpid())); h.flush(); time.sleep(60)"


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, "PATH", str(tmp_path / "lock"))


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "lock")])
    until = time.monotonic() + 20
    while not (tmp_path / "lock").exists() or (tmp_path / "lock").read_text(encoding="ascii") != str(process.pid):
        assert time.monotonic() < until
        time.sleep(0.05)
    yield process
    process.kill()
    process.wait()


def test_it_is_free_again_afterwards() -> None:
    for _time in range(2):
        with locking.lock(0):
            pass


def test_whoever_comes_second_is_told_who_holds_it(holder: subprocess.Popen[bytes]) -> None:
    text = f"process {holder.pid} renames interfaces on this host, or sets its filter. Fix: wait until it has ended, then run again"
    with pytest.raises(locking.LockedError, match=text), locking.lock(0.2):
        pytest.fail("two have it")
    assert holder.poll() is None


def test_the_timer_ends_a_holder_that_has_had_its_time(holder: subprocess.Popen[bytes]) -> None:
    with locking.lock(0.2, take=True):
        assert holder.wait(10) == -9
