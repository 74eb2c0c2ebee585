# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the parameters of nic_names to what is wanted."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import names
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Wanted, WantedNic

MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
PCI = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
RDMA = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
#: What the driver calls devices by itself, in the order in which it finds them, which may be another one at the next boot.
DRIVERS_RDMA = re.compile(r"mlx5_(?:bond_)?[0-9]+")
LEAST_MTU, GREATEST_MTU = 68, 65535
WAYS = ("mac", "pci", "rail")


def _text(value: Any) -> str:
    return str(value).strip() if value is not None else ""


def _mac(value: Any) -> str:
    text = _text(value).lower().replace("-", ":")
    return ":".join(text[place : place + 2] for place in range(0, 12, 2)) if re.fullmatch(r"[0-9a-f]{12}", text) else text


def _pci(value: Any) -> str:
    text = _text(value).lower()
    # lspci leaves out the domain where there is only one.
    return f"0000:{text}" if re.fullmatch(r"[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", text) else text


def _wanted(row: Mapping[str, Any]) -> WantedNic:
    rail = row.get("rail")
    return WantedNic(_text(row.get("name")), _mac(row.get("mac")), _pci(row.get("pci")), rail, row.get("mtu"), _text(row.get("rdma")))


def _faults(nic: WantedNic) -> List[str]:
    """Return what is wrong with one interface by itself."""
    wrong = names.wrong(nic.name)
    what = f"network_interfaces: {nic.name or 'an interface without a name'}"
    found = [f"network_interfaces: name {nic.name!r} cannot be used: {wrong}"] if wrong else []
    given = [way for way in WAYS if getattr(nic, way) not in ("", None)]
    if len(given) != 1:
        says = f"is to be found by {' and '.join(given)} at once" if given else "says not where to find it"
        found.append(f"{what} {says}. Fix: name one of {', '.join(WAYS)}")
    if nic.mac and not MAC.fullmatch(nic.mac):
        found.append(f"{what}: {nic.mac} is no MAC address. Fix: write the permanent one like 02:00:5e:00:53:01; InfiniBand goes by pci")
    if nic.pci and not PCI.fullmatch(nic.pci):
        found.append(f"{what}: {nic.pci} is no PCI address. Fix: write it like 0000:0c:00.0")
    if nic.rail is not None and nic.rail < 0:
        found.append(f"{what}: rail {nic.rail} is negative. Fix: rails are numbered from 0")
    if nic.mtu is not None and not LEAST_MTU <= nic.mtu <= GREATEST_MTU:
        found.append(f"{what}: MTU {nic.mtu} is not within {LEAST_MTU} and {GREATEST_MTU}. Fix: network_rail_mtu, 9000 for example")
    if nic.rdma and (not RDMA.fullmatch(nic.rdma) or "mlx5" not in nic.rdma):
        found.append(
            f"{what}: RDMA name {nic.rdma!r} cannot be used: letters, digits, '_' and '-', and 'mlx5' among them, without which "
            "NVSHMEM does not take the device. Fix: network_rdma_names, mlx5_rail{rail} for example"
        )
    if DRIVERS_RDMA.fullmatch(nic.rdma):
        found.append(
            f"{what}: RDMA name {nic.rdma!r} cannot be used: the driver itself gives out such names and may give this one to another card. "
            "Fix: network_rdma_names, mlx5_rail{rail} for example"
        )
    return found


def _twice(nics: List[WantedNic]) -> List[str]:
    """Return what is named more than once."""
    found = []
    for way, what in (("name", "name"), ("mac", "MAC address"), ("pci", "PCI address"), ("rail", "rail"), ("rdma", "RDMA name")):
        values = [getattr(nic, way) for nic in nics if getattr(nic, way) not in ("", None)]
        twice = dict.fromkeys(value for value in values if values.count(value) > 1)
        found += [f"network_interfaces: {what} {value} is there {values.count(value)} times. Fix: name it once" for value in twice]
    return found


def _rails(given: Mapping[Any, Any]) -> Tuple[Dict[int, str], List[str]]:
    """Return rail to interface of the GPU map, and what is wrong with it."""
    found: Dict[int, str] = {}
    faults = []
    for key, value in given.items():
        number: Optional[int] = int(str(key)) if re.fullmatch(r"[0-9]{1,4}", str(key)) else None
        if number is None or not _text(value):
            faults.append(f"rails: {key}: {value} is no rail with its interface. Fix: run the plan again; it gives them")
        else:
            found[number] = _text(value)
    twice = dict.fromkeys(name for name in found.values() if list(found.values()).count(name) > 1)
    advice = "Fix: name the interfaces (network_interfaces), or give each GPU a NIC of its own (sglang_rdma_device_map)"
    faults += [f"rails: {name} is the interface of several rails. {advice}" for name in twice]
    return found, faults


def build(params: Mapping[str, Any]) -> Tuple[Wanted, List[str]]:
    """Return what the module's parameters want, and what is wrong with them: variable, fault and fix."""
    nics = [_wanted(row) for row in params.get("nics") or []]
    rails, faults = _rails(params.get("rails") or {})
    present = (params.get("state") or "present") == "present"
    carries = params.get("carries")
    wanted = Wanted(
        present=present,
        nics=tuple(nics) if present else (),
        rails=rails,
        carries=None if carries is None else tuple(map(str, carries)),
        stale=params.get("stale") or "refuse",
        at_boot=params.get("apply") == "boot",
        remap=bool(params.get("remap")),
        allow_management=bool(params.get("allow_management")),
        allow_disruption=bool(params.get("allow_disruption")),
    )
    if not present:
        return wanted, []
    return wanted, [*(fault for nic in nics for fault in _faults(nic)), *_twice(nics), *faults]
