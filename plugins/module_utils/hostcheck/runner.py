# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a command of the host for a bounded time: a driver that hangs must not hang the run."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from typing import Callable, List, Optional, Tuple

Answer = Tuple[int, str, str]
Runner = Callable[[List[str]], Answer]
SECONDS = 20
ABSENT, LATE = 127, 124
# Of a longer output the end is kept: a log says last what is true now.
MOST = 1 << 23


def _outputs(process: subprocess.Popen, until: float) -> Optional[Tuple[str, str]]:
    """Return the end of output and errors of a process, or None where it has not closed both in time."""
    pipes = [pipe for pipe in (process.stdout, process.stderr) if pipe]
    kept = {pipe.fileno(): bytearray() for pipe in pipes}
    with selectors.DefaultSelector() as waiting:
        for number in kept:
            waiting.register(number, selectors.EVENT_READ)
        while waiting.get_map():
            left = until - time.monotonic()
            if left <= 0:
                return None
            for key, _events in waiting.select(left):
                data = os.read(key.fd, 65536)
                kept[key.fd] += data
                del kept[key.fd][:-MOST]
                if not data:
                    waiting.unregister(key.fd)
    out, err = (bytes(kept[pipe.fileno()]).decode("utf-8", "replace") for pipe in pipes)
    return out, err


def run(words: List[str], seconds: float = SECONDS, locale: str = "C") -> Answer:
    """Return exit status, the end of output and of errors; 127 where there is no such program, 124 where it gave no answer in time.

    A process that cannot even be killed, as one that waits inside a driver, is left behind and not waited for.

    :param locale: language and character set of the command.
    """
    environment = {**os.environ, "LC_ALL": locale, "SYSTEMD_COLORS": "0"}
    try:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, start_new_session=True
        )
    except OSError as error:
        return ABSENT, "", f"{words[0]}: {error.strerror}"
    until = time.monotonic() + seconds
    outputs = _outputs(process, until)
    for pipe in (process.stdout, process.stderr):
        if pipe:
            pipe.close()
    try:
        # It has closed its outputs; what else it does is not waited for much longer.
        rc = process.wait(max(until - time.monotonic(), 0.1)) if outputs else None
    except subprocess.TimeoutExpired:
        rc = None
    if rc is None or outputs is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return LATE, "", f"{words[0]} gave no answer in {seconds:g} s"
    return (rc, *outputs)
