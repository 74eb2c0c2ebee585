# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From hits to findings: what of it counts, where it was first, whose fault it is."""

from __future__ import annotations

import bisect
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import foreign
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.catalogue import (
    BLOCKS,
    NOTE,
    ROUTER,
    SEVERITIES,
    Catalogue,
    Signature,
    filled,
)
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.cluster import Cluster
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.derived import Derived
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.evidence import Evidence, Moment, Tally, moment
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.origin import Origin
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.scanning import Hit, Span

# A stop lasts until the unit is stopped or the process starts again, and what it leaves behind some seconds longer. Where the log holds
# neither, so many seconds, which is more than engine_stop_timeout, or lines of a log without times.
TAIL, DRAIN, DRAIN_LINES = 5.0, 720.0, 2000
# Seconds by which the clock of a peer may be ahead.
AHEAD = 5.0
# Lines that may follow what is the last thing that a log says.
LAST_LINES = 5
SHOWN = 3
# What came back so many times comes and goes.
FLAPS = 3
# Seconds before the end of the logs in which what was served says that it still is.
RECENT = 120.0
STARTED, STOPPING, STOPPED, SERVED, UNANSWERED = "started", "stopping", "stopped", "served", "unanswered"


def marker(name: str) -> str:
    """Return the owner of a marker's hits."""
    return f"marker:{name}"


@dataclass
class Place:
    """One process in which a finding shows.

    :ivar origin: with what its arguments tell of its role.
    :ivar first: when it began, of what counts.
    """

    origin: Origin
    count: int
    first: Moment
    last: Moment
    lines: list[Hit]
    values: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class Finding:
    """One signature that was found.

    :ivar severity: the signature's, or V(note) where it turned out to be less.
    :ivar note: why it is less.
    :ivar places: in the order of their first occurrence.
    :ivar guilty_host: empty where it is not a host, or not known which.
    :ivar guilty: in words.
    :ivar parent: id of the finding that it follows from.
    :ivar relation: V(known) where the signature says so, V(probable) where it is the time and the place.
    """

    signature: Signature
    severity: str
    places: list[Place]
    note: str = ""
    guilty: str = ""
    guilty_host: str = ""
    parent: str = ""
    relation: str = ""
    groups: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Return the id of its signature."""
        return self.signature.id

    @property
    def head(self) -> Place:
        """Return where it was first."""
        return self.places[0]

    @property
    def first(self) -> Moment:
        """Return when it was first."""
        return self.places[0].first

    @property
    def host(self) -> str:
        """Return the host on which it was first, empty where the logs do not say."""
        return self.head.origin.host

    def text(self, key: str) -> str:
        """Return title, cause or fix with the values that were found."""
        return filled(str(getattr(self.signature, key)), self.groups)


class _Marks:
    """When markers were, to be looked up: by their times, and by their lines within each log."""

    def __init__(self, moments: Sequence[Moment]) -> None:
        self._times = sorted(item.seconds for item in moments if item.seconds is not None)
        self._lines: dict[str, list[int]] = {}
        for item in moments:
            self._lines.setdefault(item.file, []).append(item.number)
        for numbers in self._lines.values():
            numbers.sort()

    def at(self, seconds: float, inclusive: bool = False) -> tuple[float | None, float | None]:
        """Return the last one before a time and the first one after it."""
        behind = bisect.bisect_right(self._times, seconds)
        last = behind if inclusive else bisect.bisect_left(self._times, seconds)
        return self._times[last - 1] if last else None, self._times[behind] if behind < len(self._times) else None

    def around(self, file: str, number: int) -> tuple[int | None, int | None]:
        """Return the lines of the last one before a line of a log and of the first one behind it."""
        numbers = self._lines.get(file, [])
        behind = bisect.bisect_right(numbers, number)
        return numbers[behind - 1] if behind else None, numbers[behind] if behind < len(numbers) else None


@dataclass
class _Stops:
    """When a process was being stopped: from when to when, and in logs without times from which line to which."""

    times: list[tuple[float, float]] = field(default_factory=list)
    lines: dict[str, list[tuple[int, int]]] = field(default_factory=dict)


class Judge:
    """Turns evidence into findings.

    :ivar spans: what each log covers, by file.
    :ivar begins: of hosts since when their logs are whole.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        evidence: Evidence,
        cluster: Cluster,
        spans: Sequence[Span],
        followed: Mapping[tuple[str, int], int] | None = None,
        *,
        begins: Mapping[str, float] | None = None,
    ) -> None:
        self._followed = followed or {}
        self.begins = begins or {}
        self.catalogue, self.evidence, self.cluster = catalogue, evidence, cluster
        self.spans: Mapping[str, Span] = {span.origin.file: span for span in spans}
        self._started = _Marks(evidence.moments([marker(STARTED)]))
        self._good: dict[tuple[str, ...], _Marks] = {}
        self._stopping: dict[tuple[tuple[str, ...], Origin], _Stops] = {}

    def findings(self, derived: Sequence[Derived]) -> list[Finding]:
        """Return all findings, in no order."""
        found: dict[str, Finding] = {}
        for signature in self.catalogue.signatures.values():
            places, cleared = self._places(signature)
            if not places:
                continue
            count = max(place.count for place in places)
            severity, note = signature.severity, cleared
            if not note and count < signature.at_least:
                note = f"{count} of at least {signature.at_least} times"
            if not note and signature.share:
                note = self._seldom(signature, places)
            if note:
                severity = NOTE
            found[signature.id] = Finding(signature, severity, places, note)
        for item in derived:
            self._derived(found, item)
        for finding in found.values():
            finding.places.sort(
                key=lambda place: (place.first.seconds is None, place.first.seconds or 0.0, place.origin.file, place.first.number)
            )
            self._describe(finding)
            past = self._past(finding) or self._earlier(finding) if finding.severity != NOTE and not finding.signature.derived else ""
            if past:
                finding.severity, finding.note = NOTE, past
        return list(found.values())

    def _seldom(self, signature: Signature, places: Sequence[Place]) -> str:
        """Return why a symptom is one of single requests: many more were served since it began, or around the only one that failed."""
        failed = sum(place.count for place in places)
        first = min((place.first for place in places), key=lambda item: (item.seconds is None, item.seconds or 0.0, item.number))
        served = self.evidence.of(marker(SERVED))
        # Of one request the router, prefill and decode say that it was served.
        routed = [tally for tally in served if tally.origin.process == ROUTER]
        good = [item for tally in routed or served for item in tally.moments]
        after = sum(item.weight for item in good if first.before(item) is True)
        if failed == 1:
            after = sum(item.weight for item in good)
        if after * signature.share < failed * 100:
            return ""
        return f"{failed} request{'s' if failed > 1 else ''}, while {after} were served"

    def _places(self, signature: Signature) -> tuple[list[Place], str]:
        """Return where a signature counts; where it counts nowhere but was seen, the places and why."""
        counted, cleared = [], []
        why = ""
        for tally in self.evidence.of(signature.id):
            left, reason = self._counting(signature, tally)
            if left:
                counted.append(self._place(tally, left))
            elif reason != "not last":
                cleared.append(self._place(tally, tally.moments))
                why = reason
        return (counted, "") if counted else (cleared, why)

    def _place(self, tally: Tally, moments: list[Moment]) -> Place:
        numbers = {(item.file, item.number) for item in moments}
        lines = [line for line in tally.lines if (line.origin.file, line.number) in numbers] or tally.lines
        return Place(
            self.cluster.named(tally.origin),
            sum(item.weight for item in moments),
            moments[0],
            moments[-1],
            lines[:SHOWN],
            dict(tally.values),
        )

    def _counting(self, signature: Signature, tally: Tally) -> tuple[list[Moment], str]:
        """Return the hits that count, and why the last of the others does not."""
        moments = sorted(tally.moments, key=lambda item: (item.seconds is None, item.seconds or 0.0, item.number))
        why = ""
        if signature.only_if and not self._holds(signature.only_if, tally):
            return [], {"several-hosts": "its instance is on one host", "named-device": "nobody named the device"}[signature.only_if]
        if signature.quiet_after:
            left = [item for item in moments if not self._noise(item, signature.quiet_after, tally.origin)]
            why = "while it was being stopped" if len(left) < len(moments) else why
            moments = left
        if signature.undone_by:
            left = self._standing(moments, signature.undone_by, tally.origin)
            why = "it came back" if len(left) < len(moments) else why
            moments = left
        if signature.in_a_row:
            left = self._in_a_row(moments, signature)
            why = "not in a row, or requests were served after it" if len(left) < len(moments) else why
            moments = left
        if signature.cleared_by:
            good = self._good.get(signature.cleared_by)
            if good is None:
                good = self._good[signature.cleared_by] = _Marks(self.evidence.moments([marker(name) for name in signature.cleared_by]))
            silent = signature.then_silence
            left = [item for item in moments if not self._starting(item, good) or (silent and self._unanswered(item, tally.origin, silent))]
            why = "before everything was up, and not again" if len(left) < len(moments) else why
            moments = left
        if signature.then_silence and moments and not self._last(moments[-1], signature.then_silence):
            return [], "not last"
        return moments, why

    def _holds(self, condition: str, tally: Tally) -> bool:
        """Return whether a condition of a signature holds for a process; it does where its arguments are not known."""
        engine = self.cluster.engines.get(tally.origin)
        if engine is None or not engine.arguments:
            return True
        if condition == "several-hosts":
            return engine.value("nnodes") not in ("", "1")
        named = engine.value("disaggregation_ib_device")
        if named.endswith(".json") or "device" not in tally.values:
            return True
        return any(device in re.findall(r"[\w.-]+", named) for device in tally.values["device"])

    def _standing(self, moments: Sequence[Moment], names: Sequence[str], origin: Origin) -> list[Moment]:
        """Return the moments after which nothing says that it is over, and those of what comes and goes."""
        ends = self.evidence.moments([marker(name) for name in names], host=origin.host)
        often = {name for name, count in Counter(item.peer for item in moments).items() if count >= FLAPS}
        return [
            item
            for item in moments
            if item.peer in often or not any(mark.peer == item.peer and item.before(mark) is True and mark != item for mark in ends)
        ]

    def _in_a_row(self, moments: Sequence[Moment], signature: Signature) -> list[Moment]:
        """Return the moments that are in a row with enough others for the same peer and have not ended before requests were served."""
        rows: dict[str, list[list[Moment]]] = {}
        for item in moments:
            mine = rows.setdefault(item.peer, [])
            last = mine[-1][-1] if mine else None
            near = last is not None and (
                last.seconds is None or item.seconds is None or item.seconds - last.seconds <= signature.in_a_row * max(1, last.weight)
            )
            if near:
                mine[-1].append(item)
            else:
                mine.append([item])
        good = _Marks(self.evidence.moments([marker(SERVED)]))
        left: list[Moment] = []
        for mine in rows.values():
            for row in mine:
                end, span = row[-1], self.spans.get(row[-1].file)
                over = (
                    end.seconds is not None
                    and span is not None
                    and span.last is not None
                    and span.last - end.seconds > signature.in_a_row
                    and good.at(end.seconds)[1] is not None
                )
                if sum(item.weight for item in row) >= signature.at_least and not over:
                    left += row
        return sorted(left, key=lambda item: (item.seconds is None, item.seconds or 0.0, item.number))

    def _unanswered(self, item: Moment, origin: Origin, seconds: float) -> bool:
        """Return whether a router does not reach the instance of a silent process later on, although it serves others."""
        if item.seconds is None:
            return False
        mine = self.cluster.named(origin)
        for mark in self.evidence.moments([marker(UNANSWERED)]):
            if mark.seconds is None or mark.seconds < item.seconds + seconds:
                continue
            engine = self.cluster.at(mark.peer)
            other = self.cluster.named(engine.origin) if engine is not None else None
            if other is not None and (other == mine or (other.instance and other.instance == mine.instance)):
                return True
        return False

    def _near(self, names: Sequence[str], origin: Origin) -> list[Moment]:
        """Return markers of the same process; what systemd says of it stands in another program's lines."""
        owners = [marker(name) for name in names]
        own = self.evidence.moments(owners, origin)
        if origin.host:
            return own + [item for item in self.evidence.moments(owners, host=origin.host) if item.file == origin.file]
        return own + [item for item in self.evidence.moments(owners) if item.file == origin.file]

    def _noise(self, item: Moment, names: tuple[str, ...], origin: Origin) -> bool:
        """Return whether something happened while its process was being stopped, or that of the peer that it names."""
        if any(begin <= item.seconds <= end for begin, end in self._stops(names, origin).times if item.seconds is not None):
            return True
        lines = self._stops(names, origin).lines.get(item.file, ())
        if any(begin <= item.number <= end for begin, end in lines):
            return True
        peer = self.cluster.at(item.peer) if item.peer else None
        if peer is None or item.seconds is None:
            return False
        return any(begin - AHEAD <= item.seconds <= end + AHEAD for begin, end in self._stops(names, peer.origin).times)

    def _stops(self, names: tuple[str, ...], origin: Origin) -> _Stops:
        known = self._stopping.get((names, origin))
        if known is None:
            ends = _Marks(self._near((STOPPED, STARTED), origin))
            known = self._stopping[names, origin] = _Stops()
            for mark in self._near(names, origin):
                if mark.seconds is not None:
                    end = ends.at(mark.seconds)[1]
                    known.times.append((mark.seconds, mark.seconds + DRAIN if end is None else end + TAIL))
                else:
                    line = ends.around(mark.file, mark.number)[1]
                    known.lines.setdefault(mark.file, []).append((mark.number, line or mark.number + DRAIN_LINES))
        return known

    def _starting(self, item: Moment, good: _Marks) -> bool:
        """Return whether a hit is one of a start that came to a good end: no good marker between the start and it, one after it."""
        before: float | None
        after: float | None
        begun: float | None
        if item.seconds is None:
            before, after = good.around(item.file, item.number)
            begun = self._started.around(item.file, item.number)[0]
        else:
            before, after = good.at(item.seconds)
            begun = self._started.at(item.seconds, inclusive=True)[0]
            # Within one second the order of lines decides.
            after = after or good.around(item.file, item.number)[1]
        return after is not None and (before is None or (begun is not None and before < begun))

    def _last(self, item: Moment, silence: int) -> bool:
        span = self.spans.get(item.file)
        if span is None:
            return False
        after = span.lines - item.number
        others = [other for other in self.spans.values() if other is not span]
        if after > LAST_LINES:
            # A log of several processes: this one may be silent while others go on in it.
            after = self._followed.get((item.file, item.number), after)
            others.append(span)
        if after > LAST_LINES:
            return False
        if not others or item.seconds is None:
            return True
        return any(other.last is not None and other.last - item.seconds >= silence for other in others)

    def _derived(self, found: dict[str, Finding], item: Derived) -> None:
        signature = self.catalogue.signatures.get(item.id)
        if signature is None:
            return
        hits = list(item.hits)
        if hits:
            first = moment(hits[0])
        else:
            span = self.spans.get(item.origin.file)
            first = Moment(span.first if span else None, item.origin.file, 1)
        values = {name: [value] for name, value in item.groups.items()}
        place = Place(self.cluster.named(item.origin), 1, first, first, hits[:SHOWN], values)
        finding = found.get(item.id)
        severity, note = self._despite(item.served or signature.served, signature, hits) if hits else self._still(signature, item.origin)
        if finding is None or SEVERITIES.index(finding.severity) > SEVERITIES.index(severity):
            found[item.id] = Finding(signature, severity, [place], note)
        elif SEVERITIES.index(finding.severity) < SEVERITIES.index(severity):
            return
        else:
            # What the comparison knows is more than what a line says.
            same = [other for other in finding.places if other.origin == place.origin]
            for other in same:
                finding.places.remove(other)
                place.lines = [*place.lines, *other.lines][:SHOWN]
            finding.places.append(place)

    def _despite(self, served: str, signature: Signature, hits: Sequence[Hit]) -> tuple[str, str]:
        """Return the severity of what was found by comparing, and why it is less: requests were served after all of it had started."""
        last = max((hit.seconds for hit in hits if hit.seconds is not None), default=None)
        if served and last is not None and any((item.seconds or 0.0) > last for item in self.evidence.moments([marker(SERVED)])):
            return served, "requests were served all the same"
        return signature.severity, ""

    def _still(self, signature: Signature, origin: Origin) -> tuple[str, str]:
        """Return the severity of what is so now on a host, and why it is less: requests were served there until the end of the logs."""
        end = max((span.last for span in self.spans.values() if span.last is not None), default=0.0)
        served = self.evidence.moments([marker(SERVED)], host=origin.host)
        if signature.served and any(item.seconds is not None and item.seconds > end - RECENT for item in served):
            return signature.served, "requests were served all the same"
        return signature.severity, ""

    def _describe(self, finding: Finding) -> None:
        groups: dict[str, str] = {}
        for place in finding.places:
            for name, values in place.values.items():
                groups.setdefault(name, values[0])
        if "garbage" in groups:
            decoded = foreign.decode(groups["garbage"])
            groups["garbage_text"], groups["garbage_protocol"] = decoded.text, decoded.protocol
        finding.groups = groups
        finding.guilty, finding.guilty_host = self._guilty(finding)

    def _guilty(self, finding: Finding) -> tuple[str, str]:
        side, origin = finding.signature.guilty, finding.head.origin
        if side == "peer":
            for name in ("peer", "url"):
                if name in finding.groups:
                    engine = self.cluster.at(finding.groups[name])
                    if engine is not None:
                        peer = self.cluster.named(engine.origin)
                        return peer.label, peer.host
                    return finding.groups[name], ""
            return f"a peer of {origin.label}", ""
        if side == "router":
            if origin.process == ROUTER:
                return origin.label, origin.host
            routers = {self.cluster.named(router.origin) for router in self.cluster.routers.values()}
            if len(routers) == 1:
                only = next(iter(routers))
                return only.label, only.host
            return "the router", ""
        if side in ("this", "host"):
            return (origin.label if side == "this" else origin.host or origin.label), origin.host
        return {"client": "a client", "network": "the network", "installer": "the installation"}[side], ""

    def _past(self, finding: Finding) -> str:
        """Return why a finding is over: its host, or that of its peer, was restarted by hand since, and requests were served after that."""
        last = [place.last for place in finding.places]
        hosts = dict.fromkeys((finding.host, finding.guilty_host if finding.signature.guilty == "peer" else finding.host))
        for host in hosts:
            stops = [mark for mark in self.evidence.moments([marker(STOPPING)], host=host) if all(item.before(mark) for item in last)]
            starts = [mark for mark in self.evidence.moments([marker(STARTED)], host=host) if stops and stops[0].before(mark)]
            if any(starts[0].before(mark) for mark in self.evidence.moments([marker(SERVED)]) if starts):
                return "not since a restart by hand, after which requests were served"
        return ""

    def _earlier(self, finding: Finding) -> str:
        """Return why a finding is of no matter now: it was before the time that was asked for, and whose fault it was has served since."""
        if finding.severity != BLOCKS and not finding.signature.passing:
            return ""
        for place in finding.places:
            begin, last = self.begins.get(place.origin.host), place.last.seconds
            if begin is None or last is None or last >= begin:
                return ""
            if not all(self._served(origin, last) for origin in self._concerned(finding.signature, place)):
                return ""
        return "not in the time that was asked for, and requests were served after it"

    def _concerned(self, signature: Signature, place: Place) -> list[Origin]:
        """Return the processes that a place is about: its own, or the peers that its lines name."""
        if signature.guilty != "peer":
            return [place.origin]
        named = [name for key in ("peer", "url") for name in place.values.get(key, [])]
        peers = [engine.origin for name in named if (engine := self.cluster.at(name)) is not None]
        # Of a peer without a log nothing is known.
        return peers if len(peers) == len(named) and peers else [place.origin, Origin("", "")]

    def _served(self, origin: Origin, since: float) -> bool:
        """Return whether a process, or another one of its instance, has served requests after a time."""
        own = self.cluster.named(origin)
        for tally in self.evidence.of(marker(SERVED)):
            other = self.cluster.named(tally.origin)
            same = other == own or (own.instance and other.instance == own.instance)
            if same and any(item.seconds is not None and item.seconds > since for item in tally.moments):
                return True
        return False
