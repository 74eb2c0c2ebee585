# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a look at a rank asks of its engine, and when."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.services import units
from ansible_collections.railyard.sglang.plugins.modules import rank_state
from ansible_collections.railyard.sglang.tests.unit.support.modules import run


class Engine(ThreadingHTTPServer):
    """Answers /health with a status of its own, and everything else with 500, and keeps what it was asked."""

    health = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        engine = cast(Engine, self.server)
        engine.asked.append(self.path.partition("?")[0])
        self.send_response(engine.health if self.path == "/health" else 500)
        self.end_headers()

    def log_message(self, *_words: Any, **_named: Any) -> None:
        """Say nothing."""


@pytest.fixture(name="engine")
def run_engine() -> Iterator[Engine]:
    with Engine() as engine:
        thread = threading.Thread(target=engine.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield engine
        engine.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("state", "asked", "said"),
    [
        (("active", 200), ["/health", "/route"], (500, "")),
        (("active", 503), ["/health", "/route"], (500, "")),
        (("active", 0), [], (0, "not asked")),
        (("activating", 200), [], (0, "not asked")),
    ],
)
def test_the_bootstrap_server_is_asked_when_the_instance_answers(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, state: tuple[str, int], asked: list[str], said: tuple[int, str],
) -> None:
    """Before that it would write a traceback into the engine's log for each question."""
    active, health = state
    engine.health = health
    unit = units.Unit("sglang-prefill-0.service", "loaded", active, "running", True, 1, 0)
    monkeypatch.setattr(units, "show", lambda _run, _name: unit)
    registration = {"url": engine.url, "address": "192.0.2.10", "engine_ranks": [{"engine_rank": 0, "dp_group": 0, "pp_rank": 0}]}
    rank = {
        "unit": unit.name, "python": "/nowhere/python", "registration": registration,
        "health_url": f"{engine.url if health else 'http://127.0.0.1:1'}/health",
    }  # fmt: skip
    seen = rank_state.observe(cast(AnsibleModule, type("Module", (), {"run_command": None})), rank)
    assert engine.asked == asked
    assert (seen.registrations["0"].status, seen.registrations["0"].error) == said


@pytest.mark.parametrize(
    ("restarts", "ended"),
    [
        ([2, 3, 3], ["the last 200 lines of sglang-decode-0.service"]),
        ([0, 1, 1], ["the last 200 lines of sglang-decode-0.service"]),
        ([2, 2, 2], []),
    ],
)
def test_a_restart_is_a_change_and_brings_the_lines_of_the_end(
    restarts: list[int], ended: list[str], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.health = 503
    counts = iter(restarts)
    monkeypatch.setattr(
        units, "show", lambda _run, name: units.Unit(name, "loaded", "active", "running", True, 1, next(counts, restarts[-1]))
    )
    monkeypatch.setattr(rank_state, "journal", lambda _module, unit, lines: [f"the last {lines} lines of {unit}"])
    rank = {
        "unit": "sglang-decode-0.service", "python": sys.executable, "registration": None, "health_url": f"{engine.url}/health",
        "instance": "decode-0", "rank": 0, "host": "d0",
    }  # fmt: skip
    began = time.monotonic()
    result = run(rank_state.main, {"ranks": [rank], "known": ["loading"], "restarts": [2], "timeout": 4})
    (row,) = result["ranks"]
    assert (row["state"], row["restarts"], row["ended"]) == ("loading", restarts[-1], ended)
    assert result["log"] == ["the last 25 lines of sglang-decode-0.service"]
    assert (time.monotonic() - began < 3) == bool(ended)
