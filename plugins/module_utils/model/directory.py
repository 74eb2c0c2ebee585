# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a directory holds a whole model, and the checksum that names its content."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from typing import Callable, Dict, List, Optional

HEADER_LIMIT = 100 * 1024 * 1024
# The collection's own record, and the list that mirrors carry: neither is part of the model.
RECORD, SUMS = ".railyard.json", "SHA256SUMS"
# What tools keep beside a model: the hub's bookkeeping and git's.
FOREIGN = (".cache", ".git")
PART = ".part"


def sha256(path: str, progress: Optional[Callable[[int], None]] = None) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal.

    :param progress: called with the bytes that were read since the last call.
    """
    value = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            value.update(block)
            if progress:
                progress(len(block))
    return value.hexdigest()


def files(directory: str) -> List[str]:
    """Return the files of a model directory in order, those of directories below it as C(DIRECTORY/NAME)."""
    found = []
    for place, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if name not in FOREIGN and not name.endswith(PART)]
        below = os.path.relpath(place, directory)
        for name in names:
            path = os.path.normpath(os.path.join(below, name))
            if path not in (RECORD, SUMS) and not name.endswith(PART) and os.path.isfile(os.path.join(place, name)):
                found.append(path)
    return sorted(found)


def manifest(directory: str) -> Dict[str, str]:
    """Return the SHA-256 of every file of a model directory, by name."""
    return {name: sha256(os.path.join(directory, name)) for name in files(directory)}


def checksum(entries: Dict[str, str]) -> str:
    """Return one SHA-256 for a whole manifest."""
    text = "".join(f"{digest}  {name}\n" for name, digest in sorted(entries.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def safetensors_problem(path: str) -> str:
    """Return what is wrong with a safetensors file's length, or an empty text.

    The header names the last byte of every tensor, so a truncated or padded file shows without reading its weights.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as stream:
        prefix = stream.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        if not 0 < length <= min(size, HEADER_LIMIT):
            return f"has no readable header ({size} bytes)"
        try:
            header = json.loads(stream.read(length))
            end = max((int(row["data_offsets"][1]) for name, row in header.items() if name != "__metadata__"), default=0)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            return "has a damaged header"
    wanted = 8 + length + end
    return "" if size == wanted else f"has {size} bytes, its header promises {wanted}"


def _shards(directory: str) -> List[str]:
    index = os.path.join(directory, "model.safetensors.index.json")
    if os.path.exists(index):
        with open(index, encoding="utf-8") as stream:
            return sorted(set(json.load(stream)["weight_map"].values()))
    return sorted(name for name in os.listdir(directory) if name.endswith(".safetensors"))


def problems(directory: str) -> List[str]:
    """Return what keeps a directory from being a whole model; an empty list when nothing does."""
    if not os.path.isdir(directory):
        return [f"{directory} does not exist"]
    found = []
    if not os.path.exists(os.path.join(directory, "config.json")):
        found.append("config.json is missing")
    try:
        shards = _shards(directory)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        return [*found, f"model.safetensors.index.json cannot be read: {error}"]
    if not shards:
        found.append("no .safetensors file is there")
    for name in shards:
        path = os.path.join(directory, name)
        text = safetensors_problem(path) if os.path.exists(path) else "is missing"
        if text:
            found.append(f"{name} {text}")
    return found
