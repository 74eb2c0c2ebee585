# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The definition of a stack: its lock, the files and patches it needs besides, and how it proves itself.

On the controller a definition is a directory (stack.yml, requirements.txt, files); it travels to hosts as plain data.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.locks import Pin, normalise, parse_lock
from ansible_collections.railyard.sglang.plugins.module_utils.stack.needs import Needs, parse_needs

NAME = re.compile(r"^[a-z0-9][a-z0-9.+_-]{0,62}$")
KINDS = ("engine", "router")
# wheels: built from a lock by this collection; image: not built by it, data for the decision and for environments that exist already.
INSTALLS = ("wheels", "image")
# Where a stack fits, what it takes and what it is called, not what is in its tree: no part of the content id.
ASIDE = frozenset({
    "installer", "notes", "host", "os", "evidence", "unverified", "locked", "obtain", "machines", "disk_mib", "download_mib", "libraries",
    "packages", "cuda", "deepep",
})
# Keys whose value in stack.yml is the name of a file beside the directories of the stacks.
RECIPES = ("cuda", "deepep")
ID_DIGITS = 12
FIX = "correct the stack.yml of the stack"
# keys of stack.yml: (type, required)
KEYS: dict[str, tuple[type, bool]] = {
    "name": (str, True),
    "kind": (str, True),
    "install": (str, False),
    "python": (list, True),
    "machines": (list, True),
    "packages": (int, True),
    "disk_mib": (int, True),
    "download_mib": (int, True),
    "host": (dict, False),
    "os": (list, False),
    "libraries": (list, False),
    "environment": (dict, False),
    "imports": (list, True),
    "files": (dict, False),
    "patches": (list, False),
    "versions": (dict, False),
    "notes": (str, False),
    "obtain": (str, False),
    "evidence": (str, False),
    "unverified": (str, False),
    "locked": (bool, False),
    "cuda": (dict, False),
    "deepep": (dict, False),
}
# What only a stack that is built from a lock has.
OF_LOCKS = frozenset({"packages", "disk_mib", "download_mib"})


@dataclass(frozen=True)
class Library:
    """A system library: the name that the loader knows it by, and the packages which bring it."""

    soname: str
    deb: str
    rpm: str


@dataclass(frozen=True)
class ImportCheck:
    """A module that must import, and the distribution whose version must then be the locked one (None: no check)."""

    module: str
    distribution: str | None


@dataclass(frozen=True)
class Replacement:
    """A text which stands exactly once in a file, and the one that takes its place."""

    before: str
    after: str


@dataclass(frozen=True)
class Patch:
    """Replacements in one file, its path relative to site-packages."""

    path: str
    reason: str
    replacements: tuple[Replacement, ...]


@dataclass(frozen=True)
class Definition:
    """A checked definition. Sizes in MiB; pythons like "3.11", best first; source is what the content id is made of.

    A stack that is not built from a lock (install: image) has no pins, but the versions that an environment of it must have.
    """

    name: str
    kind: str
    pythons: tuple[str, ...]
    machines: tuple[str, ...]
    disk_mib: int
    download_mib: int
    libraries: tuple[Library, ...]
    environment: Mapping[str, str]
    imports: tuple[ImportCheck, ...]
    files: Mapping[str, str]
    patches: tuple[Patch, ...]
    pins: Mapping[str, Pin]
    installer: Mapping[str, Pin]
    source: Mapping[str, Any]
    needs: Needs
    versions: Mapping[str, str]
    recipes: Mapping[str, Any] = field(default_factory=dict)

    def content_id(self, minor: int) -> str:
        """Return the id of what a build of this definition with CPython 3.<minor> contains."""
        content = {"definition": self.source, "python": f"3.{minor}"}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]

    def packages(self) -> dict[str, str]:
        """Return the versions of the packages by name."""
        return {pin.name: pin.version for pin in self.pins.values()} or dict(self.versions)


def read_definition(directory: Path, installer: Path, load_yaml: Callable[[str], Any]) -> dict[str, Any]:
    """Return the definition in a directory as the plain data that modules take.

    Keys of stack.yml, with recipes (cuda, deepep) in the place of their names, files as {path below site-packages: text}, and lock and
    installer as texts.
    Raises StackError if a file is missing or not readable.
    """
    subject = f"stack {directory.name}"
    try:
        data = load_yaml((directory / "stack.yml").read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise StackError(subject, f"{directory / 'stack.yml'} does not hold a mapping", FIX)
        if data.get("install", "wheels") == "wheels":
            data["lock"] = (directory / "requirements.txt").read_text(encoding="utf-8")
        data["installer"] = installer.read_text(encoding="utf-8")
        for key in RECIPES:
            if isinstance(data.get(key), str):
                data[key] = load_yaml((installer.parent / f"{data[key]}.yml").read_text(encoding="utf-8"))
        files = data.get("files") or {}
        data["files"] = {path: (directory / source).read_text(encoding="utf-8") for path, source in files.items()}
    except OSError as error:
        problem = f"cannot read {error.filename}: {error.strerror}"
        raise StackError(subject, problem, "name a stack that exists, or restore the file") from error
    return data


def read_needs(directory: Path, load_yaml: Callable[[str], Any]) -> dict[str, Any]:
    """Return what decides where a stack fits, as plain data: parts of its stack.yml, and whether it has a lock.

    Neither lock nor files are read. Raises StackError.
    """
    path = directory / "stack.yml"
    try:
        data = load_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StackError(f"stack {directory.name}", f"cannot read {path}: {error.strerror}", "restore the file") from error
    if not isinstance(data, dict):
        raise StackError(f"stack {directory.name}", f"{path} does not hold a mapping", FIX)
    keys = ("name", "kind", "python", "machines", "host", "os", "obtain")
    return {**{key: data[key] for key in keys if key in data}, "locked": (directory / "requirements.txt").is_file()}


def _inside(path: str, subject: str) -> str:
    """Return a path relative to site-packages; raise StackError if it leads out of it."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise StackError(subject, f"the path {path!r} leads out of site-packages", FIX)
    return path


def _texts(entry: Any, keys: tuple[str, ...], what: str, subject: str) -> dict[str, str]:
    """Return the entry if it is a mapping of exactly these keys to texts; raise StackError if not."""
    if not isinstance(entry, dict) or set(entry) != set(keys) or not all(isinstance(entry[key], str) for key in keys):
        raise StackError(subject, f"{what} {entry!r} is not a mapping of {', '.join(keys)} to texts", FIX)
    return entry


def _patches(entries: list[Any], subject: str) -> tuple[Patch, ...]:
    """Return checked patches."""
    patches = []
    for entry in entries:
        if not isinstance(entry, dict) or set(entry) != {"path", "reason", "replace"}:
            raise StackError(subject, f"patch {entry!r} is not a mapping of path, reason, replace", FIX)
        pairs = [_texts(pair, ("before", "after"), "replacement", subject) for pair in entry["replace"]]
        replacements = tuple(Replacement(pair["before"], pair["after"]) for pair in pairs)
        if any(not pair.after or pair.after in pair.before for pair in replacements):
            raise StackError(subject, "a replacement puts in nothing, or a part of what it takes out", "let both texts hold a line more")
        patches.append(Patch(_inside(entry["path"], subject), str(entry["reason"]), replacements))
    return tuple(patches)


def _imports(entries: list[Any], pins: Mapping[str, Any], subject: str) -> tuple[ImportCheck, ...]:
    """Return checked import checks; a distribution has to be in the lock."""
    checks = []
    for entry in entries:
        if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], str):
            raise StackError(subject, f"import check {entry!r} is not a pair of module and distribution", FIX)
        module, distribution = entry
        if distribution is not None and normalise(str(distribution)) not in pins:
            raise StackError(subject, f"the import check of {module} names {distribution}, which is not locked", FIX)
        checks.append(ImportCheck(module, normalise(str(distribution)) if distribution is not None else None))
    return tuple(checks)


def source_of(data: Mapping[str, Any], pins: Mapping[str, Pin]) -> dict[str, Any]:
    """Return what a tree is made of: the pins and not the text of the lock, whose comments are for people."""
    rest = {key: value for key, value in data.items() if key not in ASIDE and key != "lock"}
    return {**rest, "lock": [pins[name].line() for name in sorted(pins)]}


def parse_definition(data: Mapping[str, Any]) -> Definition:
    """Return the checked definition; raise StackError naming the stack and what is wrong with it."""
    subject = f"stack {data.get('name', '(without a name)')}"
    install = data.get("install") or INSTALLS[0]
    if install not in INSTALLS:
        raise StackError(subject, f"install {install!r} is not one of {', '.join(INSTALLS)}", FIX)
    locked = install == INSTALLS[0]
    for key, (kind, required) in KEYS.items():
        value = data.get(key)
        if value is None:
            if required and (locked or key not in OF_LOCKS):
                raise StackError(subject, f"{key} is missing", FIX)
        elif not isinstance(value, kind) or isinstance(value, bool) is not (kind is bool):
            raise StackError(subject, f"{key} is a {type(value).__name__} and not a {kind.__name__}", FIX)
    unknown = set(data) - set(KEYS) - {"lock", "installer"}
    if unknown:
        raise StackError(subject, f"unknown keys {', '.join(sorted(unknown))}", FIX)
    if not NAME.match(data["name"]):
        raise StackError(subject, "a name has lower case letters, digits and . + _ - only", FIX)
    if data["kind"] not in KINDS:
        raise StackError(subject, f"kind {data['kind']!r} is not one of {', '.join(KINDS)}", FIX)
    for version in data["python"]:
        if not isinstance(version, str) or not re.match(r"^3\.\d+$", version):
            raise StackError(subject, f"python {version!r} is not a text like '3.11'", FIX)
    libraries = [_texts(entry, ("soname", "deb", "rpm"), "library", subject) for entry in data.get("libraries") or []]
    files = {_inside(path, subject): text for path, text in (data.get("files") or {}).items()}
    pins = parse_lock(data.get("lock", ""), subject, data["packages"]) if locked else {}
    versions = {normalise(str(name)): str(version) for name, version in (data.get("versions") or {}).items()}
    return Definition(
        name=data["name"],
        kind=data["kind"],
        pythons=tuple(data["python"]),
        machines=tuple(data["machines"]),
        disk_mib=data.get("disk_mib") or 0,
        download_mib=data.get("download_mib") or 0,
        libraries=tuple(Library(**entry) for entry in libraries),
        environment={str(name): str(value) for name, value in (data.get("environment") or {}).items()},
        imports=_imports(data["imports"], {**versions, **pins}, subject),
        files=files,
        patches=_patches(data.get("patches") or [], subject),
        pins=pins,
        installer=parse_lock(data.get("installer", ""), f"{subject}, its installer", 1),
        source=source_of(data, pins),
        needs=parse_needs({**data, "locked": locked}),
        versions=versions,
        recipes={key: data[key] for key in RECIPES if data.get(key)},
    )
