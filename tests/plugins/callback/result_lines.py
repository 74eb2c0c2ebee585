# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Callback of the tests: every task and every host's result of it as one JSON line, written when it happens.

A test reads results as data, and follows a run that it is about to interrupt. ANSIBLE_CALLBACK_PLUGINS=tests/plugins/callback
ANSIBLE_CALLBACKS_ENABLED=result_lines enable it; RAILYARD_RESULT_LINES names the file.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: result_lines
type: aggregate
short_description: Write every result of a playbook run as a JSON line
description:
  - Appends to the file that E(RAILYARD_RESULT_LINES) names.
version_added: 0.1.0
requirements: []
author: railyard.sglang contributors
"""


class CallbackModule(CallbackBase):
    """Writes the events play, task, result and end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "result_lines"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.file = os.environ.get("RAILYARD_RESULT_LINES", "")
        self.play = ""

    def _write(self, event: str, **values: Any) -> None:
        if self.file:
            with Path(self.file).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"event": event, "time": time.time(), "play": self.play, **values}, default=str) + "\n")

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Note a play."""
        self.play = play.get_name()
        self._write("play")

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Note a task."""
        self._write("task", task=task.get_name(), action=task.resolved_action or task.action)

    def _result(self, result: Any, kind: str) -> None:
        data = result.result
        self._write(
            "result",
            task=result.task.get_name(),
            action=result.task.resolved_action or result.task.action,
            host=result.host.get_name(),
            kind=kind,
            changed=bool(data.get("changed")),
            msg=str(data.get("msg", "")),
            data={key: value for key, value in data.items() if not key.startswith("_ansible")},
        )

    def v2_runner_on_ok(self, result: Any) -> None:
        """Note a result that went well."""
        self._result(result, "ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Note a failure."""
        self._result(result, "failed")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Note a host that did not answer."""
        self._result(result, "unreachable")

    def v2_runner_on_skipped(self, result: Any) -> None:
        """Note a skipped task."""
        self._result(result, "skipped")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Note the end, with the totals of every host."""
        self._write("end", hosts={host: stats.summarize(host) for host in sorted(stats.processed)})
