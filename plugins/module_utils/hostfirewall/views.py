# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change for a person."""

from __future__ import annotations

from typing import Dict, List, Optional

from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall import firewalld
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall import zones as zoning
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.wanted import Host, Plan, Seen, Wanted
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import masking


def zones(wanted: Wanted, host: Host) -> Dict[str, List[str]]:
    """Return the name of each zone and its interfaces."""
    found = zoning.zones(wanted, host)[0] if wanted.present else {}
    return {zone.name: list(zone.interfaces) for zone in found.values()}


def _text(path: str, content: Optional[bytes]) -> str:
    if content is None:
        return ""
    if path.startswith(firewalld.DIRECTORY):
        return content.decode("utf-8", "replace")
    return masking.masked(path, content)


def differences(plan: Plan, seen: Seen) -> List[Dict[str, str]]:
    """Return the change as Ansible shows differences: each file, then the interfaces at run time."""
    before = {**{profile.path: profile.content for profile in seen.profiles if profile.path}, **seen.files}
    found = [
        {"before_header": path, "after_header": path, "before": _text(path, before.get(path)), "after": _text(path, content)}
        for path, content in plan.files.items()
    ]
    if plan.moves:
        former = {name: firewalld.zone_of(seen.runtime or {}, name) or f"{seen.default_zone} (default)" for name in plan.moves}
        texts = ["".join(f"{name}: {zone}\n" for name, zone in row.items()) for row in (former, plan.moves)]
        found.append({"before_header": "zones at run time", "after_header": "zones at run time", "before": texts[0], "after": texts[1]})
    return found
