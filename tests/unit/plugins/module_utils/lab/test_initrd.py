# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gzip
import lzma
import os
import subprocess
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.initrd import (
    INIT,
    File,
    archive,
    base_files,
    module_order,
    unpacked,
)

DEPENDENCIES = """\
kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko kernel/fs/mbcache.ko kernel/fs/jbd2/jbd2.ko kernel/crypto/crc32c_generic.ko
kernel/fs/jbd2/jbd2.ko: kernel/crypto/crc32c_generic.ko
kernel/crypto/crc32c_generic.ko:
kernel/drivers/virtio/virtio_pci.ko.xz: kernel/drivers/virtio/virtio.ko.xz
kernel/drivers/net/virtio-net.ko:
"""


def members(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Read an archive as the kernel does: mode and content by path, until the trailer."""
    found, at = {}, 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        name = data[at + 110 : at + 110 + fields[11] - 1].decode()
        begin = at + (110 + fields[11] + 3) // 4 * 4
        if name == "TRAILER!!!":
            assert begin == len(data)
            return found
        assert name not in found
        found[name] = (fields[1], data[begin : begin + fields[6]])
        at = begin + (fields[6] + 3) // 4 * 4


@pytest.mark.parametrize("size", range(5))
def test_archive_is_read_back_whatever_the_lengths(size: int) -> None:
    files = {"init": File(b"x" * size, 0o755), "a/b" + "c" * size: File(b"\0" * (size + 1)), "a/.ssh/k": File(b"k", 0o600)}
    found = members(archive(files, {"a/.ssh"}))
    assert list(found) == ["a", "a/.ssh", "a/.ssh/k", "a/b" + "c" * size, "init"]
    assert {path: oct(mode) for path, (mode, _content) in found.items()} == {
        "a": "0o40755",
        "a/.ssh": "0o40700",
        "a/.ssh/k": "0o100600",
        "a/b" + "c" * size: "0o100644",
        "init": "0o100755",
    }
    assert found["init"][1] == b"x" * size


def test_archives_can_be_joined() -> None:
    assert len(archive({"a": File(b"abc")})) % 4 == 0


@pytest.mark.parametrize(
    ("wanted", "order"),
    [
        (["crc32c_generic"], ["kernel/crypto/crc32c_generic.ko"]),
        (
            ["virtio_pci", "ext4"],
            [
                "kernel/drivers/virtio/virtio.ko.xz",
                "kernel/drivers/virtio/virtio_pci.ko.xz",
                "kernel/crypto/crc32c_generic.ko",
                "kernel/fs/jbd2/jbd2.ko",
                "kernel/fs/mbcache.ko",
                "kernel/lib/crc16.ko",
                "kernel/fs/ext4/ext4.ko",
            ],
        ),
        (["virtio_net"], ["kernel/drivers/net/virtio-net.ko"]),
        (["built_in"], []),
        ([], []),
    ],
)
def test_modules_come_after_what_they_need(wanted: list[str], order: list[str]) -> None:
    assert module_order(DEPENDENCIES, wanted) == order


@pytest.mark.parametrize(("name", "pack"), [("m.ko", bytes), ("m.ko.xz", lzma.compress), ("m.ko.gz", gzip.compress)])
def test_modules_are_unpacked(name: str, pack: object) -> None:
    assert callable(pack)
    assert unpacked(name, pack(b"\x7fELF")) == b"\x7fELF"


def test_unknown_compression_is_named() -> None:
    with pytest.raises(LabError, match=r"m\.ko\.zst is compressed .*lab_suite"):
        unpacked("m.ko.zst", b"")


def test_ram_disk_has_mount_points_and_modules_in_order() -> None:
    found = members(archive(base_files(b"busybox", [b"first", b"second"])))
    assert found["modules/00.ko"][1] == b"first"
    assert found["modules/01.ko"][1] == b"second"
    assert {"dev", "proc", "sys", "mnt"} <= set(found)
    assert not [path for path in found if path.startswith("seed")], "what lies there is copied to the disk"
    assert oct(found["init"][0]) == "0o100755"


def test_script_is_one_for_a_shell(tmp_path: Path) -> None:
    script = tmp_path / "init"
    script.write_text(INIT)
    done = subprocess.run(["sh", "-n", str(script)], capture_output=True, text=True, check=False, env=dict(os.environ))
    assert (done.returncode, done.stderr) == (0, "")
