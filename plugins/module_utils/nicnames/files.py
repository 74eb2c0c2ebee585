# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of files that changes as one: all beside their places first, then all renamed, then what is stale removed; and back again."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Set

#: Takes the path of an unfinished file and its final path, and gives it the security context that belongs there.
Label = Callable[[str, str], None]
CONTEXT = "security.selinux"


def no_label(_unfinished: str, _final: str) -> None:
    """Give a file no security context of its own."""


@dataclass(frozen=True)
class Image:
    """A file as it was, or that there was none.

    :ivar content: None where there was none.
    :ivar context: SELinux context, None where the file system has none.
    """

    content: Optional[bytes] = None
    mode: int = 0o644
    owner: int = 0
    group: int = 0
    modified_ns: int = 0
    context: Optional[bytes] = None

    def about(self) -> Dict[str, Any]:
        """Return everything but the content, for a journal."""
        context = None if self.context is None else self.context.decode("latin-1")
        return {"there": self.content is not None, "mode": self.mode, "owner": self.owner, "group": self.group,
                "modified_ns": self.modified_ns, "context": context}

    @classmethod
    def of(cls, about: Mapping[str, Any], content: Optional[bytes]) -> Image:
        """Return it from a journal."""
        context = about["context"]
        return cls(content if about["there"] else None, about["mode"], about["owner"], about["group"], about["modified_ns"],
                   None if context is None else str(context).encode("latin-1"))


def context_of(path: str) -> Optional[bytes]:
    """Return the SELinux context of a file, None where the file system has none."""
    try:
        return os.getxattr(path, CONTEXT, follow_symlinks=False)
    except OSError:
        return None


def image(path: str) -> Image:
    """Return a file as it is.

    :raises OSError: it is no plain file, or cannot be read.
    """
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)) as stream:
            about = os.fstat(stream.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise OSError(0, "is no plain file", path)
            content = stream.read()
    except FileNotFoundError:
        return Image()
    return Image(content, stat.S_IMODE(about.st_mode), about.st_uid, about.st_gid, about.st_mtime_ns, context_of(path))


def same(path: str, wanted: Image) -> bool:
    """Whether a file is as wanted already."""
    now = image(path)
    if now.content is None or wanted.content is None:
        return now.content is wanted.content
    return (now.content, now.mode, now.owner, now.group, now.context) == (
        wanted.content, wanted.mode, wanted.owner, wanted.group, wanted.context or now.context)


def unfinished(path: str) -> str:
    """Return where a file is before it is renamed; NetworkManager, udev and systemd read no such name."""
    directory, name = os.path.split(path)
    return f"{directory}/.{name}.railyard-unfinished"


def settle(path: str) -> None:
    """Wait until a directory is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def missing_directories(paths: Iterable[str]) -> List[str]:
    """Return the directories above some paths that are not there, the upper ones first."""
    found: Set[str] = set()
    for path in paths:
        directory = os.path.dirname(path)
        while directory not in ("", "/") and not os.path.isdir(directory):
            found.add(directory)
            directory = os.path.dirname(directory)
    return sorted(found)


def lay(path: str, wanted: Image, label: Label = no_label) -> None:
    """Write a file beside its place, on the disk before this returns."""
    beside = unfinished(path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(beside)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(wanted.content or b"")
        stream.flush()
        os.fchown(stream.fileno(), wanted.owner, wanted.group)
        os.fchmod(stream.fileno(), wanted.mode)
        if wanted.context is not None:
            with contextlib.suppress(OSError):
                os.setxattr(beside, CONTEXT, wanted.context)
        else:
            label(beside, path)
        if wanted.modified_ns:
            os.utime(beside, ns=(wanted.modified_ns, wanted.modified_ns))
        os.fsync(stream.fileno())


def put(wanted: Mapping[str, Image], label: Label = no_label) -> List[str]:
    """Make a set of files as wanted: those without content go.

    Cut off at any point, each file is as before or as wanted, and none whose name another file takes is lost.

    :returns: the paths that were written or removed.
    :raises OSError: the file system refused.
    """
    changed = {path: each for path, each in wanted.items() if not same(path, each)}
    for directory in missing_directories(path for path, each in changed.items() if each.content is not None):
        os.mkdir(directory, 0o755)
        label(directory, directory)
    for path, each in changed.items():
        if each.content is not None:
            lay(path, each, label)
    for path, each in changed.items():
        if each.content is not None:
            os.rename(unfinished(path), path)
    for path, each in changed.items():
        if each.content is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
    for directory in sorted({os.path.dirname(path) for path in changed}):
        if os.path.isdir(directory):
            settle(directory)
    return sorted(changed)


def sweep(paths: Iterable[str]) -> None:
    """Remove what an interrupted run has left beside some paths."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(unfinished(path))
