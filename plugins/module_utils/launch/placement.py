# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several instances on one host: which GPUs and which ports each of them takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.inputs import Cluster
from ansible_collections.railyard.sglang.plugins.module_utils.launch.instance import Instance
from ansible_collections.railyard.sglang.plugins.module_utils.launch.keys import HIGHEST_PORT, MOST_GPUS

# How far a port moves when another instance of the same host has it. A rendezvous port has 13 others above it.
PORTS = {"port": 10, "bootstrap_port": 1, "dist_init_port": 20}
BLOCK = {"port": 1, "bootstrap_port": 1, "dist_init_port": 14}


def _listens(instance: Instance) -> list[str]:
    return [key for key in PORTS if key != "bootstrap_port" or instance.mode == "prefill"]


def _moved(instance: Instance, used: Mapping[str, set[int]]) -> Instance:
    """Return the instance with the first ports, from its pool's on, that no instance before it has on its hosts.

    One that runs out of ports keeps the first number that is none, for the check of ports to name it.
    """
    others = {number for host in instance.hosts for number in used[host]}
    moved = {}
    for key in _listens(instance):
        number = getattr(instance, key)
        while key not in instance.own_ports and number <= HIGHEST_PORT and not others.isdisjoint(range(number, number + BLOCK[key])):
            number += PORTS[key]
        moved[key] = number
    return replace(instance, **moved)


def _gpus(instance: Instance, taken: dict[str, int]) -> tuple[int, ...]:
    if instance.first_gpu >= 0:
        return tuple(instance.first_gpu for _host in instance.hosts)
    return tuple(taken[host] for host in instance.hosts)


def place(instances: list[Instance], cluster: Cluster, findings: Findings) -> list[Instance]:
    """Return the instances with their GPUs and ports, in order, so that one that is added at the end moves no other."""
    on_host: dict[str, list[Instance]] = defaultdict(list)
    taken: dict[str, int] = defaultdict(int)
    used: dict[str, set[int]] = defaultdict(set)
    placed = []
    for instance in instances:
        done = replace(_moved(instance, used), gpu=_gpus(instance, taken))
        numbers = {getattr(done, key) + step for key in _listens(done) for step in range(BLOCK[key])}
        for host, first in zip(done.hosts, done.gpu):
            taken[host] = max(taken[host], first + done.gpus_per_host)
            _check(done, host, on_host[host], cluster.hosts[host]["sglang_gpu"]["count"], findings)
            on_host[host].append(done)
            used[host] |= numbers
        placed.append(done)
    return placed


def _check(instance: Instance, host: str, before: list[Instance], count: int, findings: Findings) -> None:
    first = instance.gpu[instance.hosts.index(host)]
    last = first + instance.gpus_per_host - 1
    for other in before:
        start = other.gpu[other.hosts.index(host)]
        end = start + other.gpus_per_host - 1
        if first <= end and start <= last:
            findings.add(
                "placement.gpu-twice", f"{instance.variable}.first_gpu",
                f"GPUs {first}-{last} of {instance.name} overlap {start}-{end} of {other.name}",
                "give each instance GPUs of its own: change first_gpu, or leave it out to have them counted", host,
            )
    if before and not count:
        findings.add(
            "placement.gpu-unknown", f"{instance.variable}.hosts",
            f"{host} serves {', '.join(other.name for other in before)} and {instance.name}, and the number of its GPUs is not known",
            "take it out of one of them, or set sglang_gpu.count (on a CPU stack: how many CPU ranks it may hold)", host,
        )
    if not count and last >= MOST_GPUS:
        findings.add(
            "placement.gpu-count", f"{instance.variable}.hosts",
            f"{instance.name} needs GPUs {first}-{last}, and no host has more than {MOST_GPUS}",
            "use fewer GPUs (tp times pp over the hosts of the instance), or more hosts, and set sglang_gpu.count", host,
        )
    if count and last >= count:
        findings.add(
            "placement.gpu-count", f"{instance.variable}.hosts",
            f"{instance.name} needs GPUs {first}-{last}, and the host has {count}"
            + (f" ({', '.join(other.name for other in before)} before it)" if before else ""),
            "use fewer GPUs (tp times pp over the hosts of the instance), more hosts, or correct sglang_gpu.count", host,
        )
