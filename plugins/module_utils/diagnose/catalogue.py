# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor's data: signatures of failures, markers of a process's life, entries of the installation guide, read from TOML and checked.

Whatever does not fit is refused with file, id and field, so that a signature that could never match is not shipped.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import tomllib

from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.reduction import reduce

DATA = os.path.join(os.path.dirname(__file__), "data")
BLOCKS, DEGRADES, NOTE = "blocks", "degrades", "note"
CAUSE, SYMPTOM = "cause", "symptom"
SEVERITIES = (BLOCKS, DEGRADES, NOTE)
ENGINE, ROUTER, KERNEL, INSTALLER, ANY = "engine", "router", "kernel", "installer", "any"
# A service of the host that has nothing to do with the cluster: signatures for any process apply to it, others do not.
OTHER = "other"
PROCESSES = (ENGINE, ROUTER, KERNEL, INSTALLER, ANY)
STAGES = ("preflight", "start", "runtime")
# What must hold of the process that a line is from: its instance is on several hosts; it was told to use the device of the line.
CONDITIONS = ("several-hosts", "named-device")
SIDES = ("this", "peer", "router", "client", "host", "network", "installer")
# What is worked out from groups, not a group itself.
COMPUTED = frozenset({"garbage_text", "garbage_protocol"})
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
ID = re.compile(r"[A-Z][0-9]{2}")
WORD = re.compile(r"[a-z][a-z0-9-]*")
# What a literal must keep after its reduction to be a filter at all.
SHORTEST = 5


def filled(text: str, groups: Mapping[str, str | None]) -> str:
    """Return a title, cause or fix with the values that a pattern has found."""
    return PLACEHOLDER.sub(lambda name: groups.get(name[1]) or "?", text)


class CatalogueError(ValueError):
    """Data that cannot be used: file, id and what is wrong."""


@dataclass(frozen=True)
class Match:
    """One way in which a signature or marker shows in a line.

    :ivar literals: a line is looked at only if it holds one of them.
    :ivar pattern: searched in the line, with colours of terminals removed.
    :ivar unless: a line that it is found in does not count.
    """

    literals: tuple[str, ...]
    pattern: re.Pattern[str]
    unless: re.Pattern[str] | None = None

    def known(self, line: str) -> bool:
        """Return whether it shows in a line."""
        return any(literal in line for literal in self.literals) and self.search(line) is not None

    def search(self, line: str) -> re.Match[str] | None:
        """Return the match in a line, or None."""
        found = self.pattern.search(line)
        return None if found is None or (self.unless is not None and self.unless.search(line)) else found


@dataclass(frozen=True)
class Probe:
    """What confirms a finding: rules of the plan or of checks, a command to run on the host, or why there is nothing."""

    rules: tuple[str, ...] = ()
    command: str = ""
    none: str = ""


@dataclass(frozen=True)
class Signature:
    """One failure and how it shows.

    :ivar kind: V(cause) names what is wrong, V(symptom) only says that something is.
    :ivar follows: ids or tags of what this is commonly a consequence of.
    :ivar guilty: the side whose fault it commonly is.
    :ivar at_least: hits per process below which it is no more than a note.
    :ivar in_a_row: seconds between two hits for the same peer beyond which they are not in a row; at_least counts those in a row alone,
        and a row that ended before requests were served is over. 0 where all hits count.
    :ivar share: percent of the requests that were served since below which it is no more than a note; 0 where every one counts.
    :ivar only_if: a condition without which it is a note.
    :ivar announces: whether the line only says that an error follows: what the same log says beside it is never its consequence.
    :ivar passing: of what degrades, whether it is over once it is not said any more; most of it is said once, at the start, and lasts.
    :ivar stays: whether no new start of the engine mends it, so that nobody needs to wait for another one.
    :ivar served: of a comparison, the severity where requests were served after all that was compared had started; empty where it stays.
    :ivar cleared_by: markers; what happens before their first occurrence since a start is how things begin, not a fault.
    :ivar quiet_after: markers of the same process after which it is the noise of a shutdown.
    :ivar undone_by: markers after which it is over where they name the same device on the same host, unless it comes back.
    :ivar then_silence: seconds of silence that must follow, 0 where none needs to.
    :ivar no_log: why nothing is logged of it.
    :ivar derived: whether code finds it, by comparing what several logs say.
    """

    id: str
    title: str
    kind: str
    stage: str
    severity: str
    processes: tuple[str, ...]
    guilty: str
    cause: str
    fix: str
    sources: tuple[str, ...]
    probe: Probe
    matches: tuple[Match, ...] = ()
    tags: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    at_least: int = 1
    cleared_by: tuple[str, ...] = ()
    quiet_after: tuple[str, ...] = ()
    undone_by: tuple[str, ...] = ()
    then_silence: int = 0
    in_a_row: int = 0
    share: int = 0
    only_if: str = ""
    announces: bool = False
    passing: bool = False
    stays: bool = False
    served: str = ""
    no_log: str = ""
    derived: bool = False

    @property
    def groups(self) -> frozenset[str]:
        """Return the names of all groups of its patterns."""
        return frozenset(name for match in self.matches for name in match.pattern.groupindex)


@dataclass(frozen=True)
class Marker:
    """One point in the life of a process: started, ready, served, stopping."""

    id: str
    processes: tuple[str, ...]
    matches: tuple[Match, ...]


@dataclass(frozen=True)
class Entry:
    """One error of the installation guide, and what finds it or refuses it."""

    id: str
    title: str
    signatures: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Catalogue:
    """All of the data, by id."""

    signatures: Mapping[str, Signature]
    markers: Mapping[str, Marker] = field(default_factory=dict)
    guide: Mapping[str, Entry] = field(default_factory=dict)


class _Table:
    """One table of TOML, of which every key must be asked for."""

    def __init__(self, where: str, table: Any) -> None:
        if not isinstance(table, dict):
            raise CatalogueError(f"{where}: not a table")
        self.where, self.left = where, dict(table)

    def fail(self, text: str) -> CatalogueError:
        return CatalogueError(f"{self.where}: {text}")

    def _take(self, key: str, kind: type, default: Any) -> Any:
        if key not in self.left:
            if default is None:
                raise self.fail(f"{key} is missing")
            return default
        value = self.left.pop(key)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.fail(f"{key} is {type(value).__name__}, not {kind.__name__}")
        return value

    def text(self, key: str, default: str | None = None, choices: tuple[str, ...] = ()) -> str:
        value: str = self._take(key, str, default)
        if value != default and not value.strip():
            raise self.fail(f"{key} is empty")
        if choices and value not in choices:
            raise self.fail(f"{key} is {value!r}, not one of {', '.join(choices)}")
        return value

    def number(self, key: str, default: int) -> int:
        value: int = self._take(key, int, default)
        if value < default:
            raise self.fail(f"{key} is {value}, less than {default}")
        return value

    def flag(self, key: str) -> bool:
        return bool(self._take(key, bool, False))

    def texts(self, key: str, default: tuple[str, ...] | None = (), choices: tuple[str, ...] = ()) -> tuple[str, ...]:
        value = self._take(key, list, None if default is None else list(default))
        if any(not isinstance(item, str) or not item.strip() for item in value):
            raise self.fail(f"{key} holds something that is no text")
        if len(set(value)) != len(value):
            raise self.fail(f"{key} names something twice")
        if default is None and not value:
            raise self.fail(f"{key} is empty")
        for item in value:
            if choices and item not in choices:
                raise self.fail(f"{key} holds {item!r}, not one of {', '.join(choices)}")
        return tuple(value)

    def tables(self, key: str) -> list[Any]:
        value: list[Any] = self._take(key, list, [])
        return value

    def table(self, key: str) -> _Table:
        return _Table(f"{self.where}, {key}", self._take(key, dict, None))

    def end(self) -> None:
        if self.left:
            raise self.fail(f"unknown: {', '.join(sorted(self.left))}")


def _compiled(table: _Table, key: str, default: str | None = None) -> re.Pattern[str] | None:
    text = table.text(key, default)
    if not text:
        return None
    try:
        return re.compile(text)
    except re.error as error:
        raise table.fail(f"{key}: {error}") from error


def _match(where: str, raw: Any) -> Match:
    table = _Table(where, raw)
    literals = table.texts("literals", None)
    for literal in literals:
        if "\n" in literal or literal != literal.strip():
            raise table.fail(f"literal {literal!r} has a line end, or begins or ends with space")
        if len(reduce(literal.encode())) < SHORTEST:
            raise table.fail(f"literal {literal!r} keeps less than {SHORTEST} characters without digits and a to f")
    pattern = _compiled(table, "pattern")
    if pattern is None:
        raise table.fail("pattern is empty")
    match = Match(literals, pattern, _compiled(table, "unless", ""))
    table.end()
    return match


def _matches(table: _Table) -> tuple[Match, ...]:
    return tuple(_match(f"{table.where}, match {number}", raw) for number, raw in enumerate(table.tables("match"), 1))


def _probe(table: _Table) -> Probe:
    probe = Probe(table.texts("rules"), table.text("command", ""), table.text("none", ""))
    table.end()
    if not (probe.rules or probe.command or probe.none):
        raise table.fail("names no rules, no command, and not why there are none")
    if probe.none and (probe.rules or probe.command):
        raise table.fail("says why there is no probe, and names one")
    return probe


def _signature(where: str, raw: Any) -> Signature:
    table = _Table(where, raw)
    signature = Signature(
        id=table.text("id"),
        title=table.text("title"),
        kind=table.text("kind", choices=(CAUSE, SYMPTOM)),
        stage=table.text("stage", choices=STAGES),
        severity=table.text("severity", choices=SEVERITIES),
        processes=table.texts("processes", None, PROCESSES),
        guilty=table.text("guilty", choices=SIDES),
        cause=table.text("cause"),
        fix=table.text("fix"),
        sources=table.texts("sources", None),
        probe=_probe(table.table("probe")),
        matches=_matches(table),
        tags=table.texts("tags"),
        follows=table.texts("follows"),
        variables=table.texts("variables"),
        at_least=table.number("at_least", 1),
        cleared_by=table.texts("cleared_by"),
        quiet_after=table.texts("quiet_after"),
        undone_by=table.texts("undone_by"),
        then_silence=table.number("then_silence", 0),
        in_a_row=table.number("in_a_row", 0),
        share=table.number("share", 0),
        only_if=table.text("only_if", "", ("", *CONDITIONS)),
        announces=table.flag("announces"),
        passing=table.flag("passing"),
        stays=table.flag("stays"),
        served=table.text("served", "", ("", *SEVERITIES)),
        no_log=table.text("no_log", ""),
        derived=table.flag("derived"),
    )
    table.end()
    if not ID.fullmatch(signature.id):
        raise table.fail(f"id {signature.id!r} is not a letter and two digits")
    if [bool(signature.matches or signature.derived), bool(signature.no_log)].count(True) != 1:
        raise table.fail("has either a match, or derived, or no_log")
    if signature.passing and signature.severity != DEGRADES:
        raise table.fail("passing is for what degrades")
    conditions = signature.only_if, signature.cleared_by, signature.quiet_after, signature.undone_by, signature.then_silence
    if signature.stays and (any(conditions) or (signature.kind, signature.severity, bool(signature.matches)) != (CAUSE, BLOCKS, True)):
        raise table.fail("stays is for causes that block, on no condition, by a line of the log")
    if signature.served and not signature.derived:
        raise table.fail("served is for what is found by comparing")
    if signature.title.endswith("."):
        raise table.fail("title ends with a full stop")
    for tag in signature.tags:
        if not WORD.fullmatch(tag):
            raise table.fail(f"tag {tag!r} is not a word in small letters")
    for key in ("title", "cause", "fix"):
        for name in PLACEHOLDER.findall(getattr(signature, key)):
            if not signature.derived and name not in signature.groups | COMPUTED:
                raise table.fail(f"{key} names {{{name}}}, which no pattern has as a group")
            if name in COMPUTED and "garbage" not in signature.groups:
                raise table.fail(f"{key} names {{{name}}}, but no pattern has a group garbage")
    return signature


def _marker(where: str, raw: Any) -> Marker:
    table = _Table(where, raw)
    marker = Marker(table.text("id"), table.texts("processes", None, PROCESSES), _matches(table))
    table.end()
    if not WORD.fullmatch(marker.id):
        raise table.fail(f"id {marker.id!r} is not a word in small letters")
    if not marker.matches:
        raise table.fail("has no match")
    return marker


def _entry(where: str, raw: Any) -> Entry:
    table = _Table(where, raw)
    entry = Entry(table.text("id"), table.text("title"), table.texts("signatures"), table.texts("rules"), table.text("note", ""))
    table.end()
    if not (entry.signatures or entry.rules):
        raise table.fail("has neither a signature nor a rule")
    return entry


READERS: dict[str, Callable[[str, Any], Any]] = {"signature": _signature, "marker": _marker, "entry": _entry}


def parse(texts: Mapping[str, str]) -> Catalogue:
    """Return the catalogue of TOML texts.

    :param texts: name of each file to its text.
    :raises CatalogueError: for whatever does not fit.
    """
    found: dict[str, dict[str, Any]] = {kind: {} for kind in READERS}
    for name, text in texts.items():
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise CatalogueError(f"{name}: {error}") from error
        for kind, rows in document.items():
            if kind not in READERS or not isinstance(rows, list):
                raise CatalogueError(f"{name}: unknown: {kind}")
            for number, row in enumerate(rows, 1):
                label = row.get("id", f"number {number}") if isinstance(row, dict) else f"number {number}"
                item = READERS[kind](f"{name}, {kind} {label}", row)
                if item.id in found[kind]:
                    raise CatalogueError(f"{name}, {kind} {item.id}: the id is taken")
                found[kind][item.id] = item
    catalogue = Catalogue(found["signature"], found["marker"], found["entry"])
    _linked(catalogue)
    return catalogue


def _linked(catalogue: Catalogue) -> None:
    """Refuse names of what does not exist."""
    known = set(catalogue.signatures) | {tag for signature in catalogue.signatures.values() for tag in signature.tags}
    for signature in catalogue.signatures.values():
        for key in signature.follows:
            if key not in known or key == signature.id:
                raise CatalogueError(f"signature {signature.id}: follows {key!r}, which is no other signature and no tag")
        for key in signature.cleared_by + signature.quiet_after + signature.undone_by:
            if key not in catalogue.markers:
                raise CatalogueError(f"signature {signature.id}: names {key!r}, which is no marker")
    for entry in catalogue.guide.values():
        for key in entry.signatures:
            if key not in catalogue.signatures:
                raise CatalogueError(f"entry {entry.id}: names signature {key!r}, which does not exist")


def load(directory: str = DATA) -> Catalogue:
    """Return the catalogue of a directory: C(signatures/*.toml) and C(guide.toml).

    :raises CatalogueError: for whatever does not fit.
    :raises OSError: where a file cannot be read.
    """
    below = os.path.join(directory, "signatures")
    paths = [os.path.join(below, name) for name in sorted(os.listdir(below)) if name.endswith(".toml")]
    guide = os.path.join(directory, "guide.toml")
    if os.path.exists(guide):
        paths.append(guide)
    texts = {}
    for path in paths:
        with open(path, encoding="utf-8") as stream:
            texts[os.path.relpath(path, directory)] = stream.read()
    return parse(texts)
