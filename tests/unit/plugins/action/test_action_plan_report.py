# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the action. Its runs are in tests/integration/test_plan_playbook.py."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ansible_collections.railyard.sglang.plugins.action import plan_report
from ansible_collections.railyard.sglang.plugins.modules import plan_report as module


def test_options_are_documented_as_they_are() -> None:
    documented: dict[str, dict[str, Any]] = yaml.safe_load(module.DOCUMENTATION)["options"]
    known = ("type", "elements", "default", "choices")
    assert {name: {key: row[key] for key in known if key in row} for name, row in documented.items()} == plan_report.SPEC


OPTIONS: dict[str, Any] = {
    "plan": {"schema": 2}, "findings": [], "clients": [], "monitoring": [], "controllers": [], "ssh_port": 22, "zone": "public",
}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({}, ""),
        ({"ssh_port": 65535, "zone": "fabric-1_a"}, ""),
        ({"clients": ["192.0.2.0/24", "2001:db8::1"]}, ""),
        ({"ssh_port": 99999}, "ssh_port 99999 is not from 1 to 65535"),
        ({"ssh_port": 0}, "ssh_port 0 is not"),
        ({"zone": "a zone"}, "zone 'a zone' is not the name"),
        ({"zone": ""}, "zone '' is not the name"),
        ({"zone": "a" * 18}, "is not the name of a zone"),
        ({"monitoring": ["somewhere"]}, "not an address and not a network: somewhere"),
        ({"plan": {}}, "give the plan"),
    ],
)
def test_options_that_make_no_sense(change: dict[str, Any], text: str) -> None:
    found = plan_report.wrong_option({**OPTIONS, **change})
    assert text in found
    assert bool(found) == bool(text)
