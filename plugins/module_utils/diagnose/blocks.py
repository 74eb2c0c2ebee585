# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A log as blocks of whole lines of bounded size, whatever it holds: lines without end, null bytes, records of a journal."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import clock
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.sources import BROKEN, EXPORT, JSON

SIZE, PIECE = 1 << 20, 1 << 16
# Of a line that is longer than a block each block keeps this much of the one before, so that nothing is cut in two.
OVERLAP = 4096
# What is looked at of a line, before and behind the literal that was found in it.
BEFORE, BEHIND = 2048, 6144
# Messages that are not plain text are lists of numbers in the journal's JSON.
NUMBERS = re.compile(rb'"MESSAGE":\[([0-9, ]*)\]')
TEXTS = ("MESSAGE", "log", "message", "msg")
HOSTS = ("_HOSTNAME", "hostname", "host")
# What systemd itself says of a unit names it in UNIT.
UNITS = ("UNIT", "_SYSTEMD_UNIT", "CONTAINER_NAME", "unit", "SYSLOG_IDENTIFIER", "_COMM")
TIMES = ("__REALTIME_TIMESTAMP", "_SOURCE_REALTIME_TIMESTAMP")
# Others than the journal write the time as text.
WRITTEN = ("time", "timestamp", "ts", "@timestamp")


@dataclass(frozen=True)
class Fields:
    """What the journal knows of one message besides its text.

    :ivar seconds: since 1970; None where it is not there.
    """

    text: str
    seconds: float | None = None
    host: str = ""
    unit: str = ""
    kernel: bool = False


def blocks(stream: IO[bytes], form: str) -> Iterator[tuple[bytes, int]]:
    """Yield the blocks of a log: lines without the end of the last one, and what to add to their number for that of the next block's first.

    :param form: how it is written; the records of a journal's export are not cut.
    :raises OSError: and other errors of reading, after what could be read was yielded.
    """
    end = b"\n\n" if form == EXPORT else b"\n"
    longest = 4 * SIZE if form == EXPORT else SIZE
    rest = b""
    while True:
        data, broken = _filled(stream)
        if broken is not None:
            if rest or data:
                yield _plain((rest + data).removesuffix(b"\n"), form), 0
            raise broken
        if not data:
            break
        held = rest + data
        cut, gap = held.rfind(end), end
        if cut < 0 and len(held) > longest:
            cut, gap = held.rfind(b"\n"), b"\n"
        if cut >= 0:
            yield _plain(held[:cut], form), len(gap) - 1
            rest = held[cut + len(gap) :]
        elif len(held) > longest:
            # A line that does not end.
            yield _plain(held, form), -1
            rest = held[-OVERLAP:]
        else:
            rest = held
    if rest:
        yield _plain(rest.removesuffix(b"\n"), form), 0


def _filled(stream: IO[bytes]) -> tuple[bytes, Exception | None]:
    """Return about as much as a block is, in pieces, so that little is lost where a stream is broken, and the error that ended it."""
    pieces: list[bytes] = []
    size = 0
    while size < SIZE:
        try:
            piece = stream.read(min(PIECE, SIZE - size))
        except BROKEN as error:
            return b"".join(pieces), error
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces), None


def _plain(block: bytes, form: str) -> bytes:
    if form == JSON and b'"MESSAGE":[' in block:
        return NUMBERS.sub(_spelled, block)
    return block


def _spelled(match: re.Match[bytes]) -> bytes:
    try:
        data = bytes(int(number) for number in match[1].split(b",") if number.strip())
    except ValueError:
        return match[0]
    return b'"MESSAGE":' + json.dumps(data.decode("utf-8", "replace")).encode()


def clip(line: bytes, at: int = 0) -> str:
    """Return a line as text, at most a few thousand characters around a place of it."""
    begin = max(0, at - BEFORE) if len(line) > BEFORE + BEHIND else 0
    return line[begin : begin + BEFORE + BEHIND].decode("utf-8", "replace").rstrip("\r")


def of_json(line: bytes) -> Fields | None:
    """Return one record of a log in JSON, or None where it is none, for example cut off."""
    try:
        record: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    text = next((record[key] for key in TEXTS if isinstance(record.get(key), str)), None)
    if text is None:
        return None
    if isinstance(record.get("_TRANSPORT"), str) and record["_TRANSPORT"] == "kernel":
        return Fields(text, _seconds(record), _first(record, HOSTS), "kernel", True)
    return Fields(text, _seconds(record), _first(record, HOSTS), _first(record, UNITS))


def _first(record: dict[str, Any], keys: tuple[str, ...]) -> str:
    return next((record[key] for key in keys if isinstance(record.get(key), str)), "")


def _seconds(record: dict[str, Any]) -> float | None:
    for key in TIMES:
        value = record.get(key)
        if isinstance(value, (str, int)) and str(value).isascii() and str(value).isdigit() and len(str(value)) <= 18:
            return int(value) / 1e6
    for key in WRITTEN:
        value = record.get(key)
        stamp = clock.read(value) if isinstance(value, str) else None
        if stamp is not None and stamp.dated:
            return stamp.seconds
    return None


def of_export(lines: list[bytes], index: int) -> tuple[Fields, int]:
    """Return the record of a journal's export that a line is in.

    :param index: the line.
    :returns: the record with that line as its text, and the index of the record's first line.
    """
    begin = index
    while begin > 0 and not lines[begin].startswith(b"__CURSOR=") and index - begin < 400:
        begin -= 1
    record: dict[str, Any] = {}
    wanted = {*HOSTS, *UNITS, *TIMES, "_TRANSPORT"}
    for number in range(begin, min(len(lines), begin + 400)):
        line = lines[number]
        if number > begin and line.startswith(b"__CURSOR="):
            break
        key, sign, value = line.partition(b"=")
        if sign and key.isascii() and len(key) < 64:
            name = key.decode()
            if name in wanted:
                record.setdefault(name, value[:256].decode("utf-8", "replace"))
    line = lines[index]
    # What is not plain text stands in the line behind its name, after eight bytes of length.
    binary = index > 0 and lines[index - 1] == b"MESSAGE" and len(line) >= 8 and struct.unpack("<Q", line[:8])[0] < 1 << 32
    text = line[8:] if binary or line.startswith(b"MESSAGE=") else line
    kernel = record.get("_TRANSPORT") == "kernel"
    return Fields(clip(text), _seconds(record), _first(record, HOSTS), "kernel" if kernel else _first(record, UNITS), kernel), begin
