# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of an operator's arguments against the real parser's table, and the command line words that they become."""

from __future__ import annotations

import difflib
import json
import math
import re
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import flaghints, flagtable
from ansible_collections.railyard.sglang.plugins.module_utils.launch.catalogue import WARNING
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.flagtable import FlagTable, Option, load

__all__ = ["FlagTable", "Option", "load", "resolve", "words"]

INT_LIST = re.compile(r"[0-9]+(,[0-9]+)*")
SIZE = re.compile(r"[0-9]+(\.[0-9]+)?[kMGT]|[0-9]+[KMGT]i")
# What argparse does not take for an option although it begins with a dash.
NEGATIVE = re.compile(r"-\d+|-\d*\.\d+")


# What sglang 0.5.8 and 0.5.23 do not refuse in their parsers and cannot work with: the least whole number that an option takes, by dest.
LEAST = {
    "context_length": 1,
    "cuda_graph_max_bs": 1,
    "ep_num_redundant_experts": 0,
    "max_prefill_tokens": 1,
    "max_queued_requests": 0,
    "max_running_requests": 1,
    "max_total_tokens": 1,
    "page_size": 1,
    "speculative_eagle_topk": 1,
    "speculative_num_draft_tokens": 1,
}
# Shares of the memory: of nothing, or of everything, no engine starts.
SHARES = ("mem_fraction_static",)


def _beyond(table: FlagTable, option: Option, value: Any) -> str:
    """Return what is wrong with a number that the parser takes, or an empty text."""
    least = LEAST.get(option.dest) if table.is_engine else None
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str):  # a size with a unit
            beyond = least is not None and re.match(r"0+(\.0+)?[kMGT]", item) is not None
        else:
            beyond = least is not None and item < least
        if beyond:
            return f"{item!r} is less than {least}"
        if table.is_engine and option.dest in SHARES and not 0 < item < 1:
            return f"{item!r} is not between 0 and 1"
    return ""


def _number(option: Option, value: Any) -> str:
    if option.type == "size" and isinstance(value, str) and SIZE.fullmatch(value):
        return ""
    if option.type in ("int", "size") and (isinstance(value, bool) or not isinstance(value, int)):
        return f"{value!r} is not a whole number"
    if option.type == "float" and (isinstance(value, bool) or not isinstance(value, (int, float))):
        return f"{value!r} is not a number"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value!r} is not a number that can be written on a command line"
    if option.minimum is not None and value < option.minimum:
        return f"{value!r} is less than {option.minimum}"
    return ""


def _typed(option: Option, value: Any) -> str:
    """Return what is wrong with one value of an option, or an empty text."""
    if option.choices and value not in option.choices:
        near = difflib.get_close_matches(str(value), [str(choice) for choice in option.choices], n=1)
        hint = f"; the nearest is {near[0]}" if near else ""
        return f"{value!r} is not one of {', '.join(map(str, option.choices))}{hint}"
    if option.type in ("int", "size", "float"):
        return _number(option, value)
    if option.type == "int-list" and (isinstance(value, bool) or not INT_LIST.fullmatch(str(value))):
        return f"{value!r} is not whole numbers with commas between them"
    if option.type == "str" and isinstance(value, bool):
        return f"{value!r} is a boolean where the option takes a text: quote it"
    return ""


def _items(option: Option, value: list[Any]) -> str:
    """Return what is wrong with a list of values, or an empty text."""
    if not option.takes_list:
        return f"a list of {len(value)} given, but the option takes one value"
    if not value and option.nargs != "*":
        return "an empty list given where at least one value is taken"
    if option.nargs.isdigit() and len(value) != int(option.nargs):
        return f"a list of {len(value)} given where {option.nargs} are taken"
    for item in value:
        if isinstance(item, (list, dict)) or item is None:
            return f"{item!r} is not one value"
        # Without nargs every item has an option of its own, and --option=-item says what it is.
        if option.nargs and str(item).startswith("-") and not NEGATIVE.fullmatch(str(item)):
            return f"{item!r} begins with a dash, and the parser takes such an item of a list for another option"
        if text := _typed(option, item):
            return text
    return ""


def _problem(option: Option, value: Any) -> str:
    if option.kind == "flag":
        return "" if isinstance(value, bool) else f"{value!r} given, but the option takes no value: write true or false"
    if option.kind == "switch":
        return "" if isinstance(value, bool) else f"{value!r} given, but the option is a switch: write true or false"
    if option.type == "json" or isinstance(value, dict):
        return "" if option.type in ("json", "str") else f"a map given where a {option.type} is taken"
    if isinstance(value, list):
        return _items(option, value)
    return _typed(option, value)


def _ignored(table: FlagTable, option: Option, where: str, findings: Findings) -> bool:
    """Report an option that the program takes and does nothing with; return whether it is one."""
    if not option.ignored:
        return False
    text = f"{table.name} ignores --{option.name}, which is deprecated"
    findings.add("argument.deprecated", where, text, f"remove it{_instead(option)}")
    return True


def _instead(option: Option) -> str:
    return f" and {option.deprecated}" if option.deprecated.startswith("use ") else ""


def _outdated(table: FlagTable, option: Option, value: Any, where: str, findings: Findings) -> None:
    """Warn of an option or a value that still works, but not for long."""
    if option.deprecated and value is not False:
        text = f"--{option.name} is deprecated in {table.label}"
        findings.add("argument.deprecated", where, text, f"remove it{_instead(option)}", severity=WARNING)
    elif isinstance(value, str) and value in option.deprecated_choices:
        text = f"{value!r} is deprecated in {table.label}"
        findings.add("argument.deprecated", where, text, f"write {option.deprecated_choices[value]}", severity=WARNING)


def resolve(table: FlagTable, arguments: dict[str, Any], variable: str, findings: Findings) -> dict[str, Any]:
    """Return arguments keyed by dest, each checked against the table.

    :param arguments: an operator's map by flag name, with or without dashes; null takes an earlier value back.
    :param variable: what to call the map in a finding.
    """
    resolved: dict[str, Any] = {}
    for key, value in arguments.items():
        where = f"{variable}.{key}"
        option = table.find(str(key))
        if option is None:
            flaghints.report(table, str(key), where, findings)
            continue
        if value is not None and _ignored(table, option, where, findings):
            continue
        if option.dest in resolved:
            findings.add("argument.twice", where, f"--{option.name} is given twice under two spellings", "keep one")
        if option.negates(flagtable.spelled(str(key))):
            findings.add("argument.value", where, f"is the other side of --{option.name}", f"write {option.name}: true or false")
            continue
        if value is not None and (text := _problem(option, value)):
            findings.add("argument.value", where, text, f"see the options of {table.name}")
            continue
        if value is not None and (text := _beyond(table, option, value)):
            findings.add("argument.value", where, text, "write such a number, or leave it out: the engine then takes its own")
            continue
        if value is not None:
            _outdated(table, option, value, where, findings)
        resolved[option.dest] = value
    return resolved


def words(option: Option, value: Any) -> list[str]:
    """Return the command line words of one option and its value; a flag that is false has none, a switch says --no-."""
    if option.kind == "flag":
        return ["--" + option.name] if value else []
    if option.kind == "switch":
        return ["--" + option.name if value else "--no-" + option.name]
    if isinstance(value, list) and option.nargs:
        return ["--" + option.name, *map(str, value)]
    if isinstance(value, list) and option.kind == "append":
        return [word for item in value for word in words(option, item)]
    structured = isinstance(value, (dict, list, bool))
    text = json.dumps(value, sort_keys=True, separators=(",", ":")) if structured else str(value)
    # argparse takes a word that begins with a dash for another option.
    return [f"--{option.name}={text}"] if text.startswith("-") else ["--" + option.name, text]
