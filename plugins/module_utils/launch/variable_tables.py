# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of environment variables: who reads them and what they may hold.

Two kinds are in the data: C(variables-*.json) is written by hand, with reasons; C(sglang-VERSION-environment.json) holds every
variable in the sources of that version and is written by tools/environment_table.py.
"""

from __future__ import annotations

import difflib
import functools
import glob
import json
import os
import re
from collections.abc import Mapping
from typing import Any

DATA = os.path.join(os.path.dirname(__file__), "data")
# Spellings that a reader understands, in lower case; any other is not an error to the reader, but not what was meant.
BOOLEANS = {
    "bool": ("1", "true", "yes", "y", "0", "false", "no", "n"),
    "bool-strict": ("1", "true", "0", "false"),
    "bool-mooncake": ("1", "true", "yes", "on", "0", "false", "no", "off"),
    "bool-nvshmem": ("1", "true", "yes", "y", "t", "0", "false", "no", "n", "f"),
    "presence": ("1", "true", "yes", "on"),
}
CONSEQUENCES = {
    "bool": "sglang warns and keeps its default",
    "bool-strict": "sglang warns and takes it for false",
    "bool-mooncake": "Mooncake takes it for false",
    "bool-nvshmem": "NVSHMEM takes what does not begin with 0, n or f for true",
    "presence": "being set at all switches it on, to whatever value",
}


def _json(name: str) -> dict[str, Any]:
    with open(os.path.join(DATA, name), encoding="utf-8") as stream:
        data: dict[str, Any] = json.load(stream)
    return data


@functools.cache
def groups() -> dict[str, dict[str, dict[str, Any]]]:
    """Return the hand-written table by title."""
    loaded = [_json(os.path.basename(path)) for path in sorted(glob.glob(os.path.join(DATA, "variables-*.json")))]
    return {group["title"]: group["variables"] for group in loaded}


@functools.cache
def table() -> dict[str, dict[str, Any]]:
    """Return the hand-written table by name."""
    return {name: entry for variables in groups().values() for name, entry in variables.items()}


@functools.cache
def engines() -> dict[str, dict[str, dict[str, Any]]]:
    """Return what the sources of each version of sglang name, by version."""
    loaded = [_json(os.path.basename(path)) for path in sorted(glob.glob(os.path.join(DATA, "sglang-*-environment.json")))]
    return {data["version"]: data["variables"] for data in loaded}


def older(version: str, than: str) -> bool:
    """Whether a version comes before another one; post releases come after their base."""
    left, right = ([int(number) for number in re.findall(r"\d+", text)] for text in (version, than))
    return left < right


def number(value: str, base: type[int] | type[float] = float) -> float | None:
    """Return the number that a text is, as Python and so sglang reads it, or V(None)."""
    try:
        return base(value)
    except ValueError:
        return None


def problem(legal: Mapping[str, Any], value: str) -> str:
    """Return what is wrong with a value, or an empty text.

    :param legal: C(kind) and what belongs to it, as in the tables.
    """
    kind = legal["kind"]
    if kind in BOOLEANS and value.lower() not in BOOLEANS[kind]:
        return f"{value!r} is none of {', '.join(BOOLEANS[kind])}: {CONSEQUENCES[kind]}"
    if kind == "choice" and value not in legal["choices"] and not (legal.get("fold") and value.lower() in map(str.lower, legal["choices"])):
        return f"{value!r} is none of {', '.join(legal['choices'])}"
    if kind == "pattern" and not re.fullmatch(legal["pattern"], value):
        return f"{value!r} is not {legal['means']}"
    if kind == "json":
        try:
            json.loads(value)
        except ValueError:
            return f"{value!r} is not JSON"
    if kind in ("int", "float"):
        found = number(value, int if kind == "int" else float)
        low, high = legal.get("range", (None, None))
        if found is None:
            return f"{value!r} is not a {'whole ' if kind == 'int' else ''}number"
        if low is not None and found < low:
            return f"{value} is below {low}"
        if high is not None and found > high:
            return f"{value} is above {high}"
    return ""


def nearest(name: str, known: Mapping[str, Any]) -> str:
    """Return the fix for a name that is not known."""
    found = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.8)
    return f"the nearest real variable is {found[0]}" if found else "remove it"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _legal(legal: Mapping[str, Any]) -> str:
    kind = legal.get("kind", "text")
    low, high = legal.get("range", (None, None))
    if kind in BOOLEANS:
        return ", ".join(BOOLEANS[kind]) + (" (any value: on)" if kind == "presence" else "")
    if kind == "choice":
        return ", ".join(legal["choices"])
    if kind == "pattern":
        return str(legal["means"])
    if kind in ("int", "float"):
        bounds = f" {low} to {high}" if high is not None else f" from {low}" if low is not None else ""
        return ("whole number" if kind == "int" else "number") + bounds
    return "JSON" if kind == "json" else "text"


def _when(when: Mapping[str, Any]) -> str:
    words = [f"above {when['above']}"] if "above" in when else []
    words += [f"{when['value']}"] if "value" in when else []
    words += ["with " + " or ".join(when["with"])] if "with" in when else []
    words += ["with " + " and ".join(when["all"])] if "all" in when else []
    words += ["without " + " or ".join(when["without"])] if "without" in when else []
    words += [f"sglang {when['engine']}"] if "engine" in when else []
    return f" ({'; '.join(words)})" if words else ""


def _row(name: str, entry: Mapping[str, Any]) -> str:
    limits = [f"{package} from {version}" for package, version in entry.get("since", {}).items()]
    limits += [f"{package} to {version}" for package, version in entry.get("until", {}).items()]
    limits += ["only with " + " or ".join(entry["only_with"])] if "only_with" in entry else []
    own = next((rows[name] for rows in engines().values() if name in rows), {})
    reports = [
        f"{rule['severity'].capitalize()}{_when(rule.get('when', {}))}: {rule['text']}. Fix: {rule['fix']}."
        for rule in entry.get("rules", ())
    ]
    cells = [
        f"`{name}`", ", ".join(entry["readers"]), _legal(entry.get("value") or {"kind": own.get("type", "text")}), "; ".join(limits),
        entry["state"], " ".join([entry["what"], *reports]), entry["evidence"],
    ]
    return "| " + " | ".join(map(_cell, cells)) + " |"


def document() -> str:
    """Return docs/environment.md, made from the tables."""
    lines = [
        "# Environment variables", "",
        "What the `env` of a cluster, a pool, an instance, a host or the router is checked against. Made from",
        "`plugins/module_utils/launch/data/variables-*.json`; to make it again:",
        "`RAILYARD_GOLDEN=write tools/unit.sh -n 0 tests/unit/plugins/module_utils/launch/test_variables.py`.", "",
        "States: *ok*; *never-read*: nothing reads it; *overwritten*: the program sets it itself; *renamed*: an old name;",
        "*dangerous*: legal, and harmful in the condition given. A value that its reader does not understand is an error,",
        "because most readers ignore it silently.",
    ]
    for title, variables in groups().items():
        lines += ["", f"## {title}", "", "| variable | read by | values | limits | state | what it does, what is reported | seen in |"]
        lines += ["|---|---|---|---|---|---|---|", *(_row(name, entry) for name, entry in sorted(variables.items()))]
    for version, rows in engines().items():
        own = [name for name in rows if name.startswith("SGLANG_")]
        unused = [name for name in own if "unused" in rows[name]]
        lines += ["", f"## All of sglang {version}", ""]
        lines += [f"Its sources name {len(own)} variables SGLANG_*; another name is an error, with the nearest real one."]
        lines += [f"Declared, and used by nothing in that package: {', '.join(f'`{name}`' for name in unused)}."]
    return "\n".join(lines) + "\n"
