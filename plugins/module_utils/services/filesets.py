# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of files that belongs to one service: what it should be, what is there, what differs."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence


@dataclass(frozen=True)
class File:
    """One file.

    :ivar mode: permission bits.
    :ivar restart: whether the service reads it only when it starts, so that a change asks for a restart.
    :ivar comments: whether lines that begin with # are comments, whose change asks for nothing.
    :ivar reload: a unit to restart when this file changes (for example systemd-journald.service), or an empty text.
    """

    path: str
    content: bytes
    mode: int = 0o644
    restart: bool = True
    comments: bool = False
    reload: str = ""


@dataclass(frozen=True)
class Change:
    """A difference: C(before) is None where the file does not exist, C(after) is None where it must go."""

    path: str
    before: Optional[bytes]
    after: Optional[bytes]
    mode: int = 0o644

    def diff(self) -> Dict[str, str]:
        """Return it as Ansible shows it."""
        return {
            "before_header": self.path,
            "after_header": self.path,
            "before": _shown(self.before),
            "after": _shown(self.after),
        }


def _shown(content: Optional[bytes]) -> str:
    try:
        return (content or b"").decode()
    except UnicodeDecodeError:
        return f"({len(content or b'')} bytes, SHA-256 {hashlib.sha256(content or b'').hexdigest()})\n"


def _read(path: str) -> Optional[bytes]:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _mode(path: str) -> int:
    return os.stat(path).st_mode & 0o7777


def differences(wanted: Sequence[File], directories: Sequence[str] = ()) -> List[Change]:
    """Return how the wanted files differ from those on disk, what must go first.

    :param directories: directories that hold nothing but wanted files; anything else in them must go.
    """
    paths = {file.path for file in wanted}
    changes = []
    for directory in directories:
        for parent, _names, files in os.walk(directory):
            for name in sorted(files):
                path = os.path.join(parent, name)
                if path not in paths:
                    changes.append(Change(path, _read(path), None))
    for file in wanted:
        before = _read(file.path)
        if before != file.content or _mode(file.path) != file.mode:
            changes.append(Change(file.path, before, file.content, file.mode))
    return changes


def significant(file: File) -> bytes:
    """Return the part of a file whose change means something: without comment lines where it has such."""
    if not file.comments:
        return file.content
    return b"".join(line for line in file.content.splitlines(keepends=True) if not line.startswith(b"#"))


def identity(wanted: Sequence[File], links: Sequence[str], roots: Dict[str, str]) -> str:
    """Return one digest of everything that a service reads when it starts, as its unit records it at each start.

    The text under the digest is made by the script of C(units.recorder): a SHA-256 and a path for each file, then each link's target.

    :param links: links whose target counts (the stack's).
    :param roots: targets already known, by link: what a run in check mode would make of them.
    """
    lines = [f"{hashlib.sha256(significant(file)).hexdigest()}  - {file.path}\n" for file in wanted if file.restart]
    lines += [os.path.realpath(roots.get(link) or link) + "\n" for link in links]
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]
