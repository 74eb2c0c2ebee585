# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What would restart when one plan takes the place of another, and what changed in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import reading
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views.reading import Plan

ADDED, REMOVED, MOVED, RESTARTED = "added", "removed", "moved", "restarted"
Key = tuple[str, str]


@dataclass(frozen=True)
class Change:
    """What happens to one instance or router.

    :ivar kind: ADDED, REMOVED, MOVED (to other hosts, so stopped there and started here) or RESTARTED.
    :ivar what: C(instance) or C(router).
    :ivar details: what changed, in words.
    """

    kind: str
    what: str
    cluster: str
    name: str
    details: tuple[str, ...] = ()


def comparable(old: Mapping[str, Any], new: Plan) -> bool:
    """Whether two plans have the same structure, and the older one all of it: it may have been cut or edited."""
    if old.get("schema") != new["schema"]:
        return False
    try:
        text(changes(old, new))
    except (AttributeError, LookupError, TypeError, ValueError):
        return False
    return True


def _values(kind: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    lines = []
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            before, after = (reading.word(side[name]) if name in side else "not set" for side in (old, new))
            lines.append(f"{kind} {name}: {before or 'set'} -> {after or 'set'}")
    return lines


def _files(rows: list[dict[str, Any]]) -> dict[str, str]:
    return {row["path"]: row["sha256"][:12] for row in rows}


def _process(
    old: Mapping[str, Any], new: Mapping[str, Any], old_arguments: Mapping[str, str], new_arguments: Mapping[str, str],
) -> list[str]:
    lines = [f"{name}: {old[name]} -> {new[name]}" for name in ("host", "stack") if old[name] != new[name]]
    lines += _values("argument", old_arguments, new_arguments)
    lines += _values("environment", old["environment"], new["environment"])
    return lines + _values("file", _files(old["files"]), _files(new["files"]))


def _instance(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what changed, each once with the ranks that it concerns."""
    lines: dict[str, list[str]] = {}
    before, after = ([row["host"] for row in side["ranks"]] for side in (old, new))
    if len(before) != len(after):
        lines[f"hosts: {reading.some(before)} -> {reading.some(after)}"] = []
    pairs = list(zip(old["ranks"], new["ranks"]))
    for left, right in pairs:
        for line in _process(left, right, reading.arguments(left), reading.arguments(right)):
            lines.setdefault(line, []).append(str(right["rank"]))
    return tuple(
        f"{line} (rank {', '.join(numbers)})" if numbers and len(numbers) < len(pairs) else line for line, numbers in lines.items()
    )


def _router(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    before, after = ({name: " ".join(words) for name, words in reading.options(side["argv"]).items()} for side in (old, new))
    return tuple(_process(old, new, before, after))


def _instances(plan: Mapping[str, Any]) -> dict[Key, dict[str, Any]]:
    return {(row["cluster"], row["name"]): row for row in plan["instances"]}


def _routers(old: Mapping[str, Any], new: Plan) -> list[Change]:
    """Routers have no name but their host's; one that left and one that came in a cluster are one that moved."""
    before, after = ({(row["cluster"], row["host"]): row for row in side["routers"]} for side in (old, new))
    gone, came = [key for key in before if key not in after], [key for key in after if key not in before]
    found = []
    for left in list(gone):
        right = next((key for key in came if key[0] == left[0]), None)
        if right is not None:
            gone.remove(left)
            came.remove(right)
            found.append(Change(MOVED, "router", *right, _router(before[left], after[right])))
    found += [Change(REMOVED, "router", *key) for key in gone] + [Change(ADDED, "router", *key) for key in came]
    for key, row in after.items():
        if key in before and before[key]["digest"] != row["digest"]:
            found.append(Change(RESTARTED, "router", *key, _router(before[key], row)))
    return found


def changes(old: Mapping[str, Any], new: Plan) -> list[Change]:
    """Return what one plan changes in the cluster that another one made. Instances that stay as they are have no entry."""
    before, after = _instances(old), _instances(new)
    found = [Change(REMOVED, "instance", *key) for key in before if key not in after]
    for key, row in after.items():
        if key not in before:
            found.append(Change(ADDED, "instance", *key, (f"hosts: {reading.some([rank['host'] for rank in row['ranks']])}",)))
        elif {rank["host"] for rank in row["ranks"]} != {rank["host"] for rank in before[key]["ranks"]}:
            found.append(Change(MOVED, "instance", *key, _instance(before[key], row)))
        elif row["digest"] != before[key]["digest"]:
            found.append(Change(RESTARTED, "instance", *key, _instance(before[key], row)))
    return found + _routers(old, new)


def text(found: list[Change]) -> str:
    """Return the changes in words, one block each."""
    if not found:
        return "Nothing would restart.\n"
    lines = []
    for change in found:
        verb = "would be " + change.kind if change.kind != RESTARTED else "would restart"
        name = f"router on {change.name}" if change.what == "router" else change.name
        lines += [f"{name} (cluster {change.cluster}) {verb}", *(f"  {detail}" for detail in change.details)]
    return "\n".join(lines) + "\n"
