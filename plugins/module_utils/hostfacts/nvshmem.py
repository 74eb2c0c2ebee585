# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How NVSHMEM, and so DeepEP, is told of the data devices."""

from __future__ import annotations

from typing import Any, Dict, List

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.locality import UNKNOWN, Locality
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.ports import Port

Row = Dict[str, Any]


def row(name: str, value: str, why: str) -> Row:
    """Return what a name has to be set to."""
    return {"name": name, "value": value, "why": why}


def unknown(name: str, question: str, why: str) -> Row:
    """Return a name whose value has to wait for an answer."""
    return {"name": name, "unknown": question, "why": why}


def _substring(names: List[str]) -> str:
    """Return the longest start that all names share, without digits at its end."""
    start = names[0]
    while start and not all(name.startswith(start) for name in names):
        start = start[:-1]
    return start.rstrip("0123456789")


def rows(facts: Dict[str, Any], ports: List[Port]) -> List[Row]:
    """Return how NVSHMEM finds the devices: by list and PCI distance, or dealt in turn where that says nothing."""
    names = [port.device for port in ports]
    found: List[Row] = []
    if not all("mlx5" in name for name in names):
        prefix = _substring(names)
        why = "NVSHMEM skips devices without this text in their names, and takes mlx5 for it when unset"
        name = "NVSHMEM_HCA_PREFIX"
        found.append(row(name, prefix, why) if prefix else unknown(name, "a text common to all names", why))
    where = Locality(facts)
    bonds = [port for port in ports if port.model[2] or "bond" in port.device]
    blind = bool(where.gpus) and any(where.rank(gpu, ports) == UNKNOWN for gpu in where.gpus)
    if not blind and not bonds:
        value = ",".join(port.key for port in ports)
        return [*found, row("NVSHMEM_HCA_LIST", value, "exactly the data ports; each process takes the nearest of them by PCI")]
    each = max(1, -(-len(where.gpus) // len(ports)))
    why = "the devices are bonds" if bonds else "PCI does not tell which device is near which GPU"
    value = ",".join(f"{port.key}:{each}" for port in ports)
    text = f"{why}; entries are dealt in the order in which libibverbs finds the devices, not in the order written here"
    return [*found, row("NVSHMEM_ENABLE_NIC_PE_MAPPING", "1", why), row("NVSHMEM_HCA_PE_MAPPING", value, text)]
