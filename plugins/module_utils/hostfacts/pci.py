# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PCI functions: where they are plugged in, what they are, how fast their link is, and access control on the bridges above them."""

from __future__ import annotations

import re
import struct
from typing import Any, Dict, Iterable, List, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root

DEVICES = "/sys/bus/pci/devices"
HOST_BRIDGE = re.compile(r"pci[0-9a-f]{4,8}:[0-9a-f]{2}")
FUNCTION = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
SPEED = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,3})?) GT/s")

CAPABILITY_PCIE = 0x10
CAPABILITY_ACS = 0x000D
PORT_TYPES = {4: "root", 5: "upstream", 6: "downstream"}
# Request redirect, completion redirect, upstream forwarding: any of them sends GPU-to-NIC traffic up to the CPU.
ACS_REDIRECT = 0x04 | 0x08 | 0x10


def is_function(name: str) -> bool:
    """Return whether a name is a PCI address with domain, as sysfs writes it."""
    return bool(FUNCTION.fullmatch(name))


def pci_path(real: Optional[str]) -> List[str]:
    """Return the way from the host bridge to a function: C(pci0000:17), then one address per bridge, then its own.

    A function in another domain than the bridge above it is not below it: virtual machines show such trees.
    """
    found: List[str] = []
    for part in (real or "").split("/"):
        if HOST_BRIDGE.fullmatch(part):
            found = [part]
        elif is_function(part):
            above = found[-1].replace("pci", "") if found else part
            found = [*(found if above.split(":")[0] == part.split(":")[0] else []), part]
    return found


def place(real: Optional[str]) -> Optional[str]:
    """Return the directory of the function that something lies in or below, or None."""
    parts = (real or "").split("/")
    for end in range(len(parts), 0, -1):
        if is_function(parts[end - 1]):
            return "/".join(parts[:end])
    return None


def numa_node(root: Root, directory: str) -> Optional[int]:
    """Return a function's NUMA node, or None when the firmware does not say (-1)."""
    node = root.number(directory + "/numa_node")
    return node if node is not None and node >= 0 else None


def _speed(text: Optional[str]) -> Optional[float]:
    match = SPEED.match(text or "")
    return float(match.group(1)) if match else None


def _width(value: Optional[int]) -> Optional[int]:
    # 255 stands for unknown.
    return value if value and value < 255 else None


def _speed_and_width(root: Root, directory: str, which: str) -> Tuple[Optional[float], Optional[int]]:
    return _speed(root.read(f"{directory}/{which}_link_speed")), _width(root.number(f"{directory}/{which}_link_width"))


def link(root: Root, directory: str) -> Optional[Dict[str, Any]]:
    """Return speed (GT/s) and width of a function's link, what it could be, and whether it is narrower than that.

    What it could be is bounded by the slot, too. The speed alone says little: idle GPUs lower it to save power.
    """
    speed, width = _speed_and_width(root, directory, "current")
    best_speed, best_width = _speed_and_width(root, directory, "max")
    slot = directory.rpartition("/")[0]
    if is_function(slot.rpartition("/")[2]):
        slot_speed, slot_width = _speed_and_width(root, slot, "max")
        best_speed = min(best_speed, slot_speed) if best_speed and slot_speed else best_speed
        best_width = min(best_width, slot_width) if best_width and slot_width else best_width
    if not any((speed, width, best_speed, best_width)):
        return None
    return {
        "speed_gts": speed,
        "width": width,
        "max_speed_gts": best_speed,
        "max_width": best_width,
        "slow": speed < best_speed if speed and best_speed else None,
        "narrow": width < best_width if width and best_width else None,
    }


def virtual_functions(root: Root, directory: str) -> Optional[int]:
    """Return how many virtual functions a function has made, or None when it cannot make any."""
    return root.number(directory + "/sriov_numvfs")


def port_type_and_acs(config: bytes) -> Tuple[Optional[str], Optional[int]]:
    """Return the kind of a bridge's PCI Express port and its ACS control word, each None where the configuration space does not tell.

    :param config: the configuration space; without privileges only its first 64 bytes are readable.
    """
    kind = control = None
    offset, seen = (config[0x34] & 0xFC, 0) if len(config) > 0x34 else (0, 0)
    while 0x40 <= offset <= len(config) - 4 and seen < 48:
        if config[offset] == CAPABILITY_PCIE:
            kind = PORT_TYPES.get(config[offset + 2] >> 4 & 0xF)
        offset, seen = config[offset + 1] & 0xFC, seen + 1
    offset, seen = 0x100, 0
    while 0x100 <= offset <= len(config) - 8 and seen < 256:
        (header,) = struct.unpack_from("<I", config, offset)
        if header & 0xFFFF == CAPABILITY_ACS:
            (control,) = struct.unpack_from("<H", config, offset + 6)
        offset, seen = header >> 20 & 0xFFC, seen + 1
    return kind, control


def acs(root: Root, paths: Iterable[List[str]]) -> Optional[Dict[str, Any]]:
    """Return the ACS control words of the bridges above some functions, and which downstream ports redirect.

    :param paths: the ways to the functions, as C(pci_path) returns them.
    :returns: None when no bridge's extended configuration space can be read, which needs root.
    """
    bridges: Dict[str, Dict[str, Any]] = {}
    readable = False
    for address in sorted({part for path in paths for part in path[:-1] if is_function(part)}):
        config = root.data(f"{DEVICES}/{address}/config", 4096, cut=True) or b""
        kind, control = port_type_and_acs(config)
        # A plain user gets the first 64 bytes, and a shorter space than 4096 can hold no ACS.
        readable = readable or len(config) > 64
        if control is not None:
            bridges[address] = {"port": kind, "control": control, "redirects": bool(control & ACS_REDIRECT)}
    if not readable:
        return None
    redirecting = [address for address, row in bridges.items() if row["redirects"] and row["port"] == "downstream"]
    return {"bridges": bridges, "redirecting": redirecting}
