# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An environment that exists already, taken as a stack: checked like one of our own, linked by a small tree of ours, never changed.

The tree holds bin/python alone, a script that starts the environment's Python, through a wrapper where one is given. Its content id
covers the versions of every distribution in the environment, so that one which was changed is checked anew and shown as a change.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.stack.build import Build, check_imports, in_place, timed
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import ID_DIGITS, Definition
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.installed import packages_of
from ansible_collections.railyard.sglang.plugins.module_utils.stack.locks import normalise
from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import write_synced

FIX = "correct stack_external"
KEYS = {"path", "wrapper", "versions"}
DIRECTORY = "external"
LIST_SECONDS = 120
TAIL = 500
LIST_PROGRAM = """
import importlib.metadata, json, sys
found = {item.metadata["Name"]: item.version for item in importlib.metadata.distributions() if item.metadata["Name"]}
print(json.dumps({"python": sys.version_info[:3], "packages": found}))
"""


@dataclass(frozen=True)
class External:
    """Where the environment is.

    :ivar path: its directory, which has bin/python.
    :ivar wrapper: program and arguments that start its Python, empty for none.
    :ivar versions: by distribution, those that are right although the stack's definition says others.
    """

    path: Path
    wrapper: tuple[str, ...] = ()
    versions: Mapping[str, str] | None = None

    @property
    def command(self) -> tuple[str, ...]:
        """The words that start its Python."""
        return (*self.wrapper, str(self.path / "bin" / "python"))


@dataclass(frozen=True)
class Found:
    """What is in it: version of Python, versions of distributions by normalised name."""

    python: tuple[int, int, int]
    packages: Mapping[str, str]


def parse_external(data: Mapping[str, Any]) -> dict[str, External]:
    """Return the environments by the name of the stack that each is. Raises StackError naming the entry that is wrong."""
    found = {}
    for name, row in data.items():
        subject = f"stack_external.{name}"
        if not isinstance(row, dict) or not isinstance(row.get("path"), str) or set(row) - KEYS:
            raise StackError(subject, "it is not a mapping of path and, where wanted, wrapper and versions", FIX)
        wrapper, versions = row.get("wrapper") or [], row.get("versions") or {}
        if not isinstance(wrapper, list) or not isinstance(versions, dict):
            raise StackError(subject, "wrapper is not a list of words, or versions no mapping", FIX)
        for path in [row["path"], *wrapper[:1]]:
            if not os.path.isabs(str(path)):
                raise StackError(subject, f"{path} is no absolute path", FIX)
        pinned = {normalise(str(key)): str(value) for key, value in versions.items()}
        found[str(name)] = External(Path(row["path"]), tuple(str(word) for word in wrapper), pinned)
    return found


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which it is asked: nothing of the caller's settings or of a user's packages."""
    return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "PYTHONNOUSERSITE": "1", **extra}


def look_into(external: External, extra: Mapping[str, str], subject: str) -> Found:
    """Return what is in an environment, changing nothing. Raises StackError if its Python does not run."""
    command = [*external.command, "-B", "-s", "-c", LIST_PROGRAM]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LIST_SECONDS, check=False, env=environment(extra), cwd="/"
        )
        data = json.loads(done.stdout.strip().splitlines()[-1]) if done.returncode == 0 and done.stdout.strip() else None
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise StackError(subject, f"{shlex.join(external.command)} cannot be used: {error}", FIX) from error
    if data is None:
        said = " ".join((done.stderr or done.stdout).split())[-TAIL:]
        problem = f"{shlex.join(external.command)} does not run (status {done.returncode}): {said}"
        raise StackError(subject, problem, f"repair the environment, or {FIX}")
    python = data["python"]
    packages = {normalise(name): version for name, version in data["packages"].items()}
    return Found((int(python[0]), int(python[1]), int(python[2])), packages)


def expected(definition: Definition, external: External) -> dict[str, str]:
    """Return the versions that the distributions of the import matrix must have: those of the definition, or the operator's."""
    wanted = {**definition.packages(), **(external.versions or {})}
    names = {check.distribution for check in definition.imports if check.distribution}
    return {name: wanted[name] for name in sorted(names | set(external.versions or {}))}


def check_versions(definition: Definition, external: External, found: Found, subject: str) -> None:
    """Raise StackError naming every distribution whose version is not the right one."""
    wrong = [
        f"{name} {found.packages.get(name, 'missing')} instead of {version}"
        for name, version in expected(definition, external).items()
        if found.packages.get(name) != version
    ]
    if wrong:
        fix = "install these versions there, or say in stack_external which ones are right (versions)"
        raise StackError(subject, f"{external.path} does not hold what the stack needs: {'; '.join(wrong)}", fix)


def content_id(definition: Definition, external: External, found: Found) -> str:
    """Return the id of an environment: where it is, how it is started, what is in it and how it was tested."""
    content = {
        "command": external.command,
        "python": found.python,
        "packages": dict(found.packages),
        "expected": expected(definition, external),
        "imports": [[check.module, check.distribution] for check in definition.imports],
        "environment": dict(definition.environment),
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]


def script(external: External) -> str:
    """Return the text of bin/python: it replaces itself, so that the unit's process is the engine's."""
    return f'#!/bin/sh\n# Written by the role stack; the environment behind it is not.\nexec {shlex.join(external.command)} "$@"\n'


def link_environment(build: Build, external: External, found: Found) -> bool:
    """Make the tree of an environment, unless it is complete, and return whether that was needed.

    Every module of the import matrix is imported first, in a process of its own. Raises StackError.
    """
    place = build.place
    build = replace(build, definition=replace(build.definition, pins={}, versions=expected(build.definition, external)))

    def make() -> dict[str, Any]:
        (place.new / "bin").mkdir(parents=True, mode=0o755)
        write_synced(place.new / "bin" / "python", script(external), 0o755)
        imports = timed(build, "import", lambda: check_imports(build))
        return {
            "stack": build.definition.name,
            "kind": build.definition.kind,
            "id": place.content,
            "external": {"path": str(external.path), "wrapper": list(external.wrapper)},
            "python": {"path": external.command[-1], "version": ".".join(map(str, found.python))},
            "packages": dict(found.packages),
            "own": packages_of(external.path),
            "imports": imports,
        }

    old_mask = os.umask(0o022)
    try:
        return in_place(build, make, 1)
    except OSError as error:
        problem = f"{error.strerror or error} ({error.filename or place.store})"
        raise StackError(build.subject, problem, f"let root write to {place.store}, then run again") from error
    finally:
        os.umask(old_mask)
