# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any, Sequence

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.qmp import execute, set_link

GREETING = {"QMP": {"version": {}, "capabilities": []}}


class Monitor:
    """A socket that greets and then answers each line with the next of the given messages."""

    def __init__(self, path: Path, answers: Sequence[list[dict[str, Any]]]) -> None:
        self.answers = answers
        self.asked: list[dict[str, Any]] = []
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(str(path))
        self.server.listen(1)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        connection, _address = self.server.accept()
        with connection, connection.makefile("rwb") as stream:
            stream.write(json.dumps(GREETING).encode() + b"\n")
            stream.flush()
            for messages in self.answers:
                line = stream.readline()
                if not line:
                    return
                self.asked.append(json.loads(line))
                stream.write(b"".join(json.dumps(each).encode() + b"\n" for each in messages))
                stream.flush()


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("q") / "q"


EVENT = {"event": "STOP", "timestamp": {}}


def test_answer_is_told_from_events(place: Path) -> None:
    monitor = Monitor(place, [[{"return": {}}], [EVENT, EVENT, {"return": {"status": "running"}}]])
    assert execute(place, "query-status") == {"status": "running"}
    assert [each["execute"] for each in monitor.asked] == ["qmp_capabilities", "query-status"]


def test_link_of_a_rail(place: Path) -> None:
    monitor = Monitor(place, [[{"return": {}}], [{"return": {}}]])
    set_link(place, 3, up=False)
    monitor.thread.join(5)
    assert monitor.asked[1] == {"execute": "set_link", "arguments": {"name": "card3", "up": False}}


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        (
            [[{"return": {}}], [{"error": {"class": "DeviceNotFound", "desc": "Device 'card9' not found"}}]],
            "refused set_link: Device 'card9' not found",
        ),
        ([[{"return": {}}], []], "Cannot run set_link"),
    ],
)
def test_failures_are_told(answers: list[list[dict[str, Any]]], text: str, place: Path) -> None:
    Monitor(place, answers)
    with pytest.raises(LabError, match=text):
        execute(place, "set_link", {"name": "card9", "up": False}, seconds=2)


def test_nothing_listens(place: Path) -> None:
    with pytest.raises(LabError, match="Cannot run query-status"):
        execute(place, "query-status")
