# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prefill ranks register with a bootstrap server, and decode asks it: port and way must be the same for all."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.railyard.sglang.plugins.module_utils.launch import addresses, environment, hosts, ports
from ansible_collections.railyard.sglang.plugins.module_utils.launch.catalogue import WARNING
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings, listed
from ansible_collections.railyard.sglang.plugins.module_utils.launch.ranks import Rank
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract

# Bootstrap requests are plain HTTP.
PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
TRUE = ("1", "true", "yes", "y")


def check(contract: Contract, findings: Findings) -> None:
    """Report what keeps registration and its reader apart."""
    _ports(contract, findings)
    _ascend_store(contract, findings)
    _proxy(contract, findings)
    for rank in contract.ranks:
        if rank.instance.mode == "prefill":
            _rust(contract, rank, findings)


def _ports(contract: Contract, findings: Findings) -> None:
    """A request without a bootstrap port makes each server take its own."""
    listening = {instance.bootstrap_port for instance in contract.of("prefill")}
    if len(listening) != 1:
        return
    (port,) = listening
    for instance in contract.of("decode"):
        if instance.bootstrap_port != port:
            findings.add(
                "bootstrap.ports-differ", instance.port_variable("bootstrap_port"),
                f"{instance.name} is given {instance.bootstrap_port}, and prefill listens on {port}: "
                "harmless as long as every request names the port",
                f"set {instance.port_variable('bootstrap_port')}: {port}", place=instance.name,
            )


def _addresses(contract: Contract, rank: Rank) -> dict[str, str]:
    return hosts.own(contract.cluster, contract.instances, rank.host)


def _ascend_store(contract: Contract, findings: Findings) -> None:
    """Without its URL the transfer engine of NPUs gets nothing to connect to."""
    if contract.engine.device != "npu" or contract.cluster.variables["sglang_transfer_backend"] != "ascend":
        return
    known = {address for rank in contract.heads if rank.instance.mode == "prefill" for address in _addresses(contract, rank)}
    for rank in contract.heads:
        if rank.instance.mode == "plain":
            continue
        store, variable = environment.ascend_store(rank.environment), rank.written.get(environment.STORE, f"sglang_env.{environment.STORE}")
        fix = f"set sglang_env: {{{environment.STORE}: tcp://ADDRESS:PORT}} with the address of rank 0 of prefill, one for both"
        if store is None:
            # The backend ascend of 0.5.8 and 0.5.23 does not read the variable; only a changed one may do without the store.
            mooncake = environment.with_mooncake(rank.environment)
            but = f"; {environment.STORE_OF_MOONCAKE} is not read by the backend ascend" if mooncake else ""
            findings.add(
                "bootstrap.ascend-store", variable, f"{rank.instance.name} is not told the store{but}", fix, place=rank.instance.name,
                severity=WARNING if mooncake else "",
            )
        elif addresses.parse(store[0]) is not None and store[0] not in known:
            findings.add(
                "bootstrap.ascend-store", variable, f"{store[0]} is no address of rank 0 of prefill, which opens the store", fix,
                place=rank.instance.name,
            )
        else:
            _ascend_port(contract, store, variable, findings)


def _ascend_port(contract: Contract, store: tuple[str, int], variable: str, findings: Findings) -> None:
    """The store's port is one more fixed port of its host."""
    address, number = store
    low, high = ports.EPHEMERAL
    if low <= number <= high:
        findings.add(
            "port.range", variable, f"port {number} (store of memfabric_hybrid) lies in the ephemeral range {low}-{high}",
            "choose a port outside of it: another process may hold it at any start",
        )
    owner = next((rank.host for rank in contract.heads if address in _addresses(contract, rank)), "")
    rows = [
        row for rank in contract.ranks if rank.host == owner
        for row in ports.rank(rank.instance, rank.number, contract.cluster, contract.engine)
    ]
    rows += [row for router in contract.routers if router["host"] == owner for row in router["ports"]]
    for row in rows:
        if row["port"] == number:
            findings.add(
                "port.twice", variable, f"port {number} is both the store of memfabric_hybrid and {row['purpose']}",
                f"change the port of {environment.STORE} or {row['variable']}", owner,
            )


def _exempt(address: str, exceptions: str) -> bool:
    """Whether NO_PROXY names an address, as the requests library reads it: the address, an IPv4 network, or everything."""
    parsed = addresses.parse(address)
    for item in exceptions.replace(" ", "").split(","):
        network = addresses.network(item)
        inside = network is not None and parsed is not None and parsed.version == 4 and parsed in network
        if item == "*" or addresses.canonical(item) == address or inside:
            return True
    return False


def _value(env: Mapping[str, str], *names: str) -> str:
    return next((env[name] for name in names if env.get(name)), "")


def _proxy(contract: Contract, findings: Findings) -> None:
    """A proxy without any exception is environment.proxy; here the exceptions are looked at, once for each that is written."""
    heads = [instance.head for instance in contract.of("prefill")]
    called = list(dict.fromkeys(address(contract.cluster, head) for head in heads for address in (hosts.dist_init, hosts.reached)))
    network = contract.cluster.variables["sglang_fabric_network"]
    seen: dict[tuple[str, str, str], list[Rank]] = {}
    for rank in contract.ranks:
        name = next((name for name in PROXIES if rank.environment.get(name)), "")
        exceptions = _value(rank.environment, "no_proxy", "NO_PROXY")
        if rank.instance.mode != "plain" and name and exceptions:
            seen.setdefault((rank.written.get(name, f"sglang_env.{name}"), name, exceptions), []).append(rank)
    for (variable, name, exceptions), ranks in seen.items():
        missed = [address for address in called if not _exempt(address, exceptions)]
        if missed:
            wanted = network if network and "." in network else ",".join(missed)
            names = list(dict.fromkeys(rank.instance.name for rank in ranks))
            findings.add(
                "bootstrap.proxy", variable,
                f"NO_PROXY={exceptions} leaves out {listed(missed)}: bootstrap requests of {listed(names)} go to the proxy of {name}",
                f"set NO_PROXY: {exceptions},{wanted}, or take the proxy out", place=names[0] if len(names) == 1 else "",
            )


def _rust(contract: Contract, rank: Rank, findings: Findings) -> None:
    on = rank.environment.get("SGLANG_RUST_SERVER", "").lower() in TRUE
    if on and contract.engine.version != "0.5.8":
        instance = rank.instance
        findings.add(
            "bootstrap.rust-server", rank.written.get("SGLANG_RUST_SERVER", "sglang_env.SGLANG_RUST_SERVER"),
            f"the bootstrap server of {instance.name} then listens on its API port {instance.port}, and the router and decode are told "
            f"{instance.bootstrap_port}",
            "remove SGLANG_RUST_SERVER: the plan gives the bootstrap server a port of its own", place=instance.name,
        )
