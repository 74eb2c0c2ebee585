# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cases of the host: by rule, the state that it must have, what is changed, and words of the finding."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import ERROR, NEEDLESS, NOTE, OK, UNKNOWN, WARNING
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostcheck.changes import (
    FABRIC,
    LOOPBACK,
    MANAGER,
    OWN,
    SOCKET,
    Case,
    address,
    answer,
    both,
    file,
    gone,
    listener,
    nothing,
    plain_user,
    plan,
    rank,
    tcp6,
)
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostcheck.world import (
    HEADER,
    Change,
    cpu_world,
    gpu_world,
    new_world,
    router_world,
)

CAPTURES = Path(__file__).resolve().parents[1] / "hostfirewall/captures"
RULES = "nft -j list ruleset"


def filtered(name: str) -> Change:
    """Return a change to a host with captured rules."""
    return answer(RULES, 0, (CAPTURES / f"{name}.json").read_text(encoding="utf-8"))


def extension(verdict: str) -> Change:
    """Return a change to a host of iptables: a rule that nft cannot show before a verdict."""
    table = {"family": "ip", "table": "filter"}
    chain = {"chain": {**table, "name": "INPUT", "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}}
    rule = {"rule": {**table, "chain": "INPUT", "expr": [{"xt": {"type": "match", "name": "tcp"}}, {verdict: None}]}}
    return answer(RULES, 0, json.dumps({"nftables": [chain, rule]}))


ALONE = {"flows": [], "sources": {}, "peers": "", "management_address": ""}
HOST: dict[str, list[Case]] = {
    "firewall": [
        Case(
            ERROR, filtered("firewalld_public"), "tcp 30000 on 203.0.113.10 (API, from lab routers) is closed by zone public of firewalld",
            cpu_world,
        ),
        Case(ERROR, filtered("firewalld_public"), "tcp 15000-17000 on 203.0.113.10 (Mooncake handshake, from lab decode)", cpu_world),
        Case(ERROR, filtered("firewalld_public"), "tcp 32768-60999 (ephemeral ports between engines, from lab engines)", cpu_world),
        Case(
            ERROR, filtered("firewalld_public"), "tcp 8000 on 198.51.100.210 (router API, from clients) is closed by zone public",
            router_world,
        ),
        Case(OK, filtered("firewalld_open"), "", cpu_world),
        Case(OK, answer(RULES, 0, '{"nftables": []}'), "", cpu_world),
        Case(OK, filtered("firewalld_open"), "", gpu_world),
        Case(ERROR, extension("drop"), "closed by chain INPUT of table ip filter", cpu_world),
        Case(UNKNOWN, extension("accept"), "xt in chain INPUT of table filter", cpu_world),
        Case(UNKNOWN, answer(RULES, 1, "", "Operation not permitted (you must be root)"), "Operation not permitted", cpu_world),
        Case(UNKNOWN, answer(RULES, 0, "{}"), "not understood", cpu_world),
        Case(UNKNOWN, answer("firewall-cmd", 0), "install nftables", cpu_world),
        Case(UNKNOWN, answer("iptables", 0, "-P INPUT DROP\n"), "iptables has rules of its own", cpu_world),
        Case(OK, answer("iptables", 0, "-P INPUT ACCEPT\n"), "", cpu_world),
        Case(
            UNKNOWN, both(answer(RULES, 0, '{"nftables": []}'), file("/proc/net/ip_tables_names", "filter\n"),
                          answer("iptables-legacy", 0, "-P INPUT ACCEPT\n-A INPUT -j DROP\n")),
            "iptables-legacy has rules of its own", cpu_world,
        ),
        Case(NEEDLESS, plan(firewall=ALONE), "nothing of the plan is reached"),
    ],
    "systemd": [Case(ERROR, gone("/run/systemd/system"), "systemd does not run this host")],
    "address": [
        Case(
            ERROR, file("/proc/net/fib_trie", "  |-- 198.51.100.210\n     /32 host LOCAL\n"),
            "203.0.113.10; the host has mgmt0 198.51.100.210",
        ),
        Case(
            ERROR, file("/proc/net/fib_trie", "".join(f"  |-- 198.51.100.{number}\n     /32 host LOCAL\n" for number in range(1, 31))),
            "and 14 more",
        ),
        Case(ERROR, file("/proc/net/fib_trie", ""), "the planned address 198.51.100.210; the host has none", router_world),
        Case(NEEDLESS, plan(addresses={}), "no address"),
    ],
    "interface": [
        Case(ERROR, plan(fabric_interface="fab9"), "203.0.113.10 is on fab0, not on fab9"),
        Case(NEEDLESS, plan(fabric_interface=""), "no interface"),
    ],
    "port-taken": [
        Case(ERROR, listener(30000, 7, "nginx", "nginx.service"), "is held by nginx (pid 7, nginx.service)"),
        Case(ERROR, listener(8998, 7, "sglang", "sglang-old-0.service"), "port 8998, planned for KV bootstrap"),
        Case(ERROR, listener(5000, 9, "nginx", address=LOOPBACK), "nginx (pid 9)"),
        Case(
            ERROR, listener(8000, 9, "haproxy", "haproxy.service"), "port 8000, planned for router API of sglang-router.service",
            router_world,
        ),
        Case(ERROR, file("/proc/net/tcp", HEADER + SOCKET.format(address=FABRIC, port=30000, inode=1)), "a process (pid 0)"),
        Case(
            UNKNOWN, both(file("/proc/net/tcp", HEADER + SOCKET.format(address=FABRIC, port=30000, inode=1)), plain_user),
            "30000 are held, and by whom a plain user cannot tell",
        ),
        Case(ERROR, both(address(30000, "0.0.0.0"), listener(30000, 9, "nginx", address=LOOPBACK)), "port 30000"),
        Case(ERROR, both(address(8998, "::"), listener(8998, 9, "nginx", address=LOOPBACK)), "port 8998"),
        Case(ERROR, tcp6("0000000000000000FFFF00000A7100CB", 30000), "port 30000"),
        Case(ERROR, both(address(30000, "2001:db8:0::10"), tcp6("B80D0120000000000000000010000000", 30000)), "port 30000"),
        Case(ERROR, both(address(30000, "2001:db8::10"), tcp6("0" * 32, 30000)), "port 30000"),
        Case(OK, both(address(30000, "2001:db8::10"), listener(30000, 9, "nginx")), ""),
        Case(OK, listener(30000, 9, "nginx", address=LOOPBACK), ""),
        Case(OK, listener(5001, 9, "nginx"), ""),
        Case(OK, listener(30000, 7, "sglang", OWN), ""),
        Case(
            OK, both(listener(30000, 7, "sglang", "sglang-old-0.service"),
                     file("/etc/systemd/system/sglang-old-0.service", "# railyard.sglang: unit of cluster lab, role engine\n")), "",
        ),
        Case(
            ERROR, both(listener(30000, 7, "sglang", "sglang-old-0.service"),
                        file("/etc/systemd/system/sglang-old-0.service", "# railyard.sglang: unit of cluster other, role engine\n")),
            "sglang-old-0",
        ),
        Case(UNKNOWN, gone("/proc/net/tcp"), "/proc/net/tcp cannot be read"),
        Case(NEEDLESS, plan(ports=[]), "no port"),
    ],
    "port-ephemeral": [
        Case(ERROR, file("/proc/sys/net/ipv4/ip_local_port_range", "20000\t60999"), "port 30000 (API) lies in this host's ephemeral range"),
        Case(OK, file("/proc/sys/net/ipv4/ip_local_port_range", "30001\t60999"), ""),
        Case(
            OK, both(file("/proc/sys/net/ipv4/ip_local_port_range", "5000\t5000"),
                     file("/proc/sys/net/ipv4/ip_local_reserved_ports", "4000-4999,5000,x,7-")), "",
        ),
        Case(UNKNOWN, file("/proc/sys/net/ipv4/ip_local_port_range", "many"), "ip_local_port_range cannot be read"),
        Case(NEEDLESS, plan(ports=[]), "no port"),
    ],
    "shm": [
        Case(UNKNOWN, gone("/dev/shm"), "/dev/shm cannot be read"),
        Case(NEEDLESS, nothing, "no rank", router_world),
    ],
    "proxy": [
        Case(
            ERROR, answer(MANAGER, 0, "http_proxy=http://user:secret@192.0.2.1:3128\n"), "the service manager's environment has http_proxy",
        ),
        Case(
            NOTE, file("/etc/systemd/system.conf.d/p.conf", '[Manager]\nDefaultEnvironment="HTTPS_PROXY=x" A=1\n'),
            "p.conf has HTTPS_PROXY",
        ),
        Case(
            ERROR, file("/etc/systemd/system/service.d/p.conf", "[Service]\nEnvironment=ALL_PROXY=x\n"), "p.conf has ALL_PROXY",
            router_world,
        ),
        Case(ERROR, file(f"/etc/systemd/system/{OWN}.d/p.conf", "[Service]\nEnvironment=http_proxy=x\n"), "p.conf has http_proxy"),
        Case(ERROR, file("/run/systemd/system/service.d/p.conf", "[Service]\nEnvironment=http_proxy=x\n"), "p.conf has http_proxy"),
        Case(ERROR, file("/usr/lib/systemd/system/sglang-.service.d/p.conf", "[Service]\nEnvironment=http_proxy=x\n"), "has http_proxy"),
        Case(
            ERROR, both(file("/etc/proxy.d/a.env", "# site\nhttp_proxy='http://x'\n"),
                        file("/etc/systemd/system/sglang-.service.d/p.conf", "[Service]\nEnvironmentFile=-/etc/proxy.d/*.env\n")),
            "p.conf has http_proxy",
        ),
        Case(
            OK, both(file("/etc/proxy.env", "http_proxy=x\n"),
                     file("/etc/systemd/system/service.d/p.conf", "[Service]\nEnvironmentFile=/etc/proxy.env\nEnvironmentFile=\n")), "",
        ),
        Case(
            ERROR, both(rank(environment={"http_proxy": ""}), file("/etc/proxy.env", "http_proxy=x\n"),
                        file("/etc/systemd/system/service.d/p.conf", "[Service]\nEnvironmentFile=/etc/proxy.env\n")), "has http_proxy",
        ),
        Case(ERROR, answer(MANAGER, 0, "http_proxy=x\nno_proxy=198.51.100.0/24\n"), "NO_PROXY leaves out 203.0.113.10"),
        Case(ERROR, answer(MANAGER, 0, "ALL_PROXY=x\nNO_PROXY=203.0.113.10\n"), "leaves out 203.0.113.110", router_world),
        Case(OK, answer(MANAGER, 0, "http_proxy=x\nno_proxy=localhost, 203.0.113.0/24\n"), ""),
        Case(OK, answer(MANAGER, 0, "http_proxy=x\nNO_PROXY=203.0.113.10\n"), ""),
        Case(OK, both(answer(MANAGER, 0, "http_proxy=x\n"), rank(environment={"NO_PROXY": "203.0.113.0/24"})), ""),
        Case(
            UNKNOWN, both(answer(MANAGER, 0, "http_proxy=x\nNO_PROXY=203.0.113.10\n"), rank(mode="decode")),
            "does not tell whether all prefill hosts",
        ),
        Case(OK, both(answer(MANAGER, 0, "http_proxy=x\n"), rank(environment={"http_proxy": ""})), ""),
        Case(OK, both(answer(MANAGER, 0, "http_proxy=x\n"), rank(environment={"http_proxy": "http://192.0.2.9:1"})), ""),
        Case(OK, answer(MANAGER, 0, "http_proxy=x\nNO_PROXY=*\n"), ""),
        Case(OK, answer(MANAGER, 0, "http_proxy=\nHTTP_PROXY_OLD=x\n"), ""),
        Case(OK, file("/etc/systemd/system.conf", "[Manager]\nDefaultEnvironment=http_proxy=x\nDefaultEnvironment=\n"), ""),
        Case(UNKNOWN, answer(MANAGER, 1, "", "no bus"), "does not tell its environment"),
        Case(NEEDLESS, plan(ranks=[]), "nothing of the plan"),
    ],
    "ipv6": [
        Case(ERROR, file("/proc/cmdline", "ro ipv6.disable=1"), "ipv6.disable=1", cpu_world),
        Case(ERROR, file("/sys/module/ipv6/parameters/disable", "1"), "ipv6.disable=1", cpu_world),
        Case(OK, file("/proc/cmdline", "ro ipv6.disable=0 ipv6.disable_ipv6=1"), "", cpu_world),
        Case(UNKNOWN, gone("/proc/cmdline"), "cannot be read", cpu_world),
        # Mooncake does not look at the value.
        Case(ERROR, both(rank(environment={"MC_FORCE_TCP": "0"}), file("/proc/cmdline", "ipv6.disable=1")), "ipv6.disable=1", cpu_world),
        Case(ERROR, both(answer(MANAGER, 0, "MC_FORCE_TCP=true\n"), file("/proc/cmdline", "ipv6.disable=1")), "ipv6.disable=1"),
        Case(ERROR, file("/proc/cmdline", "ipv6.disable=1"), "ipv6.disable=1", functools.partial(new_world, backend="mooncake_tcp")),
        Case(NEEDLESS, file("/proc/cmdline", "ipv6.disable=1"), "no rank"),
    ],
    "command-line": [
        Case(WARNING, file("/proc/cmdline", "ro numa=off"), "numa=off: all memory and devices appear on one NUMA node"),
        Case(WARNING, file("/proc/cmdline", "ro iommu.strict=1"), "iommu.strict=1"),
        Case(OK, file("/proc/cmdline", "ro ipv6.disable=1 iommu=pt"), ""),
        Case(UNKNOWN, gone("/proc/cmdline"), "cannot be read"),
        Case(NEEDLESS, file("/proc/cmdline", "numa=off"), "neither", cpu_world),
    ],
    "numa": [
        Case(WARNING, gone("/sys/devices/system/node/node1"), "2 sockets and 1 NUMA node"),
        Case(OK, file("/sys/devices/system/node/node2/cpulist", ""), ""),
        Case(UNKNOWN, gone("/sys/devices/system/cpu"), "neither sockets"),
        Case(
            NEEDLESS, both(gone("/sys/devices/system/node/node1"), file("/proc/cpuinfo", "flags\t\t: fpu hypervisor sse\n")),
            "virtual machine",
        ),
        Case(NEEDLESS, nothing, "no GPU rank", cpu_world),
    ],
    "memory-errors": [
        Case(WARNING, file("/sys/devices/system/edac/mc/mc0/ue_count", "2"), "2 uncorrected memory errors"),
        Case(UNKNOWN, gone("/sys/devices/system/edac"), "EDAC"),
        Case(NEEDLESS, nothing, "no GPU rank", cpu_world),
    ],
}
