# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the planned units and their hosts stand now: what is not there has no log that would say so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.derived import Derived
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.origin import Origin, named

STOPPED, FAILED, UNREACHABLE = "L53", "L54", "L55"


def standing(journals: Mapping[str, Mapping[str, Any]], unreachable: Iterable[str] = ()) -> list[Derived]:
    """Return what is wrong with planned units and hosts.

    :param journals: of each host what M(railyard.sglang.unit_journal) returned.
    :param unreachable: hosts that were not reached.
    """
    found = [Derived(UNREACHABLE, Origin("", host), {"address": host}) for host in sorted(unreachable)]
    for host, result in sorted(journals.items()):
        for unit in result.get("units") or []:
            name, active, sub = unit.get("Id", ""), unit.get("ActiveState", ""), unit.get("SubState", "")
            origin = named(Origin("", host, name), name)
            if active == "failed" or sub.startswith("auto-restart"):
                how = f"{unit.get('Result', '')}, exit status {unit.get('ExecMainStatus', '')}"
                how += f", started again {unit.get('NRestarts', '0')} times"
                found.append(Derived(FAILED, origin, {"unit": name, "value": how}))
            elif active == "inactive":
                loaded = unit.get("LoadState", "")
                found.append(Derived(STOPPED, origin, {"unit": name, "value": active if loaded == "loaded" else loaded}))
    return found


def names(journals: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the inventory's name of each host by the one that its journal has, where no other host calls itself so."""
    own = Counter(result.get("hostname") for result in journals.values())
    return {result["hostname"]: host for host, result in journals.items() if result.get("hostname") and own[result["hostname"]] == 1}


def incomplete(journals: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the hosts of which messages are missing because there were too many."""
    return sorted(host for host, result in journals.items() if result.get("cut"))
