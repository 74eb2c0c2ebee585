# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A compilation as a unit: with a systemctl that is played here. The command itself needs GPUs and was not run."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.jitcache import compiling
from ansible_collections.railyard.sglang.plugins.module_utils.jitcache.compiling import DONE, FAILED, LOST, RUNNING, SUCCESS
from ansible_collections.railyard.sglang.plugins.module_utils.jitcache.errors import CacheError
from ansible_collections.railyard.sglang.plugins.module_utils.services.units import UnitError
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.jitcache.kernels import NAMES, kernels


class Systemctl:
    """Plays systemctl for one unit."""

    def __init__(self, active: str = "inactive", start: int = 0) -> None:
        self.active, self.start, self.calls = active, start, []

    def __call__(self, command: list[str]) -> tuple[int, str, str]:
        verb = command[1]
        if verb == "show":
            return 0, f"LoadState=loaded\nActiveState={self.active}\nMainPID=1\n", ""
        self.calls.append(" ".join(command[1:]))
        if verb == "start":
            self.active = "active" if self.start == 0 else "failed"
            return self.start, "", "no" if self.start else ""
        if verb == "stop":
            self.active = "inactive"
        return 0, "", ""


@pytest.fixture(name="job")
def make_job(tmp_path: Path) -> compiling.Job:
    (tmp_path / "var/log").mkdir(parents=True)
    return compiling.Job("prefill-0", str(tmp_path))


VERDICTS = {
    "at work": ("", True, ["warm up"], RUNNING, ""),
    "at work, at its end": ("", True, [SUCCESS + "."], RUNNING, ""),
    "gone": ("", False, [], LOST, "the host was started again"),
    "ended well": ("success exited 0", False, ["x", SUCCESS + ".", "closing"], DONE, ""),
    "ended well and early": ("success exited 0", False, ["x"], FAILED, "did not say that all kernels are compiled"),
    "failed": ("exit-code exited 1", False, ["Traceback"], FAILED, "exit-code exited 1"),
    "failed after success": ("exit-code exited 1", False, [SUCCESS], FAILED, "exit-code exited 1"),
    "killed": ("signal killed KILL", False, [], FAILED, "signal killed KILL"),
    "stopped": ("success killed TERM", False, [SUCCESS], FAILED, "success killed TERM"),
    "too long": ("timeout killed TERM", False, [], FAILED, "longer than deepgemm_seconds"),
}


@pytest.mark.parametrize(("result", "active", "last", "state", "why"), VERDICTS.values(), ids=VERDICTS)
def test_verdict(result: str, active: bool, last: list[str], state: str, why: str) -> None:
    found, text = compiling.judge(result, active, last)
    assert found == state
    assert why in text


def test_begin(job: compiling.Job) -> None:
    systemctl = Systemctl()
    for path in (job.log, job.result_file):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(path).write_text("of an earlier one")
    compiling.begin(job, systemctl, "[Service]\n", 'A="b"\n')
    assert systemctl.calls == ["daemon-reload", f"reset-failed {job.unit}", f"start {job.unit}"]
    assert Path(job.unit_file).read_text() == "[Service]\n"
    assert Path(job.environment_file).read_text() == 'A="b"\n'
    assert Path(job.environment_file).stat().st_mode & 0o777 == 0o640
    assert not Path(job.log).exists()
    assert not Path(job.result_file).exists()


def test_what_an_earlier_run_has_left_is_ended_first(job: compiling.Job) -> None:
    systemctl = Systemctl("active")
    compiling.begin(job, systemctl, "", "")
    assert systemctl.calls[0] == f"stop {job.unit}"


def test_a_unit_that_does_not_start(job: compiling.Job) -> None:
    with pytest.raises(UnitError, match="start"):
        compiling.begin(job, Systemctl(start=1), "", "")


def test_progress(job: compiling.Job, tmp_path: Path) -> None:
    systemctl, partial = Systemctl(), tmp_path / "partial"
    assert compiling.status(job, systemctl, str(partial))["state"] == LOST
    compiling.begin(job, systemctl, "", "")
    found = compiling.status(job, systemctl, str(partial))
    assert (found["state"], found["kernels"], found["lines"], found["last"]) == (RUNNING, 0, 0, "")
    kernels(partial, NAMES[:3])
    Path(job.log).write_bytes(b"Begin\n\rDeepGEMM warmup:   1%\rDeepGEMM warmup:  40%| 6554/16384 \xff\r")
    found = compiling.status(job, systemctl, str(partial))
    assert (found["state"], found["kernels"], found["lines"]) == (RUNNING, 3, 1)
    assert found["last"].startswith("DeepGEMM warmup:  40%")
    Path(job.log).write_text("x\n" * 50000 + SUCCESS + ".\n")
    Path(job.result_file).write_text("success exited 0\n")
    systemctl.active = "inactive"
    found = compiling.status(job, systemctl, str(partial))
    assert (found["state"], found["lines"], found["last"]) == (DONE, 50001, SUCCESS + ".")
    assert len(found["tail"]) == compiling.SHOWN


def test_an_end_between_two_looks_is_none_lost(job: compiling.Job, tmp_path: Path) -> None:
    compiling.begin(job, Systemctl(), "", "")

    class Ending(Systemctl):
        def __call__(self, command: list[str]) -> tuple[int, str, str]:
            Path(job.result_file).write_text("exit-code exited 1")
            return super().__call__(command)

    assert compiling.status(job, Ending("inactive"), str(tmp_path))["state"] == FAILED


def test_files_that_arguments_name(job: compiling.Job) -> None:
    contents = {"a.json": b"{}", "more/b.pt": b"\x00\xff"}
    rows = [
        {"path": f"/etc/sglang/prefill-0/{name}", "content": base64.b64encode(text).decode() if name.endswith("pt") else text.decode(),
         "encoding": "base64" if name.endswith("pt") else "text", "sha256": hashlib.sha256(text).hexdigest()}
        for name, text in contents.items()
    ]
    compiling.provide(job, "/etc/sglang/prefill-0", rows)
    assert {name: (Path(job.files) / name).read_bytes() for name in contents} == contents
    compiling.provide(job, "/etc/sglang/prefill-0", rows[:1])
    assert os.listdir(job.files) == ["a.json"]
    with pytest.raises(CacheError, match=r"a\.json: has not the bytes"):
        compiling.provide(job, "/etc/sglang/prefill-0", [{**rows[0], "content": "[]"}])


def test_forgetting(job: compiling.Job) -> None:
    systemctl = Systemctl()
    compiling.begin(job, systemctl, "", "")
    with pytest.raises(CacheError, match="is at work"):
        compiling.forget(job, systemctl)
    systemctl.active = "inactive"
    rows = [{"path": "/etc/sglang/prefill-0/a/b.json", "content": "{}", "encoding": "text", "sha256": hashlib.sha256(b"{}").hexdigest()}]
    compiling.provide(job, "/etc/sglang/prefill-0", rows)
    assert compiling.forget(job, systemctl) == [job.unit_file, job.environment_file, job.files]
    assert compiling.forget(job, systemctl) == []
