# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both ports of a bond get other names, with a VLAN on top of it, and both go on."""

from __future__ import annotations

import pytest
from bondkit import PORTS, VLAN_ADDRESS, VLAN_NUMBER, VLAN_PEER, bonded
from nickit import PROFILES, NicLab, renamed

pytestmark = [pytest.mark.lab, pytest.mark.full]
#: How often the kernel has said that a bond changed its active port.
SWITCHES = "journalctl --dmesg --output=cat | grep -c 'new active one' || true"


def test_a_bond_goes_on_with_its_primary(host: NicLab) -> None:
    address = bonded(host)
    before = host.look()
    with host.joined(0, 1), host.on_vlan(0, VLAN_NUMBER, VLAN_PEER, VLAN_ADDRESS) as tagged:
        host.on_rail(0)
        host.predicted_and_done(address, tagged, nics=host.wanted(["roce0", "roce1"]))
    host.nothing_lost()
    expected = renamed(before, PORTS)
    assert expected["bonds"]["bond0"]["primary"] == ["roce0"]
    # The kernel forgets the primary with its name; which port is the active one follows it.
    host.settled(expected, seconds=30)
    assert "primary=roce0\n" in host.read(f"{PROFILES}/storage.nmconnection")
    assert "# The switch on the left.\n" in host.read(f"{PROFILES}/storage.nmconnection")
    after = host.look()
    host.reboot()
    host.settled(after, without=["altnames"])
    host.taken_back(wanted=before)


def test_ports_change_places(host: NicLab) -> None:
    address = bonded(host)
    host.done(nics=host.wanted(["roce0", "roce1"]))
    before = host.look()
    switched = host.ask(SWITCHES)
    with host.joined(0, 1), host.on_vlan(0, VLAN_NUMBER, VLAN_PEER, VLAN_ADDRESS) as tagged:
        host.on_rail(0)
        host.predicted_and_done(address, tagged, nics=host.wanted(["roce1", "roce0"]))
    host.nothing_lost()
    if host.generation.renames_up:
        assert host.ask(SWITCHES) == switched, "the bond has changed its active port"
    host.settled(renamed(before, {"roce0": "roce1", "roce1": "roce0"}), seconds=30)
