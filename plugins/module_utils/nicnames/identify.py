# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what is wanted to the devices of a host: by the card's own address, by its place in PCI, by rail."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import record
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic, Seen, Wanted, WantedNic

#: Representors of virtual and sub-functions lie beside the port's own device.
PORT = re.compile(r"p[0-9]+")
MAP = "network_remap: true"


@dataclass(frozen=True)
class Pair:
    """A wanted interface and its device.

    :ivar here: whether the host has the device; otherwise it is what the record knows of it.
    """

    wanted: WantedNic
    nic: Nic
    here: bool = True

    @property
    def key(self) -> str:
        """What the record calls the port by: the place of one that is wanted by its place, so that another card there takes over."""
        return self.nic.pci if self.wanted.pci else self.nic.identity


@dataclass
class Found:
    """The wanted interfaces with their devices.

    :ivar faults: what cannot be resolved.
    """

    pairs: List[Pair] = field(default_factory=list)
    faults: List[str] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)


def representor(nic: Nic) -> bool:
    """Whether a device stands for the port of a virtual function in the card's switch."""
    return bool(nic.port_name) and not PORT.fullmatch(nic.port_name)


def candidates(nics: Tuple[Nic, ...]) -> List[Nic]:
    """Return the devices that are ports of cards."""
    return [nic for nic in nics if not nic.kind and not representor(nic) and (nic.permanent_mac or nic.pci)]


def by_key(nics: Sequence[Nic]) -> Dict[str, Nic]:
    """Return the ports of cards by what a record may call them; a card's own port before a virtual one with its address."""
    ports = sorted(candidates(tuple(nics)), key=lambda nic: not nic.virtual_function)
    return {**{nic.pci: nic for nic in ports if nic.pci}, **{nic.identity: nic for nic in ports}}


def _by_mac(nics: Tuple[Nic, ...], wanted: WantedNic) -> Tuple[Optional[Nic], str]:
    name = f"network_interfaces: {wanted.name}"
    having = [nic for nic in candidates(nics) if wanted.mac in (nic.permanent_mac, nic.mac)]
    own = [nic for nic in having if nic.permanent_mac == wanted.mac and not nic.virtual_function]
    if len(own) == 1:
        return own[0], ""
    if len(own) > 1:
        names = ", ".join(nic.name for nic in own)
        return None, f"{name}: {wanted.mac} is the permanent address of {names}. Fix: name its PCI address instead (pci)"
    functions = [nic.name for nic in having if nic.virtual_function]
    if functions:
        advice = "whose address may change at any boot. Fix: name its PCI address instead (pci)"
        return None, f"{name}: {wanted.mac} is that of the virtual function {functions[0]}, {advice}"
    using = [nic for nic in nics if nic.mac == wanted.mac]
    hint = f"{using[0].name} has it only for now; its permanent one is {using[0].permanent_mac or 'unknown'}. " if using else ""
    return None, f"{name}: no NIC of this host has the permanent address {wanted.mac}. {hint}Fix: take the addresses from the facts nics"


def _by_pci(nics: Tuple[Nic, ...], wanted: WantedNic) -> Tuple[Optional[Nic], str]:
    name = f"network_interfaces: {wanted.name}"
    having = [nic for nic in nics if nic.pci == wanted.pci and not nic.kind]
    ports = [nic for nic in candidates(tuple(having)) if not nic.virtual_function] or candidates(tuple(having))
    if len(ports) == 1:
        return ports[0], ""
    if ports:
        names = ", ".join(f"{nic.name} ({nic.permanent_mac})" for nic in ports)
        return None, f"{name}: PCI function {wanted.pci} has several ports: {names}. Fix: name the permanent address instead (mac)"
    if having:
        return None, f"{name}: {having[0].name} at {wanted.pci} is a representor of the card's switch. Fix: name the card's own port"
    return None, f"{name}: no NIC of this host is at PCI address {wanted.pci}. Fix: take the addresses from the facts nics"


def _named(nics: Tuple[Nic, ...], name: str) -> Optional[Nic]:
    exact = [nic for nic in nics if nic.name == name]
    return next(iter(exact or [nic for nic in nics if name in nic.altnames]), None)


def _unfit(wanted: WantedNic, nic: Nic) -> str:
    """Return why a device must not be renamed; empty where it may."""
    what = f"network_interfaces: {wanted.name} ({wanted.text()})"
    if nic.kind:
        return f"{what} is {nic.name}, a virtual device ({nic.kind}), which has the name of its profile. Fix: name its ports by mac or pci"
    if representor(nic):
        return f"{what} is {nic.name}, a representor of the card's switch. Fix: name the card's own port"
    if nic.virtual_function and not wanted.pci:
        return f"{what} is the virtual function {nic.name}, whose address may change. Fix: name its PCI address instead (pci)"
    if not nic.permanent_mac and not nic.pci:
        return f"{what} is {nic.name}, which has neither a permanent address nor a PCI address. Fix: leave it out"
    return ""


def _by_rail(seen: Seen, asked: Wanted, wanted: WantedNic, found: Found, ports: Mapping[str, Nic]) -> Optional[Pair]:
    """Return the pair of a rail: by the record, else by the GPU map of today."""
    rail = wanted.rail if wanted.rail is not None else -1
    today = _named(seen.nics, asked.rails[rail]) if rail in asked.rails else None
    key = None if asked.remap else record.by_rail(seen.record).get(rail)
    if key is not None:
        nic = ports.get(key)
        if today is not None and (nic is None or nic.name != today.name):
            found.notes.append(
                f"rail {rail} is {nic.name if nic else key} by the record and {today.name} by the GPU map of today. The record "
                f"counts, so that no name moves. Fix: {MAP} takes today's map"
            )
        if nic is None:
            found.notes.append(f"{wanted.name}: the NIC of rail {rail} ({key}) is not there; its name stays. Fix: mend it, or {MAP}")
            return Pair(wanted, record.absent_port(record.nics(seen.record)[key]), False)
        return Pair(wanted, nic)
    if today is not None:
        return Pair(wanted, today)
    known = f"{asked.rails[rail]}, which is not on this host" if rail in asked.rails else "not in the GPU map"
    found.faults.append(f"network_interfaces: {wanted.name}: rail {rail} is {known}. Fix: gather the facts again, or name mac or pci")
    return None


def resolve(seen: Seen, asked: Wanted) -> Found:
    """Return the devices of all wanted interfaces."""
    found = Found()
    ports = by_key(seen.nics)
    for wanted in asked.nics:
        pair: Optional[Pair]
        if wanted.rail is not None:
            pair = _by_rail(seen, asked, wanted, found, ports)
        else:
            nic, fault = _by_mac(seen.nics, wanted) if wanted.mac else _by_pci(seen.nics, wanted)
            found.faults.extend([fault] if fault else [])
            pair = Pair(wanted, nic) if nic else None
        unfit = _unfit(wanted, pair.nic) if pair and pair.here else ""
        if unfit:
            found.faults.append(unfit)
        elif pair:
            found.pairs.append(pair)
    names: Dict[str, str] = {}
    for pair in found.pairs:
        first = names.setdefault(pair.nic.name, pair.wanted.name)
        if first != pair.wanted.name:
            found.faults.append(
                f"network_interfaces: {first} and {pair.wanted.name} are both {pair.nic.name} ({pair.nic.identity}). Fix: name it once; "
                f"where the GPU map has changed, {MAP} takes today's"
            )
    return found
