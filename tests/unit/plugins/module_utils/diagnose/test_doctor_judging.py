# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judging: what follows from what, on which host, and what is no fault."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import catalogue, diagnosis, page
from ansible_collections.railyard.sglang.tests.unit.support import shared
from ansible_collections.railyard.sglang.tests.unit.support.doctorlogs import arguments, diagnosed, ids, stamped, write

READY = "The server is fired up and ready to roll!"
SERVED = 'INFO:     198.51.100.1:5000 - "POST /v1/chat/completions HTTP/1.1" 200 OK'
REFUSED = "Prefill instance failed to register to bootstrap server: HTTPConnectionPool(host='203.0.113.10', port=8998): Connection refused"
WORKERS = (
    'INFO smg::server: Starting router on 198.51.100.30:8000 | mode: PrefillDecode {{ prefill_urls: [("{prefill}", {port})], '
    'decode_urls: ["{decode}"], prefill_policy: None }}'
)
PREFILL, DECODE = "http://203.0.113.10:30000", "http://203.0.113.20:30001"


@pytest.fixture(scope="module")
def loaded() -> catalogue.Catalogue:
    return catalogue.load()


def engine(name: str, /, *lines: str, second: float = 0, **values: object) -> list[str]:
    """Return the log of an engine that starts and says some lines, a second apart."""
    return [stamped(second + number, text, name) for number, text in enumerate([arguments(**values), *lines])]


def decode(*lines: str, **values: object) -> list[str]:
    return engine("d0", *lines, **{"host": "203.0.113.20", "port": 30001, "disaggregation_mode": "decode", **values})


def router(prefill: str = PREFILL, port: str = "Some(8998)", worker: str = DECODE) -> list[str]:
    return [stamped(1, WORKERS.format(prefill=prefill, port=port, decode=worker), "r0")]


def test_the_two_networks_of_a_real_cluster(loaded: catalogue.Catalogue) -> None:
    captures = shared.captures()
    if captures is None:
        pytest.skip("RAILYARD_SHARED is not set: the real logs are not here")
    found = diagnosed(captures.parent / "logs/bootstrap-host-mismatch", loaded)
    assert found.verdict == "blocks"
    assert found.first is not None
    assert (found.first.id, found.first.host, found.first.guilty_host) == ("L01", "p0", "p0")
    assert (found.first.head.origin.role, found.first.head.origin.rank) == ("prefill", 0)
    followers = {finding.id: finding for finding in found.findings if finding.parent == "L01"}
    assert {place.origin.host for place in followers["D03"].places} == {"d0", "d1"}
    assert {place.origin.host for place in followers["L16"].places} == {"p0", "p1"}
    document = diagnosis.document(found)
    line = document["findings"][0]["places"][0]["evidence"][1]
    assert (line["file"], line["line"]) == ("prefill-0-rank0.log", 49)
    assert "L01 blocks" in page.text(document).splitlines()[2]
    json.dumps(document)


DERIVED = (
    ("L01", "p0", {"prefill": engine("p0", host="198.51.100.10", dist_init_addr="203.0.113.10:5000")}),
    (
        "L02",
        "r0",
        {
            "prefill": engine("p0"),
            "p1": engine(
                "p1",
                "Dummy health check server started in background thread at 203.0.113.11:30000",
                host="203.0.113.11",
                node_rank=1,
                nnodes=2,
            ),
            "router": router("http://203.0.113.11:30000"),
        },
    ),
    ("L03", "r0", {"prefill": engine("p0"), "decode": decode(), "router": router(DECODE, "Some(8998)", PREFILL)}),
    ("L04", "r0", {"prefill": engine("p0"), "decode": decode(), "router": router(port="Some(8999)")}),
    ("L04", "d0", {"prefill": engine("p0"), "decode": decode(disaggregation_bootstrap_port=8999), "router": router(port="None")}),
    ("L05", "d0", {"prefill": engine("p0"), "decode": decode(page_size=64)}),
    ("L06", "d0", {"prefill": engine("p0"), "decode": decode(kv_cache_dtype="fp8_e4m3")}),
    ("L08", "d0", {"prefill": engine("p0"), "decode": decode(model_path="/opt/models/other/")}),
    ("L09", "d0", {"prefill": engine("p0"), "decode": decode(disaggregation_transfer_backend="nixl")}),
    (
        "L10",
        "p1",
        {
            "prefill_0_rank0": engine("p0", nnodes=2, dist_init_addr="203.0.113.10:5000"),
            "prefill_0_rank1": engine("p1", nnodes=4, node_rank=1, dist_init_addr="203.0.113.10:5000"),
            "p2": engine("p2", nnodes=2, node_rank=2, dist_init_addr="203.0.113.10:5000"),
        },
    ),
    (
        "L10",
        "p1",
        {
            "prefill_0_rank0": engine("p0", nnodes=2, dist_init_addr="203.0.113.10:5000"),
            "prefill_0_rank1": engine("p1", nnodes=2, node_rank=1, dist_init_addr="203.0.113.11:5000"),
        },
    ),
    (
        "L12",
        "d0",
        {
            "prefill": engine("p0", "Transfer Engine RPC using P2P handshake, listening on 203.0.113.10:15233"),
            "decode": decode("Transfer Engine RPC using P2P handshake, listening on 127.0.0.1:15233"),
        },
    ),
    (
        "L56",
        "d0",
        {
            "prefill": engine("p0", "Transfer Engine RPC using P2P handshake, listening on 203.0.113.10:15233"),
            "decode": decode("Transfer Engine RPC using P2P handshake, listening on 198.51.100.20:15233"),
        },
    ),
    ("L15", "p0", {"prefill": engine("p0", "TcpTransport: listen on port 16291", disaggregation_ib_device="mlx5_0")}),
)


@pytest.mark.parametrize(("wanted", "host", "logs"), DERIVED, ids=[f"{number} {row[0]}" for number, row in enumerate(DERIVED)])
def test_what_follows_from_comparing(
    wanted: str, host: str, logs: dict[str, list[str]], loaded: catalogue.Catalogue, tmp_path: Path
) -> None:
    found = diagnosed(write(tmp_path, **logs), loaded)
    assert ids(found) == [wanted]
    assert found.first is not None
    assert found.first.host == host
    assert "?" not in found.first.text("title")


HEALTHY = (
    {"prefill": engine("p0", READY), "decode": decode(), "router": router()},
    {"prefill": engine("p0"), "decode": decode(), "router": router(port="None")},
    {"prefill": engine("p0", host="0.0.0.0", dist_init_addr="203.0.113.10:5000")},
    {"prefill": engine("p0", "TcpTransport: listen on port 1", "MC_FORCE_TCP is set", disaggregation_ib_device="mlx5_0")},
    {"prefill": engine("p0", nnodes=2, dist_init_addr="203.0.113.10:5000"), "decode": decode(nnodes=2, dist_init_addr="203.0.113.20:5000")},
    {
        "p0": engine("p0", "P2P handshake, listening on 203.0.113.1:1"),
        "d0": decode("P2P handshake, listening on 192.0.2.5:1", host="192.0.2.5"),
    },
)


@pytest.mark.parametrize("logs", HEALTHY, ids=range(len(HEALTHY)))
def test_what_is_no_fault(logs: dict[str, list[str]], loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    found = diagnosed(write(tmp_path, **logs), loaded)
    assert (ids(found), found.verdict) == ([], "clean")


SMALL = """
[[signature]]
id = "L90"
title = "{peer} is lost"
kind = "symptom"
stage = "runtime"
severity = "blocks"
processes = ["engine"]
guilty = "peer"
cause = "c"
fix = "f"
sources = ["s"]
EXTRA
  [[signature.match]]
  literals = ["peer is lost"]
  pattern = '(?:(?P<peer>\\S+) )?peer is lost'
  [signature.probe]
  none = "n"
"""


def small(extra: str = "") -> catalogue.Catalogue:
    markers = (Path(catalogue.DATA) / "signatures/markers.toml").read_text(encoding="utf-8")
    return catalogue.parse({"a": SMALL.replace("EXTRA", extra), "m": markers})


def test_the_peer_is_guilty(tmp_path: Path) -> None:
    found = diagnosed(write(tmp_path, prefill=engine("p0"), decode=decode("203.0.113.10 peer is lost")), small())
    assert found.first is not None
    assert (found.first.host, found.first.guilty_host) == ("d0", "p0")


def test_what_is_normal_while_starting_is_a_note_and_what_comes_later_is_not(tmp_path: Path) -> None:
    starting = engine("p0", "peer is lost", READY, SERVED)
    cleared = small('cleared_by = ["served"]')
    assert ids(diagnosed(write(tmp_path / "a", prefill=starting), cleared)) == []
    assert ids(diagnosed(write(tmp_path / "b", prefill=[*starting, stamped(60, "peer is lost", "p0")]), cleared)) == ["L90"]
    assert ids(diagnosed(write(tmp_path / "c", prefill=starting), small())) == ["L90"]
    # Never served: not cleared.
    assert ids(diagnosed(write(tmp_path / "d", prefill=starting[:-1]), cleared)) == ["L90"]


def test_the_noise_of_a_shutdown_is_none(tmp_path: Path) -> None:
    quiet = small('quiet_after = ["stopping"]')
    stopping = stamped(10, "SIGTERM received", "p0")
    assert ids(diagnosed(write(tmp_path / "a", prefill=[*engine("p0"), stopping, stamped(11, "peer is lost", "p0")]), quiet)) == []
    assert ids(diagnosed(write(tmp_path / "b", prefill=[*engine("p0"), stopping, stamped(900, "peer is lost", "p0")]), quiet)) == ["L90"]
    other = {"prefill": [*engine("p0"), stopping], "decode": [*decode(), stamped(11, "peer is lost", "d0")]}
    assert ids(diagnosed(write(tmp_path / "c", **other), quiet)) == ["L90"]


def test_the_last_words_of_a_hanging_process(tmp_path: Path) -> None:
    silent = small("then_silence = 120")
    hanging = [*engine("p0"), stamped(10, "peer is lost", "p0")]
    others = [*decode(), stamped(400, SERVED, "d0")]
    assert ids(diagnosed(write(tmp_path / "a", prefill=hanging, decode=others), silent)) == ["L90"]
    assert ids(diagnosed(write(tmp_path / "b", prefill=hanging, decode=[*decode(), stamped(20, SERVED, "d0")]), silent)) == []
    going_on = [*hanging, *(stamped(20 + second, "Decode batch", "p0") for second in range(20))]
    assert ids(diagnosed(write(tmp_path / "c", prefill=going_on, decode=others), silent)) == []
    together = sorted([*hanging, *others, *(stamped(30 + second, "Decode batch", "d0", "srv") for second in range(20))])
    assert ids(diagnosed(write(tmp_path / "d", all=together), silent)) == ["L90"]


def test_too_few_hits_are_a_note(tmp_path: Path) -> None:
    often = small("at_least = 3")
    assert ids(diagnosed(write(tmp_path / "a", prefill=engine("p0", "peer is lost", "peer is lost")), often)) == []
    assert ids(diagnosed(write(tmp_path / "b", prefill=engine("p0", *["peer is lost"] * 3)), often)) == ["L90"]


def test_a_restart_by_hand_after_which_requests_are_served_ends_a_finding(tmp_path: Path) -> None:
    broken = engine("p0", "peer is lost")
    again = [stamped(50, "SIGTERM received", "p0"), *engine("p0", READY, SERVED, second=60)]
    assert ids(diagnosed(write(tmp_path / "a", prefill=[*broken, *again]), small())) == []
    assert ids(diagnosed(write(tmp_path / "b", prefill=[*broken, *again[1:]]), small())) == ["L90"]
    assert ids(diagnosed(write(tmp_path / "c", prefill=[*broken, *again, stamped(90, "peer is lost", "p0")]), small())) == ["L90"]


def test_nothing_known_says_what_to_collect(loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    found = diagnosed(write(tmp_path, prefill=engine("p0", "RuntimeError: the moon is in the wrong house")), loaded)
    document = diagnosis.document(found)
    text = page.text(document)
    assert (document["verdict"], document["first"]) == ("clean", "")
    assert "Nothing known was found" in text
    assert "the moon is in the wrong house" in text
    assert any("decode" in line for line in document["collect_next"])
    assert any("router" in line for line in document["collect_next"])


@pytest.mark.parametrize("data", [b"", os.urandom(4096), b"\x00" * 10, b"\xff\xfe" * 999, b"server_args=ServerArgs(\n" * 9, b"[" * 5000])
def test_junk_is_survived(data: bytes, loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    (tmp_path / "prefill-0-rank0.log").write_bytes(data)
    found = diagnosed(tmp_path, loaded)
    assert ids(found) == []
    page.text(diagnosis.document(found))


def test_the_text_holds_no_control_characters(tmp_path: Path) -> None:
    path = write(tmp_path, prefill=engine("p0", "\x1b]0;title\x07 peer is lost \x9b31m"))
    text = page.text(diagnosis.document(diagnosed(path, small())))
    assert "peer is lost" in text
    assert all(character.isprintable() or character == "\n" for character in text)
