# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counters of a port before and after: which errors moved, and what says that the bytes went by RDMA."""

from __future__ import annotations

import re
from typing import Any, Dict, Optional

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root

PLACES = ("counters", "hw_counters")
# Names of the kernel's own counters (Documentation/ABI/stable/sysfs-class-infiniband), mlx5, bnxt_re, irdma and rxe.
ERROR = re.compile(
    r"_err|error|symbol_error|link_downed|discard|out_of_seq|seq_err|packet_seq|out_of_buffer|timeout|rnr|icrc|retry|retrans|nak|dropp|"
    r"adp_retrans|local_link_integrity|excessive_buffer|malformed|crc|overrun|missed|collision|duplicate_request|implied_nak"
)
NOT_ERRORS = frozenset(("roce_adp_retrans", "duplicate_request", "tx_timeout_watchdog"))
# mlx5's, in words of four bytes; rxe counts packets of at most an MTU.
WORDS = "counters/port_xmit_data"
PACKETS = ("hw_counters/sent_pkts", "hw_counters/tx_pkts", "counters/port_xmit_packets")
WORD_BYTES = 4
LARGEST_MTU = 4096

Counts = Dict[str, int]


def read(root: Root, device: str, port: int, netdev: Optional[str]) -> Counts:
    """Return every counter of a port and of its network interface by its place."""
    found: Counts = {}
    places = {place: f"/sys/class/infiniband/{device}/ports/{port}/{place}" for place in PLACES}
    if netdev:
        places["net"] = f"/sys/class/net/{netdev}/statistics"
    for place, directory in places.items():
        for name in root.list(directory):
            value = root.number(f"{directory}/{name}")
            if value is not None:
                found[f"{place}/{name}"] = value
    return found


def moved(before: Counts, after: Counts) -> Counts:
    """Return by how much counters have grown; those that are no longer there, or were reset, are left out."""
    rows = {name: value - before[name] for name, value in after.items() if name in before}
    return {name: value for name, value in rows.items() if value > 0 and not name.endswith("/lifespan")}


def errors(delta: Counts) -> Counts:
    """Return the counters among them that count faults."""
    return {name: value for name, value in delta.items() if ERROR.search(name) and name.rpartition("/")[2] not in NOT_ERRORS}


def carried(delta: Counts, before: Counts, sent: int) -> Dict[str, Any]:
    """Return whether a port sent by RDMA what a test sent.

    :param before: the port's counters before the test: one that tells is there also where it has not moved.
    :param sent: bytes that the test sent from here.
    :return: counter, by how much it grew, and C(enough): None where no counter of the driver tells, or nothing is known to be sent.
    """
    if not sent:
        return {"counter": next((name for name in (WORDS, *PACKETS) if name in delta), None), "grown": 0, "enough": None}
    if WORDS in delta:
        return {"counter": WORDS, "grown": delta[WORDS], "enough": delta[WORDS] * WORD_BYTES >= sent}
    name = next((name for name in PACKETS if name in delta), None)
    if name is not None:
        return {"counter": name, "grown": delta[name], "enough": delta[name] * LARGEST_MTU >= sent}
    still = next((name for name in (WORDS, *PACKETS) if name in before), None)
    return {"counter": still, "grown": 0, "enough": None if still is None else False}
