# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Causes that need RDMA devices or clocks of their own, done to virtual machines; what the stack's Mooncake says is given to the doctor.

The engine does not run on an emulated processor; its transfer engine does, by its user and under the settings of its unit.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from causekit import told
from kvkit import Moved, Transfers
from qemukit import QemuLab

pytestmark = [pytest.mark.lab, pytest.mark.full]

#: Both ends of a transfer: the program, its host, and what the log of its rank is called.
ENDS = {"send": "p0/prefill-0-rank0.log", "receive": "d0/decode-0-rank0.log"}


#: Seconds, more than emulated clocks may be apart.
AHEAD = 60.0


@contextmanager
def for_all_services(lab: QemuLab, host: str, setting: str) -> Iterator[None]:
    """Let a host have a drop-in of all its services, as a site has that wrote it for something else."""
    place = "/etc/systemd/system/service.d"
    text = shlex.quote(f"[Service]\n{setting}\n")
    try:
        lab.ssh(host, f"mkdir -p {place} && printf %s {text} > {place}/10-site.conf && systemctl daemon-reload", seconds=120)
        yield
    finally:
        lab.ssh(host, f"rm -rf {place} && systemctl daemon-reload", seconds=120)


def diagnosed(lab: QemuLab, moved: Moved, directory: Path) -> dict[str, Any]:
    """Give the doctor what both ends of a transfer have said."""
    for role, name in ENDS.items():
        path = directory / "logs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((lab.scratch / f"{role}.log").read_text(encoding="utf-8"), encoding="utf-8")
    print(moved.log[-6000:])
    variables = {"doctor_path": str(directory / "logs"), "doctor_directory": str(directory / "doctor")}
    return told(lab.play(playbook="playbooks/doctor.yml", variables=variables, seconds=240), directory / "doctor")


def test_too_little_memory_may_be_locked(machines: QemuLab, transfers: Transfers, ranks: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    with for_all_services(machines, "d0", "LimitMEMLOCK=64K"):
        refused = machines.play("--tags", "preflight")
        moved = transfers.move(ranks)
        broken = diagnosed(machines, moved, tmp_path / "broken")
    assert set(refused.failures) == {"d0"}
    assert "LimitMEMLOCK" in refused.refused()
    assert "error" in moved.sent
    assert (broken["first"], broken["findings"][0]["host"], broken["verdict"]) == ("D30", "d0", "blocks")
    # What its registration ends with is none of GPU memory.
    assert [row["id"] for row in broken["findings"] if row["severity"] != "note" and not row["follows_from"]] == ["D30"]
    moved = transfers.move(ranks)
    assert moved.whole, moved.sent | {"log": moved.log[-3000:]}
    mended = diagnosed(machines, moved, tmp_path / "mended")
    assert mended["verdict"] == "clean", mended["findings"]


def clocks(lab: QemuLab, directory: Path) -> dict[str, Any]:
    """Prove, which fails since nothing is installed there, and return what is said of the clocks."""
    given = {"verify_deadline": 5, "verify_report_directory": str(directory)}
    lab.play("--tags", "verify", variables=given, seconds=240).refused()
    proof = json.loads((directory / "proof.json").read_text(encoding="utf-8"))
    (step,) = [row for row in proof["clusters"][0]["steps"] if row["step"] == "clocks"]
    return dict(step)


def off(lab: QemuLab, directory: Path) -> list[tuple[str, str]]:
    """Return host and title of the clocks that the doctor calls off."""
    found = told(lab.play(playbook="playbooks/doctor.yml", variables={"doctor_directory": str(directory)}, seconds=240), directory)
    return [(row["host"], row["title"]) for row in found["findings"] if row["id"] == "L61"]


def test_a_clock_that_is_off(machines: QemuLab, tmp_path: Path) -> None:
    machines.set_clock("p0")
    machines.set_clock("d0", AHEAD)
    try:
        refused = machines.play("--tags", "preflight").refused()
        step, found = clocks(machines, tmp_path / "proof"), off(machines, tmp_path / "doctor")
    finally:
        machines.set_clock("d0")
    assert "compare.clock" in refused
    assert step["state"] == "failed"
    assert step["problems"][0].startswith("d0: its clock is at least ")
    ((host, title),) = found
    assert host == "d0"
    assert "ahead of that of p0" in title
    assert clocks(machines, tmp_path / "again")["state"] == "proven"
    assert off(machines, tmp_path / "later") == []
