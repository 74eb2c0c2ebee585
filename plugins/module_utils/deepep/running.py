# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that a build starts: nothing of the caller's settings, output kept, the build's lock inherited."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Python puts the directory that it is started in before all others: nothing of anybody's is to be there.
NOWHERE = Path("/")
NOT_FOUND = 127
HANGS = -1
TAIL = 1500


def run(
    command: Sequence[str], environment: Mapping[str, str], seconds: float, directory: Path | None = None, lock: int = -1,
) -> tuple[int, str]:
    """Run a program and return its exit status with what it printed; the status of one that hangs is -1, of one that is missing 127.

    :param lock: a descriptor that the program and its children inherit, so that a lock is held until all have ended.
    """
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=directory,
                env={"PATH": SYSTEM_PATH, "LC_ALL": "C.UTF-8", **environment}, pass_fds=[lock] if lock >= 0 else [], start_new_session=True,
            )
        except OSError as error:
            return NOT_FOUND, f"{command[0]}: {error.strerror}"
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            # A compiler is a tree of processes.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            status = HANGS
        output.seek(0)
        return status, output.read().decode("utf-8", "replace")


def tail(output: str) -> str:
    """Return the end of what a program printed, as one line."""
    return " ".join(output.split())[-TAIL:]
