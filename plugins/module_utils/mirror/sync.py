# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking from a mirror what a host needs: the manifest's signature first, then every file by its sha256."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.mirror import manifest, signature, transfer
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import Definition
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import hold, write_synced
from ansible_collections.railyard.sglang.plugins.module_utils.stack.wheels import Target, candidates, listed

WHEELS = "wheels"
STATE = ".verified.json"
LOCK = ".lock"
LOCK_WAIT_SECONDS = 3600


@dataclass(frozen=True)
class Wish:
    """What a host needs, models and sources by name.

    :ivar targets: what the wheels of each definition have to fit, in the order of the definitions: one target, or several of a host that
        has not got its Python yet, of which the mirror has to have the wheels of one.
    """

    definitions: Sequence[Definition] = ()
    targets: Sequence[Sequence[Target]] = ()
    models: Sequence[str] = ()
    sources: Sequence[str] = ()


@dataclass
class Taken:
    """What was done, or would be: paths that were copied, where the files are, directories of models."""

    copied: List[str]
    place: Path
    models: Dict[str, str] = field(default_factory=dict)


def open_mirror(base: str, signers: Sequence[str]) -> Dict[str, Any]:
    """Return the manifest of a mirror, signed by one of the signers. Raises StackError."""
    subject = f"mirror {base}"
    text = transfer.read_text(base, manifest.NAME, subject)
    signature.verify(text, transfer.read_text(base, manifest.signature_of(text), subject), signers, subject)
    return manifest.read(text, subject)


def _wheels(data: Mapping[str, Any], files: Sequence[str], definition: Definition, target: Target) -> Tuple[List[str], List[str]]:
    """Return the paths of the locked wheels of a definition that fit a target, and what is lacking."""
    pins = {**definition.installer, **definition.pins}
    paths, absent = [], []
    for name, wheels in candidates(files, pins, target).items():
        good = [w.filename for w in wheels if data["files"][f"{WHEELS}/{w.filename}"]["sha256"] in pins[name].hashes]
        paths += [f"{WHEELS}/{filename}" for filename in good]
        absent += [] if good else [f"{name}=={pins[name].version} for Python 3.{target.minor}"]
    return paths, absent


def needed(data: Mapping[str, Any], wish: Wish, subject: str) -> List[str]:
    """Return the paths of a mirror that a host needs; raise StackError, naming it, for what the mirror does not hold."""
    files = [path[len(WHEELS) + 1 :] for path in data["files"] if path.startswith(WHEELS + "/")]
    paths, absent = [], []
    for definition, targets in zip(wish.definitions, wish.targets):
        found = [_wheels(data, files, definition, target) for target in targets]
        whole = [own for own, lacking in found if not lacking]
        paths += [path for own in whole for path in own]
        absent += [] if whole else found[0][1]
    for kind, names in (("models", wish.models), ("sources", wish.sources)):
        for name in names:
            row = data.get(kind, {}).get(name)
            own = [path for path in data["files"] if row and (path == row["path"] or path.startswith(row["path"] + "/"))]
            paths += own
            absent += [] if own else [f"{kind[:-1]} {name}"]
    if absent:
        raise StackError(subject, f"it lacks {listed(absent)}", "add it and run playbooks/mirror.yml on the connected machine")
    return sorted(set(paths))


def _stamp(path: Path) -> List[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _state(place: Path) -> Dict[str, Any]:
    try:
        state = json.loads((place / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def stale(data: Mapping[str, Any], paths: Sequence[str], place: Path, verify: bool) -> List[str]:
    """Return which files a host has not, or not as they are in the mirror; they are read unless they were found good before."""
    state = {} if verify else _state(place)
    found = []
    for path in paths:
        row, file = data["files"][path], place / path
        sized = file.is_file() and file.stat().st_size == row["size"]
        if not sized or (state.get(path) != [*_stamp(file), row["sha256"]] and transfer.digest(file) != row["sha256"]):
            found.append(path)
    return found


def check_in_place(data: Mapping[str, Any], paths: Sequence[str], base: Path, subject: str) -> None:
    """Raise StackError, naming them, for files of a mounted mirror that are not those of its manifest.

    Of wheels only the size is looked at: the stack module reads them all before it installs one.
    """
    bad = []
    for path in paths:
        row, file = data["files"][path], base / path
        size = file.stat().st_size if file.is_file() else -1
        if size != row["size"] or (not path.startswith(WHEELS + "/") and transfer.digest(file) != row["sha256"]):
            bad.append(path)
    if bad:
        fix = "build it anew with mirror_verify=true, and look at who changed it"
        raise StackError(subject, f"not as in its signed manifest: {listed(bad)}", fix)


def take(base: str, signers: Sequence[str], wish: Wish, place: Path, *, copy: bool, check: bool = False, verify: bool = False) -> Taken:
    """Have what a host needs in place, or, without copying, checked in a mirror that is mounted. Raises StackError.

    :param check: say what would be copied, and copy nothing.
    :param verify: read files that are there already, whatever was found earlier.
    """
    subject = f"mirror {base}"
    data = open_mirror(base, signers)
    paths = needed(data, wish, subject)
    at = place if copy else Path(base)
    found = Taken([], at, {name: str(at / data["models"][name]["path"]) for name in wish.models})
    if not copy:
        check_in_place(data, paths, at, subject)
        return found
    found.copied = stale(data, paths, place, verify)
    if found.copied and not check:
        try:
            place.mkdir(parents=True, exist_ok=True)
            with hold(place / LOCK, LOCK_WAIT_SECONDS, subject):
                for path in found.copied:
                    row = data["files"][path]
                    transfer.bring(transfer.join(base, path), place / path, row["sha256"], subject, row["size"])
                    note(place, {path: [*_stamp(place / path), row["sha256"]]})
        except OSError as error:
            problem = f"{error.strerror or error} ({error.filename or place})"
            raise StackError(subject, problem, f"let this user write to {place}, and have space there") from error
    return found


def note(place: Path, rows: Mapping[str, Any]) -> None:
    """Keep account of files that were found good, and forget those that are gone."""
    state = {path: row for path, row in _state(place).items() if os.path.exists(place / path)}
    write_synced(place / STATE, json.dumps({**state, **rows}, sort_keys=True))
