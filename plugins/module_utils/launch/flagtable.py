# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Option tables of the real argument parsers, as tools/flag_table.py writes them from the packages themselves."""

from __future__ import annotations

import difflib
import functools
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DATA = os.path.join(os.path.dirname(__file__), "data")
ENGINE = "sglang"
DISTRIBUTIONS = (ENGINE, "sglang-router", "smg")
TABLE = re.compile(rf"({'|'.join(DISTRIBUTIONS)})-([0-9][0-9a-z.]*)\.json")


@dataclass(frozen=True)
class Option:
    """One option of a parser.

    :ivar name: spelling used on a command line, without the leading dashes.
    :ivar dest: key in the table; the parser's own dest, except for an old spelling that sets another option's dest.
    :ivar kind: V(store), V(flag) (takes no value), V(switch) (C(--x) or C(--no-x)), V(append) (may be given several times) or
        V(other) (an action of the program's own).
    :ivar type: V(str), V(int), V(float), V(json), V(size) (a whole number, or a text such as V(64k)) or V(int-list)
        (with commas); empty for a flag.
    :ivar nargs: argparse's nargs, empty when the option takes one value.
    :ivar plain: an action of argparse's own, store or store_true.
    :ivar default: what the parser sets when the option is not given.
    :ivar deprecated: what the program names instead, V(no replacement) where it names none; empty for an option in good standing.
    :ivar deprecated_choices: deprecated value -> the one to write instead.
    """

    name: str
    dest: str
    kind: str
    type: str
    nargs: str
    choices: tuple[Any, ...]
    spellings: tuple[str, ...]
    plain: bool = True
    required: bool = False
    default: Any = field(default=None, hash=False)
    minimum: int | None = None
    deprecated: str = ""
    deprecated_choices: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def fits_argument_file(self) -> bool:
        """Whether SGLang's own --config file can carry it (plain store and store_true, one value)."""
        return self.plain and (self.kind == "flag" or (self.kind == "store" and not self.nargs and self.type != "json"))

    @property
    def ignored(self) -> bool:
        """Whether the program takes the option and does nothing with it."""
        return bool(self.deprecated) and self.kind == "other" and not self.nargs and not self.choices

    @property
    def takes_list(self) -> bool:
        """Whether it takes several values."""
        return bool(self.nargs not in ("", "?") or self.kind == "append")

    def negates(self, spelling: str) -> bool:
        """Return whether a spelling of a switch is the one that turns it off."""
        return self.kind == "switch" and spelling.startswith("--no-") and "--" + spelling.removeprefix("--no-") in self.spellings


def spelled(key: str) -> str:
    """Return an operator's key as it would stand on a command line."""
    return "--" + key.lstrip("-").replace("_", "-")


class FlagTable:
    """All options of one program in one version."""

    def __init__(self, name: str, options: dict[str, Option]) -> None:
        self.name = name
        self.options = options
        self.distribution, _dash, self.version = name.rpartition("-")
        self._by_spelling = {spelling: option for option in options.values() for spelling in option.spellings}

    @property
    def label(self) -> str:
        """Distribution and version for people."""
        return f"{self.distribution} {self.version}"

    @property
    def is_engine(self) -> bool:
        """Whether it is a table of the engine, not of a router."""
        return self.distribution == ENGINE

    @property
    def defaults(self) -> dict[str, Any]:
        """What the parser sets by itself, by dest."""
        return {dest: option.default for dest, option in self.options.items()}

    def find(self, key: str) -> Option | None:
        """Return the option that an operator's key names, in any of its real spellings."""
        return self._by_spelling.get(spelled(key))

    def nearest(self, key: str) -> str:
        """Return the real option whose name is most like key, or an empty text."""
        known = sorted(spelling.removeprefix("--") for spelling in self._by_spelling)
        found = difflib.get_close_matches(spelled(key).removeprefix("--").lower(), known, n=1, cutoff=0.5)
        return "--" + found[0] if found else ""

    def abbreviated(self, key: str) -> list[str]:
        """Return the options that key is the beginning of, one spelling for each, as argparse would look for them."""
        wanted = spelled(key)
        if wanted == "--":
            return []
        found: dict[str, str] = {}
        for spelling, option in sorted(self._by_spelling.items()):
            if spelling.startswith(wanted):
                found.setdefault(option.dest, spelling)
        return sorted(found.values())


def _option(dest: str, entry: dict[str, Any]) -> Option:
    canonical = spelled(dest)
    name = canonical if canonical in entry["options"] else entry["options"][0]
    return Option(
        name=name.lstrip("-"),
        dest=dest,
        kind=entry["kind"],
        type=entry.get("type", ""),
        nargs=str(entry.get("nargs", "")),
        choices=tuple(entry.get("choices", ())),
        spellings=tuple(entry["options"]),
        plain="action" not in entry,
        required=entry.get("required", False),
        default=entry.get("default"),
        minimum=entry.get("minimum"),
        deprecated=entry.get("deprecated", ""),
        deprecated_choices=entry.get("deprecated_choices", {}),
    )


@functools.cache
def load(name: str) -> FlagTable:
    """Read the table of one distribution and version, for example C(sglang-0.5.8).

    :raises OSError: there is no such table.
    """
    with open(os.path.join(DATA, name + ".json"), encoding="utf-8") as stream:
        data = json.load(stream)
    return FlagTable(name, {dest: _option(dest, entry) for dest, entry in data["options"].items()})


@functools.cache
def names() -> tuple[str, ...]:
    """Return the names of all tables that there are."""
    return tuple(sorted(entry.removesuffix(".json") for entry in os.listdir(DATA) if TABLE.fullmatch(entry)))


@functools.cache
def data(name: str) -> Any:
    """Read another data file."""
    with open(os.path.join(DATA, name + ".json"), encoding="utf-8") as stream:
        return json.load(stream)
