# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the place of a model or of a cache is fit for it: mount, kind of file system, room, read rate."""

from __future__ import annotations

import errno
import mmap
import os
import re
import time
from dataclasses import dataclass
from typing import List, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.model import directory
from ansible_collections.railyard.sglang.plugins.module_utils.model.errors import ModelError

# File systems whose bytes are on other machines (names of the kernel and of FUSE).
REMOTE = frozenset((
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "orangefs", "glusterfs", "wekafs", "pvfs2",
    "fuse.ceph", "fuse.glusterfs", "fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.juicefs", "fuse.mount-s3", "fuse.goofys",
    "fuse.vast", "virtiofs",
))
BLOCK = 8 << 20
READ_BYTES, READ_SECONDS = 512 << 20, 2.0


@dataclass(frozen=True)
class Mount:
    """A mount: where it is, its kind of file system, what is mounted, and its options."""

    point: str
    kind: str
    device: str
    options: Tuple[str, ...]

    @property
    def remote(self) -> bool:
        """Whether its bytes are on another machine."""
        return self.kind in REMOTE


def _plain(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


def parse(text: str) -> List[Mount]:
    """Return the mounts of a /proc/PID/mountinfo (proc(5)), in its order."""
    rows = []
    for line in text.splitlines():
        left, _dash, right = line.partition(" - ")
        fields, last = left.split(), right.split()
        if len(fields) >= 6 and len(last) >= 2:
            options = fields[5].split(",") + (last[2].split(",") if len(last) > 2 else [])
            rows.append(Mount(_plain(fields[4]), last[0], _plain(last[1]), tuple(options)))
    return rows


def mount_of(path: str, mounts: List[Mount]) -> Mount:
    """Return the mount that a path is on; of several at one point the one mounted last, which hides the others."""
    path = os.path.realpath(path)
    found: Optional[Mount] = None
    for row in mounts:
        inside = path == row.point or path.startswith(row.point.rstrip("/") + "/")
        if inside and (found is None or len(row.point) >= len(found.point)):
            found = row
    if found is None:
        raise ModelError(path, "no mount is known for it", "look at /proc/self/mountinfo")
    return found


def check(path: str, wanted: str, caches: List[str], mounts: List[Mount], writes: bool) -> Tuple[Mount, List[str]]:
    """Return the mount of a model and what to warn of; raise ModelError where a place is not fit.

    :param wanted: mount point that the model has to be on; empty for any.
    :param caches: directories of caches, which many processes write to and lock: never on another machine.
    :param writes: whether the model is written here.
    """
    found = mount_of(path, mounts)
    if wanted and found.point != os.path.normpath(wanted):
        problem = f"is on the mount {found.point} ({found.device}), not on {wanted}"
        raise ModelError(path, problem, f"mount {wanted}, or correct model_mount")
    if writes and "ro" in found.options:
        fix = "mount it read-write, or leave out model_origin and let another host fill it"
        raise ModelError(path, f"the mount {found.point} is read-only", fix)
    warnings = []
    if found.remote:
        warnings.append(f"{path} is on {found.kind} ({found.device}): every start of an engine reads the weights over the network")
    for cache in caches:
        place = mount_of(cache, mounts)
        if place.remote:
            problem = f"is on {place.kind} ({place.device}), where locks and renames of many hosts meet"
            raise ModelError(cache, problem, "put it on a local disk (model_caches names it)")
    return found, warnings


def largest(path: str) -> str:
    """Return the largest weight file of a model; empty if there is none."""
    found = [os.path.join(path, name) for name in directory.files(path) if name.endswith(".safetensors")] if os.path.isdir(path) else []
    return max(found, key=os.path.getsize, default="")


def read_rate(path: str, most: int = READ_BYTES, seconds: float = READ_SECONDS) -> Optional[int]:
    """Return the bytes per second at which a file is read past the page cache, from its first half GiB or two seconds.

    None where the file system cannot (tmpfs), or the file is too short to say.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return None
        raise
    done, began = 0, time.monotonic()
    try:
        with mmap.mmap(-1, BLOCK) as block:
            while done < most and time.monotonic() - began < seconds:
                count = os.preadv(descriptor, [block], done)
                done += count
                if count < BLOCK:
                    break
    except OSError as error:
        if error.errno == errno.EINVAL:
            return None
        raise
    finally:
        os.close(descriptor)
    spent = time.monotonic() - began
    return int(done / spent) if done >= BLOCK and spent > 0 else None
