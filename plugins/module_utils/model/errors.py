# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The error of the model stage."""

from __future__ import annotations


class ModelError(Exception):
    """What is wrong, with what, and how to mend it."""

    def __init__(self, subject: str, problem: str, fix: str) -> None:
        super().__init__(f"{subject}: {problem}. Fix: {fix}")
        self.subject, self.problem, self.fix = subject, problem, fix
