# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters and their documentation."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.railyard.sglang.plugins.filter import systemd

FILTERS = systemd.FilterModule().filters()


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("systemd_command", ["/bin/x", "--a", 1], "/bin/x \\\n  --a 1"),
        ("systemd_environment", "a b", '"a b"'),
        ("systemd_environment", 1.5, '"1.5"'),
    ],
)
def test_filter(name: str, value: Any, wanted: str) -> None:
    assert FILTERS[name](value) == wanted


def test_each_filter_is_documented() -> None:
    directory = Path(systemd.__file__).parent
    documents = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in directory.glob("*.yml")}
    names = set()
    for path in directory.glob("*.py"):
        names |= set(importlib.import_module(f"{systemd.__package__}.{path.stem}").FilterModule().filters())
    assert set(documents) == names
    assert [row["DOCUMENTATION"]["name"] for row in documents.values()] == list(documents)
