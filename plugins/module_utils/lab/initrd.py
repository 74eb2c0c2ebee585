# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The initial ram disk of virtual machines: as little as reaches a root file system on a virtio disk.

Archives in the kernel's own format are made here, since a second one is appended for each host: it carries that host's
identity, which is copied to its disk once, at its first boot.
"""

from __future__ import annotations

import gzip
import lzma
from dataclasses import dataclass
from typing import Collection, Mapping, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.looks import FILE_CONTEXTS

#: Drivers of the disk and its file system; what is built into the kernel is in no modules.dep.
DISK_MODULES = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4")

#: Time of all files of an archive, the first second of 2026: a directory of 1970 looks like damage.
TIME = 1767225600

#: Where a host's own files are in its ram disk.
SEED = "seed"

#: On the host's disk, once its own files are there.
SEEDED = "/var/lib/railyard-lab/seeded"

INIT = f"""#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for module in /modules/*.ko; do $b insmod "$module"; done
n=0
while [ ! -b /dev/vda ] && [ $n -lt 600 ]; do $b usleep 50000; n=$((n + 1)); done
$b mount -t ext4 -o rw,noatime /dev/vda /mnt || $b poweroff -f
# What an administrator changes later must not come back at the next boot.
if [ ! -e /mnt{SEEDED} ]; then
  $b cp -a /{SEED}/. /mnt/
  # Files that came without a label can be read by nobody once a policy is enforced.
  if [ -e /mnt{FILE_CONTEXTS} ]; then
    $b mount -t proc proc /mnt/proc
    (cd /{SEED} && $b find . | $b sed 's/^[.]//; /^$/d') | $b chroot /mnt /sbin/setfiles -m -F -f - {FILE_CONTEXTS}
    $b umount /mnt/proc
  fi
  $b mkdir -p /mnt{SEEDED.rpartition("/")[0]} && $b touch /mnt{SEEDED} && $b sync
fi
for directory in proc sys dev; do $b mount --move /$directory /mnt/$directory; done
exec $b switch_root /mnt /sbin/init
"""


@dataclass(frozen=True)
class File:
    """A file of an archive."""

    content: bytes
    mode: int = 0o644


def archive(files: Mapping[str, File], private: Collection[str] = ()) -> bytes:
    """Return an archive (cpio, format newc) of files and their directories.

    Args:
        files: the files by their path without a leading slash.
        private: the paths of directories that are their owner's alone.
    """
    directories = sorted({"/".join(path.split("/")[:depth]) for path in files for depth in range(1, path.count("/") + 1)})
    parts = []
    for number, path in enumerate([*directories, *sorted(files)], 1):
        file = files.get(path)
        mode, content = (0o100000 | file.mode, file.content) if file else (0o040700 if path in private else 0o040755, b"")
        parts.append(_member(path, number, mode, content))
    return b"".join([*parts, _member("TRAILER!!!", 0, 0, b"")])


def _member(path: str, number: int, mode: int, content: bytes) -> bytes:
    name = path.encode() + b"\0"
    # inode, mode, user, group, links, time, size, device, device of a node, length of the name, checksum
    numbers = (number, mode, 0, 0, 1, TIME, len(content), 0, 0, 0, 0, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % each for each in numbers) + name
    return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)


def module_order(dependencies: str, wanted: Sequence[str]) -> list[str]:
    """Return the files of modules and of what they need, in the order in which they can be loaded.

    Args:
        dependencies: the text of modules.dep.
        wanted: names of modules; those that the text does not know are built in.
    """
    needs = {path: after.split() for path, _colon, after in (line.partition(":") for line in dependencies.splitlines())}
    paths = {path.rpartition("/")[2].partition(".")[0].replace("-", "_"): path for path in needs}
    order: list[str] = []
    for name in wanted:
        path = paths.get(name)
        for each in [*reversed(needs[path]), path] if path else []:
            if each not in order:
                order.append(each)
    return order


def unpacked(path: str, content: bytes) -> bytes:
    """Return a module's content without its compression. Raises LabError for one that Python cannot undo."""
    if path.endswith(".ko"):
        return content
    if path.endswith(".xz"):
        return lzma.decompress(content)
    if path.endswith(".gz"):
        return gzip.decompress(content)
    raise LabError(f"The kernel module {path} is compressed in a way that is not supported here: take a Debian release (lab_suite)")


def base_files(busybox: bytes, modules: Sequence[bytes]) -> dict[str, File]:
    """Return the files of the ram disk that all hosts share: its program, its script, and modules in their order."""
    files = {"bin/busybox": File(busybox, 0o755), "init": File(INIT.encode(), 0o755)}
    files |= {f"{name}/.keep": File(b"") for name in ("dev", "mnt", "proc", "sys")}
    return files | {f"modules/{number:02}.ko": File(module) for number, module in enumerate(modules)}
