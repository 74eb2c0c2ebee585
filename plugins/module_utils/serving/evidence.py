# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine host can say of the way that the KV cache took: counters of devices and interfaces, ports, lines of the logs."""

from __future__ import annotations

import json
import os
import re
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest import counters
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck import sockets
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import net, netlink
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root, natural

Runner = Callable[[List[str]], Tuple[int, str, str]]
TRAFFIC = ("rx_bytes", "tx_bytes")
# Lines by which Mooncake says what it transfers with (transfer_engine_impl.cpp, tcp_transport.cpp, rdma_context.cpp), and NIXL its backend.
# journalctl takes the same pattern (PCRE2), so it holds nothing that the two read differently.
LINES = (
    r"Topology discovery complete|tcp_transport|TcpTransport|No RDMA devices found|No available RNIC|installTransport|RDMA device: |"
    r"rdma_context|Backend [A-Z_]+ was instantiated|MC_FORCE_TCP"
)
MOST_LINES = 60
# With DP attention, ports between the processes of a group (PortArgs of 0.5.8): some are bound for a while only, or on another rank.
PASSING = ("tokenizer", "detokenizer", "RPC", "scheduler metrics", "scheduler input", "load collector", "DP handshake")
WITHOUT_GREP = 20000
CONFIG_LIMIT = 1 << 20


def interface_of(root: Root, address: str) -> str:
    """Return the interface that has an address, empty where none has."""
    rows = root.ask("addresses", netlink.addresses) if root.live else net.file_addresses(root)
    for name, found in (rows or {}).items():
        if any(row.partition("/")[0] == address for row in found):
            return name
    return ""


def traffic(root: Root, interface: str) -> Dict[str, int]:
    """Return bytes received and sent of an interface since it came up, without those it does not count."""
    found = {name: root.number(f"/sys/class/net/{interface}/statistics/{name}") for name in TRAFFIC} if interface else {}
    return {name: value for name, value in found.items() if value is not None}


def rdma_ports(root: Root, planned: Sequence[str]) -> List[str]:
    """Return the planned RDMA ports (DEVICE:PORT); those of every device where the plan does not name them."""
    if planned:
        return list(planned)
    devices = sorted(root.list("/sys/class/infiniband"), key=natural)
    return [f"{device}:{port}" for device in devices for port in sorted(root.list(f"/sys/class/infiniband/{device}/ports"), key=natural)]


def snapshot(root: Root, wanted: Mapping[str, Any]) -> Dict[str, Any]:
    """Return counters of now.

    :param wanted: as C(planned.wanted) returns it; RDMA C(ports) as far as they are known.
    """
    fabric = wanted.get("fabric_interface") or interface_of(root, str(wanted.get("fabric_address") or ""))
    management = interface_of(root, str(wanted.get("management_address") or ""))
    found: Dict[str, Any] = {
        "fabric": {"interface": fabric, **traffic(root, fabric)},
        "management": {"interface": management, **traffic(root, management)},
        "rdma": {},
    }
    for key in rdma_ports(root, list(wanted.get("ports") or [])) if wanted.get("rdma") else []:
        device, _colon, port = key.partition(":")
        if port.isdigit():
            found["rdma"][key] = counters.read(root, device, int(port), None)
    return found


def listening(root: Root, ports: Sequence[Mapping[str, Any]]) -> Tuple[int, List[str]]:
    """Return how many of the planned ports somebody listens on, and which ones nobody, or another unit does.

    :param ports: rows with C(port), C(address), C(purpose) and C(unit).
    """
    held = sockets.listeners(root, sockets.open_files(root))
    good, wrong = 0, []
    for row in ports:
        found = sockets.holders(held, int(row["port"]), str(row["address"]))
        units = sorted({one.unit for one in found if one.unit})
        strangers = [one for one in found if one.pid and not one.unit]
        if not found and row["purpose"] in PASSING:
            continue
        if not found:
            wrong.append(f"nobody listens on {row['address']}:{row['port']} ({row['purpose']} of {row['unit']})")
        elif units and row["unit"] not in units:
            wrong.append(f"{', '.join(units)} listens on {row['address']}:{row['port']}, planned for {row['purpose']} of {row['unit']}")
        elif strangers and not units:
            held_by = f"process {strangers[0].pid} ({strangers[0].command or 'unknown'}) of no unit"
            wrong.append(f"{held_by} listens on {row['address']}:{row['port']}, planned for {row['purpose']} of {row['unit']}")
        else:
            good += 1
    return good, wrong


def transport_lines(run: Runner, unit: str) -> List[str]:
    """Return the lines of a unit's running process that say by what it transfers."""
    rc, out, _err = run(["systemctl", "show", "--property", "InvocationID", "--value", unit])
    run_id = out.strip()
    if rc != 0 or not run_id:
        return []
    base = ["journalctl", f"_SYSTEMD_INVOCATION_ID={run_id}", "--no-pager", "--quiet", "--output", "cat"]
    rc, out, err = run([*base, "--grep", LINES, "--lines", str(MOST_LINES)])
    if rc != 0 and "pattern matching" in err:
        _rc, out, _err = run([*base, "--lines", str(WITHOUT_GREP)])
    pattern = re.compile(LINES)
    return [line for line in out.splitlines() if pattern.search(line)][:MOST_LINES]


def model_config(root: Root, directory: str) -> Dict[str, Any]:
    """Return a model's config.json, empty where it cannot be read."""
    text = root.read(os.path.join(directory, "config.json"), CONFIG_LIMIT)
    try:
        data = json.loads(text) if text else None
    except ValueError:
        data = None
    return data if isinstance(data, dict) else {}


def grown(before: Optional[Mapping[str, int]], after: Mapping[str, int]) -> Dict[str, int]:
    """Return by how much counters have grown; what is in one of them only, or was reset, is left out."""
    return {
        name: after[name] - value for name, value in (before or {}).items() if isinstance(after.get(name), int) and after[name] >= value
    }
