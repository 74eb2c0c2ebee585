# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the proof expects, from the plan. On the controller."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

VERSION = re.compile(r"sglang-(\d+(?:\.\w+)*)")
# Options that the plan may set, by the name of the field of /server_info.
OPTIONS = {
    "page_size": "page-size",
    "kv_cache_dtype": "kv-cache-dtype",
    "disaggregation_transfer_backend": "disaggregation-transfer-backend",
    "disaggregation_bootstrap_port": "disaggregation-bootstrap-port",
}
NUMBERS = ("page_size", "disaggregation_bootstrap_port")
# Whose fields were read on the running program.
READ_VERSION = "0.5.8"
TCP_BACKENDS = ("mooncake_tcp",)


def option(rank: Mapping[str, Any], name: str) -> Any:
    """Return the value that the plan gives an option of a rank, None where it leaves it to the engine."""
    if name in rank["arguments"]:
        return rank["arguments"][name]
    words = list(rank["argv"])
    places = [at for at, word in enumerate(words[:-1]) if word == f"--{name}"]
    return words[places[-1] + 1] if places else None


def transport(rank: Mapping[str, Any], rdma: Mapping[str, Any] | None) -> str:
    """Return by what a rank's KV cache is to travel, C(tcp) or C(rdma).

    :param rdma: what its host's slice says of RDMA.
    """
    forced = str(rank["environment"].get("MC_FORCE_TCP", "")) not in ("", "0")
    if forced or rdma is None or option(rank, "disaggregation-transfer-backend") in TCP_BACKENDS:
        return "tcp"
    return "rdma"


def info(plan: Mapping[str, Any], instance: Mapping[str, Any]) -> dict[str, Any]:
    """Return what rank 0 of an instance must say of itself, by field of /server_info."""
    cluster = next(row for row in plan["clusters"] if row["name"] == instance["cluster"])
    rank = instance["ranks"][0]
    found: dict[str, Any] = {
        "served_model_name": cluster["model"]["name"],
        "model_path": cluster["model"]["path"],
        "disaggregation_mode": instance["mode"] if instance["mode"] in ("prefill", "decode") else "null",
        "tp_size": instance["tp"],
        "dp_size": instance["dp"],
        "pp_size": instance["pp"],
        "nnodes": instance["nodes"],
        "node_rank": 0,
    }
    version = VERSION.match(str(rank["stack"]))
    if version:
        found["version"] = version.group(1)
    if found.get("version") != READ_VERSION:
        # 0.5.23 has an option of its own for attention's share of it.
        del found["dp_size"]
    for field, name in OPTIONS.items():
        value = option(rank, name)
        if value is not None:
            found[field] = int(value) if field in NUMBERS else value
    return found


def workers(plan: Mapping[str, Any], router: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a router's workers, each with what it must say of itself (C(expected)) and the host of its rank 0."""
    instances = {(row["cluster"], row["name"]): row for row in plan["instances"]}
    found = []
    for worker in router["workers"]:
        instance = instances[(router["cluster"], worker["instance"])]
        found.append({**worker, "host": instance["ranks"][0]["host"], "expected": info(plan, instance)})
    return found
