# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Option tables of the real argument parsers, and the check of an operator's arguments against them.

The tables are written by tools/flag_table.py from the packages themselves.
"""

from __future__ import annotations

import difflib
import functools
import json
import os
from dataclasses import dataclass
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings

DATA = os.path.join(os.path.dirname(__file__), "data")


@dataclass(frozen=True)
class Option:
    """One option of a parser.

    :ivar name: spelling used on a command line, without the leading dashes.
    :ivar kind: V(store), V(flag) (takes no value) or V(other) (an action of the program's own).
    :ivar type: V(str), V(int), V(float) or V(json); empty for a flag.
    :ivar nargs: argparse's nargs, empty when the option takes one value.
    """

    name: str
    dest: str
    kind: str
    type: str
    nargs: str
    choices: tuple[Any, ...]
    spellings: tuple[str, ...]

    @property
    def fits_argument_file(self) -> bool:
        """Whether SGLang's own --config file can carry it (plain store and store_true, one value)."""
        return self.kind == "flag" or (self.kind == "store" and not self.nargs and self.type != "json")


class FlagTable:
    """All options of one program in one version."""

    def __init__(self, name: str, options: dict[str, Option]) -> None:
        self.name = name
        self.options = options
        self._by_spelling = {spelling: option for option in options.values() for spelling in option.spellings}

    def find(self, key: str) -> Option | None:
        """Return the option that an operator's key names, in any of its real spellings."""
        return self._by_spelling.get("--" + key.lstrip("-").replace("_", "-"))

    def nearest(self, key: str) -> str:
        """Return the real option whose name is most like key, or an empty text."""
        wanted = "--" + key.lstrip("-").replace("_", "-")
        found = difflib.get_close_matches(wanted, sorted(self._by_spelling), n=1, cutoff=0.5)
        return found[0] if found else ""


def _option(dest: str, entry: dict[str, Any]) -> Option:
    canonical = "--" + dest.replace("_", "-")
    name = canonical if canonical in entry["options"] else entry["options"][0]
    return Option(
        name=name.lstrip("-"),
        dest=dest,
        kind=entry["kind"],
        type=entry.get("type", ""),
        nargs=str(entry.get("nargs", "")),
        choices=tuple(entry.get("choices", ())),
        spellings=tuple(entry["options"]),
    )


@functools.cache
def load(name: str) -> FlagTable:
    """Read the table of one distribution and version, for example C(sglang-0.5.8).

    :raises OSError: there is no such table.
    """
    with open(os.path.join(DATA, name + ".json"), encoding="utf-8") as stream:
        data = json.load(stream)
    return FlagTable(name, {dest: _option(dest, entry) for dest, entry in data["options"].items()})


def _typed(option: Option, value: Any) -> str:
    """Return what is wrong with one value of an option, or an empty text."""
    if option.choices and value not in option.choices:
        return f"{value!r} is not one of {', '.join(map(str, option.choices))}"
    if option.type == "int" and (isinstance(value, bool) or not isinstance(value, int)):
        return f"{value!r} is not a whole number"
    if option.type == "float" and (isinstance(value, bool) or not isinstance(value, (int, float))):
        return f"{value!r} is not a number"
    if option.type == "str" and isinstance(value, bool):
        return f"{value!r} is a boolean where the option takes a text: quote it"
    return ""


def _problem(option: Option, value: Any) -> str:
    if option.kind == "flag":
        return "" if isinstance(value, bool) else f"{value!r} given, but the option takes no value: write true or false"
    if option.type == "json" or isinstance(value, dict):
        return "" if option.type in ("json", "str") else f"a map given where a {option.type} is taken"
    if isinstance(value, list):
        if not option.nargs:
            return f"a list of {len(value)} given, but the option takes one value"
        return next((text for text in (_typed(option, item) for item in value) if text), "")
    return _typed(option, value)


def resolve(table: FlagTable, arguments: dict[str, Any], variable: str, findings: Findings) -> dict[str, Any]:
    """Return arguments keyed by dest, each checked against the table.

    :param arguments: an operator's map by flag name, with or without dashes; null takes an earlier value back.
    :param variable: what to call the map in a finding.
    """
    resolved: dict[str, Any] = {}
    for key, value in arguments.items():
        option = table.find(str(key))
        if option is None:
            near = table.nearest(str(key))
            findings.add(
                "argument.unknown", f"{variable}.{key}", f"{table.name} has no option --{str(key).lstrip('-')}",
                f"the nearest real option is {near}" if near else "remove it",
            )
            continue
        if option.kind == "other" and not option.nargs:
            text = f"{table.name} ignores --{option.name}, which is deprecated"
            findings.add("argument.deprecated", f"{variable}.{key}", text, "remove it")
            continue
        if option.dest in resolved:
            findings.add("argument.twice", f"{variable}.{key}", f"--{option.name} is given twice under two spellings", "keep one")
        if value is not None:
            text = _problem(option, value)
            if text:
                findings.add("argument.value", f"{variable}.{key}", text, f"see the options of {table.name}")
                continue
        resolved[option.dest] = value
    return resolved


def words(option: Option, value: Any) -> list[str]:
    """Return the command line words of one option and its value; a flag that is false has none."""
    if option.kind == "flag":
        return ["--" + option.name] if value else []
    if isinstance(value, list) and option.nargs:
        return ["--" + option.name, *map(str, value)]
    structured = isinstance(value, (dict, list, bool))
    text = json.dumps(value, sort_keys=True, separators=(",", ":")) if structured else str(value)
    # argparse takes a word that begins with a dash for another option.
    return [f"--{option.name}={text}"] if text.startswith("-") else ["--" + option.name, text]
