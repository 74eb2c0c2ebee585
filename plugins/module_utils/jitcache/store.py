# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel caches of one path on a host: one directory for each key, and the path as a link to the one that is whole and in use."""

from __future__ import annotations

import os
import shutil
import tarfile
from dataclasses import dataclass, field
from typing import Any, Dict, List, Set

from ansible_collections.railyard.sglang.plugins.module_utils.jitcache import entries, key
from ansible_collections.railyard.sglang.plugins.module_utils.jitcache.errors import CacheError
from ansible_collections.railyard.sglang.plugins.module_utils.model import directory, record
from ansible_collections.railyard.sglang.plugins.module_utils.model.store import Store

WHOLE, KEPT, PARTIAL, MISSING = "whole", "kept", "partial", "missing"
ARCHIVE, ASIDE = ".archive-", ".unrecorded"
MIB = 1 << 20


@dataclass(frozen=True)
class State:
    """What is there of a key.

    :ivar state: V(whole) and in use, V(kept): whole and not in use, V(partial) or V(missing).
    :ivar problems: what is wrong, a line each.
    """

    state: str
    kernels: int = 0
    size: int = 0
    problems: List[str] = field(default_factory=list)


class CacheStore(Store):
    """The versions of one cache."""

    def current(self) -> str:
        """Return the key in use; empty where there is none, or where an engine has made a directory of its own."""
        if os.path.lexists(self.path) and not os.path.islink(self.path):
            if not os.path.isdir(self.path):
                raise CacheError(self.path, "is a file", "move it away")
            return ""
        if not os.path.islink(self.path):
            return ""
        folder, name = os.path.split(os.path.join(os.path.dirname(self.path), os.readlink(self.path)))
        if os.path.normpath(folder) != self.folder:
            raise CacheError(self.path, "is a link that this stage has not made, and is left alone", "move it away")
        return name

    def request(self, name: str) -> Dict[str, Any]:
        """Return the parts of the key of a directory, as its record has them."""
        return dict(record.read(self.tree(name)).get("request") or {})

    def state(self, name: str, full: bool = False) -> State:
        """Return what is there of a key.

        :param full: read every byte, instead of those files whose size, time or inode is another one.
        """
        tree, known = self.tree(name), record.read(self.tree(name))
        if not known.get("whole") and record.read(self.partial(name)).get("whole"):
            # A run was cut off between the record and the rename.
            tree, known = self.partial(name), record.read(self.partial(name))
        rows = {str(file): dict(row) for file, row in known.get("files", {}).items()}
        if not known.get("whole") or not rows:
            begun = max(entries.count(tree), entries.count(self.partial(name)))
            if begun:
                return State(PARTIAL, begun, problems=[f"{begun} kernels are there and no record that they are all"])
            return State(MISSING)
        wrong = [f"{file} {text}" for file, text in sorted(record.damaged(tree, rows, full).items())]
        kernels, size = len(entries.look(tree).whole), sum(int(row["size"]) for row in rows.values())
        if wrong:
            return State(PARTIAL, kernels, size, wrong)
        return State(WHOLE if self.current() == name and tree == self.tree(name) else KEPT, kernels, size)

    def prepare(self, name: str, wanted: Dict[str, Any], fresh: bool = False) -> int:
        """Make the directory in which the kernels of a key are compiled; return how many it begins with.

        What an interrupted compilation has made is gone on with, and kernels of other keys that have the same compiler, GPUs and packages
        are taken over.

        :param fresh: begin with nothing.
        """
        partial = self.partial(name)
        if fresh and os.path.isdir(partial):
            shutil.rmtree(partial)
        os.makedirs(os.path.join(partial, entries.MAKING), exist_ok=True)
        entries.sweep(partial)
        for other in [] if fresh else self.versions():
            old = self.request(other)
            if all(old.get(part) == wanted.get(part) for part in ("format", "stack", "architectures", "devices", "nvcc")):
                entries.seed(partial, self.tree(other), self._wrong(other))
        return entries.count(partial)

    def _wrong(self, name: str) -> Set[str]:
        """Return the damaged kernels of a recorded key: the others are lent all the same, also for its own repair."""
        rows = {str(file): dict(row) for file, row in record.read(self.tree(name))["files"].items()}
        return {file.split("/")[1] for file in record.damaged(self.tree(name), rows, False)}

    def finish(self, name: str, wanted: Dict[str, Any], switch: bool = True) -> State:
        """Record what was compiled for a key, and put it in use. Raises CacheError where it is not whole.

        :param switch: see C(settled).
        """
        partial = self.partial(name)
        if not os.path.isdir(partial):
            return self.settled(name, switch)
        found = entries.look(partial)
        if not found.whole:
            fix = "look at the log: with SGLANG_ENABLE_JIT_DEEPGEMM=0 or another GEMM backend there is nothing to compile, then set" \
                " deepgemm_compile_at_start: true"
            raise CacheError(partial, "the compilation ended well and made no kernel", fix)
        if found.half or found.left:
            odd = [*found.half, *found.left]
            raise CacheError(partial, f"is not whole: {', '.join(odd[:3])} and {len(odd)} in all", "run again; whole kernels are kept")
        self._record(partial, wanted)
        return self.settled(name, switch)

    def _record(self, folder: str, wanted: Dict[str, Any]) -> None:
        rows = {}
        for file in entries.files(folder):
            path = os.path.join(folder, file)
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            rows[file] = record.row(path, directory.sha256(path))
        record.write(folder, rows, wanted, True)

    def protected(self, current: str) -> Set[str]:
        """Return the keys that stay: also the one that an engine runs with while another one waits for its restart."""
        return {current, self.current()} - {""}

    def settled(self, name: str, switch: bool = True) -> State:
        """Put a whole key in use, and return its state.

        :param switch: whether the path may lead to it. Not under an engine that runs: its key waits until that one is stopped.
        """
        made = bool(record.read(self.partial(name)).get("whole"))
        if not made and not record.read(self.tree(name)).get("whole"):
            raise CacheError(self.tree(name), "is not whole", "run again")
        if made and os.path.isdir(self.tree(name)):
            # A damaged one, or one that was made again. It goes by a rename, so that a part of it is never in use.
            replaced = os.path.join(self.staging, "replaced-" + name)
            if os.path.isdir(replaced):
                shutil.rmtree(replaced)
            os.rename(self.tree(name), replaced)
        elif not made and os.path.isdir(self.partial(name)):
            shutil.rmtree(self.partial(name))
        if not switch:
            if os.path.isdir(self.partial(name)):
                os.rename(self.partial(name), self.tree(name))
                record.sync(self.folder)
            return self.state(name)
        aside = os.path.join(self.folder, ASIDE)
        if os.path.isdir(aside):
            # Of an earlier time: it was kept for one run.
            shutil.rmtree(aside)
        if os.path.isdir(self.path) and not os.path.islink(self.path):
            # Kernels that an engine has compiled by itself: nobody knows whether they are all.
            os.rename(self.path, aside)
        self.publish(name)
        return self.state(name)

    def archive(self, name: str) -> str:
        """Return where the archive of a key is, on the host that makes it and on those that take it."""
        return os.path.join(self.folder, f"{ARCHIVE}{name}.tar")

    def pack(self, name: str) -> Dict[str, Any]:
        """Write an archive of a whole key; return its C(path), C(size) and C(sha256). The same key gives the same bytes."""
        tree, known = self.tree(name), record.read(self.tree(name))
        names = sorted(known["files"])
        path = self.archive(name)
        with open(path + ".new", "wb") as stream, tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for file in names:
                row = tarfile.TarInfo(file)
                row.size, row.mode = int(known["files"][file]["size"]), 0o644
                with open(os.path.join(tree, file), "rb") as content:
                    archive.addfile(row, content)
        os.replace(path + ".new", path)
        return {"path": path, "size": os.path.getsize(path), "sha256": directory.sha256(path)}

    def unpack(
        self, name: str, wanted: Dict[str, Any], archive: str, sha256: str, files: Dict[str, str], *, switch: bool = True,
    ) -> State:
        """Take a key from an archive that another host has made, and put it in use.

        :param sha256: of the archive.
        :param files: SHA-256 of every file, as the other host's record has them.
        :param switch: see C(settled).
        :raises CacheError: the archive or a file in it is not what was packed.
        """
        if directory.sha256(archive) != sha256:
            raise CacheError(archive, "has other bytes than were packed", "run again")
        partial = self.partial(name)
        if os.path.isdir(partial):
            shutil.rmtree(partial)
        os.makedirs(partial)
        seen = []
        with tarfile.open(archive, "r:") as rows:
            for row in rows:
                if not row.isreg() or row.name not in files or os.path.normpath(row.name) != row.name or row.name.startswith(("/", "..")):
                    raise CacheError(archive, f"holds {row.name}, which its record does not name", "run again")
                content, target = rows.extractfile(row), os.path.join(partial, row.name)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with open(target, "wb") as stream:
                    if content is not None:
                        shutil.copyfileobj(content, stream, MIB)
                if directory.sha256(target) != files[row.name]:
                    raise CacheError(archive, f"{row.name} has other bytes than were packed", "run again")
                seen.append(row.name)
        if set(seen) != set(files):
            raise CacheError(archive, f"lacks {', '.join(sorted(set(files) - set(seen))[:3])}", "run again")
        self._record(partial, wanted)
        return self.settled(name, switch)

    def sums(self, name: str) -> Dict[str, str]:
        """Return the SHA-256 of every file of a key."""
        return {str(file): str(row["sha256"]) for file, row in record.read(self.tree(name))["files"].items()}

    def leftovers(self) -> List[str]:
        """Return the archives of this path."""
        names = os.listdir(self.folder) if os.path.isdir(self.folder) else []
        return sorted(os.path.join(self.folder, name) for name in names if name.startswith(ARCHIVE))

    def remove(self, check: bool = False) -> List[str]:
        """Remove every version and the link; return what goes. A directory that an engine has made goes as well."""
        gone = [path for path in (self.path, self.folder) if os.path.lexists(path)]
        for path in [] if check else gone:
            if os.path.islink(path):
                os.remove(path)
            else:
                shutil.rmtree(path)
        return gone

    def differences(self, wanted: Dict[str, Any]) -> List[str]:
        """Return how a key differs from the one in use; nothing where there is none."""
        current = self.current()
        return key.differences(self.request(current), wanted) if current else []
