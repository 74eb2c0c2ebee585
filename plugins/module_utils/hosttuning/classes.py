# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The traffic class of RDMA ports, from which packets get their DSCP.

Two places: C(/sys/class/infiniband/DEVICE/tc/PORT/traffic_class) of NVIDIA's DOCA-OFED driver holds for every connection, also those that
exist (read in its source, not run); C(default_roce_tos) in configfs (Linux 6.1, run) holds for connections that rdma_cm makes
and whose program asks for nothing.
"""

from __future__ import annotations

from typing import List

from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.steps import Part, Record, Seen, Step
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.wanted import Port, Wanted


def class_path(port: Port) -> str:
    """Return the driver's file."""
    return f"/sys/class/infiniband/{port.device}/tc/{port.port}/traffic_class"


def port_of(name: str) -> Port:
    """Return the port of a name such as mlx5_0:1."""
    device, _colon, number = name.rpartition(":")
    return Port(device, int(number), "")


def commands(wanted: Wanted, seen: Seen, port: Port) -> List[str]:
    """Return the shell commands that set a port, for the unit that does so at each boot."""
    if wanted.traffic_class is None:
        return []
    found = [f"tos {port.device} {port.port} {wanted.traffic_class}"]
    if seen.classes[port.name].all_connections is not None:
        found.append(f"put {class_path(port)} {wanted.traffic_class}")
    return found


def plan(wanted: Wanted, seen: Seen, record: Record) -> Part:
    """Return the changes of traffic classes.

    :param record: port to what it was.
    """
    part = Part(during=dict(record), final={})
    rails = {rail.name: wanted.traffic_class for rail in wanted.rails if wanted.traffic_class is not None}
    without = []
    for name in dict.fromkeys([*rails, *record]):
        now, port, asked = seen.classes[name], port_of(name), rails.get(name)
        # A device that rdma_cm sees for the first time has the class 0.
        entry = record.get(name) or {"all_connections": now.all_connections, "managed": now.managed or 0}
        if asked is not None:
            part.during[name] = part.final[name] = entry
            without += [name] if now.all_connections is None else []
        then = entry["all_connections"] if asked is None else asked
        if now.all_connections is not None and then is not None and then != now.all_connections:
            what = f"traffic class of {name}"
            words = ["unset" if value < 0 else str(value) for value in (now.all_connections, then)]
            disrupts = f"{what} would change from {words[0]} to {words[1]}"
            part.steps.append(Step("put", what, words[0], words[1], str(then).encode(), (class_path(port),), disrupts))
        then = entry["managed"] if asked is None else asked
        # Without rdma_cm there is nothing to restore.
        if then != now.managed and (asked is not None or now.managed is not None):
            what, argv = f"rdma_cm's traffic class of {name}", (port.device, str(port.port))
            part.steps.append(Step("connection", what, str(now.managed or 0), str(then), str(then).encode(), argv))
    if without and part.steps:
        part.notes.append(
            f"the driver of {', '.join(without)} has no traffic_class file (that of DOCA-OFED has): rdma_traffic_class holds "
            "for connections that rdma_cm makes, and others have what their program sets (MC_IB_TC, NCCL_IB_TC)"
        )
    return part
