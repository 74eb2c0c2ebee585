# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the record of host_firewall names interfaces: those taken from zones of the operator's, and these zones before and after.

With the former names in it, an interface would not be given back, or given back under a name that is gone.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Dict, List, Mapping, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import firewallzone
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Reference

PATH = "/var/lib/railyard.sglang/firewall/record.json"
TAKEN = "taken"


def _zone(path: str, packed: str, names: Mapping[str, str]) -> str:
    """Return a zone with the new names, as its file gets them, too."""
    text = base64.b64decode(packed, validate=True).decode("latin-1")
    return base64.b64encode(firewallzone.rewrite(path, text, names)[0].encode("latin-1")).decode("ascii")


def rewrite(path: str, text: str, names: Mapping[str, str]) -> Tuple[str, List[Reference]]:
    """Return the record with the new names, and what is not understood: the whole of a file that is no record.

    :param text: decoded as Latin-1; the file is ASCII.
    :param names: old name to new name.
    """
    try:
        record: Dict[str, Any] = json.loads(text)
        new = {**record}
        if TAKEN in record:
            new[TAKEN] = {
                zone: {
                    **entry,
                    "interfaces": sorted(names.get(name, name) for name in entry["interfaces"]),
                    "before": _zone(zone, entry["before"], names),
                    "after": _zone(zone, entry["after"], names),
                }
                for zone, entry in record[TAKEN].items()
            }
    except (AttributeError, KeyError, TypeError, ValueError):
        return text, [Reference(path, 0, "", "this is no record of host_firewall")]
    return (text if new == record else json.dumps(new, indent=1, sort_keys=True) + "\n"), []
