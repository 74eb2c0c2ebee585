# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bundle holds besides logs that confirms a finding: what the plan's contract and the host checks have said."""

from __future__ import annotations

import functools
import json
import os
import re
import tarfile
import zlib
from typing import Any, Callable, Dict, Iterator, List, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.bundle.pack import CHECKS, FINDINGS, LOGS, MANIFEST

# Larger files are none that are looked for.
LARGEST = 64 << 20
_BUNDLE = re.compile(rb'\s*\{\s*"bundle": \d')


def _members(path: str) -> Iterator[Tuple[str, Callable[[], bytes]]]:
    """Yield the files of an archive or a directory: name and what reads one. Logs come last in a bundle, and end it."""
    if os.path.isdir(path):
        folders = (os.path.dirname(FINDINGS), CHECKS)
        names = [MANIFEST, *(os.path.join(folder, name) for folder in folders for name in _listed(os.path.join(path, folder)))]
        for name in names:
            yield name, functools.partial(_read, os.path.join(path, name))
        return
    with tarfile.open(path) as archive:
        for entry in archive:
            if entry.name.startswith(LOGS):
                return
            inner = archive.extractfile(entry) if entry.isreg() and entry.size <= LARGEST else None
            if inner is not None:
                yield entry.name, inner.read


def _listed(path: str) -> List[str]:
    return sorted(os.listdir(path)) if os.path.isdir(path) else []


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read(LARGEST)


def evidence(path: str) -> Tuple[List[Any], Dict[str, Any]]:
    """Return the findings of the plan's contract and of each host the checks; none where a path is no bundle or cannot be read."""
    findings: List[Any] = []
    checks: Dict[str, Any] = {}
    try:
        for number, (name, read) in enumerate(_members(path)):
            if number == 0 and not (name == MANIFEST and _BUNDLE.match(read())):
                break
            if name == FINDINGS:
                findings = json.loads(read())
            elif name.startswith(CHECKS) and name.endswith(".json"):
                checks[os.path.basename(name)[: -len(".json")]] = json.loads(read())
    except (OSError, EOFError, ValueError, tarfile.TarError, zlib.error):
        return findings, checks
    return findings, checks
