# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The RDMA ports of the plan: there, up, with the GID that the engines are told, and wide enough."""

from __future__ import annotations

import os
import stat
from typing import Any, Dict, Iterator, List, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.context import Context
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rails import Rail, planned, port
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import WARNING, Row, bad, good, needless, some, unknown
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.gids import kind

RULES = ("preflight.rdma-device", "preflight.rdma-node", "preflight.rdma-gid", "preflight.rdma-mtu")
BEST_MTU = 4096
Found = List[Tuple[Rail, Dict[str, Any]]]


def check(context: Context) -> Iterator[Row]:
    """Compare ports with the plan."""
    rails = planned(context)
    if not context.rdma:
        yield from (needless(rule, "the plan uses no RDMA on this host") for rule in RULES)
        return
    if not rails:
        yield from (unknown(rule, "the plan names no RDMA device of this host") for rule in RULES)
        return
    yield from _devices(context, rails)
    pairs = [(rail, port(context, rail)) for rail in rails]
    found = [(rail, row) for rail, row in pairs if row]
    if not found:
        yield from (unknown(rule, "no planned port is there") for rule in RULES[1:])
        return
    yield from _nodes(context, found)
    yield from _gids(found)
    yield from _mtus(found)


def _devices(context: Context, rails: List[Rail]) -> Iterator[Row]:
    rule, wanted, up = RULES[0], f"{len(rails)} of {len(rails)} ACTIVE", 0
    absent = [name for name in dict.fromkeys(rail.device for rail in rails) if context.device(name) is None]
    if absent:
        present = some([row["name"] for row in context.facts["devices"]], 16) or "none"
        yield bad(
            rule, f"the plan uses {some(absent, 16)}, and the host's RDMA devices are {present}",
            "load their driver, or correct the list: sglang_rdma_include, sglang_rdma_devices", f"{some(absent)} absent", wanted,
            variable="sglang_rdma_include",
        )
    for rail in rails:
        row = port(context, rail)
        if rail.device in absent:
            continue
        if row is None:
            yield bad(
                rule, f"{rail.device} has no port {rail.port}", "correct sglang_rdma_include", f"{rail.name} absent", wanted,
                variable="sglang_rdma_include",
            )
        elif row["state"] is None:
            yield unknown(rule, f"the state of {rail.name} cannot be read", wanted)
        elif row["state"] != "ACTIVE":
            link = f" ({row['netdev']})" if row["netdev"] else ""
            yield bad(
                rule, f"{rail.name}{link} is {row['state']}, not ACTIVE",
                "look at cable, switch port and subnet manager, or leave it out: sglang_rdma_exclude", f"{rail.name} {row['state']}",
                wanted,
                variable="sglang_rdma_exclude",
            )
        else:
            up += 1
    if up == len(rails):
        yield good(rule, f"{up} of {len(rails)} ACTIVE", wanted)


def _mode(context: Context, path: str) -> Optional[int]:
    place = context.root.outside(path)
    if place is None:
        return None
    try:
        return stat.S_IMODE(os.lstat(place).st_mode)
    except OSError:
        return None


def _nodes(context: Context, found: Found) -> Iterator[Row]:
    """Look at the device files by which the engine's user reaches the ports."""
    rule, wanted, clean = RULES[1], "open to the engine's user", True
    for name in dict.fromkeys(rail.device for rail, _port in found):
        verbs = (context.device(name) or {}).get("uverbs")
        path = f"/dev/infiniband/{verbs['name']}" if verbs else ""
        mode = _mode(context, path) if path else None
        if mode is None:
            clean = False
            yield bad(
                rule, f"{name} has no device file for programs{': ' + path + ' is missing' if path else ''}",
                "load the module ib_uverbs; in a container pass /dev/infiniband on", f"{name} without one", wanted,
            )
        elif mode & 0o006 != 0o006:
            clean = False
            yield bad(
                rule, f"{path} of {name} has mode {mode:04o}: the engine's user may not open it",
                "let udev set 0666 as rdma-core does, or put its group into engine_supplementary_groups", f"{name} {mode:04o}", wanted,
                state=WARNING,
            )
    if clean:
        yield good(rule, wanted, wanted)


def _fault(rail: Rail, row: Dict[str, Any]) -> Tuple[str, str]:
    """Return what is wrong with the GID of a RoCE port's planned index, and what was found; both empty where nothing is."""
    slot = next((slot for slot in row["gids"] if slot["index"] == rail.gid_index), None)
    where = f"{rail.name} GID index {rail.gid_index}"
    if slot is None:
        lost = f": has {row['netdev'] or 'its network device'} lost its address?" if row["rocev2_gid_index"] is None else ""
        return f"{where} is empty{lost}", "empty"
    address = slot["ipv4"] or slot["gid"]
    if slot["type"] != "v2":
        return f"{where} is {slot['type']}, not RoCE v2", str(slot["type"])
    # A fabric may live on 169.254 alone; with a better address beside it, that slot is the wrong one.
    if kind(slot).endswith("link-local") and rail.gid_index != row["rocev2_gid_index"]:
        return f"{where} is {address}, a link-local address", address
    if rail.addresses and slot["ipv4"] and slot["ipv4"] not in rail.addresses:
        return f"{where} is {address}, planned is {some(rail.addresses)}", address
    own = {text.partition("/")[0] for text in row["addresses"]}
    if own and slot["ipv4"] and slot["ipv4"] not in own:
        return f"{where} is {address}, and {row['netdev']} has {some(sorted(own))}", address
    return "", ""


def _gids(found: Found) -> Iterator[Row]:
    rule, wanted, right = RULES[2], "RoCE v2, the port's own address", 0
    roce = [(rail, row) for rail, row in found if row["link_layer"] == "Ethernet"]
    for rail, row in roce:
        if rail.gid_index is None:
            if row["rocev2_gid_index"] is None:
                yield bad(
                    rule,
                    f"{rail.name} has no RoCE v2 GID of a global address: has {row['netdev'] or 'its network device'} lost its address?",
                    "give the network device its address", "none", wanted,
                )
            else:
                right += 1
            continue
        hidden = any(slot["index"] == rail.gid_index and slot["type"] is None for slot in row["gids"])
        text, short = ("", "") if hidden else _fault(rail, row)
        if hidden:
            yield unknown(rule, f"the type of {rail.name} GID index {rail.gid_index} cannot be read", wanted)
        elif text:
            better = row["rocev2_gid_index"]
            other = better is not None and better != rail.gid_index
            fix = f"the port's own is {better}: set sglang_gid_index" if other else "give the network device its address"
            yield bad(rule, text, fix, f"{rail.name} {short}", wanted, variable="sglang_gid_index")
        else:
            right += 1
    if not roce:
        yield needless(rule, "no planned port is RoCE")
    elif right == len(roce):
        yield good(rule, f"{right} of {len(roce)} right", wanted)


def _mtus(found: Found) -> Iterator[Row]:
    rule, wanted = RULES[3], f"{BEST_MTU} (network device 4200 or more)"
    roce = [(rail, row) for rail, row in found if row["link_layer"] == "Ethernet"]
    silent = [rail.name for rail, row in roce if row["active_mtu"] is None and row["netdev_mtu"] is None]
    small = [(rail, row) for rail, row in roce if row["netdev_mtu"] is not None and (row["active_mtu"] or 0) < BEST_MTU]
    for rail, row in small:
        yield bad(
            rule, f"{rail.name} sends packets of {row['active_mtu'] or 0} bytes: {row['netdev']} has MTU {row['netdev_mtu']}",
            "set MTU 9000 on the port's network device and on the switch, on every host alike", f"{rail.name} {row['active_mtu'] or 0}",
            wanted,
        )
    if silent:
        yield unknown(rule, f"the MTU of {some(silent)} cannot be read", wanted)
    if not roce:
        yield needless(rule, "no planned port is RoCE")
    elif not silent and not small:
        yield good(rule, str(BEST_MTU), wanted)
