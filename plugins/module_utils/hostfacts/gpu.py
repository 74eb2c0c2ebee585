# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs of NVIDIA and AMD: by PCI class, and by what their drivers show in procfs and in the topology of KFD."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import pci
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root, number

NVIDIA, AMD = "0x10de", "0x1002"
VENDORS = {NVIDIA: "nvidia", AMD: "amd"}
DRIVERS = {"nvidia": "nvidia", "amd": "amdgpu"}
# VGA and 3D controllers; AMD's accelerators are processing accelerators or display controllers. An AMD VGA controller may be the
# one inside the CPU, so it counts only when KFD runs compute on it.
CLASSES = {NVIDIA: ("0x0300", "0x0302"), AMD: ("0x1200", "0x0380", "0x0302")}
KFD = "/sys/class/kfd/kfd/topology/nodes"
PROC = "/proc/driver/nvidia/gpus"
AMD_MODELS = {
    "0x738c": "AMD Instinct MI100",
    "0x7408": "AMD Instinct MI250X",
    "0x740c": "AMD Instinct MI250X/MI250",
    "0x740f": "AMD Instinct MI210",
    "0x74a0": "AMD Instinct MI300A",
    "0x74a1": "AMD Instinct MI300X",
    "0x74a5": "AMD Instinct MI325X",
    "0x74a9": "AMD Instinct MI300X HF",
    "0x75a0": "AMD Instinct MI350X",
    "0x75a3": "AMD Instinct MI355X",
}

Facts = Dict[str, Any]


def nvidia_information(root: Root) -> Dict[str, Dict[str, str]]:
    """Return PCI address to what the driver's information file says (Model, GPU UUID, Device Minor ...)."""
    found = {}
    for address in root.list(PROC):
        text = root.read(f"{PROC}/{address}/information")
        if text and pci.is_function(address.lower()):
            rows = (line.partition(":") for line in text.splitlines())
            found[address.lower()] = {name.strip(): value.strip() for name, _colon, value in rows}
    return found


def kfd_nodes(root: Root) -> Dict[str, Dict[str, int]]:
    """Return PCI address to the properties of the KFD nodes that compute, with the number of nodes on it as C(partitions)."""
    found: Dict[str, Dict[str, int]] = {}
    for name in root.list(KFD):
        rows = {}
        for line in (root.read(f"{KFD}/{name}/properties") or "").splitlines():
            key, _space, value = line.partition(" ")
            rows[key] = number(value.strip()) or 0
        if rows.get("simd_count", 0) <= 0 or "location_id" not in rows:
            continue
        place, domain = rows["location_id"], rows.get("domain", 0)
        address = f"{domain & 0xFFFFFFFF:04x}:{place >> 8 & 0xFF:02x}:{place >> 3 & 0x1F:02x}.{place & 7}"
        rows["partitions"] = found.get(address, {}).get("partitions", 0) + 1
        found[address] = rows
    return found


def _addresses(root: Root, known: Dict[str, Dict[str, str]], computing: Dict[str, Dict[str, int]]) -> Dict[str, str]:
    """Return PCI address to vendor of every GPU, whoever knows it."""
    found = dict.fromkeys(known, NVIDIA)
    for address in root.list(pci.DEVICES):
        kind = (root.read(f"{pci.DEVICES}/{address}/class") or "").lower()
        if not pci.is_function(address) or not kind.startswith(("0x03", "0x12")):
            continue
        vendor = (root.read(f"{pci.DEVICES}/{address}/vendor") or "").lower()
        if kind[:6] in CLASSES.get(vendor, ()) or (vendor == AMD and address in computing):
            found[address] = vendor
    return found


def _nvidia(known: Dict[str, str]) -> Facts:
    return {"model": known.get("Model") or None, "uuid": known.get("GPU UUID") or None, "minor": number(known.get("Device Minor"))}


def _amd(root: Root, directory: str, device: Optional[str], node: Dict[str, int]) -> Facts:
    unique = root.read(directory + "/unique_id") or (f"{node['unique_id']:016x}" if node.get("unique_id") else None)
    model = root.read(directory + "/product_name") or AMD_MODELS.get(device or "")
    return {"model": model or None, "uuid": unique or None, "minor": node.get("drm_render_minor")}


def _count(rows: List[Facts]) -> None:
    """Number the GPUs of each vendor as its programs count them. One that its driver does not have (vfio-pci) they do not see."""
    for vendor, driver in DRIVERS.items():
        own = [row for row in rows if row["vendor"] == vendor]
        # A capture may hold no driver at all, and a host may not have loaded it yet.
        wanted = driver if any(row["driver"] == driver for row in own) else None
        for index, row in enumerate(row for row in own if row["driver"] == wanted):
            row["index"] = index


def gpus(root: Root) -> List[Facts]:
    """Return the GPUs in the order of their PCI addresses, which is that of C(nvidia-smi) and C(rocm-smi).

    Their C(index) is None where no process can use them.
    """
    known, computing = nvidia_information(root), kfd_nodes(root)
    vendors = _addresses(root, known, computing)
    found: List[Facts] = []
    for address in sorted(vendors, key=lambda name: (int(name.split(":")[0], 16), name.partition(":")[2])):
        directory = root.real(f"{pci.DEVICES}/{address}") or f"{pci.DEVICES}/{address}"
        physical = root.link(directory + "/physfn")
        if physical in vendors:
            # A virtual GPU belongs to a guest, not to this host.
            continue
        device = root.read(directory + "/device")
        of_nvidia = vendors[address] == NVIDIA
        rows = _nvidia(known.get(address, {})) if of_nvidia else _amd(root, directory, device, computing.get(address, {}))
        found.append(
            {
                "index": None,
                "pci": address,
                "pci_path": pci.pci_path(directory),
                "vendor": VENDORS[vendors[address]],
                "device": device,
                **rows,
                "numa_node": pci.numa_node(root, directory),
                "driver": root.link(directory + "/driver"),
                "pci_link": pci.link(root, directory),
                "is_vf": physical is not None,
                "partitions": computing.get(address, {}).get("partitions"),
            }
        )
    _count(found)
    return found
