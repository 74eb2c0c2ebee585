# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows which interface becomes which, and writes it down; the documentation is that of the module of the same name."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from ansible.utils.display import Display

from ansible_collections.railyard.sglang.plugins.module_utils.report import interfaces
from ansible_collections.railyard.sglang.plugins.module_utils.report.keeping import keep
from ansible_collections.railyard.sglang.plugins.plugin_utils.controller import ControllerAction

SPEC: dict[str, dict[str, Any]] = {
    "hosts": {"type": "dict", "required": True},
    "directory": {"type": "path"},
    "dry": {"type": "bool", "default": False},
}


class ActionModule(ControllerAction):
    """Touches nothing but files of the controller."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Show the table, write what differs, and return why hosts are refused."""
        result, given = self.begin(tmp, task_vars, SPEC)
        found = interfaces.document(given["hosts"])
        lines = interfaces.text(found, given["dry"])
        files = {"network.txt": "\n".join([*lines, ""]), "network.json": json.dumps(found, indent=1, sort_keys=True) + "\n"}
        written: list[str] = []
        if given["directory"] is not None:
            directory = pathlib.Path(given["directory"]).expanduser().absolute()
            try:
                written = keep(directory, files, self._task.check_mode)
            except OSError as error:
                return {**result, "failed": True, "msg": f"directory: {error.filename}: {error.strerror}"}
            result |= {"directory": str(directory), "files": sorted(files)}
        Display().display("\n" + "\n".join(lines))
        return {
            **result, "changed": bool(written), "table": lines,
            "refused": {name: row["refused"] for name, row in found["hosts"].items()},
        }
