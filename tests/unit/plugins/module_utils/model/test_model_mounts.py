# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts that are fit for a model, and those that are not."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.model import mounts
from ansible_collections.railyard.sglang.plugins.module_utils.model.errors import ModelError
from ansible_collections.railyard.sglang.tests.unit.support import models

INFO = """\
25 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
40 25 9:0 / /lssd rw,noatime - xfs /dev/md0 rw,attr2
41 25 0:50 / /app/models rw,relatime shared:7 - nfs4 nas:/export/models rw,vers=4.2
42 25 0:51 / /mnt/with\\040blank ro,relatime - ext4 /dev/sdb1 ro
43 25 0:52 / /over rw - ext4 /dev/sdc1 rw
44 43 0:53 / /over rw - fuse.juicefs JuiceFS:x rw
45 25 0:54 / /cache rw master:1 shared:2 - lustre mds@o2ib:/fs rw
"""
MOUNTS = mounts.parse(INFO)


@pytest.mark.parametrize(
    ("path", "point", "kind", "remote"),
    [
        ("/opt/models/m", "/", "ext4", False),
        ("/lssd/models/m", "/lssd", "xfs", False),
        ("/lssdmore/m", "/", "ext4", False),
        ("/app/models", "/app/models", "nfs4", True),
        ("/mnt/with blank/m", "/mnt/with blank", "ext4", False),
        ("/over/m", "/over", "fuse.juicefs", True),
        ("/cache/hf", "/cache", "lustre", True),
    ],
)
def test_the_mount_of_a_path(path: str, point: str, kind: str, remote: bool) -> None:
    found = mounts.mount_of(path, MOUNTS)
    assert (found.point, found.kind, found.remote) == (point, kind, remote)


def test_local_and_fit() -> None:
    found, warnings = mounts.check("/lssd/models/m", "/lssd/", ["/lssd/hf", "/var/cache/x"], MOUNTS, writes=True)
    assert (found.device, warnings) == ("/dev/md0", [])


def test_weights_on_nfs_are_warned_of() -> None:
    _found, warnings = mounts.check("/app/models/m", "", [], MOUNTS, writes=False)
    assert len(warnings) == 1
    assert "/app/models/m is on nfs4 (nas:/export/models): every start" in warnings[0]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("/data/m", "/data", [], False), "is on the mount / (/dev/nvme0n1p2), not on /data. Fix: mount /data, or correct model_mount"),
        (("/mnt/with blank/m", "", [], True), "the mount /mnt/with blank is read-only"),
        (("/lssd/m", "", ["/lssd/hf", "/cache/hf"], False), "/cache/hf: is on lustre (mds@o2ib:/fs), where locks"),
        (("/lssd/m", "", ["/over/hf"], False), "/over/hf: is on fuse.juicefs"),
    ],
)
def test_refused(arguments: tuple[str, str, list[str], bool], text: str) -> None:
    path, wanted, caches, writes = arguments
    with pytest.raises(ModelError, match=re.escape(text)):
        mounts.check(path, wanted, caches, MOUNTS, writes)


def test_this_machine() -> None:
    found = mounts.mount_of("/proc/self", mounts.parse(Path("/proc/self/mountinfo").read_text(encoding="utf-8")))
    assert (found.point, found.kind) == ("/proc", "proc")


def test_read_rate(tmp_path: Path) -> None:
    source = models.write(tmp_path / "m", shards=2, size=1000)
    models.shard(source / "model-1.safetensors", "large", 17 << 20)
    weights = mounts.largest(str(source))
    assert weights.endswith("model-1.safetensors")
    rate = mounts.read_rate(weights)
    direct = True
    try:
        os.close(os.open(weights, os.O_RDONLY | os.O_DIRECT))
    except OSError:
        direct = False
    assert (rate is not None and rate > 0) == direct
    assert mounts.read_rate(str(source / "config.json")) is None
    assert mounts.largest(str(tmp_path / "nothing")) == ""
