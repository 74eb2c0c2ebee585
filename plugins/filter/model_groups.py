# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter that says from which host a host gets its model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.model.groups import group


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name to function."""
        return {"model_group": group}
