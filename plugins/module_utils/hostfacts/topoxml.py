# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts from topology files of NCCL and RCCL."""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List, Optional, Tuple
from xml.parsers import expat

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.ibtext import Facts, nearest

BRIDGE = "0x0604"
GPUS = ("0x0302", "0x0300", "0x1200", "0x0380")
# 0x0207 is an InfiniBand controller, 0x0200 an Ethernet one.
LAYERS = {"0x0207": "InfiniBand", "0x0200": "Ethernet"}
VENDORS = {"0x10de": "nvidia", "0x1002": "amd"}
# Files written by hand for virtual machines put the functions below bridges of this domain, which no machine has.
INVENTED = re.compile(r"^0*ffff:")

Way = Tuple[Optional[int], List[str]]


class _Reader:
    """Collects functions with the way to them."""

    def __init__(self) -> None:
        self.numa: Optional[int] = None
        self.stack: List[Dict[str, str]] = []
        self.functions: List[Dict[str, Any]] = []

    def start(self, tag: str, attributes: Dict[str, str]) -> None:
        if tag == "cpu":
            node = attributes.get("numaid", "")
            self.numa = int(node) if node.isdigit() else None
        elif tag == "pci":
            self.stack.append(attributes)
            self.functions.append({**attributes, "numa": self.numa, "nets": [], "sockets": False,
                                   "path": [row.get("busid", "") for row in self.stack]})
        elif tag == "net" and self.stack and attributes.get("port") == "0":
            # So NCCL writes a network device that it uses by sockets.
            self.functions[-1]["sockets"] = True
        elif tag == "net" and self.stack:
            self.functions[-1]["nets"].append(attributes)

    def end(self, tag: str) -> None:
        if tag == "pci":
            self.stack.pop()


def _way(row: Dict[str, Any]) -> Way:
    """Return NUMA node and bridges above a function; nothing where the file's author invented the bridges."""
    if any(INVENTED.match(part) for part in row["path"]):
        return None, []
    return row["numa"], row["path"]


def relation(one: Way, other: Way) -> str:
    """Return the path class between two functions of a file, where every bridge is a whole switch or one inside a card."""
    (node, path), (other_node, other_path) = one, other
    if not path or not other_path:
        return "UNKNOWN"
    if path[0] != other_path[0]:
        if node is None or other_node is None:
            return "UNKNOWN"
        if node != other_node:
            return "SYS"
        # Virtual machines put every function into a domain of its own, and only the NUMA node is true.
        return "PHB" if path[0].split(":")[0] == other_path[0].split(":")[0] else "NODE"
    shared = 0
    while shared < min(len(path), len(other_path)) and path[shared] == other_path[shared]:
        shared += 1
    return "PIX" if len(path) + len(other_path) - 2 * shared == 2 else "PXB"


def _devices(functions: List[Dict[str, Any]]) -> Iterator[Dict[str, Any]]:
    for row in functions:
        kind = row.get("class", "")[:6]
        if kind not in LAYERS or (row["sockets"] and not row["nets"]):
            continue
        ports = [
            {"port": int(net.get("port") or 1), "state": "ACTIVE", "link_layer": LAYERS[kind], "rate_gbps": int(net["speed"]) / 1000}
            for net in row["nets"] if net.get("speed", "").isdigit()
        ]
        name = row["nets"][0].get("name") if row["nets"] else None
        node, path = _way(row)
        yield {
            "name": name or row.get("busid", ""), "pci": row.get("busid"), "numa_node": node, "vendor": row.get("vendor"),
            "device": row.get("device"), "pci_path": path, "ports": ports,
        }


def _refuse_entity(*declaration: Any) -> None:
    raise ValueError(f"not a topology file: it declares the entity {declaration[0]}")


def parse(text: str) -> Facts:
    """Return the facts that a topology file holds; NCCL lists ports that are ACTIVE only.

    :raises ValueError: when the text is no XML.
    """
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.EntityDeclHandler = _refuse_entity
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise ValueError(f"not a topology file: {error}") from error
    rows = [row for row in reader.functions if row.get("class", "")[:6] in GPUS]
    devices = list(_devices(reader.functions))
    ways = {row["name"]: (row["numa_node"], row["pci_path"]) for row in devices}
    gpus = []
    for index, row in enumerate(sorted(rows, key=lambda row: row.get("busid", ""))):
        way = _way(row)
        gpus.append(nearest({
            "index": index, "pci": row.get("busid"), "vendor": VENDORS.get(row.get("vendor", "")), "numa_node": way[0], "pci_path": way[1],
            "paths": {name: relation(way, other) for name, other in ways.items()},
        }))
    return {"present": bool(devices), "devices": devices, "gpus": gpus, "system": {}}
