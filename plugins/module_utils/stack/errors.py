# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error of this package, and which operating system errors mean what."""

from __future__ import annotations

import errno


class StackError(Exception):
    """Something that stops a stack from being built or used; its text names the stack, the cause and the fix."""

    def __init__(self, subject: str, problem: str, fix: str) -> None:
        super().__init__(f"{subject}: {problem.rstrip('.')}. Fix: {fix.rstrip('.')}.")
        self.subject = subject
        self.problem = problem
        self.fix = fix


DISK_FULL = ("No space left on device", "os error 28", "Errno 28", "Disk quota exceeded", "os error 122")


def is_disk_full(error: BaseException | str) -> bool:
    """Say whether an exception, or the text which a program printed, means that the file system is full."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return any(sign in str(error) for sign in DISK_FULL)
