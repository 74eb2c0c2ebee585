# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Captures of real machines that others made: they are not part of the repository, tests read them where they are.

The environment variable RAILYARD_SHARED names the directory that holds C(fixtures/rdma).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

VARIABLE = "RAILYARD_SHARED"


def captures() -> Path | None:
    """Return the directory of the RDMA captures, or None."""
    place = os.environ.get(VARIABLE)
    return Path(place) / "fixtures" / "rdma" if place else None


def capture(path: str) -> Path:
    """Return one capture; skip the test where there are none.

    :param path: path in the directory of the RDMA captures.
    """
    place = captures()
    if place is None:
        pytest.skip(f"{VARIABLE} is not set: the captures of real machines are not here")
    found = place / path
    assert found.exists(), f"{VARIABLE} has no {path}"
    return found
