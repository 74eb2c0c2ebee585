# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory of the planned GPUs: whether it is free, or the cluster's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.context import Context
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.nvsmi import Process
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import ERROR, WARNING, Row, bad, good, some, unknown
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import pci

MIB = 1 << 20
# sglang 0.5.8 model_executor/model_runner.py ends where the free memory of the GPUs of a group differs by more than a tenth.
UNBALANCED = 0.1
# What a driver keeps for itself on an idle GPU stays below it.
NOISE_MIB = 1024


@dataclass(frozen=True)
class Amounts:
    """Memory of a GPU in MiB.

    :ivar own: what the cluster's own units use of it; None where they use it and nobody says how much.
    :ivar sure: whether it can be told who uses it.
    """

    total: Optional[int]
    used: Optional[int]
    own: Optional[int]
    sure: bool


def _amounts(context: Context, planned: List[Tuple[str, str]]) -> Dict[str, Amounts]:
    """Return the memory of the planned GPUs by their names."""
    found: Dict[str, Amounts] = {}
    for address, name in planned:
        if not context.nvidia:
            total, used = (context.root.number(f"{pci.DEVICES}/{address}/mem_info_vram_{kind}") for kind in ("total", "used"))
            own = _own(context, address, "dri/renderD")
            found[name] = Amounts(
                total // MIB if total else None, None if used is None else used // MIB, None if own else 0, own or not context.open.partial,
            )
        elif address in context.smi.gpus:
            gpu = context.smi.gpus[address]
            seen = [row for row in gpu.processes if context.is_there(row.pid)]
            # A plain user cannot look for units that nvidia-smi does not name, as those of another PID namespace.
            hidden = len(seen) < len(gpu.processes) or (context.open.partial and not seen)
            found[name] = Amounts(gpu.total, gpu.used, _share(context, address, seen), context.smi.processes_known and not hidden)
    return found


def _share(context: Context, address: str, processes: List[Process]) -> Optional[int]:
    """Return how much memory of a GPU the processes of this cluster have, None where they have some and nobody says how much."""
    own = [row.mib for row in processes if context.is_own(row.pid)]
    known = [mib for mib in own if mib is not None]
    if len(known) < len(own) or (not processes and _own(context, address, "nvidia")):
        return None
    return sum(known)


def _own(context: Context, address: str, device: str) -> bool:
    minor = next((row["minor"] for row in context.gpus if row["pci"] == address), None)
    return any(f"{device}{minor}" in names and context.is_own(pid) for pid, names in context.open.gpus.items())


def memory(context: Context, planned: List[Tuple[str, str]]) -> Iterator[Row]:
    """Report memory that others use.

    :param planned: address and name of each planned GPU.
    """
    rule, wanted = "preflight.gpu-memory", f"at most {NOISE_MIB} MiB in use by others"
    if context.nvidia and context.smi.why:
        yield unknown(rule, context.smi.why, wanted)
        return
    silent, doubtful, taken = [], [], False
    amounts = _amounts(context, planned)
    for name, row in amounts.items():
        others = (row.used or 0) - (row.own or 0)
        if row.total is None or row.used is None:
            silent.append(name)
        elif others > NOISE_MIB and not row.sure:
            doubtful.append(f"{row.used} MiB of {name}")
        # Where its own units run and their share is not known, they are what runs: foreign processes have a rule of their own.
        elif row.own is not None and others > NOISE_MIB:
            taken = True
            yield bad(
                rule, f"{others} of {row.total} MiB of {name} are in use by something that is not of this cluster",
                "end the processes that hold it; if none does, reset the GPU (nvidia-smi --gpu-reset)", f"{others} MiB in use", wanted,
                state=ERROR if others > UNBALANCED * row.total else WARNING,
            )
    if silent or not amounts:
        yield unknown(rule, f"the memory of {some(silent) or 'the planned GPUs'} is not known", wanted)
    if doubtful:
        why = "by whom cannot be told (not root, or processes that are not in /proc)"
        yield unknown(rule, f"{some(doubtful)} are in use, and {why}", wanted)
    elif amounts and not silent and not taken:
        yield good(rule, "free, or its own", wanted)
