# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change of host_firewall that is neither confirmed nor undone: its undo would bring back files with the names of then."""

from __future__ import annotations

from typing import List

STATE = "/var/lib/railyard.sglang/firewall"
#: Where such a change keeps its identity, before its undo and in it.
PLACES = (f"{STATE}/pending/id", f"{STATE}/undoing/id")


def faults(root: str) -> List[str]:
    """Return why no interface may get another name now: a fault where a change is open.

    :param root: of the host's files.
    """
    for path in PLACES:
        try:
            with open(root.rstrip("/") + path, encoding="ascii", errors="replace") as stream:
                identity = stream.read().strip()
        except (FileNotFoundError, NotADirectoryError):
            continue
        return [
            f"this host has an open change {identity} of its filter (host_firewall), and its undo would bring back files with the names of "
            "now. Fix: run again once it is confirmed or undone, which is network_firewall_confirm_seconds after it at the latest; "
            f"sh {STATE}/undo.sh on the host undoes it at once"
        ]
    return []
