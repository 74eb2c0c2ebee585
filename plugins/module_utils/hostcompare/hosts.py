# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is compared of each host: its place in the plan, and what its facts say in few words."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare import rails
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.clock import Clock
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.rails import Rail
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.locality import counted

ROUTER = "router"


@dataclass(frozen=True)
class Member:
    """A host in the plan.

    :ivar places: instances that it serves, C(router) among them where it has one.
    :ivar ranks: of the plan, those on this host, each with C(instance), C(environment), C(device), and the C(nodes) of its instance.
    :ivar rdma: whether the plan moves data by RDMA on it; None where it does not say.
    :ivar alone: whether its instances never exchange data with others.
    """

    name: str
    cluster: str
    places: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    ranks: tuple[Mapping[str, Any], ...] = ()
    rdma: bool | None = None
    alone: bool = False

    @property
    def serves(self) -> bool:
        """Whether it has a rank."""
        return bool(self.ranks)


@dataclass
class Host:
    """A host that is compared.

    :ivar looked_at: whether the run has looked at it.
    :ivar facts: whether there are facts about it.
    :ivar topology: how GPUs, rails and NUMA nodes are connected, one sentence's subject to its value.
    """

    member: Member
    looked_at: bool = True
    facts: bool = False
    rails: list[Rail] = field(default_factory=list)
    question: str = ""
    gpus: str = ""
    topology: dict[str, str] = field(default_factory=dict)
    driver: str = ""
    kernel: str = ""
    clock: Clock | None = None

    @property
    def name(self) -> str:
        """Its name in the inventory."""
        return self.member.name

    @property
    def railed(self) -> bool:
        """Whether its rails are compared."""
        return self.member.rdma is not False

    @property
    def digest(self) -> str:
        """A hash of the topology, six hexadecimal digits; empty where nothing is known of it."""
        text = json.dumps(self.topology, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:6] if self.topology else ""


def members(plan: Mapping[str, Any]) -> list[Member]:
    """Return the hosts of a plan, instance by instance, then the routers."""
    pools: dict[str, list[str]] = {}
    places: dict[str, list[str]] = {}
    ranks: dict[str, list[Mapping[str, Any]]] = {}
    for instance in plan["instances"]:
        for rank in instance["ranks"]:
            places.setdefault(rank["host"], []).append(instance["name"])
            pools.setdefault(rank["host"], []).append(instance["pool"])
            kept = {
                "instance": instance["name"], "environment": rank["environment"], "device": rank.get("device", ""),
                "nodes": len({row["host"] for row in instance["ranks"]}), "mode": instance.get("mode", ""),
            }
            ranks.setdefault(rank["host"], []).append(kept)
    for router in plan["routers"]:
        places.setdefault(router["host"], []).append(ROUTER)
    found = []
    for name, own in places.items():
        row = plan["hosts"][name]
        uses = row["rdma"] is not None if "rdma" in row else None
        around = tuple(dict.fromkeys(pools.get(name, [])))
        here = tuple(ranks.get(name, []))
        alone = bool(here) and all(rank["mode"] == "plain" for rank in here)
        found.append(Member(name, row["cluster"], tuple(dict.fromkeys(own)), around, here, uses, alone))
    return found


def _gpus(facts: Mapping[str, Any]) -> str:
    models = Counter(str(row.get("model") or row.get("device") or row.get("vendor") or "unknown") for row in counted(facts))
    return ", ".join(f"{count} x {model}" for model, count in sorted(models.items())) or "none"


def _topology(facts: Mapping[str, Any], own: Sequence[Rail]) -> dict[str, str]:
    """Return every relation of the host that ought to be the same on another; names and PCI addresses are not in it."""
    found = {"NUMA nodes": ", ".join(map(str, facts["system"].get("numa_nodes") or [])) or "unknown"} if facts["system"] else {}
    for index, rail in enumerate(own):
        found[f"NUMA node of rail {index}"] = "unknown" if rail.numa is None else str(rail.numa)
    for gpu in counted(facts):
        paths = gpu.get("paths") or {}
        found[f"NUMA node of GPU {gpu['index']}"] = "unknown" if gpu.get("numa_node") is None else str(gpu["numa_node"])
        for index, rail in enumerate(own):
            found[f"GPU {gpu['index']} to rail {index}"] = str(paths.get(rail.device, "UNKNOWN"))
    return found


def _driver(facts: Mapping[str, Any]) -> str:
    system = facts["system"]
    nvidia, amd = system.get("nvidia") or {}, system.get("amdgpu") or {}
    if nvidia.get("version"):
        return " ".join(filter(None, ("nvidia", nvidia["version"], nvidia.get("kind"))))
    if amd.get("loaded"):
        return f"amdgpu {amd['version']}" if amd.get("version") else "amdgpu of the kernel"
    return "none" if facts["gpus"] else ""


def read(member: Member, facts: Mapping[str, Any] | None, clock: Clock | None = None, *, looked_at: bool = True) -> Host:
    """Return what is compared of a host.

    :param facts: as rdma_facts returns them, None where there are none.
    """
    host = Host(member, looked_at, clock=clock)
    if not facts or not facts.get("selection"):
        return host
    host.facts = True
    host.driver = _driver(facts)
    host.kernel = str(facts["system"].get("kernel") or "")
    host.gpus = _gpus(facts)
    if member.rdma is False:
        # Its devices carry nothing, and facts of an earlier run may still be about them.
        host.topology = _topology(facts, ())
        return host
    question = facts["selection"].get("ambiguous")
    host.question = str(question["question"]) if question else ""
    set_rails(host, facts, ())
    return host


def set_rails(host: Host, facts: Mapping[str, Any], more: Sequence[str]) -> None:
    """Read the rails of a host, and the topology that follows from their places."""
    host.rails = rails.read(facts, more)
    host.topology = _topology(facts, host.rails)


def complete(found: Sequence[tuple[Host, Mapping[str, Any]]]) -> None:
    """Give ports that are down their places on hosts that have fewer rails than most of their cluster.

    The selection names what is missing where GPUs or card models tell. Soft devices have neither.
    """
    for cluster in {host.member.cluster for host, _facts in found}:
        own = [(host, facts) for host, facts in found if host.member.cluster == cluster and host.member.serves and host.railed]
        counts = Counter(len(host.rails) for host, _facts in own)
        usual = max(counts, key=lambda count: (counts[count], count), default=0)
        names = {rail.label for host, _facts in own for rail in host.rails}
        for host, facts in own:
            lacking = usual - len(host.rails)
            if lacking <= 0 or host.question:
                continue
            spare = rails.spare(facts)
            known = [key for key in spare if key in names or key.rpartition(":")[0] in names]
            for choice in (spare, known):
                if len(choice) == lacking:
                    set_rails(host, facts, choice)
                    break
