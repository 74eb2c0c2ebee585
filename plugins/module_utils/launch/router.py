# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The router's command line and the workers that it lists."""

from __future__ import annotations

from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import addresses, arguments, flags, hosts
from ansible_collections.railyard.sglang.plugins.module_utils.launch.inputs import Cluster
from ansible_collections.railyard.sglang.plugins.module_utils.launch.instance import Instance

DEFAULTS = {
    "health-check-interval-secs": (10, "a dead worker is found in two intervals, not in three minutes"),
    "health-check-timeout-secs": (20, "/health of a worker generates a token and may take up to 20 s"),
    "health-failure-threshold": (2, "one slow answer is not a dead worker"),
    "health-success-threshold": (1, "the first good answer brings a restarted worker back"),
    "worker-startup-check-interval": (5, "workers that load are looked at every 5 s"),
}


def workers(cluster: Cluster, instances: list[Instance]) -> list[dict[str, Any]]:
    """Return what the router lists: rank 0 of every instance, and nothing else (ranks 1.. only pretend to serve).

    A list that the operator wrote wins; its rows carry the instance whose rank 0 they name, or an empty text.
    """
    derived = [
        {
            "instance": instance.name,
            "role": instance.mode,
            "url": addresses.url(hosts.reached(cluster, instance.head), instance.port),
            "bootstrap_port": instance.bootstrap_port,
        }
        for instance in instances
    ]
    if not cluster.router["workers"]:
        return derived
    names = {row["url"]: row["instance"] for row in derived}
    return [{"instance": names.get(row["url"].rstrip("/"), ""), **row} for row in cluster.router["workers"]]


def command(
    cluster: Cluster, host: str, given: dict[str, Any], listed: list[dict[str, Any]], table: flags.FlagTable,
) -> tuple[list[str], dict[str, str]]:
    """Return the router's command line words and the reasons of what was derived.

    :param given: what the operator wrote, by dest.
    :param listed: the workers.
    """
    address = hosts.management(cluster, host)
    pairs = any(worker["role"] != "plain" for worker in listed)
    derived: dict[str, tuple[Any, str]] = {
        "host": (address, "the router's own management address, by which clients reach the cluster"),
        "port": (cluster.router["port"], "sglang_router.port"),
        "prometheus-host": (address, "metrics are for the management network"),
        "prometheus-port": (cluster.router["metrics_port"], "sglang_router.metrics_port"),
        **({"pd-disaggregation": (True, "the workers are prefill and decode instances")} if pairs else {}),
        **DEFAULTS,
    }
    values: dict[str, tuple[Any, str]] = arguments.by_dest(table, derived)
    values |= {dest: (value, arguments.ROUTER_VARIABLE) for dest, value in given.items()}
    line: list[str] = []
    for dest, (value, _why) in values.items():
        if value is not None:
            line += flags.words(table.options[dest], value)
    plain = [worker["url"] for worker in listed if worker["role"] == "plain"]
    if plain:
        line += ["--worker-urls", *plain]
    for worker in listed:
        if worker["role"] != "plain":
            line += ["--" + worker["role"], worker["url"]]
        if worker["role"] == "prefill" and worker["bootstrap_port"]:
            line.append(str(worker["bootstrap_port"]))
    return line, {"--" + table.options[dest].name: why for dest, (_value, why) in values.items()}
