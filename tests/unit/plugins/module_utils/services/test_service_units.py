# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a unit is doing and what has to be done to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.services import units

NAME = "sglang-prefill-0.service"
# systemctl show of systemd 252.
RUNNING = "MainPID=412\nNRestarts=0\nLoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\n"
ABSENT = "MainPID=0\nNRestarts=0\nLoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\n"
CRASHED = "MainPID=0\nNRestarts=7\nLoadState=loaded\nActiveState=activating\nSubState=auto-restart\nUnitFileState=enabled\n"
BROKEN = "LoadState=bad-setting\nActiveState=inactive\nSubState=dead\nUnitFileState=disabled\n"


def unit(active: str = "active", pid: int = 412, running: str = "aa", load: str = "loaded") -> units.Unit:
    return units.Unit(NAME, load, active, "", True, pid, 0, running)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (RUNNING, units.Unit(NAME, "loaded", "active", "running", True, 412, 0)),
        (ABSENT, units.Unit(NAME, "not-found", "inactive", "dead", False, 0, 0)),
        (CRASHED, units.Unit(NAME, "loaded", "activating", "auto-restart", True, 0, 7)),
        (BROKEN, units.Unit(NAME, "bad-setting", "inactive", "dead", False, 0, 0)),
    ],
)
def test_show(text: str, wanted: units.Unit) -> None:
    asked = []
    assert units.show(lambda words: (asked.append(words), (0, text, ""))[1], NAME) == wanted
    assert asked == [["systemctl", "show", "--property", "LoadState,ActiveState,SubState,UnitFileState,MainPID,NRestarts", NAME]]


def test_a_systemctl_that_fails_is_quoted() -> None:
    refused = "System has not been booted with systemd as init system (PID 1). Can't operate.\n"
    with pytest.raises(units.UnitError, match=r"systemctl show sglang-prefill-0\.service: System has not been booted"):
        units.show(lambda words: (1, "", refused), NAME)
    with pytest.raises(units.UnitError, match=r"systemctl start a b failed \(5\): Unit a not found"):
        units.systemctl(lambda words: (5, "", "Unit a not found.\n"), "start", "a", "b")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("A=1\nB=x=y\n", {"A": "1", "B": "x=y"}), ("A=\n\nnoise\n", {"A": ""}), ("", {})],
)
def test_parse_show(text: str, wanted: dict[str, str]) -> None:
    assert units.parse_show(text) == wanted


@pytest.mark.parametrize(
    ("state", "drifted", "action", "reason"),
    [
        (unit(), False, "none", ""),
        (unit(), True, "restart", "was changed on the host"),
        (unit(running="bb"), False, "restart", "it runs configuration bb, wanted is aa"),
        (unit(running=""), False, "restart", "it runs configuration unknown"),
        (unit("reloading", running="bb"), False, "restart", "bb"),
        (unit("inactive", 0, ""), False, "start", "it is inactive"),
        (unit("inactive", 0, ""), True, "start", "it is inactive"),
        (unit("failed", 0, ""), False, "start", "it is failed"),
        (unit("", 0, ""), False, "start", "it is not there"),
        (unit("inactive", 0, "", "not-found"), False, "start", "it is inactive"),
        # A stop that a killed controller has left behind must not be taken for a service that runs.
        (unit("deactivating", 412), False, "start", "it is stopping"),
        # systemd starts it by itself, with what is on disk then.
        (unit("activating", 0, ""), False, "none", ""),
        (unit("activating", 0, ""), True, "restart", "was changed on the host"),
    ],
)
def test_decide(state: units.Unit, drifted: bool, action: str, reason: str) -> None:
    found, why = units.decide(state, "aa", drifted)
    assert found == action
    assert reason in why
    assert bool(why) == (action != "none")


@pytest.mark.parametrize(
    ("active", "pid", "up"),
    [("active", 1, True), ("reloading", 1, True), ("active", 0, False), ("activating", 1, False), ("failed", 0, False)],
)
def test_up(active: str, pid: int, up: bool) -> None:
    assert unit(active, pid).up is up


def test_the_drop_in_records_the_identity_where_show_reads_it() -> None:
    text = units.drop_in(NAME, "0123456789abcdef")
    assert "RuntimeDirectory=railyard/sglang-prefill-0\n" in text
    assert "ExecStartPre=/bin/sh -c 'echo 0123456789abcdef > /run/railyard/sglang-prefill-0/config-id'\n" in text
    assert units.runtime_directory(NAME) == "railyard/sglang-prefill-0"


MARK = "# railyard.sglang: unit of cluster {}, role {}\n[Service]\nExecStart=/bin/true\n"


@pytest.mark.parametrize(
    ("cluster", "role", "planned", "found"),
    [
        ("lab", "engine", [], ["sglang-old-0.service", "sglang-prefill-0.service"]),
        ("lab", "engine", [NAME], ["sglang-old-0.service"]),
        ("lab", "router", [], ["sglang-router.service"]),
        ("lab", "router", ["sglang-router.service"], []),
        ("other", "engine", [], ["sglang-decode-0.service"]),
        ("la", "engine", [], []),
    ],
)
def test_stale(tmp_path: Path, cluster: str, role: str, planned: list[str], found: list[str]) -> None:
    texts: dict[str, Any] = {
        "sglang-prefill-0.service": MARK.format("lab", "engine"),
        "sglang-old-0.service": MARK.format("lab", "engine"),
        "sglang-router.service": MARK.format("lab", "router"),
        "sglang-decode-0.service": MARK.format("other", "engine"),
        "sglang-mine.service": "[Service]\nExecStart=/bin/true\n",
        "mention.service": "# not a railyard.sglang: unit of cluster lab, role engine\n",
        "sglang-x.timer": MARK.format("lab", "engine"),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "sglang-old-0.service.d").mkdir()
    (tmp_path / "dangling.service").symlink_to(tmp_path / "nowhere")
    assert units.stale(cluster, role, planned, str(tmp_path)) == found


def test_no_directory_no_stale_units(tmp_path: Path) -> None:
    assert units.stale("lab", "engine", [], str(tmp_path / "none")) == []
