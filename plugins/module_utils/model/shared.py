# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that versions of a model have in common: one place on the disk, and so one damage."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Dict, Iterable, List, Optional, Set, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.model import directory, record
from ansible_collections.railyard.sglang.plugins.module_utils.model.source import File, Progress
from ansible_collections.railyard.sglang.plugins.module_utils.model.store import Store


def inodes(folder: str, names: Iterable[str]) -> Set[int]:
    """Return the inodes of files, of those that are there."""
    return {os.stat(path).st_ino for path in (os.path.join(folder, name) for name in names) if os.path.isfile(path)}


def _known(store: Store, bad: Set[int]) -> Dict[Tuple[int, str], Dict[int, str]]:
    """Return paths that should have a content, one for each inode, by size and SHA-256."""
    have: Dict[Tuple[int, str], Dict[int, str]] = {}
    for key in store.versions():
        folder = store.tree(key)
        for name, row in record.read(folder)["files"].items():
            if row["inode"] not in bad and record.same(folder, name, row):
                have.setdefault((row["size"], row["sha256"]), {}).setdefault(row["inode"], os.path.join(folder, name))
    return have


def find(
    store: Store, wanted: List[File], bad: Set[int], *, read: bool = True, threads: int = 4, progress: Optional[Progress] = None,
) -> Dict[str, str]:
    """Return wanted files that some version has already, by name, with the path there.

    :param bad: inodes of files that were found wrong: whatever a record says, none of them is taken. Those that are found in reading
        are added.
    :param read: whether a file has to be read and be right to be taken; what is wrong no record calls right any more then.
    """
    known = _known(store, bad)
    wrong: Set[int] = set()

    def pick(file: File) -> str:
        for inode, path in known.get((file.size, file.sha256), {}).items():
            if not read or directory.sha256(path, progress) == file.sha256:
                return path
            wrong.add(inode)
        return ""

    with ThreadPoolExecutor(threads) as pool:
        found = {file.name: path for file, path in zip(wanted, pool.map(pick, wanted)) if path}
    store.doubt(wrong)
    bad |= wrong
    return found


def link(path: str, target: str) -> None:
    """Have a file at target, too; what is there is there until then."""
    part = target + directory.PART
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.lexists(part):
        os.remove(part)
    os.link(path, part)
    os.replace(part, target)
    record.sync(os.path.dirname(target))
