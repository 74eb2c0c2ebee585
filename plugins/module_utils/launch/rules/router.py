# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the router lists must be what serves."""

from __future__ import annotations

import collections
import urllib.parse

from ansible_collections.railyard.sglang.plugins.module_utils.launch import addresses, hosts
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings, listed
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract

VARIABLE = "sglang_router.workers"


def place(url: str) -> str:
    """Return scheme, address and port of a URL in one spelling; the router appends its own paths."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
        return f"{parts.scheme}://{addresses.host_port(addresses.canonical(parts.hostname or ''), port)}"
    except ValueError:
        return url


def check(contract: Contract, findings: Findings) -> None:
    """Judge the list of workers that an operator wrote."""
    cluster = contract.cluster
    heads = {place(addresses.url(hosts.reached(cluster, instance.head), instance.port)): instance for instance in contract.instances}
    others = {
        place(addresses.url(hosts.reached(cluster, rank.host), rank.instance.port)): rank for rank in contract.ranks if rank.number > 0
    }
    written = cluster.router["workers"]
    for index, worker in enumerate(written):
        where, url = f"{VARIABLE}[{index}]", place(worker["url"])
        if url in others:
            rank = others[url]
            findings.add(
                "router.not-rank-0", where + ".url",
                f"{url} is rank {rank.number} of {rank.instance.name}, which answers /health and serves nothing",
                f"list rank 0 only: {addresses.url(hosts.reached(cluster, rank.instance.head), rank.instance.port)}", rank.host,
                place="router",
            )
        elif url not in heads:
            findings.add(
                "router.unknown-worker", where + ".url", f"no instance of this plan is reached at {url}",
                "the workers are " + listed(list(heads)),
            )
        else:
            instance = heads[url]
            if worker["role"] != instance.mode:
                findings.add(
                    "router.role", where + ".role", f"{instance.name} is listed as {worker['role']} and runs as {instance.mode}",
                    f"write role: {instance.mode}", place="router",
                )
            elif instance.mode == "prefill" and worker["bootstrap_port"] != instance.bootstrap_port:
                given = worker["bootstrap_port"] or "no port"
                findings.add(
                    "router.bootstrap-port", where + ".bootstrap_port",
                    f"{given} is given, and {instance.name} listens on {instance.bootstrap_port}; without one each side takes its own",
                    f"write bootstrap_port: {instance.bootstrap_port}", place="router",
                )
    counts = collections.Counter(place(worker["url"]) for worker in written)
    for url, instance in heads.items():
        if written and url not in counts:
            findings.add(
                "router.missing-worker", VARIABLE, f"{instance.name} ({url}) is not listed", "list it, or take the instance out",
                place="router",
            )
    for url, count in counts.items():
        if count > 1:
            findings.add("router.worker-twice", VARIABLE, f"{url} is listed {count} times", "list each worker once", place="router")
    _modes(contract, {heads[url].mode for url in counts if url in heads}, findings)


def _modes(contract: Contract, served: set[str], findings: Findings) -> None:
    """A router without a prefill or without a decode worker never gets ready."""
    if not contract.cluster.router["workers"]:
        return
    for mode in dict.fromkeys(instance.mode for instance in contract.instances):
        if mode not in served:
            names = [instance.name for instance in contract.of(mode)]
            findings.add(
                "router.no-worker", VARIABLE, f"no {mode} worker of this plan is listed: the router never gets ready",
                f"list {listed(names)} with role: {mode}", place="router",
            )
