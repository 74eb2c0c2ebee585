# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of known structure that name interfaces, and their rewriting."""

from __future__ import annotations

import fnmatch
import os
import re
from dataclasses import dataclass
from typing import Callable, Dict, List, Mapping, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import (
    firewallrecord,
    firewallzone,
    ifcfg,
    keynames,
    linkfile,
    rulesetfile,
    rulesets,
    sysctlfile,
    tokens,
    tuningrecord,
    udevrules,
)
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Reference

Rewriter = Callable[[str, str, Mapping[str, str]], Tuple[str, List[Reference]]]

_CONNECTIONS = "/etc/NetworkManager/system-connections/*"
_SCRIPTS = "/etc/sysconfig/network-scripts"
_SYSTEMD = ("/etc/systemd/network", "/run/systemd/network", "/usr/local/lib/systemd/network", "/usr/lib/systemd/network")
_UDEV = ("/etc/udev/rules.d", "/run/udev/rules.d", "/usr/local/lib/udev/rules.d", "/usr/lib/udev/rules.d")

#: Files that are read, by their rewriter. Patterns of the shell; a '*' stands for no slash.
KINDS: Dict[str, Rewriter] = {
    _CONNECTIONS: keynames.rewrite,
    "/run/NetworkManager/system-connections/*.nmconnection": keynames.rewrite,
    "/usr/lib/NetworkManager/system-connections/*.nmconnection": keynames.rewrite,
    **{f"{_SCRIPTS}/{kind}-*": ifcfg.rewrite for kind in ("ifcfg", "route", "route6", "rule", "rule6", "keys")},
    **{f"{directory}/*.link": linkfile.rewrite for directory in _SYSTEMD},
    **{f"{directory}/*.link.d/*.conf": linkfile.rewrite for directory in _SYSTEMD},
    **{f"{directory}/*.rules": udevrules.rewrite for directory in _UDEV},
    "/etc/sysctl.conf": sysctlfile.rewrite,
    "/etc/sysctl.d/*.conf": sysctlfile.rewrite,
    "/etc/firewalld/zones/*.xml": firewallzone.rewrite,
    "/etc/firewalld/policies/*.xml": firewallzone.rewrite,
    rulesets.PATH: rulesetfile.rewrite,
    firewallrecord.PATH: firewallrecord.rewrite,
    tuningrecord.PATH: tuningrecord.rewrite,
}
PATTERNS: Tuple[str, ...] = tuple(KINDS)

#: Below these nothing is written: the first is made anew at each boot, the others belong to packages.
SHADOWED = ("/run/", "/usr/")
#: What NetworkManager passes over there. It does load C(a.nmconnection.bak): below /etc a file needs no suffix.
_NO_CONNECTION = re.compile(r"^\.|(?:~|\.pem|\.der|\.swpx?|\.[a-z0-9]{6})$", re.IGNORECASE)
#: Copies that editors and package managers leave; no program reads them.
BACKUP = re.compile(
    r"(?:~|\.(?:bak|old|orig|save|swp|tmp|rpmnew|rpmsave|rpmorig|dpkg-old|dpkg-new|dpkg-dist|dpkg-tmp|ucf-old|ucf-dist|unfinished))$"
)
#: File names that are made of the name of an interface, in the group.
_OWN_NAMES = (
    re.compile(r"/NetworkManager/system-connections/([^/]+?)(?:\.nmconnection)?$"),
    re.compile(r"/network-scripts/(?:ifcfg|route6?|rule6?|keys)-([^/:]+)(?::[^/:]+)?$"),
)


@dataclass(frozen=True)
class Rewritten:
    """A file with new names.

    :ivar path: where it belongs now.
    :ivar unclear: what names an old name in it and is left as it is.
    """

    path: str
    content: bytes
    unclear: Tuple[Reference, ...] = ()


def _pattern(path: str) -> str:
    """Return which of PATTERNS a path is one of, empty for none."""
    directory, name = os.path.split(path)
    for pattern in PATTERNS:
        above, base = os.path.split(pattern)
        if fnmatch.fnmatchcase(name, base) and fnmatch.fnmatchcase(directory, above) and directory.count("/") == above.count("/"):
            return pattern
    return ""


def known(path: str) -> bool:
    """Return whether a path is one of PATTERNS and is read by the program that such files are for, which passes over copies."""
    name, pattern = os.path.basename(path), _pattern(path)
    if pattern == _CONNECTIONS:
        return not _NO_CONNECTION.search(name)
    return bool(pattern) and not name.startswith(".") and not BACKUP.search(name)


def worth(path: str, content: bytes) -> bool:
    """Return whether a file is to be looked at. Of a package's udev rules only those are that give names to network devices."""
    if not known(path):
        return False
    if path.startswith("/usr/") and path.endswith(".rules"):
        return udevrules.names_devices(content)
    return True


def shadowed(path: str) -> bool:
    """Return whether a file is one that must not be written."""
    return path.startswith(SHADOWED)


def _new_path(path: str, content: bytes, names: Mapping[str, str]) -> str:
    own = linkfile.PATH.fullmatch(path) if linkfile.own(content) else None
    matches = [own] if own else [pattern.search(path) for pattern in _OWN_NAMES]
    for match in matches:
        if match and match.group(1) in names:
            return path[: match.start(1)] + names[match.group(1)] + path[match.end(1) :]
    return path


def rewrite(path: str, content: bytes, names: Mapping[str, str]) -> Rewritten:
    """Return a file with all old names replaced by the new ones at once. Nothing else changes, not a byte.

    :param path: on the host. A file that is none of PATTERNS, or a backup of one, comes back as it is.
    :param names: old name to new name; swaps and cycles are fine.
    """
    if not names or not known(path):
        return Rewritten(path, content)
    text, unclear = KINDS[_pattern(path)](path, content.decode("latin-1"), names)
    new = _new_path(path, content, names)
    if new == path:
        base = os.path.basename(path)
        # A leading number only orders files.
        own = tokens.words(re.sub(r"^\d+-", "", base), names)
        unclear = tokens.unclear(path, 0, f"the file's own name: {base}", own) + unclear
    return Rewritten(new, text.encode("latin-1"), tuple(unclear))
