# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a directory is fit for compiled kernels: on a disk of this host, and writable.

A kernel is published by a rename and found by its name: over a network both are seen late or never by other hosts, and engines of
several hosts have failed to load what one of them was making.
"""

from __future__ import annotations

import contextlib
import os
from typing import Iterable, List

from ansible_collections.railyard.sglang.plugins.module_utils.jitcache.errors import CacheError
from ansible_collections.railyard.sglang.plugins.module_utils.model.mounts import REMOTE, Mount, mount_of

MOUNTINFO = "/proc/self/mountinfo"
# Disks that several hosts write to at a time.
SHARED = frozenset(("gfs2", "ocfs2", "quobyte", "panfs", "pvfs", "coda", "ncpfs", "afs", "autofs", "davfs", "vboxsf", "prl_fs"))
# File systems in user space whose bytes are here. Of the others nobody knows where they are.
FUSE_HERE = frozenset(("fuseblk", "fuse.fuse-overlayfs", "fuse.ntfs-3g", "fuse.mergerfs", "fuse.bindfs", "fuse.lxcfs"))
VOLATILE = frozenset(("tmpfs", "ramfs"))


def is_remote(kind: str) -> bool:
    """Whether the bytes of a kind of file system are, or may be, on another machine."""
    return kind in REMOTE or kind in SHARED or (kind.startswith("fuse") and kind not in FUSE_HERE)


def mounted(paths: Iterable[str]) -> None:
    """Have what is mounted at the first access be mounted: as long as it is not, only autofs is seen, which says nothing of the disk."""
    for path in paths:
        with contextlib.suppress(OSError):
            os.stat(os.path.join(existing(path), ""))


def existing(path: str) -> str:
    """Return a path, or the nearest directory above it that exists."""
    while not os.path.lexists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


def check(path: str, variable: str, mounts: List[Mount]) -> List[str]:
    """Return what to warn of for a cache's directory, which need not exist yet.

    :param variable: what names it, for the message.
    :raises CacheError: it is no place for a cache.
    """
    if not os.path.isabs(path) or ":" in path:
        raise CacheError(variable, f"{path!r} is not one absolute path", "name one directory on a local disk")
    found = mount_of(os.path.normpath(path), mounts)
    if is_remote(found.kind):
        problem = f"{path} is on {found.kind} ({found.device}, mounted at {found.point}), where hosts see each other's files late or half"
        raise CacheError(variable, problem, f"set {variable} in sglang_env to a directory on a local disk, or mount one there")
    if "ro" in found.options:
        problem = f"{path} is on {found.point}, which is mounted read-only"
        raise CacheError(variable, problem, "mount it read-write, or name another directory")
    if found.kind in VOLATILE:
        return [f"{path} ({variable}) is on {found.kind}: what is compiled is lost with the next boot"]
    return []
