# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""By what the KV cache travelled: bytes that it must have moved against counters, and the engines' own words. On the controller.

Bytes are a lower bound: of the prompts that were sent to pairs by name, once the whole cache of each token. A live cluster moves more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest import counters
from ansible_collections.railyard.sglang.plugins.module_utils.launch import memory, modelshape
from ansible_collections.railyard.sglang.plugins.module_utils.launch.layout import KV_BITS, Layout
from ansible_collections.railyard.sglang.plugins.module_utils.serving import evidence, expect
from ansible_collections.railyard.sglang.plugins.module_utils.serving.steps import Step

WORDS = {"tx_bytes": "counters/port_xmit_data", "rx_bytes": "counters/port_rcv_data"}
# rxe and other drivers without words count packets of at most an MTU.
PACKETS = {
    "tx_bytes": ("hw_counters/sent_pkts", "hw_counters/tx_pkts", "counters/port_xmit_packets"),
    "rx_bytes": ("hw_counters/rcvd_pkts", "hw_counters/rx_pkts", "counters/port_rcv_packets"),
}
DIRECTION = {"prefill": "tx_bytes", "decode": "rx_bytes"}
VERB = {"tx_bytes": "sent", "rx_bytes": "received"}
# Of the management network: ssh and monitoring of a short while, or half of what the KV cache has.
QUIET_BYTES = 8 << 20
QUIET_SHARE = 0.5
TCP_LINE = re.compile(r"TcpTransport|tcp_transport|No RDMA devices found|Found 0 HCAs|MC_FORCE_TCP")
RDMA_LINE = re.compile(r"Found [1-9][0-9]* HCAs|RDMA device: |rdma_context|rdma_transport")


def token_bytes(config: Mapping[str, Any], kv_dtype: str) -> int | None:
    """Return the bytes of one token's KV cache in all layers, once; None where the model is not covered.

    :param config: the model's config.json.
    :param kv_dtype: as the engine names it, for example V(auto) or V(fp8_e4m3).
    """
    try:
        return memory.kv_bytes_per_token(modelshape.read(config), Layout(kv_bits=KV_BITS.get(kv_dtype, 16)))
    except modelshape.ModelShapeError:
        return None


def rdma_bytes(
    before: Mapping[str, Mapping[str, int]], after: Mapping[str, Mapping[str, int]], direction: str
) -> tuple[int | None, list[str]]:
    """Return the bytes at most that RDMA ports moved in a direction, None where no counter tells, and a text per port."""
    known, total, told = False, 0, []
    for port, counts in sorted(after.items()):
        own = evidence.grown(before.get(port), counts)
        name = next((name for name in (WORDS[direction], *PACKETS[direction]) if name in own), None)
        if name is None:
            continue
        size = own[name] * (counters.WORD_BYTES if name == WORDS[direction] else counters.LARGEST_MTU)
        known, total = True, total + size
        told.append(f"{port} {name} +{own[name]}")
    return (total if known else None), told


def in_hardware(after: Mapping[str, Mapping[str, int]]) -> bool:
    """Return whether RDMA ports carry their traffic past the kernel; what soft-RoCE carries counts on its interface, too."""
    return any(name in counts for counts in after.values() for name in WORDS.values())


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return ""


class Transport:
    """Judges one cluster.

    :ivar hosts: by host C(before) and C(after), C(lines) and C(config), as rank_state and serving_evidence return them.
    """

    def __init__(self, plan: Mapping[str, Any], cluster: str, hosts: Mapping[str, Mapping[str, Any]]) -> None:
        self.plan, self.hosts = plan, hosts
        self.instances = [row for row in plan["instances"] if row["cluster"] == cluster]
        self.step = Step("transport")
        self.told: list[str] = []

    def _log(self, rank: Mapping[str, Any], way: str) -> bool:
        """Compare a rank's log with the plan; return whether it names the planned way."""
        lines = self.hosts[rank["host"]].get("lines", {}).get(rank["unit"], [])
        tcp = [line for line in lines if TCP_LINE.search(line)]
        rdma = [line for line in lines if RDMA_LINE.search(line)]
        if way == "rdma" and tcp:
            self.step.problems.append(
                f"{rank['instance']} rank {rank['rank']} on {rank['host']}: RDMA is planned, and its log says {tcp[0].strip()[-160:]!r}. "
                "Fix: sglang_rdma_devices and the state of the ports (playbooks/facts.yml)"
            )
        return bool(tcp if way == "tcp" else rdma and not tcp)

    def _moved(self, host: str, way: str, direction: str) -> tuple[int | None, list[str]]:
        row = self.hosts[host]
        before, after = row.get("before") or {}, row.get("after") or {}
        if way == "rdma":
            return rdma_bytes(before.get("rdma") or {}, after.get("rdma") or {}, direction)
        fabric = after.get("fabric") or {}
        grown = evidence.grown(before.get("fabric"), fabric).get(direction)
        return grown, [f"{fabric.get('interface')} {direction} +{grown}"] if grown is not None else []

    def _beside(self, host: str, way: str, direction: str, expected: int) -> None:
        """Say what interfaces carried on which no KV cache should be: with as many bytes as it has, it may have gone there.

        NCCL of a group uses the same RDMA ports, so that their counters alone do not prove an instance of several hosts.
        """
        row = self.hosts[host]
        before, after = row.get("before") or {}, row.get("after") or {}
        management, fabric = after.get("management") or {}, after.get("fabric") or {}
        places = []
        if management.get("interface") and management.get("interface") != fabric.get("interface"):
            places.append(("management", management))
        if way == "rdma" and fabric.get("interface") and in_hardware(after.get("rdma") or {}):
            places.append(("fabric", fabric))
        for kind, counts in places:
            grown = evidence.grown(before.get(kind), counts).get(direction, 0)
            if grown <= max(QUIET_BYTES, expected * QUIET_SHARE):
                continue
            told = f"{host}: the {kind} interface {counts['interface']} {VERB[direction]} {_size(grown)}"
            if way == "rdma" and expected > QUIET_BYTES:
                self.step.problems.append(
                    f"{told} meanwhile where RDMA is planned, the KV cache had {_size(expected)}: it may have gone over TCP. "
                    "Fix: sglang_rdma_devices and the state of the ports (playbooks/facts.yml); on a cluster that serves, when it is quiet"
                )
            else:
                self.step.notes.append(f"{told} meanwhile, the KV cache had {_size(expected)}")

    def _instance(self, instance: Mapping[str, Any], tokens: int, info: Mapping[str, Any], hold: bool) -> None:
        """Compare what the hosts of an instance moved with the bytes of its prompts."""
        ranks, direction = instance["ranks"], DIRECTION[instance["mode"]]
        way = expect.transport(ranks[0], self.plan["hosts"][ranks[0]["host"]].get("rdma"))
        said = [self._log(rank, way) for rank in ranks]
        config = self.hosts[ranks[0]["host"]].get("config") or {}
        each = token_bytes(config, str(info.get("kv_cache_dtype", "auto")))
        hosts = list(dict.fromkeys(rank["host"] for rank in ranks))
        moved = [self._moved(host, way, direction) for host in hosts]
        names = "; ".join(f"{host}: {', '.join(told)}" for host, (_bytes, told) in zip(hosts, moved) if told)
        known = [size for size, _told in moved if size is not None]
        for host in hosts:
            self._beside(host, way, direction, tokens * (each or 0))
        if not hold:
            return
        if each is None:
            self.step.notes.append(
                f"{instance['name']}: the KV cache of this model's tokens is of an unknown size; what moved: {names or 'unknown'}"
            )
            if known and not any(known):
                self.step.problems.append(f"{instance['name']} {VERB[direction]} nothing over {way} on {', '.join(hosts)}")
            return
        needed = tokens * each
        if not known:
            text = f"{instance['name']}: no counter of {', '.join(hosts)} tells what went over {way}"
            (self.step.notes if all(said) else self.step.problems).append(
                text + (", its log names it" if all(said) else ", and neither does its log")
            )
            return
        self.told.append(f"{instance['name']} {VERB[direction]} {_size(sum(known))} for {_size(needed)}")
        if sum(known) < needed:
            self.step.problems.append(
                f"{instance['name']} {VERB[direction]} {_size(sum(known))} over {way} on {', '.join(hosts)}, the KV cache of {tokens} "
                f"prompt tokens has {_size(needed)} ({each} bytes each): it went another way. Counters: {names or 'none moved'}"
            )

    def judge(self, sent: Mapping[str, int], workers: Mapping[str, Mapping[str, Any]], looked: Sequence[str]) -> Step:
        """Return the step.

        :param sent: prompt tokens by instance; C(workers) what each instance says of itself.
        :param looked: the hosts that were looked at; instances with other hosts are left out, and named.
        """
        rows = [row for row in self.instances if row["mode"] in DIRECTION]
        shared = {rank["host"] for row in rows if row["mode"] == "prefill" for rank in row["ranks"]} & {
            rank["host"] for row in rows if row["mode"] == "decode" for rank in row["ranks"]
        }
        if shared:
            self.step.notes.append(f"prefill and decode share {', '.join(sorted(shared))}: bytes between them are on no interface")
        for row in rows:
            away = [rank["host"] for rank in row["ranks"] if rank["host"] not in looked]
            if away or row["name"] not in sent:
                self.step.notes.append(f"{row['name']}: not looked at" + (f" on {', '.join(away)}" if away else ", it was sent nothing"))
                continue
            self._instance(row, sent[row["name"]], workers.get(row["name"], {}), not shared)
        ways = sorted({expect.transport(row["ranks"][0], self.plan["hosts"][row["ranks"][0]["host"]].get("rdma")) for row in rows})
        self.step.evidence = f"{' and '.join(ways) or 'nothing'} as planned: {'; '.join(self.told) or 'by the logs'}"
        return self.step.settled()

    def faults(self, instance: str) -> str:
        """Return the error counters of an instance's hosts that moved, for a slow one."""
        own = next((row for row in self.instances if row["name"] == instance), None)
        found = []
        for host in dict.fromkeys(rank["host"] for rank in own["ranks"]) if own else []:
            row = self.hosts.get(host) or {}
            before, after = (row.get("before") or {}).get("rdma") or {}, (row.get("after") or {}).get("rdma") or {}
            rails = {name: number for number, name in enumerate((self.plan["hosts"][host].get("rdma") or {}).get("ports") or [])}
            for port, counts in after.items():
                for name, value in counters.errors(counters.moved(dict(before.get(port) or {}), dict(counts))).items():
                    rail = f" (rail {rails[port]})" if port in rails else ""
                    found.append(f"{host} {port}{rail} {name} +{value}")
        return ", ".join(found) or "no error counter moved"
