# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keyfiles of every type of connection, what other names change in them, and what NetworkManager reads out of one."""

from __future__ import annotations

import os
import re

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import references

CORPUS = os.path.join(os.path.dirname(os.path.dirname(__file__)), "plugins/module_utils/nicnames/corpus")
PLACE = "/etc/NetworkManager/system-connections"
NAMES = {"enp1s0": "roce0", "enp2s0": "roce1"}
BACK = {new: old for old, new in NAMES.items()}

OWN = {"connection.id", "connection.interface-name"}
DEVICE = {"connection.interface-name"}
#: File to the settings that change.
CHANGED = {
    "ethernet": OWN | {"ipv4.routing-rule2", "ipv4.routing-rule3", "ipv6.routing-rule1"},
    "ethernet-by-mac": {"connection.id"},
    "ethernet-label": DEVICE,
    "ethernet-match": {"match.interface-name"},
    "ethernet-tuned": DEVICE | {"tc.tfilter.ffff:"},
    "802-1x": DEVICE,
    "infiniband": OWN,
    "infiniband-partition": {"infiniband.parent"},
    "bond": {"bond.primary", "bond.active_slave"},
    "bond-port": OWN,
    "bond-port-old-words": OWN,
    "team": set(),
    "team-port": OWN,
    "bridge": set(),
    "bridge-port": OWN,
    "bridge-port-of-a-card": DEVICE | {"connection.master"},
    "vlan": {"vlan.parent"},
    "vlan-of-a-bond": set(),
    "vlan-unnamed": {"vlan.parent"},
    "vxlan": {"vxlan.parent"},
    "macvlan": {"macvlan.parent"},
    "ipvlan": {"ipvlan.parent"},
    "macsec": {"macsec.parent"},
    "ip-tunnel": {"ip-tunnel.parent"},
    "tun": set(),
    "veth": set(),
    "veth-of-an-old-name": DEVICE | {"veth.peer"},
    "vrf": set(),
    "vrf-port": OWN,
    "wireguard": set(),
    "wifi": OWN,
    "wifi-p2p": set(),
    "gsm": set(),
    "cdma": set(),
    "pppoe": {"pppoe.parent"},
    "adsl": set(),
    "bluetooth": set(),
    "vpn": set(),
    "dummy": set(),
    "generic": OWN,
    "loopback": set(),
    "hsr": {"hsr.port1", "hsr.port2"},
    "6lowpan": {"6lowpan.parent"},
    "wpan": set(),
    "olpc-mesh": set(),
    "wimax": set(),
    "ovs-bridge": set(),
    "ovs-port": DEVICE,
    "ovs-interface": {"connection.master"},
    "ovs-patch": set(),
    "ovs-dpdk": set(),
    "ethernet-under-ovs": OWN,
}
#: Has nmcli read a keyfile and write what it has understood of it, without a NetworkManager.
NMCLI = ("nmcli", "--offline", "connection", "modify", "connection.autoconnect-retries", "7")


def read(name: str) -> bytes:
    """Return a keyfile of the corpus."""
    with open(os.path.join(CORPUS, f"{name}.nmconnection"), "rb") as stream:
        return stream.read()


def renamed(name: str) -> bytes:
    """Return a keyfile of the corpus with the other names in it."""
    return references.rewrite(f"{PLACE}/{name}.nmconnection", read(name), NAMES).content


def settings_of(written: str) -> dict[str, str]:
    """Return the settings in what C(NMCLI) has written."""
    found, section = {}, ""
    for line in written.splitlines():
        if line.startswith("["):
            section = line.strip("[]").replace("802-3-ethernet", "ethernet")
        elif "=" in line:
            key, _equals, value = line.partition("=")
            found[f"{section}.{key}".replace("connection.controller", "connection.master")] = value
    return found


def wrong(name: str, before: dict[str, str], after: dict[str, str]) -> str:
    """Return what NetworkManager reads otherwise than is meant, empty where it is right."""
    if set(before) != set(after):
        return f"{name}: other settings: {sorted(set(before) ^ set(after))}"
    differ = {key for key in before if before[key] != after[key]}
    if differ != CHANGED[name]:
        return f"{name}: {sorted(differ)} differ, and {sorted(CHANGED[name])} should"
    meant = {key: re.sub(r"enp([12])s0", lambda match: f"roce{int(match.group(1)) - 1}", before[key]) for key in differ}
    return "; ".join(f"{name}: {key} is {after[key]}, and should be {meant[key]}" for key in sorted(differ) if after[key] != meant[key])
