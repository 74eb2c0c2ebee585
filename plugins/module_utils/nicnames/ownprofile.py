# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The MTU that a profile of NetworkManager sets, and which profiles a NIC has."""

from __future__ import annotations

import fnmatch
import re
from typing import Dict, List, Mapping, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import ifcfg, keyfile
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.look_profiles import SCRIPTS, file_profile, is_profile
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic

#: Types of profiles that belong to a card's port.
TYPES = ("ethernet", "infiniband")
#: A pattern of names in a profile's match: what goes before it, and the pattern.
_PATTERN = re.compile(r"\\*([|&]?)\\*(!?)\\*(.+)")
NO = ("no", "false", "0")


def _section(content: bytes) -> str:
    return "infiniband" if keyfile.profile(content).type == "infiniband" else "ethernet"


def mtu(path: str, content: bytes) -> Optional[str]:
    """Return the MTU in a profile, None where it sets none."""
    return ifcfg.get(content, "MTU") if path.startswith(SCRIPTS) else keyfile.get(content, _section(content), "mtu")


def with_mtu(path: str, content: bytes, value: Optional[str]) -> bytes:
    """Return a profile with an MTU, None for none."""
    return ifcfg.put(content, "MTU", value) if path.startswith(SCRIPTS) else keyfile.put(content, _section(content), "mtu", value)


def generated(content: bytes) -> bool:
    """Whether NetworkManager made a profile by itself, and makes another one for another name."""
    return (keyfile.get(content, ".nmmeta", "nm-generated") or "").lower() in ("true", "yes", "1")


def bound(files: Mapping[str, bytes], nic: Nic, name: str) -> List[str]:
    """Return the files of the profiles that are a NIC's own.

    :param name: by which the files call the NIC.
    """
    found = []
    for path in sorted(files):
        if not is_profile(path) or generated(files[path]):
            continue
        profile = file_profile(path, files[path])
        by_mac = not profile.interface_name and bool(profile.mac_address) and profile.mac_address == nic.permanent_mac
        if profile.type in TYPES and (profile.interface_name == name or by_mac):
            found.append(path)
    return found


def _patterns(path: str, content: bytes) -> List[str]:
    """Return the patterns of names of the interfaces that a profile takes; none where it does not choose by them."""
    if path.startswith(SCRIPTS):
        return (ifcfg.get(content, "MATCH_INTERFACE_NAME") or "").split()
    return [word.strip() for word in re.split(r"[;,]", keyfile.get(content, "match", "interface-name") or "") if word.strip()]


def fits(path: str, content: bytes, name: str) -> bool:
    """Return whether the patterns of a profile let it take an interface of a name: all that must fit, and one of those that may.

    A pattern must fit where C(&) goes before it, or C(!) alone.
    """
    may: List[bool] = []
    for word in _patterns(path, content):
        match = _PATTERN.fullmatch(word)
        sign, negated, pattern = match.groups() if match else ("", "", word)
        answer = fnmatch.fnmatchcase(name, pattern) != bool(negated)
        if sign == "|" or (not sign and not negated):
            may.append(answer)
        elif not answer:
            return False
    return not may or any(may)


def matching(files: Mapping[str, bytes], name: str) -> List[str]:
    """Return the files of the profiles of cards that choose interfaces by patterns, and take one of a name."""
    found = []
    for path in sorted(files):
        if is_profile(path) and not generated(files[path]) and _patterns(path, files[path]) and fits(path, files[path], name):
            profile = file_profile(path, files[path])
            if profile.type in TYPES and profile.interface_name in ("", name):
                found.append(path)
    return found


def _autoconnect(path: str, content: bytes) -> Tuple[bool, int]:
    """Return whether a profile starts by itself, and its priority."""
    if path.startswith(SCRIPTS):
        starts, priority = ifcfg.get(content, "ONBOOT"), ifcfg.get(content, "AUTOCONNECT_PRIORITY")
    else:
        starts, priority = (keyfile.get(content, "connection", key) for key in ("autoconnect", "autoconnect-priority"))
    text = (priority or "0").strip()
    return (starts or "yes").lower() not in NO, int(text) if text.lstrip("-").isdigit() else 0


def starting(files: Mapping[str, bytes], paths: List[str]) -> Dict[str, int]:
    """Return those of some profiles that start by themselves, with their priorities."""
    found = {path: _autoconnect(path, files[path]) for path in paths}
    return {path: priority for path, (starts, priority) in found.items() if starts}


def rivals(files: Mapping[str, bytes], paths: List[str]) -> List[str]:
    """Return those of a NIC's profiles of which nothing tells which one starts; none where it is clear."""
    found = starting(files, paths)
    best = [path for path, priority in found.items() if priority == max(found.values())]
    return best if len(best) > 1 else []
