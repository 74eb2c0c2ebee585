# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows what host checks found and keeps their tables on the controller; the documentation is that of the module of the same name."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.look import notable, table
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import NOTE, Row
from ansible_collections.railyard.sglang.plugins.module_utils.report.keeping import SAFE, keep, read

display = Display()


def files(host: str, result: dict[str, Any]) -> dict[str, str]:
    """Return name to content of a host's reports."""
    kept = {name: result[name] for name in ("summary", "checks", "addresses")}
    name = SAFE.sub("_", host)
    return {
        f"{name}.txt": "\n".join([f"{host}: {result['summary']}", "", *result["table"], ""]),
        f"{name}.json": json.dumps({"host": host, **kept}, indent=1, sort_keys=True) + "\n",
    }


def shown(result: dict[str, Any], what: str) -> list[str]:
    """Return the lines of the table to show: with C(findings), none where nothing but notes was found."""
    rows = [Row(**row) for row in result["checks"]]
    if what == "findings":
        rows = notable(rows)
        if all(row.state == NOTE for row in rows):
            return []
    return [] if what == "none" else table(rows)


class ActionModule(ActionBase):
    """Runs the module on the host."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        result: dict[str, Any] = self._execute_module(module_name="railyard.sglang.host_check", module_args=arguments, task_vars=task_vars)
        if "checks" not in result:
            return result
        host = str((task_vars or {}).get("inventory_hostname", "host"))
        lines = shown(result, str(arguments.get("show") or "findings"))
        if lines:
            display.display("\n".join([f"\n{host}: {result['summary']}", *(f"  {line}" for line in lines)]))
        if arguments.get("report_directory"):
            self._keep(pathlib.Path(str(arguments["report_directory"])).expanduser(), files(host, result), result)
        return result

    def _keep(self, directory: pathlib.Path, contents: dict[str, str], result: dict[str, Any]) -> None:
        """Write the reports that differ, and note it in the result."""
        try:
            before = {name: read(directory / name) for name in contents}
            changed = keep(directory, contents, self._task.check_mode)
            if self._task.diff:
                result["diff"] = [
                    {"before_header": str(directory / name), "before": before[name], "after_header": str(directory / name),
                     "after": contents[name]}
                    for name in changed
                ]
        except OSError as error:
            raise AnsibleActionFail(f"report_directory: {error.filename}: {error.strerror}", result=result) from error
        result["changed"] = bool(changed)
        result["report"] = [str(directory / name) for name in contents]
