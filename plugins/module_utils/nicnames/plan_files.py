# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a host as they would be, and what the record keeps of how they were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import (
    ifcfg,
    keyfile,
    linkfile,
    ownprofile,
    rdmarules,
    record,
    references,
)
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.look_profiles import SCRIPTS, is_profile
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.record import Entry
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import FileChange, Record, Reference, Seen

NEW_MODE, SECRET_MODE = 0o644, 0o600
PRIVATE = (record.PATH, "/etc/NetworkManager/", "/run/NetworkManager/", SCRIPTS.replace("ifcfg-", "keys-"), SCRIPTS)


@dataclass(frozen=True)
class Move:
    """A file that gets another content, another path, or goes.

    :ivar content: None where it goes.
    """

    before: str
    after: str
    content: Optional[bytes]


def secret(path: str) -> bool:
    """Whether a file may hold what must not be shown."""
    return path.startswith(PRIVATE)


def ours(path: str, content: bytes) -> bool:
    """Whether a file is one that this collection alone writes."""
    return (path.endswith(".link") and linkfile.own(content)) or (path == rdmarules.PATH and rdmarules.own(content))


class Files:
    """The files, changed step by step.

    :ivar now: path to content.
    :ivar faults: what is in the way.
    :ivar references: what names an interface and is not rewritten.
    :ivar mtus: path to the MTU that was put into it.
    """

    def __init__(self, seen: Seen):
        self._seen = seen
        self.now: Dict[str, bytes] = {path: content for path, content in seen.files.items() if path != record.PATH}
        self._origin: Dict[str, str] = {path: path for path in self.now}
        self.faults: List[str] = []
        self.references: List[Reference] = []
        self.mtus: Dict[str, str] = {}
        self._modes: Dict[str, int] = {}

    def fixed(self, path: str) -> bool:
        """Whether a file must not be written."""
        return path in self._seen.shadowed

    def put(self, path: str, content: bytes) -> None:
        """Write a file."""
        self.now[path] = content

    def origin(self, path: str) -> str:
        """Return where a file is today, empty where it is new."""
        return self._origin.get(path, "")

    def restore(self, path: str, content: bytes, mode: int) -> None:
        """Write a file that was there once."""
        self.now[path] = content
        self._modes[path] = mode

    def drop(self, path: str) -> None:
        """Remove a file."""
        self.now.pop(path, None)
        self._origin.pop(path, None)

    def move(self, moves: List[Move]) -> None:
        """Change files all at once: two may change places."""
        leaving = {move.before for move in moves}
        origins = {move.before: self._origin.get(move.before, "") for move in moves}
        taken = {path: path for path in self.now if path not in leaving}
        for move in moves:
            self.drop(move.before)
        for move in moves:
            if move.content is None:
                continue
            if move.after in taken:
                other = "there" if taken[move.after] == move.after else f"what {taken[move.after]} becomes"
                self.faults.append(f"{move.before} would become {move.after}, which is {other}. Fix: remove or rename one of the two files")
                continue
            taken[move.after] = move.before
            self.now[move.after] = move.content
            self._origin[move.after] = origins[move.before]

    def rewrite(self, names: Mapping[str, str]) -> None:
        """Give interfaces other names in all files, but those that are written anew anyway."""
        moves = []
        for path, content in sorted(self.now.items()):
            if ours(path, content):
                continue
            done = references.rewrite(path, content, names)
            same = (done.path, done.content) == (path, content)
            if self.fixed(path) and not same:
                self._blocked(path, content, names)
                continue
            self.references.extend(done.unclear)
            if not same:
                moves.append(Move(path, done.path, self._kept(path, done.path, done.content)))
        self.move(moves)

    def _kept(self, path: str, after: str, content: bytes) -> bytes:
        """Return a file with its profile's UUID: NetworkManager makes one of the file's path where the file has none, so a profile whose
        file gets another name would be another profile, and the active one would end."""
        if after == path or not is_profile(path):
            return content
        script = path.startswith(SCRIPTS)
        known = [profile.uuid for profile in self._seen.profiles if profile.path == path and profile.uuid]
        if not known or (ifcfg.get(content, "UUID") if script else keyfile.get(content, "connection", "uuid")):
            return content
        return ifcfg.put(content, "UUID", known[0]) if script else keyfile.put(content, "connection", "uuid", known[0])

    def _blocked(self, path: str, content: bytes, names: Mapping[str, str]) -> None:
        """Tell of a file that would have to be rewritten and must not be."""
        # Which name such files give to a NIC is looked at by itself.
        if path.endswith((".link", ".rules")) or ownprofile.generated(content):
            return
        named = [old for old in names if references.rewrite(path, content, {old: names[old]}).content != content]
        if is_profile(path) and references.shadowed(path):
            self.faults.append(
                f"the profile {path} names {', '.join(named)} and is not below /etc, so it cannot be rewritten. "
                "Fix: let NetworkManager save it (nmcli connection modify NAME connection.autoconnect yes), or remove it"
            )
        else:
            self.references.extend(Reference(path, 0, name, "the file is a link to another one, which is not rewritten") for name in named)

    def changes(self) -> List[FileChange]:
        """Return what would be written and removed, by path."""
        before = {path: content for path, content in self._seen.files.items() if path != record.PATH}
        found = []
        for path in sorted({*before, *self.now}):
            old, new = before.get(path), self.now.get(path)
            if old == new:
                continue
            like = self._origin.get(path, "") if new is not None else ""
            usual = self._modes.get(path, SECRET_MODE if secret(path) else NEW_MODE)
            mode = self._seen.modes.get(like or path, usual)
            found.append(FileChange(path, old, new, mode, like, secret(path)))
        return found

    def _was(self, path: str, known: Optional[Entry], back: Mapping[str, str]) -> Entry:
        """Return how a file was before the first run.

        :param known: what the record says of it.
        :param back: names of today to those of before the first run.
        """
        content = self._seen.files[path]
        if known is not None and (not known["path"] or record.untouched(known, content)):
            return {name: known[name] for name in ("path", "content", "mode")}
        if ours(path, content):
            return {"path": "", "content": "", "mode": 0}
        done = references.rewrite(path, undone_mtu(path, content, known), back)
        return {"path": done.path, "content": record.packed(done.content), "mode": self._seen.modes.get(path, NEW_MODE)}

    def kept(self, before: Record) -> Tuple[Dict[str, Entry], Dict[str, Entry]]:
        """Return what the record keeps of the files that were written, and of those that were removed."""
        back = record.back(before)
        known, gone = record.files(before), record.removed(before)
        written: Dict[str, Entry] = {}
        for path, content in self.now.items():
            origin = self._origin.get(path, "")
            entry = known.get(origin) if origin else None
            if origin == path and content == self._seen.files[path]:
                if entry is not None:
                    written[path] = entry
                continue
            was: Entry = self._was(origin, entry, back) if origin else {"path": "", "content": "", "mode": 0}
            mtu = self.mtus.get(path, (entry or {}).get("mtu"))
            written[path] = {**was, "sha256": record.digest(content), "mtu": mtu}
        moved = set(self._origin.values())
        for path in self._seen.files:
            if path != record.PATH and path not in moved:
                left = self._was(path, known.get(path), back)
                if left["path"]:
                    gone[left["path"]] = {"content": left["content"], "mode": left["mode"]}
        return written, gone


def undone_mtu(path: str, content: bytes, known: Optional[Entry]) -> bytes:
    """Return a profile with the MTU that it had before one was put in; another one than that stays."""
    if known is None or not known.get("mtu") or not is_profile(path) or ownprofile.mtu(path, content) != known["mtu"]:
        return content
    return ownprofile.with_mtu(path, content, ownprofile.mtu(known["path"], record.content(known)))
