# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Twelve equal hosts, built once."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support import fleets


@cache
def _twelve() -> dict[str, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as place:
        return {
            name: fleets.machine(Path(place), number, names="ens{}np0" if name.startswith("p") else "enp{}s0")
            for number, name in enumerate(fleets.NAMES, 1)
        }


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build them before the first test: under ansible-test each test is a fork, which would build them for itself alone."""
    if any("twelve" in getattr(item, "fixturenames", ()) for item in session.items):
        _twelve()


@pytest.fixture(scope="session")
def twelve() -> dict[str, dict[str, Any]]:
    """Facts of twelve hosts that differ in addresses only. Interfaces have other names on the second pool."""
    return _twelve()
