# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in the Python of a stack: puts argument vectors through its real parser and prints what came out.

Standard input: JSON with C(program) (engine or router), C(parse), a list of argument vectors whose parsed options are returned, and
C(start), a list of those that are taken as far as the program itself takes them before it starts.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any


def engine() -> Any:
    """Return the parser of sglang.launch_server and what makes its settings of what was parsed."""
    from sglang.srt import server_args

    finish = server_args.ServerArgs.from_cli_args
    # prepare_server_args reads --config and parses; what it would do next is done below, and only where it is wanted.
    server_args.ServerArgs.from_cli_args = classmethod(lambda cls, parsed: parsed)
    return server_args.prepare_server_args, finish


def router() -> Any:
    """Return the parser of sglang_router.launch_router and what makes its settings of what was parsed."""
    from sglang_router import launch_router
    from sglang_router.router_args import RouterArgs

    finish = RouterArgs.from_cli_args
    RouterArgs.from_cli_args = classmethod(lambda cls, parsed, use_router_prefix=False: parsed)
    return launch_router.parse_router_args, finish


def main() -> None:
    """Parse what standard input holds."""
    asked = json.load(sys.stdin)
    parse, finish = {"engine": engine, "router": router}[asked["program"]]()
    found: dict[str, Any] = {"defaults": vars(parse(asked["least"])), "parsed": [], "started": []}
    for argv in asked["parse"]:
        found["parsed"].append(vars(parse(argv)))
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
