# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bond of two rails of a virtual machine, with a VLAN on top of it."""

from __future__ import annotations

from nickit import PROFILES, RAILS, NicLab

VLAN_NUMBER, VLAN_ADDRESS, VLAN_PEER = 100, "192.0.2.10", "192.0.2.1"
PORTS = {RAILS[0]: "roce0", RAILS[1]: "roce1"}
BOND = """[connection]
id=storage
uuid=0b6a3c55-3a48-4a8e-9b0a-6f3b2e1d7c10
type=bond
interface-name=bond0

[bond]
miimon=100
mode=active-backup
# The switch on the left.
primary={first}

[ipv4]
method=manual
address1={address}/24
never-default=true

[ipv6]
method=disabled
"""
PORT = """[connection]
id={name}
uuid=0b6a3c55-3a48-4a8e-9b0a-6f3b2e1d7c1{number}
type=ethernet
interface-name={name}
master=bond0
slave-type=bond
"""
VLAN = """[connection]
id=bond0.100
uuid=0b6a3c55-3a48-4a8e-9b0a-6f3b2e1d7c13
type=vlan
interface-name=bond0.100

[vlan]
id=100
parent=bond0

[ipv4]
method=manual
address1=192.0.2.10/24
never-default=true

[ipv6]
method=disabled
"""


def bonded(host: NicLab) -> str:
    """Make a bond of the first two rails, with a VLAN on it; return its address."""
    address: str = host.nics()[0]["address"]
    first, second = PORTS
    host.write(f"{PROFILES}/storage.nmconnection", BOND.format(first=first, address=address), "600")
    host.write(f"{PROFILES}/vlan.nmconnection", VLAN, "600")
    for number, name in enumerate(PORTS, 1):
        host.write(f"{PROFILES}/{name}.nmconnection", PORT.format(name=name, number=number), "600")
    host.ask("nmcli connection reload && nmcli --wait 60 connection up storage")
    for name in (first, second, "bond0.100"):
        host.ask(f"nmcli --wait 60 connection up {name}")
    wanted = "connected connected connected connected"
    states = "nmcli -t -f DEVICE,STATE device | grep -E '^(bond0|bond0.100|%s|%s):' | cut -d: -f2 | paste -sd' '"
    assert host.becomes("p0", states % (first, second), wanted, 60), host.ask("nmcli device; nmcli connection")
    # The emulated card forgets an address that is not its own when its MTU changes, and takes nothing for it any more; a real one does not.
    host.ask("ip link set bond0 promisc on")
    host.settled({"bonds": {"bond0": {"slaves": sorted(PORTS), "primary": [first], "active_slave": [first]}}})
    return address
