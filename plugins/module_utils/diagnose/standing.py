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
from ansible_collections.railyard.sglang.plugins.module_utils.services.halted import HALTED

STOPPED, FAILED, UNREACHABLE, FILTERED, HANGS, OFF = "L53", "L54", "L55", "L57", "L58", "L61"
FIREWALL, CLOCK = "preflight.firewall", "compare.clock"


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
            if unit.get(HALTED):
                found.append(Derived(HANGS, origin, {"unit": name, "value": unit[HALTED]}))
    return found


def filtered(checks: Mapping[str, Iterable[Mapping[str, Any]]]) -> list[Derived]:
    """Return which hosts drop what they should let in.

    :param checks: of each host the rows of the host checks: rule, state, text.
    """
    found = []
    for host, table in sorted(checks.items()):
        texts = [str(row.get("text", "")) for row in table if row.get("rule") == FIREWALL and row.get("state") == "error"]
        if texts:
            found.append(Derived(FILTERED, Origin("", host), {"value": "; ".join(dict.fromkeys(texts))}))
    return found


def off(compared: Iterable[Mapping[str, Any]]) -> list[Derived]:
    """Return which hosts have a clock that is apart from those of others.

    :param compared: what M(railyard.sglang.host_compare) found: rule, severity, host, text.
    """
    rows = [row for row in compared if row.get("rule") == CLOCK and row.get("severity") == "error" and row.get("host")]
    told = {str(row["host"]): str(row.get("text", "")).partition(";")[0].partition(" is ")[2] for row in rows}
    # One finding for all of them, so that its title has to name each.
    text = "; ".join(f"that of {host} is {how}" for host, how in sorted(told.items()))
    return [Derived(OFF, Origin("", host), {"value": text}) for host in sorted(told)]


def names(journals: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the inventory's name of each host by the one that its journal has, where no other host calls itself so."""
    own = Counter(result.get("hostname") for result in journals.values())
    return {result["hostname"]: host for host, result in journals.items() if result.get("hostname") and own[result["hostname"]] == 1}


def begins(journals: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return of each host since when its journal is whole, in seconds since 1970; before that are beginnings of units alone."""
    return {host: result["begins"] for host, result in journals.items() if isinstance(result.get("begins"), float)}


def not_read(
    journals: Mapping[str, Mapping[str, Any]], failed: Mapping[str, str] | None = None, unreachable: Iterable[str] = ()
) -> list[dict[str, str]]:
    """Return C(file) and C(why) of each host of which messages are missing.

    :param journals: of each host what M(railyard.sglang.unit_journal) returned, or how it failed.
    :param failed: of hosts why there is no journal, whatever that module returned.
    :param unreachable: hosts that were not reached: that is told already.
    """
    away, why = set(unreachable), {host: _unread(result) for host, result in journals.items()}
    why |= {host: f"its journal was not read: {text}" for host, text in (failed or {}).items()}
    return [{"file": host, "why": text} for host, text in sorted(why.items()) if text and host not in away]


def _unread(result: Mapping[str, Any]) -> str:
    """Return what of a journal was not read, and why; an empty text where all of it was."""
    if result.get("cut"):
        return "older messages of its journal are missing: there were more than doctor_lines or doctor_max_mib, or reading took too long"
    if "entries" not in result:
        told = " ".join(str(result.get("msg") or "the host was not looked at in this run").split())[:500]
        return f"its journal was not read: {told}"
    return "" if result["entries"] else "its journal holds no message of the planned units and of the kernel since doctor_since"
