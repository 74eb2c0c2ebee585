# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the option table of a real argument parser as JSON, to standard output.

Run it with a Python that can import the parser, and name the distribution; tools/flag_table.sh makes such a Python and calls it:

    /opt/sglang/sglang-0.5.8-cpu/bin/python tools/flag_table.py sglang > plugins/module_utils/launch/data/sglang-0.5.8.json

No sentence of the help texts is taken over: of a deprecation only what it names as the replacement.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import importlib.metadata
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Some defaults are read from variables (the routers' database passwords among them): none of this machine's may reach a table.
KEPT = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR")
CPU = {"SGLANG_USE_CPU_ENGINE": "1", "HF_HUB_OFFLINE": "1", "TORCHDYNAMO_DISABLE": "1", "OMP_NUM_THREADS": "1"}

KINDS = {
    "_StoreAction": "store",
    "_StoreTrueAction": "flag",
    "DeprecatedStoreTrueAction": "flag",
    "BooleanOptionalAction": "switch",
    "_AppendAction": "append",
    "_ExtendAction": "append",
}
TYPES = {
    "int": "int",
    "_non_negative_int": "int",
    "float": "float",
    "loads": "json",
    "json_list_type": "json",
    "parse_cuda_graph_config_arg": "json",
    "human_readable_int": "size",
    "_parse_int_csv": "int-list",
}
# Functions whose argument is any text.
TEXTS = ("str", "nullable_str", "parse_cuda_graph_backend_arg", "lower", "<lambda>")
# Actions that a table says nothing about beyond their nargs.
OWN = ("LoRAPathAction",)
MINIMA = {"_non_negative_int": 0}
DEPRECATED = re.compile(r"\W*(?:note:\s*)?(?:--[\w-]+ is )?deprecated\b", re.IGNORECASE)
REPLACEMENT = re.compile(r"\buse (--[^\s)]+(?: <[\w-]+>)?)", re.IGNORECASE)


def engine_parser() -> argparse.ArgumentParser:
    """Return the parser of sglang.launch_server."""
    from sglang.srt.server_args import ServerArgs

    parser = argparse.ArgumentParser(add_help=False)
    ServerArgs.add_cli_args(parser)
    return parser


def router_parser(package: str) -> argparse.ArgumentParser:
    """Return the parser of a router's launch_router."""
    arguments = importlib.import_module(f"{package}.router_args").RouterArgs
    parser = argparse.ArgumentParser(add_help=False)
    arguments.add_cli_args(parser, use_router_prefix=False)
    return parser


PARSERS: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "sglang": engine_parser,
    "sglang-router": lambda: router_parser("sglang_router"),
    "smg": lambda: router_parser("smg"),
}


def is_json(value: object) -> bool:
    """Return whether a default can be written as JSON and read back as the same value."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_json(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(is_json, value))
    return value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value))


def deprecation(action: argparse.Action) -> str:
    """Return what a deprecated option says to use instead, an empty text for an option that is not deprecated."""
    text = action.help or ""
    if not (type(action).__name__.startswith("Deprecated") or DEPRECATED.match(text)):
        return ""
    found = REPLACEMENT.search(text)
    new = getattr(action, "new_flag", None) or (found[1].rstrip(".,;") if found else "")
    return f"use {new}" if new else "no replacement"


def describe(action: argparse.Action) -> dict[str, object]:
    """Return what the plan needs to know of one option."""
    class_name = type(action).__name__
    kind = KINDS.get(class_name, "other")
    if kind == "other" and class_name not in OWN and not class_name.startswith("Deprecated"):
        raise SystemExit(f"flag_table: {action.option_strings[0]}: say in KINDS or OWN what {class_name} does")
    entry: dict[str, object] = {"kind": kind, "options": sorted(action.option_strings)}
    if class_name not in ("_StoreAction", "_StoreTrueAction"):
        entry["action"] = class_name
    if kind not in ("flag", "switch"):
        name = getattr(action.type, "__name__", "str") if action.type else "str"
        entry["type"] = TYPES.get(name, "str")
        if name not in TYPES and name not in TEXTS:
            raise SystemExit(f"flag_table: {action.option_strings[0]}: say in TYPES or TEXTS what {name} takes")
        if name in MINIMA:
            entry["minimum"] = MINIMA[name]
    if action.nargs not in (None, 0):
        entry["nargs"] = action.nargs
    if action.choices:
        entry["choices"] = sorted(action.choices, key=str)
    if action.required:
        entry["required"] = True
    if action.default is not argparse.SUPPRESS and is_json(action.default):
        entry["default"] = action.default
    if deprecated := deprecation(action):
        entry["deprecated"] = deprecated
    return entry


def deprecation_tables(directory: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the name and content of every table of the source that is called deprecated_... and holds texts."""
    for path in sorted([directory / "server_args.py", *directory.glob("arg_groups/**/*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Dict):
                name = node.targets[0].id
                if name.startswith("deprecated_"):
                    with contextlib.suppress(ValueError):
                        yield name.removeprefix("deprecated_"), ast.literal_eval(node.value)


def deprecated_choices(options: dict[str, dict[str, Any]]) -> None:
    """Add to the options of sglang which of their choices are deprecated, and for which others."""
    source = Path(str(sys.modules["sglang.srt.server_args"].__file__)).parent
    for name, table in deprecation_tables(source):
        option = options.get(name) or options.get(name.removesuffix("s"))
        if option and set(table) <= set(option.get("choices", ())):
            option["deprecated_choices"] = dict(sorted(table.items()))


def table_of(distribution: str) -> dict[str, object]:
    """Return the table of an installed distribution."""
    options: dict[str, dict[str, Any]] = {}
    for action in PARSERS[distribution]()._actions:
        key = action.dest
        if key in options:  # an old spelling with an action of its own, which sets what another option sets
            key = action.option_strings[0].lstrip("-").replace("-", "_")
        if key in options:
            raise SystemExit(f"two options of {distribution} are called {key}")
        options[key] = describe(action)
    if distribution == "sglang":
        deprecated_choices(options)
    return {
        "distribution": distribution,
        "version": importlib.metadata.version(distribution),
        "options": dict(sorted(options.items())),
    }


def main(arguments: list[str]) -> None:
    """Print the table of the distribution that the command line names."""
    if len(arguments) != 1 or arguments[0] not in PARSERS:
        raise SystemExit(f"usage: flag_table.py {'|'.join(PARSERS)}")
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    os.environ.clear()
    os.environ.update({**kept, **CPU})
    with contextlib.redirect_stdout(sys.stderr):  # what an import prints is not JSON
        table = table_of(arguments[0])
    json.dump(table, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main(sys.argv[1:])
