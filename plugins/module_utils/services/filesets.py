# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of text files that belongs to one service: what it should be, what is there, what differs."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence


@dataclass(frozen=True)
class File:
    """One file.

    :ivar mode: permission bits.
    :ivar restart: whether the service reads it only when it starts, so that a change asks for a restart.
    :ivar reload: a unit to restart when this file changes (for example systemd-journald.service), or an empty text.
    """

    path: str
    content: str
    mode: int = 0o644
    restart: bool = True
    reload: str = ""


@dataclass(frozen=True)
class Change:
    """A difference: C(before) is None where the file does not exist, C(after) is None where it must go."""

    path: str
    before: Optional[str]
    after: Optional[str]
    mode: int = 0o644

    def diff(self) -> Dict[str, str]:
        """Return it as Ansible shows it."""
        return {
            "before_header": self.path,
            "after_header": self.path,
            "before": self.before if self.before is not None else "",
            "after": self.after if self.after is not None else "",
        }


def _read(path: str) -> Optional[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def _mode(path: str) -> int:
    return os.stat(path).st_mode & 0o7777


def differences(wanted: Sequence[File], directories: Sequence[str] = ()) -> List[Change]:
    """Return how the wanted files differ from those on disk.

    :param directories: directories that hold nothing but wanted files; anything else in them must go.
    """
    changes = []
    for file in wanted:
        before = _read(file.path)
        if before != file.content or _mode(file.path) != file.mode:
            changes.append(Change(file.path, before, file.content, file.mode))
    paths = {file.path for file in wanted}
    for directory in directories:
        for parent, _names, files in os.walk(directory):
            for name in sorted(files):
                path = os.path.join(parent, name)
                if path not in paths:
                    changes.append(Change(path, _read(path), None))
    return changes


def identity(wanted: Sequence[File], links: Sequence[str], roots: Dict[str, str]) -> str:
    """Return one digest of everything that a service reads when it starts.

    :param links: links whose target counts (the stack's).
    :param roots: targets already known, by link: what a run in check mode would make of them.
    """
    rows: List[object] = [[file.path, file.content] for file in wanted if file.restart]
    rows += [[link, roots.get(link) or os.path.realpath(link)] for link in links]
    return hashlib.sha256(json.dumps(rows).encode("utf-8", "surrogateescape")).hexdigest()[:16]
