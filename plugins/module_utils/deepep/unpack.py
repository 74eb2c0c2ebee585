# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives: unpacking one below a directory without its first directory, and packing a tree so that the same files give the same bytes."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path, PurePosixPath

from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError


def _inside(name: str, subject: str) -> PurePosixPath:
    """Return a path of an archive; raise StackError if it leads out of where it is unpacked."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise StackError(subject, f"{name!r} in the archive leads out of it", "look at where the archive comes from")
    return path


def unpack(archive: Path, target: Path, subject: str, strip: int = 1) -> None:
    """Unpack an archive: files, directories and links that stay inside. Raises StackError.

    :param strip: how many directories at the beginning of each path are left out.
    """
    try:
        with tarfile.open(archive) as stream:
            for member in stream:
                parts = _inside(member.name, subject).parts[strip:]
                if not parts:
                    continue
                place = target.joinpath(*parts)
                if member.isdir():
                    place.mkdir(parents=True, exist_ok=True)
                    continue
                place.parent.mkdir(parents=True, exist_ok=True)
                if member.issym():
                    leads = PurePosixPath(os.path.normpath(str(PurePosixPath(*parts[:-1]) / member.linkname)))
                    _inside(member.linkname if member.linkname.startswith("/") else str(leads), subject)
                    place.symlink_to(member.linkname)
                elif member.isfile():
                    data = stream.extractfile(member)
                    place.write_bytes(data.read() if data else b"")
                    place.chmod(0o755 if member.mode & 0o100 else 0o644)
                    os.utime(place, (member.mtime, member.mtime))
                else:
                    raise StackError(subject, f"{member.name!r} is neither a file nor a link", "look at where the archive comes from")
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise StackError(subject, f"{archive} cannot be unpacked ({error})", "remove it and run again: it is fetched anew") from error


def files_of(tree: Path) -> list[Path]:
    """Return the files and links of a tree, relative to it, in order."""
    found = []
    for directory, directories, names in os.walk(tree):
        links = [name for name in directories if os.path.islink(os.path.join(directory, name))]
        found += [Path(directory, name).relative_to(tree) for name in [*names, *links]]
    return sorted(found, key=str)


def digests(tree: Path) -> dict[str, str]:
    """Return the sha256 of every file by path; of a link, that of its target after an arrow."""
    found = {}
    for path in files_of(tree):
        full = tree / path
        if full.is_symlink():
            found[str(path)] = "-> " + os.readlink(full)
            continue
        digest = hashlib.sha256()
        with full.open("rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
        found[str(path)] = digest.hexdigest()
    return found


def _add(stream: tarfile.TarFile, tree: Path, path: Path) -> None:
    full, row = tree / path, tarfile.TarInfo("tree/" + str(path))
    if full.is_symlink():
        row.type, row.linkname = tarfile.SYMTYPE, os.readlink(full)
        stream.addfile(row)
        return
    data = full.read_bytes()
    row.size, row.mode = len(data), 0o755 if full.stat().st_mode & 0o100 else 0o644
    stream.addfile(row, io.BytesIO(data))


def pack(tree: Path, archive: Path, without: frozenset[str]) -> str:
    """Write a tree into an archive and return its sha256: the same files give the same bytes.

    :param without: paths that are left out.
    """
    with contextlib.ExitStack() as streams:
        raw = streams.enter_context(archive.open("wb"))
        packed = streams.enter_context(gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0))
        stream = streams.enter_context(tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT))
        for path in files_of(tree):
            if str(path) not in without:
                _add(stream, tree, path)
    with archive.open("rb") as written:
        os.fsync(written.fileno())
    return hashlib.sha256(archive.read_bytes()).hexdigest()
