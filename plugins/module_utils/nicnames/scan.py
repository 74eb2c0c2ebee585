# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Places that name an interface and that only a person can change: scripts, settings of other programs, the kernel's command line."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from typing import Dict, Iterable, Iterator, List, Set, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import masking, references, tokens
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Reference

#: What is searched, below the root: a directory with all below it.
PLACES = ("/etc", "/boot/loader/entries")
#: What no program takes names of interfaces from, and what holds only secrets.
NOT_READ = re.compile(
    r"/etc/(?:pki|ssl|selinux|alternatives|ld\.so\.cache|udev/hwdb\.bin|services|protocols|machine-id|adjtime|\.git|\.pwd\.lock"
    r"|g?shadow-?|passwd-?|group-?|sub[ug]id-?|ssh/ssh_host_[^/]+|krb5\.keytab)(?:/|$)"
)
#: Files there are made by the kernel or while a host runs.
VOLATILE = ("/proc/", "/sys/", "/dev/", "/run/")
#: Arguments of the kernel by which dracut brings up the network in the initramfs.
_DRACUT = re.compile(r"(?:ip|ifname|bond|vlan|team|bridge|nameserver|netroot|rd\.neednet|rd\.route)=")
MAX_BYTES = 1024 * 1024
MAX_FILES = 20_000
MAX_FOUND = 200


@dataclass
class Scanned:
    """What was found.

    :ivar references: the first places, as many as are listed.
    :ivar more: file to the number of places in it that are not listed.
    :ivar notes: what was passed over and how much of it.
    """

    references: List[Reference] = field(default_factory=list)
    more: Dict[str, int] = field(default_factory=dict)
    notes: List[str] = field(default_factory=list)


def _within(base: str, real: str) -> bool:
    """Whether a path without links is one of the host's own that may be read."""
    inside = real[len(base) :]
    return real.startswith(base + "/") and not inside.startswith(VOLATILE) and not NOT_READ.match(inside)


def _identity(directory: str) -> Tuple[int, int]:
    try:
        about = os.stat(directory)
    except OSError:
        return 0, 0
    return about.st_dev, about.st_ino


def _entries(base: str, places: Iterable[str]) -> Iterator[str]:
    """Return the paths on the host of everything below some places; directories that are not read are left out.

    Directories that are links come after all others, each directory once, so that a link to much hides nothing of the places themselves.
    """
    walked: Set[Tuple[int, int]] = set()
    waiting = list(places)
    for place in waiting:
        for directory, below, files in os.walk(base + place):
            identity = _identity(directory)
            if identity in walked:
                below[:] = []
                continue
            walked.add(identity)
            inside = directory[len(base) :]
            below[:] = sorted(name for name in below if not NOT_READ.match(f"{inside}/{name}"))
            links = [name for name in below if os.path.islink(f"{directory}/{name}")]
            waiting += [f"{inside}/{name}" for name in links if _within(base, os.path.realpath(f"{directory}/{name}"))]
            yield from (f"{inside}/{name}" for name in sorted([*below, *files]))


def _content(base: str, path: str, seen: Set[Tuple[int, int]]) -> bytes:
    """Return the content of a text file within the root, empty for everything else and for what was seen before.

    :raises ValueError: it is too large.
    """
    try:
        real = os.path.realpath(base + path)
        if not _within(base, real):
            return b""
        found = os.stat(real)
        if not stat.S_ISREG(found.st_mode) or (found.st_dev, found.st_ino) in seen:
            return b""
        seen.add((found.st_dev, found.st_ino))
        if found.st_size > MAX_BYTES:
            raise ValueError(path)
        with open(real, "rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError:
        return b""
    return b"" if b"\0" in content else content


def _lines(path: str, content: bytes, names: Tuple[str, ...]) -> List[Reference]:
    text = content.decode("latin-1")
    if not tokens.words(text, names):
        return []
    found: List[Reference] = []
    for number, line in enumerate(tokens.lines(text), 1):
        named = tokens.words(line, names)
        if named:
            found += tokens.unclear(path, number, masking.around(line, named), named)
    return found


def look(root: str, names: Iterable[str], skip: Iterable[str] = ()) -> Scanned:
    """Search the files that no program may rewrite.

    :param root: of the host's files.
    :param names: of interfaces and of RDMA devices.
    :param skip: paths on the host that are taken care of.
    """
    listed, passed = tuple(sorted(set(names))), set(skip)
    base = os.path.realpath(root).rstrip("/")
    scanned = Scanned()
    if not listed:
        return scanned
    seen: Set[Tuple[int, int]] = set()
    counts: Dict[str, int] = {}
    number, ended = 0, ""
    for path in _entries(base, PLACES):
        number += 1
        if number > MAX_FILES:
            ended = ended or path
            continue
        if path in passed or references.known(path) or NOT_READ.match(path):
            continue
        name = path.rsplit("/", 1)[-1]
        # A leading number only orders files.
        own = tokens.words(re.sub(r"^\d+-", "", name), listed)
        try:
            found = _lines(path, _content(base, path, seen), listed)
        except ValueError:
            counts["larger than 1 MiB"] = counts.get("larger than 1 MiB", 0) + 1
            continue
        if references.BACKUP.search(name):
            counts["backup copies that name an interface"] = counts.get("backup copies that name an interface", 0) + bool(found or own)
            continue
        rows = tokens.unclear(path, 0, f"the file's own name: {name}", own) + found
        room = MAX_FOUND - len(scanned.references)
        scanned.references += rows[:room]
        if len(rows) > room:
            scanned.more[path] = len(rows) - room
    if scanned.more:
        scanned.notes.append(
            f"{sum(scanned.more.values())} places that name an interface are not listed one by one, after {MAX_FOUND} that are. "
            f"Fix: look for the names in {', '.join(scanned.more)}"
        )
    if ended:
        scanned.notes.append(
            f"the search for names in other files ended at {ended}, after {MAX_FILES}: {number - MAX_FILES} were not looked through. "
            f"Fix: grep -rwE '{'|'.join(listed)}' {' '.join(PLACES)}"
        )
    scanned.notes += [f"{count} files below {' and '.join(PLACES)} are not listed: {what}" for what, count in counts.items() if count]
    return scanned


def free_text(root: str, names: Iterable[str], skip: Iterable[str] = ()) -> List[Reference]:
    """Return the places that C(look) finds.

    :param root: of the host's files.
    :param names: of interfaces and of RDMA devices.
    :param skip: paths on the host that are taken care of.
    """
    return look(root, names, skip).references


def initramfs(root: str, kernel_arguments: str, names: Iterable[str]) -> List[str]:
    """Return what an operator should know of names before the root file system is there.

    :param root: of the host's files.
    :param kernel_arguments: with which the running kernel was started.
    :param names: old names.
    """
    arguments = kernel_arguments.split()
    listed = tuple(names)
    notes = [
        f"the kernel was started with {argument}: at the next boot the initramfs uses the old name. "
        f"Fix: grubby --update-kernel=ALL --remove-args={argument} and --args= with the new name"
        for argument in arguments
        if tokens.words(argument, listed)
    ]
    network = [argument for argument in arguments if _DRACUT.match(argument)]
    if network and listed:
        tool = " (lsinitrd lists what it holds)" if os.path.exists(root.rstrip("/") + "/usr/bin/lsinitrd") else ""
        notes.append(
            f"the initramfs brings up the network ({' '.join(network)}) and holds copies of the .link files{tool}. "
            "Fix: build it again after the renaming, by dracut --force --regenerate-all or update-initramfs -u -k all"
        )
    return notes
