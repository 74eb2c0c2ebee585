# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the option table of a real argument parser as JSON.

Run it with the Python of the stack whose parser is wanted:

    /opt/sglang/sglang-0.5.8-cpu/bin/python tools/flag_table.py engine > plugins/module_utils/launch/data/sglang-0.5.8.json
    /opt/sglang/sglang-router-0.3.2/bin/python tools/flag_table.py router > plugins/module_utils/launch/data/sglang-router-0.3.2.json
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys


def engine_parser() -> tuple[str, argparse.ArgumentParser]:
    """Return the distribution and the parser of sglang.launch_server."""
    from sglang.srt.server_args import ServerArgs

    parser = argparse.ArgumentParser(add_help=False)
    ServerArgs.add_cli_args(parser)
    return "sglang", parser


def router_parser() -> tuple[str, argparse.ArgumentParser]:
    """Return the distribution and the parser of sglang_router.launch_router."""
    from sglang_router.router_args import RouterArgs

    parser = argparse.ArgumentParser(add_help=False)
    RouterArgs.add_cli_args(parser, use_router_prefix=False)
    return "sglang-router", parser


TYPES = {"int": "int", "float": "float", "loads": "json", "json_list_type": "json"}


def describe(action: argparse.Action) -> dict[str, object]:
    """Return what the plan needs to know of one option."""
    kind = {"_StoreAction": "store", "_StoreTrueAction": "flag"}.get(type(action).__name__, "other")
    if "help" in action.option_strings or action.dest == "help":
        kind = "help"
    name = getattr(action.type, "__name__", "str") if action.type else "str"
    entry: dict[str, object] = {"kind": kind, "options": sorted(action.option_strings)}
    if kind != "flag":
        entry["type"] = TYPES.get(name, "str")
    if action.nargs not in (None, 0):
        entry["nargs"] = action.nargs
    if action.choices:
        entry["choices"] = sorted(action.choices, key=str)
    return entry


def main() -> None:
    """Print the table of the parser named on the command line."""
    distribution, parser = {"engine": engine_parser, "router": router_parser}[sys.argv[1]]()
    options = {action.dest: describe(action) for action in parser._actions if action.dest != "help"}
    table = {
        "distribution": distribution,
        "version": importlib.metadata.version(distribution),
        "options": dict(sorted(options.items())),
    }
    json.dump(table, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
