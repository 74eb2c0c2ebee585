# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this package raises."""

from __future__ import annotations


class LabError(Exception):
    """The lab cannot be described, started or stopped; the text names the cause and the fix."""
