# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's facts as an archive that can be sent to others: the files that the facts read, in disguise, and nothing else."""

from __future__ import annotations

import errno
import gzip
import io
import json
import posixpath
import tarfile
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import extracts
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.disguise import Disguise, known_hosts
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.gather import SUBSETS, gather
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.replay import FORMAT, NOTES, OPERATIONS, Recorder

DIRECTORY, FILE, LINK = "directory", "file", "link"
MODES = {DIRECTORY: 0o755, FILE: 0o644, LINK: 0o777}
TYPES = {DIRECTORY: tarfile.DIRTYPE, FILE: tarfile.REGTYPE, LINK: tarfile.SYMTYPE}
# The first of January 2000: some programs distrust archives from 1970.
WHEN = 946684800

Member = Tuple[str, bytes]


@dataclass
class Capture:
    """A captured host.

    :ivar archive: the tar.
    :ivar report: what was replaced how often, without what it was.
    """

    archive: bytes
    report: Dict[str, Any] = field(default_factory=dict)


def _parents(place: str) -> Iterable[str]:
    while place.strip("/"):
        place = posixpath.dirname(place)
        if place.strip("/"):
            yield place


def _kinds(record: Recorder) -> Dict[str, str]:
    """Return what is at every place that was read, listed, found or gone through."""
    found = dict.fromkeys(record.links, LINK)
    for directory, names in record.listings.items():
        found.setdefault(directory, DIRECTORY)
        for name in names:
            place = f"{directory.rstrip('/')}/{name}"
            if place not in found and extracts.shown(directory, name):
                found[place] = DIRECTORY if record.is_directory(place) else FILE
    for place in record.found:
        found.setdefault(place, DIRECTORY if record.is_directory(place) else FILE)
    for place in record.files:
        found.setdefault(place, FILE)
    for place in list(found):
        for parent in _parents(place):
            if found.get(parent) != LINK:
                found[parent] = DIRECTORY
    found.pop("/", None)
    return {place: kind for place, kind in found.items() if not any(found.get(parent) == LINK for parent in _parents(place))}


def _target(disguise: Disguise, place: str, target: str) -> str:
    """Return a link's target, relative, in disguise."""
    where = posixpath.normpath(posixpath.join(posixpath.dirname(place), target or "."))
    return posixpath.relpath(disguise.path("/" + where.lstrip("/")), posixpath.dirname(disguise.path(place)))


def _answers(disguise: Disguise, told: Dict[str, Any]) -> Dict[str, Any]:
    """Return the kernel's answers, in disguise."""

    def name(text: Optional[str]) -> Optional[str]:
        return text if text is None else disguise.name(text)

    found: Dict[str, Any] = {"netns": told.get("netns")}
    addresses, devices, dcb = (told.get(key) for key in ("addresses", "rdma", "dcb"))
    if addresses is not None:
        found["addresses"] = {disguise.name(key): [disguise.address(row) for row in rows] for key, rows in addresses.items()}
    if devices is not None:
        found["rdma"] = {
            disguise.name(key): {**row, "ports": {str(port): name(netdev) for port, netdev in row["ports"].items()}}
            for key, row in devices.items()
        }
    if dcb is not None:
        found["dcb"] = {disguise.name(key): row for key, row in dcb.items()}
    return found


def _errors(disguise: Disguise, record: Recorder, kinds: Dict[str, str]) -> Dict[str, Dict[str, str]]:
    """Return the failures that a tree cannot have by itself: operation to path to name of the error."""
    found: Dict[str, Dict[str, str]] = {operation: {} for operation in OPERATIONS}
    for (operation, path), code in sorted(record.failures.items()):
        # What is not there is not in the archive either, unless its directory names it.
        if code != errno.ENOENT or path in kinds or operation == "ask":
            found[operation][disguise.path(path)] = errno.errorcode.get(code, "EIO")
    return {operation: rows for operation, rows in found.items() if rows}


@dataclass
class Packed:
    """What an archive is made of.

    :ivar left_out: files that there is no rule for.
    :ivar blotted: files that hold something unknown.
    """

    members: Dict[str, Member]
    left_out: List[str]
    blotted: List[str]


def _pack(disguise: Disguise, record: Recorder) -> Packed:
    """Return the members of the archive; all that is to be disguised is shown to the disguise."""
    kinds = _kinds(record)
    packed = Packed({}, [], [])
    for place, kind in kinds.items():
        new = disguise.path(place)
        if kind == LINK:
            packed.members[new] = (LINK, _target(disguise, place, record.links[place]).encode("utf-8", "surrogateescape"))
        elif kind == DIRECTORY:
            packed.members[new] = (DIRECTORY, b"")
        elif place in record.files:
            data = extracts.extract(disguise, place, record.files[place])
            if data is None:
                packed.left_out.append(new)
                continue
            if data == extracts.BLOT.encode() != record.files[place]:
                packed.blotted.append(new)
            packed.members[new] = (FILE, data)
        else:
            packed.members[new] = (FILE, b"")
    notes: Dict[str, Any] = {"format": FORMAT, "errors": _errors(disguise, record, kinds)}
    if record.answers:
        notes["answers"] = _answers(disguise, record.told)
    packed.members[NOTES] = (FILE, (json.dumps(notes, indent=1, sort_keys=True) + "\n").encode())
    return packed


def _archive(members: Dict[str, Member]) -> bytes:
    """Return a tar that is the same for the same members."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for place in sorted(members):
            kind, data = members[place]
            entry = tarfile.TarInfo(place.lstrip("/"))
            entry.type, entry.mode, entry.mtime = TYPES[kind], MODES[kind], WHEN
            if kind == LINK:
                entry.linkname = data.decode("utf-8", "surrogateescape")
            elif kind == FILE:
                entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data) if kind == FILE else None)
    return stream.getvalue()


def zipped(archive: bytes) -> bytes:
    """Return an archive compressed, the same for the same archive."""
    return gzip.compress(archive, 6, mtime=0)


def capture(record: Recorder, hosts: Sequence[str] = (), unit_names: Sequence[str] = ()) -> Capture:
    """Return a host's files as far as the facts read them, in disguise.

    :param record: where to read.
    :param hosts: names of the host, which are replaced wherever people may have written them.
    :param unit_names: systemd units whose memlock limit is wanted.
    """
    gather(record, SUBSETS, True, unit_names)
    disguise = Disguise(known_hosts(hosts))
    _pack(disguise, record)
    disguise.settle()
    packed = _pack(disguise, record)
    report = {
        "format": FORMAT,
        "files": sum(kind == FILE for kind, _data in packed.members.values()),
        "replaced": {
            kind: {"values": count, "places": disguise.places[kind]} for kind, count in disguise.values().items() if disguise.places[kind]
        },
        "left_out": sorted(packed.left_out),
        "blotted": sorted(packed.blotted),
        "errors": sum(code not in (errno.ENOENT, errno.EOPNOTSUPP) for code in record.failures.values()),
    }
    return Capture(_archive(packed.members), report)
