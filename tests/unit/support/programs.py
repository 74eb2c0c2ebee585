# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that tests start, for which Python must find the collection where the tests found it: ansible-test has no PYTHONPATH."""

from __future__ import annotations

import os
from pathlib import Path

# Above ansible_collections/railyard/sglang/tests/unit/support/programs.py.
COLLECTIONS = str(Path(__file__).parents[6])


def environment(**more: str) -> dict[str, str]:
    """Return the environment of such a program."""
    return {**os.environ, "PYTHONPATH": COLLECTIONS, **more}
