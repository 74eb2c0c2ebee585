# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The places of a model's versions on a host: C(PATH) is a link to C(.versions/NAME/KEY) beside it, switched by a rename."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import time
from typing import Iterator, List, Set

from ansible_collections.railyard.sglang.plugins.module_utils.model import directory, record
from ansible_collections.railyard.sglang.plugins.module_utils.model.errors import ModelError
from ansible_collections.railyard.sglang.plugins.module_utils.model.progress import NAME

PARTIAL = ".partial"
# Longer than the slowest answer about what there is to fetch takes.
LOCK_SECONDS = 330


class Store:
    """The versions of the model at a path.

    :ivar folder: directory of the versions.
    :ivar staging: directory in which versions are made.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.normpath(path)
        parent, name = os.path.split(self.path)
        self.folder = os.path.join(parent, ".versions", name)
        self.staging = os.path.join(self.folder, PARTIAL)

    def tree(self, key: str) -> str:
        """Return the directory of a version."""
        return os.path.join(self.folder, key)

    def partial(self, key: str) -> str:
        """Return the directory in which a version is made."""
        return os.path.join(self.staging, key)

    def current(self) -> str:
        """Return the key of the version that the path names, empty if there is none. Raises ModelError if something else is there."""
        if not os.path.lexists(self.path):
            return ""
        folder, key = os.path.split(os.path.join(os.path.dirname(self.path), os.readlink(self.path)) if os.path.islink(self.path) else "")
        if os.path.normpath(folder) != self.folder:
            problem = "what is there was not put there by this stage, and is left alone"
            raise ModelError(self.path, problem, "move it away, give sglang_model.path another name, or leave out model_origin")
        return key

    def versions(self) -> List[str]:
        """Return the keys of whole versions, the one that was completed last first."""
        if not os.path.isdir(self.folder):
            return []
        found = [name for name in os.listdir(self.folder) if record.read(self.tree(name)).get("whole")]
        return sorted(found, key=lambda name: (-os.path.getmtime(os.path.join(self.tree(name), directory.RECORD)), name))

    def _progress(self) -> str:
        """Return what the run that is at work has written of how far it is."""
        try:
            with open(os.path.join(self.folder, NAME), encoding="utf-8") as stream:
                return stream.read()
        except (OSError, ValueError):
            return ""

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only run that changes the versions: another one is waited for as long as it gets on. Raises ModelError if it does not.

        It may be that of another host, where hosts share the place, or one whose controller is gone.
        """
        os.makedirs(self.staging, exist_ok=True)
        with open(os.path.join(self.folder, ".lock"), "a", encoding="utf-8") as stream:
            until, seen = time.monotonic() + LOCK_SECONDS, ""
            while True:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as error:
                    if error.errno not in (errno.EAGAIN, errno.EACCES):
                        raise
                    found = self._progress()
                    if found not in ("", seen):
                        until, seen = time.monotonic() + LOCK_SECONDS, found
                    if time.monotonic() > until:
                        problem = f"another run is at work on it, and has not got on for {LOCK_SECONDS:.0f} s"
                        fix = f"end it (fuser -v {os.path.join(self.folder, '.lock')}, on each host that shares the place), then run again"
                        raise ModelError(self.path, problem, fix) from error
                    time.sleep(0.2)
            yield

    def publish(self, key: str) -> None:
        """Give a version that was made its final name, unless it has it, and have the path name it.

        What lies beside a version that is whole is what a run has left that was killed while it mended it.
        """
        if os.path.isdir(self.tree(key)) and os.path.isdir(self.partial(key)):
            shutil.rmtree(self.partial(key))
        if os.path.isdir(self.partial(key)):
            os.rename(self.partial(key), self.tree(key))
            record.sync(self.folder)
        if self.current() != key:
            link = os.path.join(self.folder, ".link")
            if os.path.lexists(link):
                os.remove(link)
            os.symlink(os.path.relpath(self.tree(key), os.path.dirname(self.path)), link)
            os.replace(link, self.path)
            record.sync(os.path.dirname(self.path))

    def doubt(self, inodes: Set[int]) -> None:
        """Have no version count files with these inodes as right before they were read again."""
        if inodes:
            for key in self.versions():
                record.doubt(self.tree(key), inodes)

    def surplus(self, keep: int, current: str) -> List[str]:
        """Return the keys of whole versions beyond the number to keep; the current one counts and stays. 0 keeps all."""
        versions, stays = self.versions(), self.protected(current)
        others = [key for key in versions if key not in stays]
        return others[max(0, keep - max(1, len(stays.intersection(versions)))):] if keep else []

    def protected(self, current: str) -> Set[str]:
        """Return the keys that stay whatever the number to keep is."""
        return {current}

    def prune(self, keep: int, current: str) -> List[str]:
        """Remove versions beyond the number to keep, and what interrupted runs have left; return the keys of the former."""
        gone = self.surplus(keep, current)
        for key in gone:
            # Without its record it is no version any more, whatever happens next.
            os.remove(os.path.join(self.tree(key), directory.RECORD))
            shutil.rmtree(self.tree(key))
        for name in os.listdir(self.staging):
            shutil.rmtree(os.path.join(self.staging, name))
        for name in os.listdir(self.folder):
            if not name.startswith(".") and name not in self.protected(current) and not record.read(self.tree(name)).get("whole"):
                shutil.rmtree(self.tree(name))
        return gone
