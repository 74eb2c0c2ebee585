# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A journal's export, read as a stream and written with other texts: fields that are no plain text get their new lengths.

The format: NAME=value and a line's end, or NAME, a line's end, the length in eight bytes, the value, and a line's end. An empty line
ends an entry.
"""

from __future__ import annotations

import contextlib
import gzip
import re
import struct
import zlib
from typing import IO, Callable, Iterator, List, Optional, cast

# Bytes that are changed at once, and the longest value that is believed in.
BATCH, LONGEST = 1 << 18, 64 << 20
BROKEN = (OSError, EOFError, zlib.error)
# Fields of 32 hexadecimal digits that name a machine, a boot or a process of it, and where a cursor has such ones.
_OWN = ("_BOOT_ID=", "_MACHINE_ID=", "__SEQNUM_ID=", "_STREAM_ID=", "INVOCATION_ID=", "_SYSTEMD_INVOCATION_ID=")
_DIGITS = re.compile("[0-9a-f]{32}")
CURSOR = "__CURSOR="
HOSTNAME = re.compile(r"(?m)^_HOSTNAME=(.+)$")

Change = Callable[[str], str]


def changed(text: str, change: Change, identifier: Change) -> str:
    """Return fields, one a line, with what names a machine or a boot changed by one function, and what programs wrote by another."""
    lines = text.split("\n")
    places = []
    for place, line in enumerate(lines):
        if line.startswith((CURSOR, *_OWN)):
            lines[place] = _DIGITS.sub(lambda match: identifier(match.group()), line)
        elif not line.startswith("__"):
            # What begins so is the journal's own, too: times.
            places.append(place)
    new = change("\n".join(lines[place] for place in places)).split("\n")
    for place, line in zip(places, new):
        lines[place] = line
    return "\n".join(lines)


class BrokenError(Exception):
    """A file cannot be read to its end; the text says why."""


class Reader:
    """A stream whose failures are told from those of writing."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readline(self) -> bytes:
        """Return the next line, with its end where it has one."""
        try:
            return self._stream.readline()
        except BROKEN as error:
            raise BrokenError(str(error) or type(error).__name__) from error

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        try:
            return self._stream.read(size)
        except BROKEN as error:
            raise BrokenError(str(error) or type(error).__name__) from error


class Rewriter:
    """Copies an export.

    :param change: makes the new text of fields, and of one value.
    :param identifier: makes the new one of 32 hexadecimal digits.
    :param sink: where to write; nowhere where everything is only looked at.
    """

    def __init__(self, change: Change, identifier: Change, sink: Optional[IO[bytes]] = None) -> None:
        self._change, self._identifier, self._sink = change, identifier, sink
        self._lines: List[bytes] = []
        self._size = 0

    def copy(self, source: Reader) -> str:
        """Copy all that can be read; return why the rest was left out, or an empty text.

        A field that is cut off is left out, since half of an address or of a secret would not be known for one.
        """
        try:
            why = self._entries(source)
        except BrokenError as error:
            why = str(error)
        if why and self._lines and self._lines[-1] != b"\n":
            self._lines.append(b"\n")
        self._flush()
        return why

    def _entries(self, source: Reader) -> str:
        while True:
            line = source.readline()
            if not line:
                return ""
            if not line.endswith(b"\n"):
                return "cut off"
            if b"=" in line or line == b"\n":
                self._lines.append(line)
                self._size += len(line)
                if self._size >= BATCH:
                    self._flush()
                continue
            head = source.read(8)
            length = struct.unpack("<Q", head)[0] if len(head) == 8 else LONGEST + 1
            if length > LONGEST:
                return "cut off" if len(head) < 8 else f"field {line[:64]!r} of {length} bytes"
            value = source.read(length + 1)
            if len(value) != length + 1 or value[-1:] != b"\n":
                return "cut off"
            self._flush()
            new = _bytes(self._change(_text(value[:-1])))
            self._write(line + struct.pack("<Q", len(new)) + new + b"\n")

    def _flush(self) -> None:
        if self._lines:
            self._write(_bytes(changed(_text(b"".join(self._lines)), self._change, self._identifier)))
            self._lines, self._size = [], 0

    def _write(self, data: bytes) -> None:
        if self._sink is not None:
            self._sink.write(data)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


@contextlib.contextmanager
def opened(path: str) -> Iterator[Reader]:
    """Open a file, unpacked where it is packed by gzip."""
    with open(path, "rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
        stream.seek(0)
        if packed:
            with gzip.GzipFile(fileobj=stream, mode="rb") as inner:
                yield Reader(cast(IO[bytes], inner))
        else:
            yield Reader(stream)
