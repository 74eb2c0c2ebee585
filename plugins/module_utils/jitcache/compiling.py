# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One compilation on one host: a unit of systemd of its own, which goes on whatever becomes of the run that has started it."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.jitcache import entries
from ansible_collections.railyard.sglang.plugins.module_utils.jitcache.errors import CacheError
from ansible_collections.railyard.sglang.plugins.module_utils.services import units

Runner = Callable[[List[str]], Tuple[int, str, str]]
RUNNING, DONE, FAILED, LOST = "running", "done", "failed", "lost"
# sglang.compile_deep_gemm of both versions says so at its end. A rank that is not the first one says so whatever became of the first.
SUCCESS = "DeepGEMM Kernels compilation finished successfully"
TAIL, SHOWN = 64 << 10, 12
BREAK = re.compile(r"[\r\n]+")


@dataclass(frozen=True)
class Job:
    """The files of the compilation of an instance's rank on this host.

    :ivar root: in front of every path, for tests.
    """

    instance: str
    root: str = ""

    @property
    def unit(self) -> str:
        """Name of the unit."""
        return f"sglang-deepgemm-{self.instance}.service"

    @property
    def unit_file(self) -> str:
        """The unit, gone with the next boot."""
        return f"{self.root}/run/systemd/system/{self.unit}"

    @property
    def environment_file(self) -> str:
        """Its environment."""
        return f"{self.root}/run/railyard-deepgemm/{self.instance}.environment"

    @property
    def files(self) -> str:
        """Directory of the operator's files that its arguments name: the engine's own are those of its last start."""
        return f"{self.root}/run/railyard-deepgemm/{self.instance}.files"

    @property
    def result_file(self) -> str:
        """What systemd says of its end, written by the unit itself."""
        return f"{self.root}/run/railyard-deepgemm/{self.instance}.result"

    @property
    def log(self) -> str:
        """What it says."""
        return f"{self.root}/var/log/sglang-deepgemm-{self.instance}.log"


def write(path: str, text: str, mode: int) -> None:
    """Write a file whole or not at all."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    temporary = path + ".new"
    with open(temporary, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.chmod(temporary, mode)
    os.replace(temporary, path)


def active(job: Job, run: Runner) -> bool:
    """Whether a compilation is at work."""
    return units.show(run, job.unit).active in ("active", "activating", "reloading", "deactivating")


def stop(job: Job, run: Runner) -> bool:
    """End what an earlier run has started; return whether there was something. Its kernels stay."""
    if not active(job, run):
        return False
    units.systemctl(run, "stop", job.unit)
    return True


def provide(job: Job, directory: str, rows: List[Dict[str, str]]) -> None:
    """Write the files that the arguments of a compilation name into its own directory, and nothing else.

    :param directory: where the engine has them.
    :param rows: C(path), C(content), C(encoding) and C(sha256) of each, as the plan has them.
    :raises CacheError: a content is not what the plan has seen.
    """
    if os.path.isdir(job.files):
        shutil.rmtree(job.files)
    for row in rows:
        content = base64.b64decode(row["content"]) if row["encoding"] == "base64" else row["content"].encode()
        if hashlib.sha256(content).hexdigest() != row["sha256"]:
            raise CacheError(row["path"], "has not the bytes that the plan has seen", "run again")
        target = os.path.join(job.files, os.path.relpath(row["path"], directory))
        os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
        with open(target, "wb") as stream:
            stream.write(content)


def begin(job: Job, run: Runner, unit: str, environment: str) -> None:
    """Start a compilation; its end is not waited for. Raises UnitError."""
    stop(job, run)
    for path in (job.result_file, job.log):
        if os.path.exists(path):
            os.remove(path)
    write(job.environment_file, environment, 0o640)
    write(job.unit_file, unit, 0o644)
    units.systemctl(run, "daemon-reload")
    run(["systemctl", "reset-failed", job.unit])
    units.systemctl(run, "start", job.unit)


def _log(job: Job) -> Tuple[int, List[str]]:
    """Return the number of lines of the log, and its last ones."""
    try:
        with open(job.log, "rb") as stream:
            lines = sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
            stream.seek(max(0, stream.tell() - TAIL))
            text = stream.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return 0, []
    return lines, [row.strip() for row in BREAK.split(text) if row.strip()]


def _result(job: Job) -> str:
    try:
        with open(job.result_file, encoding="utf-8") as stream:
            return stream.read().strip()
    except FileNotFoundError:
        return ""


def judge(result: str, at_work: bool, last: List[str]) -> Tuple[str, str]:
    """Return how a compilation stands, and why where it failed.

    :param result: three words of systemd: result, how the main process ended, its exit code; empty as long as there is no end.
    :param at_work: whether the unit is.
    :param last: last lines of the log.
    """
    if not result:
        return (RUNNING, "") if at_work else (LOST, "it was stopped, or the host was started again")
    if not result.startswith("success exited 0"):
        if result.startswith("timeout"):
            return FAILED, "it took longer than deepgemm_seconds"
        return FAILED, f"it ended with {result}"
    if not any(SUCCESS in row for row in last):
        return FAILED, "it ended well and did not say that all kernels are compiled"
    return DONE, ""


def status(job: Job, run: Runner, partial: str) -> Dict[str, Any]:
    """Return how far a compilation is."""
    # The result first: a unit that ends between the two looks is then seen as running once more, and never as lost.
    result = _result(job)
    at_work = not result and active(job, run)
    if not result and not at_work:
        result = _result(job)
    lines, last = _log(job)
    state, why = judge(result, at_work, last)
    return {
        "instance": job.instance, "state": state, "why": why, "kernels": entries.count(partial), "lines": lines,
        "last": last[-1][:200] if last else "", "log": job.log, "tail": last[-SHOWN:],
    }


def left(job: Job) -> List[str]:
    """Return the files and the directory of a compilation that are there."""
    return [path for path in (job.unit_file, job.environment_file, job.files, job.result_file, job.log) if os.path.exists(path)]


def forget(job: Job, run: Runner) -> List[str]:
    """Remove the files of a compilation; return those that were there. Raises CacheError while it is at work."""
    if active(job, run):
        raise CacheError(job.unit, "is at work", f"wait for its end, or systemctl stop {job.unit}")
    gone = left(job)
    for path in gone:
        if os.path.isdir(path):
            shutil.rmtree(path)
        else:
            os.remove(path)
    return gone
