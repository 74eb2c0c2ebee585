# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in the Python of a stack: puts argument vectors through its real parser and prints what came out.

Standard input: JSON with C(program) (a distribution), C(parse), a list of argument vectors whose parsed options are returned,
C(start), a list of those that are taken as far as the program itself takes them before it starts, C(judge), a list of those whose
objection on that way is returned (an empty text for none), and C(refused), a list of those whose error message from the parser alone is
returned likewise.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import json
import sys
import traceback
from typing import Any


def engine() -> Any:
    """Return the parser of sglang.launch_server and what makes its settings of what was parsed."""
    from sglang.srt import server_args

    finish = server_args.ServerArgs.from_cli_args
    # prepare_server_args reads --config and parses; what it would do next is done below, and only where it is wanted.
    server_args.ServerArgs.from_cli_args = classmethod(lambda cls, parsed: parsed)
    return server_args.prepare_server_args, finish


def router(package: str) -> Any:
    """Return the parser of a router's launch_router and what makes its settings of what was parsed."""
    launch_router = importlib.import_module(f"{package}.launch_router")
    settings = importlib.import_module(f"{package}.router_args").RouterArgs

    finish = settings.from_cli_args
    settings.from_cli_args = classmethod(lambda cls, parsed, use_router_prefix=False: parsed)
    return launch_router.parse_router_args, finish


PROGRAMS = {"sglang": engine, "sglang-router": lambda: router("sglang_router"), "smg": lambda: router("smg")}


def options(parsed: Any) -> dict[str, Any]:
    """Return what was parsed, without what the program notes besides its options."""
    return {name: value for name, value in vars(parsed).items() if not name.startswith("_")}


def refusal(parse: Any, argv: list[str]) -> str:
    """Return the last line of what the parser says against an argument vector, an empty text if it takes it."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parse(argv)
    except SystemExit:
        return said.getvalue().strip().rsplit("\n", 1)[-1]
    except ValueError as error:
        return str(error)
    return ""


def objection(parse: Any, finish: Any, argv: list[str]) -> str:
    """Return what the program has against its settings before it starts, an empty text for nothing."""
    try:
        settings = finish(parse(argv))
        if hasattr(settings, "check_server_args"):
            settings.check_server_args()
    except (Exception, SystemExit) as error:
        return f"{type(error).__name__}: {error}"[:500] + traceback.format_exc()[-600:]
    return ""


def main() -> None:
    """Parse what standard input holds."""
    asked = json.load(sys.stdin)
    parse, finish = PROGRAMS[asked["program"]]()
    found: dict[str, Any] = {"defaults": options(parse(asked["least"])), "parsed": [], "started": []}
    found["refused"] = [refusal(parse, argv) for argv in asked["refused"]]
    found["judged"] = [objection(parse, finish, argv) for argv in asked["judge"]]
    for argv in asked["parse"]:
        found["parsed"].append(options(parse(argv)))
    for argv in asked["start"]:
        settings = finish(parse(argv))
        if hasattr(settings, "check_server_args"):
            settings.check_server_args()
        found["started"].append(dataclasses.asdict(settings))
    # A text that is not Unicode (half of a pair) must not look whole on the other side.
    text = "\nRESULT " + json.dumps(found, default=repr, ensure_ascii=False) + "\n"
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))


if __name__ == "__main__":
    main()
