# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host's part of a distribution: the source, which keeps the board, or a receiver, which passes on what it has."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import IO, Any, Callable, Dict, Iterator, List, Optional, Sequence, cast

from ansible_collections.railyard.sglang.plugins.module_utils.model import board
from ansible_collections.railyard.sglang.plugins.module_utils.model.errors import ModelError

PEER_PORT_FIX = "open model_fanout_port and the port above it on the fabric addresses of the hosts (docs/models.md)"
POLL = 0.5
RECONNECT = 3.0


@dataclass
class Plan:
    """What all hosts of a distribution know.

    :ivar addresses: fabric address of every host by name, the source first.
    :ivar port: TCP port of the board; the pieces go over the one above.
    :ivar limit: bytes per second that a host sends at most, and receives at most; 0 for no limit.
    :ivar stall: seconds without a new byte, or without a word of the source, after which a receiver gives up; and those that the source
        waits for a receiver that has not come yet.
    :ivar seconds: after which everybody gives up.
    """

    addresses: Dict[str, str]
    token: str
    port: int
    torrent: bytes = b""
    limit: int = 0
    stall: float = 300.0
    seconds: float = 86400.0
    star: bool = False

    @property
    def source(self) -> str:
        """Name of the source."""
        return next(iter(self.addresses))

    def board_for(self, host: str) -> board.Client:
        """Return how a host speaks with the board."""
        return board.Client(self.addresses[self.source], self.port, self.token, host, self.addresses[host])


class Agent:
    """The process that moves the pieces; it ends with this object, and with this process in any case."""

    def __init__(self, command: Sequence[str], plan: Plan, host: str, directory: str, whole: bool) -> None:
        self.last: Dict[str, Any] = {}
        self._errors: List[str] = []
        self._process = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "LC_ALL": "C.UTF-8", "PYTHONNOUSERSITE": "1"},
        )
        others = [address for name, address in plan.addresses.items() if name != host]
        self._send({
            "address": plan.addresses[host], "port": plan.port + 1, "peers": others, "limit": plan.limit, "directory": directory,
            "torrent": base64.b64encode(plan.torrent).decode(), "whole": whole,
        })
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._read, self._read_errors)]
        for thread in self._threads:
            thread.start()

    def _send(self, row: Dict[str, Any]) -> None:
        pipe = cast(IO[str], self._process.stdin)
        try:
            pipe.write(json.dumps(row) + "\n")
            pipe.flush()
        except OSError:
            # It has ended: the next look says so, with its reason.
            self._errors.append("its input was closed")

    def _read(self) -> None:
        for line in cast(IO[str], self._process.stdout):
            self.last = json.loads(line)

    def _read_errors(self) -> None:
        self._errors += cast(IO[str], self._process.stderr).read().splitlines()

    def connect(self, address: str, port: int) -> None:
        """Connect to a host."""
        self._send({"connect": [address, port]})

    def look(self) -> Dict[str, Any]:
        """Return the latest state; empty before the first. Raises ModelError if the process has ended or met an error."""
        if self._process.poll() is not None:
            self._threads[1].join(5)
            said = self._errors[-1] if self._errors else f"status {self._process.returncode}"
            packages = "install python3-libtorrent (Debian, Ubuntu) or rb_libtorrent-python3 (EPEL)"
            fix = packages if "libtorrent" in said else "see its message"
            raise ModelError("the process that moves the pieces", f"ended: {said}", fix)
        if self.last.get("error"):
            raise ModelError("libtorrent", str(self.last["error"]), "look at the disk of the model on this host")
        return self.last

    def __enter__(self) -> Agent:
        """Return the running process."""
        return self

    def __exit__(self, *_error: object) -> None:
        """End the process."""
        try:
            cast(IO[str], self._process.stdin).close()
            self._process.wait(15)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()


def send(
    plan: Plan, host: str, directory: str, command: Sequence[str], progress: Callable[[Dict[str, Any]], None],
    *, make: Optional[Callable[[], bytes]] = None,
) -> Dict[str, Any]:
    """Be the source until every host has the model or is lost; return the state of every host and the bytes that were sent.

    :param directory: the one in which the model's directory lies, named as the torrent names it.
    :param make: what makes the torrent, unless the plan has one. Receivers know meanwhile that the source is at work.
    Raises ModelError.
    """
    chain = board.Chain(list(plan.addresses), plan.star, come=plan.stall)
    until = time.monotonic() + plan.seconds
    address = plan.addresses[host]
    try:
        served = board.Board(chain, plan.addresses, plan.token, bind=(address, plan.port))
    except OSError as error:
        problem = f"cannot be listened on: {error.strerror}"
        raise ModelError(f"{address}:{plan.port}", problem, "set model_fanout_port to a free one") from error
    with served:
        if make:
            plan.torrent = make()
        with Agent(command, plan, host, directory, whole=True) as agent:
            chain.begin()
            served.torrent = plan.torrent
            while chain.missing() and time.monotonic() < until:
                time.sleep(POLL)
                progress({**agent.look(), "hosts": chain.states()})
            last = agent.look()
            # The others ask once more, and are told that it is over.
            time.sleep(4 * POLL)
    return {"hosts": chain.states(), "sent": last.get("sent", 0), "late": chain.late()}


@dataclass
class Receiver:
    """A receiver's part.

    :ivar directory: the one in which the model's directory is made.
    :ivar check: reads what was received and returns what is wrong with it.
    """

    plan: Plan
    host: str
    directory: str
    command: Sequence[str]
    check: Callable[[], List[str]]
    progress: Callable[[Dict[str, Any]], None]

    @contextlib.contextmanager
    def preparing(self) -> Iterator[None]:
        """Tell the board that this host is on its way, as long as it reads what it has; and that it failed, if it does."""
        ended = threading.Event()

        def tell() -> None:
            while not ended.is_set():
                self._report("preparing", 0)
                ended.wait(POLL)

        thread = threading.Thread(target=tell, daemon=True)
        thread.start()
        failed = True
        try:
            yield
            failed = False
        finally:
            ended.set()
            thread.join()
            if failed:
                self._report("failed", 0)

    def meet(self) -> None:
        """Wait for the source, which reads the whole model first, and take its torrent. Raises ModelError."""
        heard = time.monotonic()
        until, subject = heard + self.plan.seconds, f"the board of {self.plan.source}"
        while not self.plan.torrent:
            try:
                self.plan.torrent = self.plan.board_for(self.host).torrent()
                heard = time.monotonic()
            except board.RefusedError as error:
                problem = f"answers {error}: this host is not the one at its address that it expects"
                fix = "check sglang_fabric_address of the hosts: no NAT lies between them"
                raise ModelError(subject, problem, fix) from error
            except OSError as error:
                silent = time.monotonic() - heard
                if silent > self.plan.stall:
                    fix = f"{PEER_PORT_FIX}, and see on {self.plan.source} whether it is at work"
                    raise ModelError(subject, f"no answer for {silent:.0f} s: {error}", fix) from error
            if not self.plan.torrent:
                if time.monotonic() > until:
                    problem = f"still reads the model after {self.plan.seconds:.0f} s"
                    raise ModelError(subject, problem, "raise model_seconds, or look at the source's disk")
                self.progress({"state": "waiting", "from": self.plan.source})
                time.sleep(POLL)

    def run(self) -> Dict[str, Any]:
        """Receive, verify, and pass on until all have the model; return the last state. Raises ModelError."""
        try:
            with Agent(self.command, self.plan, self.host, self.directory, whole=False) as agent:
                return self._follow(agent)
        except BaseException:
            # Nobody need wait until it counts as lost.
            self._report("failed", 0)
            raise

    def _report(self, state: str, done: int) -> Optional[Dict[str, Any]]:
        try:
            return self.plan.board_for(self.host).report(state, done)
        except (OSError, ValueError, board.RefusedError):
            return None

    def _follow(self, agent: Agent) -> Dict[str, Any]:
        began = moved = heard = time.monotonic()
        state, done, asked, found = "receiving", 0, 0.0, []  # type: str, int, float, List[str]
        checker: Optional[threading.Thread] = None
        while True:
            row, now = agent.look(), time.monotonic()
            if row.get("done", 0) != done or row.get("checking"):
                done, moved = row["done"], now
            if row.get("whole") and checker is None:
                state, checker = "checking", threading.Thread(target=lambda: found.extend(self.check()), daemon=True)
                checker.start()
            if state == "checking" and checker and not checker.is_alive():
                state = "failed" if found else "whole"
            answer = self._report(state, done)
            heard = now if answer else heard
            if found:
                raise ModelError(f"the model received on {self.host}", "; ".join(found), "verify the source's model with verify: full")
            if state == "whole" and (answer["finished"] if answer else now - heard > 10):
                return {**row, "seconds": now - began}
            if state == "receiving" and answer and answer["address"] and not row.get("checking") and now - asked > RECONNECT:
                agent.connect(answer["address"], self.plan.port + 1)
                asked = now
            self.progress({**row, "state": state, "from": (answer or {}).get("from")})
            if state == "receiving" and (now - moved > self.plan.stall or now - began > self.plan.seconds):
                before = (answer or {}).get("from") or f"the board of {self.plan.source}, which does not answer"
                problem = f"no new byte for {now - moved:.0f} s; it receives from {before}"
                raise ModelError(f"the model on {self.host}", problem, PEER_PORT_FIX)
            time.sleep(POLL)
