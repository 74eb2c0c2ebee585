# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host's part with real processes: a shell program stands in for perftest, and nothing for systemd, which the labs have."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest import measure, running
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.measure import Host, events, judge_group, offsets
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.running import Ended
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.unit import hardening

MET = "echo ' remote address: LID 0000'"
RESULT = (
    f"{MET}; echo ' #bytes     #iterations    BW peak[Gb/sec]    BW average[Gb/sec]   MsgRate[Mpps]'; "
    "echo ' 65536      20               0.41               0.37   0.000704'"
)
ROUNDS = [{"seconds": 2, "connect": 2}, {"seconds": 2, "connect": 2}]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Return a host whose programs lie in a directory of the test, started without systemd."""
    monkeypatch.setattr(measure.units, "command", lambda _name, _given, words, _seconds, _environment: list(words))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return Host("test", hardening("[Service]\nLimitMEMLOCK=64K\n", exists=True), "")


def program(directory: Path, script: str) -> None:
    path = directory / "ib_write_bw"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def end(name: str = "m0", **change: Any) -> dict[str, Any]:
    return {
        "id": name, "round": 0, "role": "client", "kind": "write_bw", "device": "none0", "port": 1, "netdev": None, "gid_index": 1,
        "peer": "203.0.113.1", "tcp_port": 18515, "size": 65536, "iterations": 20, "seconds": 2, "queue_pairs": 1, **change,
    }


def test_figures(host: Host, tmp_path: Path) -> None:
    program(tmp_path, RESULT)
    (record,) = host.follow(ROUNDS, [end()], 30)
    assert (record["state"], record["gbps"], record["attempts"]) == ("ok", 0.37, 1)


def test_client_comes_again_until_its_server_is_there(host: Host, tmp_path: Path) -> None:
    refused = "{ echo \"Couldn't connect to h\"; exit 1; }"
    program(tmp_path, f"echo x >> {tmp_path}/tries; [ $(wc -l < {tmp_path}/tries) -ge 3 ] || {refused}; {RESULT}")
    (record,) = host.follow(ROUNDS, [end()], 30)
    assert (record["state"], record["attempts"]) == ("ok", 3)


def test_other_failures_are_not_repeated_and_memlock_is_told(host: Host, tmp_path: Path) -> None:
    program(tmp_path, "echo \"Couldn't allocate MR\"; exit 1")
    (record,) = host.follow(ROUNDS, [end()], 30)
    assert (record["code"], record["attempts"], record["limit"]) == ("memory", 1, "64K")


@pytest.mark.parametrize(("script", "code"), [("exec sleep 60", "no-peer"), (f"{MET}; exec sleep 60", "no-data"), ("exit 3", "unknown")])
def test_nothing_takes_longer_than_it_may(host: Host, tmp_path: Path, script: str, code: str) -> None:
    program(tmp_path, f"echo $$ > {tmp_path}/pid; {script}")
    began = time.monotonic()
    (record,) = host.follow([{"seconds": 1, "connect": 1}], [end(role="server")], 30)
    assert (record["state"], record["code"]) == ("failed", code)
    assert time.monotonic() - began < 15
    pid = int((tmp_path / "pid").read_text())
    assert not Path(f"/proc/{pid}").exists(), "no process is left"


def test_rounds_follow_each_other_and_ports_run_side_by_side(host: Host, tmp_path: Path) -> None:
    program(tmp_path, f"date +%s.%N >> {tmp_path}/times; sleep 1; date +%s.%N >> {tmp_path}/times; {RESULT}")
    tests = [end("m0"), end("m1", device="none1"), end("m2", round=1)]
    records = host.follow(ROUNDS, tests, 30)
    assert {record["id"]: record["state"] for record in records} == {"m0": "ok", "m1": "ok", "m2": "ok"}
    # Each writes a line when it begins and one when it ends.
    times = list(map(float, (tmp_path / "times").read_text().split()))
    assert times[1] - times[0] < 1, "the second port begins before the first has ended"
    assert times[4] - max(times[:2]) >= 1, "the next round begins after both"


def test_what_does_not_fit_is_not_begun(host: Host, tmp_path: Path) -> None:
    program(tmp_path, f"sleep 1.2; {RESULT}")
    records = host.follow(ROUNDS, [end("m0"), end("m1", round=1)], 1)
    assert [(record["id"], record["state"], record["code"]) for record in records][1] == ("m1", "not measured", "time")


def test_missing_programs_are_told(host: Host) -> None:
    host.which = lambda _name: None
    (record,) = host.follow(ROUNDS, [end()], 30)
    assert (record["state"], record["code"]) == ("not measured", "no-perftest")


def test_rounds_begin_no_later_than_all_before_can_take() -> None:
    assert offsets([{"seconds": 15, "connect": 10}, {"seconds": 120, "connect": 60}]) == [0, 28, 211]


def test_rendezvous_port_that_is_taken(host: Host) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        number = taken.getsockname()[1]
        code, text = measure.holder("127.0.0.1", number) or ("", "")
        assert (code, text.endswith("in use")) == ("rendezvous-port", True)
        order = {"address": "127.0.0.1", "port": number, "ranks": [{"rank": 0, "gpu": 0}]}
        test = {"id": "a0", "round": 0, "role": "member", "kind": "allreduce", "order": order, "python": "sh", "environment": {}}
        (record,) = host.follow(ROUNDS, [test], 30)
    assert (record["state"], record["code"]) == ("failed", "rendezvous-port")
    assert measure.holder("127.0.0.1", number) is None


def test_rendezvous_address_that_is_not_the_hosts(host: Host) -> None:
    order = {"address": "203.0.113.77", "port": 18700, "ranks": [{"rank": 0, "gpu": 0}]}
    test = {"id": "a0", "round": 0, "role": "member", "kind": "allreduce", "order": order, "python": "sh", "environment": {}}
    (record,) = host.follow(ROUNDS, [test], 30)
    assert (record["state"], record["code"]) == ("failed", "no-address")
    assert record["said"][0].startswith("203.0.113.77 port 18700: ")


def test_records_of_all_reduces() -> None:
    row = '{"event": "row", "rank": 0, "bytes": 4, "seconds": 0.1, "busbw_gbps": 1.0, "right": true}'
    assert judge_group(Ended(0, f"{row}\n", 1.0, "exit"))["state"] == "ok"
    wrong = judge_group(Ended(0, row.replace("true", "false"), 1.0, "exit"))
    assert (wrong["state"], wrong["code"]) == ("failed", "wrong-sum")
    broken = judge_group(Ended(1, (
        f'{row}\nnoise {{\n{{"event": "silent", "rank": 0, "silent": 3}}\n'
        '{"event": "failed", "rank": 0, "code": "reduce", "missing": [1], "why": "Connection closed by peer"}\n{"cut'
    ), 1.0, "exit"))
    assert (broken["code"], broken["missing"], broken["said"]) == ("reduce", [1, 3], ["Connection closed by peer"])
    assert judge_group(Ended(None, "", 1.0, "no-peer"))["code"] == "unknown"
    assert events('{"a": 1}\n[1]\n{"b"') == [{"a": 1}]


def test_output_is_bounded(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "OUTPUT_LIMIT", 1000)
    program(tmp_path, "yes x | head -c 200000; exit 1")
    (record,) = host.follow(ROUNDS, [end()], 30)
    assert record["state"] == "failed"
    assert len("".join(record["said"])) < 1000
