# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What prefill and decode must know of each other: where decode looks prefill up, and how long prefill is away before decode misses it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import addresses
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import reading

# Decode asks each bootstrap server that it uses for its health every INTERVAL seconds, and forgets it after so many FAILURES in a row
# (disaggregation/mooncake/conn.py and nixl/conn.py of 0.5.8, common/conn.py of 0.5.23: defaults, and the least that is taken).
INTERVAL, FAILURES = ("SGLANG_DISAGGREGATION_HEARTBEAT_INTERVAL", 5.0, 2.0), ("SGLANG_DISAGGREGATION_HEARTBEAT_MAX_FAILURE", 2.0, 1.0)
# Seconds that the servers of a round take to answer. Those of other hosts that lost their power in the same moment take two or three
# each, until they are forgotten, too: that is not in it.
ANSWERS = 1.0
# Longer than that nobody waits: rule timeouts.absence says so long before.
LONGEST = 600


def _number(environment: Mapping[str, str], variable: tuple[str, float, float]) -> float:
    """Return what the engine makes of a variable; a text that is no number of seconds or failures is another rule's business."""
    name, default, least = variable
    try:
        value = float(environment.get(name, default))
    except ValueError:
        return default
    return max(value, least) if math.isfinite(value) else default


def away(environments: Iterable[Mapping[str, str]]) -> int:
    """Return after how many seconds every decode rank has missed a prefill instance that is away, at most LONGEST; 0 without decode.

    :param environments: those of the decode ranks.
    """
    rounds = [(_number(row, INTERVAL) + ANSWERS) * _number(row, FAILURES) for row in environments]
    return min(math.ceil(max(rounds, default=0)), LONGEST)


def _host(url: str) -> str:
    """Return the host of a URL, empty where it is none, which router.unknown-worker refuses unless somebody waives it."""
    try:
        return reading.host_of(url)
    except ValueError:
        return ""


def bootstraps(workers: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return the bootstrap servers that routers name to decode: the host of a prefill worker's URL, and its bootstrap port."""
    rows = [(_host(row["url"]), row) for row in workers if row["role"] == "prefill" and row["bootstrap_port"]]
    found = {addresses.url(host, row["bootstrap_port"]): row["instance"] for host, row in rows if host}
    return [{"instance": instance, "url": url} for url, instance in found.items()]


def add(instances: Sequence[Mapping[str, Any]], workers: Iterable[Mapping[str, Any]]) -> None:
    """Give each rank of a cluster what it must know of the other role.

    Rank 0 of a prefill instance gets C(absence): for how long it stays away once it has served, the port by which it shows that
    it does, and the one by which decode knows it. A decode rank gets C(bootstraps), the servers that it looks prefill up at.

    :param workers: those that the cluster's routers list.
    """
    ranks = [rank for instance in instances for rank in instance["ranks"]]
    seconds = away(rank["environment"] for rank in ranks if rank["mode"] == "decode")
    servers = bootstraps(workers)
    for rank in ranks:
        known = rank["mode"] == "prefill" and rank["rank"] == 0 and seconds > 0
        ports = {"port": _port(rank, "API"), "bootstrap_port": _port(rank, "KV bootstrap")} if known else {}
        rank["absence"] = {"seconds": seconds, **ports} if known else None
        rank["bootstraps"] = servers if rank["mode"] == "decode" else []


def _port(rank: Mapping[str, Any], purpose: str) -> int:
    (port,) = [row["port"] for row in rank["ports"] if row["purpose"] == purpose]
    return int(port)
