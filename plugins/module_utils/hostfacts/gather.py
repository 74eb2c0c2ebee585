# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All facts of a host in one structure.

The keys are always the same; what is not known is None, what was not asked for is an empty list or dictionary.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import distance, gpu, net, netlink, rdma, system
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root

SUBSETS = ("rdma", "gpu", "net", "system")

Facts = Dict[str, Any]


def _warnings(devices: List[Facts]) -> List[str]:
    """Return what deserves a look: ports that are up and cannot be used as they are."""
    found = []
    for device in devices:
        if not device["ports"]:
            found.append(f"{device['name']}: has no ports")
        for port in device["ports"]:
            name = f"{device['name']} port {port['port']}"
            if port["state"] != "ACTIVE" or port["link_layer"] != "Ethernet" or device["smi"] or device["node_type"] == "RNIC":
                # iWARP has no RoCE GIDs.
                continue
            if port["representor"]:
                continue
            if not port["netdev"]:
                found.append(f"{name}: ACTIVE, but its network device is not known here; it may belong to another network namespace")
            elif port["rocev2_gid_index"] is None:
                found.append(f"{name}: ACTIVE, but no RoCE v2 GID of an address on {port['netdev']}; has the address been lost?")
            elif port["nccl_auto_gid_index"] != port["rocev2_gid_index"]:
                found.append(
                    f"{name}: NCCL by itself would take GID index {port['nccl_auto_gid_index']},"
                    f" the one of {port['rocev2_gid']['ndev']} is {port['rocev2_gid_index']}"
                )
    return found


def gather(root: Root, subsets: Sequence[str] = SUBSETS, use_netlink: bool = True, units: Sequence[str] = ()) -> Facts:
    """Return the facts of a host.

    :param root: where to read.
    :param subsets: which of C(SUBSETS) to gather; the ways from GPUs to NICs need both of them.
    :param use_netlink: ask the kernel where files do not tell; never done for a tree, unless a capture holds the answers.
    :param units: systemd units whose memlock limit is wanted.
    """
    ask = use_netlink and root.answers
    wanted = set(subsets)
    interfaces: Mapping[str, Facts] = {}
    devices: List[Facts] = []
    mode = None
    if wanted & {"rdma", "net"}:
        interfaces = net.Interfaces(root, root.ask("addresses", netlink.addresses) if ask else None)
    if "rdma" in wanted:
        here = ask and bool(root.list(rdma.CLASS))
        kernel = root.ask("rdma", netlink.rdma_devices) if here else None
        mode = root.ask("netns", netlink.rdma_netns_mode) if here else None

        def dcb(names: List[str]) -> Optional[Dict[str, Optional[Facts]]]:
            return root.ask("dcb", lambda: netlink.dcb(names))

        devices = rdma.devices(root, interfaces, kernel, dcb if here else None)
    gpus = gpu.gpus(root) if "gpu" in wanted else []
    is_guest = bool(system.guest(root)) if gpus and devices else False
    for row in gpus:
        row.update(distance.nearest(row, devices, is_guest))
    for row in gpus:
        others = [other for other in gpus if other is not row and other["vendor"] == row["vendor"] and other["index"] is not None]
        row["shared_with"] = [other["index"] for other in others if set(other["nics"]) & set(row["nics"])]
    paths = [row["pci_path"] for row in [*devices, *gpus]]
    return {
        "present": any(device["ports"] for device in devices),
        "netns_mode": mode,
        "devices": devices,
        "gpus": gpus,
        "interfaces": dict(interfaces) if "net" in wanted else {},
        "system": system.facts(root, paths, units) if "system" in wanted else {},
        "warnings": _warnings(devices),
        "errors": dict(sorted(root.errors.items())),
        "reads": root.reads,
    }
