# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads logs on the controller and says what went wrong; the documentation is that of the module of the same name."""

from __future__ import annotations

import json
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.utils.display import Display

from ansible_collections.railyard.sglang.plugins.module_utils.bundle import reading
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import catalogue, confirming, diagnosis, page, standing
from ansible_collections.railyard.sglang.plugins.module_utils.report.keeping import keep
from ansible_collections.railyard.sglang.plugins.plugin_utils.controller import ControllerAction

SPEC: dict[str, dict[str, Any]] = {
    "path": {"type": "path", "required": True},
    "directory": {"type": "path"},
    "findings": {"type": "list", "elements": "dict", "default": []},
    "checks": {"type": "dict", "default": {}},
    "compared": {"type": "list", "elements": "dict", "default": []},
    "journals": {"type": "dict", "default": {}},
    "failed": {"type": "dict", "default": {}},
    "unreachable": {"type": "list", "elements": "str", "default": []},
    "fail_on": {"type": "str", "choices": ["blocks", "degrades", "never"], "default": "blocks"},
    "show": {"type": "bool", "default": True},
}
# Seconds between two lines about how far it is; the first after as many.
EVERY = 5.0
display = Display()


class _Progress:
    """Says now and then how much was read."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, share: float, size: int) -> None:
        now = time.monotonic()
        if now - self._last >= EVERY:
            self._last = now
            display.display(f"doctor: {share:4.0%} read, {size / 1e6:.0f} MB of lines")


def failure(document: Mapping[str, Any], fail_on: str, severities: Sequence[str] = catalogue.SEVERITIES) -> str:
    """Return why a task fails, empty where it does not."""
    verdict = document["verdict"]
    if fail_on == "never" or verdict not in severities or severities.index(verdict) > severities.index(fail_on):
        return ""
    first = document["findings"][0]
    where = f" on {first['guilty']['name']}" if first["guilty"]["name"] else ""
    return f"{first['id']}: {first['title']}{where}. Fix: {' '.join(first['fix'].split())}"


def short(finding: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a finding stands in the result of the task."""
    kept = {name: finding[name] for name in ("id", "severity", "title", "host", "follows_from")}
    return {**kept, "guilty_host": finding["guilty"]["host"]}


class ActionModule(ControllerAction):
    """Touches nothing but files of the controller."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read the logs, write and show what was found, and fail where it is bad enough."""
        result, given = self.begin(tmp, task_vars, SPEC)
        bundle = reading.evidence(given["path"])
        journals = given["journals"] or bundle.journals
        checks = given["checks"] or bundle.checks
        compared = given["compared"] or bundle.compared
        try:
            found = diagnosis.diagnose(
                given["path"],
                catalogue.load(),
                _Progress(),
                [
                    *standing.standing(journals, given["unreachable"] or bundle.unreachable),
                    *standing.filtered(checks),
                    *standing.off(compared),
                ],
                standing.names(journals),
                begins=standing.begins(journals),
            )
        except OSError as error:
            return {
                **result,
                "failed": True,
                "msg": f"{error.filename or given['path']}: {error.strerror}. Fix: doctor_path, a log, an archive or a directory",
            }
        document = diagnosis.document(found)
        document["not_read"] += standing.not_read(given["journals"], given["failed"], given["unreachable"]) + bundle.not_read
        confirming.confirm(document, [*(given["findings"] or bundle.findings), *compared], checks)
        text = page.text(document)
        changed: list[str] = []
        if given["directory"]:
            files = {"doctor.txt": text + "\n", "doctor.json": json.dumps(document, indent=1, sort_keys=True) + "\n"}
            directory = pathlib.Path(given["directory"]).absolute()
            try:
                if not self._task.check_mode:
                    # Logs may hold what clients asked for.
                    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                changed = keep(directory, files, self._task.check_mode)
            except OSError as error:
                return {**result, "failed": True, "msg": f"{error.filename}: {error.strerror}"}
        if given["show"]:
            display.display("\n" + text)
        why = failure(document, given["fail_on"])
        result |= {
            "changed": bool(changed),
            "verdict": document["verdict"],
            "first": document["first"],
            "findings": [short(finding) for finding in document["findings"]],
            "files": ["doctor.json", "doctor.txt"] if given["directory"] else [],
            "msg": why or page.WORDS[document["verdict"]],
        }
        if why:
            result["failed"] = True
        return result
