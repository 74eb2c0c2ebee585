# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that decide about kernel caches for all hosts of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.jitcache.paths import moved
from ansible_collections.railyard.sglang.plugins.module_utils.jitcache.turns import failures, gate, turns


class FilterModule:
    """The filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name to function."""
        return {"kernel_turns": turns, "kernel_gate": gate, "kernel_failures": failures, "kernel_paths": moved}
