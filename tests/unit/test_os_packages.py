# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tools/os_packages.sh installs what the lab asks for, under the same names."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.railyard.sglang.plugins.module_utils.lab.requirements import PROGRAMS, QEMU_PROGRAMS

ROOT = Path(__file__).resolve().parents[2]


def test_every_program_of_the_lab_is_installed() -> None:
    script = (ROOT / "tools" / "os_packages.sh").read_text(encoding="utf-8")
    table = re.search(r"^NEEDS='\n(.*?)^'$", script, re.M | re.S)
    assert table
    installed = {row.split()[0]: tuple(row.split()[1:]) for row in table.group(1).splitlines()}
    assert {program: installed.get(program) for program in PROGRAMS} == dict(PROGRAMS)


def test_every_program_of_virtual_machines_is_installed_on_demand() -> None:
    script = (ROOT / "tools" / "os_packages.sh").read_text(encoding="utf-8")
    table = re.search(r"= qemu \]; then\n  NEEDS\+='(.*?)^'$", script, re.M | re.S)
    assert table
    installed = {row.split()[0]: tuple(row.split()[1:]) for row in table.group(1).splitlines()}
    assert installed == {name: packages for name, packages in QEMU_PROGRAMS.items() if name not in PROGRAMS}
