# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interfaces of a virtual machine of each generation get other names, keep them over a boot, and get their former ones back."""

from __future__ import annotations

from typing import Any

import pytest
from nickit import LINKS, MANAGEMENT, PROFILES, RAILS, ROCE, NicLab, renamed

pytestmark = pytest.mark.lab

MAPPING = dict(zip(RAILS, ROCE))


def same_but_for_names(host: NicLab, before: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """See that everything is as before under the new names, and return how it is."""
    expected = renamed(before, names)
    host.settled(expected, seconds=20)
    now = host.look()
    host.managed(list(names.values()), now)
    return now


def over_a_boot(host: NicLab, names: list[str], **arguments: Any) -> None:
    """See that a boot changes nothing, and that nothing is left to do after it."""
    before = host.look()
    host.reboot()
    # udev gives an interface its former name as an altname for as long as the machine runs.
    host.settled(before, without=["altnames"])
    host.managed(names, host.look())
    again = host.done(**arguments)
    assert (again["changed"], again["actions"], again["transaction"]) == (False, [], "")


def test_eight_get_their_names(host: NicLab) -> None:
    before = host.look()
    wanted = host.wanted(ROCE)
    done = host.predicted_and_done(*host.on_rails(), nics=wanted)
    host.nothing_lost()
    assert [(row["before"], row["after"], row["mac"]) for row in done["rows"]] == [
        (nic["interface"], name, nic["mac"]) for nic, name in zip(host.nics(), ROCE)
    ]
    now = same_but_for_names(host, before, MAPPING)
    assert now["profiles"].keys() == before["profiles"].keys()
    for old, new in MAPPING.items():
        assert f"{LINKS}/70-{new}.link" in now["files"]
        assert now["files"][f"{PROFILES}/{new}.nmconnection"].startswith("600 0:0 ")
        assert f"{PROFILES}/{old}.nmconnection" not in now["files"]
        assert host.read(f"{PROFILES}/{new}.nmconnection").count(new) == 2
    host.taken_back()


@pytest.mark.full
def test_eight_keep_their_names_over_a_boot(host: NicLab) -> None:
    wanted = host.wanted(ROCE)
    host.done(nics=wanted)
    over_a_boot(host, list(ROCE), nics=wanted)
    host.taken_back()


@pytest.mark.full
def test_all_eight_go_round_and_two_change_places(host: NicLab) -> None:
    host.done(nics=host.wanted(ROCE))
    before = host.look()
    # Each name goes to another card, and none to the card that would give its own in return.
    turned = [*ROCE[1:], ROCE[0]]
    host.predicted_and_done(*host.on_rails(), nics=host.wanted(turned))
    host.nothing_lost()
    between = same_but_for_names(host, before, dict(zip(ROCE, turned)))
    swapped = [turned[1], turned[0], *turned[2:]]
    host.predicted_and_done(*host.on_rails(), nics=host.wanted(swapped))
    host.nothing_lost()
    same_but_for_names(host, between, {turned[0]: turned[1], turned[1]: turned[0]} | {name: name for name in turned[2:]})
    over_a_boot(host, swapped, nics=host.wanted(swapped))
    host.taken_back()


@pytest.mark.full
def test_the_management_over_its_own_connection(host: NicLab) -> None:
    before = host.look()
    wanted = [{"name": "mgmt0", "mac": host.management_mac()}]
    refused = host.named(nics=wanted).refused()
    assert "allow_management" in refused or "network_allow_management" in refused
    assert "Nothing was changed on this host" in refused
    assert host.look() == before
    address = next(row.partition("/")[0] for row in before["addresses"][MANAGEMENT] if ":" not in row)
    host.predicted_and_done(address, nics=wanted, allow_management=True)
    host.nothing_lost()
    same_but_for_names(host, before, {MANAGEMENT: "mgmt0"})
    over_a_boot(host, ["mgmt0"], nics=wanted, allow_management=True)
    host.taken_back(allow_management=True)


@pytest.mark.full
@pytest.mark.parametrize("kind", ["rule", "link"])
def test_what_would_beat_the_names_is_refused_or_removed(kind: str, host: NicLab) -> None:
    mac = host.nics()[3]["mac"]
    path, content = {
        "rule": ("/etc/udev/rules.d/70-old.rules", f'SUBSYSTEM=="net", ACTION=="add", ATTR{{address}}=="{mac}", NAME="old3"\n'),
        "link": (f"{LINKS}/10-old.link", f"[Match]\nMACAddress={mac}\n\n[Link]\nName=old3\n"),
    }[kind]
    host.write(path, content)
    before = host.look()
    wanted = host.wanted(ROCE)
    refused = host.named(nics=wanted).refused()
    assert path in refused
    assert "Nothing was changed on this host" in refused
    assert host.look() == before
    host.predicted_and_done(nics=wanted, stale="remove")
    assert path not in same_but_for_names(host, before, MAPPING)["files"]
    over_a_boot(host, list(ROCE), nics=wanted, stale="remove")
    # The host was booted meanwhile: by its former .link file, which the boot before had not seen yet, it has no alternative names.
    names = {RAILS[3]: []} if kind == "link" else {}
    host.taken_back(wanted={**before, "altnames": {**before["altnames"], **names}})
    host.ask(f"rm {path}")


# Of rail 1 a profile that finds its card by the address, of rail 2 one with a table of its own, of rail 3 one without UUID.
BY_ADDRESS = """# Bought in spring.
[connection]
id=enp27s0
uuid=0b6a3c55-3a48-4a8e-9b0a-6f3b2e1d7c01
type=ethernet

[ethernet]
mac-address={mac}
mtu=4200

[ipv4]
method=manual
address1={address}/24
never-default=true

[ipv6]
method=link-local
addr-gen-mode=eui64
"""
BY_TABLE = """# Answers leave by the rail on which they were asked for.
[connection]
id=rail two
uuid=0b6a3c55-3a48-4a8e-9b0a-6f3b2e1d7c02
type=ethernet
interface-name=enp59s0
autoconnect-priority=10

[ethernet]
mtu=4200

[ipv4]
method=manual
address1={address}/24
never-default=true
# The switch's own address. Without a metric it would follow from the order in which devices come up.
route1=0.0.0.0/0,{network}.1,110
route1_options=table=102
routing-rule1=priority 1002 from {address} table 102
routing-rule2=priority 1102 from 0.0.0.0/0 iif enp59s0 table 102

[ipv6]
method=link-local
addr-gen-mode=eui64
"""
WITHOUT_UUID = """[connection]
id=enp76s0
type=ethernet
interface-name=enp76s0

[ethernet]
mtu=4200

[ipv4]
method=manual
address1={address}/24
never-default=true

[ipv6]
method=link-local
addr-gen-mode=eui64
"""


@pytest.mark.full
def test_profiles_of_all_kinds(host: NicLab) -> None:
    for rail, text in ((1, BY_ADDRESS), (2, BY_TABLE), (3, WITHOUT_UUID)):
        nic = host.nics()[rail]
        content = text.format(mac=nic["mac"].upper(), address=nic["address"], network=nic["address"].rpartition(".")[0])
        host.profile(nic["interface"], content)
    before = host.look()
    texts = {name: host.read(f"{PROFILES}/{name}.nmconnection") for name in RAILS[1:3]}
    host.predicted_and_done(nics=host.wanted(ROCE))
    host.settled(renamed(before, MAPPING), seconds=20)
    now = host.look()
    assert now["profiles"].keys() == before["profiles"].keys()
    assert host.read(f"{PROFILES}/roce1.nmconnection") == texts["enp27s0"].replace("id=enp27s0", "id=roce1")
    assert host.read(f"{PROFILES}/roce2.nmconnection") == texts["enp59s0"].replace("enp59s0", "roce2")
    assert [rule.partition(" protocol")[0] for rule in now["rules"] if "priority 1102" in rule] == ["iif roce2 priority 1102"]
    before_boot = host.look()
    host.reboot()
    host.settled(before_boot, without=["altnames"])
    host.taken_back(wanted=before)


@pytest.mark.full
def test_mtu_and_names_of_devices(host: NicLab) -> None:
    before = host.look()
    names = [{**row, "mtu": 9000, "rdma": f"mlx5_rail{rail}"} for rail, row in enumerate(host.wanted(ROCE[:2]))]
    done = host.predicted_and_done(nics=names)
    now = host.look()
    # Devices of software get their names from who makes them, and udev no rule for them: the run says so.
    assert any("made of software" in note for note in done["notes"])
    assert "/etc/udev/rules.d/60-rdma-persistent-naming.rules" not in now["files"]
    for rail in range(2):
        assert now["links"][f"roce{rail}"][0] == 9000
        assert now["rdma"][f"mlx5_rail{rail}"] == f"roce{rail}"
        assert "mtu=9000\n" in host.read(f"{PROFILES}/roce{rail}.nmconnection")
    assert {device: name for device, name in now["rdma"].items() if "rail" not in device} == {
        device: name for device, name in before["rdma"].items() if name not in RAILS[:2]
    }
    host.reboot()
    # The lab makes them at each boot, with its own names.
    host.settled(now, without=["altnames", "rdma"])
    host.taken_back()


@pytest.mark.full
def test_what_only_a_person_can_change_is_named(host: NicLab) -> None:
    places = {
        "/etc/NetworkManager/dispatcher.d/50-tune": '#!/bin/sh\n[ "$1" = enp12s0 ] && logger up\n',
        "/etc/nccl.conf": "# two of the eight\nNCCL_SOCKET_IFNAME=enp27s0,enp59s0\n",
        "/etc/systemd/system/late.service": "[Service]\nExecStart=/usr/sbin/ethtool -i enp204s0f1\n",
    }
    for path, content in places.items():
        host.write(path, content, "755" if "dispatcher" in path else "644")
    host.write("/etc/sysctl.d/80-rails.conf", "net.ipv4.conf.enp12s0.rp_filter = 2\n# enp12s0 is the first\nnet.ipv4.ip_forward = 0\n")
    before = host.look()
    done = host.predicted_and_done(nics=host.wanted(ROCE))
    found = {(row["path"], row["line"], row["name"]) for row in done["references"]}
    assert {
        ("/etc/NetworkManager/dispatcher.d/50-tune", 2, "enp12s0"),
        ("/etc/nccl.conf", 2, "enp27s0"),
        ("/etc/nccl.conf", 2, "enp59s0"),
        ("/etc/systemd/system/late.service", 2, "enp204s0f1"),
    } <= found
    for path, content in places.items():
        assert host.read(path) == content
    assert host.read("/etc/sysctl.d/80-rails.conf").splitlines()[0] == "net.ipv4.conf.roce0.rp_filter = 2"
    host.taken_back(wanted=before)
    host.ask(f"rm {' '.join(places)} /etc/sysctl.d/80-rails.conf")


@pytest.mark.full
def test_without_consent_only_the_prediction(host: NicLab) -> None:
    before = host.look()
    assert "network_allow_rename" in host.named(nics=host.wanted(ROCE), allow_rename=False).refused()
    predicted = host.done("--check", nics=host.wanted(ROCE), allow_rename=False)
    assert predicted["changed"]
    assert predicted["problems"]
    wrong = [{"name": "eth9", "mac": host.nics()[0]["mac"]}, {"name": "roce1", "mac": "02:00:5e:00:53:99"}]
    refused = host.named(nics=wrong).refused()
    assert "eth9" in refused
    assert host.look() == before


@pytest.mark.full
def test_a_serving_instance_keeps_its_interfaces(host: NicLab) -> None:
    before = host.look()
    host.ask("systemd-run --quiet --unit sglang-prefill-0.service sleep 3000")
    try:
        refused = host.named(nics=host.wanted(ROCE), carries=list(RAILS[:4])).refused()
        assert "sglang-prefill-0.service" in refused
        assert "network_drain" in refused
        assert "Nothing was changed on this host" in refused
        assert host.look() == before
        # Those that it does not use are nobody's concern, and with consent neither are the others.
        host.done(nics=host.wanted(ROCE[4:], range(4, 8)), carries=list(RAILS[:4]))
        host.done(nics=host.wanted(ROCE), carries=list(RAILS[:4]), allow_disruption=True)
        same_but_for_names(host, before, MAPPING)
    finally:
        host.ask("systemctl stop sglang-prefill-0.service")
    host.taken_back()


@pytest.mark.full
def test_firewalld_follows(host: NicLab) -> None:
    zone = (
        '<?xml version="1.0" encoding="utf-8"?>\n<zone target="ACCEPT">\n  <short>rails</short>\n'
        + "".join(f'  <interface name="{name}"/>\n' for name in RAILS[:4])
        + "</zone>\n"
    )
    host.write("/etc/firewalld/zones/rails.xml", zone)
    host.ask("systemctl enable --now firewalld", seconds=300)
    before = host.look()
    zones = host.ask("firewall-cmd --get-active-zones")
    host.predicted_and_done(*host.on_rails(), nics=host.wanted(ROCE))
    host.nothing_lost()
    moved = host.ask("firewall-cmd --get-active-zones")
    expected = " ".join(MAPPING.get(word, word) for word in zones.split())
    assert sorted(moved.split()) == sorted(expected.split())
    assert host.read("/etc/firewalld/zones/rails.xml") == "".join(
        line.replace(old, new) for line in zone.splitlines(keepends=True) for old, new in [pair_of(line)]
    )
    host.taken_back(wanted=before)
    assert sorted(host.ask("firewall-cmd --get-active-zones").split()) == sorted(zones.split())
    host.ask("systemctl disable --now firewalld; rm /etc/firewalld/zones/rails.xml*", seconds=300)


def pair_of(line: str) -> tuple[str, str]:
    """Return which name a line has to have in the place of which."""
    return next(((old, new) for old, new in MAPPING.items() if f'"{old}"' in line), ("", ""))
