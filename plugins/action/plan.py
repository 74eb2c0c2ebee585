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
from ansible.plugins.action import ActionBase

from ansible_collections.railyard.sglang.plugins.module_utils.launch import addresses, scope
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings, PlanError
from ansible_collections.railyard.sglang.plugins.module_utils.launch.keys import CLUSTER, HOST
from ansible_collections.railyard.sglang.plugins.module_utils.launch.plan import build
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import reading

ARGUMENTS = {
    "converge": {"type": "bool", "default": True},
    "looked": {"type": "bool", "default": False},
    "preliminary": {"type": "bool", "default": False},
    "facts_directory": {"type": "path"},
}
READ = (*CLUSTER, *HOST, "ansible_host")


def plain(value: Any) -> Any:
    """Return a value without Ansible's own types, so that the plan is plain data."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    return str(value)


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


class ActionModule(ActionBase):
    """Reads the inventory's variables, never a host."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

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
        try:
            refuse_vaulted(given)
            plan = build(groups, hostvars, self._reader(task_vars), self._facts(options, groups.get("all", []), task_vars))
            if options["converge"]:
                scope.check(
                    plan,
                    [str(host) for host in task_vars.get("ansible_play_hosts_all", [])],
                    [str(tag) for tag in task_vars.get("ansible_run_tags", ["all"])],
                    [str(tag) for tag in task_vars.get("ansible_skip_tags", [])],
                )
        except PlanError as error:
            return {**result, "failed": True, **self._refusal(error, task_vars)}
        if options["preliminary"] and any(row["rdma"] for row in plan["hosts"].values()):
            # The run goes on to look at the hosts, and then says what is left of the warnings.
            return {**result, "changed": False, "plan": plan}
        warned = [_said(entry.rows) for entry in reading.entries(row for row in plan["findings"] if row["severity"] == "warning")]
        return {**result, "changed": False, "plan": plan, "warnings": [*result.get("warnings", []), *warned]}

    def _facts(self, options: Mapping[str, Any], hosts: Sequence[str], task_vars: Mapping[str, Any]) -> dict[str, Any]:
        """Return the facts of the hosts that were looked at, in this run or before it."""
        if options["facts_directory"]:
            return saved(pathlib.Path(options["facts_directory"]), hosts)
        # Those that --limit leaves out may have changed since a fact cache remembers them.
        taking_part = {str(host) for host in task_vars.get("ansible_play_hosts_all", [])}
        return gathered(task_vars["hostvars"], [host for host in hosts if host in taking_part]) if options["looked"] else {}

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
