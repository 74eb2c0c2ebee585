# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing one file to its place, from a path or an HTTP server: resumed, checked, then named by a rename."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO
from urllib.parse import quote, urlsplit, urlunsplit

from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError, is_disk_full
from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import sync_directory

PARTIAL = ".partial"
BLOCK = 1 << 20
SECONDS = 60
# In a row that brought nothing, and seconds after the first one.
TRIES = 4
PAUSE = 1.0
# Python 3.9 has its own error for a server that falls silent.
NET = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, socket.timeout)


def is_url(base: str) -> bool:
    """Say whether a place is a server and no path."""
    return urlsplit(base).scheme in ("http", "https")


def public(origin: str) -> str:
    """Return an address without what may be secret of it: user, query, fragment. A path stays as it is."""
    if not is_url(origin):
        return origin
    parts = urlsplit(origin)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def join(base: str, path: str) -> str:
    """Return the address or path of a file below a base."""
    return f"{base.rstrip('/')}/{quote(path) if is_url(base) else path}"


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    value = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(BLOCK), b""):
            value.update(block)
    return value.hexdigest()


def partial_of(target: Path) -> Path:
    """Return where a file is until it is whole and checked."""
    return target.with_name(f".{target.name}{PARTIAL}")


def read_text(base: str, path: str, subject: str) -> str:
    """Return the text of a small file. Raises StackError."""
    place = join(base, path)
    try:
        if not is_url(base):
            return Path(place).read_text(encoding="utf-8")
        with urllib.request.build_opener().open(place, timeout=SECONDS) as answer:
            return str(answer.read().decode("utf-8"))
    except (OSError, UnicodeDecodeError, *NET) as error:
        fix = "name the directory that playbooks/mirror.yml has filled, or the address of a file server that gives it out"
        raise StackError(subject, f"{place} cannot be read ({error})", fix) from error


def _append(source: str, partial: Path, size: int | None) -> None:
    """Get what a partial file lacks; a server that cannot begin in the middle sends all of it again.

    Raises http.client.IncompleteRead where less comes than the server has promised, which urllib says nothing of.
    """
    offset = _size(partial)
    if size is not None and offset >= size:
        partial.touch()
        return
    if not is_url(source):
        with Path(source).open("rb") as stream:
            stream.seek(offset)
            _pour(stream, partial, "ab")
        return
    opener = urllib.request.build_opener()
    if offset:
        opener.addheaders.append(("Range", f"bytes={offset}-"))
    with opener.open(source, timeout=SECONDS) as answer:
        begin = offset if answer.status == http.client.PARTIAL_CONTENT else 0
        length = answer.headers.get("Content-Length") or ""
        _pour(answer, partial, "ab" if begin else "wb")
    promised = begin + int(length) if length.isdigit() else size
    lacking = (promised or 0) - _size(partial)
    if lacking > 0:
        raise http.client.IncompleteRead(b"", lacking)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _pour(stream: IO[bytes], partial: Path, mode: str) -> None:
    with partial.open(mode) as target:
        shutil.copyfileobj(stream, target, BLOCK)
        target.flush()
        os.fsync(target.fileno())


def bring(source: str, target: Path, sha256: str, subject: str, size: int | None = None) -> None:
    """Have a file at target whose sha256 is the given one; what an interrupted run has left is gone on with.

    A partial file that turns out to be something else is thrown away and fetched once more from its beginning. Raises StackError.

    :param size: in bytes, None where it is not known.
    """
    partial = partial_of(target)
    try:
        made = [folder for folder in (target.parent, *target.parent.parents) if not folder.exists()]
        target.parent.mkdir(parents=True, exist_ok=True)
        for fresh in (False, True):
            if fresh and partial.exists():
                partial.unlink()
            _persist(source, partial, size, subject)
            if digest(partial) == sha256:
                partial.chmod(0o644)
                os.replace(partial, target)
                for folder in (target.parent, *(folder.parent for folder in made)):
                    sync_directory(folder)
                return
        partial.unlink()
    except OSError as error:
        if is_disk_full(error):
            raise StackError(
                subject, f"{target.parent} became full at {target.name}", "free space and run again: what is whole is kept"
            ) from error
        problem = f"{error.strerror or error} ({error.filename or public(source)})"
        raise StackError(subject, problem, "let this user read there and write to the target") from error
    problem = f"the sha256 of {public(source)} is not that of the manifest: {target.name} was corrupted or exchanged"
    raise StackError(subject, problem, "look at who changed it, and have playbooks/mirror.yml with mirror_verify=true fetch it again")


def _persist(source: str, partial: Path, size: int | None, subject: str) -> None:
    """Try a server again as long as every few tries bring something, a path once."""
    left = TRIES
    while True:
        before = _size(partial)
        try:
            _append(source, partial, size)
            return
        except NET as error:
            left = TRIES if _size(partial) > before else left - 1
            code = getattr(error, "code", None)
            anew = code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and partial.exists()
            if anew:
                partial.unlink()
            if left <= 0 or (not anew and code is not None and code < http.client.INTERNAL_SERVER_ERROR):
                problem = f"{public(source)} cannot be fetched ({error})"
                raise StackError(subject, problem, "look at the file server, then run again: what is there is gone on with") from error
            time.sleep(PAUSE * (TRIES - left))
