# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prefill ranks register with a bootstrap server, and decode asks it: port and way must be the same for all."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.railyard.sglang.plugins.module_utils.launch import addresses, hosts
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.ranks import Rank
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract

# Bootstrap requests are plain HTTP.
PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
TRUE = ("1", "true", "yes", "y")


def check(contract: Contract, findings: Findings) -> None:
    """Report what keeps registration and its reader apart."""
    _ports(contract, findings)
    for rank in contract.ranks:
        if rank.instance.mode != "plain":
            _proxy(contract, rank, findings)
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


def _exempt(address: str, exceptions: str) -> bool:
    """Whether NO_PROXY names an address, as the requests library reads it: the address, an IPv4 network, or everything."""
    parsed = addresses.parse(address)
    for item in exceptions.replace(" ", "").split(","):
        network = addresses.network(item)
        inside = network is not None and parsed is not None and parsed.version == 4 and parsed in network
        if item == "*" or addresses.canonical(item) == address or inside:
            return True
    return False


def _value(environment: Mapping[str, str], *names: str) -> str:
    return next((environment[name] for name in names if environment.get(name)), "")


def _proxy(contract: Contract, rank: Rank, findings: Findings) -> None:
    """A proxy without any exception is environment.proxy; here the exceptions are looked at."""
    name = next((name for name in PROXIES if rank.environment.get(name)), "")
    exceptions = _value(rank.environment, "no_proxy", "NO_PROXY")
    if not name or not exceptions:
        return
    heads = [instance.head for instance in contract.of("prefill")]
    called = [address(contract.cluster, head) for head in heads for address in (hosts.dist_init, hosts.reached)]
    missed = [address for address in dict.fromkeys(called) if not _exempt(address, exceptions)]
    if missed:
        network = contract.cluster.variables["sglang_fabric_network"]
        wanted = network if network and "." in network else ",".join(missed)
        findings.add(
            "bootstrap.proxy", rank.written.get(name, f"sglang_env.{name}"),
            f"NO_PROXY={exceptions} leaves out {', '.join(missed)}: bootstrap requests of {rank.instance.name} go to the proxy "
            f"{rank.environment[name]}",
            f"set NO_PROXY: {exceptions},{wanted}, or take the proxy out", place=rank.instance.name,
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
