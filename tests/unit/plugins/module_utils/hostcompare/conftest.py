# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Twelve equal hosts, built once."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support import fleets


@pytest.fixture(scope="session")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Facts of twelve hosts that differ in addresses only. Interfaces have other names on the second pool."""
    place = tmp_path_factory.mktemp("twelve")
    return {
        name: fleets.machine(place, number, names="ens{}np0" if name.startswith("p") else "enp{}s0")
        for number, name in enumerate(fleets.NAMES, 1)
    }
