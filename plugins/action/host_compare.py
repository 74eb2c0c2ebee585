# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares hosts with each other on the controller; the documentation is that of the module of the same name."""

from __future__ import annotations

import errno
import pathlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from ansible.utils.display import Display

from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare import catalogue, clock
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.compare import compare
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.views import page, summary, text
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import reading, report
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views.text import findings as lines
from ansible_collections.railyard.sglang.plugins.module_utils.report.keeping import file_of, keep
from ansible_collections.railyard.sglang.plugins.plugin_utils import waivers
from ansible_collections.railyard.sglang.plugins.plugin_utils.controller import ControllerAction
from ansible_collections.railyard.sglang.plugins.plugin_utils.plain import plain

SPEC: dict[str, dict[str, Any]] = {
    "plan": {"type": "dict", "required": True},
    "clock_seconds": {"type": "float", "default": 1.0},
    "only_clocks": {"type": "bool", "default": False},
    "directory": {"type": "path"},
    "fail_on": {"type": "str", "choices": ["error", "warning", "note"], "default": "error"},
    "show": {"type": "bool", "default": True},
}
SUMMARY = ("summary.txt", "summary.html", "summary.json")


def names_of(hosts: Iterable[str]) -> dict[str, str]:
    """Return host to the name of its file.

    :raises OSError: two hosts have the same one, or a host that of the summary.
    """
    names = {host: file_of(host) for host in hosts}
    count = Counter([*names.values(), *SUMMARY])
    twice = sorted(host for host, name in names.items() if count[name] > 1)
    if twice:
        raise OSError(errno.EEXIST, "the names of these hosts give the name of a file that there is already", ", ".join(twice))
    return names


def said(entry: reading.Entry) -> str:
    """Return one warning for findings that are alike."""
    row = entry.first
    where = ", ".join(entry.where(False))
    return f"{row['variable']}{f' ({where})' if where else ''}: {entry.text} [rule {row['rule']}] Fix: {row['fix']}"


class ActionModule(ControllerAction):
    """Reads facts that the run has gathered, never a host."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compare, write what differs, show the table, and fail where findings are as bad as O(fail_on)."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _checked, options = self.validate_argument_spec(argument_spec=SPEC)
        if not options["clock_seconds"] > 0:
            return {**result, "failed": True, "msg": f"clock_seconds {options['clock_seconds']} is not above 0"}
        given, task_vars = options["plan"], task_vars or {}
        missing = [key for key in ("instances", "routers", "hosts") if key not in given]
        if missing:
            return {**result, "failed": True, "msg": f"plan: has no {', '.join(missing)}; give what railyard.sglang.plan returns as plan"}
        hosts = {str(host): str(row["cluster"]) for host, row in given["hosts"].items()}
        looked = {str(host) for host in task_vars.get("ansible_play_hosts_all", hosts)}
        facts, clocks = self._facts([host for host in hosts if host in looked], task_vars)
        settings, wrong = self._settings(hosts, task_vars)
        if wrong:
            fix = "name a rule of docs/host-comparison.md that may be waived, and why its violation is accepted"
            return {**result, "failed": True, "msg": f"sglang_waive: {'; '.join(wrong)}. Fix: {fix}"}
        seen, found = compare(
            given, facts, clocks, absent=set(hosts) - looked, clock_seconds=options["clock_seconds"],
            only_clocks=options["only_clocks"], **settings,
        )
        rows = [asdict(row) for row in found.findings()]
        table, state = text.view(seen, found), {"changed": False, "msg": ""}
        if options["directory"] is not None:
            shown = (table, page.view(seen, found), reading.canonical(summary.data(seen, found)))
            try:
                state = self._write(options["directory"], dict(zip(SUMMARY, shown)), facts)
            except OSError as error:
                return {**result, "failed": True, "msg": f"{error.filename}: {error.strerror}"}
        if options["show"]:
            Display().display("\n" + table.rstrip("\n"))
        return {**result, **self._verdict(rows, options, state), "findings": rows, "table": table.splitlines()}

    def _facts(self, hosts: list[str], task_vars: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, clock.Clock]]:
        facts, clocks = {}, {}
        for host in hosts:
            # Facts are no templates, and looking for some in those of a thousand hosts takes longer than all the rest.
            row = task_vars["hostvars"].raw_get(host).get("ansible_facts") or {}
            if row.get("rdma"):
                facts[host] = plain(row["rdma"])
            if row.get("sglang_clock"):
                clocks[host] = clock.of(plain(row["sglang_clock"]))
        return facts, {host: found for host, found in clocks.items() if found is not None}

    def _settings(self, hosts: Mapping[str, str], task_vars: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return what clusters allow, and what is wrong with it: variables of a cluster are the same on all of its hosts."""
        routed, wrong = set(), []
        for cluster, row in waivers.settings(hosts, task_vars):
            if row.get("sglang_rails_routed"):
                routed.add(cluster)
            wrong += [f"{text} (cluster {cluster})" for text in catalogue.wrong_waivers(plain(row.get("sglang_waive")))]
        return {"routed": routed, "waived": waivers.waived(hosts, task_vars)}, wrong

    def _write(self, directory: str, files: Mapping[str, str], facts: Mapping[str, Any]) -> dict[str, Any]:
        """Write what differs. Facts of hosts that this run has not looked at stay."""
        place = pathlib.Path(directory).absolute()
        names = names_of(facts)
        whole = {**files, **{names[host]: reading.canonical(row) for host, row in facts.items()}}
        changed = keep(place, whole, self._task.check_mode)
        verb = "would be written" if self._task.check_mode else "written"
        message = f"{place}: {verb}: {reading.some(changed)}" if changed else f"{place}: nothing to write"
        return {"changed": bool(changed), "directory": str(place), "files": sorted(whole), "written": changed, "msg": message}

    def _verdict(self, rows: list[dict[str, Any]], options: Mapping[str, Any], state: dict[str, Any]) -> dict[str, Any]:
        warned = [said(entry) for entry in reading.entries(row for row in rows if row["severity"] == "warning")]
        state = {**state, "warnings": [] if options["show"] else warned}
        bad = report.failures(rows, options["fail_on"])
        if not bad:
            return state
        shown = [] if options["show"] else lines(bad)
        message = "\n".join(filter(None, [*shown, f"The hosts were compared: {reading.tally(rows)}.", state["msg"]]))
        return {**state, "failed": True, "msg": message}
