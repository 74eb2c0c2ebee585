# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts from what people post of their machines: ibstat, ibstatus, nvidia-smi topo -m, and presets of k8s-launch-kit.

Each returns the dictionary of C(rdma_facts) as far as the text goes; C(merge) joins two of one machine.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Optional

STATES = {"Active": "ACTIVE", "Down": "DOWN", "Initializing": "INIT", "Armed": "ARMED"}
PATHS = ("PIX", "PXB", "PHB", "NODE", "SYS")
RATE = re.compile(r"(\d+(?:\.\d+)?)")
STATUS = re.compile(r"Infiniband device '([^']+)' port (\d+) status:")
ADAPTER = re.compile(r"CA '([^']+)'")
COLUMN = re.compile(r"^(?:GPU|NIC)\d+$")
# nvidia-smi underlines the names on a terminal.
UNDERLINE = re.compile(r"\x1b\[[0-9;]*m")
LEGEND = re.compile(r"^\s*(NIC\d+):\s*(\S+)\s*$")

Facts = Dict[str, Any]


def _facts(devices: List[Dict[str, Any]], gpus: Optional[List[Dict[str, Any]]] = None) -> Facts:
    return {"present": bool(devices), "devices": devices, "gpus": gpus or [], "system": {}}


def _rate(text: str) -> Optional[float]:
    found = RATE.match(text)
    return float(found.group(1)) if found else None


def _guid(text: str) -> str:
    digits = text.replace("0x", "").replace(":", "").zfill(16)
    return ":".join(digits[start : start + 4] for start in range(0, 16, 4))


def ibstat(text: str) -> Facts:
    """Return the facts that the output of C(ibstat) holds."""
    devices: List[Dict[str, Any]] = []
    target: Dict[str, str] = {}
    found: List[Dict[str, Any]] = []
    for line in map(str.strip, text.splitlines()):
        adapter = ADAPTER.match(line)
        if adapter:
            target = {}
            found.append({"name": adapter.group(1), "fields": target, "ports": []})
            continue
        name, colon, value = line.partition(":")
        if not colon or not found:
            continue
        if name.startswith("Port ") and not value:
            target = {"port": name.split()[1]}
            found[-1]["ports"].append(target)
        else:
            target[name] = value.strip()
    for row in found:
        fields = row["fields"]
        devices.append({
            "name": row["name"],
            "hca_type": fields.get("CA type"),
            "fw_ver": fields.get("Firmware version"),
            "node_guid": _guid(fields["Node GUID"]) if fields.get("Node GUID") else None,
            "sys_image_guid": _guid(fields["System image GUID"]) if fields.get("System image GUID") else None,
            "ports": [
                {
                    "port": int(port["port"]), "state": STATES.get(port.get("State", ""), port.get("State", "").upper()),
                    "phys_state": port.get("Physical state"), "rate_gbps": _rate(port.get("Rate", "")),
                    "link_layer": port.get("Link layer"),
                }
                for port in row["ports"]
            ],
        })
    return _facts(devices)


def ibstatus(text: str) -> Facts:
    """Return the facts that the output of C(ibstatus) holds."""
    devices: Dict[str, Dict[str, Any]] = {}
    port: Dict[str, Any] = {}
    for line in text.splitlines():
        status = STATUS.match(line)
        if status:
            port = {"port": int(status.group(2))}
            devices.setdefault(status.group(1), {"name": status.group(1), "ports": []})["ports"].append(port)
            continue
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not colon:
            continue
        if name in ("state", "phys state"):
            port[name.replace(" ", "_")] = value.partition(":")[2].strip() or value
        elif name == "rate":
            port["rate_gbps"] = _rate(value)
        elif name == "link_layer":
            port["link_layer"] = value
    return _facts(list(devices.values()))


def matrix(text: str) -> Facts:
    """Return the facts that C(nvidia-smi topo -m) holds: names and distances, nothing of the ports."""
    header: List[str] = []
    legend: Dict[str, str] = {}
    rows: Dict[str, List[str]] = {}
    for line in UNDERLINE.sub("", text).splitlines():
        named = LEGEND.match(line)
        words = line.replace(" X ", "\tX\t").split()
        if named:
            legend[named.group(1)] = named.group(2)
        elif not header and words and words[0] == "GPU0":
            # Affinity columns end the list of names; before them, a name may also be the device's own.
            header = words[: words.index("CPU")] if "CPU" in words else [word for word in words if COLUMN.match(word)]
        elif header and words and words[0] in header:
            rows[words[0]] = words[1 : len(header) + 1]
    gpus = []
    nics = [column for column in header if not re.match(r"^GPU\d+$", column)]
    for column in header:
        if column in nics or column not in rows:
            continue
        paths = {legend.get(nic, nic): path for nic, path in zip(header, rows[column]) if nic in nics and path in PATHS}
        gpus.append(nearest({"index": int(column[3:]), "paths": paths}))
    return _facts([{"name": legend.get(nic, nic), "ports": []} for nic in nics], gpus)


def nearest(gpu: Dict[str, Any]) -> Dict[str, Any]:
    """Return a GPU's facts with C(path), C(nics) and C(tied) as its C(paths) have them."""
    order = (*PATHS[:4], "UNKNOWN", "SYS")
    best = min((order.index(path) for path in gpu["paths"].values()), default=None)
    nics = [name for name, path in gpu["paths"].items() if best is not None and path == order[best]]
    return {**gpu, "path": order[best] if best is not None else None, "nics": nics, "tied": nics if len(nics) > 1 else []}


def launch_kit(text: str, rates: Dict[str, float], layer: str = "Ethernet") -> Facts:
    """Return the facts of a JSON list of physical functions as k8s-launch-kit's presets describe them.

    :param rates: Gb/s by kind of traffic (east-west, north-south), which the presets do not tell.
    """
    devices: List[Dict[str, Any]] = []
    paths: Dict[int, Dict[str, str]] = {}
    nodes: Dict[int, Optional[int]] = {}
    rows = [row for row in json.loads(text) if row.get("rdma")]
    for row in rows:
        devices.append({
            "name": row["rdma"], "pci": row["pci"], "numa_node": row.get("numa"), "board_id": row.get("psid") or None,
            "ports": [{
                "port": 1, "state": "ACTIVE", "phys_state": "LinkUp", "rate_gbps": rates[row["traffic"]], "link_layer": layer,
            }],
        })
        if row.get("gpu"):
            index = int(row["gpu"][3:])
            paths.setdefault(index, {})[row["rdma"]] = row["proximity"]
            nodes[index] = row.get("numa")
    for index, known in paths.items():
        for row in rows:
            known.setdefault(row["rdma"], "NODE" if row.get("numa") == nodes[index] else "SYS")
    return _facts(devices, [nearest({"index": index, "numa_node": nodes[index], "paths": paths[index]}) for index in sorted(paths)])


def merge(one: Facts, other: Facts) -> Facts:
    """Return the facts of one machine from two texts; the second fills in what the first leaves open."""
    devices = {row["name"]: dict(row) for row in one["devices"]}
    for row in other["devices"]:
        mine = devices.setdefault(row["name"], {})
        for name, value in row.items():
            if mine.get(name) in (None, [], ""):
                mine[name] = value
    return _facts(list(devices.values()), one["gpus"] or other["gpus"])
