# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of all unit tests."""

from __future__ import annotations

import pytest

from ansible_collections.railyard.sglang.tests.unit.support import playbooks


def pytest_configure(config: pytest.Config) -> None:
    """Tell the marker to ansible-test, too, which reads no pyproject.toml."""
    config.addinivalue_line("markers", "full: long matrices, only in make test-full")


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> playbooks.Rendered:
    """All services of tests/unit/golden/inventory.yml, rendered once per worker."""
    return playbooks.render(tmp_path_factory.mktemp("rendered"), playbooks.ROOT / "tests/unit/golden/inventory.yml")
