# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of an open transaction on the host: everything that is needed to go back, on the disk before anything changes.

It is a directory that appears as a whole and goes as a whole, so that a power cut leaves it or does not.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Optional, Set, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.files import Image, missing_directories, settle
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.situation import Situation

VERSION = 1
STATE = "/var/lib/railyard.sglang"
DIRECTORY = f"{STATE}/nic-names"
PENDING = f"{DIRECTORY}/pending"
#: What the last transaction that was undone had done.
UNDONE = f"{DIRECTORY}/undone.log"
#: The last transaction that was confirmed, for a controller that did not hear so; until the next boot.
CONFIRMED = "/run/railyard-nic-names.confirmed"
BOOT = "/proc/sys/kernel/random/boot_id"
#: Phases in their order. STAGED and BOOTED are those of names that change at the next boot.
ARMED, STAGED, APPLIED, BOOTED = "armed", "staged", "applied", "booted"


class JournalError(Exception):
    """A journal that cannot be read."""


@dataclass(frozen=True)
class Port:
    """How an interface is found again.

    :ivar index: its number in the kernel, for as long as the host runs.
    :ivar before: name before the transaction.
    :ivar after: name that it gets.
    :ivar altnames: before the transaction.
    :ivar up: whether it was switched on before.
    :ivar mtu: before the transaction, None where it is left alone.
    """

    index: int
    mac: str
    pci: str
    before: str
    after: str
    altnames: Tuple[str, ...] = ()
    mtu: Optional[int] = None
    mtu_after: Optional[int] = None
    up: bool = False


@dataclass
class Journal:
    """A transaction.

    :ivar boot: identifier of the boot in which it began.
    :ivar seconds: time from the first change to the confirmation.
    :ivar files: path to the file as it was.
    :ivar written: path to the SHA-256 of what the transaction writes there; empty for a file that it removes.
    :ivar made: directories that were made for the files.
    :ivar rdma: node GUID to the names before and after of its RDMA device.
    """

    id: str
    boot: str
    seconds: int
    at_boot: bool = False
    ports: List[Port] = field(default_factory=list)
    files: Dict[str, Image] = field(default_factory=dict)
    written: Dict[str, str] = field(default_factory=dict)
    made: List[str] = field(default_factory=list)
    rdma: Dict[str, Dict[str, str]] = field(default_factory=dict)
    situation: Situation = field(default_factory=Situation)

    @property
    def names(self) -> Dict[str, str]:
        """Name before to name after."""
        return {port.before: port.after for port in self.ports}

    def rdma_names(self, when: str) -> Dict[str, str]:
        """Return node GUID to name, C(before) or C(after)."""
        return {guid: row[when] for guid, row in self.rdma.items()}


def boot_id() -> str:
    """Return the identifier of this boot."""
    with open(BOOT, encoding="ascii") as stream:
        return stream.read().strip()


def _plain(journal: Journal) -> Dict[str, Any]:
    numbered = {path: {"number": number, **each.about()} for number, (path, each) in enumerate(sorted(journal.files.items()))}
    return {
        "version": VERSION, "id": journal.id, "boot": journal.boot, "seconds": journal.seconds, "at_boot": journal.at_boot,
        "ports": [{**vars(port), "altnames": list(port.altnames)} for port in journal.ports],
        "files": numbered, "written": journal.written, "made": journal.made, "rdma": journal.rdma,
        "situation": journal.situation.plain(),
    }


def _write(path: str, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def begin(journal: Journal) -> None:
    """Put a journal on the disk.

    :raises OSError: the file system refused; then there is none.
    """
    for directory in missing_directories([f"{PENDING}/x"]):
        if directory != PENDING:
            os.mkdir(directory, 0o755)
    new = f"{PENDING}.new"
    shutil.rmtree(new, ignore_errors=True)
    os.mkdir(new, 0o700)
    for number, (_path, each) in enumerate(sorted(journal.files.items())):
        if each.content is not None:
            _write(f"{new}/{number}", each.content)
    _write(f"{new}/journal.json", (json.dumps(_plain(journal), indent=1, sort_keys=True) + "\n").encode())
    _write(f"{new}/phase", ARMED.encode())
    settle(new)
    os.rename(new, PENDING)
    settle(DIRECTORY)


def load() -> Optional[Journal]:
    """Return the open transaction, None where there is none.

    :raises JournalError: it cannot be read.
    """
    try:
        with open(f"{PENDING}/journal.json", encoding="utf-8") as stream:
            data = json.load(stream)
        if data.pop("version") != VERSION:
            raise ValueError("of another version")
        kept = {}
        for path, about in data.pop("files").items():
            content = None
            if about["there"]:
                with open(f"{PENDING}/{about['number']}", "rb") as binary:
                    content = binary.read()
            kept[path] = Image.of(about, content)
        ports = [Port(**{**row, "altnames": tuple(row["altnames"])}) for row in data.pop("ports")]
        return Journal(files=kept, ports=ports, situation=Situation.load(data.pop("situation")), **data)
    except FileNotFoundError:
        if os.path.exists(f"{PENDING}/journal.json"):
            raise JournalError(f"{PENDING} is not whole") from None
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise JournalError(f"{PENDING}/journal.json cannot be read: {error}") from error


def phase() -> str:
    """Return how far the open transaction is; empty where there is none."""
    try:
        with open(f"{PENDING}/phase", encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def reach(name: str) -> None:
    """Note that a transaction has reached a phase."""
    _write(f"{PENDING}/phase.new", name.encode())
    os.rename(f"{PENDING}/phase.new", f"{PENDING}/phase")
    settle(PENDING)


def doubts(more: Iterable[str] = ()) -> Set[str]:
    """Return the interfaces on which something wrong may be in force, by their names before; once seen it is known to later attempts.

    :param more: to be remembered, too.
    """
    try:
        with open(f"{PENDING}/doubts", encoding="utf-8") as stream:
            known = set(stream.read().split())
    except OSError:
        known = set()
    found = known | set(more)
    if found != known:
        with contextlib.suppress(OSError):
            _write(f"{PENDING}/doubts.new", "\n".join(sorted(found)).encode())
            os.rename(f"{PENDING}/doubts.new", f"{PENDING}/doubts")
    return found


def tried() -> int:
    """Count an attempt to undo, and return how many there were with it."""
    try:
        with open(f"{PENDING}/tries", encoding="ascii") as stream:
            number = int(stream.read())
    except (OSError, ValueError):
        number = 0
    with contextlib.suppress(OSError):
        _write(f"{PENDING}/tries", str(number + 1).encode())
    return number + 1


def note(text: str) -> None:
    """Add a line to what the transaction has done so far. It is for people; nothing depends on it."""
    def private(path: str, flags: int) -> int:
        return os.open(path, flags, 0o600)

    with contextlib.suppress(OSError), open(f"{PENDING}/log", "a", encoding="utf-8", opener=private) as stream:
        stream.write(f"{time.time():.2f} {text}\n")


def _sign(over: str) -> None:
    """Add to a closed transaction's log which one it was."""
    try:
        with open(f"{over}/journal.json", encoding="utf-8") as stream:
            text = f"{time.time():.2f} undone {json.load(stream)['id']}\n"
        with open(f"{over}/log", "a", encoding="utf-8") as stream:
            stream.write(text)
    except (OSError, ValueError, KeyError):
        # It can be closed all the same.
        return


def end(undone: bool = False) -> None:
    """Close the transaction: from the rename on there is none.

    :param undone: whether what it did is kept for people to read.
    :raises OSError: the file system refused.
    """
    over = f"{DIRECTORY}/over"
    shutil.rmtree(over, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        os.rename(PENDING, over)
        settle(DIRECTORY)
    with contextlib.suppress(FileNotFoundError):
        if undone:
            _sign(over)
            os.replace(f"{over}/log", UNDONE)
        else:
            os.unlink(UNDONE)
    shutil.rmtree(over, ignore_errors=True)
    shutil.rmtree(f"{PENDING}.new", ignore_errors=True)


def confirm(transaction: str) -> None:
    """Note that a transaction was confirmed."""
    with contextlib.suppress(OSError):
        _write(CONFIRMED, transaction.encode())


def confirmed() -> str:
    """Return the last transaction that was confirmed since the boot, empty where there is none."""
    try:
        with open(CONFIRMED, encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def undone() -> str:
    """Return the last transaction that was undone, empty where none is known."""
    try:
        with open(UNDONE, encoding="utf-8") as stream:
            found = re.search(r"^\S+ undone (\S+)$", stream.read(), re.MULTILINE)
    except OSError:
        return ""
    return found.group(1) if found else ""
