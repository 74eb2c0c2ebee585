# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pieces of a model directory, in the form of BitTorrent (BEP 3): what a host needs in order to receive from any other."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List, Sequence, Tuple

SMALLEST, LARGEST = 64 << 10, 16 << 20
# A chain of hosts is as slow as its first copy plus one piece for every host, so there are many more pieces than hosts.
PIECES = 2048


def bencode(value: Any) -> bytes:
    """Return texts, bytes, whole numbers, lists and maps in BitTorrent's encoding."""
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:" % len(value) + value
    if isinstance(value, list):
        return b"l" + b"".join(bencode(item) for item in value) + b"e"
    return b"d" + b"".join(bencode(key) + bencode(value[key]) for key in sorted(value)) + b"e"


def piece_length(total: int) -> int:
    """Return the bytes of a piece for a model of so many bytes: a power of two, about 2048 pieces where that is possible."""
    length = SMALLEST
    while length < LARGEST and length * PIECES < total:
        length *= 2
    return length


def _spans(sizes: Sequence[Tuple[str, int]], length: int) -> List[List[Tuple[str, int, int]]]:
    """Return of each piece the parts of files that it consists of: name, offset, bytes."""
    pieces: List[List[Tuple[str, int, int]]] = []
    room = 0
    for name, size in sizes:
        offset = 0
        while offset < size:
            if room == 0:
                pieces.append([])
                room = length
            part = min(room, size - offset)
            pieces[-1].append((name, offset, part))
            offset += part
            room -= part
    return pieces


def _hash(directory: str, spans: Sequence[Tuple[str, int, int]]) -> bytes:
    value = hashlib.sha1(usedforsecurity=False)
    for name, offset, size in spans:
        with open(os.path.join(directory, name), "rb") as stream:
            stream.seek(offset)
            left = size
            while left:
                block = stream.read(min(left, 1 << 20))
                if not block:
                    raise OSError(0, "is shorter than it was a moment ago", os.path.join(directory, name))
                value.update(block)
                left -= len(block)
    return value.digest()


def make(directory: str, name: str, sizes: Dict[str, int], salt: str, *, threads: int = 4, length: int = 0) -> bytes:
    """Return the torrent of a directory's files. Every byte of it is read.

    :param name: name that the directory has on the receiving hosts.
    :param sizes: bytes by the file's name.
    :param salt: a secret text. Who does not know it cannot know the torrent's hash either, and is not answered by those who have it.
    :param length: bytes of a piece; 0 chooses.
    """
    rows = sorted(sizes.items())
    length = length or piece_length(sum(sizes.values()))
    with ThreadPoolExecutor(threads) as pool:
        pieces = b"".join(pool.map(lambda spans: _hash(directory, spans), _spans(rows, length)))
    info: Dict[str, Any] = {
        "files": [{"length": size, "path": list(file.split("/"))} for file, size in rows],
        "name": name, "piece length": length, "pieces": pieces, "private": 1, "salt": hashlib.sha256(salt.encode()).hexdigest(),
    }
    return bencode({"info": info})
