# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts: libraries, package names, Pythons, space. Patches of texts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import Library, Patch, Replacement
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.host import (
    check_space,
    find_python,
    free_mib,
    missing_libraries,
    missing_packages,
)
from ansible_collections.railyard.sglang.plugins.module_utils.stack.patches import apply_patch, patched

PRESENT = Library("libc.so.6", "libc6", "glibc")
ABSENT = Library("librailyard-none.so.7", "libnone7", "none-libs")
OWN = f"3.{sys.version_info.minor}"


def test_missing_libraries() -> None:
    assert missing_libraries([PRESENT, ABSENT, ABSENT]) == [ABSENT]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ID=debian\n", "libnone7"),
        ("ID=ubuntu\nID_LIKE=debian\n", "libnone7"),
        ('ID="mint"\nID_LIKE="ubuntu debian"\n', "libnone7"),
        ('ID="rhel"\nID_LIKE="fedora"\n', "none-libs"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "none-libs"),
        ("ID=fedora\n", "none-libs"),
        ('ID="sles"\nID_LIKE="suse"\n', "none-libs"),
    ],
)
def test_missing_packages(tmp_path: Path, text: str, expected: str) -> None:
    release = tmp_path / "os-release"
    release.write_text(text, encoding="utf-8")
    assert missing_packages([ABSENT, ABSENT], release) == [expected]


def test_python_is_found() -> None:
    path, version = find_python((OWN,), sys.executable, "stack x")
    assert (path, version) == (sys.executable, sys.version_info[:3])


def test_wrong_python_is_named() -> None:
    with pytest.raises(StackError, match=rf"stack x: it needs Python 3.99 and found none \({sys.executable} is {OWN}"):
        find_python(("3.99",), sys.executable, "stack x")
    with pytest.raises(StackError, match=r"/none/python does not run.*stack_python"):
        find_python((OWN,), "/none/python", "stack x")


def test_space(tmp_path: Path) -> None:
    check_space(tmp_path / "not" / "there", 1, "stack x")
    needed = free_mib(tmp_path) + 1000
    with pytest.raises(StackError, match=rf"has \d+ MiB free and needs {needed} MiB. Fix: free \d+ MiB there"):
        check_space(tmp_path / "not" / "there", needed, "stack x")


PATCH = Patch("p/m.py", "why", (Replacement("one()", "two()"), Replacement("three", "four")))


def test_patch_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "p" / "m.py"
    path.parent.mkdir()
    path.write_text("one()\nthree\n", encoding="utf-8")
    (tmp_path / "cached.py").hardlink_to(path)
    assert apply_patch(tmp_path, PATCH, "stack x") is True
    assert path.read_text(encoding="utf-8") == "two()\nfour\n"
    assert (tmp_path / "cached.py").read_text(encoding="utf-8") == "one()\nthree\n"
    assert apply_patch(tmp_path, PATCH, "stack x") is False
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["m.py"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a(VRAM) # go\nb(DRAM) # go\n", "a(DRAM) # go\nb(DRAM) # go\n"),
        ("a(DRAM) # go\nb(DRAM) # go\n", "a(DRAM) # go\nb(DRAM) # go\n"),
    ],
)
def test_what_is_put_in_may_stand_elsewhere_too(text: str, wanted: str) -> None:
    patch = Patch("p/m.py", "why", (Replacement("(VRAM) # go", "(DRAM) # go"),))
    assert patched(text, patch, "stack x") == wanted


def test_what_is_put_in_may_hold_what_was_there() -> None:
    patch = Patch("p/m.py", "why", (Replacement("one()", "one()  # kept"),))
    once = patched("x\none()\n", patch, "stack x")
    assert once == "x\none()  # kept\n"
    assert patched(once, patch, "stack x") == once


@pytest.mark.parametrize("text", ["nothing\n", "one()\none()\nthree\n", "two()\n"])
def test_patch_that_does_not_fit_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p" / "m.py"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StackError, match=r"stack x: replacement \d of the patch of p/m.py fits nowhere"):
        apply_patch(tmp_path, PATCH, "stack x")
    assert path.read_text(encoding="utf-8") == text


def test_patch_of_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"p/m.py, which is to be patched, is not among"):
        apply_patch(tmp_path, PATCH, "stack x")
