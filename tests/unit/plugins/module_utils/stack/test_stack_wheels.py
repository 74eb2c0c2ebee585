# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wheels: which fit, which are missing, which are corrupted."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.locks import Pin
from ansible_collections.railyard.sglang.plugins.module_utils.stack.wheels import (
    Target,
    check_wheels,
    extract_program,
    fits,
    local_glibc,
    parse_wheel,
    sha256,
)
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.stack.tiny_stack import make_wheel

DEBIAN = Target(11, "x86_64", (2, 36))
RHEL8 = Target(11, "x86_64", (2, 28))
ARM = Target(12, "aarch64", (2, 36))


@pytest.mark.parametrize(
    ("filename", "where"),
    [
        ("a-1.0-py3-none-any.whl", "debian rhel8 arm"),
        ("a-1.0-py2.py3-none-any.whl", "debian rhel8 arm"),
        ("a-1.0-1-py3-none-any.whl", "debian rhel8 arm"),
        ("a-1.0-cp311-cp311-manylinux_2_28_x86_64.whl", "debian rhel8"),
        ("a-1.0-cp311-cp311-manylinux_2_31_x86_64.whl", "debian"),
        ("a-1.0-cp311-cp311-manylinux_2_12_x86_64.manylinux2010_x86_64.whl", "debian rhel8"),
        ("a-1.0-cp311-cp311-manylinux2014_x86_64.whl", "debian rhel8"),
        ("a-1.0-cp311-cp311-linux_x86_64.whl", "debian rhel8"),
        ("a-1.0-cp312-cp312-manylinux_2_17_aarch64.whl", "arm"),
        ("a-1.0-cp39-abi3-manylinux_2_17_x86_64.whl", "debian rhel8"),
        ("a-1.0-cp39-abi3-manylinux_2_17_aarch64.whl", "arm"),
        ("a-1.0-cp312-abi3-manylinux_2_17_x86_64.whl", ""),
        ("a-1.0-cp311-none-any.whl", "debian rhel8"),
        ("a-1.0-cp312-cp312-manylinux_2_17_x86_64.whl", ""),
        ("a-1.0-cp311-cp311t-manylinux_2_17_x86_64.whl", ""),
        ("a-1.0-cp311-cp311-musllinux_1_2_x86_64.whl", ""),
        ("a-1.0-cp311-cp311-macosx_11_0_arm64.whl", ""),
        ("a-1.0-cp311-cp311-win_amd64.whl", ""),
        ("a-1.0-py2-none-any.whl", ""),
        ("a-1.0-pp311-pypy311_pp73-manylinux_2_17_x86_64.whl", ""),
    ],
)
def test_fits(filename: str, where: str) -> None:
    wheel = parse_wheel(filename)
    assert wheel is not None
    found = [name for name, target in (("debian", DEBIAN), ("rhel8", RHEL8), ("arm", ARM)) if fits(wheel, target)]
    assert " ".join(found) == where


@pytest.mark.parametrize("filename", ["a-1.0.tar.gz", "a.whl", "wheels.json", "a-1.0-x-y-py3-none-any.whl"])
def test_what_is_no_wheel(filename: str) -> None:
    assert parse_wheel(filename) is None


def test_this_machine_has_a_glibc() -> None:
    assert local_glibc() >= (2, 17)


def directory(tmp_path: Path) -> tuple[Path, dict[str, Pin]]:
    pins = {}
    for name in ("alpha", "beta"):
        wheel = make_wheel(tmp_path, name, "1.0", {f"{name}.py": b"X = 1\n" * 99})
        pins[name] = Pin(name, "1.0", frozenset({sha256(wheel)}))
    return tmp_path, pins


def test_good_directory(tmp_path: Path) -> None:
    path, pins = directory(tmp_path)
    make_wheel(tmp_path, "alpha", "2.0", {})
    assert sorted(check_wheels(path, pins, DEBIAN, "stack x")) == ["alpha", "beta"]


def test_flipped_byte_is_named(tmp_path: Path) -> None:
    path, pins = directory(tmp_path)
    wheel = path / "beta-1.0-py3-none-any.whl"
    content = bytearray(wheel.read_bytes())
    content[40] ^= 1
    wheel.write_bytes(content)
    with pytest.raises(StackError, match=r"stack x: the sha256 .* of beta-1.0-py3-none-any.whl in .*wheels_verify=true"):
        check_wheels(path, pins, DEBIAN, "stack x")


def test_cut_off_wheel_is_named(tmp_path: Path) -> None:
    path, pins = directory(tmp_path)
    wheel = path / "alpha-1.0-py3-none-any.whl"
    wheel.write_bytes(wheel.read_bytes()[:-10])
    with pytest.raises(StackError, match=r"sha256 .* of alpha-1.0-py3-none-any.whl"):
        check_wheels(path, pins, DEBIAN, "stack x")


def test_missing_wheel_is_named(tmp_path: Path) -> None:
    path, pins = directory(tmp_path)
    (path / "beta-1.0-py3-none-any.whl").unlink()
    with pytest.raises(StackError, match=r"lacks a wheel that fits Python 3.11 on x86_64 with glibc 2.36 for: beta==1.0"):
        check_wheels(path, pins, DEBIAN, "stack x")


def test_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"the wheel directory .*/none is not on this host"):
        check_wheels(tmp_path / "none", {}, DEBIAN, "stack x")


def test_program_is_extracted(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "tool", "1.0", {"tool-1.0.data/scripts/tool": b"#!/bin/sh\n"})
    program = extract_program(wheel, "tool", tmp_path / "tool")
    assert program.read_bytes() == b"#!/bin/sh\n"
    assert program.stat().st_mode & 0o777 == 0o700
    with pytest.raises(StackError, match=r"does not carry the program other"):
        extract_program(wheel, "other", tmp_path / "other")
