# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that ends a rank when another one of its instance is gone: on tables, and on real connections and processes."""

from __future__ import annotations

import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from ansible_collections.railyard.sglang.tests.unit.support.playbooks import ROOT

PROGRAM = ROOT / "roles/engine/files/peers.py"
PEERS = runpy.run_path(str(PROGRAM))
HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
NAMES = {"192.0.2.2": "rank 1 on p1", "192.0.2.3": "rank 2 on p2"}
ONE, TWO = ("192.0.2.1", 5000, "192.0.2.2", 40001), ("192.0.2.1", 5000, "192.0.2.3", 40002)
SECOND, JOINED = (*ONE[:3], 40009), ("192.0.2.2", 40001, "192.0.2.1", 5000)
STRANGER, HERE = ("192.0.2.1", 5000, "192.0.2.77", 40003), ("192.0.2.1", 5000, "192.0.2.1", 40004)


def line(here: str, there: str, state: str = "01") -> str:
    """Return a line of the kernel's table."""
    return f"   0: {here} {there} {state} 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000 20 4 30 10 -1\n"


@pytest.mark.skipif(sys.byteorder != "little", reason="the lines are those of a little endian kernel")
@pytest.mark.parametrize(
    ("text", "found"),
    [
        (line("010200C0:1388", "020200C0:9C41"), [ONE]),
        (line("020200C0:9C41", "010200C0:1388"), [JOINED]),
        (line("010200C0:1388", "020200C0:9C41", "08"), []),  # CLOSE_WAIT
        (line("010200C0:1389", "020200C0:9C41"), []),
        (line("0000000000000000FFFF0000010200C0:1388", "0000000000000000FFFF0000020200C0:9C41"), [ONE]),
        (
            line("B80D0120000000000000000001000000:1388", "B80D0120000000000000000002000000:9C41"),
            [("2001:db8::1", 5000, "2001:db8::2", 40001)],
        ),
        ("", []),
        ("   0: 010200C0\n", []),
    ],
)
def test_the_kernels_table(text: str, found: list[tuple[str, int, str, int]]) -> None:
    assert list(PEERS["connections"](HEADER + text, 5000, found[:1] != [JOINED])) == found


@pytest.mark.skipif(sys.byteorder != "little", reason="the lines are those of a little endian kernel")
def test_whose_port_it_is_counts() -> None:
    """A registry at the same port of another host is no store."""
    both = HEADER + line("010200C0:1388", "020200C0:9C41") + line("010200C0:9C42", "020200C0:1388")
    assert list(PEERS["connections"](both, 5000, True)) == [ONE]
    assert list(PEERS["connections"](both, 5000, False)) == [("192.0.2.1", 40002, "192.0.2.2", 5000)]


@pytest.mark.parametrize(
    ("looks", "gone"),
    [
        ([(0, [ONE, TWO]), (20, [ONE, TWO]), (22, [TWO]), (24, [TWO])], "rank 1 on p1"),
        ([(0, [ONE, TWO]), (20, [ONE, TWO]), (22, [ONE]), (24, [ONE])], "rank 2 on p2"),
        # One that joins and dies in the next seconds.
        ([(0, [ONE]), (2, [ONE]), (4, []), (6, [])], "rank 1 on p1"),
        # One look may miss what is there.
        ([(0, [ONE]), (20, [ONE]), (22, []), (24, [ONE]), (26, [])], ""),
        # What is seen once was no rank, however late the next look is.
        ([(0, [ONE]), (2, []), (4, [])], ""),
        ([(0, [ONE]), (9, []), (18, [])], ""),
        ([(0, [STRANGER]), (20, [STRANGER]), (22, []), (24, [])], ""),
        ([(0, [HERE]), (20, [HERE]), (22, []), (24, [])], "another process of this rank"),
        ([(0, []), (20, []), (22, [])], ""),
        # A rank has several connections, and each is its process's.
        ([(0, [ONE, SECOND]), (20, [ONE, SECOND]), (22, [ONE]), (24, [ONE])], "rank 1 on p1"),
    ],
)
def test_which_rank_is_gone(looks: list[tuple[float, list[tuple[str, int, str, int]]]], gone: str) -> None:
    watch = PEERS["Watch"](NAMES, True)
    assert [watch.look(found, now) for now, found in looks] == [""] * (len(looks) - 1) + [gone]


def test_of_those_that_join_no_connection_with_itself_counts() -> None:
    watch = PEERS["Watch"](NAMES, False)
    assert [watch.look(found, now) for now, found in ((0, [HERE]), (20, [HERE]), (22, []), (24, []))] == [""] * 4


def test_what_is_watched_is_said_once() -> None:
    watch = PEERS["Watch"](NAMES, True)
    found = [ONE, SECOND, STRANGER]
    said = []
    for now in (0, 2, 4):
        watch.look(found, now)
        said.append(watch.news())
    assert said == [[], said[1], []]
    assert sorted(said[1]) == ["does not watch 192.0.2.77, which is no known address of a rank", "watches rank 1 on p1"]


@pytest.fixture
def watched() -> Iterator[tuple[subprocess.Popen[bytes], socket.socket, Callable[[], str]]]:
    """Return a process that stands for the engine, its connection with a peer, and what reads the log of the watch."""
    with ExitStack() as stack:
        store = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = store.getsockname()[1]
        peer = stack.enter_context(socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0)))
        stack.enter_context(store.accept()[0])
        engine = stack.enter_context(subprocess.Popen(["sleep", "60"]))
        stack.callback(engine.kill)
        program = f"import runpy; g = runpy.run_path({str(PROGRAM)!r}); g['main'].__globals__.update(PAUSE=0.1, SETTLED=0.3);"
        program += f"g['main'](['serve', '{port}', '127.0.0.2=rank 1 on p1'])"
        words, env = [sys.executable, "-I", "-S", "-c", program], {"MAINPID": str(engine.pid)}
        watch = stack.enter_context(subprocess.Popen(words, env=env, stdout=subprocess.PIPE, text=True))
        assert watch.wait(20) == 0, "it goes to the background"
        assert watch.stdout is not None
        yield engine, peer, watch.stdout.read


def test_the_engine_ends_with_its_peer(watched: tuple[subprocess.Popen[bytes], socket.socket, Callable[[], str]]) -> None:
    engine, peer, log = watched
    time.sleep(2)
    assert engine.poll() is None
    peer.close()
    assert engine.wait(20) == -signal.SIGKILL
    first, last = log().splitlines()
    assert first == "peers.py watches rank 1 on p1"
    assert last.startswith("rank 1 on p1 is gone: ")


def test_an_engine_that_was_stopped_ends_too(watched: tuple[subprocess.Popen[bytes], socket.socket, Callable[[], str]]) -> None:
    engine, peer, _log = watched
    engine.send_signal(signal.SIGSTOP)
    time.sleep(2)
    peer.close()
    assert engine.wait(20) == -signal.SIGKILL
