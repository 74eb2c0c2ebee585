# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of hosts on the controller: what is shown, what is kept, and when it counts as a change."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.action import host_check
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck import look
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import NOTE, WARNING, Row, bad, good, needless
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostcheck.world import World, cpu_world
from ansible_collections.railyard.sglang.tests.unit.support import playbooks

FINE = [good("preflight.acs", "no redirect", "no redirect"), needless("preflight.xid", "no NVIDIA GPU is planned here")]
NOTED = bad("preflight.map-count", "few", "more", "65530", "16777216 or more", state=NOTE)
SLOW = bad("preflight.nic-link", "slow", "seat it", "x8", "x16", state=WARNING)


def result(*rows: Row) -> dict[str, Any]:
    """Return what the module returns for some lines."""
    kept = {"checks": [row.plain() for row in rows], "table": look.table(rows), "summary": look.summary(rows)}
    return {**kept, "addresses": {"192.0.2.1": "ens1"}}


@pytest.mark.parametrize(
    ("rows", "what", "checks"),
    [
        (FINE, "findings", []),
        ([*FINE, NOTED], "findings", []),
        ([*FINE, NOTED, SLOW], "findings", ["map-count", "nic-link"]),
        (FINE, "all", ["acs", "xid"]),
        ([*FINE, SLOW], "none", []),
    ],
)
def test_what_is_shown(rows: list[Row], what: str, checks: list[str]) -> None:
    assert [line.split()[0] for line in host_check.shown(result(*rows), what)[2:]] == checks


def test_what_is_kept() -> None:
    found = host_check.files("gpu07", result(*FINE, SLOW))
    assert list(found) == ["gpu07.txt", "gpu07.json"]
    assert found["gpu07.txt"].startswith("gpu07: 1 warning, 1 ok, 1 n/a\n\ncheck ")
    kept = json.loads(found["gpu07.json"])
    assert (kept["host"], [row["rule"] for row in kept["checks"]]) == ("gpu07", ["preflight.acs", "preflight.xid", "preflight.nic-link"])
    assert list(host_check.files("../../x", result(*FINE))) == ["__.._x.txt", "__.._x.json"]


class Play:
    """A playbook of one task on this machine, which reads a tree."""

    def __init__(self, place: Path, world: World):
        self.place = place
        variables = {"plan": world.plan, "root": str(world.host.root)}
        (place / "variables.json").write_text(json.dumps(variables), encoding="utf-8")
        task = {"railyard.sglang.host_check": {"plan": "{{ plan }}", "root": "{{ root }}", "report_directory": str(place / "kept")}}
        play = [{"hosts": "all", "gather_facts": False, "connection": "local", "tasks": [task]}]
        (place / "play.json").write_text(json.dumps(play), encoding="utf-8")

    def run(self, *more: str) -> tuple[int, str]:
        """Return the exit status and the output."""
        words = ["-i", "h0,", "-e", f"ansible_python_interpreter={sys.executable}", "-e", f"@{self.place}/variables.json"]
        done = playbooks.playbook(self.place, *words, f"{self.place}/play.json", *more)
        return done.returncode, done.stdout + done.stderr


def test_a_run(tmp_path: Path) -> None:
    world = cpu_world(tmp_path / "root")
    play = Play(tmp_path, world)
    kept = tmp_path / "kept"
    rc, output = play.run("--check", "--diff")
    assert (rc, "changed=1" in output, "+h0: " in output) == (0, True, True), output
    assert not kept.exists()
    rc, output = play.run()
    assert (rc, "changed=1" in output) == (0, True), output
    assert sorted(path.name for path in kept.iterdir()) == ["h0.json", "h0.txt"]
    rc, output = play.run()
    assert (rc, "changed=0" in output) == (0, True), output
    world.host.file("/proc/cmdline", "ro ipv6.disable=1")
    rc, output = play.run()
    assert rc == 2, output
    assert "  ipv6   " in output
    assert "[rule preflight.ipv6, D09] Fix: remove it from the kernel command line" in output
    assert "ipv6.disable=1" in (kept / "h0.txt").read_text(encoding="utf-8")


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    play = Play(tmp_path, cpu_world(tmp_path / "root"))
    (tmp_path / "kept").write_text("a file", encoding="utf-8")
    rc, output = play.run()
    assert rc == 2
    assert "report_directory: " in output
    assert "Not a directory" in output or "File exists" in output
