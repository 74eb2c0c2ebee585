# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes shared by the modules' documentation."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes that every module of the collection states."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
    support: full
  diff_mode:
    description: Returns details on what has changed (or would change), when in diff mode.
    support: none
"""

    DIFF = r"""
options: {}
attributes:
  diff_mode:
    description: Returns details on what has changed (or would change), when in diff mode.
    support: full
"""

    READ_ONLY = r"""
options: {}
attributes:
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
"""
