# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Priority flow control, congestion notification, trust and traffic class of a port, as far as this host's drivers show them.

The files come with NVIDIA's drivers, not with the kernel's own; what they do not tell is None.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root

CLASS = re.compile(r"(?:Global )?tclass=([0-9]{1,3})")


def traffic_class(root: Root, device: str, port: int) -> Optional[int]:
    """Return the traffic class that an administrator set for all connections of a port, or None."""
    match = CLASS.search(root.read(f"{device}/tc/{port}/traffic_class") or "")
    return int(match.group(1)) if match else None


def _enabled(root: Root, directory: str) -> Optional[List[int]]:
    """Return the priorities whose file in a directory holds 1; None when there is no such directory."""
    names = [name for name in root.list(directory) if re.fullmatch("[0-7]", name)]
    return [int(name) for name in names if root.number(f"{directory}/{name}") == 1] if names else None


def _priorities(text: Optional[str]) -> Optional[List[int]]:
    """Return the priorities that are on in a text of eight numbers."""
    numbers = re.findall(r"[01]", text or "")
    return [priority for priority, value in enumerate(numbers) if value == "1"] if len(numbers) == 8 else None


def settings(root: Root, netdev: Optional[str], dcb: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
    """Return trust, the priorities with PFC and those with ECN (notification point, reaction point) of a network device.

    :param dcb: what the kernel says by netlink.
    """
    base = f"/sys/class/net/{netdev}"
    known = set(root.list(base)) if netdev else set()
    qos, ecn = "qos" in known, "ecn" in known
    trust = root.read(base + "/qos/trust") if qos else None
    pfc = _priorities(root.read(base + "/qos/pfc")) if qos else None
    if dcb:
        pfc = dcb.get("pfc", pfc)
        # The kernel's mlx5 driver trusts DSCP from the first entry of this map on.
        trust = trust or ("dscp" if dcb.get("dscp_to_priority") else None)
    return {
        "trust": trust or None,
        "pfc": pfc,
        "ecn_np": _enabled(root, base + "/ecn/roce_np/enable") if ecn else None,
        "ecn_rp": _enabled(root, base + "/ecn/roce_rp/enable") if ecn else None,
    }
