# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a model's files without reading them: checksums, and the state in which each file had them."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, List, Optional, Set

from ansible_collections.railyard.sglang.plugins.module_utils.model import directory

FORMAT = 1
# Of a file that was found wrong: no file has it.
NO_INODE = 0


def row(path: str, digest: str) -> Dict[str, Any]:
    """Return the row of a file: C(size) in bytes, C(mtime_ns), C(inode) and C(sha256)."""
    status = os.stat(path)
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "inode": status.st_ino, "sha256": digest}


def write(folder: str, rows: Dict[str, Dict[str, Any]], request: Dict[str, Any], whole: bool) -> None:
    """Write the record of a directory, at once or not at all.

    :param request: what was asked for, without secrets.
    :param whole: whether every file of the model is there.
    """
    content = {"format": FORMAT, "request": request, "whole": whole, "files": rows}
    path = os.path.join(folder, directory.RECORD)
    temporary = path + ".new"
    with open(temporary, "w", encoding="utf-8") as stream:
        json.dump(content, stream, indent=1, sort_keys=True)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
    sync(folder)


def sync(folder: str) -> None:
    """Have the names in a directory on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(folder: str) -> Dict[str, Any]:
    """Return the record of a directory; an empty one where there is none that can be read."""
    try:
        with open(os.path.join(folder, directory.RECORD), encoding="utf-8") as stream:
            found = json.load(stream)
    except (OSError, ValueError):
        return {}
    good = isinstance(found, dict) and found.get("format") == FORMAT and isinstance(found.get("files"), dict)
    return found if good else {}


def same(folder: str, name: str, known: Dict[str, Any]) -> bool:
    """Return whether a file is, by size, time and inode, the one that the record knows."""
    try:
        status = os.stat(os.path.join(folder, name))
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns, status.st_ino) == (known["size"], known["mtime_ns"], known["inode"])


def _rewrite(folder: str, content: Dict[str, Any]) -> None:
    """Write a record anew that keeps its time: when a version was completed tells which is the older one."""
    before = os.stat(os.path.join(folder, directory.RECORD))
    write(folder, content["files"], content["request"], content["whole"])
    os.utime(os.path.join(folder, directory.RECORD), ns=(before.st_atime_ns, before.st_mtime_ns))


def renew(folder: str, rows: Dict[str, Dict[str, Any]]) -> None:
    """Note in which state files were found right; what the record says of others stays."""
    content = read(folder)
    if content and {**content["files"], **rows} != content["files"]:
        _rewrite(folder, {**content, "files": {**content["files"], **rows}})


def doubt(folder: str, inodes: Set[int]) -> None:
    """Have files be read again before they count as right, whatever their size and time are: those that have one of these inodes."""
    content = read(folder)
    found = [row for row in content.get("files", {}).values() if row["inode"] in inodes]
    if not found:
        return
    for row in found:
        row["inode"] = NO_INODE
    _rewrite(folder, content)


def damaged(
    folder: str, rows: Dict[str, Dict[str, Any]], full: bool, threads: int = 4, progress: Optional[Callable[[int], None]] = None,
) -> Dict[str, str]:
    """Return what is wrong with the files of a record, by name. Only those that have changed are read, or all of them.

    Rows of files that were read and are right get their present state.
    """

    def look(name: str) -> str:
        known, path = rows[name], os.path.join(folder, name)
        if not full and same(folder, name, known):
            return ""
        try:
            size = os.path.getsize(path)
            if size != known["size"]:
                return f"has {size} bytes instead of {known['size']}"
            if directory.sha256(path, progress) != known["sha256"]:
                return "has other bytes than its checksum says"
        except FileNotFoundError:
            return "is missing"
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        rows[name] = row(path, known["sha256"])
        return ""

    names: List[str] = sorted(rows)
    with ThreadPoolExecutor(threads) as pool:
        return {name: text for name, text in zip(names, pool.map(look, names)) if text}
