# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is installed on a host below the links of stacks, read without running anything of it."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.locks import normalise
from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import link_target, marked_trees, read_marker

ABSENT, FOREIGN, DANGLING, INCOMPLETE, COMPLETE = "absent", "foreign", "dangling", "incomplete", "complete"
INFO = ".dist-info"
PYTHON = re.compile(r"^version(?:_info)?\s*=\s*(\d+\.\d+(?:\.\d+)?)", re.MULTILINE)


def site_packages(tree: Path) -> list[Path]:
    """Return the directories of a virtual environment that hold packages: one, unless somebody put another beside it."""
    return sorted(path for path in tree.glob("lib/python3.*/site-packages") if path.is_dir())


def python_of(tree: Path) -> str:
    """Return the version of the Python that an environment was made with, empty if it does not say."""
    try:
        match = PYTHON.search((tree / "pyvenv.cfg").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return ""
    return match[1] if match else ""


def packages_of(tree: Path) -> dict[str, str]:
    """Return the versions of the distributions of an environment by normalised name.

    A distribution that is there twice, as after an install over another one, has both versions, with a comma between them.
    """
    found: dict[str, set[str]] = {}
    for directory in site_packages(tree):
        for entry in directory.glob(f"*{INFO}"):
            name, _dash, version = entry.name[: -len(INFO)].partition("-")
            found.setdefault(normalise(name), set()).add(version)
    return {name: ", ".join(sorted(versions)) for name, versions in sorted(found.items())}


def _digest(path: Path) -> str:
    """Return the sha256 of a file as RECORD writes it, empty if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
    except OSError:
        return ""
    return base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()


def _recorded(directory: Path) -> Iterable[tuple[str, str]]:
    """Yield path (relative to site-packages) and digest of every file whose digest an installed wheel has recorded."""
    for record in sorted(directory.glob(f"*{INFO}/RECORD")):
        with record.open(encoding="utf-8", newline="") as stream:
            for row in csv.reader(stream):
                if len(row) >= 2 and row[1].startswith("sha256="):
                    yield row[0], row[1][len("sha256=") :]


def altered(tree: Path) -> list[str]:
    """Return the files, relative to site-packages, that are missing or are not what their wheel has installed.

    Patches of a definition alter files too: whoever knows the definition leaves those out. Raises OSError.
    """
    found = []
    for directory in site_packages(tree):
        rows = list(_recorded(directory))
        with ThreadPoolExecutor(max_workers=max(1, min(8, os.cpu_count() or 1))) as pool:
            digests = pool.map(_digest, (directory / path for path, _wanted in rows))
            found += [path for (path, wanted), digest in zip(rows, digests) if digest != wanted]
    return sorted(set(found))


def unplanned(store: Path, planned: Iterable[str]) -> list[dict[str, Any]]:
    """Return the complete trees of a store whose stacks are not planned: stack, tree, mib (None: it is not recorded).

    CUDA toolkits, which the role cuda has made of archives, lie there, too, and are no stacks.
    """
    names = set(planned)
    rows = [(tree, marker) for tree, marker in marked_trees(store) if marker.get("stack") not in names and "archives" not in marker]
    return [{"stack": str(marker.get("stack")), "tree": str(tree), "mib": marker.get("mib")} for tree, marker in rows]


def look_at(root: Path, name: str, verify: bool = False) -> dict[str, Any]:
    """Return what is installed as a stack.

    Keys: link, state (absent: nothing there; foreign: no link; dangling: a link to nothing; incomplete: a tree without a marker; complete),
    tree, id (of the marker), python (version), packages (version by name), altered (files; None unless verify), and for an environment that
    somebody else has made, external (its path) and accepted (versions by name when it was tested, of those in its own site-packages).
    Raises OSError, and StackError for a tree of a newer version of the collection.
    """
    link = root / name
    row: dict[str, Any] = {"link": str(link), "state": ABSENT, "tree": "", "id": "", "python": "", "packages": {}, "altered": None}
    row.update(external="", accepted={})
    try:
        target = link_target(link)
    except StackError:
        return {**row, "state": FOREIGN}
    if target is None:
        return row
    tree = target if target.is_absolute() else link.parent / target
    row["tree"] = str(tree)
    if not tree.is_dir():
        return {**row, "state": DANGLING}
    marker = read_marker(tree)
    row["state"] = INCOMPLETE if marker is None else COMPLETE
    row["id"] = str((marker or {}).get("id", ""))
    external = (marker or {}).get("external")
    if marker and external:
        row["external"] = str(external["path"])
        tree = Path(row["external"])
    row["python"] = python_of(tree)
    row["packages"] = packages_of(tree)
    if marker and external:
        # Markers of version 0.1.0 before the key "own" do not tell them from those of the system.
        seen = {name: version for name, version in marker["packages"].items() if name in row["packages"]}
        row["accepted"] = dict(marker.get("own", seen))
    if verify:
        row["altered"] = altered(tree)
    return row
