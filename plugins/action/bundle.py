# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs what a run has gathered into one archive; the documentation is that of the module of the same name."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ansible._internal._datatag._tags import Origin
from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultHelper
from ansible.utils.display import Display

from ansible_collections.railyard.sglang.plugins.action.host_compare import names_of
from ansible_collections.railyard.sglang.plugins.module_utils.bundle import pack, secrets
from ansible_collections.railyard.sglang.plugins.module_utils.bundle.replacing import Replacing, versions_of
from ansible_collections.railyard.sglang.plugins.plugin_utils.controller import ControllerAction
from ansible_collections.railyard.sglang.plugins.plugin_utils.plain import plain

SPEC: dict[str, dict[str, Any]] = {
    "source": {"type": "str", "default": ""},
    "dest": {"type": "path", "required": True},
    "map": {"type": "path", "required": True},
    "plan": {"type": "dict", "default": {}},
    "findings": {"type": "list", "elements": "dict", "default": []},
    "hosts": {"type": "list", "elements": "str", "required": True},
    "proof": {"type": "path"},
    "replace": {"type": "bool", "default": True},
    "checks": {"type": "bool", "default": True},
    "versions": {"type": "bool", "default": True},
}
# What the tasks of playbooks/collect.yml have registered on the hosts, and the facts that they have gathered.
STATES, JOURNAL, CHECKED, LOOKED, TIMED, STACKS, FAILED = (
    "collect_states", "collect_journal", "collect_checked", "collect_looked", "collect_clock", "collect_stacks", "collect_failed",
)  # fmt: skip
RDMA, CLOCK, VERSIONS = "rdma", "sglang_clock", "sglang_versions"
VAULT = b"$ANSIBLE_VAULT"
# What the inventory has not said: gathered, or all of it once more.
MAGIC = ("ansible_facts", "hostvars", "groups", "vars")
PROOF = ("proof.json", "proof.txt", "proof.html")
ROOT = pathlib.Path(__file__).resolve().parents[2]
# Seconds between two lines about how far it is.
EVERY = 10.0
Row = Mapping[str, Any]
display = Display()


def version(root: pathlib.Path = ROOT) -> str:
    """Return the collection's version, of an installed one and of a checkout; empty where neither says it."""
    try:
        return str(json.loads((root / "MANIFEST.json").read_text(encoding="utf-8"))["collection_info"]["version"])
    except (OSError, ValueError, KeyError):
        pass
    try:
        found = re.search(r"^version: *(\S+)", (root / "galaxy.yml").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1) if found else ""


@functools.cache
def encrypted_file(path: str) -> bool:
    """Return whether vault has encrypted a file as a whole."""
    try:
        with open(path, "rb") as stream:
            return stream.read(len(VAULT)) == VAULT
    except OSError:
        return False


def was_encrypted(value: Any) -> bool:
    """Return whether vault has encrypted a value, by itself or with all of its file: values of a file say where they come from."""
    if VaultHelper.get_ciphertext(value, with_tags=False) is not None:
        return True
    origin = Origin.get_tag(value)
    return origin is not None and bool(origin.path) and encrypted_file(str(origin.path))


def decrypted(value: Any) -> Iterator[str]:
    """Yield what vault has encrypted."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from decrypted(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from decrypted(item)
    elif value is not None and not isinstance(value, bool) and was_encrypted(value):
        yield str(value)


def secrets_of(hostvars: Any, hosts: Sequence[str]) -> list[str]:
    """Return the values of variables that are secrets by their names, and of those that vault has encrypted.

    What is a template is taken as what it becomes, too: that is what engines are told.
    """
    found: set[str] = set()
    for host in hosts:
        named: dict[str, Any] = {}
        for name, value in hostvars.raw_get(host).items():
            if str(name) in MAGIC:
                continue
            try:
                hidden = list(decrypted(value))
                found.update(hidden)
                templates = any(sign in text for text in hidden for sign in ("{{", "{%"))
                nested = secrets.values({str(name): plain(value)})
                if not (templates or nested or secrets.SECRET_NAME.search(str(name))):
                    continue
                found.update(nested)
                told = plain(hostvars[host].get(name))
                named[name] = told
                if templates:
                    found.update(text for text in secrets.texts(told) if len(text) >= secrets.SHORTEST)
            except AnsibleError:
                # A variable that cannot be told was not used either.
                continue
        found.update(secrets.values(named))
    return sorted(found)


def reason(row: Any, otherwise: str) -> str:
    """Return what a task says of its failure."""
    text = str(row.get("msg") or row.get("stderr") or "") if isinstance(row, Mapping) else ""
    return " ".join(text.split())[:500] or otherwise


def units_of(row: Row) -> dict[str, Any]:
    """Return unit to what systemd says of it; where none was planned, of those whose journal was read."""
    known = (row.get(STATES) or {}).get("units") or {}
    return known or {str(unit.get("Id")): unit for unit in (row.get(JOURNAL) or {}).get("units") or []}


def told_of(row: Row) -> dict[str, Any]:
    """Return what the manifest says of a host's journal: how the host calls itself, since when it is whole, whether it was cut off."""
    journal = row.get(JOURNAL) or {}
    return {"hostname": str(journal.get("hostname") or ""), "begins": journal.get("begins"), "cut": bool(journal.get("cut"))}


def facts_of(row: Row) -> dict[str, Any]:
    """Return what this run has gathered of a host: a fact cache may hold what another one did."""
    found: dict[str, Any] = {}
    for name in (LOOKED, TIMED, STACKS):
        found.update((row.get(name) or {}).get("ansible_facts") or {})
    return found


def missing(row: Row, ranks: bool, dry: bool, without: Collection[str] = ()) -> dict[str, str]:
    """Return what is not to be had of a host, and why.

    :param row: what is known of it: results of tasks.
    :param ranks: whether an engine is planned on it.
    :param dry: whether nothing was fetched.
    :param without: what was not asked for, V(checks) or V(versions).
    """
    states = row.get(STATES)
    if not isinstance(states, Mapping):
        return {"host": "not looked at in this run"}
    if states.get("unreachable"):
        return {"host": f"{pack.NOT_REACHED}: {reason(states, 'no reason was given')}"}
    found = {}
    facts = facts_of(row)
    journal = row.get(JOURNAL)
    if "units" not in states:
        found["units"] = reason(states, "systemd did not answer")
    elif not units_of(row) and not dry:
        found["units"] = "none is planned, and the host knows of none that is called sglang-*"
    if not dry:
        if not isinstance(journal, Mapping) or "entries" not in journal:
            found["journal"] = reason(journal, str(row.get(FAILED) or "the journal was not read"))
        elif row.get(FAILED):
            found["journal"] = str(row[FAILED])
        elif journal["cut"]:
            found["journal"] = "the newest messages only: there were more than collect_lines or collect_max_mib, or it took too long"
        elif not journal["entries"]:
            found["journal"] = "no message of the planned units since collect_since"
    if RDMA not in facts:
        found["facts"] = reason(row.get(LOOKED), "the host was not looked at")
    if ranks and "checks" not in without and "checks" not in (row.get(CHECKED) or {}):
        found["checks"] = reason(row.get(CHECKED), "the host checks did not run")
    if VERSIONS not in facts and "versions" not in without:
        found["versions"] = reason(row.get(STACKS), "the stacks were not looked at")
    return found


def dotted(value: Any) -> Iterator[str]:
    """Yield all texts of a document, keys left out."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from dotted(item)
    elif isinstance(value, list):
        for item in value:
            yield from dotted(item)
    elif isinstance(value, str):
        yield value


def address_of(hostvars: Any, host: str) -> str:
    """Return by what a host is reached; its name where that cannot be told."""
    try:
        return str(plain(hostvars[host].get("ansible_host")) or host)
    except AnsibleError:
        return host


def known_versions(source: str, plan: Row) -> list[str]:
    """Return the four-part versions among what is installed, without addresses of the plan."""
    try:
        document = json.loads((pathlib.Path(source) / "versions/versions.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    used = set(re.findall(r"\d+(?:\.\d+){3}", json.dumps(plan)))
    return [text for text in versions_of(dotted(document)) if text not in used]


class _Progress:
    """Says now and then how much was read."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, share: float) -> None:
        now = time.monotonic()
        if now - self._last >= EVERY:
            self._last = now
            display.display(f"bundle: {share:4.0%}")


class ActionModule(ControllerAction):
    """Touches nothing but files of the controller."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Pack, and tell what is in it and what is not."""
        result, given = self.begin(tmp, task_vars, SPEC)
        hostvars = (task_vars or {})["hostvars"]
        hosts = [host for host in given["hosts"] if host in hostvars]
        rows = {host: hostvars.raw_get(host) for host in hosts}
        dest, place = (pathlib.Path(given[name]).absolute() for name in ("dest", "map"))
        slices = given["plan"].get("hosts") or {}
        dry = self._task.check_mode or not given["source"]
        without = [name for name in ("checks", "versions") if not given[name]]
        lacking = {
            host: found for host, row in rows.items() if (found := missing(row, bool((slices.get(host) or {}).get("ranks")), dry, without))
        }
        try:
            items = pack.ordered([*pack.files_below(given["source"]), *self._items(given, rows, slices)])
            made = time.time()
            about = {
                "collection": {"name": "railyard.sglang", "version": version()},
                "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(made)),
                "replaced": given["replace"],
                "hosts": {
                    host: {"in_plan": host in slices, **told_of(rows[host]), "missing": plain(lacking.get(host, {}))} for host in hosts
                },
            }
            result |= {"changed": True, "archive": str(dest), "map": str(place) if given["replace"] else "", "missing": plain(lacking)}
            if self._task.check_mode:
                names = sorted({item.name for item in items})
                return {**result, "files": names, "replaced": {}, "msg": f"{dest} would be written"}
            packer, replacing = self._packer(given, hostvars, hosts)
            packer.learn(items, json.dumps(about, ensure_ascii=False))
            packed = packer.write(items, about, str(dest), made)
            pairs = replacing.pairs if replacing is not None else {}
            if replacing is not None:
                pack.save(str(place), json.dumps({"of": packed.sha256, "made": about["made"], "replaced": pairs}, indent=1) + "\n")
            else:
                place.unlink(missing_ok=True)
        except pack.BundleError as error:
            return {**result, "changed": False, "failed": True, "msg": f"hosts: {error} [rule bundle.names]"}
        except OSError as error:
            fix = "name a directory of the controller that can be written and has room with collect_directory"
            where = error.filename or dest
            return {**result, "changed": False, "failed": True, "msg": f"dest: {where}: {error.strerror} [rule bundle.write] Fix: {fix}"}
        names = [row["name"] for row in packed.files]
        notes = [f"{host}: {what}: {why}" for host, found in lacking.items() for what, why in found.items()]
        notes += [f"{name}: {why}" for name, why in packed.problems.items()]
        lines = [f"{dest}: {len(names)} files of {len(hosts)} hosts, {packed.size} bytes"]
        if replacing is not None:
            lines.append(f"{place}: what was replaced by what. It is yours: keep it, and do not send it")
        lines += [f"  {text}" for text in notes]
        display.display("\n" + "\n".join(lines))
        counts = {kind: len(table) for kind, table in pairs.items()}
        return {**result, "size": packed.size, "sha256": packed.sha256, "files": names, "replaced": counts, "msg": "\n".join(lines)}

    def _packer(self, given: Row, hostvars: Any, hosts: Sequence[str]) -> tuple[pack.Packer, Replacing | None]:
        """Return what packs, with all that is known of secrets and names."""
        masked = secrets.Secrets(secrets_of(hostvars, hosts))
        replacing = None
        if given["replace"]:
            known = [name for host in hosts for name in (host, address_of(hostvars, host), told_of(hostvars.raw_get(host))["hostname"])]
            replacing = Replacing(known, known_versions(given["source"], given["plan"]))
        return pack.Packer(masked, replacing, _Progress()), replacing

    @staticmethod
    def _items(given: Row, rows: Mapping[str, Row], slices: Mapping[str, Any]) -> list[pack.Item]:
        """Return the files that are made of what tasks have returned."""
        there = {item.name for item in pack.files_below(given["source"])}
        found = [pack.readme(), pack.json_item(pack.FINDINGS, given["findings"] or given["plan"].get("findings") or [])]
        if given["plan"]:
            found.append(pack.json_item("plan/plan.json", given["plan"]))
        files = names_of(rows)
        for host, row in rows.items():
            if host in slices:
                found.append(pack.json_item(f"plan/hosts/{files[host]}", slices[host]))
            facts = facts_of(row)
            parts = {
                "units": units_of(row),
                "checks": (row.get(CHECKED) or {}).get("checks"),
                # Where hosts were compared, theirs are written down already.
                "facts": {} if f"facts/{files[host]}" in there else {key: facts[key] for key in (RDMA, CLOCK) if facts.get(key)},
                "versions": facts.get(VERSIONS),
            }
            found += [pack.json_item(f"{part}/hosts/{files[host]}", plain(value)) for part, value in parts.items() if value]
        for name in PROOF:
            path = os.path.join(given["proof"] or "", name)
            if given["proof"] and os.path.isfile(path):
                found.append(pack.Item(f"proof/{name}", path))
        return found
