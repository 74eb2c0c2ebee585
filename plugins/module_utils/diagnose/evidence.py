# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hits kept in bounded memory: of each signature and process how often, when, and some of the lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.origin import Origin
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.scanning import Hit

# Moments and lines that are kept of one signature and process, values of one group, and tallies in all.
MOMENTS, LINES, VALUES, TALLIES = 400, 24, 8, 4000
ROOMS = 20000
# Lines of one log that count as one moment where some slack is given.
SLACK_LINES = 400


@dataclass(frozen=True)
class Moment:
    """When something happened: a time where there is one, and the place in its log.

    :ivar weight: hits that it stands for.
    :ivar peer: address, name or URL of the other side, or the device, where the line names it.
    """

    seconds: float | None
    file: str
    number: int
    weight: int = 1
    peer: str = ""

    def beside(self, other: Moment, slack: float) -> bool:
        """Return whether both stand in one log, close to each other."""
        if self.file != other.file:
            return False
        if self.seconds is None or other.seconds is None:
            return abs(self.number - other.number) <= SLACK_LINES
        return abs(self.seconds - other.seconds) <= slack

    def before(self, other: Moment, slack: float = 0.0) -> bool | None:
        """Return whether it was before another one, or at the same time; None where that cannot be told."""
        if self.seconds is None or other.seconds is None:
            # The line that names a cause often stands below the one that says that there is a traceback.
            return self.number <= other.number + (SLACK_LINES if slack else 0) if self.file == other.file else None
        if self.file == other.file and self.seconds == other.seconds and not slack:
            return self.number <= other.number
        return self.seconds <= other.seconds + slack


def _peer(groups: Mapping[str, str]) -> str:
    return groups.get("peer") or groups.get("url") or groups.get("device", "")


def moment(hit: Hit) -> Moment:
    """Return when a hit was."""
    return Moment(hit.seconds, hit.origin.file, hit.number, hit.weight, _peer(hit.groups))


@dataclass
class Tally:
    """What is known of one signature or marker in one process."""

    owner: str
    origin: Origin
    count: int = 0
    moments: list[Moment] = field(default_factory=list)
    lines: list[Hit] = field(default_factory=list)
    values: dict[str, list[str]] = field(default_factory=dict)

    def add(self, hit: Hit) -> None:
        """Count a hit; of many, every second one is forgotten in between, never the first nor the last."""
        self.count += hit.weight
        self.moments.append(moment(hit))
        if len(self.moments) > MOMENTS:
            self.moments = [self.moments[0], *self._halved(self.moments[1:-1]), self.moments[-1]]
        if len(self.lines) < LINES:
            self.lines.append(hit)
        else:
            # The first third stays; of the others the latest.
            del self.lines[LINES // 3]
            self.lines.append(hit)
        for name, value in hit.groups.items():
            known = self.values.setdefault(name, [])
            if value not in known and len(known) < VALUES:
                known.append(value)

    @staticmethod
    def _halved(moments: list[Moment]) -> list[Moment]:
        halved = []
        for index in range(0, len(moments), 2):
            pair = moments[index : index + 2]
            first = pair[0]
            halved.append(replace(first, weight=sum(item.weight for item in pair)))
        return halved


@dataclass
class Evidence:
    """All tallies, and which requests were seen in which process.

    :ivar dropped: hits that were counted nowhere, because there were too many different ones.
    """

    tallies: dict[tuple[str, Origin], Tally] = field(default_factory=dict)
    rooms: dict[str, set[tuple[str, Origin]]] = field(default_factory=dict)
    dropped: int = 0

    def add(self, hit: Hit) -> None:
        """Take in one hit."""
        key = (hit.owner, hit.origin)
        tally = self.tallies.get(key)
        if tally is None:
            if len(self.tallies) >= TALLIES:
                self.dropped += hit.weight
                return
            tally = self.tallies[key] = Tally(hit.owner, hit.origin)
        tally.add(hit)
        room = hit.groups.get("room")
        if room and (room in self.rooms or len(self.rooms) < ROOMS):
            self.rooms.setdefault(room, set()).add(key)

    def of(self, owner: str) -> list[Tally]:
        """Return the tallies of one owner."""
        return [tally for (name, _origin), tally in self.tallies.items() if name == owner]

    def moments(self, owners: Iterable[str], origin: Origin | None = None, host: str = "") -> list[Moment]:
        """Return when any of some owners was hit, in order where there are times.

        :param origin: in this process only.
        :param host: on this host only.
        """
        found = [
            item
            for owner in owners
            for tally in self.of(owner)
            if (origin is None or tally.origin == origin) and (not host or tally.origin.host == host)
            for item in tally.moments
        ]
        return sorted(found, key=lambda item: (item.seconds is None, item.seconds or 0.0, item.file, item.number))
