# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prefill, decode and router on one host: the pools of inventory/llama-one-host-mooncake on a lab host, with the tiny model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from labkit import ROOT, Lab

pytestmark = [pytest.mark.lab, pytest.mark.full]

HOST = "p0"


def variables() -> dict[str, Any]:
    """Return the inventory's pools and router, in the one group of the lab that holds the host."""
    written = yaml.safe_load((ROOT / "inventory/llama-one-host-mooncake/group_vars/all.yml").read_text(encoding="utf-8"))
    pools = {name: {**pool, "group": "prefill"} for name, pool in written["sglang_pools"].items()}
    router = {**written["sglang_router"], "group": "prefill"}
    # On CPUs a rank takes a place instead of a GPU.
    return {"sglang_pools": pools, "sglang_router": router, "sglang_gpu": {"count": written["sglang_gpu"]["count"]}}


@pytest.fixture(name="crowd", scope="module")
def everything_on_one_host(pair: Lab) -> Iterator[Lab]:
    """The lab with all of a cluster on its prefill host; afterwards what it was before."""
    before, plan = dict(pair.variables), pair.plan
    pair.converge(variables={**before, **variables()})
    yield pair
    pair.variables, pair.plan = before, plan
    pair.converge()


def test_it_answers(crowd: Lab) -> None:
    assert crowd.serving(60) > 0


def test_units_ports_and_processes_are_disjoint(crowd: Lab) -> None:
    assert list(crowd.plan["hosts"]) == [HOST]
    units = crowd.plan["hosts"][HOST]["units"]
    assert units == ["sglang-decode-0.service", "sglang-prefill-0.service", "sglang-router.service"]
    pids = {unit: set(crowd.pids(HOST, unit)) for unit in units}
    assert all(pids.values())
    assert len(set().union(*pids.values())) == sum(len(own) for own in pids.values())
    listening = crowd.ssh(HOST, "ss -Hltnp")
    for part in [*crowd.ranks(), crowd.router]:
        for row in part["ports"]:
            (line,) = [line for line in listening.splitlines() if line.split()[3].endswith(f":{row['port']}")]
            assert int(line.split("pid=")[1].split(",")[0]) in pids[part["unit"]], f"{row} is held by another unit: {line}"


def test_a_second_run_changes_nothing(crowd: Lab) -> None:
    assert crowd.play().succeeded().changed == {}


def test_a_change_of_one_instance_leaves_the_other_alone(crowd: Lab) -> None:
    before = crowd.processes()
    changed = {**crowd.variables, "sglang_pools": {**crowd.variables["sglang_pools"]}}
    changed["sglang_pools"]["decode"] = {**changed["sglang_pools"]["decode"], "args": {"decode-log-interval": 39}}
    crowd.converge(variables=changed)
    after = crowd.processes()
    assert {name for name in after if after[name] != before[name]} == {f"{HOST} sglang-decode-0.service"}
    assert crowd.serving(60) > 0
