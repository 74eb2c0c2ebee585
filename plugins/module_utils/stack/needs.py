# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stack needs of a host, as the key host of its stack.yml says it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import elf
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError

FIX = "correct the key host of the stack's stack.yml"
VENDORS = ("nvidia", "amd", "huawei")
VERSION = re.compile(r"^\d+(\.\d+)*$")
HOST_KEYS = {"symbols", "gpus", "driver", "nvcc"}


@dataclass(frozen=True)
class Symbol:
    """A version of symbols that a library of the host has to define, and what of the stack wants it."""

    library: str
    version: str
    of: str


@dataclass(frozen=True)
class Least:
    """A version that must be there, optionally one that it must stay below, and what of the stack wants it."""

    least: str
    of: str
    below: str = ""


@dataclass(frozen=True)
class Architecture:
    """A GPU architecture that the stack has kernels for, and the versions that it needs beyond those of the stack; empty: none."""

    name: str
    driver: str = ""
    nvcc: str = ""


@dataclass(frozen=True)
class Needs:
    """All of it.

    :ivar kind: engine or router.
    :ivar pythons: usable ones like "3.11", best first.
    :ivar vendor: of the GPUs, empty for a stack without.
    :ivar kernels: what of the stack holds the kernels.
    :ivar driver: of NVIDIA GPUs.
    :ivar nvcc: the compiler that is needed at run time.
    :ivar features: rows of the table of operating system packages.
    :ivar locked: whether the collection can install the stack.
    :ivar obtain: how to get a stack that it cannot install.
    """

    name: str
    kind: str
    pythons: tuple[str, ...]
    machines: tuple[str, ...]
    symbols: tuple[Symbol, ...] = ()
    vendor: str = ""
    kernels: str = ""
    architectures: Mapping[str, Architecture] = field(default_factory=dict)
    driver: Least | None = None
    nvcc: Least | None = None
    features: tuple[str, ...] = ()
    locked: bool = True
    obtain: str = ""


def number(version: str) -> tuple[int, ...]:
    """Return a version of numbers and dots as one that compares; what follows the numbers does not count."""
    return tuple(int(part) for part in re.findall(r"\d+", re.split(r"[^\d.]", version)[0]))


def _mapping(value: Any, keys: set[str], needed: set[str], what: str, subject: str) -> dict[str, str]:
    """Return a mapping of texts; raise StackError unless it has the needed keys and no others than keys."""
    if not isinstance(value, dict) or not needed <= set(value) <= keys or not all(isinstance(value[key], str) for key in value):
        raise StackError(subject, f"{what} {value!r} is not a mapping of {', '.join(sorted(keys))} to texts", FIX)
    return value


def _version(text: str, what: str, subject: str) -> str:
    if text and not VERSION.match(text):
        raise StackError(subject, f"{what} {text!r} is not a version of numbers and dots", FIX)
    return text


def _least(value: Any, what: str, subject: str) -> Least | None:
    if value is None:
        return None
    row = _mapping(value, {"least", "below", "of"}, {"least", "of"}, what, subject)
    return Least(_version(row["least"], what, subject), row["of"], _version(row.get("below", ""), what, subject))


def _symbols(entries: Any, subject: str) -> tuple[Symbol, ...]:
    found = []
    for entry in entries or []:
        row = _mapping(entry, {"library", "version", "of"}, {"library", "version", "of"}, "symbols", subject)
        try:
            elf.prefix_of(row["version"])
        except ValueError as error:
            raise StackError(subject, f"symbols: {error} is not a version like GLIBCXX_3.4.30", FIX) from error
        found.append(Symbol(row["library"], row["version"], row["of"]))
    return tuple(found)


def _architectures(value: Any, subject: str) -> dict[str, Architecture]:
    if not isinstance(value, dict) or not value:
        raise StackError(subject, "gpus.architectures is not a mapping of architectures", FIX)
    found = {}
    for name, more in value.items():
        row = _mapping(more or {}, {"driver", "nvcc"}, set(), f"gpus.architectures.{name}", subject)
        versions = {key: _version(text, f"gpus.architectures.{name}.{key}", subject) for key, text in row.items()}
        found[str(name)] = Architecture(str(name), **versions)
    return found


def parse_needs(data: Mapping[str, Any]) -> Needs:
    """Return the checked needs of a definition, for which neither lock nor files are necessary.

    Raises StackError naming the stack and what is wrong.
    """
    subject = f"stack {data.get('name', '(without a name)')}"
    host = data.get("host") or {}
    if not isinstance(host, dict) or set(host) - HOST_KEYS:
        raise StackError(subject, f"host is not a mapping of {', '.join(sorted(HOST_KEYS))}", FIX)
    gpus = host.get("gpus") or {}
    if gpus and (not isinstance(gpus, dict) or set(gpus) != {"vendor", "of", "architectures"} or gpus["vendor"] not in VENDORS):
        raise StackError(subject, f"gpus is not a mapping of vendor ({', '.join(VENDORS)}), of and architectures", FIX)
    features = data.get("os") or []
    if not isinstance(features, list) or not all(isinstance(name, str) for name in features):
        raise StackError(subject, "os is not a list of names", FIX)
    return Needs(
        name=str(data.get("name", "")),
        kind=str(data.get("kind", "")),
        pythons=tuple(data.get("python") or ()),
        machines=tuple(data.get("machines") or ()),
        symbols=_symbols(host.get("symbols"), subject),
        vendor=str(gpus.get("vendor", "")),
        kernels=str(gpus.get("of", "")),
        architectures=_architectures(gpus["architectures"], subject) if gpus else {},
        driver=_least(host.get("driver"), "driver", subject),
        nvcc=_least(host.get("nvcc"), "nvcc", subject),
        features=tuple(features),
        locked=bool(data.get("locked", "lock" in data)),
        obtain=str(data.get("obtain", "")),
    )
