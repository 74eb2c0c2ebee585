# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a unit is doing and what has to be done to it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.services import filesets, units
from ansible_collections.railyard.sglang.plugins.module_utils.services.filesets import File
from ansible_collections.railyard.sglang.tests.unit.support.systemd import commands, needs_manager

NAME = "sglang-prefill-0.service"
# systemctl show of systemd 252.
RUNNING = "NeedDaemonReload=no\nMainPID=412\nNRestarts=0\nLoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\n"
ABSENT = "MainPID=0\nNRestarts=0\nLoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\n"
CRASHED = "MainPID=0\nNRestarts=7\nLoadState=loaded\nActiveState=activating\nSubState=auto-restart\nUnitFileState=enabled\n"
BROKEN = "NeedDaemonReload=yes\nLoadState=bad-setting\nActiveState=inactive\nSubState=dead\nUnitFileState=disabled\n"


def unit(active: str = "active", pid: int = 412, running: str = "aa", load: str = "loaded") -> units.Unit:
    return units.Unit(NAME, load, active, "", True, pid, 0, running_id=running)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (RUNNING, units.Unit(NAME, "loaded", "active", "running", True, 412, 0)),
        (ABSENT, units.Unit(NAME, "not-found", "inactive", "dead", False, 0, 0)),
        (CRASHED, units.Unit(NAME, "loaded", "activating", "auto-restart", True, 0, 7)),
        (BROKEN, units.Unit(NAME, "bad-setting", "inactive", "dead", False, 0, 0, stale=True)),
    ],
)
def test_show(text: str, wanted: units.Unit) -> None:
    asked = []
    assert units.show(lambda words: (asked.append(words), (0, text, ""))[1], NAME) == wanted
    assert asked == [
        ["systemctl", "show", "--property", "LoadState,ActiveState,SubState,UnitFileState,MainPID,NRestarts,NeedDaemonReload", NAME]
    ]


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
    ("state", "changed", "action", "reason"),
    [
        (unit(), False, "none", ""),
        # What runs is asked of the unit's own record, not of the files.
        (unit(), True, "none", ""),
        (unit(running="bb"), False, "restart", "it runs configuration bb, wanted is aa"),
        (unit(running=""), False, "restart", "it runs configuration unknown"),
        (unit("reloading", running="bb"), False, "restart", "bb"),
        (unit("inactive", 0, ""), False, "start", "it is inactive"),
        (unit("failed", 0, ""), False, "start", "it is failed"),
        (unit("", 0, ""), False, "start", "it is not there"),
        (unit("inactive", 0, "", "not-found"), False, "start", "it is inactive"),
        # A stop that a killed controller has left behind must not be taken for a service that runs.
        (unit("deactivating", 412), False, "start", "it is stopping"),
        # systemd starts it by itself, with what is on disk then.
        (unit("activating", 0, ""), False, "none", ""),
        (unit("activating", 0, ""), True, "restart", "would start with another configuration than its instance"),
    ],
)
def test_decide(state: units.Unit, changed: bool, action: str, reason: str) -> None:
    found, why = units.decide(state, "aa", changed)
    assert found == action
    assert reason in why
    assert bool(why) == (action != "none")


@pytest.mark.parametrize(
    ("active", "pid", "up"),
    [("active", 1, True), ("reloading", 1, True), ("active", 0, False), ("activating", 1, False), ("failed", 0, False)],
)
def test_up(active: str, pid: int, up: bool) -> None:
    assert unit(active, pid).up is up


def recorded(tmp_path: Path, files: list[File], links: list[str]) -> str:
    """Run the script that a unit runs before each start, and return what it has recorded."""
    for file in files:
        Path(file.path).write_bytes(file.content)
    read = [file for file in files if file.restart]
    script = units.recorder([file.path for file in read if not file.comments], [file.path for file in read if file.comments], links)
    (tmp_path / "record.sh").write_text(script, encoding="utf-8")
    subprocess.run(["/bin/sh", str(tmp_path / "record.sh"), str(tmp_path / "config-id")], check=True)
    return (tmp_path / "config-id").read_text(encoding="utf-8").strip()


@pytest.mark.parametrize("links", [0, 1, 2])
def test_what_a_unit_records_at_its_start_is_its_identity(tmp_path: Path, links: int) -> None:
    (tmp_path / "store").mkdir()
    names = [str(tmp_path / f"stack-{number}") for number in range(links)]
    target = tmp_path / "store"
    for name in names:  # the second one is a link to a link
        Path(name).symlink_to(target)
        target = Path(name)
    files = [
        File(str(tmp_path / "unit"), b"# why\nA=1\n\n #x\nlast", comments=True),
        File(str(tmp_path / "environment"), b"#\n", comments=True),
        File(str(tmp_path / "it's a b"), "é\n".encode()),
        File(str(tmp_path / "empty"), b""),
        File(str(tmp_path / "raw"), b"\x00\xff# x\n"),
        File(str(tmp_path / "tool"), b"x", restart=False),
    ]
    first = recorded(tmp_path, files, names)
    assert first == filesets.identity(files, names, {})
    assert re.fullmatch("[0-9a-f]{16}", first)
    for index, same in enumerate([False, False, False, False, False, True]):
        edited = [File(**{**vars(file), "content": b"by hand"}) if file is files[index] else file for file in files]
        assert recorded(tmp_path, edited, names) == filesets.identity(edited, names, {})
        assert (filesets.identity(edited, names, {}) == first) is same
    commented = [File(files[0].path, b"# another\nA=1\n\n #x\n# more\nlast", comments=True), *files[1:]]
    assert recorded(tmp_path, commented, names) == first


@needs_manager
def test_systemd_takes_the_drop_in() -> None:
    text = units.drop_in(NAME)
    assert "RuntimeDirectory=railyard/sglang-prefill-0\n" in text
    found = commands({NAME: text.replace("ExecStartPre=+", "ExecStart=")})
    assert found[NAME] == [["/bin/sh", units.recorder_path(NAME), "/run/railyard/sglang-prefill-0/config-id"]]


MARK = "# railyard.sglang: unit of cluster {}, role {}\n[Service]\nExecStart=/bin/true\n"


@pytest.mark.parametrize(
    ("cluster", "found"),
    [
        ("lab", ["sglang-old-0.service", "sglang-prefill-0.service", "sglang-router.service"]),
        ("other", ["sglang-decode-0.service"]),
        ("la", []),
        ("", []),
    ],
)
def test_marked(tmp_path: Path, cluster: str, found: list[str]) -> None:
    texts = {
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
    assert units.marked(cluster, str(tmp_path)) == {name: texts[name] for name in found}


def test_no_directory_no_marked_units(tmp_path: Path) -> None:
    assert units.marked("lab", str(tmp_path / "none")) == {}


@pytest.mark.parametrize(
    ("line", "directory"),
    [
        ("EnvironmentFile=/etc/sglang/prefill-0/environment", "/etc/sglang/prefill-0"),
        ("EnvironmentFile=/etc/default/sglang", ""),
        ("EnvironmentFile=/etc/sglang/environment", ""),
        ("EnvironmentFile=/etc/sglang/../x/environment", ""),
        ("EnvironmentFile=/etc/sglang/../environment", ""),
        ("EnvironmentFile=/etc/sglang/./environment", ""),
        ("#EnvironmentFile=/etc/sglang/prefill-0/environment", ""),
        ("", ""),
    ],
)
def test_own_directory(line: str, directory: str) -> None:
    assert units.own_directory(f"[Service]\n{line}\nExecStart=/bin/true\n") == directory
