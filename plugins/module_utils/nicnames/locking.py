# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One change of a host's network at a time: the names of its interfaces, and the filter that goes by these names."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from typing import Iterator

PATH = "/run/railyard-nic-names.lock"


class LockedError(Exception):
    """Another process holds the lock."""


@contextlib.contextmanager
def lock(seconds: float, take: bool = False) -> Iterator[None]:
    """Hold the lock of all that renames interfaces here, or filters by their names.

    :param seconds: how long to wait.
    :param take: whether a holder that does not end in that time is ended: it has had its time.
    :raises LockedError: somebody else holds it.
    """
    handle = os.open(PATH, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        until = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = os.pread(handle, 20, 0).decode("ascii", "replace").strip()
                if time.monotonic() > until:
                    if not take or not holder.isdigit():
                        raise LockedError(
                            f"process {holder or 'unknown'} renames interfaces on this host, or sets its filter. "
                            "Fix: wait until it has ended, then run again"
                        ) from None
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(holder), signal.SIGKILL)
                    until, take = time.monotonic() + seconds, False
                time.sleep(0.1)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)
