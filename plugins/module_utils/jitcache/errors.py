# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The error of the kernel caches."""

from __future__ import annotations

from ansible_collections.railyard.sglang.plugins.module_utils.model.errors import ModelError


class CacheError(ModelError):
    """What is wrong, with what, and how to mend it."""


class LaterError(CacheError):
    """Something is missing that an earlier stage of the same run brings: in check mode it has not."""
