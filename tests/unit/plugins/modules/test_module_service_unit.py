# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module service_unit does without a running systemd; the lab's tests do the rest."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.railyard.sglang.plugins.module_utils.services import filesets, units
from ansible_collections.railyard.sglang.plugins.modules import service_unit
from ansible_collections.railyard.sglang.tests.unit.support.systemd import needs_analyze

UNIT = "railyard-test.service"
PATH = f"/etc/systemd/system/{UNIT}"
GOOD = "[Service]\nUser=railyard-test\nExecStart=/opt/sglang/not-there-yet/bin/python \\\n  --x 1\n"


@pytest.fixture(name="module")
def make_module(tmp_path: Path) -> Iterator[AnsibleModule]:
    with patch_module_args({"_ansible_remote_tmp": str(tmp_path), "_ansible_keep_remote_files": False}):
        yield AnsibleModule(argument_spec={}, supports_check_mode=True)


@pytest.fixture(name="directory")
def make_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of units in the place of systemd's own."""
    monkeypatch.setattr(units, "DIRECTORY", str(tmp_path / "system"))
    (tmp_path / "system").mkdir()
    return tmp_path / "system"


def failure(function: Any, *arguments: Any) -> str:
    """Return the message that a function fails with, or an empty text."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        function(*arguments)
    return str(json.loads(output.getvalue())["msg"]) if output.getvalue() else ""


@needs_analyze
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD, ""),
        (GOOD + "Restart=sometimes\n", f"systemd refuses {UNIT}: {PATH}:5: Failed to parse service restart specifier"),
        (GOOD + "KillMoode=mixed\n", "Unknown key 'KillMoode' in section [Service]"),
        ("[Service]\nUser=railyard-test\n", f"systemd refuses {UNIT}"),
        (GOOD + "ExecStartPre=relative\n", "relative"),
    ],
)
def test_verify(module: AnsibleModule, text: str, message: str) -> None:
    found = failure(service_unit.verify, module, UNIT, [filesets.File(PATH, text.encode())])
    assert bool(found) == bool(message), found
    assert message in found


def test_the_unit_must_be_among_the_files(module: AnsibleModule) -> None:
    assert "files does not hold the unit" in failure(service_unit.verify, module, UNIT, [])


@pytest.mark.parametrize(
    ("sha256", "good"), [("", True), ("2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881", True), ("0" * 64, False)]
)
def test_sums(module: AnsibleModule, sha256: str, good: bool) -> None:
    module.params = {"files": [{"path": "/x", "content": "x", "encoding": "text", "sha256": sha256}]}
    assert (failure(service_unit.check_sums, module) == "") is good


def test_files_are_written_whole_with_their_mode_and_removed(module: AnsibleModule, tmp_path: Path) -> None:
    path = tmp_path / "etc" / "x"
    service_unit.write(module, filesets.Change(str(path), None, b"\xff\r\n", 0o640))
    assert (path.read_bytes(), path.stat().st_mode & 0o7777) == (b"\xff\r\n", 0o640)
    service_unit.write(module, filesets.Change(str(path), b"", b"y", 0o755))
    assert (path.read_bytes(), path.stat().st_mode & 0o7777) == (b"y", 0o755)
    service_unit.write(module, filesets.Change(str(path), b"y", None))
    assert not path.exists()
    (path / "old").mkdir(parents=True)
    service_unit.write(module, filesets.Change(str(path), None, b"z"))
    assert path.read_bytes() == b"z"


@pytest.mark.parametrize(("encoding", "text", "wanted"), [("text", "é", "é".encode()), ("base64", "/wA=", b"\xff\x00")])
def test_content(encoding: str, text: str, wanted: bytes) -> None:
    assert service_unit.content({"encoding": encoding, "content": text}) == wanted


def row(path: str, text: str, **changes: Any) -> dict[str, Any]:
    return {"path": path, "content": text, "encoding": "text", "mode": "0644", "restart": True, "comments": False, "reload": "", **changes}


def test_wanted_files_hold_what_records_their_identity() -> None:
    rows = [
        row("/etc/data", "x"),
        row(PATH, GOOD, mode="0600", comments=True),
        row("/etc/x", "", restart=False, reload="y.service"),
    ]
    files, identity = service_unit.wanted_files({"name": UNIT, "files": rows, "links": ["/opt/x"], "link_targets": {"/opt/x": "/opt/y"}})
    drop_in = f"{PATH}.d/50-railyard.conf"
    script = units.recorder(["/etc/data"], [PATH, drop_in], ["/opt/x"])
    assert files == [
        filesets.File("/etc/data", b"x"),
        filesets.File(PATH, GOOD.encode(), 0o600, comments=True),
        filesets.File("/etc/x", b"", 0o644, restart=False, reload="y.service"),
        filesets.File(drop_in, units.drop_in(UNIT).encode(), comments=True),
        filesets.File(units.recorder_path(UNIT), script.encode(), restart=False),
    ]
    read = [files[1], files[3], files[0]]
    assert identity == filesets.identity(read, ["/opt/x"], {"/opt/x": "/opt/y"})


MARK = "# railyard.sglang: unit of cluster {}, role engine\n"
LAB, OTHER, BARE = MARK.format("lab"), MARK.format("other"), "[Service]\n"


@pytest.mark.parametrize(
    ("there", "wanted", "message"),
    [
        (None, LAB, ""),
        (LAB, LAB, ""),
        (OTHER, LAB, "belongs to cluster other, not to cluster lab"),
        (BARE, LAB, "belongs to somebody else, not to cluster lab"),
        (BARE, "# a template of one's own\n", ""),
    ],
)
def test_a_unit_of_somebody_else_is_left_alone(
    module: AnsibleModule, directory: Path, there: str | None, wanted: str, message: str
) -> None:
    module.params = {"name": UNIT}
    if there is not None:
        (directory / UNIT).write_text(there, encoding="utf-8")
    found = failure(service_unit.check_owner, module, wanted.encode())
    assert bool(found) == bool(message)
    assert message in found


@pytest.mark.parametrize(("name", "lacking"), [("", False), ("root", False), ("railyard-no-such-user", True)])
def test_lacks_user(name: str, lacking: bool) -> None:
    assert service_unit.lacks_user(name) is lacking


@pytest.mark.parametrize(
    ("targets", "expected"),
    [({}, False), ({"old": "old"}, False), ({"link": "old"}, False), ({"link": "new"}, True), ({"absent": "new"}, True)],
)
def test_a_link_that_is_yet_to_be_switched_counts_as_a_change(tmp_path: Path, targets: dict[str, str], expected: bool) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "old")
    found = {str(tmp_path / link): str(tmp_path / tree) for link, tree in targets.items()}
    assert service_unit.moves({"links": [str(tmp_path / "link"), str(tmp_path / "absent")], "link_targets": found}) is expected


def test_programs_that_come_later_in_the_run_are_not_looked_for() -> None:
    """Where verify of an older systemd does not pass over what begins with a dash."""
    rows = [
        ("ExecStart=/opt/x/bin/python -m x \\\n  --a 1", "ExecStart=/bin/true -m x \\\n  --a 1"),
        ("ExecStartPost=-/opt/x/bin/python -I y", "ExecStartPost=-/bin/true -I y"),
        ("ExecStartPre=-/opt/x/bin/python y", "ExecStartPre=-/bin/true y"),
        ("ExecStopPost=-/opt/x/bin/python z", "ExecStopPost=-/bin/true z"),
        ("ExecStopPost=/bin/echo", "ExecStopPost=/bin/echo"),
        ("ExecStartPre=+/bin/sh x", "ExecStartPre=+/bin/sh x"),
    ]
    text, wanted = ("".join(f"{row[side]}\n" for row in rows) for side in range(2))
    assert service_unit.PROGRAM.sub(r"\1/bin/true ", text) == wanted
