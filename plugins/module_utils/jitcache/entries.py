# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a directory of compiled DeepGEMM kernels holds: whole kernels, half ones, and what a compiler has left behind.

Evidence: csrc/jit of DeepGEMM makes each kernel in ROOT/tmp and renames it to ROOT/cache/NAME.HASH; the library of sglang 0.5.23 writes
a file .committed in it last, and locks to ROOT/locks.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import List, Set

KERNELS, MAKING, LOCKS = "cache", "tmp", "locks"
COMMITTED, SUFFIX = ".committed", ".cubin"


@dataclass(frozen=True)
class Entries:
    """Kernels of a directory.

    :ivar whole: directories of kernels that can be loaded.
    :ivar half: directories that lack a kernel, or the mark that it is whole.
    :ivar left: names in the directory where kernels are made.
    """

    whole: List[str]
    half: List[str]
    left: List[str]


def _names(path: str) -> List[str]:
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _files(path: str) -> Set[str]:
    with os.scandir(path) as rows:
        return {row.name for row in rows if row.is_file(follow_symlinks=False) and (row.name == COMMITTED or row.stat().st_size)}


def look(root: str) -> Entries:
    """Return what a directory holds."""
    base = os.path.join(root, KERNELS)
    held = {name: _files(os.path.join(base, name)) for name in _names(base) if os.path.isdir(os.path.join(base, name))}
    marked = any(COMMITTED in files for files in held.values())
    whole = [
        name for name, files in held.items()
        if any(file.endswith(SUFFIX) for file in files) and (not marked or COMMITTED in files)
    ]
    return Entries(whole, [name for name in held if name not in whole], _names(os.path.join(root, MAKING)))


def files(root: str) -> List[str]:
    """Return the files of the kernels, relative to the directory, in order. Links are none of ours."""
    found = []
    for place, folders, names in os.walk(os.path.join(root, KERNELS)):
        folders.sort()
        found += [
            os.path.relpath(os.path.join(place, name), root) for name in names if not os.path.islink(os.path.join(place, name))
        ]
    return sorted(found)


def count(root: str) -> int:
    """Return the number of kernels, quickly: for a look at how far a compilation is."""
    return len(_names(os.path.join(root, KERNELS)))


def sweep(root: str) -> List[str]:
    """Remove what an interrupted compilation has left, so that the next one can go on with the whole kernels; return what was removed."""
    found = look(root)
    gone = [os.path.join(KERNELS, name) for name in found.half] + [os.path.join(MAKING, name) for name in found.left]
    gone += [os.path.join(LOCKS, name) for name in _names(os.path.join(root, LOCKS))]
    for name in gone:
        path = os.path.join(root, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.remove(path)
    return gone


def seed(root: str, older: str, without: Set[str]) -> int:
    """Give a directory the kernels of another one that it lacks, as hard links; return their number.

    :param without: those that are not taken.

    A kernel's name has the hash of its code, compiler and flags, and nobody writes to a kernel that is there.
    """
    there, taken = set(_names(os.path.join(root, KERNELS))), 0
    for name in look(older).whole:
        if name in there or name in without:
            continue
        target = os.path.join(root, MAKING, name)
        os.makedirs(target)
        source = os.path.join(older, KERNELS, name)
        for file in sorted(_files(source)):
            os.link(os.path.join(source, file), os.path.join(target, file))
        os.makedirs(os.path.join(root, KERNELS), exist_ok=True)
        os.rename(target, os.path.join(root, KERNELS, name))
        taken += 1
    return taken
