# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate of a run: what every stack of a host needs against what the host is, before anything is downloaded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.plugins.module_utils.stack import decide
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.hosts import HostFacts, look
from ansible_collections.railyard.sglang.plugins.module_utils.stack.needs import Needs
from ansible_collections.railyard.sglang.plugins.module_utils.stack.ospackages import Table


@dataclass(frozen=True)
class Gate:
    """What the gate knows besides the stacks.

    :ivar known: every stack of the collection and the operator, for the ones that would work instead.
    :ivar table: of operating system packages.
    :ivar waived: rules that do not count, each with the operator's reason.
    :ivar library_path: directories that the engine's loader is told to search first.
    :ivar cuda_home: the toolkit that the engine is told to use, empty for the usual places.
    :ivar python: the interpreter that the operator names, empty for a search.
    """

    known: Sequence[Needs] = ()
    table: Table = field(default_factory=lambda: Table({}, {}))
    waived: Mapping[str, str] = field(default_factory=dict)
    library_path: Sequence[str] = ()
    cuda_home: str = ""
    python: str = ""

    def facts(self, needs: Iterable[Needs], root: Root) -> HostFacts:
        """Return the facts of a host that decide about stacks."""
        sonames = [symbol.library for item in [*needs, *self.known] for symbol in item.symbols]
        return look(root, sonames, self.library_path, self.cuda_home)


def wrong_waivers(waived: Mapping[str, str]) -> None:
    """Raise StackError for a waiver that names no rule or gives no reason."""
    for rule, reason in waived.items():
        if rule not in decide.RULES:
            raise StackError("stack_waive", f"{rule} is no rule", f"use one of {', '.join(sorted(decide.RULES))}")
        if not isinstance(reason, str) or not reason.strip():
            raise StackError("stack_waive", f"{rule} has no reason", "write why it is accepted")


def refused(
    needs: Iterable[Needs], gate: Gate, facts: HostFacts, runs: Collection[str], external: Collection[str]
) -> dict[str, list[decide.Refusal]]:
    """Return the reasons against stacks by name; none that a host can take.

    :param runs: names of those that the host runs; the others are only built for hosts with GPUs.
    :param external: names of those whose environment is there already.
    """
    found = {}
    for item in needs:
        without = set(gate.waived)
        without |= decide.PROVEN if item.name in external else set()
        without |= set() if item.name in runs else decide.RUNNING
        without |= {"stack.python"} if gate.python else set()
        refusals = decide.decide(item, facts, gate.table, gate.known, without)
        if refusals:
            found[item.name] = refusals
    return found
