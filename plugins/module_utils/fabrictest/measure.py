# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host's part of a schedule: round after round, each port's test in a thread of its own, nothing longer than it may take."""

from __future__ import annotations

import errno
import json
import shutil
import socket
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest import counters, perftest
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest import unit as units
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.running import Ended, Process
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root

# From a deadline to the last process gone.
CLEAR_SECONDS = 3
AGAIN_SECONDS = 0.5
MEET_SPARE = 5
# A rank that fails lingers for eight seconds.
RUN_SPARE = 15
UNIT = "railyard-fabric"

Record = Dict[str, Any]


def offsets(rounds: List[Dict[str, Any]]) -> List[int]:
    """Return after how many seconds each round begins at the latest, and the end of all."""
    found = [0]
    for row in rounds:
        found.append(found[-1] + row["connect"] + row["seconds"] + CLEAR_SECONDS)
    return found


def events(text: str) -> List[Record]:
    """Return the JSON objects among the lines of an output."""
    found = []
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
    return [row for row in found if isinstance(row, dict)]


def judge_pair(test: Record, ended: Ended) -> Record:
    """Return what one end of a perftest came to."""
    found = perftest.figures(test["kind"], ended.text)
    if ended.rc == 0 and found:
        return {"state": "ok", "code": "", "said": [], **found}
    code = perftest.failure(ended.text)
    if not code:
        code = {"no-peer": "no-peer", "overran": "no-data"}.get(ended.why, "unknown")
        if ended.why == "exit" and perftest.MET in ended.text:
            code = "no-data"
    return {"state": "failed", "code": code, "said": perftest.tail(ended.text)}


def judge_group(ended: Ended) -> Record:
    """Return what this host's ranks of an all-reduce came to."""
    rows = events(ended.text)
    failed = [row for row in rows if row.get("event") == "failed"]
    silent = sorted({row["silent"] for row in rows if row.get("event") == "silent"})
    reduced = [row for row in rows if row.get("event") == "row"]
    wrong = [row["bytes"] for row in reduced if not row["right"]]
    if ended.rc == 0 and reduced and not failed and not wrong:
        return {"state": "ok", "code": "", "said": [], "rows": reduced}
    code = "wrong-sum" if wrong else failed[0]["code"] if failed else perftest.failure(ended.text) or "unknown"
    missing = sorted({rank for row in failed for rank in row["missing"]} | set(silent))
    said = [row["why"] for row in failed] or perftest.tail(ended.text)
    return {"state": "failed", "code": code, "said": said[:6], "rows": reduced, "missing": missing}


class Host:
    """Measures on this host."""

    def __init__(self, run: str, hardening: units.Hardening, program: str) -> None:
        self.run = run
        self.hardening = hardening
        self.program = program
        self.records: List[Record] = []
        self.lock = threading.Lock()
        self.which: Callable[[str], Optional[str]] = shutil.which

    def follow(self, rounds: List[Record], tests: List[Record], limit: float) -> List[Record]:
        """Run the tests and return a record of each.

        :param limit: seconds after which nothing more is begun, and what runs is ended.
        """
        begun = time.monotonic()
        end = begun + limit
        latest = offsets(rounds)
        for number, row in enumerate(rounds):
            own = [test for test in tests if test["round"] == number]
            if own and time.monotonic() >= end:
                self.records += [self._left(test, "time") for test in own]
                continue
            meet = min(begun + latest[number] + row["connect"], end)
            longest = min(row["seconds"], end - meet + row["connect"])
            threads = [threading.Thread(target=self._guarded, args=(test, meet, longest)) for test in own]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        return self.records

    def _left(self, test: Record, code: str) -> Record:
        return {"id": test["id"], "role": test["role"], "state": "not measured", "code": code, "said": []}

    def _guarded(self, test: Record, meet: float, seconds: float) -> None:
        try:
            record = self._reduce(test, meet, seconds) if test["kind"] == "allreduce" else self._pair(test, meet, seconds)
        except (OSError, ValueError) as error:
            record = {"state": "failed", "code": "unit", "said": [str(error)]}
        with self.lock:
            self.records.append({"id": test["id"], "role": test["role"], **record})

    def _process(self, test: Record, words: List[str], meet: float, seconds: float, turn: int) -> Process:
        name = f"{UNIT}-{self.run}-{test['id']}-{test['role']}-{turn}"
        most = int(max(1.0, meet - time.monotonic()) + seconds) + CLEAR_SECONDS + 2
        return Process(units.command(name, self.hardening, words, most, test.get("environment") or {}), name + ".service")

    def _pair(self, test: Record, meet: float, seconds: float) -> Record:
        program = self.which("ib_" + test["kind"])
        if program is None:
            return {"state": "not measured", "code": "no-perftest", "said": []}
        root, place = Root("/"), (test["device"], test["port"], test.get("netdev"))
        # Without a terminal perftest holds its output back, and with it how far it came.
        lines = self.which("stdbuf")
        words = [*([lines, "-oL", "-eL"] if lines else []), *perftest.command(test, program)]
        before, began, turn = counters.read(root, *place), time.monotonic(), 0
        while True:
            turn += 1
            process = self._process(test, words, meet, seconds, turn)
            ended = process.follow(meet, seconds, lambda text: perftest.MET in text)
            record = judge_pair(test, ended)
            again = test["role"] == "client" and record["code"] == "connect" and time.monotonic() + AGAIN_SECONDS < meet
            if not again:
                break
            time.sleep(AGAIN_SECONDS)
        delta = counters.moved(before, counters.read(root, *place))
        sender = test["role"] == ("server" if test["kind"] == "read_bw" else "client")
        sent = record.get("bytes", 0) if sender else 0
        if record["code"] == "memory":
            record["limit"] = self.hardening.value("LimitMEMLOCK")
        return {
            **record, "seconds": round(time.monotonic() - began, 2), "attempts": turn, "errors": counters.errors(delta),
            "carried": counters.carried(delta, before, sent) if sender else None,
        }

    def _reduce(self, test: Record, meet: float, seconds: float) -> Record:
        python = self.which(test["python"])
        if python is None:
            return {"state": "not measured", "code": "no-stack", "said": [test["python"]]}
        order = dict(test["order"])
        taken = holder(order["address"], order["port"]) if any(row["rank"] == 0 for row in order["ranks"]) else None
        if taken:
            return {"state": "failed", "code": taken[0], "said": [taken[1]]}
        # The ranks give up before they are ended, so that they can say who is missing.
        order["meet_seconds"] = int(max(5.0, meet - time.monotonic() - MEET_SPARE))
        order["run_seconds"] = int(max(5.0, seconds - RUN_SPARE))
        began = time.monotonic()
        process = self._process(test, [python, "-c", self.program, json.dumps(order)], meet, seconds, 1)
        ended = process.follow(meet, seconds, lambda text: '"met"' in text)
        return {**judge_group(ended), "seconds": round(time.monotonic() - began, 2)}


def holder(address: str, port: int) -> Optional[Tuple[str, str]]:
    """Return code and text of why a port cannot be listened on, or None where it is free."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError as error:
            code = "no-address" if error.errno == errno.EADDRNOTAVAIL else "rendezvous-port"
            return code, f"{address} port {port}: {error.strerror}"
    return None
