# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of operating system packages: what brings a library, a program or a Python on which system.

The table is roles/stack/files/os_packages.yml. A system is one like rhel-9; a row may name it, or its family (rhel).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError

SUBJECT = "table of operating system packages"
FIX = "correct os_packages.yml"


@dataclass(frozen=True)
class Feature:
    """A row: what is to be there (a library that the loader finds, or a file), and the package that brings it, by system or family.

    In file and packages {python} stands for the version of Python like 3.11.
    """

    name: str
    library: str
    file: str
    packages: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """The table. pythons: version like 3.11 to packages by system or family."""

    features: Mapping[str, Feature]
    pythons: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Missing:
    """Something that a host lacks. package is empty where the table knows none for the system."""

    what: str
    package: str


def _packages(value: Any, what: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for pair in value.items() for text in pair):
        raise StackError(SUBJECT, f"packages of {what} are not a mapping of systems to names", FIX)
    return dict(value)


def parse_table(data: Mapping[str, Any]) -> Table:
    """Return the checked table; an empty mapping is an empty table. Raises StackError naming the row that is wrong."""
    features = {}
    for name, row in (data.get("features") or {}).items():
        if not isinstance(row, dict) or set(row) - {"library", "file", "packages"} or bool(row.get("library")) == bool(row.get("file")):
            raise StackError(SUBJECT, f"{name} is not a mapping of packages and either library or file", FIX)
        features[name] = Feature(name, row.get("library") or "", row.get("file") or "", _packages(row.get("packages"), name))
    pythons = {version: _packages(row, f"Python {version}") for version, row in (data.get("pythons") or {}).items()}
    return Table(features, pythons)


def package(packages: Mapping[str, str], system: str) -> str:
    """Return the name of a package on a system, of its family where the system has no own; empty where the table knows none."""
    return packages.get(system) or packages.get(system.partition("-")[0]) or ""


def python_packages(table: Table, pythons: Iterable[str], system: str) -> dict[str, str]:
    """Return which of the versions of Python a system can install: version to package, in the order given."""
    found = {version: package(table.pythons.get(version, {}), system) for version in pythons}
    return {version: name for version, name in found.items() if name}


def name_of(table: Table, soname: str, system: str) -> str:
    """Return the package that brings a library on a system, empty where the table knows none."""
    rows = (feature for feature in table.features.values() if feature.library == soname)
    return next((package(feature.packages, system) for feature in rows), "")


@dataclass(frozen=True)
class Present:
    """What tells whether a host has a library that its loader finds, or a file."""

    library: Callable[[str], bool]
    file: Callable[[str], bool]


def missing(table: Table, features: Iterable[str], system: str, python: str, present: Present) -> list[Missing]:
    """Return what a host lacks of the features.

    :param python: version of the Python that the stack is built with, like 3.11.
    :raises StackError: a feature is not in the table.
    """
    found = []
    for name in features:
        feature = table.features.get(name)
        if feature is None:
            raise StackError(SUBJECT, f"a stack names {name}, which is not in it", "add the row, or correct os in the stack's stack.yml")
        path = feature.file.replace("{python}", python)
        if present.library(feature.library) if feature.library else present.file(path):
            continue
        found.append(Missing(feature.library or path, package(feature.packages, system).replace("{python}", python)))
    return found
