# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the views of a plan on the controller; the documentation is that of the module of the same name."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import missing_required_lib
from ansible.utils.display import Display

from ansible_collections.railyard.sglang.plugins.module_utils.launch import addresses
from ansible_collections.railyard.sglang.plugins.module_utils.launch.keys import HIGHEST_PORT
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import report, text
from ansible_collections.railyard.sglang.plugins.module_utils.report.keeping import keep, read
from ansible_collections.railyard.sglang.plugins.plugin_utils.controller import ControllerAction

# Firewalld makes names of chains from it (Zone.check_name: 17 characters).
ZONE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,16}")
OUTSIDE = ("clients", "monitoring", "controllers")
SPEC: dict[str, dict[str, Any]] = {
    "plan": {"type": "dict"},
    "findings": {"type": "list", "elements": "dict", "default": []},
    "draft": {"type": "dict"},
    "directory": {"type": "path"},
    "previous": {"type": "path"},
    "fail_on": {"type": "str", "choices": ["error", "warning", "note"], "default": "error"},
    "show": {"type": "bool", "default": True},
    **{name: {"type": "list", "elements": "str", "default": []} for name in OUTSIDE},
    "ssh_port": {"type": "int", "default": 22},
    "zone": {"type": "str", "default": "public"},
}


def wrong_option(options: Mapping[str, Any]) -> str:
    """Return what is wrong with the options beyond their types, or an empty text."""
    wrong = [given for name in OUTSIDE for given in options[name] if not _is_network(given)]
    if wrong:
        return f"not an address and not a network: {', '.join(wrong)}"
    if not 1 <= options["ssh_port"] <= HIGHEST_PORT:
        return f"ssh_port {options['ssh_port']} is not from 1 to {HIGHEST_PORT}"
    if not ZONE.fullmatch(options["zone"]):
        return f"zone {options['zone']!r} is not the name of a zone of firewalld"
    if not options["plan"] and not options["findings"]:
        return "give the plan, or the findings that stand in its way"
    return ""


class ActionModule(ControllerAction):
    """Touches nothing but files of the controller."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Write what differs, show the text and fail where findings are as bad as O(fail_on)."""
        result, options = self.begin(tmp, task_vars, SPEC)
        if addresses.netaddr is None:
            return {**result, "failed": True, "msg": missing_required_lib("netaddr")}
        if wrong := wrong_option(options):
            return {**result, "failed": True, "msg": wrong}
        given = [str(source) for source in (task_vars or {}).get("ansible_inventory_sources") or []]
        directory = pathlib.Path(options["directory"] or pathlib.Path("plan") / report.name_of(given)).absolute()
        try:
            return {**result, **self._report(options, directory)}
        except OSError as error:
            return {**result, "failed": True, "msg": f"{error.filename}: {error.strerror}"}

    def _report(self, options: Mapping[str, Any], directory: pathlib.Path) -> dict[str, Any]:
        plan = options["plan"]
        result: dict[str, Any] = {"directory": str(directory), "changes": []}
        if plan:
            files = report.files(plan, {name: options[name] for name in OUTSIDE}, options["ssh_port"], options["zone"])
            earlier = pathlib.Path(options["previous"]) if options["previous"] else directory / report.PLAN
            if options["previous"] and not earlier.is_file():
                return {**result, "failed": True, "msg": f"{earlier}: there is no such file"}
            changes, words = report.compare(read(earlier), plan)
            result["changes"] = [vars(change) for change in changes]
            if self._task.diff:
                result["diff"] = {"prepared": words}
            findings = plan["findings"]
        else:
            files, words, findings = report.refused(options["findings"], options["draft"] or None), "", options["findings"]
        changed = keep(directory, files, self._task.check_mode)
        if options["show"]:
            self._show(files["plan.txt"], "" if self._task.diff else words)
        verb = "would be written" if self._task.check_mode else "written"
        state = f"{directory}: {verb}: {', '.join(changed)}" if changed else f"{directory}: nothing to write"
        result |= {"changed": bool(changed), "files": sorted(files), "written": changed, "msg": state}
        bad = report.failures(findings, options["fail_on"])
        if bad:
            shown = [] if options["show"] else text.findings(bad)
            result |= {"failed": True, "msg": "\n".join([*shown, report.verdict(findings), state])}
        return result

    def _show(self, tables: str, words: str) -> None:
        title = "Against the earlier plan"
        block = f"\n{title}\n{'=' * len(title)}\n{words}" if words else ""
        Display().display(f"\n{tables}{block}".rstrip("\n"))


def _is_network(given: str) -> bool:
    return addresses.parse(given) is not None or addresses.network(given) is not None
