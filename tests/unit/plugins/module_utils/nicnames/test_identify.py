# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding the NICs of a wish."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.identify import resolve
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic, Seen, Wanted, WantedNic
from ansible_collections.railyard.sglang.tests.unit.support.nichosts import card, mac

PCI = "0000:10:00.0"
NICS = (
    card(0, "ens0", altnames=("enp16s0",)),
    card(1, "ens1", mac=mac(0)),
    card(2, "ens0v0", mac=mac(50), permanent_mac=mac(50), pci="0000:10:00.2", virtual_function=True, port_name=""),
    card(3, "ens0v1", mac=mac(0), permanent_mac=mac(0), pci="0000:10:00.3", virtual_function=True, port_name=""),
    card(4, "eth4", mac=mac(51), permanent_mac=mac(51), pci=PCI, port_name="pf0vf0"),
    card(5, "twoa", pci="0000:20:00.0"),
    card(6, "twob", pci="0000:20:00.0", port_name="p1"),
    card(7, "sf0", pci="0000:21:00.0", virtual_function=True),
    card(8, "pf1", pci="0000:21:00.0"),
    card(9, "plain", permanent_mac="", pci="", id_path="", mac=mac(52)),
    card(10, "noaddress", permanent_mac="", pci="0000:22:00.0"),
    card(11, "rep9", pci="0000:23:00.0", port_name="c1pf0vf2"),
    Nic("bond0", 30, mac(0), kind="bond", lower=("ens0", "ens1")),
)


def found(rails: dict[int, str] | None = None, **way: Any) -> tuple[str, str]:
    """Return the name of the device that is found, and the fault."""
    result = resolve(Seen(nics=NICS), Wanted(nics=(WantedNic("roce0", **way),), rails=rails or {}))
    assert len(result.pairs) + len(result.faults) == 1
    return (result.pairs[0].nic.name if result.pairs else ""), (result.faults or [""])[0]


@pytest.mark.parametrize(
    ("way", "name"),
    [
        ({"mac": mac(0)}, "ens0"),
        ({"mac": mac(1)}, "ens1"),
        ({"pci": PCI}, "ens0"),
        ({"pci": "0000:10:00.2"}, "ens0v0"),
        ({"pci": "0000:21:00.0"}, "pf1"),
        ({"pci": "0000:22:00.0"}, "noaddress"),
        ({"rail": 0, "rails": {0: "ens1"}}, "ens1"),
        ({"rail": 0, "rails": {0: "enp16s0"}}, "ens0"),
    ],
)
def test_found(way: dict[str, Any], name: str) -> None:
    assert found(**way) == (name, "")


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ({"mac": mac(50)}, "virtual function ens0v0"),
        ({"mac": mac(51)}, "eth4 has it only for now"),
        ({"mac": mac(52)}, "plain has it only for now; its permanent one is unknown"),
        ({"mac": mac(99)}, "no NIC of this host has the permanent address"),
        ({"pci": "0000:ff:00.0"}, "no NIC of this host is at PCI address"),
        ({"pci": "0000:20:00.0"}, f"several ports: twoa ({mac(5)}), twob ({mac(6)})"),
        ({"pci": "0000:23:00.0"}, "rep9 at 0000:23:00.0 is a representor"),
        ({"rail": 0}, "rail 0 is not in the GPU map"),
        ({"rail": 0, "rails": {0: "ens77"}}, "rail 0 is ens77, which is not on this host"),
        ({"rail": 0, "rails": {0: "bond0"}}, "a virtual device (bond)"),
        ({"rail": 0, "rails": {0: "rep9"}}, "rep9, a representor"),
        ({"rail": 0, "rails": {0: "ens0v0"}}, "virtual function ens0v0, whose address may change"),
        ({"rail": 0, "rails": {0: "plain"}}, "neither a permanent address nor a PCI address"),
    ],
)
def test_not_found(way: dict[str, Any], words: str) -> None:
    name, fault = found(**way)
    assert name == ""
    assert words in fault
    assert "roce0" in fault
    assert "Fix: " in fault


def test_two_cards_with_one_address() -> None:
    nics = (card(0, "a"), card(0, "b", pci="0000:44:00.0"))
    result = resolve(Seen(nics=nics), Wanted(nics=(WantedNic("roce0", mac=mac(0)),)))
    assert "permanent address of a, b" in result.faults[0]


def test_one_card_twice() -> None:
    asked = (WantedNic("roce0", mac=mac(0)), WantedNic("roce1", pci=PCI), WantedNic("roce2", rail=0))
    result = resolve(Seen(nics=NICS), Wanted(nics=asked, rails={0: "ens0"}))
    assert [fault.split(" are both ")[0] for fault in result.faults] == [
        "network_interfaces: roce0 and roce1",
        "network_interfaces: roce0 and roce2",
    ]
