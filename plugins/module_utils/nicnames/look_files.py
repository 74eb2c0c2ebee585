# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a host that may name an interface in a known way."""

from __future__ import annotations

import fnmatch
import os
from dataclasses import dataclass
from typing import Dict, Iterable, List, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import references

#: No file of these kinds is longer.
LIMIT = 1 << 22
NOTHING = "/dev/null"


@dataclass(frozen=True)
class Files:
    """Files by their paths.

    :ivar modes: permissions.
    :ivar shadowed: those that must not be written.
    """

    content: Dict[str, bytes]
    modes: Dict[str, int]
    shadowed: Tuple[str, ...]


def expand(root: Root, pattern: str) -> List[str]:
    """Return the paths that match a pattern; a C(*) stands for no slash."""
    found = [""]
    for part in pattern.strip("/").split("/"):
        if any(letter in part for letter in "*?["):
            found = [f"{path}/{name}" for path in found for name in root.list(path) if fnmatch.fnmatchcase(name, part)]
        else:
            found = [f"{path}/{part}" for path in found]
    return found


def files(root: Root, more: Iterable[str]) -> Files:
    """Return every file whose structure is known, and some others.

    A link to a file that is read itself is left out, one to another file counts as a file that must not be written.
    A link to /dev/null is an empty one: that is how files of udev are switched off.

    :param more: paths to be read in any case where they are there.
    """
    content: Dict[str, bytes] = {}
    modes: Dict[str, int] = {}
    shadowed: Dict[str, None] = {}
    paths = dict.fromkeys(path for pattern in references.PATTERNS for path in expand(root, pattern) if references.known(path))
    besides = set(more)
    for path in [*paths, *sorted(besides - set(paths))]:
        link = root.link(path) if path in paths else None
        place = root.real(path) if link else path
        if link and (place == NOTHING or link == "null"):
            content[path] = b""
            shadowed[path] = None
            continue
        if place is None or (link and place in paths and not path.endswith(".link")):
            continue
        data = root.data(path, LIMIT)
        if data is None or (path not in besides and not references.worth(path, data)):
            continue
        content[path] = data
        if link or references.shadowed(path):
            shadowed[path] = None
        try:
            modes[path] = os.stat(root.base + (place or path)).st_mode & 0o7777
        except OSError:
            continue
    return Files(content, modes, tuple(shadowed))
