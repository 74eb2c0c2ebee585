# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's transfer of bytes: what it does where an engine does not start."""

from __future__ import annotations

import importlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

LAB = Path(__file__).resolve().parents[1] / "lab"
STILL = {"devices": {"mlx5_0": {"sent": 0, "received": 0}}, "tcp": {"sent": 0, "received": 0}}
RANKS = {host: {"host": host, "argv": ["--disaggregation-ib-device", "mlx5_0"], "arguments": {}} for host in ("p0", "d0")}
READY = """echo '{"ready": true}'; read -r peer; echo '{"result": -1, "seconds": 1.0, "digests": ["a"]}'"""
PLACE = """echo '{"session": "s"}'; cat > /dev/null; echo '{"digests": ["b"]}'"""
BROKEN = """echo '{"error": "the transfer engine did not start: -1"}'"""


def moved(monkeypatch: pytest.MonkeyPatch, directory: Path, receive: str, send: str) -> tuple[Any, int]:
    """Return what a transfer of two shell scripts came to, and how often the test was called before it."""
    monkeypatch.syspath_prepend(str(LAB))
    kvkit = importlib.import_module("kvkit")
    transfers = kvkit.Transfers(SimpleNamespace(scratch=directory))

    @contextmanager
    def running(role: str, *_more: Any) -> Iterator[subprocess.Popen[str]]:
        (directory / f"{role}.log").write_text("", encoding="utf-8")
        words = ["sh", "-c", {"receive": receive, "send": send}[role]]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    monkeypatch.setattr(transfers, "running", running)
    monkeypatch.setattr(transfers, "counters", lambda _host: STILL)
    called: list[int] = []
    return transfers.move(RANKS, before_sending=lambda: called.append(1)), len(called)


def test_settings_of_the_unit_are_those_that_any_program_lives_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(LAB))
    kvkit = importlib.import_module("kvkit")

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)

    rank = {"instance": "p", "rank": 0, "nodes": 2, "pool": "p", "environment_file": "/e", "python": "/p", "argv": ["-m", "x"]}
    rank |= {"meeting": {"port": 1, "peers": []}, "absence": {"seconds": 12, "port": 2, "bootstrap_port": 3}, "directory": "/d"}
    words = kvkit.Transfers(SimpleNamespace(scratch=tmp_path, command=command)).unit_settings(rank)
    settings = words[1::2]
    assert set(words[::2]) == {"-p"}
    assert {"User=sglang", "LimitMEMLOCK=infinity", "ProtectSystem=strict"} <= set(settings)
    assert [line for line in settings if line.startswith(("Exec", "Restart", "Runtime", "EnvironmentFile"))] == []


def test_result_of_the_transfer_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found, called = moved(monkeypatch, tmp_path, PLACE, READY)
    assert (found.sent["result"], found.whole, called) == (-1, False, 1)
    assert found.received == {"digests": ["b"]}


@pytest.mark.parametrize(
    ("receive", "send", "error"),
    [
        (PLACE, BROKEN, "the transfer engine did not start: -1"),
        (BROKEN, READY, "the receiver: the transfer engine did not start: -1"),
        ("exit 1", READY, "the receiver: nothing was said"),
        (PLACE, "exit 1", "nothing was said"),
    ],
)
def test_engine_that_does_not_start_is_told_and_nothing_is_done_before_sending(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, receive: str, send: str, error: str,
) -> None:
    found, called = moved(monkeypatch, tmp_path, receive, send)
    assert (found.sent, found.received, called) == ({"error": error}, None, 0)
