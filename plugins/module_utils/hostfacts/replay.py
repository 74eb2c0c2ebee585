# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was read of a host, and a host that is read again from what was kept of it.

A tree of files cannot hold all that a reader meets: a file that is there and cannot be read, answers of the kernel. That is kept in one
JSON file at the top of a capture.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from typing import Any, Callable, Dict, Iterable, List, Optional, Set, Tuple, TypeVar

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import TEXT_LIMIT, Root

NOTES = "/capture.json"
FORMAT = 1
NOTES_LIMIT = 1 << 24
OPERATIONS = ("read", "list", "find", "link", "ask")
# These say that a directory was read only in part.
PARTIAL = frozenset((errno.E2BIG, errno.EILSEQ))
SELF = "/proc/self"

T = TypeVar("T")


def slashed(path: str) -> str:
    """Return a path as errors name it."""
    return "/" + path.lstrip("/")


class Recorder(Root):
    """A host's files, with a record of every file, link and directory that is read.

    :ivar files: place (a path without links) to content.
    :ivar links: place to target.
    :ivar listings: place of a directory to the names in it.
    :ivar found: places that were looked for and are there.
    :ivar failures: operation and path, as they were asked for, to errno.
    :ivar told: question to the kernel's answer.
    """

    def __init__(self, root: str = "/"):
        super().__init__(root)
        self.files: Dict[str, bytes] = {}
        self.links: Dict[str, str] = {}
        self.listings: Dict[str, List[str]] = {}
        self.found: Set[str] = set()
        self.failures: Dict[Tuple[str, str], int] = {}
        self.told: Dict[str, Any] = {}
        self._operation = ""

    def complain(self, path: str, code: int) -> None:
        """Record that a file could not be used; a reader's own complaints come again by themselves."""
        super().complain(path, code)
        if self._operation:
            self.failures[self._operation, slashed(path)] = code

    def data(self, path: str, limit: int = TEXT_LIMIT, cut: bool = False) -> Optional[bytes]:
        """Return a file's bytes, or None."""
        data = self._during("read", lambda: super(Recorder, self).data(path, limit, cut))
        if data is not None:
            self._keep(path, data)
        return data

    def contains(self, path: str, words: Iterable[str], limit: int = 1 << 28) -> Optional[Set[str]]:
        """Return which words occur in a file; they are all that is kept of it."""
        found = self._during("read", lambda: super(Recorder, self).contains(path, words, limit))
        if found is not None:
            self._keep(path, "".join(f"{word}\n" for word in sorted(found)).encode())
        return found

    def list(self, path: str) -> List[str]:
        """Return the names in a directory."""
        names = self._during("list", lambda: super(Recorder, self).list(path))
        place = self._settled(path) if names or ("list", slashed(path)) not in self.failures else None
        if place is not None:
            self.listings[place] = names
        return names

    def real(self, path: str) -> Optional[str]:
        """Return where a path leads, or None."""
        place = self._during("find", lambda: super(Recorder, self).real(path))
        if place is not None:
            self.found.add(self._own(place))
        return place

    def link(self, path: str) -> Optional[str]:
        """Return the last component of a symbolic link's target, or None."""
        return self._during("link", lambda: super(Recorder, self).link(path))

    def ask(self, what: str, question: Callable[[], T]) -> Optional[T]:
        """Return what the kernel answers."""
        answer = self._during("ask", lambda: super(Recorder, self).ask(what, question))
        self.told[what] = answer
        return answer

    def is_directory(self, place: str) -> bool:
        """Return whether a place is a directory; a link is none."""
        try:
            return stat.S_ISDIR(os.lstat(self.base + place).st_mode)
        except OSError:
            return False

    def _during(self, operation: str, work: Callable[[], T]) -> T:
        self._operation = operation
        try:
            return work()
        finally:
            self._operation = ""

    def _readlink(self, place: str) -> str:
        target = super()._readlink(place)
        if place != SELF:
            self.links[self._own(place)] = target
        return target

    def _keep(self, path: str, data: bytes) -> None:
        place = self._settled(path)
        if place is not None and len(data) >= len(self.files.get(place, b"")):
            self.files[place] = data

    def _settled(self, path: str) -> Optional[str]:
        """Return the place of what was just read; None when it has vanished since."""
        try:
            return self._own(self._walk(path))
        except OSError:
            return None

    def _own(self, place: str) -> str:
        """Return a place with the reading process's number, which is another one each time, written as self."""
        return re.sub(f"^/proc/{os.getpid()}(?=/|$)", SELF, place) if self.live else place


def _answers(value: Any) -> Dict[str, Any]:
    """Return the kernel's answers with the types that netlink gives them, without those that have other ones."""
    rows = value if isinstance(value, dict) else {}
    found: Dict[str, Any] = {}
    addresses = rows.get("addresses")
    if isinstance(addresses, dict) and all(isinstance(row, list) for row in addresses.values()):
        found["addresses"] = {name: [text for text in row if _text(text)] for name, row in addresses.items()}
    devices = rows.get("rdma")
    if isinstance(devices, dict) and all(isinstance(row, dict) and isinstance(row.get("ports"), dict) for row in devices.values()):
        found["rdma"] = {
            name: {
                "protocol": _text(row.get("protocol")),
                "smi": bool(row.get("smi")),
                "ports": {int(port): _text(netdev) for port, netdev in row["ports"].items() if re.fullmatch("[0-9]{1,3}", port)},
            }
            for name, row in devices.items()
        }
    dcb = rows.get("dcb")
    if isinstance(dcb, dict) and all(row is None or (isinstance(row, dict) and all(map(_numbers, row.values()))) for row in dcb.values()):
        found["dcb"] = dcb
    found["netns"] = _text(rows.get("netns"))
    return found


def _text(value: Any) -> Optional[str]:
    return value if isinstance(value, str) and value.isprintable() and value.isascii() else None


def _numbers(value: Any) -> bool:
    """Return whether a value is a list or a dictionary of small numbers."""
    rows = list(value.values()) if isinstance(value, dict) else value
    return isinstance(rows, list) and all(isinstance(row, int) and 0 <= row < 1 << 16 for row in rows)


def _codes(value: Any) -> Dict[str, int]:
    rows = value if isinstance(value, dict) else {}
    codes = {path: getattr(errno, name, None) if isinstance(name, str) else None for path, name in rows.items()}
    return {path: code for path, code in codes.items() if isinstance(code, int)}


class Replayed(Root):
    """A captured tree that fails where its host did, and answers as its kernel did.

    :param notes: what C(NOTES) holds; what is not of its form counts as not there.
    """

    def __init__(self, root: str, notes: Dict[str, Any]):
        super().__init__(root)
        rows = notes.get("errors")
        errors = rows if isinstance(rows, dict) else {}
        self._failures = {operation: _codes(errors.get(operation)) for operation in OPERATIONS}
        self._answers = _answers(notes["answers"]) if notes.get("answers") else None

    @property
    def answers(self) -> bool:
        """Whether the kernel was asked when the tree was captured."""
        return self._answers is not None

    def data(self, path: str, limit: int = TEXT_LIMIT, cut: bool = False) -> Optional[bytes]:
        """Return a file's bytes, or None."""
        return None if self._fails("read", path) else super().data(path, limit, cut)

    def contains(self, path: str, words: Iterable[str], limit: int = 1 << 28) -> Optional[Set[str]]:
        """Return which words occur in a file, or None."""
        return None if self._fails("read", path) else super().contains(path, words, limit)

    def list(self, path: str) -> List[str]:
        """Return the names in a directory."""
        code = self._failures["list"].get(slashed(path))
        if code in PARTIAL:
            self.complain(path, code)
            return super().list(path)
        return [] if self._fails("list", path) else super().list(path)

    def real(self, path: str) -> Optional[str]:
        """Return where a path leads, or None."""
        return None if self._fails("find", path) else super().real(path)

    def link(self, path: str) -> Optional[str]:
        """Return the last component of a symbolic link's target, or None."""
        return None if self._fails("link", path) else super().link(path)

    def ask(self, what: str, question: Callable[[], T]) -> Optional[T]:
        """Return what the kernel answered."""
        failed = self._fails("ask", f"netlink/{what}")
        return None if failed or self._answers is None else self._answers.get(what)

    def _fails(self, operation: str, path: str) -> bool:
        code = self._failures[operation].get(slashed(path))
        if code is None:
            return False
        self.reads += operation in ("read", "list")
        self.complain(path, code)
        return True


def open_root(path: str) -> Root:
    """Return the files below a path: the running host's, a tree's, or those of a capture as its host showed them."""
    root = Root(path)
    text = None if root.live else Root(path).data(NOTES, NOTES_LIMIT)
    if text is None:
        return root
    try:
        notes = json.loads(text)
    except (ValueError, RecursionError):
        notes = None
    if isinstance(notes, dict) and notes.get("format") == FORMAT:
        return Replayed(path, notes)
    root.complain(NOTES, errno.EBADMSG)
    return root
