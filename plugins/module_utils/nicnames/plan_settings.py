# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MTUs and names of RDMA devices: what is live and what the profiles say."""

from __future__ import annotations

from typing import List

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import ownprofile, record
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.plan_files import Files, undone_mtu
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.plan_names import Names, Port
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Plan, Seen


def follows(seen: Seen, port: Port) -> bool:
    """Whether a port has the MTU of its bond."""
    return any(nic.name == port.nic.master and nic.kind != "bridge" for nic in seen.nics)


def mtus(seen: Seen, names: Names, files: Files, plan: Plan) -> None:
    """Put the wanted MTUs into the profiles, and note those that are to be set live."""
    for port in names.ports:
        wanted = port.pair.wanted.mtu if port.pair else None
        if wanted is None or not port.here:
            continue
        if follows(seen, port) and wanted != port.nic.mtu:
            plan.faults.append(
                f"network_rail_mtu: {port.after} is a port of {port.nic.master}, which sets the MTU of its ports. "
                f"Fix: leave it out, and set the MTU in the profile of {port.nic.master}"
            )
            continue
        paths = ownprofile.bound(files.now, port.nic, port.after)
        for path in paths:
            if ownprofile.mtu(path, files.now[path]) != str(wanted):
                if files.fixed(path):
                    plan.faults.append(f"network_rail_mtu: {path} is not below /etc, or a link. Fix: let NetworkManager save the profile")
                    continue
                files.put(path, ownprofile.with_mtu(path, files.now[path], str(wanted)))
                files.mtus[path] = str(wanted)
        if not paths:
            plan.notes.append(f"{port.after} has no profile of its own: MTU {wanted} is set now, and nothing sets it at the next boot")


def former_mtus(seen: Seen, names: Names, files: Files) -> None:
    """Take the MTUs out of the profiles of ports that go back to their former names."""
    known = record.files(seen.record)
    for port in names.ports:
        for path in ownprofile.bound(files.now, port.nic, port.after) if port.pair is None else []:
            origin = files.origin(path)
            files.put(path, undone_mtu(path, files.now[path], known.get(origin)))


def live(seen: Seen, names: Names, plan: Plan) -> None:
    """Note MTUs and RDMA names that differ from what is live."""
    for port in names.ports:
        if not port.here:
            continue
        mtu = port.pair.wanted.mtu if port.pair else (port.entry or {}).get("mtu")
        if mtu is not None and mtu != port.nic.mtu and not follows(seen, port):
            plan.mtus[port.after] = int(mtu)
        rdma = port.pair.wanted.rdma if port.pair else str((port.entry or {}).get("rdma", ""))
        if not rdma or rdma in port.nic.rdma:
            continue
        if len(port.nic.rdma) == 1:
            plan.rdma[port.nic.rdma[0]] = rdma
        elif port.pair:
            has = f"has {len(port.nic.rdma)} of them" if port.nic.rdma else "has none"
            plan.faults.append(f"network_rdma_names: {port.after} is to have an RDMA device {rdma} and {has}. Fix: leave out its RDMA name")


def rdma_faults(seen: Seen, plan: Plan) -> List[str]:
    """Return RDMA names that are another device's, and tell of those that do not last."""
    every = {name for nic in seen.nics for name in nic.rdma}
    taken = [name for name in plan.rdma.values() if name in every and name not in plan.rdma]
    soft = [old for old in plan.rdma if old in seen.soft]
    if soft:
        plan.notes.append(f"{', '.join(soft)}: made of software, which udev does not name; the RDMA name goes with the device")
    return [f"network_rdma_names: {name} is the name of another RDMA device. Fix: choose another name" for name in taken]
