# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a directory on the controller, written where they differ, each of them whole or not at all.

They tell of hosts what an operator may know, and are nobody else's to read.
"""

from __future__ import annotations

import os
import pathlib
import re
import stat
import tempfile
from collections.abc import Mapping

MODE = 0o600
# Names of hosts become names of files; what an inventory may hold beyond that must not lead elsewhere.
SAFE = re.compile(r"[^A-Za-z0-9._@+-]|^\.+")


def file_of(host: str) -> str:
    """Return the name of the file for what is known of a host."""
    return SAFE.sub("_", host) + ".json"


def write(path: pathlib.Path, content: str) -> None:
    """Put a whole file in the place of another, or none."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix="." + path.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(content)
        pathlib.Path(name).chmod(MODE)
        pathlib.Path(name).replace(path)
    except BaseException:
        pathlib.Path(name).unlink()
        raise


def read(path: pathlib.Path) -> str:
    """Return the text of a file, an empty one where there is none; what is not UTF-8 in it is replaced."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _open(path: pathlib.Path) -> bool:
    """Whether others may read a file, or write it."""
    return path.exists() and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def keep(directory: pathlib.Path, files: Mapping[str, str], check_mode: bool) -> list[str]:
    """Write the files of a directory that differ, or that others may read, none of them in check mode; return their names.

    :raises OSError: one cannot be read or written.
    """
    changed = [name for name, content in files.items() if read(directory / name) != content or _open(directory / name)]
    if changed and not check_mode:
        directory.mkdir(parents=True, exist_ok=True)
        for name in changed:
            write(directory / name, files[name])
    return changed
