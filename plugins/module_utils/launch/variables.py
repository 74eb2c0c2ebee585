# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with one environment variable of a process. Several together: variables_together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import variable_tables as tables

OWN = ("SGLANG_", "SGL_")
UNCHECKED = "compare the spelling with the document of the program that reads it"


@dataclass(frozen=True)
class Verdict:
    """What is wrong with one variable, or with several together.

    :ivar severity: V(error) (will not do what was meant), V(warning) or V(note).
    """

    rule: str
    severity: str
    text: str
    fix: str


@dataclass(frozen=True)
class Context:
    """What a process is and uses.

    :ivar engine: version of sglang.
    :ivar backend: transfer backend of the KV cache.
    :ivar device: V(cuda), V(rocm), V(npu) or V(cpu).
    :ivar multi_host: whether the instance spans hosts.
    :ivar uses: further features: V(rdma), V(deepep), V(hicache), V(nccl) (implied by GPUs).
    :ivar mooncake: version of Mooncake, empty when it is not known.
    """

    engine: str = "0.5.8"
    backend: str = "mooncake"
    device: str = "cuda"
    multi_host: bool = False
    uses: frozenset[str] = frozenset()
    mooncake: str = ""

    @property
    def features(self) -> frozenset[str]:
        """Everything that a condition can name."""
        implied = {self.backend, self.device, "mooncake" if self.backend.startswith("mooncake") else self.backend}
        implied |= {"nccl"} if self.device in ("cuda", "rocm") else set()
        implied |= {"multi_host"} if self.multi_host else set()
        return self.uses | implied

    def version(self, package: str) -> str:
        """Return the version of a package, empty when it is not known."""
        return {"sglang": self.engine, "mooncake": self.mooncake}.get(package, "")


def _meets(version: str, wanted: str) -> bool:
    """Whether a version meets <=BOUND or >BOUND."""
    return tables.older(wanted.lstrip("<=>"), version) == wanted.startswith(">")


def applies(when: Mapping[str, Any], value: str | None, context: Context) -> bool:
    """Whether the condition of a rule is met; one on the value is not while the value is not known."""
    if {"value", "above", "below"} & set(when) and value is None:
        return False
    number = tables.number(value or "")
    features = context.features
    return all(
        (
            "value" not in when or bool(re.fullmatch(when["value"], value or "")),
            "above" not in when or (number is not None and number > when["above"]),
            "below" not in when or (number is not None and number < when["below"]),
            "with" not in when or bool(features & set(when["with"])),
            "all" not in when or features >= set(when["all"]),
            "without" not in when or not features & set(when["without"]),
            "engine" not in when or _meets(context.engine, when["engine"]),
        )
    )


def _warning(rule: str, text: str, fix: str) -> list[Verdict]:
    return [Verdict("environment." + rule, "warning", text, fix)]


def _unknown(name: str, version: str, known: Mapping[str, dict[str, Any]]) -> list[Verdict]:
    """Judge a name of sglang's own that its version does not have."""
    used = {other: row for other, row in known.items() if other.startswith(OWN) and "unused" not in row}
    if name.startswith("SGL_") and "SGLANG_" + name[4:] in used:
        text = f"sglang {version} rewrites it to SGLANG_{name[4:]} at the start, and warns"
        return _warning("renamed", text, f"write SGLANG_{name[4:]}")
    elsewhere = [other for other, rows in tables.engines().items() if name in rows and "unused" not in rows[name]]
    if elsewhere:
        return _warning("version", f"sglang {version} does not read it; {', '.join(elsewhere)} does", "remove it, or use that version")
    wanted = "SGLANG_" + name[4:] if name.startswith("SGL_") else name
    return [Verdict("environment.unknown-sglang", "error", f"sglang {version} has no such variable", tables.nearest(wanted, used))]


def _engine(name: str, version: str) -> list[Verdict]:
    """Judge a name by the sources of one version of sglang."""
    known = tables.engines().get(version)
    if known is None:
        return [Verdict("environment.unknown", "note", f"not checked: there is no table of sglang {version}", "see sglang's own list")]
    row = known.get(name)
    if row is None or row.get("unused"):
        old = "SGL_" + name.removeprefix("SGLANG_")
        if row and "read" in known.get(old, {}):
            return _warning("never-read", f"sglang {version} reads it under its old name {old} only", f"write {old}")
        if row and name in tables.table():
            return []  # Read by another package, which the table names.
        if row:
            return _warning("never-read", f"is declared by sglang {version}, and nothing in that package uses it", "remove it")
        return _unknown(name, version, known)
    if "renamed" in row:
        return _warning("renamed", f"is an old name, which sglang {version} copies to {row['renamed']}", f"write {row['renamed']}")
    if "deprecated" in row:
        instead = " or ".join(row["deprecated"])
        if "declared" not in row and "read" not in row:
            return _warning("never-read", f"had a meaning once; sglang {version} only warns", f"see {instead}" if instead else "remove it")
        return _warning("renamed", f"is deprecated in sglang {version}", f"use {instead}" if instead else "remove it")
    return []


def _versions(entry: Mapping[str, Any], context: Context) -> list[Verdict]:
    """Judge by the versions from which and up to which a package other than sglang reads a variable."""
    found = []
    for package, first in entry.get("since", {}).items():
        version = context.version(package)
        if package != "sglang" and version and tables.older(version, first):
            found += _warning("version", f"{package} {version} does not read it: {first} is the first that does", "remove it")
    for package, last in entry.get("until", {}).items():
        version = context.version(package)
        if package != "sglang" and version and tables.older(last, version):
            found += _warning("version", f"{package} {version} does not read it any more: {last} was the last that did", "remove it")
    return found


def judge(name: str, value: str | None, context: Context) -> list[Verdict]:
    """Return what is wrong with one variable of a process; nothing for one that is legal and fine.

    :param value: the text that the process will see; V(None) when it is not known, so that only the name is judged.
    """
    entry = tables.table().get(name, {})
    known = tables.engines().get(context.engine, {})
    found = [
        Verdict(rule["rule"], rule["severity"], rule["text"], rule["fix"])
        for rule in entry.get("rules", ())
        if applies(rule.get("when", {}), value, context)
    ]
    moot = {"environment.never-read", "environment.overwritten", "environment.renamed"} & {
        verdict.rule for verdict in found if verdict.severity != "note"
    }
    if name.startswith(OWN) and not found:
        found += _engine(name, context.engine)
    elif not entry and name not in known:
        fix = tables.nearest(name, tables.table())
        found.append(Verdict("environment.unknown", "note", "not checked: not in the table", UNCHECKED if fix == "remove it" else fix))
    found += _versions(entry, context)
    only = entry.get("only_with")
    if only and not found and not context.features & set(only):
        text = f"nothing in this process reads it: only with {' or '.join(only)}"
        found.append(Verdict("environment.never-read", "note", text, "harmless; remove it where it is not meant"))
    legal = entry.get("value") or {"kind": known.get(name, {}).get("type", "text")}
    wrong = "" if value is None or moot else tables.problem(legal, value)
    if wrong:
        fix = "remove it to switch it off" if legal["kind"] == "presence" else legal.get("means", "see docs/environment.md")
        found.append(Verdict("environment.value", "error", wrong, fix))
    return found
