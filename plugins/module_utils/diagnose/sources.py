# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where logs are: a file, a directory, an archive, and what is compressed, each as a stream that is read once.

Nothing is unpacked to disk. What cannot be read is returned with the reason, never passed over in silence.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import stat
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, cast

from ansible_collections.railyard.sglang.plugins.module_utils.bundle import recognising
from ansible_collections.railyard.sglang.plugins.module_utils.bundle.recognising import LOGS, MANIFEST

PLAIN, EXPORT, JSON = "plain", "journal export", "journal json"
PEEK = 65536
DEPTH = 3
OPENERS = ((b"\x1f\x8b", gzip.open), (b"\xfd7zXZ\0", lzma.open), (b"BZh", bz2.open))
# What is surely no log, by its first bytes.
FOREIGN = (
    (b"LPKSHHRH", "a journal's own file: write it out with journalctl --file=FILE --output=export"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it first"),
    (b"\x04\x22\x4d\x18", "compressed by lz4: unpack it first"),
    (b"PK\x03\x04", "a zip archive: unpack it first"),
    (b"7z\xbc\xaf", "a 7-Zip archive: unpack it first"),
    (b"\x7fELF", "a program"),
    (b"\x89PNG", "a picture"),
    (b"SQLite format 3\0", "a database"),
)
BROKEN = (OSError, EOFError, lzma.LZMAError, zlib.error, tarfile.TarError)


@dataclass
class Source:
    """One log.

    :ivar name: path within what was given.
    :ivar size: bytes as stored, for progress; 0 where unknown.
    :ivar modified: seconds since 1970 of its last change, 0 where unknown.
    :ivar form: V(plain), V(journal export) or V(journal json).
    :ivar problem: why it was not read, or not to its end.
    """

    name: str
    stream: IO[bytes]
    size: int = 0
    modified: float = 0.0
    form: str = PLAIN
    problem: str = ""


@dataclass
class Skipped:
    """What was not read, and why."""

    name: str
    why: str


@dataclass
class Reading:
    """How far reading is.

    :ivar total: bytes as stored of all files.
    :ivar done: of those that were read to their end.
    :ivar current: the file that is being read.
    """

    total: int = 0
    done: int = 0
    current: IO[bytes] | None = None
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Return what share of the stored bytes was read, 0 to 1."""
        here = 0
        if self.current is not None and not self.current.closed:
            here = self.current.tell()
        return min(1.0, (self.done + here) / self.total) if self.total else 0.0


def read(path: str, reading: Reading) -> Iterator[Source]:
    """Yield every log of a file, directory or archive; each must be read, or left, before the next is asked for.

    :param reading: kept up to date.
    :raises OSError: where the path itself cannot be read.
    """
    files = [(os.path.basename(path), path)] if not os.path.isdir(path) else list(_files(path, reading))
    sizes = {}
    single = not os.path.isdir(path)
    for name, full in files:
        try:
            found = os.stat(full)
        except OSError as error:
            if single:
                raise
            # It was there a moment ago.
            reading.skipped.append(Skipped(name, _why(error)))
            continue
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "neither a file nor a directory", path)
        sizes[name] = found
    reading.total = sum(found.st_size for found in sizes.values())
    for name, full in files:
        if name not in sizes:
            continue
        found = sizes[name]
        bundle = recognising.in_archive(full)
        try:
            with open(full, "rb") as stream:
                reading.current = stream
                yield from _open(Source(name, stream, found.st_size, found.st_mtime), reading, 0, bundle.root if bundle else None)
        except BROKEN as error:
            reading.skipped.append(Skipped(name, _why(error)))
        reading.current = None
        reading.done += found.st_size


def _files(path: str, reading: Reading) -> Iterator[tuple[str, str]]:
    def refused(error: OSError) -> None:
        reading.skipped.append(Skipped(os.path.relpath(error.filename or path, path), _why(error)))

    if not os.access(path, os.R_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "cannot be read", path)
    for folder, below, names in os.walk(path, onerror=refused):
        below.sort()
        bundle = MANIFEST in names and recognising.begins_one(os.path.join(folder, MANIFEST))
        if bundle:
            below[:] = [name for name in below if name == LOGS[:-1]]
        for name in sorted(names) if not bundle else ():
            full = os.path.join(folder, name)
            label = os.path.relpath(full, path)
            try:
                mode = os.stat(full).st_mode
            except OSError as error:
                reading.skipped.append(Skipped(label, _why(error)))
                continue
            if not stat.S_ISREG(mode):
                reading.skipped.append(Skipped(label, "not a plain file"))
            elif not os.access(full, os.R_OK):
                reading.skipped.append(Skipped(label, "cannot be read: permission denied"))
            else:
                yield label, full


def _why(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _open(source: Source, reading: Reading, depth: int, root: str | None = None) -> Iterator[Source]:
    """Yield what a stream holds: itself, or what it is packed around.

    :param root: what stands before the names of files of a bundle, where it is known to be one.
    """
    stream = io.BufferedReader(cast(io.RawIOBase, source.stream), PEEK)
    head = stream.peek(PEEK)
    packed = next((opener for magic, opener in OPENERS if head.startswith(magic)), None)
    why = next((why for magic, why in FOREIGN if head.startswith(magic)), "")
    if not head:
        why = "empty"
    elif depth > DEPTH:
        why = f"packed more than {DEPTH} times"
    elif not why and packed is None and head[257:262] != b"ustar" and not head.startswith(b"__") and head.count(0) > len(head) // 8:
        why = "no text"
    if why:
        reading.skipped.append(Skipped(source.name, why))
        return
    if packed is not None:
        with packed(stream, "rb") as inner:
            yield from _open(Source(source.name, cast(IO[bytes], inner), source.size, source.modified), reading, depth + 1, root)
    elif head[257:262] == b"ustar":
        yield from _members(source, cast(IO[bytes], stream), reading, depth, root)
    else:
        yield Source(source.name, cast(IO[bytes], stream), source.size, source.modified, _form(head))


def _members(source: Source, stream: IO[bytes], reading: Reading, depth: int, bundle: str | None) -> Iterator[Source]:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            if member.isdir():
                continue
            name = f"{source.name}!{member.name}"
            if bundle is not None and member.name.startswith(bundle) and not member.name.startswith(bundle + LOGS):
                continue
            inner = archive.extractfile(member) if member.isreg() else None
            if inner is not None and bundle is None and os.path.basename(member.name) == MANIFEST:
                begun = io.BufferedReader(cast(io.RawIOBase, inner), PEEK)
                if recognising.BEGINNING.match(begun.peek(PEEK)):
                    bundle = member.name.removesuffix(MANIFEST)
                    continue
                inner = cast(IO[bytes], begun)
            if inner is None:
                reading.skipped.append(Skipped(name, "not a plain file"))
                continue
            try:
                yield from _open(Source(name, inner, member.size, member.mtime), reading, depth + 1)
            except BROKEN as error:
                # A broken member; a broken archive says so at the next one.
                reading.skipped.append(Skipped(name, _why(error)))


def _form(head: bytes) -> str:
    if head.startswith((b"__CURSOR=", b"__REALTIME_TIMESTAMP=")):
        return EXPORT
    first = head.split(b"\n", 1)[0]
    if first.startswith(b"{") and any(key in first for key in (b'"MESSAGE"', b'"log"', b'"message"', b'"msg"')):
        return JSON
    return PLAIN
