# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends a run with what serves where, the model's answer and the seconds of each stage."""

from __future__ import annotations

DOCUMENTATION = r"""
name: stages
type: aggregate
short_description: End a run with a table of processes, the model's answer and the seconds of each stage
version_added: 0.1.0
author:
  - railyard.sglang contributors (@railyard)
description:
  - Shows, after a run of the collection's playbooks, every planned process with its host, ports and state, the answer that came through
    the router, and how long each stage took.
  - Shows nothing for runs that compute no plan.
requirements:
  - enable it in C(callbacks_enabled)
"""

import json
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

from ansible_collections.railyard.sglang.plugins.module_utils.report import tables


class CallbackModule(CallbackBase):
    """Collects results by the module that returned them."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "railyard.sglang.stages"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._plan: dict[str, Any] = {}
        self._states: dict[tuple[str, str], str] = {}
        self._answers: dict[str, dict[str, Any]] = {}
        self._seconds: dict[str, float] = {}
        self._stage = ""
        self._since = 0.0

    def _close(self) -> None:
        if self._stage:
            self._seconds[self._stage] = self._seconds.get(self._stage, 0.0) + time.monotonic() - self._since
        self._stage = ""

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Begin to count a stage, named after its play."""
        self._close()
        self._stage, self._since = play.get_name(), time.monotonic()

    def v2_playbook_on_no_hosts_matched(self) -> None:
        """Forget a play that ran on nothing."""
        self._stage = ""

    def v2_runner_on_ok(self, result: Any) -> None:
        """Keep what the tables show."""
        action, data = result.task.resolved_action or result.task.action, result.result
        if action == "railyard.sglang.plan" and "plan" in data:
            self._plan = data["plan"]
        elif action == "railyard.sglang.rank_state":
            for row in data.get("ranks", []):
                self._states[(row["host"], row["instance"])] = row["state"]
        elif action == "railyard.sglang.serving_proof":
            self._answers[result.host.get_name()] = data
            self._states[(result.host.get_name(), "router")] = "ready"

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Print the tables."""
        self._close()
        if not self._plan:
            return
        seconds = {name: value for name, value in self._seconds.items() if value >= 0.05}
        blocks = [tables.processes(self._plan, self._states)] if self._states else []
        for host, answer in self._answers.items():
            name = "the router" if len(self._answers) == 1 else f"the router on {host}"
            said = json.dumps(answer["answer"], ensure_ascii=False)
            blocks.append([f"Answer through {name}, {answer['tokens']} tokens in {answer['seconds']} s:", "  " + said])
        blocks.append(tables.stages(seconds))
        for block in blocks:
            self._display.display("")
            for line in block:
                self._display.display(line)
