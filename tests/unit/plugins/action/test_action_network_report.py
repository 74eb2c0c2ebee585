# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action that reports the network stage is documented as it is. Its runs are those of tests/integration/test_network_playbook.py."""

from __future__ import annotations

import yaml

from ansible_collections.railyard.sglang.plugins.action import network_report
from ansible_collections.railyard.sglang.plugins.modules import network_report as module

KNOWN = ("type", "elements", "default", "choices", "required")


def test_options_are_documented_as_they_are() -> None:
    documented = yaml.safe_load(module.DOCUMENTATION)["options"]
    assert {name: {key: row[key] for key in KNOWN if key in row} for name, row in documented.items()} == network_report.SPEC
