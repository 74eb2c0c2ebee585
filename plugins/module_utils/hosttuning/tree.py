# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's files below a root path: read, written so that nobody sees half of one, removed."""

from __future__ import annotations

import contextlib
import glob
import os
from typing import Callable, Iterable, List, Optional, Set

#: Takes the path of an unfinished file and its final path on the host, and gives it the security context that belongs there.
Label = Callable[[str, str], None]


def unlabelled(_unfinished: str, _final: str) -> None:
    """Give a file no security context of its own."""


def unfinished(path: str) -> str:
    """Return where a file is written before it is renamed; always the same, so that the next run finds what was left."""
    directory, name = os.path.split(path)
    return f"{directory}/.{name}.unfinished"


def above(paths: Iterable[str]) -> Set[str]:
    """Return every directory above some paths, without the root."""
    found: Set[str] = set()
    for path in paths:
        parts = path.split("/")[1:-1]
        found.update("/" + "/".join(parts[: number + 1]) for number in range(len(parts)))
    return found


class Tree:
    """A machine's file system, or one that stands for it.

    :ivar base: the root, without a slash at its end.
    """

    def __init__(self, root: str = "/", label: Label = unlabelled):
        self.base = root.rstrip("/")
        self._label = label

    def real(self, path: str) -> str:
        """Return where a path of the host is."""
        return self.base + path

    def read(self, path: str) -> Optional[bytes]:
        """Return a file's content, None where there is none."""
        try:
            with open(self.real(path), "rb") as stream:
                return stream.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def text(self, path: str) -> Optional[str]:
        """Return a file's text without the white space around it, None where there is none."""
        data = self.read(path)
        return None if data is None else data.decode("utf-8", "replace").strip()

    def find(self, pattern: str) -> List[str]:
        """Return the host's paths that match a pattern, in order; links that lead nowhere are among them."""
        return sorted(path[len(self.base) :] for path in glob.glob(glob.escape(self.base) + pattern))

    def exists(self, path: str) -> bool:
        """Whether something is there, be it a link that leads nowhere."""
        return os.path.lexists(self.real(path))

    def plain(self, path: str) -> bool:
        """Whether a path is a file and no link."""
        return os.path.isfile(self.real(path)) and not os.path.islink(self.real(path))

    def directory(self, path: str) -> bool:
        """Whether a path is a directory."""
        return os.path.isdir(self.real(path))

    def target(self, path: str) -> Optional[str]:
        """Return where a link leads, None where there is no link."""
        return os.readlink(self.real(path)) if os.path.islink(self.real(path)) else None

    def settle(self, handle: int) -> None:
        """Wait until a file or a directory is on the disk."""
        os.fsync(handle)

    def make(self, directory: str) -> None:
        """Make a directory and what is above it."""
        if directory in ("", "/") or self.directory(directory):
            return
        self.make(os.path.dirname(directory))
        os.mkdir(self.real(directory), 0o755)
        self._label(self.real(directory), directory)

    def write(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Write a whole file: beside its place first, then renamed, both on the disk before this returns."""
        self.make(os.path.dirname(path))
        beside = self.real(unfinished(path))
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            self.settle(stream.fileno())
        os.chmod(beside, mode)
        self._label(beside, path)
        os.rename(beside, self.real(path))
        handle = os.open(self.real(os.path.dirname(path)), os.O_RDONLY)
        try:
            self.settle(handle)
        finally:
            os.close(handle)

    def put(self, path: str, content: bytes) -> None:
        """Write into a file of the kernel."""
        with open(self.real(path), "wb", buffering=0) as stream:
            stream.write(content)

    def link(self, path: str, target: str) -> None:
        """Make a link."""
        self.make(os.path.dirname(path))
        self.remove(path)
        os.symlink(target, self.real(path))
        self._label(self.real(path), path)

    def remove(self, path: str) -> None:
        """Remove a file or a link, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.real(path))

    def remove_directory(self, path: str) -> None:
        """Remove a directory, if it is there and empty."""
        with contextlib.suppress(OSError):
            os.rmdir(self.real(path))
