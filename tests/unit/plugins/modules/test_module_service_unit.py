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
    found = failure(service_unit.verify, module, UNIT, [filesets.File(PATH, text)])
    assert bool(found) == bool(message), found
    assert message in found


def test_the_unit_must_be_among_the_files(module: AnsibleModule) -> None:
    assert "files does not hold the unit" in failure(service_unit.verify, module, UNIT, [])


@pytest.mark.parametrize(
    ("sha256", "good"), [("", True), ("2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881", True), ("0" * 64, False)]
)
def test_sums(module: AnsibleModule, sha256: str, good: bool) -> None:
    module.params = {"files": [{"path": "/x", "content": "x", "sha256": sha256}]}
    assert (failure(service_unit.check_sums, module) == "") is good


def test_files_are_written_whole_with_their_mode_and_removed(module: AnsibleModule, tmp_path: Path) -> None:
    path = tmp_path / "etc" / "x"
    service_unit.write(module, filesets.Change(str(path), None, "é\udcff\n", 0o640))
    assert path.read_bytes() == "é".encode() + b"\xff\n"
    assert path.stat().st_mode & 0o7777 == 0o640
    service_unit.write(module, filesets.Change(str(path), "", "y", 0o755))
    assert (path.read_text(encoding="utf-8"), path.stat().st_mode & 0o7777) == ("y", 0o755)
    service_unit.write(module, filesets.Change(str(path), "y", None))
    assert not path.exists()


def test_wanted_files_hold_what_records_their_identity() -> None:
    rows = [
        {"path": PATH, "content": GOOD, "mode": "0600", "restart": True, "reload": ""},
        {"path": "/etc/x", "content": "", "mode": "0644", "restart": False, "reload": "y.service"},
    ]
    files, identity = service_unit.wanted_files({"name": UNIT, "files": rows, "links": ["/opt/x"], "link_targets": {"/opt/x": "/opt/y"}})
    drop_in, listed = f"{PATH}.d/50-railyard.conf", f"{PATH}.d/railyard.files"
    assert files == [
        filesets.File(PATH, GOOD, 0o600),
        filesets.File("/etc/x", "", 0o644, restart=False, reload="y.service"),
        filesets.File(drop_in, units.drop_in(UNIT, ["/opt/x"])),
        filesets.File(listed, f"{PATH}\n{drop_in}\n{listed}\n"),
    ]
    assert identity == filesets.identity(files, ["/opt/x"], {"/opt/x": "/opt/y"})


@pytest.mark.parametrize(("name", "lacking"), [("", False), ("root", False), ("railyard-no-such-user", True)])
def test_lacks_user(name: str, lacking: bool) -> None:
    assert service_unit.lacks_user(name) is lacking
