# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zones as files of firewalld and as a table of nftables, judged by the programs themselves where they are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from xml.parsers import expat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall import firewalld, nft, ruleset, zones
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.wanted import FABRIC, MANAGEMENT, Flow, Rule, Runtime, Zone
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostfirewall.filtered_host import HOST, also, wanted

MANY = tuple(f"192.0.2.{number}" for number in range(1, 40, 2))
RULES = (
    Rule(4, ("203.0.113.10/31", "203.0.113.20"), "203.0.113.10", "tcp", "30000", "API"),
    Rule(6, ("2001:db8::/64",), "", "udp", "4791", 'a "quoted" -- <purpose>'),
    Rule(0, None, "", "tcp", "22", "SSH"),
    Rule(4, MANY, "", "tcp", "32768-60999", "ephemeral"),
)
ZONES = {
    FABRIC: Zone(FABRIC, ("fab0", "roce0"), RULES),
    MANAGEMENT: Zone(MANAGEMENT, ("mgmt0",), (Rule(0, None, "", "tcp", "22", "SSH"),)),
}
needs_nft = pytest.mark.skipif(
    shutil.which("nft") is None or os.geteuid() != 0 or subprocess.run(["unshare", "-n", "true"], check=False).returncode != 0,
    reason="needs nft, and root for a network namespace of its own",
)


def elements(content: bytes, name: str) -> list[tuple[dict[str, str], str]]:
    """Return the attributes and the text of each element of a name.

    :raises expat.ExpatError: it is no XML.
    """
    found: list[tuple[dict[str, str], str]] = []
    inside: list[str] = []

    def begin(tag: str, attributes: dict[str, str]) -> None:
        inside.append(tag)
        if tag == name:
            found.append((attributes, ""))

    def text(data: str) -> None:
        if inside and inside[-1] == name:
            found[-1] = (found[-1][0], found[-1][1] + data)

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = begin, lambda _tag: inside.pop(), text
    parser.Parse(content, True)
    return found


def load(path: Path) -> str:
    """Load a file in a network namespace of its own, twice, and return the rules as nft lists them."""
    script = f"nft -c -f {path} && nft -f {path} && nft -f {path} && nft -j list ruleset"
    return subprocess.run(["unshare", "-n", "sh", "-c", script], check=True, capture_output=True, text=True).stdout


def test_rich_rules_are_written_as_firewalld_lists_them() -> None:
    name = firewalld.set_name(MANY, 4)
    assert firewalld.rich(ZONES[FABRIC]) == [
        'rule family="ipv4" source address="203.0.113.10/31" destination address="203.0.113.10" port port="30000" protocol="tcp" accept',
        'rule family="ipv4" source address="203.0.113.20" destination address="203.0.113.10" port port="30000" protocol="tcp" accept',
        'rule family="ipv6" source address="2001:db8::/64" port port="4791" protocol="udp" accept',
        'rule port port="22" protocol="tcp" accept',
        f'rule family="ipv4" source ipset="{name}" port port="32768-60999" protocol="tcp" accept',
    ]


def test_files_of_firewalld() -> None:
    found = firewalld.files(ZONES, ["roce0"])
    name = firewalld.set_name(MANY, 4)
    assert set(found) == {
        "/etc/firewalld/zones/railyard-fabric.xml", "/etc/firewalld/zones/railyard-mgmt.xml", f"/etc/firewalld/ipsets/{name}.xml",
    }
    zone = found["/etc/firewalld/zones/railyard-fabric.xml"]
    # What a profile binds, the file does not.
    assert [row["name"] for row, _text in elements(zone, "interface")] == ["fab0"]
    assert len(elements(zone, "rule")) == len(firewalld.rich(ZONES[FABRIC]))
    assert [text for _row, text in elements(found[f"/etc/firewalld/ipsets/{name}.xml"], "entry")] == list(MANY)
    assert all(firewalld.own(content) for content in found.values())
    assert all(len(zone.name) <= 17 for zone in ZONES.values())
    assert len(name) <= 31


def test_a_set_has_another_name_when_it_holds_something_else() -> None:
    assert firewalld.set_name(MANY, 4) != firewalld.set_name(MANY[1:], 4)


@pytest.mark.skipif(shutil.which("firewall-offline-cmd") is None, reason="needs firewalld")
def test_firewalld_takes_the_files(tmp_path: Path) -> None:
    for path, content in firewalld.files(ZONES, []).items():
        target = tmp_path / path[len("/etc/firewalld/") :]
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content)
    command = ["firewall-offline-cmd", "--system-config", str(tmp_path), "--check-config"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# As firewall-cmd 1.3.3 --list-all-zones has it.
LISTED = """\
public (default, active)
  target: default
  icmp-block-inversion: no
  interfaces: eno1 eno2
  sources: 198.51.100.0/24
  services: dhcpv6-client ssh
  ports: 9100/tcp 9200/tcp
  protocols:
  forward: yes
  masquerade: no
  forward-ports:
  source-ports:
  icmp-blocks:
  rich rules:
\trule port port="22" protocol="tcp" accept
\trule family="ipv4" source address="192.0.2.0/24" accept

trusted
  target: ACCEPT
  icmp-block-inversion: no
  interfaces:
  sources:
  services:
  ports:
  masquerade: yes
  forward-ports:
\tport=80:proto=tcp:toport=8080:toaddr=
  rich rules:

"""


def test_the_listing_of_firewalld() -> None:
    found = firewalld.listed(LISTED)
    assert found["public"] == Runtime(
        "default", ("eno1", "eno2"), ("198.51.100.0/24",),
        ('rule family="ipv4" source address="192.0.2.0/24" accept', 'rule port port="22" protocol="tcp" accept'),
        {"services": "dhcpv6-client ssh", "ports": "9100/tcp 9200/tcp"},
    )
    assert found["trusted"].opened == {"masquerade": "yes", "forward-ports": "port=80:proto=tcp:toport=8080:toaddr="}
    assert firewalld.extras(found["public"]) == ["ports 9100/tcp 9200/tcp", *found["public"].rich]
    assert "target ACCEPT" in firewalld.extras(found["trusted"])
    assert [firewalld.zone_of(found, name) for name in ("eno2", "eno3")] == ["public", ""]


OPERATOR = b"""<?xml version="1.0" encoding="utf-8"?>
<zone target="ACCEPT">
  <!-- <interface name="fab0"/> was here -->
  <short>T\xff</short>
  <interface name="fab0"/>
  <interface name='fab1'></interface>
</zone>
"""


def test_an_interface_leaves_a_zone_of_the_operator_and_comes_back() -> None:
    assert firewalld.bound(OPERATOR) == ["fab0", "fab1"]
    left = firewalld.without(OPERATOR, "fab0")
    assert left == OPERATOR.replace(b'  <interface name="fab0"/>\n', b"", 1)
    assert firewalld.bound(firewalld.without(left, "fab1")) == []
    assert firewalld.without(OPERATOR, "fab9") == OPERATOR
    back = firewalld.binding(left, "fab0")
    assert sorted(firewalld.bound(back)) == ["fab0", "fab1"]
    assert firewalld.binding(back, "fab0") == back


@pytest.mark.parametrize(("text", "zone"), [(None, "public"), (b"# DefaultZone=x\nDefaultZone=internal\n", "internal"), (b"", "public")])
def test_the_default_zone(text: bytes | None, zone: str) -> None:
    assert firewalld.default_zone(text) == zone


@needs_nft
def test_nft_loads_the_table_and_lists_it(tmp_path: Path) -> None:
    path = tmp_path / "own.nft"
    path.write_bytes(nft.text(ZONES))
    found = nft.ruleset(load(path))
    assert nft.there(found)
    assert nft.loaded(found, path.read_bytes())
    assert [row for row in nft.others(found) if "metainfo" not in row] == []
    changed = nft.text({**ZONES, MANAGEMENT: replace(ZONES[MANAGEMENT], interfaces=("eno1",))})
    assert not nft.loaded(found, changed)
    # A rule that somebody took out by hand.
    rules = [index for index, row in enumerate(found) if "rule" in row]
    assert not nft.loaded([row for index, row in enumerate(found) if index != rules[3]], path.read_bytes())


@needs_nft
def test_what_the_table_lets_in_is_what_is_wanted(tmp_path: Path) -> None:
    others = [also("9100", "management", "192.0.2.0/24")]
    given_flows = wanted(monitoring=["198.51.100.0/28"], also=others, fabric_test_ports=["18515-18578"])
    found, _faults, _notes = zones.zones(given_flows, HOST)
    path = tmp_path / "own.nft"
    path.write_bytes(nft.text(found))
    filters = ruleset.Filters(nft.ruleset(load(path)))

    def state(flow: Flow) -> str:
        interface = "fab0" if flow.scope == FABRIC else "mgmt0"
        return ruleset.judge(filters, flow, HOST.addresses, interface).state

    assert {state(flow) for flow in given_flows.flows} == {ruleset.OPEN}
    for flow in given_flows.flows:
        assert state(replace(flow, port="1")) == ruleset.CLOSED
    engine = next(flow for flow in given_flows.flows if flow.purpose == "KV bootstrap")
    assert state(replace(engine, sources=("203.0.113.99",))) == ruleset.CLOSED
    assert state(replace(engine, protocol="udp")) == ruleset.CLOSED
    # Other interfaces are left alone.
    other = replace(engine, address="192.0.2.1", sources=("203.0.113.99",))
    assert state(other) == ruleset.OPEN


def test_no_ruleset_is_flushed() -> None:
    text = nft.text(ZONES).decode() + nft.SERVICE
    assert "flush" not in text.replace("which flushes", "")


@pytest.mark.parametrize("output", ["", "[]", "{}", '{"nftables": 1}'])
def test_what_is_no_list_of_rules(output: str) -> None:
    with pytest.raises(ValueError, match=r"nftables|Expecting"):
        nft.ruleset(output)


@given(st.text())
def test_a_purpose_cannot_end_its_comment(purpose: str) -> None:
    row = nft.rule(Rule(0, None, "", "tcp", "22", purpose))
    assert row.count('"') == 2
    assert "\n" not in row
    zone = Zone(FABRIC, ("fab0",), (Rule(0, None, "", "tcp", "22", purpose),))
    assert len(elements(firewalld.zone_xml(zone, ["fab0"]), "rule")) == 1
