# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Slips drawn from the good inventories: every one is found, by its rule, at its variable. And the good ones have no finding above note."""

from __future__ import annotations

import re

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import catalogue
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import PlanError
from ansible_collections.railyard.sglang.tests.unit.support import inventories, mutations
from ansible_collections.railyard.sglang.tests.unit.support.clusters import Inventory, cluster, gpu_cluster

GOOD = sorted(set(inventories.NAMES) - {"field-2p2d-as-found"})
LEAST = 300
SEEDS = 3


def read(name: str) -> Inventory:
    return {"cpu": cluster, "gpu": gpu_cluster}[name]() if name in ("cpu", "gpu") else inventories.read(name)


def judged(inventory: Inventory) -> list[tuple[str, str, str]]:
    """Return severity, rule and variable of every finding."""
    try:
        return [(row["severity"], row["rule"], row["variable"]) for row in inventories.build(inventory)["findings"]]
    except PlanError as error:
        return [(found.severity, found.rule, found.variable) for found in error.findings]


@pytest.mark.parametrize("name", [*GOOD, "cpu", "gpu"])
def test_a_good_inventory_has_no_finding_above_note(name: str) -> None:
    assert [row for row in judged(read(name)) if row[0] in ("error", "warning")] == []


def slips(name: str) -> list[tuple[str, int, mutations.Slip]]:
    """Return the slips of an inventory, three draws of each kind, without those that come out alike."""
    found, seen = [], []
    for kind, mutation in mutations.MUTATIONS.items():
        for seed in range(SEEDS):
            slip = mutation(mutations.Draw(f"{name} {kind} {seed}"), read(name))
            if slip is not None and slip.changes not in seen:
                seen.append(slip.changes)
                found.append((kind, seed, slip))
    return found


@pytest.mark.parametrize("name", [*GOOD, "cpu", "gpu"])
def test_every_slip_is_found_by_its_rule_at_its_variable(name: str) -> None:
    missed = []
    for kind, seed, slip in slips(name):
        rows = [row for row in judged(read(name).change(slip.changes)) if row[0] in ("error", "warning")]
        if not any(rule in slip.rules and re.fullmatch(slip.variable, variable) for _severity, rule, variable in rows):
            missed.append((kind, seed, slip.changes, rows))
    assert missed == []


def test_there_are_enough_of_them() -> None:
    drawn = {name: len(slips(name)) for name in [*GOOD, "cpu", "gpu"]}
    print(drawn)
    assert sum(drawn.values()) >= LEAST
    used = {kind for name in drawn for kind, _seed, _slip in slips(name)}
    assert used == set(mutations.MUTATIONS)


def test_their_rules_exist() -> None:
    named = {rule for name in [*GOOD, "cpu", "gpu"] for _kind, _seed, slip in slips(name) for rule in slip.rules}
    assert named <= set(catalogue.RULES)
