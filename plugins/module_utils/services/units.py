# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd units: what one is doing, and what has to be done to it."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from typing import Callable, Dict, List, Sequence, Tuple

Runner = Callable[[List[str]], Tuple[int, str, str]]
DIRECTORY = "/etc/systemd/system"
MARK = re.compile(r"^# railyard\.sglang: unit of cluster (?P<cluster>\S+), role (?P<role>\S+)$", re.MULTILINE)


class UnitError(Exception):
    """A systemctl command failed; the text says which and why."""


@dataclass(frozen=True)
class Unit:
    """State of a unit.

    :ivar active: systemd's ActiveState.
    :ivar stale: whether the unit's file is newer than what systemd has read.
    :ivar running_id: identity that its main process was started with, empty when unknown or not running.
    """

    name: str
    load: str
    active: str
    sub: str
    enabled: bool
    main_pid: int
    restarts: int
    stale: bool = False
    running_id: str = ""

    @property
    def up(self) -> bool:
        """Whether a main process is there."""
        return self.active in ("active", "reloading") and self.main_pid > 0


def runtime_directory(name: str) -> str:
    """Return where a unit leaves the identity that its processes were started with; it lives as long as they do."""
    return "railyard/" + name.rsplit(".", 1)[0]


def _running_id(name: str) -> str:
    try:
        with open(f"/run/{runtime_directory(name)}/config-id", encoding="utf-8") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def parse_show(text: str) -> Dict[str, str]:
    """Return the properties of a C(systemctl show) output."""
    rows = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name: value for name, _separator, value in rows}


def show(run: Runner, name: str) -> Unit:
    """Return the state of a unit; one that does not exist has load state C(not-found)."""
    names = "LoadState,ActiveState,SubState,UnitFileState,MainPID,NRestarts,NeedDaemonReload"
    rc, out, err = run(["systemctl", "show", "--property", names, name])
    if rc != 0:
        raise UnitError(f"systemctl show {name}: {err.strip()}")
    values = parse_show(out)
    pid = int(values.get("MainPID") or 0)
    return Unit(
        name=name,
        load=values.get("LoadState", ""),
        active=values.get("ActiveState", ""),
        sub=values.get("SubState", ""),
        enabled=values.get("UnitFileState", "") == "enabled",
        main_pid=pid,
        restarts=int(values.get("NRestarts") or 0),
        stale=values.get("NeedDaemonReload", "") == "yes",
        running_id=_running_id(name),
    )


def drop_in(name: str) -> str:
    """Return the drop-in by which a unit records, at each start, what it starts with.

    Hashing at the start, not at the writing, makes the record true even when a file was edited by hand in between. The environment of
    the process would not do: programs that set their title (setproctitle) overwrite it.
    """
    directory = runtime_directory(name)
    return (
        "# Managed by railyard.sglang. Records what the unit starts with: the next run of site.yml restarts what differs.\n"
        f"[Service]\nRuntimeDirectory={directory}\n"
        f"ExecStartPre=+/bin/sh {recorder_path(name)} /run/{directory}/config-id\n"
    )


def recorder_path(name: str, directory: str = DIRECTORY) -> str:
    """Return where the script of C(recorder) lies."""
    return f"{directory}/{name}.d/railyard-record.sh"


def recorder(exact: Sequence[str], commented: Sequence[str], links: Sequence[str]) -> str:
    """Return the script that writes the digest of C(filesets.identity) into the file that is its argument.

    :param exact: files of which every byte counts.
    :param commented: files whose comment lines do not count; they come first.
    """
    lines = ["# Managed by railyard.sglang. Records what a unit starts with, see 50-railyard.conf beside it.", "{"]
    lines += [f"  printf '%s %s\\n' \"$(sed '/^#/d' {path} | sha256sum)\" {path}" for path in map(shlex.quote, commented)]
    lines += [f"  printf '%s %s\\n' \"$(sha256sum < {path})\" {path}" for path in map(shlex.quote, exact)]
    lines += [f"  readlink -f {shlex.quote(link)}" for link in links]
    return "\n".join([*lines, '} | sha256sum | cut -c 1-16 > "$1"', ""])


def decide(unit: Unit, wanted_id: str, changed: bool) -> Tuple[str, str]:
    """Return what to do with a unit (V(none), V(start) or V(restart)) and why.

    :param changed: whether a file that it reads at start differs on the host. A unit that systemd is about to start again reads it then.
    """
    if unit.active in ("inactive", "failed", "") or unit.load == "not-found":
        return "start", f"it is {unit.active or 'not there'}"
    if unit.active == "deactivating":
        return "start", "it is stopping"
    if unit.up and unit.running_id != wanted_id:
        return "restart", f"it runs configuration {unit.running_id or 'unknown'}, wanted is {wanted_id}"
    if not unit.up and changed:
        return "restart", f"it is {unit.active} and would start with another configuration than its instance"
    return "none", ""


def marked(cluster: str, directory: str = DIRECTORY) -> Dict[str, str]:
    """Return the units that this collection installed for a cluster on this host, each with its text."""
    found = marked_by_anyone(directory)
    marks = {name: MARK.search(text) for name, text in found.items()}
    return {name: found[name] for name, mark in marks.items() if mark and mark.group("cluster") == cluster}


def marked_by_anyone(directory: str = DIRECTORY) -> Dict[str, str]:
    """Return the units that this collection installed on this host, whatever the cluster, each with its text."""
    found = {}
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
        path = os.path.join(directory, name)
        if not name.endswith(".service") or not os.path.isfile(path):
            continue
        with open(path, encoding="utf-8", errors="replace") as stream:
            text = stream.read()
        if MARK.search(text):
            found[name] = text
    return found


def own_directory(text: str) -> str:
    """Return the directory below /etc/sglang that a unit's environment file is in, or an empty text."""
    place = re.search(r"^EnvironmentFile=(/etc/sglang/[a-z0-9][a-z0-9-]*)/[^/\s]+$", text, re.MULTILINE)
    return place.group(1) if place else ""


def systemctl(run: Runner, *words: str) -> None:
    """Run one systemctl command.

    :raises UnitError: it failed.
    """
    rc, out, err = run(["systemctl", *words])
    if rc != 0:
        raise UnitError(f"systemctl {' '.join(words)} failed ({rc}): {(err or out).strip()}")
