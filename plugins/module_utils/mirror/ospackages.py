# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of the operating system packages that hosts need for stacks, by system: for whoever mirrors the system's own repository."""

from __future__ import annotations

from typing import Dict, List, Mapping, Sequence, Set

from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import Definition
from ansible_collections.railyard.sglang.plugins.module_utils.stack.ospackages import Table, name_of, package, python_packages


def wanted(definitions: Sequence[Definition], table: Table, systems: Sequence[str]) -> Dict[str, List[str]]:
    """Return the packages by system, those of which the table knows a name: libraries, compilers, and the first Python that fits.

    :param systems: like debian-12, as the table calls them.
    """
    return {system: sorted({name for row in definitions for name in _of(row, table, system) if name}) for system in systems}


def _of(definition: Definition, table: Table, system: str) -> Set[str]:
    pythons = python_packages(table, definition.pythons, system)
    version = next(iter(pythons), definition.pythons[0])
    found = {package(table.features[name].packages, system) for name in definition.needs.features if name in table.features}
    found |= {name_of(table, library.soname, system) for library in definition.libraries}
    return {name.replace("{python}", version) for name in found} | set(list(pythons.values())[:1])


def merge(given: Mapping[str, Sequence[str]], computed: Mapping[str, Sequence[str]]) -> Dict[str, List[str]]:
    """Return both lists together, each name once."""
    return {system: sorted({*given.get(system, ()), *computed.get(system, ())}) for system in sorted({*given, *computed})}
