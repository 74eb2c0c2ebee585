# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole plan for a host: from what is wanted, what is there and what was there before to steps, pure of any effect."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Sequence, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning import bridging, classes, files, modules, sysctls
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.steps import Part, Record, Seen, Step
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.tree import above, unfinished
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.wanted import PORTS, Port, Wanted

VERSION = 1
PARTS = ("sysctl", "ports", "modules", "bridges", "classes")
#: What the service managers have to be told, kept in the record until they were: an interrupted run is finished by the next one.
SYSTEMD, UDEV = "systemd", "udev"
#: Kinds of steps that change what is on the disk.
STORED = ("file", "link")


@dataclass
class Plan:
    """What to do.

    :ivar steps: in their order.
    :ivar during: the record to be kept before the first step.
    :ivar final: the record to be kept after the last one; empty where nothing is left to be remembered.
    :ivar faults: why nothing must be changed.
    :ivar consent: why nothing must be changed without consent.
    :ivar notes: what the operator should know.
    :ivar reload: who has to read files again.
    :ivar empty: directories that go when they are empty.
    """

    steps: List[Step] = field(default_factory=list)
    during: Record = field(default_factory=dict)
    final: Record = field(default_factory=dict)
    faults: List[str] = field(default_factory=list)
    consent: List[str] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)
    reload: List[str] = field(default_factory=list)
    empty: List[str] = field(default_factory=list)
    changed: bool = False

    def actions(self) -> List[str]:
        """Return what is done, a sentence each."""
        sides = [[step.text() for step in self.steps if (step.kind in STORED) == stored] for stored in (True, False)]
        found = [*sides[0], *(f"let {name} read its files again" for name in self.reload), *sides[1]]
        return found or (["forget what was before"] if self.changed else [])


def _file_steps(wanted: Dict[str, bytes], seen: Seen, plan: Plan) -> List[Step]:
    """Return the changes of files and links. A file that is somebody else's stays; where its name is needed, that is a fault."""
    own = {path: content for path, content in seen.files.items() if files.marked(content)}
    for path in sorted(set(wanted) & ({*seen.alien, *seen.files} - set(own))):
        plan.faults.append(f"{path} is there and is not this collection's. Fix: move what it holds to a file of another name")
    steps = []
    for path in sorted({*own, *wanted}):
        before, after = own.get(path), wanted.get(path)
        if before != after:
            steps.append(Step("file", path, (before or b"").decode("utf-8", "replace"), (after or b"").decode(), after))
    target = f"{files.UNITS}/{files.QOS}" if f"{files.UNITS}/{files.QOS}" in wanted else ""
    link = seen.links.get(files.QOS_LINK, "")
    if files.QOS_LINK in seen.alien or link not in ("", *files.QOS_TARGETS):
        plan.faults += [f"{files.QOS_LINK} is there and is not this collection's. Fix: move it away"] if target else []
    elif link != target:
        steps.append(Step("link", files.QOS_LINK, link, target))
    steps += [Step("file", path) for path in seen.leftovers]
    return steps


def _commands(wanted: Wanted, seen: Seen) -> Dict[Port, List[str]]:
    """Return the shell commands that set each port at each boot."""
    found: Dict[Port, List[str]] = {}
    for rail in wanted.rails:
        lines = []
        if wanted.bridging:
            lines = ["run " + " ".join(argv) for argv in bridging.commands(wanted, seen.bridges[rail.netdev].tool, rail.netdev)]
        lines += classes.commands(wanted, seen, rail)
        if lines:
            found[rail] = lines
    return found


def _directories(steps: Sequence[Step], seen: Seen, record: Record, remembers: bool) -> Tuple[List[str], List[str]]:
    """Return the directories that are ours, those that are about to be made among them, and those that may go.

    :param remembers: whether there is a record afterwards.
    """
    ours = set(record.get("directories", []))
    needed = {*seen.files, *seen.links}
    needed |= {step.what for step in steps if step.after}
    needed -= {step.what for step in steps if not step.after}
    needed |= {files.STATE} if remembers else set()
    held = above(path for path in needed if path.startswith("/"))
    ours |= {path for path in held if path not in seen.directories and path.startswith(("/etc/", "/var/lib/"))}
    begun = not record and unfinished(files.STATE) in seen.leftovers
    ours |= {files.STATE_DIRECTORY} if begun or seen.forgetting or files.STATE_DIRECTORY not in seen.directories else set()
    return sorted(ours), sorted(ours - held, key=len, reverse=True)


def _reload(steps: Sequence[Step], wanted: Wanted, seen: Seen, record: Record) -> List[str]:
    found = set(record.get("reload", []))
    changed = [step.what for step in steps if step.kind in STORED]
    if any(path.startswith("/etc/systemd/") for path in changed):
        found.add(SYSTEMD)
    if wanted.default_memlock and seen.default_memlock != wanted.default_memlock:
        found.add(SYSTEMD)
    if files.UDEV in changed:
        found.add(UDEV)
    return sorted(found)


def _remembered(parts: Dict[str, Any], directories: List[str]) -> Record:
    """Return a record without what is empty; one that holds nothing is empty."""
    found = {name: value for name, value in parts.items() if value}
    return dict(found, version=VERSION, directories=directories) if found else {}


def build(wanted: Wanted, seen: Seen, record: Record) -> Plan:
    """Return what makes a host what is wanted.

    :param record: what was before, from an earlier run.
    """
    plan = Plan()
    settings, values = sysctls.plan(wanted, seen, record.get("sysctl", {}))
    reserved, listed = sysctls.plan_ports(wanted, seen, record.get("ports", {}))
    parts: Dict[str, Part] = {
        "sysctl": settings,
        "ports": reserved,
        "modules": modules.plan(wanted, seen, record.get("modules", [])),
        "bridges": bridging.plan(wanted, seen, record.get("bridges", {})),
        "classes": classes.plan(wanted, seen, record.get("classes", {})),
    }
    for part in parts.values():
        plan.faults += part.faults
        plan.notes += part.notes
    text = dict(values, **({PORTS: listed} if listed else {}))
    held = files.files(wanted, text, wanted.modules, _commands(wanted, seen))
    steps = _file_steps(held, seen, plan)
    plan.notes += sysctls.overridden(text, wanted.least, seen.sysctl_files)
    plan.reload = _reload(steps, wanted, seen, record)
    loads, unloads = ([step for step in parts["modules"].steps if step.kind == kind] for kind in ("load", "unload"))
    live = [*settings.steps, *reserved.steps, *loads, *parts["bridges"].steps, *parts["classes"].steps, *unloads]
    plan.steps = steps + live
    if seen.serving:
        names = ", ".join(seen.serving)
        plan.consent = [f"{step.disrupts} while {names} runs" for step in live if step.disrupts]
    finals = {**{name: parts[name].final for name in PARTS}, "files": sorted(held)}
    directories, plan.empty = _directories(steps, seen, record, any(finals.values()))
    during = {name: parts[name].during for name in PARTS}
    plan.during = _remembered(dict(during, reload=plan.reload, files=sorted(held)), directories)
    kept = [path for path in directories if path not in plan.empty]
    plan.final = _remembered(finals, kept)
    plan.changed = bool(plan.steps or plan.reload or plan.final != record or seen.forgetting)
    return plan
