# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where in an archive or a directory a bundle is: whoever unpacked it and packed it again gave it another order, and a folder around it."""

from __future__ import annotations

import os
import re
import stat
import tarfile
import zlib
from dataclasses import dataclass
from typing import Optional

# What the manifest of a bundle is called and begins with, and where in a bundle the logs are. The rest of it tells of errors, too, and is
# no log.
MANIFEST, BEGINNING, LOGS = "manifest.json", re.compile(rb'\s*\{\s*"bundle": \d'), "logs/"
PEEK = 4096
# An archive with anything else in it is none, so that others are not searched to their ends. Archivers of other systems add files of
# their own, called ._NAME.
_LAYOUT = re.compile(
    r"(?:.*/)?(?:(?:logs|plan|checks|facts|units|versions|proof)/.+|README\.txt|manifest\.json|\._[^/]+|\.DS_Store)\Z", re.DOTALL
)
BROKEN = (OSError, EOFError, ValueError, tarfile.TarError, zlib.error)


@dataclass(frozen=True)
class Found:
    """A bundle.

    :ivar root: what stands before the names of its files, for example V(./) or V(case/); empty in one that nobody packed again.
    :ivar first: whether the manifest comes first, and therefore the logs last.
    """

    root: str = ""
    first: bool = True


def begins_one(path: str) -> bool:
    """Return whether a plain file is the manifest of a bundle; anything else, pipes and devices too, is not opened."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as stream:
            return BEGINNING.match(stream.read(PEEK)) is not None
    except OSError:
        return False


def in_archive(path: str) -> Optional[Found]:
    """Return where in an archive a bundle is; None where a file is no archive, or holds none."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return None
        with tarfile.open(path) as archive:
            first = True
            for entry in archive:
                if entry.isdir():
                    continue
                if not _LAYOUT.match(entry.name):
                    return None
                if os.path.basename(entry.name) == MANIFEST:
                    inner = archive.extractfile(entry) if entry.isreg() else None
                    if inner is not None and BEGINNING.match(inner.read(PEEK)):
                        return Found(entry.name[: -len(MANIFEST)], first)
                first = False
    except BROKEN:
        return None
    return None


def in_directory(path: str) -> Optional[str]:
    """Return the directory of a bundle, the given one or one in it; None where there is none."""
    try:
        below = sorted(entry.path for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return None
    return next((folder for folder in (path, *below) if begins_one(os.path.join(folder, MANIFEST))), None)
