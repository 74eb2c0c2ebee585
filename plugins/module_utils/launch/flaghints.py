# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an argument probably is that the program does not have: another engine's, another version's, an abbreviation, a slip."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.railyard.sglang.plugins.module_utils.launch import flagtable
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.flagtable import FlagTable

SHOWN = 6
WRITTEN_IN = {True: "sglang_args", False: "sglang_router.args"}


def _listed(spellings: Iterable[str], word: str = "and") -> str:
    return f" {word} ".join(spellings)


def renamed(table: FlagTable, word: str) -> list[str]:
    """Return what an option of another version is called in this one; empty where it has no counterpart."""
    for pair in flagtable.data("renamed-options"):
        for names, others in (pair, reversed(pair)):
            if word in names and all(table.find(other) for other in others):
                return ["--" + other for other in others]
    return []


def _elsewhere(table: FlagTable, key: str) -> list[FlagTable]:
    tables = (flagtable.load(name) for name in flagtable.names() if name != table.name)
    return [other for other in tables if other.find(key)]


def report(table: FlagTable, key: str, where: str, findings: Findings) -> None:
    """Report a key that names no option of the table.

    :param where: the variable in which the key stands, with the key.
    """
    option = flagtable.spelled(key)
    word = option.removeprefix("--")
    foreign = flagtable.data("other-engines").get(word)
    elsewhere = _elsewhere(table, key)
    relatives = [other.label for other in elsewhere if other.is_engine == table.is_engine]
    candidates = table.abbreviated(key)
    near = table.nearest(key)
    if foreign:
        owner = f"is an option of {foreign['engine']}" if foreign["engine"] else "is an option of no engine"
        known = [f"--{name}" for name in foreign.get("use", ()) if table.find(name)]
        fix = f"use {_listed(known)}" if known else foreign.get("instead") or "remove it"
        findings.add("argument.other-engine", where, f"{option} {owner}, not of {table.label}", fix)
    elif relatives:
        text = f"{option} exists in {_listed(relatives)}, not in {table.label}"
        here = renamed(table, word)
        fix = f"write {_listed(here)} here" if here else "remove it: it has no counterpart here"
        findings.add("argument.other-version", where, text, fix)
    elif len(candidates) == 1:
        text = f"{option} is an abbreviation, which changes its meaning when a version adds an option"
        findings.add("argument.abbreviation", where, text, f"write {candidates[0]}")
    elif candidates:
        more = f" and {len(candidates) - SHOWN} more" if len(candidates) > SHOWN else ""
        text = f"{option} is an ambiguous abbreviation: {', '.join(candidates[:SHOWN])}{more}"
        findings.add("argument.abbreviation", where, text, "write the option that is meant in full")
    elif elsewhere:
        text = f"{option} is an option of {_listed(other.label for other in elsewhere)}, not of {table.label}"
        findings.add("argument.other-engine", where, text, f"write it in {WRITTEN_IN[not table.is_engine]}")
    else:
        fix = f"the nearest real option is {near}" if near else "remove it"
        findings.add("argument.unknown", where, f"{table.name} has no option {option}", fix)
