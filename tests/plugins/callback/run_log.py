# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Callback of the tests: count what each playbook run really did, and write it as JSON.

Tasks times hosts is what an Ansible run costs, and a run that matched no host ends as green as one that worked: both
are seen only by counting. ANSIBLE_CALLBACK_PLUGINS=tests/plugins/callback ANSIBLE_CALLBACKS_ENABLED=run_log enable it;
RAILYARD_RUN_LOG names the folder, where the runs are numbered in their order: 003-converge.json.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: run_log
type: aggregate
short_description: Count the task-host pairs of every playbook run
description:
  - Writes one JSON file per run into the folder that E(RAILYARD_RUN_LOG) names.
version_added: 0.1.0
requirements: []
author: railyard.sglang contributors
"""

RAN = ("ok", "changed", "failed", "unreachable")


class CallbackModule(CallbackBase):
    """Counts results by task and by host.

    A pair is one task's result on one host. It is of one kind: ok, changed, failed, unreachable (something was executed
    for it) or skipped. A loop is one pair; its items beyond the first are counted apart, since each costs like a task.
    """

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "run_log"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.started = time.time()
        self.playbook = ""
        self.plays: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = []
        self.by_uuid: dict[str, dict[str, Any]] = {}
        self.hosts: dict[str, Counter[str]] = {}
        self.items: Counter[tuple[str, str]] = Counter()
        self.extra_items = 0

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Remember which playbook this is."""
        self.playbook = Path(playbook._file_name).stem

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Note a play and its hosts."""
        manager = play.get_variable_manager()
        hosts = manager._inventory.get_hosts(play.hosts) if manager else []
        self.plays.append({"name": play.get_name(), "hosts": [host.get_name() for host in hosts]})

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Note a task."""
        self._task(task)

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """Note a handler."""
        self._task(task)

    def _task(self, task: Any) -> dict[str, Any]:
        entry = self.by_uuid.get(task._uuid)
        if entry is None:
            entry = {"name": task.get_name(), "action": task.action, "seconds": 0.0, "results": {}}
            entry["started"] = time.time()
            self.by_uuid[task._uuid] = entry
            self.tasks.append(entry)
        return entry

    def _count(self, result: Any, kind: str) -> None:
        entry = self._task(result.task)
        host = result.host.get_name()
        entry["results"][kind] = entry["results"].get(kind, 0) + 1
        entry["seconds"] = round(time.time() - entry["started"], 3)
        self.hosts.setdefault(host, Counter())[kind] += 1
        self.extra_items += max(0, self.items.pop((host, result.task._uuid), 0) - 1)

    def v2_runner_on_ok(self, result: Any) -> None:
        """Count a result that went well."""
        self._count(result, "changed" if result.result.get("changed") else "ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Count a failure."""
        self._count(result, "failed")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Count a host that did not answer."""
        self._count(result, "unreachable")

    def v2_runner_on_skipped(self, result: Any) -> None:
        """Count a skipped task."""
        self._count(result, "skipped")

    def _item(self, result: Any) -> None:
        self.items[result.host.get_name(), result.task._uuid] += 1

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """Count an item of a loop."""
        self._item(result)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        """Count an item of a loop."""
        self._item(result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write the counts."""
        folder = os.environ.get("RAILYARD_RUN_LOG")
        if not folder:
            return
        kinds: Counter[str] = Counter()
        for counted in self.hosts.values():
            kinds.update(counted)
        summary = {
            "playbook": self.playbook,
            "check": bool(context.CLIARGS.get("check")),
            "seconds": round(time.time() - self.started, 2),
            "executed": sum(kinds[kind] for kind in RAN),
            "skipped": kinds["skipped"],
            "extra_items": self.extra_items,
            "kinds": dict(kinds),
            "hosts": {host: dict(counted) for host, counted in sorted(self.hosts.items())},
            "plays": self.plays,
            "tasks": [{key: value for key, value in task.items() if key != "started"} for task in self.tasks],
        }
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        number = 1 + max((int(path.name[:3]) for path in target.glob("[0-9][0-9][0-9]-*.json")), default=0)
        file = target / f"{number:03d}-{self.playbook}.json"
        file.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
