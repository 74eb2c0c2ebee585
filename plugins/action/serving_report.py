# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Joins what the hosts have said into the proof's result; the documentation is that of the module of the same name."""

from __future__ import annotations

import json
import pathlib
import time
from collections.abc import Mapping
from typing import Any

from ansible.utils.display import Display

from ansible_collections.railyard.sglang.plugins.module_utils.report.keeping import keep
from ansible_collections.railyard.sglang.plugins.module_utils.serving import join, proof_page, proof_text
from ansible_collections.railyard.sglang.plugins.plugin_utils import waivers
from ansible_collections.railyard.sglang.plugins.plugin_utils.controller import ControllerAction
from ansible_collections.railyard.sglang.plugins.plugin_utils.plain import plain

SPEC: dict[str, dict[str, Any]] = {
    "plan": {"type": "dict", "required": True},
    "directory": {"type": "str", "default": ""},
    "fail_on_slow": {"type": "bool", "default": False},
    "clock_seconds": {"type": "float", "default": 1.0},
    "show": {"type": "bool", "default": True},
    "fail": {"type": "bool", "default": True},
}
# What the role's tasks have registered on the hosts.
RANKS, PROOF, EVIDENCE = "__verify_ranks", "__verify_proof", "__verify_evidence"


def gathered(task_vars: Mapping[str, Any], plan: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return what a task of this run has registered on the plan's hosts, by host; skipped and unreachable ones are left out."""
    found = {}
    hostvars = task_vars.get("hostvars") or {}
    for host in plan["hosts"]:
        if host not in hostvars:
            continue
        # Results are no templates, and looking for some in those of many hosts takes long.
        row = (hostvars.raw_get(host) if hasattr(hostvars, "raw_get") else hostvars[host]).get(name)
        if isinstance(row, Mapping) and not row.get("skipped") and not row.get("unreachable"):
            found[host] = plain(row)
    return found


def wrong_seconds(options: Mapping[str, Any]) -> str:
    """Return what is wrong with a limit of time, or an empty text."""
    given = options.get("clock_seconds", 1.0)
    try:
        if float(given) > 0:
            return ""
    except (TypeError, ValueError):
        pass
    return f"clock_seconds {given} is no number above 0. Fix: verify_clock_seconds, or preflight_clock_seconds that it follows"


def demands(options: Mapping[str, Any], plan: Mapping[str, Any], task_vars: Mapping[str, Any]) -> join.Demands:
    """Return what is asked for, with what the operator of each cluster accepts."""
    waived = waivers.waived({host: str(row["cluster"]) for host, row in plan["hosts"].items()}, task_vars)
    return join.Demands(bool(options.get("fail_on_slow")), float(options.get("clock_seconds", 1.0)), waived)


def told_of(*names: str) -> str:
    """Return the title of a page."""
    return f"Proof of {', '.join(names)}"


def written(directory: str | None, document: Mapping[str, Any], title: str, check_mode: bool) -> dict[str, Any]:
    """Write the result as text, JSON and page where a directory is given; return what to say of it."""
    if not directory:
        return {}
    place = pathlib.Path(directory).expanduser().absolute()
    made = time.strftime("%Y-%m-%d %H:%M:%S %z")
    files = {
        "proof.txt": "\n".join(proof_text.view(document)).strip("\n") + "\n",
        "proof.json": json.dumps({**document, "made": made}, indent=1, sort_keys=True) + "\n",
        "proof.html": proof_page.view(document, title, made),
    }
    try:
        changed = keep(place, files, check_mode)
    except OSError as error:
        return {"failed": True, "msg": f"{error.filename}: {error.strerror}"}
    return {"changed": bool(changed), "directory": str(place), "written": changed}


class ActionModule(ControllerAction):
    """Reads what the run has gathered, never a host."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Join, write, show the table, and fail where something planned was looked at and is not proven."""
        result, options = self.begin(tmp, task_vars, SPEC)
        plan, task_vars = options["plan"], task_vars or {}
        missing = [key for key in ("clusters", "instances", "routers", "hosts") if key not in plan]
        if missing:
            return {**result, "failed": True, "msg": f"plan: has no {', '.join(missing)}; give what railyard.sglang.plan returns as plan"}
        if wrong := wrong_seconds(options):
            return {**result, "failed": True, "msg": wrong}
        told = join.Told(*(gathered(task_vars, plan, name) for name in (RANKS, PROOF, EVIDENCE)))
        document = join.document(plan, told, demands(options, plan, task_vars))
        table = proof_text.view(document)
        if options["show"]:
            Display().display("\n".join(table))
        names = [row["name"] for row in document["clusters"]]
        result |= {"changed": False, "proof": document, "table": table, "verdict": document["verdict"]}
        result |= written(options["directory"], document, told_of(*names), self._task.check_mode)
        found = join.problems(document)
        if found and options["fail"] and not result.get("failed"):
            lines = [f"{told_of(*names)}: {document['verdict']}:", *(f"- {text}" for text in found)]
            result |= {"failed": True, "problems": found, "msg": "\n".join(lines)}
        return result
