# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proves from the router's host what was planned, and writes the result; the documentation is that of the module of the same name."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.railyard.sglang.plugins.action import host_clock
from ansible_collections.railyard.sglang.plugins.action.serving_report import (
    RANKS,
    demands,
    gathered,
    told_of,
    written,
    wrong_seconds,
)
from ansible_collections.railyard.sglang.plugins.module_utils.serving import expect, join, proof_text, texts
from ansible_collections.railyard.sglang.plugins.plugin_utils.plain import plain

OWN = ("plan", "directory", "fail_on_slow", "clock_seconds")


def source_of(plan: dict[str, Any], cluster: str) -> str:
    """Return where a cluster's model is from, for example V(path) or V(tiny)."""
    row = next((row for row in plan.get("clusters") or [] if row["name"] == cluster), None)
    return str((row or {"model": {}})["model"].get("source"))


class ActionModule(ActionBase):
    """Adds what the plan expects, and joins the result with what the engine hosts have said so far."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the result of the module; where it failed, after the table was shown and written."""
        super().run(tmp, task_vars)
        arguments, task_vars = dict(self._task.args), task_vars or {}
        if wrong := wrong_seconds(arguments):
            return {"failed": True, "msg": wrong}
        plan = plain(arguments.get("plan") or {})
        router = plain(arguments["router"])
        if plan.get("instances") and not arguments.get("workers"):
            arguments["workers"] = expect.workers(plan, router)
        source = source_of(plan, str(router.get("cluster", "")))
        if not arguments.get("known"):
            arguments["known"] = texts.KNOWN.get(source, {})
        arguments.setdefault("random_words", source in texts.RANDOM)
        module = {name: value for name, value in arguments.items() if name not in OWN and value is not None}
        clock = {"clock": host_clock.told(self)}
        result: dict[str, Any] = self._execute_module(module_name="railyard.sglang.serving_proof", module_args=module, task_vars=task_vars)
        result |= clock
        if not plan.get("instances") or "steps" not in result:
            return result
        looked = set(task_vars.get("ansible_play_hosts_all") or [])
        followed = any(host in looked for host, row in plan["hosts"].items() if row["ranks"])
        if followed and not result.get("failed"):
            # The report comes after the engine hosts were looked at again.
            return result
        told = join.Told(ranks=gathered(task_vars, plan, RANKS), proofs={router["host"]: result})
        document = join.document(plan, told, demands(arguments, plan, task_vars), [router["cluster"]])
        table = proof_text.view(document)
        found = join.problems(document)
        if found and not result.get("failed"):
            # The requests were served, and something else is not as planned.
            result |= {"failed": True, "problems": found, "msg": "\n".join(f"- {text}" for text in found)}
        if result.get("failed"):
            Display().display("\n".join(table))
        files = written(arguments.get("directory"), document, told_of(router["cluster"]), self._task.check_mode)
        return {**result, **files, "table": table}
