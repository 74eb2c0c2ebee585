# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bundle: files of many hosts in one archive, secrets masked and names replaced in all of them alike, with a manifest of it all.

Memory is bounded: files are streams, read once to learn what is in them and once to write them anew.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import tempfile
from dataclasses import dataclass, field
from typing import IO, Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, cast

from ansible_collections.railyard.sglang.plugins.module_utils.bundle import recognising
from ansible_collections.railyard.sglang.plugins.module_utils.bundle.journal import HOSTNAME, BrokenError, Reader, Rewriter, opened
from ansible_collections.railyard.sglang.plugins.module_utils.bundle.replacing import Replacing
from ansible_collections.railyard.sglang.plugins.module_utils.bundle.secrets import Secrets

# Version of the layout; the doctor knows a bundle by it.
FORMAT = 1
MANIFEST, LOGS = recognising.MANIFEST, recognising.LOGS
FINDINGS, CHECKS, UNITS = "plan/findings.json", "checks/hosts/", "units/hosts/"
COMPARED = "facts/summary.json"
# How the manifest begins to say that a host was not reached.
NOT_REACHED = "not reached"
TEXT, EXPORT = "text", "journal export"
PIECE = 1 << 18
README = """\
A bundle of a cluster of railyard.sglang, for whoever looks at it from afar.

manifest.json  what is in here, with digests, what was not to be had, and whether names were replaced
logs/          the journal of each host's planned units and of its kernel: journalctl --output=export, compressed
plan/          what was planned, whole and by host, and what its contract says
facts/         RDMA devices, GPUs, clocks, each host's and compared
checks/        each host against its part of the plan
units/         systemctl show of the planned units
versions/      what is installed against the locks
proof/         the last proof that the controller has kept

The doctor reads it as it is: ansible-playbook playbooks/doctor.yml -e doctor_path=bundle.tar.gz
"""


class BundleError(Exception):
    """A bundle that cannot be written; the text says why, and what to do."""


@dataclass(frozen=True)
class Item:
    """One file.

    :ivar name: within the bundle, before names are replaced.
    :ivar path: where it is now; empty where O(data) is it.
    :ivar form: V(text) or V(journal export).
    """

    name: str
    path: str = ""
    data: bytes = b""
    form: str = TEXT


@dataclass
class Packed:
    """What was written.

    :ivar files: name, size and digest of each.
    :ivar problems: name of a file to why not all of it is in the bundle.
    """

    files: List[Dict[str, Any]] = field(default_factory=list)
    problems: Dict[str, str] = field(default_factory=dict)
    size: int = 0
    sha256: str = ""


class Packer:
    """Changes texts and packs files.

    :param secrets: what masks.
    :param replacing: what replaces names; None leaves them.
    :param progress: called with the share of the bytes that were read, 0 to 1.
    """

    def __init__(self, secrets: Secrets, replacing: Optional[Replacing] = None, progress: Optional[Callable[[float], None]] = None) -> None:
        self._secrets, self._replacing, self._progress = secrets, replacing, progress

    def text(self, text: str) -> str:
        """Return a text as it is to be in the bundle; while everything is learned, that is not complete."""
        masked = self._secrets.mask(text)
        return masked if self._replacing is None else self._replacing.text(masked)

    def _identifier(self, text: str) -> str:
        return text if self._replacing is None else self._replacing.identifier(text)

    def learn(self, items: Sequence[Item], about: str) -> None:
        """Look at everything that will be packed, and decide what each name becomes."""
        if self._replacing is None:
            return
        for item in self._told(items, 0.0):
            self._copy(item, None)
            self.text(item.name)
        self.text(about)
        self._replacing.settle()

    def write(self, items: Sequence[Item], about: Mapping[str, Any], dest: str, made: float) -> Packed:
        """Write the bundle, whole or not at all, readable by its owner alone.

        :param about: what the manifest says besides the files.
        :param dest: the archive; its directory is there.
        :param made: seconds since 1970 that the files are said to be from: logs without years are read by it.
        :raises BundleError: two files have the same name.
        :raises OSError: it cannot be written.
        """
        packed = Packed()
        folder = os.path.dirname(dest)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".bundle") as room:
            rows: List[Tuple[str, str]] = []
            for number, item in enumerate(self._told(items, 0.5)):
                rows.append((self._name(item.name, [name for name, _path in rows]), os.path.join(room, str(number))))
                with open(rows[-1][1], "wb") as stream:
                    why = self._copy(item, stream)
                if why:
                    packed.problems[rows[-1][0]] = why
                packed.files.append({"name": rows[-1][0], **_digest(rows[-1][1])})
            manifest = self._manifest(about, packed)
            handle, beside = tempfile.mkstemp(dir=folder, prefix=".bundle")
            try:
                with os.fdopen(handle, "wb") as raw:
                    _archive(raw, manifest, rows, made)
                found = _digest(beside)
                packed.size, packed.sha256 = found["size"], found["sha256"]
                os.replace(beside, dest)
            except BaseException:
                os.unlink(beside)
                raise
        return packed

    def _told(self, items: Sequence[Item], begin: float) -> Iterator[Item]:
        sizes = [os.path.getsize(item.path) if item.path else len(item.data) for item in items]
        for number, item in enumerate(items):
            if self._progress is not None:
                self._progress(begin + 0.5 * sum(sizes[:number]) / max(1, sum(sizes)))
            yield item

    def _name(self, name: str, taken: Sequence[str]) -> str:
        new = self.text(name)
        if new in taken or new == MANIFEST:
            fix = "give the hosts of the inventory names that differ in more"
            raise BundleError(f"two files of the bundle would be called {new}. Fix: {fix}")
        return new

    def _manifest(self, about: Mapping[str, Any], packed: Packed) -> bytes:
        # The doctor knows a bundle by how its manifest begins.
        told = json.loads(self.text(json.dumps(about, ensure_ascii=False)))
        whole = {"bundle": FORMAT, **told, "incomplete": packed.problems, "files": packed.files}
        return (json.dumps(whole, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "surrogateescape")

    def _copy(self, item: Item, sink: Optional[IO[bytes]]) -> str:
        """Copy one file with its texts changed; return why not all of it."""
        try:
            if not item.path:
                return self._lines(Reader(io.BytesIO(item.data)), sink)
            with opened(item.path) as source:
                if item.form != EXPORT:
                    return self._lines(source, sink)
                if sink is None:
                    return Rewriter(self._fields, self._identifier).copy(source)
                with gzip.GzipFile(fileobj=sink, mode="wb", compresslevel=3, filename="", mtime=0) as out:
                    return Rewriter(self.text, self._identifier, cast(IO[bytes], out)).copy(source)
        except BrokenError as error:
            return str(error)

    def _fields(self, text: str) -> str:
        if self._replacing is not None:
            for match in HOSTNAME.finditer(text):
                self._replacing.host(match.group(1))
        return self.text(text)

    def _lines(self, source: Reader, sink: Optional[IO[bytes]]) -> str:
        rest = b""
        while True:
            data = source.read(PIECE)
            held = rest + data
            cut = held.rfind(b"\n") + 1 if data else len(held)
            if cut:
                new = self.text(held[:cut].decode("utf-8", "surrogateescape"))
                if sink is not None:
                    sink.write(new.encode("utf-8", "surrogateescape"))
            rest = held[cut:]
            if not data:
                return ""


def _digest(path: str) -> Dict[str, Any]:
    found, size = hashlib.sha256(), 0
    with open(path, "rb") as stream:
        for data in iter(lambda: stream.read(1 << 20), b""):
            found.update(data)
            size += len(data)
    return {"size": size, "sha256": found.hexdigest()}


def _archive(raw: IO[bytes], manifest: bytes, rows: Sequence[Tuple[str, str]], made: float) -> None:
    """Write the tar: the manifest first, so that whoever reads it as a stream knows what it is."""
    with tarfile.open(fileobj=raw, mode="w:gz", format=tarfile.GNU_FORMAT, compresslevel=6) as archive:
        archive.addfile(_entry(MANIFEST, len(manifest), made), io.BytesIO(manifest))
        for name, path in rows:
            with open(path, "rb") as stream:
                archive.addfile(_entry(name, os.path.getsize(path), made), stream)


def _entry(name: str, size: int, made: float) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o600, int(made)
    return entry


def readme() -> Item:
    """Return the file that tells what is in a bundle."""
    return Item("README.txt", data=README.encode())


def json_item(name: str, value: Any) -> Item:
    """Return a file that holds a value as JSON."""
    return Item(name, data=(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode("utf-8", "surrogateescape"))


def ordered(items: Sequence[Item]) -> List[Item]:
    """Return files in the order in which they are packed: logs last, since they are large."""
    return sorted(items, key=lambda item: (item.name.startswith(LOGS), item.name != "README.txt", item.name))


def files_below(folder: str) -> List[Item]:
    """Return the files below a directory, journals' exports known by their names."""
    found = []
    for above, below, names in os.walk(folder):
        below.sort()
        for name in sorted(names):
            path = os.path.join(above, name)
            form = EXPORT if name.endswith((".export.gz", ".export")) else TEXT
            found.append(Item(os.path.relpath(path, folder), path, form=form))
    return found


def save(path: str, text: str) -> None:
    """Put a whole file in the place of another, or none, readable by its owner alone."""
    handle, beside = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".bundle")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.write(text)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise
