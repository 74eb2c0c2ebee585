# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store: finished trees under their content ids, markers, the build lock, the link to the current tree.

Below the store directory:
  <stack>-<id>/                 a tree; it is complete if and only if it holds the marker
  <stack>-<id>/.stack.json      the marker, written last
  .<stack>-<id>.building        journal of a build under way, or of one that was interrupted
  .<stack>-<id>.new/            a tree under construction; it gets its name when it is complete
  .<stack>-<id>.before/         a tree whose name another one is about to get, where two names cannot be exchanged
  .<stack>-<id>.work/           what a build needs besides the tree; goes with it
  .<stack>.lock                 held by whoever builds
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError

MARKER = ".stack.json"
FORMAT = 1
POLL_SECONDS = 0.5
AT_FDCWD = -100
RENAME_EXCHANGE = 2
# What says that a kernel, a C library or a file system cannot exchange two names.
NO_EXCHANGE = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})


@dataclass(frozen=True)
class Place:
    """Where one build of a stack lives: store directory, name of the stack, content id."""

    store: Path
    stack: str
    content: str

    @property
    def tree(self) -> Path:
        """The tree."""
        return self.store / f"{self.stack}-{self.content}"

    @property
    def journal(self) -> Path:
        """The journal of a build that has not ended."""
        return self.store / f".{self.tree.name}.building"

    @property
    def work(self) -> Path:
        """The working directory of a build."""
        return self.store / f".{self.tree.name}.work"

    @property
    def new(self) -> Path:
        """The tree while it is built: nothing points there."""
        return self.store / f".{self.tree.name}.new"

    @property
    def before(self) -> Path:
        """What is to be removed in favour of a new tree of the same content."""
        return self.store / f".{self.tree.name}.before"

    @property
    def lock(self) -> Path:
        """The lock file of the stack's builds."""
        return self.store / f".{self.stack}.lock"


def read_marker(tree: Path) -> dict[str, Any] | None:
    """Return the marker of a tree, None if the tree is not complete: there is no marker, or half of one.

    Raises OSError if the marker cannot be read, and StackError if a newer version of the collection has written it: that says nothing
    about the tree, which may be in use.
    """
    try:
        marker = json.loads((tree / MARKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    written = marker.get("format") if isinstance(marker, dict) else None
    if isinstance(written, int) and written > FORMAT:
        problem = f"a newer version of the collection has made it (format {written} of its marker, this version knows {FORMAT})"
        raise StackError(str(tree), problem, "use that version, or move the tree away when nothing runs from it")
    return marker if written == FORMAT else None


def sync_directory(path: Path) -> None:
    """Have the entries of a directory on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file_system(path: Path) -> None:
    """Have everything that was written to the file system of a path on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(descriptor)


def write_synced(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file whole or not at all, and have it on the disk on return."""
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fchmod(stream.fileno(), mode)
        os.fsync(stream.fileno())
    os.replace(temporary, path)
    sync_directory(path.parent)


def write_marker(tree: Path, marker: dict[str, Any]) -> None:
    """Make a tree complete: first its files, then the marker reach the disk."""
    sync_file_system(tree)
    write_synced(tree / MARKER, json.dumps({"format": FORMAT, **marker}, indent=1, sort_keys=True) + "\n")


def remove_tree(tree: Path) -> None:
    """Remove a tree, its marker first, so that a removal cut short leaves no tree that looks complete."""
    with contextlib.suppress(FileNotFoundError):
        (tree / MARKER).unlink()
    if tree.is_dir():
        shutil.rmtree(tree)


def discard(place: Place, used: Collection[Path] = ()) -> None:
    """Remove what an interrupted build left: its tree, its working directory, its journal.

    A tree that is complete stays, and so does one of those that are used, whatever has become of its marker.
    """
    if place.tree not in used and read_marker(place.tree) is None:
        remove_tree(place.tree)
    for left in (place.new, place.before, place.work):
        remove_tree(left)
    with contextlib.suppress(FileNotFoundError):
        place.journal.unlink()


def exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step and return whether kernel and file system can do that. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        renameat2 = libc.renameat2
    except AttributeError:  # glibc before 2.28
        return False
    if renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(other))


def settle_in(place: Place) -> None:
    """Give a complete new tree its name; what had that name before is left for discard().

    A link to that name points to one of both at every moment. Where names cannot be exchanged (NFS), it points to nothing between two
    renames; the next run finishes that.
    """
    if place.tree.is_dir():
        if not exchange(place.new, place.tree):
            remove_tree(place.before)
            os.rename(place.tree, place.before)
            try:
                os.rename(place.new, place.tree)
            except OSError:
                os.rename(place.before, place.tree)
                raise
    else:
        os.rename(place.new, place.tree)
    sync_directory(place.store)


def interrupted(place: Place) -> list[Place]:
    """Return the places of the stack at which a build was interrupted; call it with the lock held."""
    prefix = f".{place.stack}-"
    names = {entry.name.rpartition(".")[0] for entry in place.store.iterdir() if entry.name.startswith(prefix)}
    found = []
    for name in sorted(names):
        content = name[len(prefix) :]
        if content and name.startswith(prefix) and "-" not in content:
            found.append(Place(place.store, place.stack, content))
    return found


@contextlib.contextmanager
def hold(lock: Path, wait_seconds: float, subject: str) -> Iterator[int]:
    """Hold a lock file and give its descriptor.

    Programs which inherit the descriptor hold it too: the lock of a killed build is held until they have ended.
    Raises StackError if somebody else holds it for longer than wait_seconds.
    """
    with lock.open("a+") as stream:
        until = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    problem = f"another run holds {lock}, waited for {wait_seconds:.0f} s"
                    raise StackError(subject, problem, f"end it (fuser -v {lock}), then run again") from None
                time.sleep(POLL_SECONDS)
        yield stream.fileno()


def link_target(link: Path) -> Path | None:
    """Return where a link points to, None if nothing is there.

    Raises StackError if something other than a link is in its place.
    """
    if link.is_symlink():
        return Path(os.readlink(link))
    if link.exists():
        raise StackError(str(link), "it is no link but somebody else's file or directory", "move it away")
    return None


def switch_link(link: Path, tree: Path) -> None:
    """Point a link to a complete tree: at every moment it points to the old one or to the new one."""
    if read_marker(tree) is None:
        raise StackError(str(link), f"{tree} is not complete", "run the stack stage again, which builds it anew")
    link.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    temporary = link.with_name(f".{link.name}.new")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    temporary.symlink_to(tree)
    os.replace(temporary, link)
    sync_directory(link.parent)


def take_into_use(link: Path, tree: Path) -> None:
    """Point a link to a complete tree and note that in the tree, unless it is in a store that others write."""
    switch_link(link, tree)
    with contextlib.suppress(OSError):
        touch(tree)


def linked(root: Path, without: str = "") -> set[Path]:
    """Return what the links of a directory, but the one of that name, point to, also where nothing is there."""
    if not root.is_dir():
        return set()
    return {root / os.readlink(entry.path) for entry in os.scandir(root) if entry.is_symlink() and entry.name != without}


def touch(tree: Path) -> None:
    """Note that a tree has come into use: the time of its marker decides which trees are kept."""
    os.utime(tree / MARKER)


def marked_trees(store: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Return all complete trees with their markers, but none whose marker cannot be read: nothing is known of it."""
    found = []
    for tree in sorted(store.iterdir()) if store.is_dir() else []:
        with contextlib.suppress(OSError, StackError):
            marker = read_marker(tree) if not tree.name.startswith(".") else None
            if marker:
                found.append((tree, marker))
    return found


def complete_trees(store: Path, stack: str) -> list[Path]:
    """Return the complete trees of a stack, the one last taken into use first."""
    found = []
    for tree, marker in marked_trees(store):
        if marker.get("stack") == stack:
            found.append(((tree / MARKER).stat().st_mtime_ns, tree))
    return [tree for _stamp, tree in sorted(found, reverse=True)]


def surplus(trees: list[Path], protected: set[Path], keep: int) -> list[Path]:
    """Return which of the trees, newest first, go if so many are kept; the protected ones stay and count."""
    ordered = [tree for tree in trees if tree in protected] + [tree for tree in trees if tree not in protected]
    return [tree for tree in ordered[keep:] if tree not in protected]
