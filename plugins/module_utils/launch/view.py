# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rule of the contract may look at: the inputs of one cluster and what was made of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch.flags import FlagTable
from ansible_collections.railyard.sglang.plugins.module_utils.launch.inputs import Cluster
from ansible_collections.railyard.sglang.plugins.module_utils.launch.instance import Instance
from ansible_collections.railyard.sglang.plugins.module_utils.launch.ranks import Rank
from ansible_collections.railyard.sglang.plugins.module_utils.launch.stacks import EngineStack


@dataclass(frozen=True)
class Contract:
    """One cluster, planned.

    :ivar ranks: every rank, instance by instance.
    :ivar routers: slices of the plan.
    :ivar read: returns the bytes of a file on the controller, or raises OSError.
    """

    cluster: Cluster
    engine: EngineStack
    table: FlagTable
    instances: list[Instance]
    ranks: list[Rank]
    routers: list[dict[str, Any]]
    read: Callable[[str], bytes]

    def of(self, mode: str) -> list[Instance]:
        """Return the instances of a mode."""
        return [instance for instance in self.instances if instance.mode == mode]

    @functools.cached_property
    def heads(self) -> list[Rank]:
        """Rank 0 of every instance."""
        return [rank for rank in self.ranks if rank.number == 0]

    def value(self, rank: Rank, spelling: str) -> Any:
        """Return the effective value of an option: written, derived, or the parser's default; None where the version lacks it."""
        option = self.table.find(spelling)
        if option is None:
            return None
        return rank.arguments.get(option.dest, option.default)

    def variable(self, rank: Rank, spelling: str) -> str:
        """Return the inventory variable to blame for an option's value: where it was written, else where it could be."""
        option = self.table.find(spelling)
        written = rank.written.get(option.dest) if option is not None else None
        return written or f"sglang_pools.{rank.instance.pool}.args.{spelling}"
