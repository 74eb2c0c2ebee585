# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A renaming of nic_names that is neither confirmed nor undone: its undo would bring back files without what was written since."""

from __future__ import annotations

import json
from typing import List

#: The journal of such a renaming.
PATH = "/var/lib/railyard.sglang/nic-names/pending/journal.json"


def faults(base: str) -> List[str]:
    """Return why the filter must not be changed now: a fault where names of interfaces are open.

    :param base: where the host's files are, empty for the root.
    """
    try:
        with open(base + PATH, encoding="utf-8") as stream:
            identity = str(json.load(stream)["id"])
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError, KeyError, TypeError):
        # Whatever it is, it is there.
        identity = "(unknown)"
    return [
        f"this host has an open change {identity} of its names of interfaces (nic_names), and its undo would bring back files without what "
        "would be written now. Fix: run stage network again once it is confirmed or undone, which is network_confirm_seconds after it at "
        "the latest; with network_apply: boot reboot the host first"
    ]
