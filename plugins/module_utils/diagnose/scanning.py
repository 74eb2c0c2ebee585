# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scanning: streams of lines in, hits out. What it holds at a time is one block and the kinds of lines that it has seen."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import blocks, clock
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.catalogue import OTHER, Match
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.origin import (
    COLOUR,
    Origin,
    foreign,
    named,
    of_file,
    of_line,
    take_apart,
)
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.redaction import PAYLOAD, redacted, without_payload
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.reduction import Prefilter
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.sources import BROKEN, EXPORT, JSON, Source

# How far back the time of a line without one is looked for, in lines.
BACK = 200
TAIL = 65536
# Of lines that are not looked at one by one the last so many are tried, and so many combinations of literals are remembered.
LAST, PLANS = 16, 4096
# Host, program and process as a system log writes them, and how many of them are followed.
SENDER = re.compile(rb" [A-Za-z0-9._-]+ [^\s:\[]+\[\d+\]: ")
WAITING = 32
# Owners of hits that are no faults.
MARKS = ("marker:", "fact:")
# Longer values are cut.
VALUE = 200
# What a traceback begins with, how its parts are joined, how its last line begins, how far that is looked for, and for how many of a block.
TRACEBACK = "Traceback (most recent call last)"
JOINED = ("During handling of the above", "The above exception was")
EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?:: |:?$)")
BELOW, TRACED = 2000, 8
# Of a watch whose owner matters little so many hits at most are looked at one by one.
LIGHT = 5


@dataclass(frozen=True)
class Watch:
    """What is looked for.

    :ivar owner: what it belongs to.
    :ivar most: hits in one block that are looked at one by one; the others are counted, the last one is looked at.
    :ivar reach: bytes of the line that are looked at behind the literal.
    """

    owner: str
    match: Match
    most: int = 60
    reach: int = blocks.BEHIND


@dataclass(frozen=True)
class Hit:
    """One line in which something was found.

    :ivar seconds: since 1970, None where the log has no times.
    :ivar number: of the line in its log.
    :ivar weight: lines that it stands for.
    :ivar ends: where a traceback begins here, the number and the text of the line that ends it: the exception.
    """

    owner: str
    origin: Origin
    number: int
    text: str
    groups: dict[str, str]
    seconds: float | None = None
    weight: int = 1
    ends: tuple[int, str] | None = None


@dataclass
class Span:
    """What a log covers."""

    origin: Origin
    lines: int = 0
    bytes: int = 0
    first: float | None = None
    last: float | None = None
    problem: str = ""


@dataclass
class _State:
    """What is known while one log is read.

    :ivar shift: seconds by which its local time is ahead of UTC, once a line has shown it.
    :ivar near: a time for stamps without a year.
    :ivar payload: whether the block before ended within a line of what clients wrote.
    """

    base: Origin
    near: float
    span: Span
    shift: float | None = None
    last: float | None = None
    sample: bool = False
    payload: bool = False
    waiting: dict[tuple[str, int], bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class _Plan:
    """What lines that may hold the same literals are looked at for.

    :ivar pairs: a literal and the position of its watch.
    :ivar light: whether only the first lines and the last one of a block matter to all of the watches.
    """

    pairs: tuple[tuple[str, int], ...]
    numbers: frozenset[int]
    light: bool


class Scanner:
    """Looks for all watches at once.

    :ivar progress: called with the bytes of lines that were read, now and then.
    :ivar followed: of hits that matter only as the last words of a process, file and line number to the lines that it wrote after them,
        where a log of several processes tells them apart.
    """

    def __init__(
        self, watches: Sequence[Watch], progress: Callable[[int], None] | None = None, last_words: frozenset[str] = frozenset()
    ) -> None:
        self.followed: dict[tuple[str, int], int] = {}
        self._last_words = last_words
        self.watches = list(watches)
        self.progress = progress
        self.read = 0
        literals = sorted({literal for watch in self.watches for literal in watch.match.literals})
        places = {literal: number for number, literal in enumerate(literals)}
        self._literals = literals
        self._by_literal: list[list[int]] = [[] for _literal in literals]
        for number, watch in enumerate(self.watches):
            for literal in watch.match.literals:
                self._by_literal[places[literal]].append(number)
        self._plans: dict[tuple[int, ...], _Plan] = {}
        self._filter = Prefilter([literal.encode() for literal in literals])
        # Of logs that write no zone: as others showed it.
        self._shift: float | None = None

    def scan(self, source: Source) -> Iterator[Hit | Span]:
        """Yield every hit of a log, and last what it covers."""
        base = of_file(source.name)
        span = Span(base)
        state = _State(base, source.modified or time.time(), span)
        number = 1
        parts = blocks.blocks(source.stream, source.form)
        while True:
            try:
                part = next(parts, None)
            except BROKEN as error:
                span.problem = f"cut off: {error}"
                break
            if part is None:
                break
            data, more = part
            if not state.sample:
                self._sample(data, source.form, state)
            count, hot = self._filter.scan(data)
            for place, token in state.waiting.items():
                self.followed[place] += data.count(token)
            if hot:
                if state.payload:
                    hot = [pair for pair in hot if pair[0] > 0]
                yield from self._hits(data, hot, number, source.form, state)
            self._unended(data, more, state)
            self._tail(data, source.form, state)
            number += count + more
            span.lines = number - 1
            span.bytes += len(data) + 1
            self.read += len(data) + 1
            if self.progress is not None:
                self.progress(self.read)
        span.origin = state.base
        yield span

    @staticmethod
    def _unended(data: bytes, more: int, state: _State) -> None:
        """Note whether the next block begins within a request of a client that is longer than a block."""
        if more >= 0:
            state.payload = False
            return
        last = data.rfind(b"\n") + 1
        inside = state.payload and last == 0
        state.payload = inside or PAYLOAD.search(data[last : last + blocks.BEHIND].decode("utf-8", "replace")) is not None

    def _sample(self, data: bytes, form: str, state: _State) -> None:
        """Learn from the first lines whose log it is and when it begins."""
        state.sample = True
        lines = data[:TAIL].split(b"\n")
        for index in range(min(len(lines), BACK)):
            origin, _text, seconds = self._take(lines, index, form, state, exact=True)
            if origin.host and not state.base.host:
                state.base = replace(state.base, host=origin.host)
            if seconds is not None and state.span.first is None:
                state.span.first = seconds
            if state.base.host and state.span.first is not None:
                return

    def _tail(self, data: bytes, form: str, state: _State) -> None:
        """Remember the last time of a block."""
        lines = data[-TAIL:].split(b"\n")
        for index in range(len(lines) - 1, max(-1, len(lines) - BACK), -1):
            _origin, _text, seconds = self._take(lines, index, form, state, exact=True)
            if seconds is not None:
                state.last = state.span.last = seconds
                return

    def _take(self, lines: list[bytes], index: int, form: str, state: _State, exact: bool = False) -> tuple[Origin, str, float | None]:
        """Return whose line it is, its text without colours, and its time.

        :param exact: leave the time open where the line itself has none.
        """
        raw = lines[index]
        fields = None
        if form == JSON:
            fields = blocks.of_json(raw)
        elif form == EXPORT:
            fields, _begin = blocks.of_export(lines, index)
        if fields is not None and (fields.seconds is not None or fields.host):
            line = take_apart(fields.text)
            if fields.kernel:
                return Origin(state.base.file, fields.host, "kernel", "kernel"), line.text, fields.seconds
            origin = Origin(state.base.file, fields.host or state.base.host, fields.unit)
            if foreign(fields.unit, line.text):
                return replace(origin, process=OTHER), line.text, fields.seconds
            origin = named(origin, fields.unit)
            if not origin.process:
                origin = replace(state.base, host=origin.host, unit=fields.unit)
            return origin, line.text, fields.seconds
        text = fields.text if fields is not None else raw[: blocks.BEHIND].decode("utf-8", "replace")
        line = take_apart(text)
        seconds = self._seconds(line.stamp, line.inner, state)
        if seconds is None and not exact:
            seconds = self._back(lines, index, form, state)
        return of_line(state.base, line), line.text, seconds

    def _seconds(self, stamp: clock.Stamp | None, inner: clock.Stamp | None, state: _State) -> float | None:
        if stamp is None:
            return None
        stamp = clock.with_year(stamp, state.last or state.near)
        if not stamp.dated:
            return None
        if stamp.zoned:
            if inner is not None and inner.dated and not inner.zoned:
                shift = round((inner.seconds - stamp.seconds) / 900) * 900.0
                state.shift = self._shift = shift
            return stamp.seconds
        ahead = state.shift if state.shift is not None else self._shift
        return stamp.seconds - (ahead or 0.0)

    def _back(self, lines: list[bytes], index: int, form: str, state: _State) -> float | None:
        """Return the time of the nearest line before one without a time."""
        for before in range(index - 1, max(-1, index - BACK), -1):
            _origin, _text, seconds = self._take(lines, before, form, state, exact=True)
            if seconds is not None:
                return seconds
        return state.last

    def _wait(self, lines: list[bytes], index: int, number: int, state: _State) -> None:
        """Count from now on what the same process writes."""
        found = SENDER.search(lines[index][:BACK])
        if found is None or len(state.waiting) >= WAITING:
            return
        place = (state.base.file, number)
        state.waiting[place] = found[0]
        self.followed[place] = sum(found[0] in line for line in lines[index + 1 :])

    def _plan(self, places: tuple[int, ...]) -> _Plan:
        """Return what to do with a line that may hold some literals."""
        plan = self._plans.get(places)
        if plan is None:
            pairs = tuple((self._literals[place], number) for place in places for number in self._by_literal[place])
            numbers = frozenset(number for _literal, number in pairs)
            plan = _Plan(pairs, numbers, all(self.watches[number].most <= LIGHT for number in numbers))
            if len(self._plans) < PLANS:
                self._plans[places] = plan
        return plan

    def _hits(self, data: bytes, hot: list[tuple[int, tuple[int, ...]]], first: int, form: str, state: _State) -> Iterator[Hit]:
        lines = data.split(b"\n")
        found: dict[int, int] = {}
        # Lines that are not looked at one by one, by what they may hold.
        rest: dict[frozenset[int], list[int]] = {}
        full: set[int] = set()
        traced = 0
        for index, places in hot:
            plan = self._plans.get(places) or self._plan(places)
            if plan.light and plan.numbers <= full:
                rest.setdefault(plan.numbers, []).append(index)
                continue
            clean, taken = self._clean(lines[index], form), None
            done: set[int] = set()
            for literal, number in plan.pairs:
                at = -1 if number in done else clean.find(literal)
                if at < 0:
                    continue
                if number in full:
                    done.add(number)
                    rest.setdefault(frozenset((number,)), []).append(index)
                    continue
                watch = self.watches[number]
                match = watch.match.search(self._around(clean, at, watch.reach))
                if match is None:
                    continue
                done.add(number)
                found[number] = found.get(number, 0) + 1
                if found[number] >= watch.most:
                    full.add(number)
                taken = taken or self._take(lines, index, form, state)
                if watch.owner in self._last_words:
                    self._wait(lines, index, first + index, state)
                hit = self._hit(watch, match, taken, first + index, 1)
                if TRACEBACK in clean and traced < TRACED and not watch.owner.startswith(MARKS):
                    traced += 1
                    hit = replace(hit, ends=self._ending(lines, index, first, form))
                yield hit
        later: dict[int, list[list[int]]] = {}
        for numbers, indexes in rest.items():
            for number in numbers:
                later.setdefault(number, []).append(indexes)
        for number, several in later.items():
            # Of the many the last one stands for all.
            watch = self.watches[number]
            for index in sorted((index for indexes in several for index in indexes[-LAST:]), reverse=True)[:LAST]:
                clean = self._clean(lines[index], form)
                at = max(clean.find(literal) for literal in watch.match.literals)
                match = watch.match.search(self._around(clean, max(0, at), watch.reach))
                if match is not None:
                    yield self._hit(watch, match, self._take(lines, index, form, state), first + index, sum(map(len, several)))
                    break

    def _ending(self, lines: list[bytes], index: int, first: int, form: str) -> tuple[int, str] | None:
        """Return the line that ends a traceback, with its number: it names the exception; of several that were chained the last."""
        sender = SENDER.search(lines[index][:BACK])
        found: tuple[int, str] | None = None
        joined = True
        for at in range(index + 1, min(len(lines), index + BELOW)):
            raw = lines[at]
            if form == EXPORT and not raw.startswith(b"MESSAGE="):
                continue
            other = SENDER.search(raw[:BACK])
            if sender is not None and other is not None and other[0] != sender[0]:
                # Another process writes into the same log.
                continue
            text = take_apart(self._clean(raw[: blocks.BEHIND], form).removeprefix("MESSAGE=")).text
            if text.startswith(JOINED) or TRACEBACK in text:
                joined = True
            elif text.strip() and text[0] not in " \t":
                if EXCEPTION.match(text) and joined:
                    found, joined = (first + at, redacted(without_payload(text[: VALUE * 3])).rstrip()), False
                else:
                    break
        return found

    @staticmethod
    def _clean(raw: bytes, form: str) -> str:
        """Return a line as text without colours; of JSON its message."""
        if form == JSON:
            fields = blocks.of_json(raw)
            if fields is not None:
                return without_payload(COLOUR.sub("", fields.text))
        text = raw.decode("utf-8", "replace")
        return without_payload(COLOUR.sub("", text) if "\x1b" in text else text)

    @staticmethod
    def _around(clean: str, at: int, reach: int) -> str:
        if len(clean) <= blocks.BEFORE + reach:
            return clean
        begin = max(0, at - blocks.BEFORE)
        return clean[begin : begin + blocks.BEFORE + reach]

    @staticmethod
    def _hit(watch: Watch, found: re.Match[str], taken: tuple[Origin, str, float | None], number: int, weight: int) -> Hit:
        most = VALUE if watch.reach <= blocks.BEHIND else watch.reach
        groups = {name: value.strip()[:most] for name, value in found.groupdict().items() if value}
        if watch.reach <= blocks.BEHIND:
            groups = {name: redacted(value) for name, value in groups.items()}
        origin, text, seconds = taken
        # Cut first, so that a long line costs little, but with room enough that no secret is cut in two.
        shown = redacted(without_payload(text[: VALUE * 6]))[: VALUE * 3].rstrip()
        return Hit(watch.owner, origin, number, shown, groups, seconds, weight)
