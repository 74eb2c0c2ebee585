# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filling a mirror on a connected machine and publishing its manifest; the wheels are there already (wheel_directory)."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Set, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.mirror import manifest, sbom, signature, transfer
from ansible_collections.railyard.sglang.plugins.module_utils.model import directory as models
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import Definition
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError, is_disk_full
from ansible_collections.railyard.sglang.plugins.module_utils.stack.fetch import read_manifest
from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import hold, sync_directory, write_synced
from ansible_collections.railyard.sglang.plugins.module_utils.stack.wheels import is_pinned, listed, parse_wheel, sha256_all

WHEELS, SOURCES, MODELS, BOMS = "wheels", "sources", "models", "sbom"
INCOMING = ".incoming"
STATE = ".state.json"
LOCK = ".lock"
LOCK_WAIT_SECONDS = 3600
ID_DIGITS = 12


@dataclass(frozen=True)
class Item:
    """A source: its name in the mirror, where it comes from (a path or an address), and its sha256."""

    name: str
    origin: str
    sha256: str


@dataclass(frozen=True)
class Request:
    """What a mirror is to hold. models: directory by name; verify: read everything again that was found good before."""

    root: Path
    definitions: Sequence[Definition]
    key: Path
    sources: Sequence[Item] = ()
    models: Mapping[str, Path] = field(default_factory=dict)
    os_packages: Mapping[str, Sequence[str]] = field(default_factory=dict)
    verify: bool = False

    @property
    def subject(self) -> str:
        """The mirror, as errors name it."""
        return f"mirror {self.root}"


@dataclass
class Content:
    """What a mirror holds: files by path, and the other parts of its manifest; missing is what has to be fetched or copied."""

    files: Dict[str, Dict[str, Any]] = field(default_factory=dict)
    pins: Dict[str, Dict[str, str]] = field(default_factory=dict)
    parts: Dict[str, Any] = field(default_factory=dict)
    missing: List[str] = field(default_factory=list)


def read_state(root: Path) -> Dict[str, Any]:
    """Return what earlier runs have read and found good; it only saves reading it again."""
    try:
        state = json.loads((root / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def stamp(path: Path) -> List[int]:
    """Return size and time of the last change of a file, which tell whether it has to be read again."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def find_wheels(request: Request, content: Content) -> None:
    """Add the wheels of all stacks; every one of them is the locked one, or counts as missing."""
    place = request.root / WHEELS
    known = {} if request.verify else read_manifest(place)
    wheels = [wheel for wheel in map(parse_wheel, sorted(os.listdir(place)) if place.is_dir() else []) if wheel]
    sizes = {wheel.filename: (place / wheel.filename).stat().st_size for wheel in wheels}
    unread = [name for name, size in sizes.items() if known.get(name, {}).get("size") != size]
    digests = {name: row["sha256"] for name, row in known.items()} | sha256_all(place / name for name in unread)
    for definition in request.definitions:
        for pin in {**definition.installer, **definition.pins}.values():
            good = [wheel.filename for wheel in wheels if is_pinned(wheel, pin) and digests[wheel.filename] in pin.hashes]
            if not good:
                content.missing.append(f"wheel of {pin.name}=={pin.version}")
            for name in good:
                path = f"{WHEELS}/{name}"
                content.files[path] = {"size": sizes[name], "sha256": digests[name]}
                row = content.pins.setdefault(path, {"name": pin.name, "version": pin.version, "stacks": ""})
                row["stacks"] = " ".join(sorted({*row["stacks"].split(), definition.name}))


def find_sources(request: Request, state: Mapping[str, Any], content: Content) -> None:
    """Add the sources that are there and are the wanted ones."""
    for item in request.sources:
        path = f"{SOURCES}/{item.name}"
        target = request.root / path
        if target.is_file() and (
            (not request.verify and state.get(path) == [*stamp(target), item.sha256]) or transfer.digest(target) == item.sha256
        ):
            content.files[path] = {"size": target.stat().st_size, "sha256": item.sha256}
            content.parts["sources"][item.name] = {"path": path, "origin": transfer.public(item.origin)}
        else:
            content.missing.append(f"source {item.name}")


def names_in(directory: Path) -> List[str]:
    """Return the files of a model's directory that go into the mirror, those further below too; hidden ones are no part of a model."""
    return [name for name in models.files(str(directory)) if not any(part.startswith(".") for part in name.split("/"))]


def find_models(request: Request, state: Mapping[str, Any], content: Content) -> None:
    """Add the models whose source has not changed since it was copied."""
    for name, origin in request.models.items():
        row = state.get(f"{MODELS}:{name}", {})
        seen = {file: stamp(origin / file) for file in names_in(origin)} if origin.is_dir() else {}
        place = request.root / str(row.get("path", "-"))
        good = bool(row) and row["origin"] == seen and all((place / file).is_file() for file in row["digests"])
        if good and request.verify:
            good = all(transfer.digest(place / file) == digest for file, digest in row["digests"].items())
        if not good:
            content.missing.append(f"model {name}")
            continue
        for file, digest in row["digests"].items():
            content.files[f"{row['path']}/{file}"] = {"size": (place / file).stat().st_size, "sha256": digest}
        content.parts["models"][name] = {"path": row["path"], "checksum": models.checksum(row["digests"])}


def inspect(request: Request) -> Content:
    """Return what the mirror holds of the request, changing nothing."""
    state = read_state(request.root)
    stacks = {row.name: {"kind": row.kind, "packages": len(row.pins), "python": list(row.pythons)} for row in request.definitions}
    packages = {system: list(names) for system, names in request.os_packages.items()}
    content = Content(parts={"stacks": stacks, "models": {}, "sources": {}, "os_packages": packages})
    find_wheels(request, content)
    find_sources(request, state, content)
    find_models(request, state, content)
    return content


def copy_model(request: Request, name: str, origin: Path) -> Dict[str, Any]:
    """Copy a model beside the others, file by file, and give it the name of its content; return what the state says of it."""
    wrong = models.problems(str(origin))
    if wrong:
        raise StackError(f"model {name}", f"{origin} is no whole model: {'; '.join(wrong[:3])}", "complete it, then run again")
    seen = {file: stamp(origin / file) for file in names_in(origin)}
    for file in seen:
        if not manifest.is_safe(file):
            raise StackError(f"model {name}", f"{file!r} cannot be in a mirror", "rename it, or take it out of the model's directory")
    digests = {file: transfer.digest(origin / file) for file in seen}
    path = f"{MODELS}/{name}-{models.checksum(digests)[:ID_DIGITS]}"
    incoming, place = request.root / INCOMING / name, request.root / path
    lacking = [file for file in seen if not is_right(place / file, digests[file])]
    clear(incoming, {Path(file) for file in lacking} | {transfer.partial_of(Path(file)) for file in lacking})
    for file in lacking:
        if not is_right(incoming / file, digests[file]):
            transfer.bring(str(origin / file), incoming / file, digests[file], f"model {name}", seen[file][0])
    place.parent.mkdir(exist_ok=True)
    if place.is_dir():
        # The published manifest may name it: file by file, so that it is whole or damaged as it was, and never gone.
        for file in lacking:
            (place / file).parent.mkdir(parents=True, exist_ok=True)
            os.replace(incoming / file, place / file)
            sync_directory((place / file).parent)
    else:
        os.replace(incoming, place)
    sync_directory(place.parent)
    sync_directory(request.root)
    return {"origin": seen, "path": path, "digests": digests}


def is_right(path: Path, digest: str) -> bool:
    """Say whether a file is there and has a sha256."""
    return path.is_file() and transfer.digest(path) == digest


def clear(folder: Path, wanted: Set[Path]) -> None:
    """Remove what a run for other files has left, whatever is not wanted."""
    for place, _folders, files in os.walk(folder):
        for file in files:
            path = Path(place, file)
            if path.relative_to(folder) not in wanted:
                path.unlink()


def fill(request: Request, content: Content) -> None:
    """Bring what is missing, keeping account after each part, so that an interrupted run is gone on with."""
    wheels = [name for name in content.missing if name.startswith("wheel ")]
    if wheels:
        fix = "fill the directory wheels of the mirror first (wheel_directory), as playbooks/mirror.yml does"
        raise StackError(request.subject, f"it lacks a {listed(wheels)}", fix)
    state = read_state(request.root)
    for item in request.sources:
        if f"source {item.name}" in content.missing:
            path = f"{SOURCES}/{item.name}"
            transfer.bring(item.origin, request.root / path, item.sha256, f"source {item.name}")
            state[path] = [*stamp(request.root / path), item.sha256]
            write_synced(request.root / STATE, json.dumps(state, sort_keys=True))
    for name, origin in request.models.items():
        if f"model {name}" in content.missing:
            state[f"{MODELS}:{name}"] = copy_model(request, name, origin)
            write_synced(request.root / STATE, json.dumps(state, sort_keys=True))


def documents(content: Content) -> Tuple[str, str, str]:
    """Return the text of the manifest, and path and text of the bill of materials that it names."""
    bill = sbom.text(sbom.bom(content.parts, content.files, content.pins))
    size, digest = len(bill.encode()), signature.digest_of(bill)
    path = f"{BOMS}/{digest[:ID_DIGITS]}.cdx.json"
    files = {**content.files, path: {"size": size, "sha256": digest}}
    return manifest.write(files, {**content.parts, "sbom": path}), path, bill


def is_published(request: Request, content: Content) -> bool:
    """Say whether the mirror's manifest is that of its content, and is signed by the key."""
    text, path, bill = documents(content)
    try:
        there = [(request.root / name).read_text(encoding="utf-8") for name in (manifest.NAME, path, manifest.signature_of(text))]
        if there[:2] != [text, bill]:
            return False
        public = signature.public_of(request.key, request.subject)
        signature.verify(text, there[2], [public] if public else [], request.subject)
    except (OSError, UnicodeDecodeError, StackError):
        return False
    return True


def publish(request: Request, content: Content) -> None:
    """Write bill of materials and signature, and then the manifest by a rename: readers see the former mirror or this one."""
    text, path, bill = documents(content)
    signed = signature.sign(text, request.key, request.subject)
    for name, body in ((path, bill), (manifest.signature_of(text), signed), (manifest.NAME, text)):
        (request.root / name).parent.mkdir(parents=True, exist_ok=True)
        write_synced(request.root / name, body)


def build(request: Request) -> Content:
    """Fill and publish a mirror. Raises StackError; what is whole by then stays, and the former manifest too."""
    try:
        request.root.mkdir(parents=True, exist_ok=True)
        with hold(request.root / LOCK, LOCK_WAIT_SECONDS, request.subject):
            content = inspect(request)
            if content.missing:
                fill(request, content)
                content = inspect(request)
            if content.missing:
                raise StackError(
                    request.subject, f"it still lacks {listed(content.missing)}", "let nobody change it or its sources meanwhile"
                )
            if not is_published(request, content):
                publish(request, content)
            if (request.root / INCOMING).is_dir():
                shutil.rmtree(request.root / INCOMING)
    except OSError as error:
        if is_disk_full(error):
            raise StackError(request.subject, "its disk became full", "free space there and run again: what is whole is kept") from error
        problem = f"{error.strerror or error} ({error.filename or request.root})"
        raise StackError(request.subject, problem, "let this user write there") from error
    return content
