# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.lab.requirements import (
    PROGRAMS,
    QEMU_PROGRAMS,
    Machine,
    Needs,
    message,
    missing,
    parse_meminfo,
)

ABLE = Machine(
    is_root=True,
    programs=frozenset(PROGRAMS),
    memory_available_mb=8000,
    disk_free_mb=20000,
    has_overlayfs=True,
    has_cgroups=True,
)
NEEDS = Needs(hosts=5, memory_mb=3900, smallest_memory_mb=2100, disk_mb=9000, disk_place="/var/cache/lab")


def test_able_machine() -> None:
    assert missing(ABLE, NEEDS) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"is_root": False}, ["root", "become"]),
        (
            {"programs": frozenset(PROGRAMS) - {"systemd-nspawn"}},
            ["systemd-nspawn", "apt-get install systemd-container", "dnf install systemd-container"],
        ),
        ({"programs": frozenset(PROGRAMS) - {"mmdebstrap"}}, ["apt-get install mmdebstrap", "EPEL"]),
        (
            {"programs": frozenset(PROGRAMS) - {"ssh", "ssh-keygen"}},
            ["ssh, ssh-keygen", "install openssh-client,", "openssh-clients"],
        ),
        ({"programs": frozenset(PROGRAMS) - {"ip"}}, ["apt-get install iproute2", "dnf install iproute"]),
        ({"has_overlayfs": False}, ["modprobe overlay"]),
        ({"has_cgroups": False}, ["mount -t cgroup2"]),
        (
            {"memory_available_mb": 2500},
            ["5 hosts need 3900 MiB", "2500 MiB are available", "RAILYARD_LAB_SHAPE=1p1d", "2100 MiB"],
        ),
        ({"disk_free_mb": 8999}, ["9000 MiB are needed below /var/cache/lab", "8999 MiB are free", "RAILYARD_CACHE"]),
    ],
)
def test_each_lack_is_told_with_its_cure(change: dict[str, Any], words: list[str]) -> None:
    (text,) = missing(replace(ABLE, **change), NEEDS)
    assert [word for word in words if word not in text] == []


def test_all_lacks_are_told_at_once() -> None:
    nothing = Machine(False, frozenset(), 0, 0, False, False)
    lacks = missing(nothing, NEEDS)
    assert len(lacks) == 6
    text = message("lab", lacks)
    assert all(lack in text for lack in lacks)
    assert all(program in text for program in PROGRAMS)


def test_smallest_shape_is_not_told_to_take_itself() -> None:
    (text,) = missing(replace(ABLE, memory_available_mb=1000), replace(NEEDS, hosts=3, memory_mb=2100))
    assert "1p1d" not in text


@pytest.mark.parametrize(
    ("text", "available"), [("MemTotal: 16 kB\nMemAvailable:    2097152 kB\n", 2048), ("MemTotal: 16 kB\n", 0), ("", 0)]
)
def test_meminfo(text: str, available: int) -> None:
    assert parse_meminfo(text) == available


def test_virtual_machines_need_other_programs_and_taps() -> None:
    able = replace(ABLE, programs=frozenset(QEMU_PROGRAMS))
    assert missing(able, NEEDS, QEMU_PROGRAMS) == []
    (text,) = missing(replace(able, programs=frozenset(QEMU_PROGRAMS) - {"qemu-system-x86_64"}), NEEDS, QEMU_PROGRAMS)
    assert "apt-get install qemu-system-x86, or dnf install qemu-system-x86-core" in text
    (text,) = missing(replace(able, has_taps=False), NEEDS, QEMU_PROGRAMS)
    assert "modprobe tun" in text
