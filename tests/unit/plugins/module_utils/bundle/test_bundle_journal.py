# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A journal's export with other texts: lengths of binary fields, what is cut off, and that nothing else changes."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.railyard.sglang.plugins.module_utils.bundle import journal
from ansible_collections.railyard.sglang.plugins.module_utils.bundle.journal import Reader, Rewriter

FUZZ = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
Entry = list[tuple[bytes, bytes]]


def exported(entries: list[Entry]) -> bytes:
    """Return an export as journalctl writes it."""
    return b"".join(b"".join(field(name, value) for name, value in entry) + b"\n" for entry in entries)


def field(name: bytes, value: bytes) -> bytes:
    plain = all(byte >= 32 or byte == 9 for byte in value)
    return name + b"=" + value + b"\n" if plain else name + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"


def parsed(data: bytes) -> list[Entry]:
    """Read an export by the letter of the format."""
    stream = io.BytesIO(data)
    entries: list[Entry] = []
    entry: Entry = []
    while line := stream.readline():
        assert line.endswith(b"\n")
        if line == b"\n":
            entries.append(entry)
            entry = []
        elif b"=" in line:
            name, _sign, value = line[:-1].partition(b"=")
            entry.append((name, value))
        else:
            (length,) = struct.unpack("<Q", stream.read(8))
            entry.append((line[:-1], stream.read(length)))
            assert stream.read(1) == b"\n"
    assert entry == []
    return entries


def rewritten(data: bytes, old: str = "gpu7", new: str = "host100") -> tuple[bytes, str]:
    out = io.BytesIO()
    why = Rewriter(lambda text: text.replace(old, new), lambda text: "0" * len(text), out).copy(Reader(io.BytesIO(data)))
    return out.getvalue(), why


ENTRY: Entry = [
    (b"__CURSOR", b"s=0123456789abcdef0123456789abcdef;i=1;b=fedcba9876543210fedcba9876543210;m=1;t=2;x=3"),
    (b"__REALTIME_TIMESTAMP", b"1772438400000000"),
    (b"_BOOT_ID", b"fedcba9876543210fedcba9876543210"),
    (b"_HOSTNAME", b"gpu7"),
    (b"MESSAGE", b"\x1b[31mgpu7\x1b[0m\nsecond gpu7 line \xff"),
]


def test_lengths_follow_the_new_text() -> None:
    data, why = rewritten(exported([ENTRY, [(b"MESSAGE", b"plain gpu7")], ENTRY]))
    assert why == ""
    found = parsed(data)
    assert [len(entry) for entry in found] == [5, 1, 5]
    told = dict(found[0])
    assert told[b"MESSAGE"] == b"\x1b[31mhost100\x1b[0m\nsecond host100 line \xff"
    assert told[b"_HOSTNAME"] == b"host100"
    assert told[b"_BOOT_ID"] == b"0" * 32
    assert told[b"__CURSOR"] == b"s=" + b"0" * 32 + b";i=1;b=" + b"0" * 32 + b";m=1;t=2;x=3"
    assert found[1] == [(b"MESSAGE", b"plain host100")]


@pytest.mark.parametrize("size", [10, 266, 2570, 70000])
def test_a_length_that_looks_like_a_line_end(size: int) -> None:
    entry = [(b"MESSAGE", b"\x1b" + b"a" * (size - 1))]
    assert parsed(rewritten(exported([entry, entry]))[0]) == [entry, entry]


@pytest.mark.parametrize(
    ("data", "fields", "why"),
    [
        (b"A=1\n_HOSTNAME=gp", [[(b"A", b"1")]], "cut off"),
        (b"A=1\nMESSAGE\n\x05\0", [[(b"A", b"1")]], "cut off"),
        (b"A=1\nMESSAGE\n" + struct.pack("<Q", 9) + b"gpu7 is", [[(b"A", b"1")]], "cut off"),
        (b"A=1\nMESSAGE\n" + struct.pack("<Q", 4) + b"gpu7x\n", [[(b"A", b"1")]], "cut off"),
        (b"A=1\n\nNOISE\n" + struct.pack("<Q", 1 << 60) + b"x", [[(b"A", b"1")]], f"field b'NOISE\\n' of {1 << 60} bytes"),
        (b"", [], ""),
        (b"A=gpu7\n\n", [[(b"A", b"host100")]], ""),
    ],
)
def test_of_what_is_cut_off_the_rest_is_kept(data: bytes, fields: list[Entry], why: str) -> None:
    new, told = rewritten(data)
    assert parsed(new) == fields
    assert told == why


def test_a_stream_that_breaks_is_told() -> None:
    class Broken(io.BytesIO):
        def readline(self, size: int | None = -1) -> bytes:
            line = super().readline(size)
            if not line:
                raise OSError("not a gzip file any more")
            return line

    out = io.BytesIO()
    why = Rewriter(str, str, out).copy(Reader(Broken(b"A=1\n\n")))
    assert (out.getvalue(), why) == (b"A=1\n\n", "not a gzip file any more")


def test_the_journals_own_fields_are_not_read() -> None:
    seen: list[str] = []
    journal.changed("__CURSOR=s=1\nMESSAGE=a\n__REALTIME_TIMESTAMP=1\n", lambda text: (seen.append(text), text)[1], str)
    assert seen == ["MESSAGE=a\n"]


VALUE = st.binary(max_size=300)
NAME = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ_", min_size=1, max_size=12).map(str.encode)


@FUZZ
@given(st.lists(st.lists(st.tuples(NAME, VALUE), min_size=1, max_size=5), max_size=6))
def test_any_journal(entries: list[Entry]) -> None:
    new, why = rewritten(exported(entries), "a", "bcd")
    assert why == ""

    def wanted(name: bytes, value: bytes) -> bytes:
        own = name.startswith(b"__") and all(byte >= 32 or byte == 9 for byte in value)
        return value if own else value.replace(b"a", b"bcd")

    assert parsed(new) == [[(name, wanted(name, value)) for name, value in entry] for entry in entries]
