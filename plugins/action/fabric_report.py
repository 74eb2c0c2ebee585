# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges what hosts measured and writes it down on the controller; the documentation is that of the module of the same name."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from ansible.utils.display import Display

from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest import page, report
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.judging import Limits
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.rails import Rails
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.schedule import Schedule
from ansible_collections.railyard.sglang.plugins.module_utils.report.keeping import keep
from ansible_collections.railyard.sglang.plugins.plugin_utils.controller import ControllerAction

SPEC: dict[str, dict[str, Any]] = {
    "schedule": {"type": "dict", "required": True},
    "hosts": {"type": "dict", "required": True},
    "directory": {"type": "path", "required": True},
    "title": {"type": "str", "default": "Fabric test"},
    "min_gbps": {"type": "float"},
    "max_latency_us": {"type": "float"},
    "min_busbw_gbps": {"type": "float"},
    "outlier": {"type": "float", "default": 0.6},
    "require_perftest": {"type": "bool", "default": True},
}


def told(row: dict[str, Any]) -> dict[str, Any]:
    """Return what a host's row in the result says of how it measured."""
    measured, looked = row["measured"] or {}, row["looked"]
    return {
        "perftest": looked["perftest"],
        "user": measured.get("user") or "nobody: it did not report",
        "unit": looked["unit"] or "the engine's unit as it would be installed",
        "properties": measured.get("properties") or [],
        "seconds": measured.get("seconds"),
    }


class ActionModule(ControllerAction):
    """Touches nothing but files of the controller."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Write fabric.json and fabric.html, show the tables, and fail where something is not as it should be."""
        result, given = self.begin(tmp, task_vars, SPEC)
        schedule = Schedule(
            Rails(given["schedule"]["rails"], given["schedule"]["missing"]),
            **{name: given["schedule"][name] for name in ("rounds", "measurements", "parts", "left_out", "notes")},
        )
        records = {host: (row["measured"] or {}).get("records") or [] for host, row in given["hosts"].items()}
        limits = Limits(
            min_gbps=given["min_gbps"], max_latency_us=given["max_latency_us"], outlier=given["outlier"],
            min_busbw_gbps=given["min_busbw_gbps"],
        )
        spent = max(((row["measured"] or {}).get("seconds") or 0 for row in given["hosts"].values()), default=0)
        document = report.document(schedule, {host: told(row) for host, row in given["hosts"].items()}, records, limits, spent)
        directory = pathlib.Path(given["directory"]).absolute()
        files = {
            "fabric.json": json.dumps(document, indent=1, sort_keys=True) + "\n",
            "fabric.html": page.view(document, given["require_perftest"], given["title"]),
        }
        try:
            keep(directory, files, self._task.check_mode)
        except OSError as error:
            return {**result, "failed": True, "msg": f"{error.filename}: {error.strerror}"}
        Display().display("\n".join(report.text(document, given["require_perftest"])))
        bad = report.failures(document, given["require_perftest"])
        result |= {
            "changed": True, "directory": str(directory), "files": sorted(files), "counts": document["counts"],
            "cross_rail_reachable": document["cross_rail_reachable"], "errors": document["errors"],
            "msg": f"{directory}/fabric.html, fabric.json",
        }
        if bad:
            start = report.first(document) or bad[0]
            result |= {"failed": True, "msg": (
                f"{len(bad)} of {len(document['measurements'])} measurements are not as they should be. First: {report.name(start)}: "
                f"{start['reason']}. Fix: {start['fix']}. All of them: {directory}/fabric.html"
            )}
        return result
