# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module that writes journals, with stand-ins for journalctl and systemctl: whose the file is, what is cut, what a failure says."""

from __future__ import annotations

import gzip
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.modules import unit_journal
from ansible_collections.railyard.sglang.tests.unit.support import modules

NOBODY = 65534
# As many messages as there are; of the kernel one, from before a reboot.
JOURNALCTL = """#!/bin/sh
entry() { printf '__CURSOR=%s\\n__REALTIME_TIMESTAMP=%s000000\\nMESSAGE=%s\\n\\n' "$1" "$1" "$2"; }
case "$*" in
  *--since=never*) echo "Failed to parse timestamp: never" >&2; exit 1;;
  *--dmesg*) ;;
  *_TRANSPORT=kernel*) entry 1 "before the reboot";;
  *"--lines=3 "*) entry 2 a; entry 3 b; entry 4 c;;
  *) entry 2 a; entry 3 b; entry 4 c; entry 5 d;;
esac
"""


@pytest.fixture(autouse=True)
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the stand-ins in front of the real ones."""
    place = tmp_path / "bin"
    place.mkdir()
    for name, text in (("journalctl", JOURNALCTL), ("systemctl", "#!/bin/sh\nprintf 'Id=a.service\\n'\n")):
        (place / name).write_text(text, encoding="utf-8")
        (place / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")


def written(place: Path, **options: Any) -> dict[str, Any]:
    """Return what the module says."""
    return modules.run(unit_journal.main, {"units": ["a.service"], "dest": str(place / "out.gz"), **options})


def test_the_kernel_before_a_reboot_and_the_owner(tmp_path: Path) -> None:
    result = written(tmp_path)
    assert (result["entries"], result["cut"]) == (5, False)
    assert b"before the reboot" in gzip.decompress((tmp_path / "out.gz").read_bytes())
    found = (tmp_path / "out.gz").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o600, os.geteuid())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_root_writes_for_the_owner_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    os.chown(tmp_path / "room", NOBODY, NOBODY)
    assert "failed" not in written(tmp_path / "room")
    found = (tmp_path / "room/out.gz").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o600, NOBODY)


def test_when_what_was_asked_for_begins(tmp_path: Path) -> None:
    assert written(tmp_path)["begins"] == 1.0
    assert written(tmp_path, lines=2)["begins"] is None, "some of it is missing"


def test_halted_processes_of_a_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin/systemctl").write_text("#!/bin/sh\nprintf 'Id=a.service\\nControlGroup=/a.slice\\n'\n", encoding="utf-8")
    monkeypatch.setattr(unit_journal, "halted", lambda group: [f"sleep (pid 7) of {group}", "cat (pid 8)"])
    assert [row["Halted"] for row in written(tmp_path)["units"]] == ["sleep (pid 7) of /a.slice, cat (pid 8)"]


def test_more_than_was_asked_for_is_told(tmp_path: Path) -> None:
    assert written(tmp_path, lines=2)["cut"] is True
    assert written(tmp_path, lines=4)["cut"] is False


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"since": "never"}, ["Failed to parse timestamp", "[rule journal.read]", "Fix: "]),
        ({"lines": 0}, ["lines is 0", "[rule journal.limits]", "Fix: "]),
        ({"units": []}, ["units is empty", "[rule journal.units]", "Fix: "]),
        ({"dest": "/nonexistent/out.gz"}, ["No such file or directory", "[rule journal.write]", "Fix: "]),
    ],
)
def test_what_a_failure_says(tmp_path: Path, options: dict[str, Any], said: list[str]) -> None:
    result = written(tmp_path, **options)
    assert result["failed"]
    assert [text for text in said if text not in result["msg"]] == []
