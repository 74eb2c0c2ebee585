# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives RDMA devices their names, which the kernel and udev keep apart from those of network interfaces."""

from __future__ import annotations

import errno
import os
from typing import Callable, Dict, List, Mapping

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import rtnl
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.turns import turns

CLASS = "/sys/class/infiniband"


def by_guid() -> Dict[str, str]:
    """Return node GUID to name of the RDMA devices; those that share a GUID are left out."""
    found: Dict[str, List[str]] = {}
    for name in sorted(os.listdir(CLASS)) if os.path.isdir(CLASS) else []:
        try:
            with open(f"{CLASS}/{name}/node_guid", encoding="ascii") as stream:
                found.setdefault(stream.read().strip(), []).append(name)
        except OSError:
            continue
    return {guid: names[0] for guid, names in found.items() if len(names) == 1}


def guids(names: Mapping[str, str]) -> Dict[str, Dict[str, str]]:
    """Return, for a journal, node GUID to names before and after.

    :param names: RDMA device to its new name.
    :raises OSError: one is not there, or shares its node GUID with another, so that it could not be found again.
    """
    found = {guid: {"before": name, "after": names[name]} for guid, name in by_guid().items() if name in names}
    lost = sorted(set(names) - {row["before"] for row in found.values()})
    if lost:
        raise OSError(errno.ENODEV, f"RDMA device {', '.join(lost)} is not there, or has no node GUID of its own")
    return found


def carry(wanted: Mapping[str, str], log: Callable[[str], None]) -> None:
    """Give RDMA devices their names.

    :param wanted: node GUID to name.
    :raises OSError: the kernel refused.
    """
    current = {guid: name for guid, name in by_guid().items() if guid in wanted}
    numbers = dict(enumerate(sorted(current)))
    for turn in turns(
        {number: current[guid] for number, guid in numbers.items()}, {number: wanted[guid] for number, guid in numbers.items()}
    ):
        for number, name in turn.items():
            before = by_guid().get(numbers[number])
            if before is None:
                raise OSError(errno.ENODEV, f"the RDMA device that was to be {name} has gone")
            log(f"RDMA device {before} becomes {name}")
            rtnl.rename_rdma(before, name)


def differences(wanted: Mapping[str, str]) -> List[str]:
    """Return what is not called as wanted, a sentence without an end each."""
    now = by_guid()
    return [f"there is no RDMA device {name}" for guid, name in wanted.items() if now.get(guid) != name]
