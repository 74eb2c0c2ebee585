# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths in arguments and variables: those that have another place while kernels are compiled, and those whose content counts."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any, Dict, List, Mapping, Sequence


def moved(value: Any, places: Mapping[str, str]) -> Any:
    """Return a plain value with each path, and what is below it, at another place.

    A path is replaced wherever it stands as a whole path or the beginning of one: C(PYTHONPATH) holds several.

    :param places: new place by old one.
    """
    if isinstance(value, str):
        if not places:
            return value
        # The longest first: one may be below another.
        words = "|".join(re.escape(path) for path in sorted(places, key=len, reverse=True))
        return re.sub(rf"(?<![\w./-])(?:{words})(?![\w.-])", lambda match: places[match[0]], value)
    if isinstance(value, Mapping):
        return {name: moved(row, places) for name, row in value.items()}
    if isinstance(value, (list, tuple)):
        return [moved(row, places) for row in value]
    return value


def _sum(rows: Sequence[Mapping[str, str]], folder: str) -> str:
    text = "".join(f"{row['sha256']}  {row['path'][len(folder):]}\n" for row in sorted(rows, key=lambda row: row["path"]))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def contents(rows: Sequence[Mapping[str, str]], directory: str) -> Dict[str, str]:
    """Return what stands for each path in a key: the SHA-256 of a file, of a directory that of the names and sums below it.

    :param rows: C(path) and C(sha256) of files.
    :param directory: which all of them are in.
    """
    found = {row["path"]: f"sha256:{row['sha256']}" for row in rows}
    below: Dict[str, List[Mapping[str, str]]] = {}
    for row in rows:
        folder = os.path.dirname(row["path"])
        while folder.startswith(directory):
            below.setdefault(folder, []).append(row)
            folder = os.path.dirname(folder)
    return {**{folder: _sum(inside, folder) for folder, inside in below.items()}, **found}
