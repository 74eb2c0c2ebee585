# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Causes that no single line names: what the logs of several processes say, compared."""

from __future__ import annotations

import ipaddress
import os.path
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.catalogue import DEGRADES
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.cluster import (
    Cluster,
    Engine,
    Router,
    address,
    instances,
    network,
    split,
    wildcard,
)
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.origin import Origin
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.scanning import Hit


@dataclass(frozen=True)
class Derived:
    """One thing that was found by comparing.

    :ivar id: of the signature that holds its texts.
    :ivar origin: the process that is set up wrongly.
    :ivar hits: the lines that it follows from.
    :ivar served: the severity where requests were served all the same; empty where it is the signature's.
    """

    id: str
    origin: Origin
    groups: dict[str, str] = field(default_factory=dict)
    hits: tuple[Hit, ...] = ()
    served: str = ""


def _lines(*hits: Hit | None) -> tuple[Hit, ...]:
    return tuple(hit for hit in hits if hit is not None)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def two_networks(cluster: Cluster) -> Iterator[Derived]:
    """The bootstrap server listens at --host, ranks register at the host of --dist-init-addr: sglang 0.5.8 and 0.5.23, common/conn.py."""
    for engine in cluster.engines.values():
        if engine.role != "prefill" or engine.rank != 0:
            continue
        host, dist = address(engine.value("host")), split(engine.value("dist_init_addr"))[0]
        if not engine.value("host") and engine.api is not None:
            host = split(engine.api.groups["url"])[0]
        if not dist and engine.refused is not None:
            dist = address(engine.refused.groups["address"])
        if not host or not dist or wildcard(host) or wildcard(dist) or host == dist or not (_is_address(host) and _is_address(dist)):
            continue
        groups = {"host": host, "dist_init": dist, "port": engine.value("disaggregation_bootstrap_port") or "8998"}
        yield Derived("L01", engine.origin, groups, _lines(engine.hit, engine.refused, engine.api))


def workers(cluster: Cluster) -> Iterator[Derived]:
    """What routers list, compared with what is there."""
    for router in cluster.routers.values():
        for worker in router.workers:
            engine = cluster.at(worker.url)
            if engine is None:
                continue
            groups = {"url": worker.url, "role": worker.role, "engine": engine.origin.host or engine.origin.label}
            if engine.stub is not None or (engine.arguments and (engine.rank or 0) > 0):
                yield Derived("L02", router.origin, {**groups, "rank": str(engine.rank or 1)}, _lines(router.hit, engine.stub, engine.hit))
            elif engine.arguments and engine.role and engine.role != worker.role:
                yield Derived("L03", router.origin, {**groups, "mode": engine.role}, _lines(router.hit, engine.hit))
            elif engine.arguments and worker.role == "prefill" and engine.role == "prefill":
                yield from _port(cluster, router, worker.port, engine, groups)


def _port(cluster: Cluster, router: Router, port: str, engine: Engine, groups: dict[str, str]) -> Iterator[Derived]:
    listening = engine.value("disaggregation_bootstrap_port")
    if port:
        if port != listening:
            yield Derived("L04", router.origin, {**groups, "port": port, "listening": listening}, _lines(router.hit, engine.hit))
        return
    # Without a port in the router's list each decode engine takes its own.
    for decode in cluster.of_role("decode"):
        own = decode.value("disaggregation_bootstrap_port")
        if own != listening:
            yield Derived("L04", decode.origin, {**groups, "port": own, "listening": listening}, _lines(decode.hit, engine.hit))


def _dtype(value: str) -> str:
    """Return a type of the KV cache; auto is that of the model, which is bfloat16 unless its checkpoint says otherwise."""
    return "auto" if value in ("auto", "bfloat16", "bf16") else value


def _model(value: str) -> str:
    """Return what a model is called, be it a directory of any spelling or its name on a hub, with or without a snapshot's directory."""
    path = value.rstrip("/").lower()
    snapshot = re.search(r"models--([^/]+)/snapshots/[^/]+$", path)
    return snapshot[1].rpartition("--")[2] if snapshot is not None else os.path.basename(path)


PARITY: dict[str, tuple[str, Callable[[str], str]]] = {
    "L05": ("page_size", str),
    "L06": ("kv_cache_dtype", _dtype),
    "L08": ("model_path", _model),
    "L09": ("disaggregation_transfer_backend", str),
}


def clusters(cluster: Cluster) -> list[list[Engine]]:
    """Return the engines that serve together: by the list of each router, with all ranks of the instances in it, then the others.

    Logs of two clusters may lie in one directory: what is right in one is not compared with the other.
    """
    members = instances(cluster.engines.values())
    left = list(cluster.engines.values())
    found: list[list[Engine]] = []
    for router in cluster.routers.values():
        listed = [engine for worker in router.workers if (engine := cluster.at(worker.url)) is not None]
        group = list(listed)
        for ranks_of in members.values():
            if any(engine is other for engine in listed for other in ranks_of):
                group += [engine for engine in ranks_of if not any(engine is other for other in group)]
        if {engine.role for engine in group} >= {"prefill", "decode"}:
            left = [engine for engine in left if not any(engine is other for other in group)]
            found.append(group)
    # Engines of one role alone may belong to any of them, for example where addresses in the router's list are not known.
    return [*found, left] if found and {engine.role for engine in left} >= {"prefill", "decode"} else found or [left]


def parity(cluster: Cluster) -> Iterator[Derived]:
    """What prefill and decode must have alike: sglang 0.5.8 disaggregation/decode.py and mooncake/conn.py."""
    for group in clusters(cluster):
        yield from _parity([engine for engine in group if engine.arguments])


def _parity(group: list[Engine]) -> Iterator[Derived]:
    prefill, decode = ([engine for engine in group if engine.role == role] for role in ("prefill", "decode"))
    for key, (name, shape) in PARITY.items():
        ours = Counter(shape(engine.value(name)) for engine in prefill if engine.value(name))
        theirs = Counter(shape(engine.value(name)) for engine in decode if engine.value(name))
        if not ours or not theirs or set(ours) == set(theirs):
            continue
        # The few are wrong rather than the many; of as many as others, decode.
        common = (ours + theirs).most_common(1)[0][0]
        odd = next((engine for engine in decode + prefill if engine.value(name) and shape(engine.value(name)) != common), decode[0])
        if len(set(ours)) == 1 and len(set(theirs)) == 1:
            common = ours.most_common(1)[0][0]
            odd = decode[0]
        other = next((engine for engine in prefill + decode if shape(engine.value(name)) == common), prefill[0])
        groups = {"value": odd.value(name), "wanted": other.value(name), "peer": other.origin.host or other.origin.label}
        yield Derived(key, odd.origin, groups, _lines(odd.hit, other.hit))


# A line with fewer names was shortened by hand: 0.5.8 writes 325, 0.5.23 546.
WHOLE_SET = 100


def _latest(group: list[Engine]) -> list[Engine]:
    """Return the engines of a group, of the logs of one rank (rotated ones) the one that was written last."""
    found: dict[tuple[str, ...], Engine] = {}
    for engine in sorted(group, key=lambda each: each.hit.seconds or 0.0 if each.hit is not None else 0.0):
        where = engine.value("dist_init_addr") or engine.value("port")
        found[engine.origin.host or engine.origin.label, engine.role, where, str(engine.rank)] = engine
    return list(found.values())


def versions(cluster: Cluster) -> Iterator[Derived]:
    """Engines of one version print the same names of arguments, whatever their values. The few are wrong; of as many as others, decode."""
    for group in clusters(cluster):
        members = _latest([engine for engine in group if engine.arguments])
        known = [engine for engine in members if len(engine.names) >= WHOLE_SET]
        if {engine.role for engine in known} != {"prefill", "decode"} or not _one(cluster, members):
            continue
        counts = Counter(engine.names for engine in known)
        known.sort(key=lambda engine: (-counts[engine.names], engine.role == "decode"))
        odd = next((engine for engine in known if engine.names != known[0].names), None)
        if odd is not None:
            yield Derived("L59", odd.origin, {}, _lines(odd.hit, known[0].hit))


def ranks(cluster: Cluster) -> Iterator[Derived]:
    """Ranks of one instance that were not started as such."""
    for members in instances(cluster.engines.values()).values():
        for name in ("nnodes", "tp_size"):
            values = Counter(engine.value(name) for engine in members if engine.value(name))
            if len(values) > 1:
                common = values.most_common(1)[0][0]
                odd = [engine for engine in members if engine.value(name) and engine.value(name) != common][-1]
                groups = {"option": name, "value": odd.value(name), "wanted": common}
                yield Derived("L10", odd.origin, groups, _lines(odd.hit, *(engine.hit for engine in members if engine is not odd)))
        seen: dict[int, Engine] = {}
        for engine in members:
            rank = engine.rank
            if rank is None:
                continue
            other = seen.setdefault(rank, engine)
            if other is not engine and other.origin.host and engine.origin.host and other.origin.host != engine.origin.host:
                yield Derived(
                    "L10",
                    engine.origin,
                    {"option": "node_rank", "value": str(rank), "wanted": "another one"},
                    _lines(engine.hit, other.hit),
                )
    yield from _parted(cluster)
    by_name: dict[str, list[Engine]] = {}
    for engine in cluster.engines.values():
        if engine.origin.instance and engine.value("dist_init_addr"):
            by_name.setdefault(engine.origin.instance, []).append(engine)
    for members in by_name.values():
        first = next((engine for engine in members if engine.rank == 0), None)
        for engine in members:
            if first is not None and engine is not first and engine.value("dist_init_addr") != first.value("dist_init_addr"):
                groups = {"option": "dist_init_addr", "value": engine.value("dist_init_addr"), "wanted": first.value("dist_init_addr")}
                yield Derived("L10", engine.origin, groups, _lines(engine.hit, first.hit))


def _parted(cluster: Cluster) -> Iterator[Derived]:
    """Ranks that wait at an address where no rank 0 is, while an instance of their role lacks just them."""
    groups = list(instances(cluster.engines.values()).values())
    for group in groups:
        if any(engine.rank == 0 or engine.rank is None for engine in group) or group[0].origin.instance:
            continue
        lone = group[0]
        ours = {engine.rank for engine in group}
        for other in groups:
            first = next((engine for engine in other if engine.rank == 0), None)
            alike = first is not None and (first.role, first.value("nnodes")) == (lone.role, lone.value("nnodes"))
            if first is not None and alike and not ours & {engine.rank for engine in other}:
                values = {"option": "dist_init_addr", "value": lone.value("dist_init_addr"), "wanted": first.value("dist_init_addr")}
                yield Derived("L10", lone.origin, values, _lines(lone.hit, first.hit))
                break


def missing(cluster: Cluster) -> Iterator[Derived]:
    """Ranks whose logs are not here."""
    for members in instances(cluster.engines.values()).values():
        wanted = next((engine.value("nnodes") for engine in members if engine.value("nnodes").isdigit()), "1")
        there = {engine.rank for engine in members}
        absent = [str(rank) for rank in range(min(int(wanted), 64)) if rank not in there]
        if absent:
            yield Derived("L11", members[0].origin, {"value": ", ".join(absent), "wanted": wanted}, _lines(members[0].hit))


def transfer_address(cluster: Cluster) -> Iterator[Derived]:
    """The address that an engine tells its peers for the KV cache."""
    for group in clusters(cluster):
        yield from _transfer_address(group, _one(cluster, group))


def _one(cluster: Cluster, group: list[Engine]) -> bool:
    """Return whether engines are known to serve together: a router lists them, or there is no more than an instance of each role."""
    listed = [worker.url for router in cluster.routers.values() for worker in router.workers]
    if any(cluster.at(url) is engine for url in listed for engine in group):
        return True
    # Without a rendezvous address an engine is an instance of its own.
    known = {(engine.role, engine.value("dist_init_addr") or str(engine.origin)) for engine in group if engine.arguments}
    return max(Counter(role for role, _name in known).values(), default=0) <= 1


def _transfer_address(group: list[Engine], together: bool) -> Iterator[Derived]:
    told = [(engine, address(engine.transfer.groups["address"])) for engine in group if engine.transfer is not None]
    networks = Counter(network(item) for _engine, item in told)
    others = len({engine.origin.host or engine.origin.file for engine, _item in told})
    for engine, item in told:
        if not _is_address(item):
            continue
        if ipaddress.ip_address(item).is_loopback and others > 1:
            yield Derived(
                "L12", engine.origin, {"address": item, "wanted": "an address that peers reach"}, _lines(engine.transfer, engine.hit)
            )
        elif (
            networks[network(item)] == 1
            and len(networks) == 2
            and sum(networks.values()) >= 3
            # Prefill and decode may have a network each, with a route between them: one that is alone among its own kind is wrong.
            and any(other.role == engine.role and network(its) != network(item) for other, its in told)
        ):
            common = networks.most_common(1)[0][0]
            # Where the API is elsewhere, too, it is not this engine's own network.
            apart = _own(engine) not in ("", network(item))
            values = {"address": item, "wanted": common}
            yield Derived("L12", engine.origin, values, _lines(engine.transfer, engine.hit), DEGRADES if apart else "")
        elif (
            together and _own(engine) not in ("", network(item)) and any(_own(engine) == _own(other) == network(its) for other, its in told)
        ):
            yield Derived("L56", engine.origin, {"address": item, "wanted": _own(engine)}, _lines(engine.transfer, engine.hit))


def _own(engine: Engine) -> str:
    """Return the network that an engine has its API in, where it says so itself."""
    host = address(engine.value("host"))
    return "" if wildcard(host) else network(host)


def tcp_instead(cluster: Cluster) -> Iterator[Derived]:
    """Mooncake chose TCP although devices were named: it does so by itself where none of them can be used."""
    for engine in cluster.engines.values():
        devices = engine.value("disaggregation_ib_device")
        if devices and engine.tcp is not None and not engine.forced and engine.value("disaggregation_transfer_backend") == "mooncake":
            yield Derived("L15", engine.origin, {"device": devices}, _lines(engine.tcp, engine.hit))


RULES: tuple[Callable[[Cluster], Iterator[Derived]], ...] = (
    two_networks,
    workers,
    parity,
    versions,
    ranks,
    missing,
    transfer_address,
    tcp_instead,
)


def derive(cluster: Cluster) -> list[Derived]:
    """Return all that follows from comparing."""
    return [found for rule in RULES for found in rule(cluster)]
