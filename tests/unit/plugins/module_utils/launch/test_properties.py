# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold for any cluster of GPU hosts, however its instances share them."""

from __future__ import annotations

import json
from typing import Any

import hypothesis
from hypothesis import strategies as st

from ansible_collections.railyard.sglang.plugins.module_utils.launch import arguments, catalogue, flags
from ansible_collections.railyard.sglang.tests.unit.support.clusters import GONE, Inventory, gpu_cluster, options

GPUS = 8
# sglang.md section 6: what may differ between the ranks of an instance.
PLACE = {"--host", "--node-rank", "--base-gpu-id", "--disaggregation-ib-device"}
PLACE_VARIABLES = {"SGLANG_HOST_IP"}


@st.composite
def instances(draw: st.DrawFn, mode: str, hosts: list[str], free: dict[str, int]) -> list[dict[str, Any]]:
    """Draw instances of one mode on hosts that have GPUs left."""
    rows: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 4))):
        nodes = draw(st.sampled_from([1, 1, 2]))
        per_host = draw(st.sampled_from([1, 2, 4, 8]))
        chosen = [host for host in draw(st.permutations(hosts)) if free[host] >= per_host][:nodes]
        if len(chosen) < nodes:
            continue
        for host in chosen:
            free[host] -= per_host
        tp = nodes * per_host
        row: dict[str, Any] = {"name": f"{mode}-{number}", "hosts": chosen, "tp": tp}
        if draw(st.booleans()) and tp > 1:
            row |= {"dp": draw(st.sampled_from([size for size in (2, 4, 8) if tp % size == 0])), "dp_attention": True}
        rows.append(row)
    return rows


@st.composite
def clusters(draw: st.DrawFn) -> Inventory:
    """Draw a cluster whose prefill and decode instances share hosts."""
    hosts = [f"p{number}" for number in range(draw(st.integers(2, 5)))]
    free = dict.fromkeys(hosts, GPUS)
    rows = {mode: draw(instances(mode, hosts, free)) for mode in ("prefill", "decode")}
    hypothesis.assume(all(rows.values()))
    used = {host for listed in rows.values() for row in listed for host in row["hosts"]}
    groups = {f"@{mode}": [host for host in hosts if any(host in row["hosts"] for row in listed)] for mode, listed in rows.items()}
    pools = {mode: {"tp": 1, "port": port, "instances": rows[mode]} for mode, port in (("prefill", 30000), ("decode", 30001))}
    changes = {**groups, "sglang_pools": pools, "sglang_model.config": GONE, "@router": [draw(st.sampled_from([*sorted(used), "r0"]))]}
    # The rules between pools are not the matter here, the arithmetic of places is.
    reason = "drawn by chance, not for serving"
    waived = dict.fromkeys(("parallel.attention-tp", "topology.idle-host"), reason)
    return gpu_cluster(len(hosts), 0, 1).change({**changes, "sglang_waive": known(waived)})


def known(waived: dict[str, str]) -> dict[str, str]:
    """Return the waivers of rules that there are."""
    return {name: reason for name, reason in waived.items() if name in catalogue.RULES and catalogue.RULES[name].waivable}


@hypothesis.settings(max_examples=120, deadline=None, derandomize=True)
@hypothesis.given(inventory=clusters())
def test_places_never_clash(inventory: Inventory) -> None:
    plan = inventory.plan()
    assert json.dumps(inventory.plan()) == json.dumps(plan)
    for host in plan["hosts"].values():
        numbers = [row["port"] for row in host["ports"]]
        assert len(numbers) == len(set(numbers)), host["ports"]
        taken = [gpu for rank in host["ranks"] for gpu in rank["gpus"]]
        assert len(taken) == len(set(taken))
        assert all(0 <= gpu < GPUS for gpu in taken)
        assert len(set(host["units"])) == len(host["ranks"]) + (host["router"] is not None)
    listed = [word for word in plan["routers"][0]["argv"] if word.startswith("http://")]
    assert listed == [instance["url"] for instance in plan["instances"]]
    assert len(listed) == len(set(listed))


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
@hypothesis.given(inventory=clusters())
def test_ranks_of_an_instance_differ_in_their_place_only(inventory: Inventory) -> None:
    plan = inventory.plan()
    table = flags.load("sglang-0.5.8")
    may = {"--" + table.options[dest].name for dest in arguments.by_dest(table, {name.lstrip("-"): None for name in PLACE})}
    for instance in plan["instances"]:
        first = instance["ranks"][0]
        for rank in instance["ranks"][1:]:
            ours, theirs = options(rank["argv"][2:]), options(first["argv"][2:])
            assert {name for name in ours | theirs if ours.get(name) != theirs.get(name)} <= may
            assert rank["arguments"] == first["arguments"]
            both = rank["environment"] | first["environment"]
            different = {name for name in both if rank["environment"].get(name) != first["environment"].get(name)}
            assert different <= PLACE_VARIABLES
