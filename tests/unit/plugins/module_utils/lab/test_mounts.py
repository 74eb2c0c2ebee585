# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.lab.mounts import (
    cgroup_hierarchies,
    mounts_below,
    parse_mountinfo,
)

ROOT = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
HYBRID = (
    "30 22 0:26 / /sys/fs/cgroup/memory rw,relatime shared:3 master:2 - cgroup cgroup rw,memory\n"
    "31 22 0:27 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd\n"
    "32 22 0:28 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n"
)
UNIFIED = "32 22 0:28 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (ROOT, {}),
        (ROOT + HYBRID, {"name=systemd": Path("/sys/fs/cgroup/systemd"), "": Path("/sys/fs/cgroup/unified")}),
        (ROOT + UNIFIED, {"": Path("/sys/fs/cgroup")}),
    ],
)
def test_hierarchies(text: str, found: dict[str, Path]) -> None:
    assert cgroup_hierarchies(parse_mountinfo(text)) == found


def test_mounts_below_are_told_deepest_first() -> None:
    lines = [
        f"{number} 22 0:30 / {point} rw - overlay x rw,lowerdir=/a"
        for number, point in enumerate(("/c/lab/lab", "/c/lab/lab/hosts/p0/root", "/c/lab/lab2", "/c/lab/a\\040b"))
    ]
    found = parse_mountinfo("\n".join(lines))
    assert mounts_below(Path("/c/lab/lab"), found) == ["/c/lab/lab/hosts/p0/root", "/c/lab/lab"]
    assert mounts_below(Path("/c/lab/a b"), found) == ["/c/lab/a b"]
