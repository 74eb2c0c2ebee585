# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a command of the host for a bounded time: a driver that hangs must not hang the run."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import Callable, List, Tuple

Answer = Tuple[int, str, str]
Runner = Callable[[List[str]], Answer]
SECONDS = 20
ABSENT, LATE = 127, 124


def run(words: List[str], seconds: float = SECONDS) -> Answer:
    """Return exit status, output and errors; 127 where there is no such program, 124 where it gave no answer in time.

    A process that cannot even be killed, as one that waits inside a driver, is left behind and not waited for.
    """
    environment = {**os.environ, "LC_ALL": "C", "SYSTEMD_COLORS": "0"}
    try:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, start_new_session=True
        )
    except OSError as error:
        return ABSENT, "", f"{words[0]}: {error.strerror}"
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()
        return LATE, "", f"{words[0]} gave no answer in {seconds:g} s"
    return process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
