# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NetworkManager's profiles: what nmcli tells of them, and what their files tell."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Callable, Dict, List, Mapping, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import ifcfg, keyfile
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Profile

SCRIPTS = "/etc/sysconfig/network-scripts/ifcfg-"
KEYFILES = re.compile(r"/(?:etc|run|usr/lib)/NetworkManager/system-connections/(?!.*\.nmmeta$)[^/]+")
#: The name goes last, since it may hold anything.
FIELDS = ("UUID", "TYPE", "DEVICE", "FILENAME", "NAME")
PIECE = re.compile(r"((?:[^:\\]|\\.)*)(:?)")


def is_profile(path: str) -> bool:
    """Whether a file is a profile of NetworkManager."""
    return path.startswith(SCRIPTS) or bool(KEYFILES.fullmatch(path))


def fields(line: str) -> List[str]:
    """Return the values of a line of C(nmcli -t), where a backslash stands before what belongs to a value."""
    found = []
    for piece, colon in PIECE.findall(line):
        found.append(re.sub(r"\\(.)", r"\1", piece))
        if not colon:
            break
    return found


def shown_profiles(output: str) -> List[Profile]:
    """Return the profiles of C(nmcli -t -f UUID,TYPE,DEVICE,FILENAME,NAME connection show)."""
    found = []
    for line in output.splitlines():
        values = fields(line)
        if len(values) >= len(FIELDS):
            uuid, kind, device, path, name = values[: len(FIELDS)]
            found.append(Profile(uuid.lower(), name, keyfile.SHORT.get(kind, kind), path, "" if device == "--" else device))
    return found


def connected(output: str) -> Dict[str, str]:
    """Return device to UUID of the profiles that are active and whole, of nmcli with C(STATE) behind FIELDS."""
    rows = [fields(line) for line in output.splitlines()]
    return {row[2]: row[0].lower() for row in rows if row[len(FIELDS) :] == ["activated"] and row[2] not in ("", "--")}


def manager(run: Callable[[List[str]], Tuple[int, str, str]]) -> Tuple[bool, str]:
    """Return whether NetworkManager runs, and its profiles with their state as nmcli shows them."""
    rc, shown, _err = run(["nmcli", "-t", "-f", ",".join((*FIELDS, "STATE")), "connection", "show"])
    return (True, shown) if rc == 0 else (False, "")


def file_profile(path: str, content: bytes) -> Profile:
    """Return which profile a file is."""
    return replace(ifcfg.profile(content) if path.startswith(SCRIPTS) else keyfile.profile(content), path=path)


def profiles(files: Mapping[str, bytes], shown: str) -> Tuple[Profile, ...]:
    """Return the profiles: those that NetworkManager has, with what their files say, and those of files that it has not read.

    :param files: content by path.
    :param shown: what nmcli says of them, empty where it says nothing.
    """
    stored: Dict[str, Profile] = {path: file_profile(path, content) for path, content in files.items() if is_profile(path)}
    found = []
    for row in shown_profiles(shown):
        file = stored.pop(row.path, None)
        found.append(row if file is None else replace(row, interface_name=file.interface_name, mac_address=file.mac_address))
    return tuple(found) + tuple(row for row in stored.values() if row.type or row.uuid or row.interface_name)
