# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the record of host_tuning names interfaces and RDMA devices: under the former names it would restore nothing."""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Mapping, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Reference

PATH = "/var/lib/railyard.sglang/tuning.json"
# As host_tuning writes keys: after a dot, a slash stands for a dot in a name.
_KEY = re.compile(r"^(net\.(?:ipv4|ipv6)\.(?:conf|neigh)\.)([^.]+)(\..*)$")
# Parts of the record whose keys are network devices, or RDMA devices.
_DEVICES = ("bridges", "classes")


def _setting(key: str, names: Mapping[str, str]) -> str:
    match = _KEY.match(key)
    return match.group(1) + names.get(match.group(2), match.group(2)) + match.group(3) if match else key


def rewrite(path: str, text: str, names: Mapping[str, str]) -> Tuple[str, List[Reference]]:
    """Return the record with the new names, and what is not understood: the whole of a file that is no record.

    :param text: decoded as Latin-1; the file is ASCII.
    :param names: old name to new name.
    """
    try:
        record = json.loads(text)
        new: Dict[str, Any] = {**record}
        if "sysctl" in record:
            new["sysctl"] = {_setting(key, names): entry for key, entry in record["sysctl"].items()}
        for part in _DEVICES:
            if part in record:
                new[part] = {names.get(key, key): entry for key, entry in record[part].items()}
    except (AttributeError, TypeError, ValueError):
        return text, [Reference(path, 0, "", "this is no record of host_tuning")]
    return (text if new == record else json.dumps(new, indent=1, sort_keys=True) + "\n"), []
