# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is installed from what: the recipes cuda and deepep of a stack's definition, as files beside the stacks hold them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import Patch, Replacement
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.locks import normalise
from ansible_collections.railyard.sglang.plugins.module_utils.stack.needs import VERSION

DIGEST = re.compile(r"^[0-9a-f]{64}$")
NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")
CAPABILITY = re.compile(r"^\d+\.\d$")


@dataclass(frozen=True)
class Archive:
    """A file to be fetched: its name, where it comes from, and its sha256."""

    name: str
    origin: str
    sha256: str


@dataclass(frozen=True)
class Cuda:
    """A CUDA toolkit of one version, like 12.9: packages by system or family, archives by machine."""

    version: str
    packages: Mapping[str, tuple[str, ...]]
    archives: Mapping[str, tuple[Archive, ...]]


@dataclass(frozen=True)
class Deepep:
    """DeepEP and the library of gdrcopy.

    :ivar probe: the source that is compiled alone, before all else.
    :ivar architectures: compute capability to the least nvcc that knows it.
    :ivar features: rows of the table of operating system packages.
    """

    version: str
    distribution: str
    source: Archive
    patches: tuple[Patch, ...]
    probe: str
    architectures: Mapping[str, str]
    features: tuple[str, ...]
    gdrcopy_version: str
    gdrcopy: Archive


def _fault(label: str, problem: str) -> StackError:
    return StackError(label, problem, "correct the recipe beside the stacks, or your own copy of it")


def _text(data: Mapping[str, Any], key: str, label: str) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not value:
        raise _fault(label, f"{key} is not a text")
    return value


def _map(data: Mapping[str, Any], key: str, label: str) -> dict[str, Any]:
    value = data.get(key)
    if not isinstance(value, dict) or not value:
        raise _fault(label, f"{key} is not a mapping")
    return value


def _archive(row: Any, label: str) -> Archive:
    if not isinstance(row, dict) or set(row) != {"name", "origin", "sha256"}:
        raise _fault(label, f"{row!r} is not a mapping of name, origin, sha256")
    if not NAME.match(str(row["name"])):
        raise _fault(label, f"{row['name']!r} is no name of a file")
    if not DIGEST.match(str(row["sha256"])):
        raise _fault(label, f"the sha256 of {row['name']} is not 64 hexadecimal digits")
    return Archive(row["name"], str(row["origin"]), row["sha256"])


def parse_cuda(data: Mapping[str, Any]) -> Cuda:
    """Return the checked recipe; raise StackError naming what is wrong."""
    label = f"recipe of CUDA {data.get('version', '(without a version)')}"
    version = _text(data, "version", label)
    if not VERSION.match(version) or version.count(".") != 1:
        raise _fault(label, f"version {version!r} is not one like '12.9'")
    packages = {}
    for system, names in _map(data, "packages", label).items():
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise _fault(label, f"packages.{system} is not a list of names")
        packages[system] = tuple(names)
    archives = {}
    for machine, rows in _map(data, "archives", label).items():
        if not isinstance(rows, list):
            raise _fault(label, f"archives.{machine} is not a list")
        archives[machine] = tuple(_archive(row, label) for row in rows)
    return Cuda(version, packages, archives)


def _patches(rows: Any, label: str) -> tuple[Patch, ...]:
    found = []
    for row in rows or []:
        if not isinstance(row, dict) or set(row) != {"path", "reason", "replace"}:
            raise _fault(label, f"patch {row!r} is not a mapping of path, reason, replace")
        if str(row["path"]).startswith("/") or ".." in str(row["path"]).split("/"):
            raise _fault(label, f"the path {row['path']!r} leads out of the source")
        pairs = [pair for pair in row["replace"] if isinstance(pair, dict) and set(pair) == {"before", "after"}]
        if len(pairs) != len(row["replace"]):
            raise _fault(label, f"a replacement of {row['path']} is not a mapping of before and after")
        found.append(Patch(row["path"], str(row["reason"]), tuple(Replacement(pair["before"], pair["after"]) for pair in pairs)))
    return tuple(found)


def parse_deepep(data: Mapping[str, Any]) -> Deepep:
    """Return the checked recipe; raise StackError naming what is wrong."""
    label = f"recipe of DeepEP {data.get('version', '(without a version)')}"
    architectures = _map(data, "architectures", label)
    for name, nvcc in architectures.items():
        if not CAPABILITY.match(str(name)) or not VERSION.match(str(nvcc)):
            raise _fault(label, f"architectures: {name!r}: {nvcc!r} is not a compute capability and a version of nvcc")
    features = data.get("os") or []
    if not isinstance(features, list) or not all(isinstance(name, str) for name in features):
        raise _fault(label, "os is not a list of names")
    gdrcopy = _map(data, "gdrcopy", label)
    return Deepep(
        version=_text(data, "version", label),
        distribution=normalise(_text(data, "distribution", label)),
        source=_archive(data.get("source"), label),
        patches=_patches(data.get("patches"), label),
        probe=_text(data, "probe", label),
        architectures={str(name): str(nvcc) for name, nvcc in architectures.items()},
        features=tuple(features),
        gdrcopy_version=_text(gdrcopy, "version", label),
        gdrcopy=_archive(gdrcopy.get("source"), label),
    )


def archives(recipes: Mapping[str, Any]) -> list[Archive]:
    """Return every file that the recipes of a definition may need, for a mirror. Raises StackError."""
    found: list[Archive] = []
    if recipes.get("cuda"):
        found += [row for rows in parse_cuda(recipes["cuda"]).archives.values() for row in rows]
    if recipes.get("deepep"):
        deepep = parse_deepep(recipes["deepep"])
        found += [deepep.source, deepep.gdrcopy]
    return list(dict.fromkeys(found))
