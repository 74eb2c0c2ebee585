# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading logs: archives, broken files, records of journals, times; and scanning them: nothing that a line holds is missed."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import struct
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import blocks, clock, foreign
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.catalogue import Match
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.origin import of_file, of_line, take_apart
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.reduction import Prefilter
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.scanning import Hit, Scanner, Span, Watch
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.sources import EXPORT, JSON, PLAIN, Reading, Source, read

MATCH = Match(("bootstrap room",), re.compile(r"bootstrap room=?(?P<room>\d+)"))


def scanned(data: bytes, name: str = "engine.log", form: str = PLAIN, match: Match = MATCH, most: int = 60) -> tuple[list[Hit], Span]:
    found = list(Scanner([Watch("x", match, most)]).scan(Source(name, io.BytesIO(data), len(data), 0, form)))
    assert isinstance(found[-1], Span)
    return [item for item in found if isinstance(item, Hit)], found[-1]


def names(path: Path) -> tuple[dict[str, bytes], dict[str, str]]:
    reading = Reading()
    found = {source.name: source.stream.read() for source in read(str(path), reading)}
    assert reading.share == pytest.approx(1.0) or not reading.total
    return found, {item.name: item.why for item in reading.skipped}


def test_a_directory_with_archives_and_what_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "p0").mkdir()
    (tmp_path / "p0/engine.log").write_bytes(b"one\n")
    (tmp_path / "p0/old.log.1.gz").write_bytes(gzip.compress(b"two\n"))
    (tmp_path / "p0/empty.log").write_bytes(b"")
    (tmp_path / "core").write_bytes(b"\x7fELF" + bytes(1000))
    (tmp_path / "noise").write_bytes(bytes(5000))
    (tmp_path / "system.journal").write_bytes(b"LPKSHHRH" + bytes(1000))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "nowhere")
    with tarfile.open(tmp_path / "all.tar.gz", "w:gz") as archive:
        for name, data in (("logs/d0/engine.log", b"three\n"), ("logs/d1/engine.log.gz", gzip.compress(b"four\n"))):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    found, skipped = names(tmp_path)
    assert found == {
        "p0/engine.log": b"one\n",
        "p0/old.log.1.gz": b"two\n",
        "all.tar.gz!logs/d0/engine.log": b"three\n",
        "all.tar.gz!logs/d1/engine.log.gz": b"four\n",
    }
    assert skipped["p0/empty.log"] == "empty"
    assert skipped["core"] == "a program"
    assert skipped["noise"] == "no text"
    assert "journalctl --file" in skipped["system.journal"]
    assert skipped["pipe"] == "not a plain file"
    assert "loop" in skipped


def test_what_is_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    packed = gzip.compress(b"".join(b"bootstrap room=%d\n" % number for number in range(20000)), 1)
    (tmp_path / "engine.log.gz").write_bytes(packed[: len(packed) // 2])
    reading = Reading()
    found = [item for source in read(str(tmp_path), reading) for item in Scanner([Watch("x", MATCH, 10**6)]).scan(source)]
    assert len(found) > 1000
    assert isinstance(found[-1], Span)
    assert found[-1].problem.startswith("cut off")


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        names(tmp_path / "nothing")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=40).map(lambda item: item.replace(b"\n", b"")), max_size=60), st.integers(2, 64))
def test_blocks_hold_every_line_once(lines: list[bytes], size: int) -> None:
    data = b"\n".join(lines)
    before, blocks.SIZE = blocks.SIZE, size
    try:
        found, number = [], 1
        for block, more in blocks.blocks(io.BytesIO(data), PLAIN):
            parts = block.split(b"\n")
            found += [(number + index, part) for index, part in enumerate(parts)]
            number += len(parts) + more
    finally:
        blocks.SIZE = before
    # A line that is longer than a block comes in pieces, all under its number.
    told: dict[int, bytes] = {}
    for index, part in found:
        known = told.get(index, b"")
        told[index] = (
            part
            if not known
            else known + part[next((cut for cut in range(min(len(known), len(part)), 0, -1) if known.endswith(part[:cut])), 0) :]
        )
    assert [told.get(index, b"") for index in range(1, len(lines) + 1)] == lines or any(len(line) > size for line in lines)
    assert set(told) <= set(range(1, len(lines) + 2))


WORDS = st.sampled_from(
    [
        "bootstrap",
        "room",
        "bootstrap room",
        "room=12",
        "=7",
        "Decode batch",
        "\x1b[2m",
        "\x1b[0m",
        "a1b2",
        "[",
        "]",
        ";",
        "\\",
        "m",
        "text",
        " ",
        "0xdead",
        "é",
        "\r",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(WORDS, max_size=6).map("".join), max_size=30), st.booleans())
def test_the_prefilter_misses_no_line(lines: list[str], twice: bool) -> None:
    literals = ["bootstrap room", "Decode batch", "room=12"]
    prefilter = Prefilter([literal.encode() for literal in literals])
    block = "\n".join(lines).encode()
    if twice:
        prefilter.scan(block)
    count, hot = prefilter.scan(block)
    raw = block.split(b"\n")
    assert count == len(raw)
    marked = dict(hot)
    for index, line in enumerate(raw):
        for place, literal in enumerate(literals):
            if literal.encode() in line:
                assert place in marked[index]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(WORDS, max_size=6).map("".join), max_size=30))
def test_the_scanner_finds_what_a_search_of_every_line_finds(lines: list[str]) -> None:
    lines = [line.replace("\r", "") for line in lines]
    hits, span = scanned("\n".join(lines).encode(), most=10**6)
    plain = [re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", line) for line in lines]
    wanted = [number for number, line in enumerate(plain, 1) if "bootstrap room" in line and MATCH.pattern.search(line)]
    assert [hit.number for hit in hits] == wanted
    data = "\n".join(lines)
    assert span.lines == data.count("\n") + bool(data.rpartition("\n")[2])


def test_many_hits_are_counted_and_the_last_one_is_looked_at() -> None:
    hits, _span = scanned(b"".join(b"2026-11-20T06:00:%02dZ bootstrap room=%d\n" % (number % 60, number) for number in range(500)))
    assert len(hits) == 61
    assert sum(hit.weight for hit in hits) == 500
    assert (hits[-1].number, hits[-1].groups["room"], hits[-1].weight) == (500, "499", 440)


def test_a_line_without_end_is_searched_in_bounded_memory() -> None:
    data = b"x" * (3 << 20) + b" bootstrap room=5 " + b"y" * (3 << 20)
    hits, span = scanned(data)
    assert {hit.groups["room"] for hit in hits} == {"5"}
    assert {hit.number for hit in hits} == {1}
    assert all(len(hit.text) < 1000 for hit in hits)
    assert span.lines <= 1


def test_records_of_an_export_with_colours_and_a_message_of_bytes() -> None:
    message = b"\x1b[2m2026-11-20\x1b[0m bootstrap \x1b[1mroom\x1b[0m=77"
    head = b"__CURSOR=s=1\n__REALTIME_TIMESTAMP=1795154642000000\n_HOSTNAME=r0\n_SYSTEMD_UNIT=sglang-router.service\n"
    data = (
        head
        + b"MESSAGE\n"
        + struct.pack("<Q", len(message))
        + message
        + b"\n_PID=4\n\n"
        + head.replace(b"r0", b"p0")
        + b"MESSAGE=bootstrap room=78\n\n"
    )
    hits, span = scanned(data, "all.export", EXPORT)
    assert [(hit.origin.host, hit.groups["room"], hit.seconds) for hit in hits] == [("r0", "77", 1795154642.0), ("p0", "78", 1795154642.0)]
    assert hits[0].origin.process == "router"
    assert hits[0].text == "2026-11-20 bootstrap room=77"
    assert [hit.number for hit in hits] == [6, 13]
    assert span.first == 1795154642.0


def test_records_of_json_with_escapes_and_lists_of_numbers() -> None:
    rows = [
        {"MESSAGE": 'say "bootstrap room"', "_HOSTNAME": "p0"},
        {
            "MESSAGE": list(b"\x1b[1mbootstrap room\x1b[0m=9"),
            "_HOSTNAME": "d0",
            "_SYSTEMD_UNIT": "sglang-decode-1.service",
            "__REALTIME_TIMESTAMP": "1795154642000000",
        },
        {"log": "bootstrap room=10\n", "stream": "stderr", "time": "2026-11-20T06:04:02.5Z"},
    ]
    data = "\n".join(json.dumps(row, separators=(",", ":")) for row in rows).encode() + b'\n{"MESSAGE":"bootstrap room=11'
    hits, _span = scanned(data, "j.json", JSON)
    assert [hit.groups["room"] for hit in hits] == ["9", "10", "11"]
    assert (hits[0].origin.host, hits[0].origin.instance, hits[0].seconds) == ("d0", "decode-1", 1795154642.0)
    assert hits[1].seconds == 1795154642.5


STAMPS = (
    ("2026-11-20T06:04:02+0000 p0", "2026-11-20T06:04:02Z", True),
    ("2026-11-20T07:04:02.123+01:00", "2026-11-20T06:04:02Z", True),
    ("[2026-11-20 06:04:02 TP0] x", "2026-11-20T06:04:02Z", False),
    ("2026-11-20 06:04:02  INFO smg", "2026-11-20T06:04:02Z", False),
    ("I20261120 06:04:02.514158   487 x.cpp:1]", "2026-11-20T06:04:02Z", False),
    ("[Fri Nov 20 06:04:02 2026] mlx5_core", "2026-11-20T06:04:02Z", False),
    ("1795154642.25 p0", "2026-11-20T06:04:02Z", True),
)


@pytest.mark.parametrize(("line", "time", "zoned"), STAMPS)
def test_time_stamps(line: str, time: str, zoned: bool) -> None:
    stamp = clock.read(line)
    assert stamp is not None
    assert (clock.text(stamp.seconds), stamp.zoned, stamp.dated) == (time, zoned, True)


@pytest.mark.parametrize(
    "line", ["", "[12345.678901] kernel", "2026-13-40 99:99:99", "Foo 99 06:04:02", "I1332 06:04:02.1 x", "version 1.2"]
)
def test_what_is_no_time(line: str) -> None:
    assert clock.read(line) is None


def test_years_that_are_not_written() -> None:
    near = clock.read("2027-01-01T00:10:00Z")
    assert near is not None
    for line, year in (("E1231 23:59:59.5 1 x", "2026"), ("Jan  1 00:05:00 p0 sshd[1]: x", "2027"), ("Feb 29 10:00:00 x", "2024")):
        stamp = clock.read(line)
        assert stamp is not None
        assert clock.text(clock.with_year(stamp, near.seconds).seconds).startswith(year)


@given(st.text(max_size=80))
@settings(max_examples=200, deadline=None)
def test_any_text_is_taken_apart(text: str) -> None:
    line = take_apart(text)
    assert line.text in text or "\x1b" in text
    of_line(of_file(text or "x"), line)


ORIGINS = (
    ("prefill-0-rank1.log", "", "engine", "prefill-0", 1),
    ("p0/decode-2.log.1.gz", "p0", "engine", "decode-2", None),
    ("bundle.tar!logs/gpu07/router.log", "gpu07", "router", "", None),
    ("gpu07__sglang-prefill-1.service.export", "gpu07", "engine", "prefill-1", None),
    ("d1/dmesg.txt", "d1", "kernel", "", None),
    ("pip-install.log", "", "installer", "", None),
    ("messages", "", "", "", None),
)


@pytest.mark.parametrize(("path", "host", "process", "instance", "rank"), ORIGINS)
def test_names_of_files(path: str, host: str, process: str, instance: str, rank: int | None) -> None:
    origin = of_file(path)
    assert (origin.host, origin.process, origin.instance, origin.rank) == (host, process, instance, rank)


LINES = (
    ("2026-11-20T06:04:02+0000 p0 python[485]: x", "p0", "", ""),
    ("Nov 20 06:04:02 p0 kernel: NVRM: Xid", "p0", "kernel", ""),
    ("2026-11-20T06:04:02+0000 p0 systemd[1]: sglang-decode-1.service: Main process exited", "p0", "engine", "decode-1"),
    ("prefill-0-1  | [2026-11-20 06:04:02 TP0] x", "", "engine", "prefill-0"),
    ("[pod/decode-3-abc/engine] 2026-11-20 06:04:02 x", "", "engine", "decode-3"),
    ("2026-11-20 06:02:21 ERROR smg::core: x", "", "", ""),
)


@pytest.mark.parametrize(("line", "host", "process", "instance"), LINES)
def test_prefixes_of_lines(line: str, host: str, process: str, instance: str) -> None:
    origin = of_line(of_file("all.log"), take_apart(line))
    assert (origin.host, origin.process, origin.instance) == (host, process, instance)


FOREIGN = (
    (b"GET /met", "HTTP: a scraper of metrics"),
    (b"GET / HT", "HTTP: a scraper, a health check or a browser"),
    (b"SSH-2.0-", "SSH: a port scan or a check by SSH"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01", "TLS: a client that expects HTTPS, or a port scan"),
    (b"PRI * HT", "HTTP/2: a gRPC client or a probe"),
)


@pytest.mark.parametrize(("data", "protocol"), FOREIGN)
@pytest.mark.parametrize("order", ["<Q", ">Q"])
def test_foreign_protocols(data: bytes, protocol: str, order: str) -> None:
    found = foreign.decode(str(struct.unpack(order, data)[0]))
    assert found.protocol == protocol
    assert found.text == "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)


def test_text_of_an_unknown_protocol() -> None:
    found = foreign.decode(str(struct.unpack("<Q", b"hello wo")[0]))
    assert (found.text, found.protocol) == ("hello wo", "text of an unknown protocol")


@pytest.mark.parametrize("number", ["", "x", "-", "1" * 40, "12"])
def test_numbers_that_are_no_text(number: str) -> None:
    assert foreign.decode(number).protocol in ("", "not text", "a length in the other byte order")
