# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Input for nftables and firewalld."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import porttable
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import filters, firewalld, nftables
from ansible_collections.railyard.sglang.tests.unit.support.clusters import Inventory, cluster, gpu_cluster

OUTSIDE = {"clients": ["192.0.2.0/24", "2001:db8:2::/48"], "monitoring": ["198.51.100.2"], "controllers": ["198.51.100.1"]}
V6: dict[str, Any] = {
    "sglang_fabric_network": "2001:db8::/64",
    **{f"{host}:sglang_fabric_address": f"2001:db8::{index + 1}" for index, host in enumerate(("p0", "p1", "d0", "d1", "r0"))},
    "r0:sglang_management_address": "2001:db8:1::1",
}
SHAPES: dict[str, tuple[Inventory, Mapping[str, list[str]]]] = {
    "lab": (cluster(), {}),
    "lab, closed": (cluster(), OUTSIDE),
    "many": (gpu_cluster(20, 20), OUTSIDE),
    "IPv6": (cluster().change(V6), OUTSIDE),
    "odd name": (cluster().change({"sglang_cluster": "east-1.b"}), {}),
}


@functools.cache
def plan_of(name: str) -> dict[str, Any]:
    return SHAPES[name][0].plan()


def nft_of(name: str) -> str:
    plan, outside = plan_of(name), SHAPES[name][1]
    return nftables.text(porttable.flows(plan), porttable.groups(plan), outside)


def data_of(name: str) -> dict[str, Any]:
    plan, outside = plan_of(name), SHAPES[name][1]
    return firewalld.data(porttable.flows(plan), porttable.groups(plan), outside)


def nft_command() -> list[str]:
    program = shutil.which("nft", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if program is None:
        pytest.skip("nft is not installed")
    # A network namespace of its own: even a check talks to the kernel as the administrator of one.
    command = ["unshare", "--net", *(["--map-root-user"] if os.getuid() else []), "--"]
    if subprocess.run([*command, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no network namespace can be made here")
    return [*command, program]


@pytest.mark.parametrize("name", SHAPES)
def test_nft_accepts(name: str, tmp_path: Path) -> None:
    path = tmp_path / "firewall.nft"
    path.write_text(nft_of(name), encoding="utf-8")
    done = subprocess.run([*nft_command(), "-c", "-f", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", SHAPES)
def test_nft_rules_use_the_sets_that_there_are(name: str) -> None:
    text = nft_of(name)
    made = re.findall(r"^  set (\w+) \{", text, re.M)
    assert len(made) == len(set(made))
    assert set(re.findall(r"@(\w+)", text)) == set(made)
    assert "hook" not in re.sub(r"^#.*", "", text, flags=re.M)
    assert "drop" not in re.sub(r"^#.*", "", text, flags=re.M)


def rules(text: str) -> list[str]:
    return [line.strip() for line in text.split("chain flows {")[1].splitlines() if " accept " in line]


RULES = [
    ("lab", "tcp dport 22 accept comment \"controllers: SSH\""),
    ("lab", "ip daddr . tcp dport @to_clients_router_api_v4 accept comment \"clients: router API\""),
    ("lab", "ip saddr @from_lab_engines_v4 tcp dport 32768-60999 accept comment \"lab engines: ephemeral ports between engines\""),
    ("lab", "ip saddr . ip daddr . tcp dport @within_lab_v4 accept comment \"lab: within instances\""),
    ("lab, closed", "ip saddr @from_controllers_v4 tcp dport 22 accept comment \"controllers: SSH\""),
    ("many", "udp dport 4791 accept comment \"rails of engines: RoCE v2\""),
    ("IPv6", "ip6 saddr @from_lab_routers_v6 ip6 daddr . tcp dport @to_lab_routers_api_v6 accept comment \"lab routers: API\""),
]


@pytest.mark.parametrize(("name", "rule"), RULES)
def test_nft_rule(name: str, rule: str) -> None:
    assert rule in rules(nft_of(name))


def test_closed_leaves_nothing_open_but_rails() -> None:
    assert [rule for rule in rules(nft_of("many")) if "saddr" not in rule] == [RULES[5][1]]


def test_nft_elements() -> None:
    text = nft_of("lab")
    within = text.split("set within_lab_v4 {")[1].split("  }")[0]
    assert "203.0.113.11 . 203.0.113.10 . 5000" in within
    assert "203.0.113.110 . 203.0.113.10 . 5000" not in within
    assert "elements" not in text.split("set from_monitoring_v4 {")[1].split("  }")[0]


def test_ranges_that_overlap_on_one_host_are_rules_of_their_own() -> None:
    plan = cluster().plan()
    flows = [
        porttable.Flow("lab", "lab decode", "p0", "203.0.113.10", "tcp", port, "Mooncake handshake", "")
        for port in ("15000-17000", "15000-15500")
    ]
    found = rules(nftables.text(flows, porttable.groups(plan), {}))
    assert [rule.split("dport ")[1].split()[0] for rule in found] == ["15000-17000", "15000-15500"]


@pytest.mark.parametrize("name", SHAPES)
def test_firewalld_names_what_it_has(name: str) -> None:
    data = data_of(name)
    made = {row["name"] for row in data["ipsets"]}
    rules_of = [row["rich_rule"] for host in data["hosts"].values() for row in host["rich_rules"]]
    used = {match for rule in rules_of for match in re.findall(r'ipset="([^"]+)"', rule)}
    assert used == made == {one for host in data["hosts"].values() for one in host["ipsets"]}
    assert max(map(len, made)) <= firewalld.LONGEST
    assert sorted(data["hosts"]) == sorted(plan_of(name)["hosts"])


def test_firewalld_rules_of_a_host() -> None:
    rows = data_of("lab, closed")["hosts"]["p1"]["rich_rules"]
    assert [row["rich_rule"] for row in rows] == [
        f'rule family="ipv4" source ipset="sglang-{source}-4" {destination}port port="{port}" protocol="tcp" accept'
        for source, destination, port in (
            ("monitoring", 'destination address="203.0.113.11" ', "30000"),
            ("lab-decode", 'destination address="203.0.113.11" ', "15000-17000"),
            ("lab-engines", "", "32768-60999"),
            ("controllers", "", "22"),
        )
    ] + ['rule family="ipv6" source ipset="sglang-controllers-6" port port="22" protocol="tcp" accept']
    assert rows[0].items() >= {"zone": "public", "permanent": True, "immediate": True, "state": "enabled"}.items()


def test_ipset_as_firewalld_keeps_it() -> None:
    (row,) = [row for row in data_of("IPv6")["ipsets"] if row["name"] == "sglang-lab-prefill-6"]
    assert row["xml"].splitlines() == [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<ipset type="hash:ip">',
        '  <option name="family" value="inet6"/>',
        "  <entry>2001:db8::1</entry>",
        "  <entry>2001:db8::2</entry>",
        "</ipset>",
    ]


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        (["lab engines", "lab  Engines", "lab engines"], ["lab-engines", "lab-engines", "lab-engines"]),
        (["a" * 30, "a" * 31], ["a" * 20, "a" * 16 + "-2"]),
        (["???", "!!!"], ["x", "x-2"]),
    ],
)
def test_names(keys: list[str], names: list[str]) -> None:
    made = filters.Names("-", 20)
    found = [made.of(key) for key in keys]
    assert len(set(found)) == len(set(keys))
    assert found[0] == names[0]
    assert all(len(name) <= 20 for name in found)


def test_comment_cannot_end_itself() -> None:
    assert filters.plain('a"b\\c\n' + "x" * 200) == ("a?b?c?" + "x" * 200)[:120]
