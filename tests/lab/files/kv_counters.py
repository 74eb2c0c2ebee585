# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints what a host has sent and received so far, as one JSON object: packets per RDMA device, bytes of its interface, TCP segments."""

from __future__ import annotations

import json
from pathlib import Path

devices = {}
for base in sorted(Path("/sys/class/infiniband").iterdir()):
    counters = base / "ports/1/hw_counters"
    statistics = Path("/sys/class/net", (base / "parent").read_text().strip(), "statistics")
    devices[base.name] = {
        "sent": int((counters / "sent_pkts").read_text()),
        "received": int((counters / "rcvd_pkts").read_text()),
        "tx_bytes": int((statistics / "tx_bytes").read_text()),
        "rx_bytes": int((statistics / "rx_bytes").read_text()),
    }
names, values = (line.split()[1:] for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Tcp:"))
tcp = dict(zip(names, map(int, values)))
print(json.dumps({"devices": devices, "tcp": {"sent": tcp["OutSegs"], "received": tcp["InSegs"]}}))
