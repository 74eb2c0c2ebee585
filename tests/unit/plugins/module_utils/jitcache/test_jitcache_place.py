# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where kernels may be kept: tables of mountinfo."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.jitcache import place
from ansible_collections.railyard.sglang.plugins.module_utils.jitcache.errors import CacheError
from ansible_collections.railyard.sglang.plugins.module_utils.model.mounts import parse

ROOT = "22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw"
REFUSED = (
    "nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "ceph", "lustre", "gpfs", "beegfs", "wekafs", "glusterfs", "gfs2", "ocfs2",
    "fuse.sshfs", "fuse.juicefs", "fuse.nobody-knows", "fuse", "afs", "autofs",
)
TAKEN = ("ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs", "fuseblk", "fuse.fuse-overlayfs", "f2fs", "bcachefs")
KINDS = {**dict.fromkeys(REFUSED, True), **dict.fromkeys(TAKEN, False)}


def mountinfo(*rows: tuple[str, str, str]) -> str:
    lines = [
        f"{40 + number} 22 0:{number} / {point} {options} shared:2 - {kind} server:/x rw"
        for number, (point, kind, options) in enumerate(rows)
    ]
    return "\n".join([ROOT, *lines])


@pytest.mark.parametrize(("kind", "refused"), KINDS.items())
def test_only_disks_of_the_host(kind: str, refused: bool) -> None:
    mounts = parse(mountinfo(("/var/cache", kind, "rw")))
    if refused:
        with pytest.raises(CacheError, match=f"SGLANG_DG_CACHE_DIR: .* is on {re.escape(kind)} .*Fix: set SGLANG_DG_CACHE_DIR"):
            place.check("/var/cache/sglang/x/y", "SGLANG_DG_CACHE_DIR", mounts)
    else:
        place.check("/var/cache/sglang/x/y", "SGLANG_DG_CACHE_DIR", mounts)


@pytest.mark.parametrize(
    ("rows", "path", "refused"),
    [
        ((("/var", "nfs4", "rw"),), "/var/cache/sglang", True),
        ((("/var", "nfs4", "rw"), ("/var/cache", "xfs", "rw")), "/var/cache/sglang", False),
        ((("/var/cache", "xfs", "rw"), ("/var/cache/sglang", "nfs", "rw")), "/var/cache/sglang/deep_gemm", True),
        ((("/var/cache", "nfs", "rw"), ("/var/cache", "xfs", "rw")), "/var/cache/sglang", False),
        ((("/var/cach", "nfs", "rw"),), "/var/cache/sglang", False),
        ((("/var/cache", "xfs", "ro"),), "/var/cache/sglang", True),
        ((("/srv/with\\040blank", "nfs", "rw"),), "/srv/with blank/x", True),
        ((), "/var/cache/sglang", False),
        ((), "var/cache", True),
        ((), "/var/cache/one:/var/cache/two", True),
    ],
)
def test_the_mount_that_counts(rows: tuple[tuple[str, str, str], ...], path: str, refused: bool) -> None:
    mounts = parse(mountinfo(*rows))
    if refused:
        with pytest.raises(CacheError):
            place.check(path, "TRITON_CACHE_DIR", mounts)
    else:
        assert place.check(path, "TRITON_CACHE_DIR", mounts) == []


def test_a_root_over_the_network() -> None:
    with pytest.raises(CacheError, match="is on nfs4"):
        place.check("/var/cache/sglang", "CUDA_CACHE_PATH", parse("22 1 0:5 / / rw - nfs4 server:/root rw"))


def test_memory_is_warned_of() -> None:
    found = place.check("/run/kernels", "TRITON_CACHE_DIR", parse(mountinfo(("/run", "tmpfs", "rw"))))
    assert found == ["/run/kernels (TRITON_CACHE_DIR) is on tmpfs: what is compiled is lost with the next boot"]


def test_a_link_is_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    mounts = parse(mountinfo((str(tmp_path / "disk"), "nfs", "rw")))
    with pytest.raises(CacheError):
        place.check(str(tmp_path / "link" / "kernels"), "SGLANG_DG_CACHE_DIR", mounts)


def test_this_machine() -> None:
    assert place.existing("/proc/self/no/such") in ("/proc/self",)
    with open(place.MOUNTINFO, encoding="utf-8") as stream:
        assert parse(stream.read())


def test_what_is_mounted_at_the_first_access_is_mounted_before_it_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(place.os, "stat", asked.append)
    place.mounted([str(tmp_path / "no/such"), "/"])
    assert asked == [f"{tmp_path}/", "/"]
    # A disk that autofs has mounted hides it.
    rows = parse(mountinfo(("/var/cache", "autofs", "rw"), ("/var/cache", "xfs", "rw")))
    assert place.check("/var/cache/sglang", "TRITON_CACHE_DIR", rows) == []
