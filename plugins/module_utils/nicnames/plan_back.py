# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back: to the names and files that were before the first run."""

from __future__ import annotations

from typing import Dict, List

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import linkfile, plan_names, record, references
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.plan_files import Files, Move, ours, undone_mtu
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.plan_names import Names
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Plan, Seen


def names(seen: Seen) -> Names:
    """Return all ports of the record with their former names."""
    return Names(plan_names.going_back(seen.nics, record.nics(seen.record)))


def restore(seen: Seen, back: Names, files: Files, plan: Plan) -> None:
    """Give all files back what they held.

    A file that is as it was written gets its former content, byte for byte; one that was changed since loses the new names only.
    """
    known = record.files(seen.record)
    moves: List[Move] = []
    others: Dict[str, bytes] = {}
    for path, content in sorted(files.now.items()):
        entry = known.get(path)
        if entry is not None and record.untouched(entry, content) and entry["path"]:
            moves.append(Move(path, entry["path"], record.content(entry)))
        elif (entry is not None and not entry["path"]) or (entry is None and ours(path, content)):
            if entry is not None and not record.untouched(entry, content):
                plan.notes.append(f"{path} was changed since it was written. It goes all the same, since it was not there before")
            moves.append(Move(path, path, None))
        else:
            others[path] = content
    replaced = {path: undone_mtu(path, content, known.get(path)) for path, content in others.items()}
    mapping = back.in_files()
    for path, content in replaced.items():
        if files.fixed(path):
            continue
        done = references.rewrite(path, content, mapping)
        files.references.extend(done.unclear)
        if (done.path, done.content) != (path, files.now[path]):
            moves.append(Move(path, done.path, done.content))
    files.move(moves)
    for path, entry in record.removed(seen.record).items():
        if path in files.now:
            plan.notes.append(f"{path} was removed by an earlier run, and another file is there now; that one stays")
        else:
            files.restore(path, record.content(entry), int(entry["mode"]))
    plan.notes += [f"{port.spoken} ({port.key}) is not there; files call it {port.after} again" for port in back.ports if not port.here]
    lasting = [path for path in files.now if path.endswith(".link") and linkfile.own(files.now[path])]
    plan.faults += [f"{path} would go on giving a name. Fix: remove it" for path in lasting]
