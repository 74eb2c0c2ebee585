# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows and writes the kernel caches of all hosts; the documentation is that of the module of the same name."""

from __future__ import annotations

import pathlib
from typing import Any

from ansible.utils.display import Display

from ansible_collections.railyard.sglang.plugins.module_utils.jitcache import view
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views.reading import canonical
from ansible_collections.railyard.sglang.plugins.module_utils.report.keeping import keep
from ansible_collections.railyard.sglang.plugins.plugin_utils.controller import ControllerAction

SPEC: dict[str, dict[str, Any]] = {
    "hosts": {"type": "dict", "required": True},
    "absent": {"type": "list", "elements": "str", "default": []},
    "directory": {"type": "path"},
    "fail": {"type": "bool", "default": False},
    "show": {"type": "bool", "default": True},
}


class ActionModule(ControllerAction):
    """Reads what the run has found, never a host."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Show the tables, write what differs from the files, and fail where that is wanted and a cache is not whole."""
        result, options = self.begin(tmp, task_vars, SPEC)
        looked = {host: found for host, found in options["hosts"].items() if "caches" in found}
        table = view.text(looked, options["absent"])
        wrong = view.problems(looked)
        state: dict[str, Any] = {"changed": False, "msg": ""}
        if options["directory"] is not None:
            place = pathlib.Path(options["directory"]).absolute()
            files = {"caches.txt": table, "caches.json": canonical(view.data(looked, options["absent"]))}
            try:
                changed = keep(place, files, self._task.check_mode)
            except OSError as error:
                return {**result, "failed": True, "msg": f"{error.filename}: {error.strerror}"}
            verb = "would be written" if self._task.check_mode else "written"
            message = f"{place}: {verb}: {', '.join(changed)}" if changed else f"{place}: nothing to write"
            state = {"changed": bool(changed), "directory": str(place), "written": changed, "msg": message}
        if options["show"]:
            Display().display("\n" + table.rstrip("\n"))
        result |= state
        if wrong and options["fail"]:
            count = f"{len(wrong)} problems with kernel caches. Fix: site.yml --tags deepgemm"
            result |= {"failed": True, "msg": "\n".join([*([] if options["show"] else wrong), count])}
        return {**result, "problems": wrong, "table": table.splitlines()}
