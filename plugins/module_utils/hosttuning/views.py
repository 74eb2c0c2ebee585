# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The view of a device in configfs, through which rdma_cm's traffic class is read and set; one process at a time has it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import Iterator

from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.files import QOS_LOCK
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.tree import Tree

CONFIGFS = "/sys/kernel/config/rdma_cm"
#: Seconds to wait for the unit that sets the ports; it holds the lock for an instant per port.
PATIENCE = 30.0


@contextlib.contextmanager
def _alone(tree: Tree) -> Iterator[None]:
    """Hold the lock that the script of the boot takes, too; it is free when its holder ends, however that ends."""
    handle = os.open(tree.real(QOS_LOCK), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise TimeoutError(
                        f"another process has held {QOS_LOCK} for {PATIENCE:g} s. Fix: see what does (fuser {QOS_LOCK}), and run again"
                    ) from None
                time.sleep(0.05)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def view(tree: Tree, device: str) -> Iterator[str]:
    """Give the path of a device's view, which is made where it is not there, and removed again.

    :raises TimeoutError: another process held the lock all the time.
    :raises OSError: the kernel refuses, for example for want of rights or of the device.
    """
    path = f"{CONFIGFS}/{device}"
    with _alone(tree):
        made = not tree.directory(path)
        if made:
            os.mkdir(tree.real(path))
        try:
            yield path
        finally:
            if made:
                os.rmdir(tree.real(path))
