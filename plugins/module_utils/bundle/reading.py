# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bundle holds besides logs: what the plan's contract and the host checks have said, how units stood, what was not to be had.

A bundle comes from others: nothing in it is taken for what it should be before it was looked at.
"""

from __future__ import annotations

import functools
import json
import os
import re
import stat
import tarfile
import zlib
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, List, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.bundle import recognising
from ansible_collections.railyard.sglang.plugins.module_utils.bundle.pack import (
    CHECKS,
    COMPARED,
    FINDINGS,
    LOGS,
    MANIFEST,
    NOT_REACHED,
    UNITS,
)
from ansible_collections.railyard.sglang.plugins.module_utils.report.keeping import file_of

# Larger files are none that are looked for, and all of them together are not larger than that.
LARGEST, TOTAL = 64 << 20, 256 << 20
_WANTED = re.compile("|".join(map(re.escape, (MANIFEST, FINDINGS, COMPARED))) + rf"|(?:{re.escape(CHECKS)}|{re.escape(UNITS)})[^/]+\.json")
BROKEN = (OSError, EOFError, ValueError, RecursionError, tarfile.TarError, zlib.error)


@dataclass
class Evidence:
    """What is known besides the logs.

    :ivar findings: of the plan's contract.
    :ivar checks: of each host the rows of the host checks.
    :ivar compared: what the comparison of the hosts found.
    :ivar journals: of each host what M(railyard.sglang.unit_journal) returned: C(units), C(hostname), C(begins).
    :ivar unreachable: hosts that were not reached.
    :ivar not_read: C(file) and C(why) of what the bundle does not hold, and of what could not be read in it.
    """

    findings: List[Dict[str, Any]] = field(default_factory=list)
    checks: Dict[str, List[Dict[str, Any]]] = field(default_factory=dict)
    compared: List[Dict[str, Any]] = field(default_factory=list)
    journals: Dict[str, Dict[str, Any]] = field(default_factory=dict)
    unreachable: List[str] = field(default_factory=list)
    not_read: List[Dict[str, str]] = field(default_factory=list)


Member = Tuple[str, int, Callable[[], bytes]]


def _members(path: str) -> Iterator[Member]:
    """Yield the files that are looked for, of an archive or a directory: name within the bundle, bytes, and what reads one."""
    if os.path.isdir(path):
        root = recognising.in_directory(path)
        if root is None:
            return
        folders = ("", os.path.dirname(FINDINGS), os.path.dirname(COMPARED), CHECKS, UNITS)
        for name in (os.path.join(folder, name) for folder in folders for name in _listed(os.path.join(root, folder))):
            if _WANTED.fullmatch(name):
                full = os.path.join(root, name)
                yield name, _size(full, root), functools.partial(_read, full)
        return
    found = recognising.in_archive(path)
    if found is None:
        return
    with tarfile.open(path) as archive:
        for entry in archive:
            name = entry.name[len(found.root) :] if entry.name.startswith(found.root) else ""
            if found.first and name.startswith(LOGS):
                return
            inner = archive.extractfile(entry) if entry.isreg() and _WANTED.fullmatch(name) else None
            if inner is not None:
                yield name, entry.size, inner.read


def _listed(path: str) -> List[str]:
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []


def _size(path: str, root: str) -> int:
    """Return the bytes of a plain file; -1 of what is none, or lies outside."""
    try:
        outside = os.path.commonpath((os.path.realpath(path), os.path.realpath(root))) != os.path.realpath(root)
        found = os.stat(path)
    except OSError:
        return 0
    return -1 if outside or not stat.S_ISREG(found.st_mode) else found.st_size


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read(LARGEST)


def _rows(value: Any) -> List[Dict[str, str]]:
    """Return those of a list that are rows of a table, all of their values as texts: they are compared and sorted."""
    rows = [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
    return [{key: "" if text is None else str(text) for key, text in row.items()} for row in rows]


def _why(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)[:200] or type(error).__name__


def evidence(path: str) -> Evidence:
    """Return what a bundle says; nothing where a path is no bundle."""
    found = Evidence()
    documents: Dict[str, Any] = {}
    left = TOTAL
    try:
        for name, size, read in _members(path):
            if not 0 <= size <= min(LARGEST, left):
                why = "not a plain file of the bundle" if size < 0 else f"{size} bytes, more than is read"
                found.not_read.append({"file": name, "why": why})
                continue
            left -= size
            try:
                documents[name] = json.loads(read())
            except BROKEN as error:
                found.not_read.append({"file": name, "why": _why(error)})
    except BROKEN as error:
        found.not_read.append({"file": os.path.basename(path), "why": _why(error)})
    _understood(documents, found)
    return found


def _understood(documents: Dict[str, Any], found: Evidence) -> None:
    """Sort documents, by their names in the bundle, into what they tell."""
    manifest = documents.get(MANIFEST)
    manifest = manifest if isinstance(manifest, dict) else {}
    told = manifest.get("hosts")
    hosts = {host: row for host, row in told.items() if isinstance(row, dict)} if isinstance(told, dict) else {}
    names = {file_of(host): host for host in hosts}
    found.findings = _rows(documents.get(FINDINGS))
    summary = documents.get(COMPARED)
    found.compared = _rows(summary.get("findings") if isinstance(summary, dict) else None)
    for name, value in documents.items():
        file = os.path.basename(name)
        host = names.get(file, file[: -len(".json")])
        if name.startswith(CHECKS):
            found.checks[host] = _rows(value)
        elif name.startswith(UNITS) and isinstance(value, dict):
            units = [{"Id": str(unit), **row} for unit, row in value.items() if isinstance(row, dict)]
            found.journals[host] = {"units": [{key: str(text) for key, text in row.items()} for row in units]}
    for host, row in hosts.items():
        missing = row.get("missing")
        missing = missing if isinstance(missing, dict) else {}
        if str(missing.get("host", "")).startswith(NOT_REACHED):
            found.unreachable.append(host)
        if "journal" in missing:
            found.not_read.append({"file": host, "why": f"its journal: {missing['journal']}"})
        if isinstance(row.get("hostname"), str) and row["hostname"]:
            found.journals.setdefault(host, {})["hostname"] = row["hostname"]
        if isinstance(row.get("begins"), float):
            found.journals.setdefault(host, {})["begins"] = row["begins"]
    incomplete = manifest.get("incomplete")
    found.not_read += [{"file": str(name), "why": str(why)} for name, why in (incomplete.items() if isinstance(incomplete, dict) else ())]
