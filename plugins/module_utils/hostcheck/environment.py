# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a unit's process will find in its environment: the plan's own file, and what the host adds without being asked."""

from __future__ import annotations

import fnmatch
import shlex
from typing import Any, Dict, List, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.runner import Runner
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import units
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root

PLAN, MANAGER = "the plan", "the service manager's environment"

Found = Dict[str, Tuple[str, str]]


def _pairs(value: str) -> Dict[str, str]:
    """Return the variables of a unit file's assignment, for example C(A=1 "B=2 3")."""
    try:
        words = shlex.split(value)
    except ValueError:
        words = value.split()
    rows = (word.partition("=") for word in words if "=" in word)
    return {name: text for name, _sign, text in rows}


def _given(root: Root, paths: List[str]) -> Found:
    """Return what the files that drop-ins name (C(EnvironmentFile)) set, the last one winning, each with the drop-in that names it."""
    named: List[Tuple[str, str]] = []
    for path in paths:
        for where, name, value in units.assignments(root.read(path, 1 << 20) or ""):
            if (where, name) == ("Service", "EnvironmentFile"):
                named = [*named, (value.lstrip("-"), path)] if value else []
    found: Found = {}
    for pattern, path in named:
        directory, _slash, last = pattern.rpartition("/")
        for entry in fnmatch.filter(root.list(directory), last) if set(last) & set("*?[") else [last]:
            for line in (root.read(f"{directory}/{entry}", 1 << 20) or "").splitlines():
                name, sign, value = line.strip().partition("=")
                if sign and name[:1] not in ("", "#", ";"):
                    found[name.strip()] = (_unquoted(value), path)
    return found


def _unquoted(value: str) -> str:
    try:
        return " ".join(shlex.split(value))
    except ValueError:
        return value.strip()


def _of_files(root: Root, paths: List[str], section: str, option: str) -> Found:
    found: Found = {}
    for path in paths:
        for where, name, value in units.assignments(root.read(path, 1 << 20) or ""):
            if (where, name) == (section, option):
                # An empty assignment forgets what came before it.
                found = {**found, **{key: (text, path) for key, text in _pairs(value).items()}} if value else {}
    return found


def _conf(root: Root, directory: str) -> List[str]:
    return [f"{directory}/{name}" for name in sorted(root.list(directory)) if name.endswith(".conf")]


def manager(root: Root, run: Runner) -> Tuple[Found, bool]:
    """Return what the service manager gives to every unit, with its source, and whether it could be asked."""
    found: Found = {}
    for directory in reversed(units.MANAGER_DIRECTORIES):
        paths = [f"{directory}/system.conf", *_conf(root, f"{directory}/system.conf.d")]
        found.update(_of_files(root, paths, "Manager", "DefaultEnvironment"))
    rc, out, _err = run(["systemctl", "show-environment"])
    for line in out.splitlines() if rc == 0 else []:
        name, sign, value = line.partition("=")
        if sign:
            found[name] = (value, found[name][1] if name in found and found[name][0] == value else MANAGER)
    return found, rc == 0


def effective(root: Root, given: Found, part: Dict[str, Any]) -> Found:
    """Return variable to value and source of a rank's or router's process.

    :param given: what C(manager) returned.
    :param part: the rank or router of the plan. Its environment file wins over what units and the manager say, files that drop-ins
        name win over it: systemd reads them later.
    """
    drop_ins = units._drop_ins(root, str(part.get("unit")))
    planned = {name: (str(value), PLAN) for name, value in (part.get("environment") or {}).items()}
    return {**given, **_of_files(root, drop_ins, "Service", "Environment"), **planned, **_given(root, drop_ins)}
