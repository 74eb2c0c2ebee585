# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares installed stacks with their locks on the controller; the documentation is that of the module of the same name."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from ansible.utils.display import Display

from ansible_collections.railyard.sglang.plugins.module_utils.launch.views.reading import canonical
from ansible_collections.railyard.sglang.plugins.module_utils.report.keeping import keep
from ansible_collections.railyard.sglang.plugins.module_utils.stack import versions_view as view
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import parse_definition
from ansible_collections.railyard.sglang.plugins.module_utils.stack.drift import Compared, compare
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.plugin_utils.controller import ControllerAction
from ansible_collections.railyard.sglang.plugins.plugin_utils.plain import plain

SPEC: dict[str, dict[str, Any]] = {
    "plan": {"type": "dict", "required": True},
    "definitions": {"type": "list", "elements": "dict", "required": True},
    "directory": {"type": "path"},
    "fail": {"type": "bool", "default": True},
    "show": {"type": "bool", "default": True},
}
FACTS = "sglang_versions"


class ActionModule(ControllerAction):
    """Reads facts that the run has gathered, never a host."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compare, show the tables, write what differs from the files, and fail where a host differs from its lock."""
        result, options = self.begin(tmp, task_vars, SPEC)
        rows = options["plan"].get("hosts")
        if not isinstance(rows, Mapping):
            return {**result, "failed": True, "msg": "plan: has no hosts; give what railyard.sglang.plan returns as plan"}
        wanted = {str(host): [str(name) for name in row["stacks"]] for host, row in rows.items()}
        facts = self._facts(wanted, task_vars or {})
        try:
            definitions = [parse_definition(data) for data in options["definitions"]]
        except StackError as error:
            return {**result, "failed": True, "msg": str(error)}
        lacking = {name for names in wanted.values() for name in names} - {definition.name for definition in definitions}
        if lacking:
            return {**result, "failed": True, "msg": f"definitions: none was given for {', '.join(sorted(lacking))}"}
        seen = compare(definitions, wanted, facts)
        table = view.summary(seen)
        state: dict[str, Any] = {"changed": False, "msg": ""}
        if options["directory"] is not None:
            try:
                state = self._write(options["directory"], seen, table)
            except OSError as error:
                return {**result, "failed": True, "msg": f"{error.filename}: {error.strerror}"}
        if options["show"]:
            Display().display("\n" + table.rstrip("\n"))
        result |= state
        if seen.drifts and options["fail"]:
            lines = [] if options["show"] else [drift.line() for drift in seen.drifts]
            count = f"What is installed differs from the locks in {len(seen.drifts)} place{'' if len(seen.drifts) == 1 else 's'}."
            result |= {"failed": True, "msg": "\n".join(filter(None, [*lines, count, str(state["msg"])]))}
        drift = [row.plain() for row in seen.drifts]
        return {**result, "drift": drift, "absent": list(seen.absent), "table": table.splitlines()}

    def _facts(self, wanted: Mapping[str, list[str]], task_vars: Mapping[str, Any]) -> dict[str, Any]:
        """Return what this run has found, by host: nothing of a host that has left the play by an error."""
        looked = {str(host) for host in task_vars.get("ansible_play_hosts", wanted)}
        found = {}
        for host, names in wanted.items():
            # Facts are no templates, and need not be searched for some.
            row = (task_vars["hostvars"].raw_get(host).get("ansible_facts") or {}).get(FACTS) if host in looked else None
            if row and set(names) <= set(row["stacks"]):
                found[host] = plain(row)
        return found

    def _write(self, directory: str, seen: Compared, table: str) -> dict[str, Any]:
        """Write the files that differ."""
        place = pathlib.Path(directory).absolute()
        whole = {"versions.txt": table + view.packages(seen), "versions.json": canonical(view.data(seen))}
        changed = keep(place, whole, self._task.check_mode)
        verb = "would be written" if self._task.check_mode else "written"
        message = f"{place}: {verb}: {', '.join(changed)}" if changed else f"{place}: nothing to write"
        return {"changed": bool(changed), "directory": str(place), "written": changed, "msg": message}
