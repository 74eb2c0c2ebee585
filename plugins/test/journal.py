# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of what is given to journalctl."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.services.since import is_time


class TestModule:
    """The collection's tests."""

    def tests(self) -> dict[str, Callable[..., bool]]:
        """Return name to function."""
        return {"journal_time": journal_time}


def journal_time(value: Any) -> bool:
    """Return whether a value, of any type, is a time that journalctl --since takes."""
    return is_time(str(value))
