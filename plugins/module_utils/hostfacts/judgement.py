# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Operator's own NCCL settings against what the host and its fabric are."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.consumers import Context, chosen, own_subnets

Row = Dict[str, Any]

# How far GPUDirect may reach, nearest first, with NCCL's numbers for them. NCCL has no NODE: it is PHB or SYS to it.
LEVELS = {"LOC": 0, "NVL": 0, "NVB": 0, "C2C": 0, "PIX": 1, "PXB": 2, "P2C": 2, "PXN": 2, "PHB": 3, "SYS": 4}
NUMBERS = {"0": "LOC", "1": "PIX", "2": "PXB", "3": "PHB", "4": "SYS", "5": "SYS"}
DEFAULT_LEVEL = "PXB"
NEEDED = {"PIX": "PIX", "PXB": "PXB", "PHB": "PHB", "NODE": "SYS", "SYS": "SYS"}


def _row(name: str, value: Optional[str], ok: Optional[bool], why: str, fix: str = "") -> Row:
    return {"name": name, "value": value, "ok": ok, "why": why, "fix": fix}


def _gdr_level(value: Optional[str], selection: Dict[str, Any]) -> Row:
    name = "NCCL_NET_GDR_LEVEL"
    text = str(value).upper() if value is not None else DEFAULT_LEVEL
    level = NUMBERS.get(text, text)
    if level not in LEVELS:
        return _row(name, value, False, f"{value} is none of {', '.join(LEVELS)}", f"remove {name}")
    known = {gpu: path for gpu, path in selection["gpu_paths"].items() if path in NEEDED}
    if not known or len(known) < len(selection["gpu_paths"]):
        return _row(name, value, None, "how far the GPUs are from their NICs is not known")
    off = {gpu: path for gpu, path in known.items() if LEVELS[NEEDED[path]] > LEVELS[level]}
    worst = max(known.values(), key=lambda path: LEVELS[NEEDED[path]])
    if off:
        pairs = ", ".join(f"GPU {gpu} {path}" for gpu, path in off.items())
        why = f"{'the default ' if value is None else ''}{level} switches GPUDirect off for {pairs}"
        # Beyond one root complex it is a trade: some platforms lose bandwidth by it.
        fix = f"remove {name}: the default is {DEFAULT_LEVEL}" if LEVELS[NEEDED[worst]] <= LEVELS[DEFAULT_LEVEL] else (
            f"measure with {name}={NEEDED[worst]}")
        return _row(name, value, None if value is None else False, why, fix)
    if LEVELS[level] > max(LEVELS[DEFAULT_LEVEL], LEVELS[NEEDED[worst]]):
        return _row(name, value, True, f"allows more than {worst}, the farthest NIC of any GPU; it makes no difference")
    return _row(name, value, True, f"GPUDirect reaches {worst}, the farthest NIC of any GPU")


def _cross_nic(value: Optional[str], count: int, apart: Optional[bool], reach: Optional[bool]) -> Row:
    name = "NCCL_CROSS_NIC"
    if value is not None and value not in ("0", "1", "2"):
        return _row(name, value, False, f"{value} is none of 0, 1, 2", f"remove {name}")
    if count < 2:
        return _row(name, value, True, "one data port: there is nothing to cross")
    if value == "0":
        return _row(name, value, True, "rings stay on their rails")
    shown = f"{name}={value}" if value is not None else f"{name} unset (2: cross where it seems faster)"
    if reach is True or (reach is None and apart is False):
        why = "NICs of different rails reach each other" if reach else "all data ports are in one network"
        return _row(name, value, True, f"{shown}: {why}")
    if reach is False:
        return _row(name, value, False, f"{shown}: NICs of different rails do not reach each other, connections between them time out",
                    f"set {name}=0, or route between the rails")
    return _row(name, value, None, f"{shown}: whether NICs of different rails reach each other is not known; the fabric test tells",
                f"set {name}=0 until then")


def judge(environment: Dict[str, str], facts: Dict[str, Any], selection: Dict[str, Any], context: Context) -> List[Row]:
    """Return what is to be said of NCCL_NET_GDR_LEVEL and NCCL_CROSS_NIC, set or not.

    :param environment: what the operator sets, by name.
    :returns: rows {name, value, ok, why, fix}; ok is None where facts are lacking or only a measurement tells. None for one host.
    """
    if context.device == "cpu" or context.nodes < 2 or not selection["data_ports"]:
        return []
    ports = chosen(facts, selection)
    return [
        _gdr_level(environment.get("NCCL_NET_GDR_LEVEL"), selection),
        _cross_nic(environment.get("NCCL_CROSS_NIC"), len(ports), own_subnets(ports, context), context.cross_rail),
    ]
