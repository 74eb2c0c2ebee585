# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits for compilations of kernels and shows how far they are; the documentation is that of the module of the same name."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()
RUNNING, DONE, FAILED = "running", "done", "failed"


def line(host: str, row: Mapping[str, Any]) -> str:
    """Return how far a compilation is, in words."""
    last = f": {row['last']}" if row["last"] else ""
    return f"  {host}: {row['instance']} {row['state']}, {row['kernels']} kernels, {row['lines']} lines{last}"


class Board:
    """What has failed in this run, on any host: a file for each instance, in a directory of the controller that all workers see."""

    def __init__(self, directory: str, cluster: str) -> None:
        self.directory = pathlib.Path(directory) if directory else None
        self.cluster = cluster

    def _path(self, instance: str) -> pathlib.Path | None:
        return self.directory / f"{self.cluster or 'cluster'}.{instance}.failed" if self.directory else None

    def note(self, host: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write down who has failed first."""
        for row in rows:
            path = self._path(str(row["instance"]))
            if path is not None and row["state"] not in (RUNNING, DONE) and not path.exists():
                path.write_text(host, encoding="utf-8")

    def culprit(self, instance: str) -> str:
        """Return the host on which an instance has failed first, empty as long as it has not."""
        path = self._path(instance)
        return path.read_text(encoding="utf-8") if path is not None and path.exists() else ""


class ActionModule(ActionBase):
    """Looks until everything has ended."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def _look(self, jobs: list[dict[str, Any]], task_vars: dict[str, Any], end: bool = False) -> dict[str, Any]:
        found: dict[str, Any] = self._execute_module(
            module_name="railyard.sglang.kernel_progress",
            module_args={"jobs": jobs, "end": end, "root": self._task.args.get("root", "/")}, task_vars=task_vars,
        )
        return found

    def _give_up(
        self, jobs: list[dict[str, Any]], rows: list[dict[str, Any]], why: dict[str, str], task_vars: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """End compilations that nothing will come of, and return all rows with the reason."""
        ended = self._look([job for job in jobs if job["instance"] in why], task_vars, end=True).get("jobs", [])
        mine = {row["instance"]: {**row, "state": FAILED, "why": why[row["instance"]]} for row in ended}
        return [mine.get(row["instance"], row) for row in rows]

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return how everything has ended."""
        task_vars = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars)
        given = dict(self._task.args)
        jobs = [{"instance": row["instance"], "partial": row["partial"]} for row in given.get("jobs", [])]
        host = str(task_vars.get("inventory_hostname", ""))
        board = Board(str(given.get("board") or ""), str((task_vars.get("sglang_host") or {}).get("cluster", "")))
        # Of a former round, on the clock of the controller.
        began, entered = int(given.get("began") or 0) or int(time.time()), time.monotonic()
        seconds, most, shown = int(given.get("seconds", 3900)), int(given.get("most") or 0), set()
        while True:
            result = {**self._look(jobs, task_vars), "began": began}
            if result.get("failed") or not given.get("wait", True):
                return result
            rows = result["jobs"]
            board.note(host, rows)
            running = [row for row in rows if row["state"] == RUNNING]
            why = {row["instance"]: f"{culprit} has failed, and its ranks compile together" for row in running
                   if (culprit := board.culprit(row["instance"]))}
            if time.time() - began > seconds:
                why |= {row["instance"]: f"it is still at work after {seconds} s (deepgemm_seconds)" for row in running}
            if why:
                rows = result["jobs"] = self._give_up(jobs, rows, why, task_vars)
                board.note(host, rows)
            for row in rows:
                if line(host, row) not in shown:
                    shown.add(line(host, row))
                    display.display(line(host, row))
            if all(row["state"] != RUNNING for row in rows) or (most and time.monotonic() - entered >= most):
                return result
            time.sleep(max(1, int(given.get("poll", 15))))
