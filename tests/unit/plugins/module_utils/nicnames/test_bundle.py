# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import bundle

UNDO = f"{bundle.PACKAGE}.nicnames.undo"


@pytest.fixture(name="program")
def _program(tmp_path: Path) -> Path:
    path = tmp_path / "undo.pyz"
    path.write_bytes(bundle.program())
    return path


def test_it_is_the_same_each_time() -> None:
    assert bundle.program() == bundle.program()


def test_it_has_all_that_it_imports(program: Path) -> None:
    """Only the standard library is beside it on a host that has lost its controller."""
    code = f"import sys; sys.path.insert(0, sys.argv[1]); import {UNDO} as undo; print(undo.__file__); print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, program], capture_output=True, text=True, check=True)
    place, modules = done.stdout.splitlines()
    assert place.startswith(str(program))
    own = {name for name in modules.split() if name.startswith(bundle.PACKAGE)}
    assert own >= {f"{bundle.PACKAGE}.{name}" for name in bundle.MODULES}
    with zipfile.ZipFile(program) as archive:
        inside = {name[: -len(".py")].replace("/", ".") for name in archive.namelist()}
    assert {name for name in own if f"{name}.__init__" not in inside} <= inside


def test_a_part_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ImportError):
        bundle._source(f"{bundle.PACKAGE}.nicnames.nothing")
