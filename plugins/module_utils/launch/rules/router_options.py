# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The effective options of the router."""

from __future__ import annotations

from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import arguments, flags, router, stacks
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract


class RouterOptions:
    """What the router of a cluster runs with: written, given by the plan, or its own default."""

    def __init__(self, contract: Contract) -> None:
        self.stack = stacks.ROUTERS[contract.cluster.variables["sglang_router_stack"]]
        self.table = flags.load(self.stack.flags)
        written = contract.cluster.router["args"]
        self._written = {option.dest: (key, value) for key, value in written.items() if (option := self.table.find(str(key)))}

    def value(self, spelling: str) -> Any:
        """Return the effective value of an option; None where this version has no such option."""
        option = self.table.find(spelling)
        if option is None:
            return None
        if option.dest in self._written:
            written = self._written[option.dest][1]
            return option.default if written is None else written
        return router.DEFAULTS[spelling][0] if spelling in router.DEFAULTS else option.default

    def number(self, spelling: str) -> float:
        """Return an effective number; nan, which no comparison is true of, for anything else."""
        value = self.value(spelling)
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) else float("nan")

    def variable(self, spelling: str) -> str:
        """Return the inventory variable that holds the option, or could."""
        option = self.table.find(spelling)
        key = self._written[option.dest][0] if option is not None and option.dest in self._written else spelling
        return f"{arguments.ROUTER_VARIABLE}.{key}"
