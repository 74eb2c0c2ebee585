# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemd says of units, without secrets."""

from __future__ import annotations

from typing import Dict, List, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.bundle.secrets import Secrets
from ansible_collections.railyard.sglang.plugins.module_utils.onhost.commands import Runner
from ansible_collections.railyard.sglang.plugins.module_utils.services.halted import HALTED, halted
from ansible_collections.railyard.sglang.plugins.module_utils.services.units import parse_show


def properties(run: Runner, names: List[str]) -> Tuple[Dict[str, Dict[str, str]], str]:
    """Return unit to property to value, and why there are none where systemd did not answer.

    :param run: runs a command.
    :param names: units.
    """
    found = {}
    for name in names:
        # One by one: what parts two units is an empty line, and a property may hold one.
        rc, out, err = run(["systemctl", "show", "--all", "--no-pager", "--", name])
        found[name] = parse_show(Secrets().mask(out))
        if rc != 0 or not found[name]:
            return {}, f"systemctl show {name}: {err.strip() or f'exit status {rc}, {len(found[name])} properties'}"
        found[name][HALTED] = ", ".join(halted(found[name].get("ControlGroup", "")))
    return found, ""
