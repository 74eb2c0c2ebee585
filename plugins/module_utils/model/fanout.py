# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model from one host to many: what a host lacks of the source's version, and each host's part until the version is current there."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from typing import Any, Dict, List, Sequence, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.model import directory, provide, record, shared, swarm, torrent
from ansible_collections.railyard.sglang.plugins.module_utils.model.errors import ModelError
from ansible_collections.railyard.sglang.plugins.module_utils.model.progress import Meter
from ansible_collections.railyard.sglang.plugins.module_utils.model.source import File, checked
from ansible_collections.railyard.sglang.plugins.module_utils.model.store import Store


@dataclass
class Offer:
    """What the source has: the key of its version, and its files."""

    version: str
    files: List[File]

    @property
    def total(self) -> int:
        """Bytes of the model."""
        return sum(file.size for file in self.files)


def offer(version: str, files: Dict[str, Dict[str, Any]]) -> Offer:
    """Return an offer from the result of the module model. Raises ModelError."""
    if not version.isalnum():
        raise ModelError("offer", f"{version!r} is no name of a version", "give what the module model returned")
    rows = [File(name, int(row["size"]), str(row["sha256"])) for name, row in files.items()]
    return Offer(version, checked(rows, "offer"))


@dataclass
class Host:
    """One host with its part of a distribution.

    :ivar options: of the model on this host.
    :ivar problems: what the host lacks, as C(lacks) found it.
    """

    offer: Offer
    options: provide.Options
    problems: List[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = Store(self.options.path)
        self.tree = self.store.tree(self.offer.version)
        self.partial = self.store.partial(self.offer.version)
        self._rows: provide.Rows = {}

    def _compare(self, digests: Dict[str, str]) -> None:
        """Raise ModelError where the source's version is not the model that is wanted here."""
        found = directory.checksum(digests)
        if self.options.checksum and all(digests.values()) and found != self.options.checksum:
            problem = f"the checksum of the source's version is {found}, wanted {self.options.checksum}"
            raise ModelError(self.options.path, problem, "correct sglang_model.checksum of this host, or model_fanout_source")

    def _compare_offer(self) -> None:
        self._compare({file.name: file.sha256 for file in self.offer.files})

    def lacks(self) -> bool:
        """Return whether anything has to be received; C(problems) tell what. Raises ModelError."""
        self._compare_offer()
        if not os.path.isdir(self.tree):
            self.problems = ["this version is not here"]
            return True
        self._rows = dict(record.read(self.tree).get("files", {}))
        meter = self._reading()
        try:
            found = provide.look(self.tree, self.offer.files, self._rows, self.options, meter.add)
        finally:
            meter.close()
        if not self.options.check:
            record.renew(self.tree, self._rows)
            self.store.doubt(shared.inodes(self.tree, found))
        self.problems = [f"{name} {text}" for name, text in sorted(found.items())]
        return bool(found)

    def settle(self) -> Tuple[bool, List[str]]:
        """Have the path name the version that is whole here; return whether that changed anything, and the versions removed."""
        self._compare_offer()
        before = self.store.current()
        surplus = self.store.surplus(self.options.keep, self.offer.version)
        if self.options.check:
            return before != self.offer.version or bool(surplus), surplus
        with self.store.lock():
            if not record.read(self.tree).get("whole"):
                record.write(self.tree, self._rows, self.options.request, True)
            self.store.publish(self.offer.version)
            pruned = self.store.prune(self.options.keep, self.offer.version)
        return before != self.offer.version or bool(pruned), pruned

    def send(self, plan: swarm.Plan, name: str, command: Sequence[str]) -> Dict[str, Any]:
        """Be the source; return what became of the others. A later run waits until this one is through. Raises ModelError."""
        sizes = {file.name: file.size for file in self.offer.files}
        with self.store.lock():
            meter = Meter(self.store.folder, self.offer.total)

            def make() -> bytes:
                return torrent.make(self.tree, self.offer.version, sizes, plan.token, threads=self.options.threads)

            def progress(row: Dict[str, Any]) -> None:
                slowest = min((other["done"] for other in row["hosts"].values()), default=0)
                meter.set(slowest, state="sending", hosts=row["hosts"])

            try:
                meter.set(0, state="reading the model")
                return swarm.send(plan, name, self.store.folder, command, progress, make=make)
            finally:
                meter.close()

    def receive(self, plan: swarm.Plan, name: str, command: Sequence[str]) -> Dict[str, Any]:
        """Receive, verify and publish; return the last state of the transfer. Raises ModelError."""
        self._compare_offer()
        with self.store.lock():
            rows: provide.Rows = {}
            meter = Meter(self.store.folder, self.offer.total)

            def check() -> List[str]:
                found = provide.look(self.partial, self.offer.files, rows, self.options)
                return [f"{file} {text}" for file, text in sorted(found.items())] or directory.problems(self.partial)

            def progress(row: Dict[str, Any]) -> None:
                meter.set(row.get("done", 0), state=row["state"], source=row["from"])

            try:
                receiver = swarm.Receiver(plan, name, self.store.staging, command, check, progress)
                with receiver.preparing():
                    rows.update(self._prepare())
                receiver.meet()
                state = receiver.run()
            finally:
                meter.close()
            self._compare({name: row["sha256"] for name, row in rows.items()})
            self._publish(rows)
        return state

    def _reading(self) -> Meter:
        """Return what tells others that it gets on, though nothing comes."""
        return Meter(None if self.options.check else self.store.folder, self.offer.total, said={"state": "reading"})

    def _prepare(self) -> provide.Rows:
        """Begin with what is right of the versions that are here, and return its rows; check that the rest has room.

        What is linked was read: pieces that come are written into the files that are there, and never into one that is shared.
        """
        os.makedirs(self.partial, exist_ok=True)
        lacking = [file for file in self.offer.files if not os.path.exists(os.path.join(self.partial, file.name))]
        meter, rows = self._reading(), {}  # type: Meter, provide.Rows
        try:
            known = shared.find(self.store, lacking, set(), threads=self.options.threads, progress=meter.add)
        finally:
            meter.close()
        for file in self.offer.files:
            target = os.path.join(self.partial, file.name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if file.name in known:
                shared.link(known[file.name], target)
                rows[file.name] = record.row(target, file.sha256)
        there = sum(os.stat(os.path.join(self.partial, name)).st_blocks * 512 for name in directory.files(self.partial))
        coming, free = max(0, self.offer.total - there), provide.free_bytes(self.store.folder)
        if coming and free < coming + self.options.reserve:
            raise provide.too_small(self.store.folder, coming, self.options.reserve, free)
        return rows

    def _publish(self, rows: provide.Rows) -> None:
        for file in self.offer.files:
            os.chmod(os.path.join(self.partial, file.name), 0o644)
            with open(os.path.join(self.partial, file.name), "rb") as stream:
                os.fsync(stream.fileno())
            rows[file.name] = record.row(os.path.join(self.partial, file.name), rows[file.name]["sha256"])
        if os.path.isdir(self.tree):
            # Some engine may have it open: file by file, each at once.
            for file in self.offer.files:
                os.makedirs(os.path.dirname(os.path.join(self.tree, file.name)), exist_ok=True)
                os.replace(os.path.join(self.partial, file.name), os.path.join(self.tree, file.name))
            shutil.rmtree(self.partial)
            record.write(self.tree, rows, self.options.request, True)
        else:
            record.write(self.partial, rows, self.options.request, True)
        self.store.publish(self.offer.version)
        self.store.prune(self.options.keep, self.offer.version)
