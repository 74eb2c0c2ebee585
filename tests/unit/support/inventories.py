# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventories that the collection ships, read by Ansible itself."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.manager import VariableManager

from ansible_collections.railyard.sglang.plugins.action.plan import READ
from ansible_collections.railyard.sglang.plugins.module_utils.launch import plan
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Finding, PlanError
from ansible_collections.railyard.sglang.plugins.plugin_utils.plain import plain
from ansible_collections.railyard.sglang.tests.unit.support import mi300x
from ansible_collections.railyard.sglang.tests.unit.support.clusters import Inventory

ROOT = Path(__file__).resolve().parents[3]
INVENTORY = ROOT / "inventory"
# The lab's inventory is a plugin; it has tests of its own.
NAMES = tuple(sorted(folder.name for folder in INVENTORY.iterdir() if (folder / "hosts.yml").is_file()))


@functools.cache
def _read(name: str, extra: tuple[str, ...]) -> Inventory:
    loader = DataLoader()
    source = InventoryManager(loader, sources=[str(INVENTORY / name)])
    manager = VariableManager(loader, source)
    groups = {group: [str(host) for host in source.get_hosts(group)] for group in source.groups}
    hostvars = {}
    for host in source.get_hosts():
        variables = manager.get_vars(host=host)
        templar = Templar(loader, variables)
        hostvars[str(host)] = {key: plain(templar.template(variables[key])) for key in (*READ, *extra) if key in variables}
    # Of this one a document shows the devices, and the plan takes them from there.
    facts = {"prefill-0": mi300x.facts(31), "decode-0": mi300x.facts(51)} if name == "mi300x-1p1d" else {}
    return Inventory(groups, hostvars, facts)


def read(name: str, *extra: str) -> Inventory:
    """Return an inventory of the collection as the plan's action sees it.

    :param extra: variables besides those that the plan reads.
    """
    return _read(name, extra)


def build(inventory: Inventory) -> dict[str, Any]:
    """Return the plan of an inventory that names no file of the controller."""
    return plan.build(inventory.groups, inventory.hostvars, lambda path: Path(path).read_bytes(), inventory.facts)


def findings(name: str, changes: Mapping[str, Any] | None = None) -> list[Finding]:
    """Return what the plan finds in an inventory, changed as Inventory.change has it."""
    inventory = read(name).change(changes or {})
    try:
        return [Finding(**row) for row in build(inventory)["findings"]]
    except PlanError as error:
        return list(error.findings)


def said(found: list[Finding]) -> set[str]:
    """Return severity and rule of each finding."""
    return {f"{finding.severity} {finding.rule}" for finding in found}
