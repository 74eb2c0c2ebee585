# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files below a root path, read so that nothing outside it is touched, nothing blocks and nothing raises.

A root other than / is a captured tree of another machine: its symbolic links mean what they would mean there, so an absolute target
starts at the root and C(..) stops at it, as after chroot.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import stat
from typing import Callable, Dict, Iterable, List, Optional, Set, Tuple, TypeVar

TEXT_LIMIT = 65536
NAMES_LIMIT = 16384
READS_LIMIT = 500000
LINKS_LIMIT = 40
CHUNK = 1 << 20
FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# The running kernel's own files: no pipes and no devices, so that there is nothing to look out for before opening one.
KERNEL = "/sys/"
PAGE = os.sysconf("SC_PAGESIZE")

# What is not there, or what a driver has no answer to, is no error: most machines lack most. Everything else is kept with its path.
ABSENT = frozenset((errno.ENOENT, errno.EOPNOTSUPP))
DIGITS = re.compile(r"([0-9]+)")
NUMBER = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]{1,16}|[0-9]{1,19})")

T = TypeVar("T")


def natural(text: str) -> List[Tuple[int, int, str]]:
    """Return a key that sorts mlx5_2 before mlx5_10."""
    # Python refuses to read a number of thousands of digits.
    return [(0, int(part), "") if part[0] in "0123456789" and len(part) < 1000 else (1, 0, part) for part in DIGITS.split(text) if part]


def number(text: Optional[str]) -> Optional[int]:
    """Return the decimal or C(0x) number that a text is, or None."""
    if text is None or not NUMBER.fullmatch(text):
        return None
    return int(text, 16) if "x" in text.lower() else int(text)


def _parts(path: str) -> List[str]:
    """Return the components of a path, last one first."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


class Root:
    """A machine's file system, or a captured part of one.

    :ivar reads: files read and directories listed so far.
    :ivar errors: path to errno name, for everything that is there and could not be read.
    """

    _recent = ""
    _here: Optional[int] = None

    def __init__(self, root: str = "/", limit: int = READS_LIMIT):
        self.base = os.path.realpath(root).rstrip("/")
        self.reads = 0
        self.errors: Dict[str, str] = {}
        self._limit = limit
        self._plain: Set[str] = set()
        self._directories: Dict[str, str] = {}

    @property
    def live(self) -> bool:
        """Whether this is the running machine, which can be asked by more than files."""
        return self.base == ""

    @property
    def answers(self) -> bool:
        """Whether questions to the kernel get an answer that belongs to these files."""
        return self.live

    def ask(self, what: str, question: Callable[[], T]) -> Optional[T]:
        """Return what the kernel answers; a kernel that does not is noted like an unreadable file.

        :param what: name of the question, for example addresses.
        """
        try:
            return question()
        except OSError as error:
            # A timeout has no errno.
            self.complain(f"netlink/{what}", error.errno or errno.ETIMEDOUT)
            return None

    def complain(self, path: str, code: int) -> None:
        """Record that a file could not be used."""
        if code not in ABSENT:
            self.errors["/" + path.lstrip("/")] = errno.errorcode.get(code, str(code))

    def read(self, path: str, limit: int = TEXT_LIMIT) -> Optional[str]:
        """Return a file's text without the white space around it, or None."""
        data = self.data(path, limit)
        return None if data is None else data.decode("utf-8", "replace").strip("\0 \t\r\n\v\f")

    def number(self, path: str) -> Optional[int]:
        """Return the number that a file holds, or None."""
        return number(self.read(path))

    def data(self, path: str, limit: int = TEXT_LIMIT, cut: bool = False) -> Optional[bytes]:
        """Return a file's bytes, or None.

        :param limit: a longer file counts as unreadable (EFBIG).
        :param cut: take the beginning of a longer one instead.
        """
        try:
            descriptor, size = self._open(path)
            try:
                data = self._load(descriptor, limit + 1, size)
            finally:
                os.close(descriptor)
            if len(data) > limit and not cut:
                raise OSError(errno.EFBIG, "too long")
            return data[:limit]
        except OSError as error:
            self.complain(path, error.errno or errno.EIO)
        return None

    def contains(self, path: str, words: Iterable[str], limit: int = 1 << 28) -> Optional[Set[str]]:
        """Return which words occur in a file that may be large, or None when it cannot be read."""
        wanted = {word.encode() for word in words}
        keep = max(map(len, wanted), default=1) - 1
        found: Set[bytes] = set()
        rest = b""
        try:
            descriptor, _size = self._open(path)
            try:
                while wanted - found and limit > 0:
                    chunk = os.read(descriptor, CHUNK)
                    if not chunk:
                        break
                    limit -= len(chunk)
                    rest += chunk
                    found |= {word for word in wanted - found if word in rest}
                    rest = rest[len(rest) - keep :] if keep else b""
            finally:
                os.close(descriptor)
        except OSError as error:
            self.complain(path, error.errno or errno.EIO)
            return None
        return {word.decode() for word in found}

    def list(self, path: str) -> List[str]:
        """Return the names in a directory in natural order; none when there is no such directory."""
        names: List[str] = []
        try:
            self._count()
            with os.scandir(self.base + self._directory(path)) as entries:
                names = [entry.name for entry in itertools.islice(entries, NAMES_LIMIT + 1)]
            if len(names) > NAMES_LIMIT:
                self.complain(path, errno.E2BIG)
                names.pop()
        except OSError as error:
            self.complain(path, error.errno or errno.EIO)
        shown = [name for name in names if name.isprintable()]
        if len(shown) < len(names):
            # A name that is no text cannot be shown, and is no device's.
            self.complain(path, errno.EILSEQ)
        # Tables of a thousand numbered slots are common, and the general key costs more than reading them.
        return sorted(shown, key=int if all(name.isascii() and name.isdigit() for name in shown) else natural)

    def real(self, path: str) -> Optional[str]:
        """Return where a path leads, itself below the root, or None when it leads nowhere."""
        try:
            place = self._walk(path)
            os.lstat(self.base + place)
        except OSError as error:
            self.complain(path, error.errno or errno.EIO)
            return None
        return place or "/"

    def outside(self, path: str) -> Optional[str]:
        """Return where a path leads as the operating system is asked for it, or None when it leads nowhere."""
        place = self.real(path)
        return None if place is None else self.base + place

    def exists(self, path: str) -> bool:
        """Return whether a path leads somewhere."""
        return self.real(path) is not None

    def link(self, path: str) -> Optional[str]:
        """Return the last component of a symbolic link's target, or None when the path is no link."""
        parent, _slash, name = ("/" + path.strip("/")).rpartition("/")
        try:
            target = self._readlink(self._directory(parent) + "/" + name)
        except (OSError, ValueError) as error:
            code = getattr(error, "errno", None)
            # EINVAL says that it is no link, which is an answer.
            if code != errno.EINVAL:
                self.complain(path, code or errno.EILSEQ)
            return None
        name = target.rstrip("/").rpartition("/")[2]
        return name if name.isprintable() and name not in ("", ".", "..") else None

    def _readlink(self, place: str) -> str:
        """Return the target of a link below the root."""
        return os.readlink(self.base + place)

    def _count(self) -> None:
        self.reads += 1
        if self.reads > self._limit:
            raise OSError(errno.EDQUOT, "too many reads")

    def _open(self, path: str) -> Tuple[int, int]:
        """Open a regular file; return its descriptor and size."""
        self._count()
        parent, _slash, name = ("/" + path.lstrip("/")).rpartition("/")
        if not self.base and path.startswith(KERNEL):
            try:
                return self._open_kernel(parent, name), PAGE
            except OSError as error:
                if error.errno != errno.ELOOP:  # A link, which the long way follows.
                    raise
            except ValueError:
                raise OSError(errno.EILSEQ, "not a path") from None
        try:
            place = self.base + self._directory(parent) + "/" + name
            status = os.lstat(place)
            if stat.S_ISLNK(status.st_mode):
                place = self.base + self._walk(path)
                status = os.lstat(place)
        except ValueError:
            raise OSError(errno.EILSEQ, "not a path") from None
        if stat.S_ISDIR(status.st_mode):
            raise OSError(errno.EISDIR, "is a directory")
        if not stat.S_ISREG(status.st_mode):
            # A pipe would block, and to open some devices changes them.
            raise OSError(errno.ENODEV, "is no file")
        return os.open(place, FLAGS), status.st_size

    def _open_kernel(self, parent: str, name: str) -> int:
        """Open a file of the running kernel: the second of a directory and all that follow without the way down to it."""
        if parent != self._recent:
            self._recent = parent
            self._leave()
            return os.open(f"{self._directory(parent)}/{name}", FLAGS)
        if self._here is None:
            self._here = os.open(self._directory(parent), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return os.open(name, FLAGS, dir_fd=self._here)

    def _leave(self) -> None:
        if self._here is not None:
            os.close(self._here)
            self._here = None

    def __del__(self) -> None:
        self._leave()

    @staticmethod
    def _load(descriptor: int, limit: int, size: int) -> bytes:
        """Return up to limit bytes. Files of /proc have size 0 and may come in pieces; elsewhere a short read is the end."""
        data = os.read(descriptor, min(limit, CHUNK))
        if not data or (size and len(data) < min(limit, CHUNK)):
            return data
        pieces, left = [data], limit - len(data)
        while left > 0:
            data = os.read(descriptor, min(left, CHUNK))
            if not data:
                break
            pieces.append(data)
            left -= len(data)
        return b"".join(pieces)

    def _directory(self, path: str) -> str:
        """Return where a directory is, remembered: thousands of reads go to the same ones."""
        place = self._directories.get(path)
        if place is None:
            place = self._directories[path] = self._walk(path)
        return place

    def _walk(self, path: str) -> str:
        """Return a path without links, empty for the root itself.

        :raises OSError: it leads nowhere, or in circles.
        """
        pending, here, links = _parts(path), "", 0
        while pending:
            name = pending.pop()
            if name == "..":
                here = here.rpartition("/")[0]
                continue
            step = here + "/" + name
            if step not in self._plain:
                try:
                    target = self._readlink(step)
                except ValueError:
                    raise OSError(errno.EILSEQ, "not a path") from None
                except OSError as error:
                    if error.errno != errno.EINVAL:
                        raise
                    self._plain.add(step)
                else:
                    links += 1
                    if links > LINKS_LIMIT:
                        raise OSError(errno.ELOOP, "too many links")
                    here = "" if target.startswith("/") else here
                    pending.extend(_parts(target))
                    continue
            here = step
        return here
