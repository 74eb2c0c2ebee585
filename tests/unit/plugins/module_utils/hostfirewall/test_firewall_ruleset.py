# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What filters do with a connection: rules as nft lists them, written by hand and captured from firewalld 1.3.3."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall import nft, ruleset
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.ruleset import CLOSED, OPEN, UNKNOWN
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.wanted import Flow
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostfirewall.filtered_host import HOST, wanted

CAPTURES = Path(__file__).resolve().parent / "captures"
FLOW = Flow("fabric", "203.0.113.10", "tcp", "30000-30010", "API", ("203.0.113.20/31",), "routers")
ANYONE = replace(FLOW, sources=None)
SIX = replace(FLOW, address="2001:db8::10", sources=("2001:db8::20",))
UDP = replace(FLOW, protocol="udp")
ANYWHERE = replace(FLOW, address="")


def match(left: Any, right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


def payload(protocol: str, field: str) -> dict[str, Any]:
    return {"payload": {"protocol": protocol, "field": field}}


def meta(key: str) -> dict[str, Any]:
    return {"meta": {"key": key}}


PORT, SOURCE, TARGET = payload("tcp", "dport"), payload("ip", "saddr"), payload("ip", "daddr")
STATE = {"ct": {"key": "state"}}
ACCEPT, DROP = {"accept": None}, {"drop": None}
WITHIN = {"range": [29999, 30020]}


def verdict_map(*rows: Any, key: Any = None) -> dict[str, Any]:
    return {"vmap": {"key": PORT if key is None else key, "data": {"set": [list(row) for row in rows]}}}


# Rules of the chain that sees what comes in, its policy, the connection, what becomes of it.
CASES: dict[str, tuple[list[list[Any]], str, Flow, str]] = {
    "no rule, accept": ([], "accept", FLOW, OPEN),
    "no rule, drop": ([], "drop", FLOW, CLOSED),
    "the first rule counts": ([[ACCEPT], [DROP]], "drop", FLOW, OPEN),
    "reject": ([[{"reject": {"type": "icmpx", "expr": "admin-prohibited"}}]], "accept", FLOW, CLOSED),
    "both ends of the range": ([[match(PORT, WITHIN), ACCEPT]], "drop", FLOW, OPEN),
    "one end of the range": ([[match(PORT, {"range": [29999, 30005]}), ACCEPT]], "drop", FLOW, CLOSED),
    "ports of a set": ([[match(PORT, {"set": [22, 30000, 30010]}), ACCEPT]], "drop", FLOW, OPEN),
    "a named set": ([[match(PORT, "@ports"), ACCEPT]], "drop", FLOW, OPEN),
    "a set that nobody knows": ([[match(PORT, "@nowhere"), ACCEPT]], "drop", FLOW, UNKNOWN),
    "another protocol": ([[match(PORT, WITHIN), ACCEPT]], "drop", UDP, CLOSED),
    "ports of either protocol": ([[match(payload("th", "dport"), WITHIN), ACCEPT]], "drop", UDP, OPEN),
    "a protocol by its number": ([[match(meta("l4proto"), 17), ACCEPT]], "drop", UDP, OPEN),
    "a protocol by its name": ([[match(meta("l4proto"), {"set": ["icmp", "tcp"]}), ACCEPT]], "drop", FLOW, OPEN),
    "source": ([[match(SOURCE, {"prefix": {"addr": "203.0.113.0", "len": 24}}), ACCEPT]], "drop", FLOW, OPEN),
    "source in a range": ([[match(SOURCE, {"range": ["203.0.113.20", "203.0.113.30"]}), ACCEPT]], "drop", FLOW, OPEN),
    "another source": ([[match(SOURCE, "192.0.2.1"), ACCEPT]], "drop", FLOW, CLOSED),
    "not another source": ([[match(SOURCE, "192.0.2.1", "!="), ACCEPT]], "drop", FLOW, OPEN),
    "from some of anywhere": ([[match(SOURCE, "192.0.2.1"), ACCEPT]], "drop", ANYONE, OPEN),
    "from nowhere": ([[match(PORT, 22), ACCEPT]], "drop", ANYONE, CLOSED),
    "of the other family": ([[match(SOURCE, "203.0.113.20"), ACCEPT]], "drop", SIX, CLOSED),
    "IPv6": ([[match(payload("ip6", "saddr"), {"prefix": {"addr": "2001:db8::", "len": 64}}), ACCEPT]], "drop", SIX, OPEN),
    "family": ([[match(meta("nfproto"), "ipv6"), ACCEPT]], "drop", SIX, OPEN),
    "target": ([[match(TARGET, "203.0.113.10"), ACCEPT]], "drop", FLOW, OPEN),
    "some of the targets": ([[match(TARGET, "203.0.113.10"), ACCEPT]], "drop", ANYWHERE, OPEN),
    "pairs": (
        [[match({"concat": [TARGET, PORT]}, {"set": [{"concat": ["203.0.113.10", WITHIN]}]}), ACCEPT]], "drop", FLOW, OPEN,
    ),
    "interface": ([[match(meta("iifname"), "fab0"), ACCEPT]], "drop", FLOW, OPEN),
    "interface by a pattern": ([[match(meta("iifname"), "fab*"), ACCEPT]], "drop", FLOW, OPEN),
    "another interface": ([[match(meta("iif"), "lo"), ACCEPT]], "drop", FLOW, CLOSED),
    "connections that are there": ([[match(STATE, ["established", "related"], "in"), ACCEPT]], "drop", FLOW, CLOSED),
    "new connections": ([[match(STATE, {"set": ["new", "untracked"]}, "in"), ACCEPT]], "drop", FLOW, OPEN),
    "invalid packets": ([[match(STATE, "invalid", "in"), DROP], [ACCEPT]], "drop", FLOW, OPEN),
    "state by a map": ([[verdict_map(["established", ACCEPT], ["new", {"jump": {"target": "more"}}], key=STATE)]], "drop", FLOW, OPEN),
    "ports by a map": ([[verdict_map([22, DROP], [30000, ACCEPT], [30010, ACCEPT])]], "drop", FLOW, OPEN),
    "ports by a map that drops": ([[verdict_map([30000, DROP])]], "accept", FLOW, CLOSED),
    "ports that are in no map": ([[verdict_map([22, DROP])]], "accept", FLOW, OPEN),
    "a map that nobody knows": ([[{"vmap": {"key": PORT, "data": "@nowhere"}}]], "drop", FLOW, CLOSED),
    "jump and come back": ([[{"jump": {"target": "none"}}], [ACCEPT]], "drop", FLOW, OPEN),
    "go and do not come back": ([[{"goto": {"target": "none"}}], [ACCEPT]], "drop", FLOW, CLOSED),
    "return": ([[{"return": None}], [ACCEPT]], "drop", FLOW, CLOSED),
    "a chain that is not there": ([[{"jump": {"target": "nowhere"}}]], "accept", FLOW, UNKNOWN),
    "a circle": ([[{"jump": {"target": "circle"}}]], "drop", FLOW, UNKNOWN),
    "counted, logged and limited": (
        [[{"counter": {"packets": 1, "bytes": 1}}, {"log": None}, {"limit": {"rate": 3, "per": "minute"}}, ACCEPT]], "drop", FLOW, OPEN,
    ),
    "over a limit": ([[{"limit": {"rate": 3, "per": "minute", "inv": True}}, DROP]], "accept", FLOW, OPEN),
    "the flags of a new connection": (
        [[match({"&": [payload("tcp", "flags"), ["fin", "syn", "rst", "ack"]]}, "syn", "!="), DROP], [ACCEPT]], "drop", FLOW, OPEN,
    ),
    "a mark that nothing has set": ([[match({"&": [meta("mark"), 32768]}, 32768), DROP]], "accept", FLOW, OPEN),
    "an extension of iptables": ([[{"xt": {"type": "match", "name": "addrtype"}}, DROP]], "accept", FLOW, UNKNOWN),
    "an extension where it does not matter": ([[match(PORT, 22), {"xt": None}, DROP]], "accept", FLOW, OPEN),
    "an expression that nobody knows": ([[match({"fib": {"result": "oif"}}, 0), DROP]], "accept", FLOW, UNKNOWN),
    "an expression that nobody knows, and both ways accept": ([[match({"fib": {"result": "oif"}}, 0), ACCEPT]], "accept", FLOW, OPEN),
}


def chains(rules: list[list[Any]], policy: str, family: str = "inet", table: str = "t") -> list[Any]:
    where = {"family": family, "table": table}
    base = {"chain": {**where, "name": "in", "type": "filter", "hook": "input", "prio": 0, "policy": policy}}
    more = [{"chain": {**where, "name": name}} for name in ("none", "more", "circle")]
    inside = [("more", [ACCEPT]), ("circle", [{"jump": {"target": "circle"}}])]
    rows = [{"rule": {**where, "chain": "in", "expr": rule}} for rule in rules]
    rows += [{"rule": {**where, "chain": name, "expr": rule}} for name, rule in inside]
    return [{"set": {**where, "name": "ports", "type": "inet_service", "elem": [22, {"elem": {"val": WITHIN}}]}}, base, *more, *rows]


def judged(objects: list[Any], flow: Flow) -> ruleset.Verdict:
    return ruleset.judge(ruleset.Filters(objects), flow, HOST.addresses, "fab0")


@pytest.mark.parametrize("name", CASES)
def test_rules(name: str) -> None:
    rules, policy, flow, state = CASES[name]
    found = judged(chains(rules, policy), flow)
    assert found.state == state, found
    assert bool(found.where) is (state != OPEN)


def test_every_table_must_let_it_in() -> None:
    one, other = chains([[ACCEPT]], "drop"), chains([], "drop", table="other")
    assert judged(one + other, FLOW) == ruleset.Verdict(CLOSED, "chain in of table inet other")
    # One of another family, of another hook and of bridges sees nothing of it.
    assert judged(one + chains([], "drop", "ip6", "other"), FLOW).state == OPEN
    assert judged(one + chains([], "drop", "bridge", "other"), FLOW).state == OPEN
    forward = chains([], "drop", table="other")
    forward[1]["chain"]["hook"] = "forward"
    assert judged(one + forward, FLOW).state == OPEN


def test_an_interface_that_is_not_known_makes_it_unknown() -> None:
    objects = chains([[match(meta("iifname"), "fab0"), ACCEPT]], "drop")
    assert ruleset.judge(ruleset.Filters(objects), ANYWHERE, HOST.addresses, "").state == UNKNOWN


def captured(name: str) -> list[Any]:
    return nft.ruleset((CAPTURES / f"{name}.json").read_text(encoding="utf-8"))


def test_firewalld_as_it_is_installed_closes_the_plan() -> None:
    found = {flow.port: judged(captured("firewalld_public"), flow) for flow in wanted().flows}
    assert {port for port, row in found.items() if row.state == OPEN} == {"22"}
    assert {row.state for port, row in found.items() if port != "22"} == {CLOSED}
    assert {row.zone for row in found.values()} == {"public", ""}


def test_firewalld_with_the_ports_opened_lets_the_plan_in() -> None:
    assert {judged(captured("firewalld_open"), flow).state for flow in wanted().flows} == {OPEN}
    assert judged(captured("firewalld_open"), replace(FLOW, port="9100")).state == CLOSED


def test_nothing_in_a_listing_breaks_it() -> None:
    odd = [{"chain": {"family": "inet", "table": "t", "name": "in", "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}}]
    for expression in ([{"match": {"op": "==", "left": None, "right": None}}, ACCEPT], [None, ACCEPT], [{}, ACCEPT], [{"vmap": {}}]):
        rule = {"rule": {"family": "inet", "table": "t", "chain": "in", "expr": expression}}
        assert judged([*odd, json.loads(json.dumps(rule))], FLOW).state in (UNKNOWN, CLOSED)
