# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster that is looked at now shows besides its lines: since when logs are whole, filters, and ways of the KV cache."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import catalogue, diagnosis, standing
from ansible_collections.railyard.sglang.tests.unit.support.doctorlogs import arguments, diagnosed, ids, stamped, write

READY = "The server is fired up and ready to roll!"
SERVED = 'INFO:     198.51.100.1:5000 - "POST /v1/chat/completions HTTP/1.1" 200 OK'
LOST = "Losing connection with prefill instance (bootstrap_addr: 203.0.113.10:8998), 1 requests affected"
FULL = "OSError: [Errno 28] No space left on device"
SIX = datetime.datetime(2026, 11, 20, 6, tzinfo=datetime.timezone.utc).timestamp()
EARLIER = "not in the time that was asked for, and requests were served after it"


@pytest.fixture(scope="module")
def loaded() -> catalogue.Catalogue:
    return catalogue.load()


def engine(name: str, /, *lines: str, **values: object) -> list[str]:
    return [stamped(number, text, name) for number, text in enumerate([arguments(**values), *lines])]


def decode(*lines: str, **values: object) -> list[str]:
    return engine("d0", *lines, **{"host": "203.0.113.20", "port": 30001, "disaggregation_mode": "decode", **values})


@pytest.mark.parametrize(
    ("begins", "after", "note"),
    [
        pytest.param(600, [(700, SERVED)], EARLIER, id="over"),
        pytest.param(None, [(700, SERVED)], "", id="all of it was asked for"),
        pytest.param(600, [(300, SERVED)], EARLIER, id="over before that time"),
        pytest.param(600, [(30, SERVED)], "", id="served before it alone"),
        pytest.param(600, [(650, FULL), (700, SERVED)], "", id="again in the time that was asked for"),
        pytest.param(600, [], "", id="nothing served"),
    ],
)
def test_what_was_before_the_time_that_was_asked_for(
    begins: float | None, after: list[tuple[float, str]], note: str, loaded: catalogue.Catalogue, tmp_path: Path
) -> None:
    path = write(tmp_path, decode=[*decode(READY), *(stamped(second, text, "d0") for second, text in [(60, FULL), *after])])
    (finding,) = diagnosis.diagnose(str(path), loaded, begins={} if begins is None else {"d0": SIX + begins}).findings
    assert (finding.id, finding.severity, finding.note) == ("L29", catalogue.NOTE if note else catalogue.BLOCKS, note)


def test_another_rank_that_serves_says_nothing_of_one_that_does_not(loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    path = write(tmp_path, decode=[*decode(READY), stamped(60, FULL, "d0")], other=[*decode(READY), stamped(700, SERVED, "d1")])
    found = diagnosis.diagnose(str(path), loaded, begins={"d0": SIX + 600, "d1": SIX + 600})
    assert [finding.severity for finding in found.findings if finding.id == "L29"] == [catalogue.BLOCKS]


@pytest.mark.parametrize("healed", [True, False])
def test_a_peer_must_have_served_since(healed: bool, loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    prefill = [*engine("p0", READY), *([stamped(700, SERVED, "p0")] if healed else [])]
    path = write(tmp_path, prefill=prefill, decode=[*decode(READY), stamped(60, LOST, "d0"), stamped(700, SERVED, "d0")])
    begins = {"d0": SIX + 600, "p0": SIX + 600}
    (finding,) = diagnosis.diagnose(str(path), loaded, begins=begins).findings
    assert (finding.id, finding.severity) == ("L23", catalogue.NOTE if healed else catalogue.BLOCKS)


def test_what_degrades_is_said_once_at_the_start(loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    warning = "NCCL INFO Using network Socket"
    lines = [*decode(warning, READY), stamped(700, SERVED, "d0")]
    path = write(tmp_path, decode=lines)
    whole = {finding.id: finding.severity for finding in diagnosis.diagnose(str(path), loaded).findings}
    late = {finding.id: finding.severity for finding in diagnosis.diagnose(str(path), loaded, begins={"d0": SIX + 600}).findings}
    assert "D34" in whole
    assert late == whole


@pytest.mark.parametrize(("begins", "severity"), [(600, catalogue.NOTE), (30, catalogue.DEGRADES)])
def test_what_only_happens_is_over_when_it_is_not_said_any_more(
    begins: float, severity: str, loaded: catalogue.Catalogue, tmp_path: Path
) -> None:
    scraped = "E1128 13:25:08.123456 1234 common.h:171] readString: too large length from socket: 8387229930220700999"
    path = write(tmp_path, decode=[*decode(READY), stamped(60, scraped, "d0"), stamped(700, SERVED, "d0")])
    (finding,) = diagnosis.diagnose(str(path), loaded, begins={"d0": SIX + begins}).findings
    assert (finding.id, finding.severity) == ("D38", severity)


# Of the lab: prefill with http_proxy set, SGLang 0.5.8.
PROXIED = (
    "Prefill instance failed to register to bootstrap server: HTTPConnectionPool(host='203.0.113.210', port=3128): Max retries exceeded "
    "with url: http://203.0.113.10:8998/route (Caused by ProxyError('Unable to connect to proxy', NewConnectionError("
    "\"HTTPConnection(host='203.0.113.210', port=3128): Failed to establish a new connection: [Errno 111] Connection refused\")))"
)


def test_a_proxy_is_no_second_network(loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    found = diagnosed(write(tmp_path, prefill=engine("p0", PROXIED, READY), decode=decode(READY)), loaded)
    assert ids(found) == ["L28", "L16"]
    assert {finding.id: (finding.groups["peer"], finding.groups["port"]) for finding in found.findings if finding.id == "L16"} == {
        "L16": ("203.0.113.10", "8998")
    }


def test_lines_that_a_signature_knows_are_not_told_as_unknown(loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    fetching = (
        "Error fetching prefill parallel info from bootstrap: HTTPConnectionPool(host='203.0.113.10', port=8998): Max retries exceeded"
    )
    lines = [*decode(READY), *(stamped(60 + number, fetching, "d0") for number in range(100)), stamped(700, SERVED, "d0")]
    path = write(tmp_path, prefill=[*engine("p0", READY), stamped(700, SERVED, "p0")], decode=lines)
    found = diagnosis.diagnose(str(path), loaded, begins={"d0": SIX + 600, "p0": SIX + 600})
    assert (found.verdict, found.errors) == ("clean", [])


P2P = "Transfer Engine RPC using P2P handshake, listening on {}:15233"


@pytest.mark.parametrize("hosts", [("198.51.100.10", "198.51.100.20"), ("0.0.0.0", "0.0.0.0"), ("203.0.113.10", "198.51.100.20")])
def test_networks_of_their_own_for_prefill_and_decode(hosts: tuple[str, str], loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    """The API in the management network of both, listening everywhere, or each role in a network with a route between them."""
    prefill, decoding = (
        engine("p0", P2P.format("203.0.113.10"), host=hosts[0]),
        decode(P2P.format("203.0.113.20" if hosts[0] != "203.0.113.10" else "198.51.100.20"), host=hosts[1]),
    )
    assert ids(diagnosed(write(tmp_path, prefill=prefill, decode=decoding), loaded)) == []


def test_a_way_of_its_own_degrades_where_requests_are_served(loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    lines = [*decode(P2P.format("198.51.100.20"), READY), stamped(60, SERVED, "d0")]
    found = diagnosed(write(tmp_path, prefill=engine("p0", P2P.format("203.0.113.10"), READY), decode=lines), loaded)
    assert [(finding.id, finding.severity) for finding in found.findings] == [("L56", catalogue.DEGRADES)]


CLOSED = {
    "rule": "preflight.firewall",
    "state": "error",
    "text": "tcp 15000-17000 on 203.0.113.20 is closed by chain in of table inet cause",
}


@pytest.mark.parametrize(
    ("served", "severity"),
    [([], catalogue.BLOCKS), ([60], catalogue.BLOCKS), ([60, 960], catalogue.DEGRADES)],
    ids=["never", "once", "still"],
)
def test_a_filter_leaves_no_line(served: list[float], severity: str, loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    lines = [stamped(second, SERVED, "d0") for second in served]
    path = write(tmp_path, prefill=[*engine("p0", READY), stamped(999, READY, "p0")], decode=[*decode(READY), *lines])
    checks = {
        "d0": [CLOSED, {**CLOSED, "text": "tcp 8998 too"}, CLOSED],
        "p0": [{**CLOSED, "state": "ok"}, {**CLOSED, "rule": "preflight.shm"}],
    }
    found = diagnosis.diagnose(str(path), loaded, standing=standing.filtered(checks))
    assert [(row.id, row.host, row.guilty_host, row.severity) for row in found.findings] == [("L57", "d0", "d0", severity)]
    assert found.findings[0].text("title").endswith(f"{CLOSED['text']}; tcp 8998 too")


APART = {
    "rule": "compare.clock",
    "severity": "error",
    "host": "d0",
    "text": "the clock is at least 4.900 s ahead of that of p0; it is +5.000 s within 0.050 s from the controller's, theirs +0.000 s",
}


def test_a_clock_that_is_off_degrades(loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    path = write(tmp_path, prefill=engine("p0", READY), decode=[*decode(READY), stamped(60, SERVED, "d0")])
    others = [{**APART, "severity": "waived", "host": "p0"}, {**APART, "rule": "compare.clock-free", "severity": "note", "host": ""}]
    found = diagnosis.diagnose(str(path), loaded, standing=standing.off([APART, *others]))
    assert [(row.id, row.host, row.guilty_host, row.severity) for row in found.findings] == [("L61", "d0", "d0", catalogue.DEGRADES)]
    assert found.findings[0].text("title") == "Clocks are off: that of d0 is at least 4.900 s ahead of that of p0"
    two = [APART, {**APART, "host": "p1", "text": "the clock is at least 2 s behind that of p0; more"}]
    found = diagnosis.diagnose(str(path), loaded, standing=standing.off(two))
    assert [row.text("title").partition(": ")[2] for row in found.findings] == [
        "that of d0 is at least 4.900 s ahead of that of p0; that of p1 is at least 2 s behind that of p0"
    ]
    # What the time service says of it follows from it.
    lines = [*decode(READY), stamped(61, "chronyd[700]: System clock wrong by 4.912345 seconds", "d0")]
    found = diagnosis.diagnose(str(write(tmp_path / "more", decode=lines)), loaded, standing=standing.off([APART]))
    assert [(row.id, row.parent) for row in found.findings] == [("L61", ""), ("L13", "L61")]


ROUTED_RACK = {
    "prefill": engine("p0", P2P.format("203.0.113.10")),
    "prefill_1": engine("p1", P2P.format("203.0.113.11"), host="203.0.113.11"),
    "decode": [*decode(P2P.format("203.0.113.20"), READY), stamped(60, SERVED, "d0")],
}


def test_a_rack_in_a_network_of_its_own_is_a_note(loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    other = engine("p2", P2P.format("198.51.100.12"), host="198.51.100.12")
    found = diagnosed(write(tmp_path / "own", **ROUTED_RACK, prefill_2=other), loaded)
    assert [(finding.id, finding.severity) for finding in found.findings] == [("L12", catalogue.NOTE)]
    other = engine("p2", P2P.format("198.51.100.12"), host="203.0.113.12")
    found = diagnosed(write(tmp_path / "apart", **ROUTED_RACK, prefill_2=other), loaded)
    assert [(finding.id, finding.severity) for finding in found.findings] == [("L12", catalogue.DEGRADES)]


def test_logs_of_two_clusters(loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    """The API of the second one is in the network of the first one's KV cache; no router says who belongs together."""
    logs = {
        "prefill": engine("p0", P2P.format("203.0.113.10")),
        "decode": decode(P2P.format("203.0.113.20")),
        "prefill_1": engine("p1", P2P.format("198.51.100.11"), host="203.0.113.11", dist_init_addr="203.0.113.11:5000"),
        "decode_1": engine("d1", P2P.format("198.51.100.21"), host="203.0.113.21", disaggregation_mode="decode"),
    }
    assert ids(diagnosed(write(tmp_path, **logs), loaded)) == []


def test_a_traceback_of_many_lines_in_an_export(loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    """Each of its lines is an entry of a dozen lines there, all of one second."""
    told = [READY, "Scheduler hit an exception: Traceback (most recent call last):"]
    told += [f'  File "/opt/model.py", line {number}, in load' for number in range(60)]
    told.append(
        "safetensors._safetensors_rust.SafetensorError: Error while deserializing header: incomplete metadata, file not fully covered"
    )
    fields = "".join(f"_FIELD_{number}=x\n" for number in range(9)) + "_HOSTNAME=d0\n_SYSTEMD_UNIT=sglang-decode-0.service\n"
    entries = [
        f"__CURSOR=s={number}\n__REALTIME_TIMESTAMP={int(SIX * 1e6)}\n{fields}MESSAGE={text}\n"
        for number, text in enumerate([arguments(disaggregation_mode="decode"), *told])
    ]
    (tmp_path / "d0.export").write_text("\n".join(entries), encoding="utf-8")
    found = diagnosed(tmp_path, loaded)
    above = {finding.id: finding.parent for finding in found.findings if finding.severity == catalogue.BLOCKS}
    assert above == {"L26": "", "L24": "L26"}
