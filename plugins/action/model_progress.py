# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits for a job that transfers a model and shows how far it is; the documentation is that of the module of the same name."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()
MIB = 1 << 20
JOB_KEYS = ("started", "finished", "ansible_job_id", "results_file", "stdout", "stderr", "stdout_lines", "stderr_lines")


def line(host: str, row: dict[str, Any]) -> str:
    """Return how far a host is, in words."""
    done, total = row["done_bytes"] / MIB, row["total_bytes"] / MIB
    left = row.get("seconds_left")
    rest = f", {left // 60} min {left % 60:02d} s left" if left is not None else ""
    state = f" {row['state']}" if row.get("state") else ""
    return f"  {host}:{state} {done:.0f} of {total:.0f} MiB, {row['bytes_per_second'] / MIB:.0f} MiB/s{rest}"


class ActionModule(ActionBase):
    """Looks at a job until it has ended."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def _job(self, jid: str, mode: str, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        folder = self.get_shell_option("async_dir", default="~/.ansible_async")
        found: dict[str, Any] = self._execute_module(
            module_name="ansible.legacy.async_status", module_args={"jid": jid, "mode": mode, "_async_dir": folder}, task_vars=task_vars,
        )
        return found

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the result of the job, or without one what the module says."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        jid, host = str(arguments.get("jid", "")), (task_vars or {}).get("inventory_hostname", "")
        until = time.monotonic() + int(arguments.get("seconds", 86400))
        shown, lost = "", 0
        while True:
            job = self._job(jid, "status", task_vars) if jid else {}
            if jid and (job.get("finished") or job.get("failed")):
                if job.get("finished"):
                    self._job(jid, "cleanup", task_vars)
                return {key: value for key, value in job.items() if key not in JOB_KEYS}
            result = self._execute_module(module_name="railyard.sglang.model_progress", module_args=arguments, task_vars=task_vars)
            row = result.get("progress")
            if not jid or result.get("failed"):
                return result
            if row and line(host, row) != shown:
                shown = line(host, row)
                display.display(shown)
            # It may have ended between the two looks: then the next one finds its result.
            lost = lost + 1 if result.get("lost") else 0
            if lost > 1:
                self._job(jid, "cleanup", task_vars)
                message = (
                    f"The job {jid} has ended without a result: it was killed, or {host} was restarted. "
                    "Fix: look there (journalctl -k: memory?), then run again: it goes on with what has come"
                )
                return {"failed": True, "changed": False, "msg": message}
            if time.monotonic() > until:
                message = f"The job {jid} is still at work. Fix: raise model_seconds; it goes on meanwhile"
                return {"failed": True, "changed": False, "msg": message}
            time.sleep(max(1, int(arguments.get("poll", 10))))
