# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that quote for systemd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.render.systemd import command, environment_value


class FilterModule:
    """The collection's filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name to function."""
        return {"systemd_command": command, "systemd_environment": lambda value: environment_value(str(value))}
