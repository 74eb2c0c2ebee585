# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions of symbols in ELF files: those of this system's libraries, both byte orders and sizes, and what is no ELF file."""

from __future__ import annotations

import ctypes
import os
import re
import struct
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.elf import defined_versions, newest, prefix_of
from ansible_collections.railyard.sglang.tests.unit.support.described import elf

VERSIONS = ["GLIBCXX_3.4", "GLIBCXX_3.4.9", "GLIBCXX_3.4.30", "CXXABI_1.3"]


def loaded(soname: str) -> bytes:
    """Return the file of a library that the loader of this machine finds."""
    library = ctypes.CDLL(soname)
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    path = next(line.split()[-1] for line in maps.splitlines() if line.endswith(f"/{soname}"))
    assert library
    return Path(path).read_bytes()


def test_the_c_library_of_this_machine() -> None:
    match = re.match(r"glibc (\d+\.\d+)", os.confstr("CS_GNU_LIBC_VERSION") or "")
    assert match
    versions = defined_versions(loaded("libc.so.6"))
    assert versions is not None
    assert newest(versions, "GLIBC_") == f"GLIBC_{match[1]}"
    assert "GLIBC_2.2.5" in versions or "GLIBC_2.17" in versions


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("wide", [True, False])
def test_written_libraries(order: str, wide: bool) -> None:
    assert defined_versions(elf(VERSIONS, order, wide)) == VERSIONS
    assert defined_versions(elf([], order, wide)) == []


def test_newest_counts_by_number() -> None:
    assert newest(VERSIONS, "GLIBCXX_") == "GLIBCXX_3.4.30"
    assert newest(VERSIONS, "CXXABI_") == "CXXABI_1.3"
    assert newest(["GLIBC_PRIVATE", "GLIBC_2.9", "GLIBC_2.34"], "GLIBC_") == "GLIBC_2.34"
    assert newest(VERSIONS, "MLX5_") is None
    assert prefix_of("MLX5_1.7") == "MLX5_"
    with pytest.raises(ValueError, match="GLIBC_PRIVATE"):
        prefix_of("GLIBC_PRIVATE")


def test_what_is_no_library() -> None:
    whole = elf(VERSIONS)
    assert defined_versions(b"") is None
    assert defined_versions(b"#!/bin/sh\n") is None
    assert defined_versions(b"\x7fELF\x07\x01" + whole[6:]) is None
    for length in range(4, len(whole) - 64, 7):
        assert defined_versions(whole[:length]) in (None, [])


def test_a_chain_that_ends_early() -> None:
    data = bytearray(elf(VERSIONS))
    start = data.index(struct.pack("<HHHH", 1, 0, 3, 1))
    struct.pack_into("<I", data, start + 16, 0)
    assert defined_versions(bytes(data)) == VERSIONS[:2]
