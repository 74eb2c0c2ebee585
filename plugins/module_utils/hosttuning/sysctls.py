# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel settings: what goes into the one file, what is set now, and what each was before."""

from __future__ import annotations

import copy
from typing import Dict, List, Optional, Set, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning import ports
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.files import SYSCTL
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.steps import Part, Record, Seen, Step
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.wanted import PORTS, Wanted, canonical, value_text


def path_of(key: str) -> str:
    """Return the file of a canonical key: net.ipv4.conf.eth0/100.arp_ignore is in eth0.100."""
    return "/proc/sys/" + "".join({".": "/", "/": "."}.get(letter, letter) for letter in key)


def definitions(text: str) -> Dict[str, str]:
    """Return the keys that a sysctl.d file sets, without patterns: a key that is named wins over them (sysctl.d(5))."""
    found = {}
    for line in text.splitlines():
        key, sign, value = line.strip().lstrip("-").partition("=")
        if sign and not key.startswith(("#", ";")) and not set("*?[") & set(key):
            found[canonical(key.strip())] = value_text(value)
    return found


def _number(text: Optional[str]) -> Optional[int]:
    return int(text) if text is not None and text.isdigit() else None


def _ports(text: str) -> Set[int]:
    try:
        return ports.numbers(text)
    except ValueError:
        return set()


def _earlier(key: str, seen: Seen) -> int:
    """Return what a key is at a boot just before our file is applied, 0 where no file sets it to a number."""
    own = SYSCTL.rsplit("/", 1)[-1]
    found = [definitions(text).get(key) for path, text in seen.sysctl_files if path.rsplit("/", 1)[-1] < own]
    return next((number for number in map(_number, reversed(found)) if number is not None), 0)


def _wanted(wanted: Wanted, seen: Seen, record: Record, part: Part) -> Dict[str, str]:
    """Return the values for the file; a value that the host has or exceeds by itself is not among them.

    Where a file that is applied before ours sets more than the least value, ours says the same: a boot must not lower it.
    """
    values = dict(wanted.sysctl)
    for key, least in wanted.least.items():
        own = _number(record[key]["before"] if key in record else seen.sysctl.get(key))
        if own is None and seen.sysctl.get(key) is not None:
            part.faults.append(f"rdma_sysctl: {key} holds no number to compare with {least}. Fix: set {key} in rdma_sysctl, or to null")
        elif own is None or own < least:
            values[key] = str(max(least, _earlier(key, seen)))
    for key in values:
        if seen.sysctl.get(key) is None:
            fix = f"Fix: correct {key}, load the module that brings it, or set it to null in rdma_sysctl"
            part.faults.append(f"rdma_sysctl: this kernel has no {path_of(key)}. {fix}")
    return values


def _set(key: str, value: str, wanted: Wanted, seen: Seen, part: Part) -> None:
    live = seen.sysctl[key] or ""
    entry = part.during.setdefault(key, {"before": live, "ours": []})
    exceeds = key in wanted.least and (_number(live) or 0) >= wanted.least[key]
    ours = [live] if live in entry["ours"] else list(entry["ours"])
    if live != value and not exceeds:
        part.steps.append(Step("sysctl", key, live, value))
        entry["ours"] += [] if value in entry["ours"] else [value]
        ours = [value]
    # A value that is live without us, be it the same, is not ours to take back.
    part.final[key] = {"before": entry["before"], "ours": ours}


def _restore(key: str, seen: Seen, part: Part) -> None:
    """Bring a key that is not wanted any more back to what it was, unless somebody else has set it since."""
    entry, live = part.final.pop(key), seen.sysctl.get(key)
    if live is None:
        part.notes.append(f"{key} is gone from this kernel and was left out")
    elif live in entry["ours"] and live != entry["before"]:
        part.steps.append(Step("sysctl", key, live, entry["before"]))
    elif live != entry["before"]:
        part.notes.append(f"{key} is {live}, neither {entry['before']} as it was nor what was set: somebody else has set it, and it stays")


def plan(wanted: Wanted, seen: Seen, record: Record) -> Tuple[Part, Dict[str, str]]:
    """Return the changes of live values, and the values for the file.

    :param record: key to what it was and what it was set to.
    """
    part = Part(during=copy.deepcopy(record), final=copy.deepcopy(record))
    values = _wanted(wanted, seen, record, part)
    if part.faults:
        return part, {}
    for key in sorted(values):
        _set(key, values[key], wanted, seen, part)
    for key in sorted(set(record) - set(values)):
        _restore(key, seen, part)
    return part, values


def plan_ports(wanted: Wanted, seen: Seen, record: Record) -> Tuple[Part, str]:
    """Return the change of the reserved ports, and the list for the file, which holds others' ports, too, since it replaces theirs.

    :param record: C(before) and C(ours), or nothing.
    """
    part = Part(during=copy.deepcopy(record), final=copy.deepcopy(record))
    live = seen.sysctl.get(PORTS)
    if not wanted.reserved_ports and not record:
        return part, ""
    if live is None:
        part.faults.append(f"rdma_reserved_ports: this kernel has no {path_of(PORTS)}. Fix: empty the list")
        return part, ""
    others = {port for _path, text in seen.sysctl_files for port in _ports(definitions(text).get(PORTS, ""))}
    # What was reserved before and is neither live nor in a file has been given up since.
    before = _ports(record.get("before", live)) & (_ports(live) | others)
    ours, asked = _ports(record.get("ours", "")), set(wanted.reserved_ports)
    after = (_ports(live) - (ours - before - asked - others)) | asked
    listed = ""
    if asked:
        listed = ports.text(before | asked | others)
        part.during = {"before": ports.text(before), "ours": ports.text(ours | asked)}
        part.final = {"before": ports.text(before), "ours": ports.text(asked)}
    else:
        part.final = {}
    if after != _ports(live):
        part.steps.append(Step("sysctl", PORTS, live, ports.text(after)))
    return part, listed


def overridden(values: Dict[str, str], least: Dict[str, int], others: Tuple[Tuple[str, str], ...]) -> List[str]:
    """Return what other files set after ours: from the next boot on, that would hold.

    :param values: what our file sets.
    :param others: the other files in the order in which they are applied, by path.
    """
    found = []
    own = SYSCTL.rsplit("/", 1)[-1]
    for path, text in others:
        if path.rsplit("/", 1)[-1] < own:
            continue
        for key, value in definitions(text).items():
            wanted = values.get(key)
            enough = key in least and (_number(value) or 0) >= least[key]
            if key == PORTS and wanted is not None:
                enough = _ports(wanted) <= _ports(value)
            if wanted is not None and value != wanted and not enough:
                fault = f"{path} sets {key} = {value} after {own}: from the next boot on that holds, not {wanted}"
                found.append(f"{fault}. Fix: take it out there")
    return found
