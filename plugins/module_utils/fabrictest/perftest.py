# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command lines of perftest, what its output means, and what went wrong where there is no figure.

Texts and tables are those of perftest 4.5+0.17 (reports 6.06, Debian 12), as run on soft-RoCE; newer ones add columns.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional, Tuple

BANDWIDTH = ("write_bw", "read_bw", "send_bw")
LATENCY = ("write_lat", "read_lat", "send_lat")
TESTS = (*BANDWIDTH, *LATENCY)
PACKAGE = "perftest"

HEADER = re.compile(r"#?[\w.%]+(?: (?:peak|average|percentile))?\[[^\]]*\]|#bytes|#iterations|tps average")
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|inf|nan)(?:e[-+]?\d+)?", re.IGNORECASE)
MTU = re.compile(r"^\s*Mtu\s*:\s*(\d+)", re.MULTILINE | re.IGNORECASE)
# Printed when both ends know each other, before the first byte by RDMA.
MET = "remote address:"

# What the output says, first match first: pattern, code.
FAILURES: Tuple[Tuple[str, str], ...] = (
    (r"Couldn't allocate MR|[Ff]ailed to create mr|ibv_reg_mr failed", "memory"),
    (r"Cannot allocate memory", "memory"),
    (r"state is Down|Port number \d+ state is", "port-down"),
    (r"IB device \S+ not found|Unable to find the Infiniband", "no-device"),
    (r"Incompatibility issue with GID|[Cc]an't read sgid|Failed to get GID|Invalid GID|gid index", "gid"),
    (r"Failed to modify QP \S* ?to RTR|Unable to Connect the HCA's through the link", "rtr"),
    (r"Failed to modify QP", "rtr"),
    (r"requested mtu is higher|Requested MTU|MTU mismatch|mtu .* not supported", "mtu"),
    (r"Failed to open device|Couldn't get context for the device|Unable to query port", "device-access"),
    (r"Completion with error|syndrom 0x|Failed status \d+|transport retry counter exceeded", "completion"),
    (r"[Cc]ouldn't connect to|Unable to init the socket|Unable to open file descriptor for socket", "connect"),
    (r"Couldn't bind|Address already in use|Couldn't listen", "port-taken"),
    (r"Couldn't read remote address|Failed to exchange data|Unable to read to socket", "peer-left"),
    (r"Unknown assignment|Failed to start transient service|Failed to create bus connection|Interactive authentication", "unit"),
    (r"No such file or directory|status=203|Failed to (?:find|locate) executable", "no-program"),
    (r"unrecognized option|invalid option|Invalid argument for", "option"),
)


def command(test: Dict[str, Any], program: str) -> List[str]:
    """Return the words that start one end of a test.

    :param test: kind, role, device, port, gid_index, peer (address, for the client), tcp_port, size (bytes), iterations or seconds,
        queue_pairs and traffic_class.
    """
    line = [program, "-d", test["device"], "-i", str(test["port"]), "-p", str(test["tcp_port"]), "-s", str(test["size"]), "-F"]
    if test.get("gid_index") is not None:
        # InfiniBand has none: there perftest addresses by LID.
        line += ["-x", str(test["gid_index"])]
    if test["kind"] in BANDWIDTH:
        line += ["--report_gbits", "-q", str(test["queue_pairs"])]
    if test.get("iterations"):
        line += ["-n", str(test["iterations"])]
    else:
        line += ["-D", str(test["seconds"])]
    if test.get("traffic_class") is not None:
        line += [f"--tclass={test['traffic_class']}"]
    if ":" in (test.get("peer") or ""):
        # Without it perftest's own TCP connection is IPv4's; from release 23.07 on.
        line.append("--ipv6-addr")
    return line + ([test["peer"]] if test["role"] == "client" else [])


def rows(text: str) -> List[Dict[str, float]]:
    """Return the rows of the table of results, each with its columns by their names."""
    found: List[Dict[str, float]] = []
    columns: List[str] = []
    for line in text.splitlines():
        if "#bytes" in line:
            columns = HEADER.findall(line)
            continue
        words = line.split()
        if columns and len(words) >= 3 and all(NUMBER.fullmatch(word) for word in words):
            found.append(dict(zip(columns, map(float, words))))
        elif columns and found:
            break
    return found


def _column(row: Dict[str, float], *starts: str) -> Optional[float]:
    return next((value for start in starts for name, value in row.items() if name.startswith(start)), None)


def figures(kind: str, text: str) -> Dict[str, Any]:
    """Return gbps (Gb/s on average), or the latency in microseconds with its 99th percentile; iterations, bytes in all and MTU.

    Empty where the output has no table. Figures that are no numbers count as none.
    """
    table = rows(text)
    if not table:
        return {}
    row = table[-1]
    found: Dict[str, Any] = {}
    if kind in BANDWIDTH:
        average = _column(row, "BW average")
        unit = next((name for name in row if name.startswith("BW average")), "")
        # Without --report_gbits the unit is MB/s, of 2^20 bytes.
        scale = 1.0 if "Gb" in unit else 8 * 1.048576e-3
        found["gbps"] = average * scale if average is not None else None
    else:
        found["latency_us"] = _column(row, "t_typical", "t_avg")
        found["latency_p99_us"] = _column(row, "99%")
    if any(value is not None and not 0 <= value < float("inf") for value in found.values()):
        return {}
    if found.get("gbps", found.get("latency_us")) is None:
        return {}
    size, count = _column(row, "#bytes") or 0.0, _column(row, "#iterations") or 0.0
    mtu = MTU.search(text)
    return {**found, "iterations": int(count), "bytes": int(size * count), "mtu": int(mtu.group(1)) if mtu else None}


def failure(text: str) -> str:
    """Return the code of what went wrong, or an empty text where the output does not tell."""
    return next((code for pattern, code in FAILURES if re.search(pattern, text)), "")


def tail(text: str, count: int = 6) -> List[str]:
    """Return the last lines that say something."""
    lines = [line.strip() for line in text.splitlines()]
    told = [line for line in lines if line and not re.fullmatch(r"[-*]+|\*.*\*", line) and " : " not in line and "\t\t" not in line]
    return told[-count:]
