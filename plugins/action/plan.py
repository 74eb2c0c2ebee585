# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Computes the plan on the controller; the documentation is that of the module of the same name."""

from __future__ import annotations

import functools
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible.module_utils.basic import missing_required_lib
from ansible.parsing.vault import VaultHelper

from ansible_collections.railyard.sglang.plugins.module_utils.launch import addresses, renamed, scope
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings, PlanError
from ansible_collections.railyard.sglang.plugins.module_utils.launch.keys import CLUSTER, HOST
from ansible_collections.railyard.sglang.plugins.module_utils.launch.plan import build
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import reading
from ansible_collections.railyard.sglang.plugins.plugin_utils.controller import ControllerAction
from ansible_collections.railyard.sglang.plugins.plugin_utils.plain import plain

ARGUMENTS = {
    "converge": {"type": "bool", "default": True},
    "looked": {"type": "bool", "default": False},
    "looked_hosts": {"type": "list", "elements": "str"},
    "preliminary": {"type": "bool", "default": False},
    "renamed": {"type": "dict", "default": {}},
    "already_renamed": {"type": "dict", "default": {}},
    "names_only": {"type": "bool", "default": False},
    "names_dry": {"type": "bool", "default": False},
    "facts_directory": {"type": "path"},
}
READ = (*CLUSTER, *HOST, "ansible_host")


def gathered(hostvars: Any, hosts: Sequence[str]) -> dict[str, Any]:
    """Return the facts of the hosts that C(rdma_facts) has looked at.

    :param hostvars: Ansible's magic variable; facts are no templates, and are not searched for some.
    """
    seen = {host: (hostvars.raw_get(host).get("ansible_facts") or {}).get("rdma") for host in hosts}
    return {host: plain(facts) for host, facts in seen.items() if facts}


def saved(directory: pathlib.Path, hosts: Sequence[str]) -> dict[str, Any]:
    """Return the facts that playbooks/facts.yml has written down.

    :raises PlanError: the directory holds none of these hosts, or what is no JSON.
    """
    findings, found = Findings(), {}
    fix = "write them anew with playbooks/facts.yml"
    for host in hosts:
        path = directory / f"{host}.json"
        try:
            found[host] = json.loads(path.read_bytes())
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            findings.add("facts.form", "plan_facts", f"{path}: {error}", fix, host)
    if not found and not findings:
        findings.add("facts.form", "plan_facts", f"{directory} has facts of no host of this inventory (HOST.json)", fix)
    findings.stop()
    return found


def content(base: pathlib.Path, path: str) -> bytes:
    """Return the bytes of a file, its path relative to a directory.

    :raises OSError: there is none, or the path is none.
    """
    try:
        return (base / pathlib.Path(path).expanduser()).read_bytes()
    except (RuntimeError, ValueError) as error:  # the home of a user that there is not, a null byte
        raise OSError(f"{path!r}: {error}") from error


def inventories(roots: list[pathlib.Path]) -> list[str]:
    """Return the inventories below the given directories: folders with a file in them, and single files."""
    found: dict[pathlib.Path, str] = {}
    for root in roots:
        for entry in sorted(root.iterdir()) if root.is_dir() else []:
            if entry.name.startswith(".") or entry.suffix in (".md", ".orig", ".bak") or entry.name in ("group_vars", "host_vars"):
                continue
            if entry.is_file() or (entry.is_dir() and any(child.is_file() and child.suffix != ".md" for child in entry.iterdir())):
                found.setdefault(entry.resolve(), str(entry))
    return list(found.values())


def _said(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return one warning for findings that are alike in all but host and text."""
    first = rows[0]
    where = f" (host {first['host']})" if first["host"] else ""
    more = f" And {len(rows) - 1} more alike." if len(rows) > 1 else ""
    return f"{first['variable']}{where}: {first['text']} [rule {first['rule']}] Fix: {first['fix']}{more}"


def translated(hostvars: dict[str, Any], renamed_rows: Mapping[str, Any]) -> list[str]:
    """Write new names of RDMA devices into the variables of hosts; return what has to be written into the inventory then.

    :param renamed_rows: host to rows as C(nic_names) returns them.
    """
    hosts: dict[tuple[str, str, str], list[str]] = {}
    for host, rows in renamed_rows.items():
        row = hostvars.get(host, {})
        changed = renamed.variables(row, renamed.names(rows))
        for name, value in changed.items():
            hosts.setdefault((name, json.dumps(row[name]), json.dumps(value)), []).append(host)
        hostvars[host] = {**row, **changed}
    return [
        f"{name} (host {', '.join(own)}) is {before}, by names that change. Write {after} into the inventory as soon as this run has given "
        "the names: until then the next run is refused. This run goes on with the new ones"
        for (name, before, after), own in hosts.items()
    ]


def vaulted(value: Any, path: str) -> Iterator[str]:
    """Yield the paths of what vault has encrypted."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from vaulted(item, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from vaulted(item, f"{path}[{index}]")
    elif value is not None and VaultHelper.get_ciphertext(value, with_tags=False) is not None:
        yield path


def refuse_vaulted(given: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise PlanError for variables of the plan that vault has encrypted: a plan is readable."""
    findings = Findings()
    for row in given.values():
        for name, value in row.items():
            for path in vaulted(value, name) if name.startswith("sglang_") else ():
                findings.add(
                    "input.vaulted", path, "is encrypted with vault, and a plan can be read by everybody who may run it",
                    "leave it out: this version carries no secrets",
                )
    findings.stop()


class ActionModule(ControllerAction):
    """Reads the inventory's variables, never a host."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the plan, or every finding with the inventories that exist."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _checked, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        task_vars = task_vars or {}
        if addresses.netaddr is None:
            return {**result, "failed": True, "msg": missing_required_lib("netaddr")}
        groups = {str(name): [str(host) for host in hosts] for name, hosts in task_vars["groups"].items()}
        given = {}
        for host in groups.get("all", []):
            # Asking for a host costs more than asking it for a name.
            row = task_vars["hostvars"][host]
            given[host] = {name: row.get(name) for name in READ}
        hostvars = {host: plain(row) for host, row in given.items()}
        tags, skipped = (
            [str(tag) for tag in task_vars.get(name, usual)] for name, usual in (("ansible_run_tags", ["all"]), ("ansible_skip_tags", []))
        )
        lenient = scope.NAMING if options["names_only"] or scope.names_only(tags, skipped) else ()
        warned = translated(hostvars, plain(options["renamed"]))
        translated(hostvars, plain(options["already_renamed"]))
        try:
            refuse_vaulted(given)
            facts = self._facts(options, groups.get("all", []), task_vars)
            plan = build(groups, hostvars, self._reader(task_vars), facts, lenient)
            if options["converge"]:
                playing = [str(host) for host in task_vars.get("ansible_play_hosts_all", [])]
                external = {host: plain(task_vars["hostvars"][host].get("stack_external") or {}) for host in playing}
                dry = options["names_dry"] and not self._task.check_mode
                scope.check(plan, playing, tags, skipped, dry=dry, external=external)
        except PlanError as error:
            return {**result, "failed": True, **self._refusal(error, task_vars)}
        if options["preliminary"] and any(row["rdma"] for row in plan["hosts"].values()):
            # The run goes on to look at the hosts, and then says what is left of the warnings.
            return {**result, "changed": False, "plan": plan, "warnings": [*result.get("warnings", []), *warned]}
        warned += [_said(entry.rows) for entry in reading.entries(row for row in plan["findings"] if row["severity"] == "warning")]
        return {**result, "changed": False, "plan": plan, "warnings": [*result.get("warnings", []), *warned]}

    def _facts(self, options: Mapping[str, Any], hosts: Sequence[str], task_vars: Mapping[str, Any]) -> dict[str, Any]:
        """Return the facts of the hosts that were looked at, in this run or before it."""
        if options["facts_directory"]:
            return saved(pathlib.Path(options["facts_directory"]), hosts)
        if not options["looked"]:
            return {}
        # Those that --limit leaves out may have changed since a fact cache remembers them.
        given = options["looked_hosts"]
        taking_part = {str(host) for host in (task_vars.get("ansible_play_hosts_all", []) if given is None else given)}
        facts = gathered(task_vars["hostvars"], [host for host in hosts if host in taking_part])
        new = {host: renamed.names(rows) for host, rows in plain(options["renamed"]).items()}
        return {host: renamed.facts(found, new.get(host, {})) for host, found in facts.items()}

    def _reader(self, task_vars: dict[str, Any]) -> Any:
        base = pathlib.Path(str(task_vars.get("inventory_dir") or self._loader.get_basedir()))
        return functools.partial(content, base)

    def _refusal(self, error: PlanError, task_vars: dict[str, Any]) -> dict[str, Any]:
        playbooks = pathlib.Path(str(task_vars.get("playbook_dir", ".")))
        found = inventories([pathlib.Path.cwd() / "inventory", playbooks / "inventory", playbooks.parent / "inventory"])
        given = [str(source) for source in task_vars.get("ansible_inventory_sources") or []]
        lines = [f"The inventory cannot be planned; nothing was changed on any host. {len(error.findings)} finding(s):"]
        lines += [f"- {finding}" for finding in error.findings]
        lines.append("Inventory given: " + (", ".join(given) or "none (name one with -i)"))
        lines.append("Inventories found: " + (", ".join(found) or "none"))
        return {"msg": "\n".join(lines), "findings": [vars(finding) for finding in error.findings], "inventories": found,
                "draft": error.draft or {}}
