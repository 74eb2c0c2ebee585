# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a model comes from: what every kind of source offers, and directories (a path, a mount of NFS, a mirror)."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass
from typing import Callable, Dict, List

from ansible_collections.railyard.sglang.plugins.module_utils.model import directory
from ansible_collections.railyard.sglang.plugins.module_utils.model.errors import ModelError

# Called with the bytes that have come since the last call.
Progress = Callable[[int], None]
BLOCK = 1 << 20
LINE = re.compile(r"^([0-9a-f]{64}) [ *](.+)$")


class NotYetError(ModelError):
    """What reads the source is not on this host yet: an earlier stage brings it."""


@dataclass(frozen=True)
class File:
    """A file that a source offers.

    :ivar size: in bytes.
    :ivar sha256: of its content, empty where the source does not say it.
    :ivar blob: git's SHA-1 of its content, empty where the source does not say it.
    :ivar stamp: what else tells one state of it from another.
    """

    name: str
    size: int
    sha256: str = ""
    blob: str = ""
    stamp: str = ""


class Source:
    """A place to fetch a model from."""

    # Whether looking at it costs next to nothing, so that it is looked at in every run.
    near = False

    def __init__(self, said: str) -> None:
        self.said = said

    def listing(self) -> List[File]:
        """Return the files of the model. Raises ModelError."""
        raise NotImplementedError

    def fetch(self, file: File, target: str, progress: Progress) -> None:
        """Write a file to target, after the bytes that it has already. Raises ModelError or OSError."""
        raise NotImplementedError

    def came(self, target: str) -> int:
        """Return the bytes that an interrupted fetch has left for a target."""
        return os.path.getsize(target) if os.path.isfile(target) else 0


def checked(files: List[File], said: str) -> List[File]:
    """Return files in order; raise ModelError unless all stay inside of their directory and there is one of each."""
    for file in files:
        parts = file.name.split("/")
        if file.name.startswith("/") or any(part in ("", ".", "..") for part in parts) or "\0" in file.name or "\n" in file.name:
            raise ModelError(said, f"it names a file {file.name!r}, which would lie outside of the model", "do not use this source")
    names = [file.name for file in files]
    if len(set(names)) != len(names):
        raise ModelError(said, "it names a file twice", "correct its list of files")
    if not files:
        raise ModelError(said, "it holds no files", "correct its address")
    return sorted(files, key=lambda file: file.name)


def key(files: List[File]) -> str:
    """Return 12 digits that stand for the content of a model, as far as its source tells it."""
    rows = [[file.name, file.size, file.sha256 or file.blob or file.stamp] for file in files]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:12]


def sums(text: str, said: str) -> Dict[str, str]:
    """Return the SHA-256 by name from the text of sha256sum. Raises ModelError."""
    found = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        match = LINE.match(line)
        if not match:
            raise ModelError(said, f"{directory.SUMS} has a line that sha256sum does not write: {line[:80]!r}", "make it anew by sha256sum")
        found[os.path.normpath(match.group(2)) if match.group(2).startswith("./") else match.group(2)] = match.group(1)
    return found


def git_blob(path: str) -> str:
    """Return git's SHA-1 of a file."""
    value = hashlib.sha1(f"blob {os.path.getsize(path)}\0".encode(), usedforsecurity=False)
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(BLOCK), b""):
            value.update(block)
    return value.hexdigest()


class Directory(Source):
    """A directory that this host can read."""

    near = True

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._path = path

    def listing(self) -> List[File]:
        """Return the files: those of SHA256SUMS where it has one, else all of them."""
        if not os.path.isdir(self._path):
            raise ModelError(self.said, "no such directory on this host", "mount it, or correct model_origin.path")
        listed = os.path.join(self._path, directory.SUMS)
        found: Dict[str, str] = {}
        if os.path.exists(listed):
            with open(listed, encoding="utf-8") as stream:
                found = sums(stream.read(), self.said)
        names = sorted(found) if found else directory.files(self._path)
        rows = []
        for name in checked([File(name, 0) for name in names], self.said):
            try:
                status = os.stat(os.path.join(self._path, name.name))
            except OSError as error:
                raise ModelError(self.said, f"{name.name} {error.strerror}", "complete the source") from error
            if not stat.S_ISREG(status.st_mode):
                raise ModelError(self.said, f"{name.name} is not a file", "correct the source")
            rows.append(File(name.name, status.st_size, found.get(name.name, ""), stamp=str(status.st_mtime_ns)))
        return rows

    def fetch(self, file: File, target: str, progress: Progress) -> None:
        """Copy the rest of a file."""
        with open(os.path.join(self._path, file.name), "rb") as stream, open(target, "ab") as output:
            stream.seek(output.tell())
            for block in iter(lambda: stream.read(BLOCK), b""):
                output.write(block)
                progress(len(block))
