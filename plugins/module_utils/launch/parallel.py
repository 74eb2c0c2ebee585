# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an instance's work is divided over its GPUs and hosts.

Source: sglang 0.5.8 entrypoints/engine.py (_launch_subprocesses), server_args.py (check_server_args), layers/dp_attention.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.instance import Instance, Sizes


def sizes(pool: Mapping[str, Any], row: Mapping[str, Any]) -> Sizes:
    """Return the sizes of an instance: its own where they are written, else its pool's."""
    chosen = {name: pool[name] if row.get(name) in (None, -1) else row[name] for name in ("tp", "dp", "pp", "ep", "dp_attention")}
    return Sizes(**chosen)


def check(instance: Instance, findings: Findings) -> bool:
    """Report sizes that cannot be divided; return whether they can."""
    given, nodes, name, variable = instance.sizes, instance.nodes, instance.name, f"sglang_pools.{instance.pool}"
    if (given.tp * given.pp) % nodes:
        findings.add(
            "topology.tp-nodes", f"{variable}.tp",
            f"tensor parallel size {given.tp} times {given.pp} pipeline stage(s) cannot be split over {nodes} hosts of {name}",
            "the number of hosts must divide tp times pp",
        )
    elif given.pp > 1 and nodes > 1 and nodes % given.pp and given.pp % nodes:
        findings.add(
            "parallel.pp-nodes", f"{variable}.pp", f"{given.pp} pipeline stages and {nodes} hosts of {name} do not divide each other",
            "a stage is a whole number of hosts, or a host holds a whole number of stages",
        )
    elif given.dp_attention and given.tp % given.dp:
        findings.add(
            "parallel.dp-tp", f"{variable}.dp", f"{given.dp} attention groups do not divide tp {given.tp} of {name}",
            "with dp_attention dp must divide tp",
        )
    elif given.dp > 1 and not given.dp_attention and (nodes > 1 or instance.mode != "plain"):
        where = f"over {nodes} hosts" if nodes > 1 else f"in pool mode {instance.mode}"
        findings.add(
            "parallel.plain-dp", f"{variable}.dp", f"dp {given.dp} without dp_attention is whole replicas, which {name} cannot be {where}",
            "set dp_attention: true, or make each replica an instance of its own",
        )
    elif given.ep > 1 and given.tp % given.ep:
        findings.add("parallel.ep-tp", f"{variable}.ep", f"ep {given.ep} does not divide tp {given.tp} of {name}", "ep must divide tp")
    else:
        return True
    return False


def engine_ranks(instance: Instance, rank: int) -> list[dict[str, int]]:
    """Return what a host's schedulers register as at the bootstrap server: attention TP rank, DP group and pipeline stage."""
    given, nodes = instance.sizes, instance.nodes
    nodes_per_stage = max(nodes // given.pp, 1)
    stages_per_node = max(given.pp // nodes, 1)
    first_stage = stages_per_node * (rank // nodes_per_stage)
    tp_per_node = given.tp // nodes_per_stage
    first_tp = tp_per_node * (rank % nodes_per_stage)
    rows = []
    for stage in range(first_stage, first_stage + stages_per_node):
        for tp in range(first_tp, first_tp + tp_per_node):
            group = tp // given.attention_tp if given.dp_attention else 0
            rows.append({"engine_rank": tp % given.attention_tp, "dp_group": group, "pp_rank": stage})
    return rows
