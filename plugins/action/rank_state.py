# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits for the ranks of a host and shows how far each has come; the documentation is that of the module of the same name."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.railyard.sglang.plugins.action import host_clock
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import catalogue, last_words
from ansible_collections.railyard.sglang.plugins.module_utils.serving import ranks

display = Display()
# One module call waits this long on the host for a change, so a host is not polled over ssh.
WAIT_SECONDS = 20


def _line(row: dict[str, Any], seconds: float) -> str:
    detail = f" ({row['detail']})" if row["detail"] else ""
    return f"  {row['instance']} rank {row['rank']} on {row['host']}: {row['state']}{detail}, {seconds:.0f} s"


class ActionModule(ActionBase):
    """Repeats the module until every rank is ready, one is hopeless, or the deadline has passed."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the last result of the module, with the host's clock."""
        super().run(tmp, task_vars)
        clock = host_clock.told(self)
        return {**self._waited(task_vars), "clock": clock}

    def _waited(self, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        arguments = dict(self._task.args)
        deadline = int(arguments.get("deadline", 1800))
        known: list[str] = []
        before: list[int] = []
        restarts: list[int] = []
        since: list[tuple[str, float]] = []
        started = time.monotonic()
        while True:
            left = deadline - (time.monotonic() - started)
            wait = 0 if self._task.check_mode else max(0, min(WAIT_SECONDS, int(left)))
            told = {"known": known, "restarts": restarts, "timeout": wait}
            result: dict[str, Any] = self._execute_module(
                module_name="railyard.sglang.rank_state", module_args={**arguments, **told}, task_vars=task_vars,
            )
            if result.get("failed"):
                return result
            rows = result["ranks"]
            seconds = time.monotonic() - started
            for index, row in enumerate(rows):
                if index >= len(known) or known[index] != row["state"]:
                    display.display(_line(row, seconds))
            known = [row["state"] for row in rows]
            since = ranks.since(since, rows, seconds)
            restarts = [row["restarts"] for row in rows]
            # Whoever starts a unit by hand sets its count back.
            before = [min(pair) for pair in zip(before or restarts, restarts)]
            late = [row for row in rows if row["state"] != "ready"]
            if not late or self._task.check_mode:
                return result
            fatal = self._fatal(before, rows)
            loop = ranks.looping(arguments["ranks"], before, rows)
            hopeless = ranks.lasting(since, seconds) or any(row["hopeless"] for row in late)
            if fatal or loop or hopeless or seconds >= deadline:
                why = "it ends again and again" if loop else ""
                return {"changed": False, "failed": True, "ranks": rows, "msg": self._verdict(late, seconds, result["log"], why, fatal)}

    def _fatal(self, before: list[int], rows: list[dict[str, Any]]) -> tuple[dict[str, Any], last_words.Cause] | None:
        """Return the first rank that has just ended for a cause that stays, and the cause."""
        for count, row in zip(before, rows):
            if row["ended"] and ranks.tells_of_now(count, row):
                cause = last_words.cause(catalogue.load(), row["ended"])
                if cause is not None:
                    return row, cause
        return None

    def _verdict(
        self,
        late: list[dict[str, Any]],
        seconds: float,
        log: list[str],
        why: str = "",
        fatal: tuple[dict[str, Any], last_words.Cause] | None = None,
    ) -> str:
        said = ["Its journal ends:", *log[-15:]]
        fix = "what the journal names; then run again with --tags verify. A deadline that is too short is verify_deadline (seconds)."
        if fatal is not None:
            row, cause = fatal
            why = f"{row['instance']} rank {row['rank']} has ended, and will do so at each start until that is mended"
            said = [f"{cause.id}: {cause.title}. It said:", cause.line]
            fix = f"{cause.fix.rstrip('.')}. Then run again with --tags verify."
        lines = [f"Not ready after {seconds:.0f} s{', and not waited for any longer: ' + why if why else ''}:"]
        lines += [f"- {row['instance']} rank {row['rank']} on {row['host']} is {row['state']}: {row['detail']}" for row in late]
        return "\n".join([*lines, *said, f"Fix: {fix}"])
