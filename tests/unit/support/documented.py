# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The launch lines of the source documents, and what differs between them and the plan of an inventory.

A file of tests/unit/inventories/documented holds the lines of one inventory:

- C(placeholders): text of the document -> what it stands for. C(<NAME>) in it, and in a difference, is a host variable of the rank's host,
  C(<head.NAME>) one of rank 0's; a list is joined by commas.
- C(lines): each with C(source), C(at) (C(INSTANCE/RANK) or C(router)), C(words), C(environment) and C(differences); C(implied) where the
  document tells a line in prose only.
- C(common): pattern of C(at) -> lists of common.yml whose differences its lines have.
- C(everywhere): more differences of every line whose C(at) matches.

A difference has C(name) (option or variable), C(document) and C(ours) (left out where it is absent) and C(why). An entry of
C(everywhere) may leave C(document) and C(ours) out and say C(any: true); one of a file that says C(same: true) takes a common one back.
"""

from __future__ import annotations

import fnmatch
import functools
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.railyard.sglang.plugins.module_utils.launch import flags, stacks
from ansible_collections.railyard.sglang.tests.unit.support import inventories

FOLDER = inventories.ROOT / "tests/unit/inventories/documented"
ABSENT = "(absent)"
SYMBOL = re.compile(r"<(head\.)?(sglang_[a-z_]+|ansible_host|rank)>")
ENGINE = "sglang.launch_server"


@dataclass(frozen=True)
class Line:
    """A launch line of a document, and the differences that are listed for it by name."""

    inventory: str
    document: str
    source: str
    at: str
    words: tuple[str, ...]
    environment: Mapping[str, str]
    implied: bool
    differences: Mapping[str, Mapping[str, Any]]


@functools.cache
def load(name: str) -> dict[str, Any]:
    """Return the file of an inventory."""
    data: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yml").read_text(encoding="utf-8"))
    return data


def lines(name: str) -> list[Line]:
    """Return the document lines of an inventory."""
    data, common = load(name), load("common")
    found = []
    for row in data["lines"]:
        lists = [common[part] for pattern, parts in data["common"].items() if fnmatch.fnmatch(row["at"], pattern) for part in parts]
        lists.append([entry for entry in data["everywhere"] if fnmatch.fnmatch(row["at"], entry["at"])])
        everywhere = {entry["name"]: entry for part in lists for entry in part}
        own = {entry["name"]: entry for entry in row.get("differences", ())}
        found.append(
            Line(
                name, row.get("document", data["document"]), row["source"], row["at"], tuple(shlex.split(row["words"])),
                {key: str(value) for key, value in (row.get("environment") or {}).items()}, row.get("implied", False), everywhere | own,
            )
        )
    return found


def option(table: flags.FlagTable, word: str) -> flags.Option:
    """Return the option of a command line word, which may be the beginning of one, as argparse has it."""
    found = table.find(word) or table.find(next(iter(table.abbreviated(word)), word))
    assert found is not None, f"{table.name} has no option {word}"
    return found


def _typed(given: flags.Option, text: Any) -> Any:
    if given.type == "int" or (given.type == "size" and str(text).isdigit()):
        return int(text)
    if given.type == "float":
        return float(text)
    return json.loads(text) if given.type == "json" and isinstance(text, str) else text


def arguments(table: flags.FlagTable, words: tuple[str, ...]) -> dict[str, Any]:
    """Return the options of a command line by their usual spelling, with typed values."""
    found: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word, equals, value = rest.pop(0).partition("=")
        assert word.startswith("--"), f"{word} is no option"
        given = option(table, word)
        values = [value] if equals else []
        several = given.nargs in ("*", "+")
        while given.kind not in ("flag", "switch") and rest and not rest[0].startswith("--") and (several or not values):
            values.append(rest.pop(0))
        name = "--" + given.name
        if given.kind in ("flag", "switch"):
            found[name] = not given.negates(word)
        elif given.kind == "append":
            found.setdefault(name, []).append(values)
        else:
            assert values, f"{word} has no value"
            found[name] = [_typed(given, item) for item in values] if several else _typed(given, values[0])
    return found


class Rendered:
    """The command line and the environment that a plan has at one place."""

    def __init__(self, inventory: inventories.Inventory, plan: Mapping[str, Any], at: str) -> None:
        self.hostvars = inventory.hostvars
        instance, _slash, self.rank = at.partition("/")
        if at == "router":
            (row,) = plan["routers"]
            self.host = self.head = row["host"]
            self.table = flags.load(stacks.ROUTERS[row["stack"]].flags)
            self.arguments = arguments(self.table, tuple(row["argv"][2:]))
        else:
            ranks = next(found for found in plan["instances"] if found["name"] == instance)["ranks"]
            row = ranks[int(self.rank)]
            self.host, self.head = row["host"], ranks[0]["host"]
            self.table = flags.load(stacks.ENGINES[row["stack"]].flags)
            words = row["argv"][2:]
            assert row["argv"][:2] == ["-m", ENGINE]
            if row["arguments"]:
                assert words[:2] == ["--config", row["argument_file"]]
                words = words[2:]
            in_file = {"--" + name: _typed(option(self.table, "--" + name), value) for name, value in row["arguments"].items()}
            self.arguments = in_file | arguments(self.table, tuple(words))
        self.environment: dict[str, str] = dict(row["environment"])

    def _value(self, match: re.Match[str]) -> str:
        value = self.rank if match[2] == "rank" else self.hostvars[self.head if match[1] else self.host][match[2]]
        return ",".join(map(str, value)) if isinstance(value, list) else str(value)

    def meant(self, value: Any) -> Any:
        """Return a value of a file with its symbols resolved."""
        if isinstance(value, list):
            return [self.meant(item) for item in value]
        return SYMBOL.sub(self._value, value) if isinstance(value, str) else value


def meant(line: Line, rendered: Rendered, text: str) -> str:
    """Return a text of a document with what its placeholders stand for at a place."""
    for placeholder, stands_for in load(line.inventory).get("placeholders", {}).items():
        text = text.replace(placeholder, rendered.meant(stands_for)) if placeholder in text else text
    return text


def words(line: Line, rendered: Rendered) -> tuple[str, ...]:
    """Return the words of a document's line as they would be typed at a place."""
    return tuple(meant(line, rendered, word) for word in line.words)


def differences(line: Line, rendered: Rendered) -> dict[str, tuple[Any, Any]]:
    """Return what differs: name of an option or a variable to the document's value and ours."""
    theirs: dict[str, Any] = arguments(rendered.table, words(line, rendered))
    theirs |= {name: meant(line, rendered, value) for name, value in line.environment.items()}
    ours: dict[str, Any] = {**rendered.arguments, **rendered.environment}
    return {
        name: (theirs.get(name, ABSENT), ours.get(name, ABSENT))
        for name in sorted({*theirs, *ours})
        if theirs.get(name, ABSENT) != ours.get(name, ABSENT)
    }


def listed(line: Line, rendered: Rendered, found: Mapping[str, tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
    """Return the differences that the file lists, in the form of the differences that are there."""
    rows = {}
    for name, entry in line.differences.items():
        if entry.get("same"):
            continue
        assert str(entry["why"]).strip(), f"{name} has no reason"
        if entry.get("any"):
            assert not {"document", "ours"} & set(entry), name
            rows[name] = found.get(name, (ABSENT, ABSENT))
            assert name in found, f"{line.source}: {name} does not differ any more"
        else:
            rows[name] = (rendered.meant(entry.get("document", ABSENT)), rendered.meant(entry.get("ours", ABSENT)))
    return rows


def files() -> list[Path]:
    """Return all files of documented lines."""
    return sorted(path for path in FOLDER.glob("*.yml") if path.stem != "common")
