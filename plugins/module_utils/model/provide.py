# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a source to a whole, verified, current version of a model. What was interrupted goes on; what is damaged is fetched alone."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Set, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.model import directory, record, shared
from ansible_collections.railyard.sglang.plugins.module_utils.model.errors import ModelError
from ansible_collections.railyard.sglang.plugins.module_utils.model.progress import Meter
from ansible_collections.railyard.sglang.plugins.module_utils.model.source import (
    File,
    NotYetError,
    Progress,
    Source,
    checked,
    git_blob,
    key,
)
from ansible_collections.railyard.sglang.plugins.module_utils.model.store import Store

Rows = Dict[str, Dict[str, Any]]
GIB = 1 << 30


@dataclass
class Options:
    """How a model is provided.

    :ivar request: what is asked for, without secrets: as long as it is the same, a whole version is not looked for anew.
    :ivar checksum: of the whole model, as C(directory.checksum) gives it; empty where it is not known.
    :ivar full: whether every byte of what is there is read.
    :ivar keep: number of versions to keep; 0 keeps all.
    :ivar reserve: bytes that must stay free.
    :ivar check: predict only.
    """

    path: str
    request: Dict[str, Any]
    checksum: str = ""
    full: bool = False
    keep: int = 2
    threads: int = 4
    reserve: int = GIB
    check: bool = False


@dataclass
class Outcome:
    """What was done, or in check mode would be."""

    changed: bool = False
    problems: List[str] = field(default_factory=list)
    fetched: List[str] = field(default_factory=list)
    fetched_bytes: int = 0
    linked: List[str] = field(default_factory=list)
    pruned: List[str] = field(default_factory=list)
    checksum: str = ""
    before: str = ""
    after: str = ""
    files: Dict[str, Dict[str, Any]] = field(default_factory=dict)


def wrong(path: str, file: File, progress: Optional[Progress] = None) -> Tuple[str, str]:
    """Return what is wrong with a file on the disk, empty if nothing is, and its SHA-256."""
    size = os.path.getsize(path)
    if size != file.size:
        return f"has {size} bytes instead of {file.size}", ""
    digest = directory.sha256(path, progress)
    if file.sha256 and digest != file.sha256:
        return f"has the checksum {digest} instead of {file.sha256}", digest
    if file.blob and git_blob(path) != file.blob:
        return f"is not git's blob {file.blob}", digest
    if file.name.endswith(".safetensors"):
        return directory.safetensors_problem(path), digest
    return "", digest


def free_bytes(path: str) -> int:
    """Return the bytes that are free where a path is, or will be."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def too_small(folder: str, coming: int, reserve: int, free: int) -> ModelError:
    """Return the error of a disk without room for so many bytes."""
    problem = f"{coming / GIB:.1f} GiB are to come and {reserve / GIB:.1f} GiB stay free, {free / GIB:.1f} GiB are free"
    return ModelError(folder, problem, "free space, lower model_keep, or put sglang_model.path on a larger disk")


def look(folder: str, files: List[File], rows: Rows, options: Options, progress: Optional[Progress] = None) -> Dict[str, str]:
    """Return what is missing or wrong in a directory, by name. Rows of files that are right are added or brought up to date.

    :param progress: called with the bytes that were read.
    """
    names = {file.name for file in files}
    for name in set(rows) - names:
        del rows[name]
    for file in files:
        known = rows.get(file.name)
        if known and (known["size"] != file.size or (file.sha256 and known["sha256"] != file.sha256)):
            del rows[file.name]
    found = record.damaged(folder, rows, options.full, options.threads, progress)

    def unknown(file: File) -> str:
        path = os.path.join(folder, file.name)
        if not os.path.isfile(path):
            return "is missing"
        text, digest = wrong(path, file, progress)
        if not text:
            rows[file.name] = record.row(path, digest)
        return text

    rest = [file for file in files if file.name not in rows]
    with ThreadPoolExecutor(options.threads) as pool:
        found.update({file.name: text for file, text in zip(rest, pool.map(unknown, rest)) if text})
    for name in found:
        rows.pop(name, None)
    return found


def fetch(source: Source, file: File, folder: str, progress: Progress) -> Dict[str, Any]:
    """Fetch one file, verify it and give it its name; return its row. Raises ModelError or OSError."""
    target = os.path.join(folder, file.name)
    part = target + directory.PART
    os.makedirs(os.path.dirname(target), exist_ok=True)
    text = digest = ""
    # A part that an earlier run has left may be what is wrong: then once more from its first byte.
    for _attempt in range(2):
        if os.path.exists(part) and os.path.getsize(part) > file.size:
            os.remove(part)
        if not os.path.exists(part) or os.path.getsize(part) < file.size:
            source.fetch(file, part, progress)
        text, digest = wrong(part, file)
        if not text:
            break
        os.remove(part)
    if text:
        raise ModelError(f"{file.name} from {source.said}", text, "repair the source, or correct what is expected of it")
    os.chmod(part, 0o644)
    with open(part, "rb") as stream:
        os.fsync(stream.fileno())
    os.replace(part, target)
    record.sync(os.path.dirname(target))
    return record.row(target, digest)


def _remove_parts(folder: str) -> None:
    """Remove what interrupted runs have left of files that are whole now."""
    for place, folders, names in os.walk(folder):
        for name in names:
            if name.endswith(directory.PART):
                os.remove(os.path.join(place, name))
        for name in folders:
            if name.endswith(directory.PART):
                shutil.rmtree(os.path.join(place, name))
        folders[:] = [name for name in folders if not name.endswith(directory.PART)]


class Provider:
    """One run for one model."""

    def __init__(self, source: Source, options: Options) -> None:
        self.source, self.options = source, options
        self.store = Store(options.path)
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Provide the model and return what was done. Raises ModelError."""
        try:
            if self.options.check:
                self._run()
            else:
                with self.store.lock():
                    self._run()
        except OSError as error:
            free = free_bytes(self.store.folder) // (1 << 20)
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            fix = f"free space ({free} MiB are free)" if full else f"let root write to {self.store.folder}"
            where = error.filename or self.store.folder
            raise ModelError(str(where), str(error.strerror or error), f"{fix}, then run again: it goes on with what has come") from error
        return self.outcome

    def _run(self) -> None:
        current = self.store.current()
        self.outcome.before = self.outcome.after = current
        known = record.read(self.store.tree(current)) if current else {}
        if known.get("whole") and known.get("request") == self.options.request and not self.source.near:
            files = [File(name, row["size"], row["sha256"]) for name, row in sorted(known["files"].items())]
            self._complete(current, files)
            return
        try:
            files = checked(self.source.listing(), self.source.said)
        except NotYetError as error:
            if not self.options.check:
                raise
            # An earlier stage of the same run brings it: something will be fetched, and nobody can say what.
            self.outcome.changed, self.outcome.problems = True, [f"what there is to fetch is not known yet: {error.problem}"]
            return
        if self.options.checksum and all(file.sha256 for file in files):
            self._compare({file.name: file.sha256 for file in files})
        self._complete(key(files), files)

    def _compare(self, digests: Dict[str, str]) -> None:
        found = directory.checksum(digests)
        if self.options.checksum and found != self.options.checksum:
            problem = f"the checksum of the whole is {found}, wanted {self.options.checksum}"
            raise ModelError(self.source.said, problem, "correct sglang_model.checksum, or use another source")
        self.outcome.checksum = found

    def _complete(self, version: str, files: List[File]) -> None:
        store, outcome = self.store, self.outcome
        folder = store.tree(version) if os.path.isdir(store.tree(version)) else store.partial(version)
        rows: Rows = dict(record.read(folder).get("files", {}))
        before = {name: dict(row) for name, row in rows.items()}
        found = self._look(folder, files, rows)
        bad = shared.inodes(folder, found)
        outcome.problems = [f"{name} {text}" for name, text in sorted(found.items())]
        wanted = [file for file in files if file.name in found]
        outcome.after = version
        outcome.files = {file.name: {"size": file.size, "sha256": file.sha256} for file in files}
        outcome.changed = bool(wanted) or outcome.before != version or folder != store.tree(version)
        outcome.pruned = store.surplus(self.options.keep, version)
        if self.options.check:
            known = shared.find(store, wanted, bad, read=False)
            outcome.linked = sorted(known)
            wanted = [file for file in wanted if file.name not in known]
            outcome.fetched = [file.name for file in wanted]
            outcome.fetched_bytes = self._room(folder, wanted)
            outcome.changed = outcome.changed or bool(outcome.pruned)
            if not found:
                self._compare({name: row["sha256"] for name, row in rows.items()})
            return
        os.makedirs(folder, exist_ok=True)
        store.doubt(bad)
        self._fill(folder, wanted, bad, rows)
        self._compare({name: row["sha256"] for name, row in rows.items()})
        faults = directory.problems(folder)
        if faults:
            raise ModelError(self.source.said, f"the model is not whole: {'; '.join(faults)}", "complete the source")
        _remove_parts(folder)
        if rows != before or not record.read(folder).get("whole") or record.read(folder)["request"] != self.options.request:
            record.write(folder, rows, self.options.request, True)
        outcome.files = {name: {"size": row["size"], "sha256": row["sha256"]} for name, row in rows.items()}
        store.publish(version)
        outcome.pruned = store.prune(self.options.keep, version)
        outcome.changed = outcome.changed or bool(outcome.pruned)

    def _look(self, folder: str, files: List[File], rows: Rows) -> Dict[str, str]:
        if not os.path.isdir(folder):
            return {file.name: "is missing" for file in files}
        meter = self._reading(files)
        try:
            return look(folder, files, rows, self.options, meter.add)
        finally:
            meter.close()

    def _reading(self, files: List[File]) -> Meter:
        """Return what tells others that it gets on, though nothing is fetched."""
        total = sum(file.size for file in files)
        return Meter(None if self.options.check else self.store.folder, total, said={"state": "reading"})

    def _room(self, folder: str, wanted: List[File]) -> int:
        """Return the bytes that are to come; raise ModelError unless there is room for them."""
        coming = sum(max(0, file.size - self.source.came(os.path.join(folder, file.name) + directory.PART)) for file in wanted)
        free = free_bytes(self.store.folder)
        if coming and free < coming + self.options.reserve:
            raise too_small(self.store.folder, coming, self.options.reserve, free)
        return coming

    def _fill(self, folder: str, wanted: List[File], bad: Set[int], rows: Rows) -> None:
        meter = self._reading(wanted)
        try:
            known = shared.find(self.store, wanted, bad, threads=self.options.threads, progress=meter.add)
        finally:
            meter.close()
        for file in wanted:
            if file.name in known:
                target = os.path.join(folder, file.name)
                shared.link(known[file.name], target)
                rows[file.name] = record.row(target, file.sha256)
        self.outcome.linked = sorted(known)
        wanted = [file for file in wanted if file.name not in known]
        coming = self._room(folder, wanted)
        if not wanted:
            return
        meter, mutex = Meter(self.store.folder, coming), threading.Lock()
        whole = bool(record.read(folder).get("whole"))

        def one(file: File) -> None:
            row = fetch(self.source, file, folder, meter.add)
            with mutex:
                rows[file.name] = row
                # That of a whole version goes on naming what is still to be mended.
                if not whole:
                    record.write(folder, rows, self.options.request, False)

        try:
            # The largest first, so that none is left alone at the end.
            with ThreadPoolExecutor(self.options.threads) as pool:
                jobs = [pool.submit(one, file) for file in sorted(wanted, key=lambda file: -file.size)]
                try:
                    for job in jobs:
                        job.result()
                except BaseException:
                    for job in jobs:
                        job.cancel()
                    raise
        finally:
            meter.close()
        self.outcome.fetched = [file.name for file in wanted]
        self.outcome.fetched_bytes = meter.done
