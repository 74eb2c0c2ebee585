# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes on the planned GPUs that are not of this cluster."""

from __future__ import annotations

from typing import Dict, Iterator, List, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck import sockets
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.context import Context
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import ERROR, WARNING, Row, bad, good, some, unknown

RULE, WANTED = "preflight.gpu-process", "none but its own"
# They watch GPUs, or keep their drivers awake, and compute nothing. The kernel cuts names after 15 characters.
WATCHERS = frozenset(
    (
        "nvidia-persiste", "nvidia-powerd", "nv-fabricmanage", "nv-hostengine", "dcgm-exporter", "nvidia-smi", "nvidia-device-p",
        "nvsm_core",
        "nvtop", "gpud", "rocm-smi", "amd-smi", "amd-metrics-exp", "systemd-logind", "node_exporter", "telegraf",
    )
)


def foreign(context: Context, planned: List[Tuple[str, str]]) -> Iterator[Row]:
    """Report processes on planned GPUs.

    :param planned: address and name of each planned GPU.
    """
    if not planned:
        yield unknown(RULE, "no planned GPU is there", WANTED)
    elif context.nvidia and not context.smi.why and context.smi.processes_known:
        yield from _computing(context, planned)
    elif context.open.known:
        yield from _open(context, planned)
    else:
        yield unknown(RULE, "neither nvidia-smi nor /proc tells", WANTED)


def _who(context: Context, pid: int, command: str = "") -> str:
    name, unit = sockets.who(context.root, pid)
    return f"{name or command or 'a process'} (pid {pid}{', ' + unit if unit else ''})"


def _row(name: str, who: str, how: str, state: str) -> Row:
    fix = "stop it: nothing but the planned ranks may use these GPUs; or take the GPU out of the plan"
    return bad(RULE, f"{name} is {how} by {who}", fix, who, WANTED, state=state)


def _computing(context: Context, planned: List[Tuple[str, str]]) -> Iterator[Row]:
    clean, hidden = True, []
    for address, name in planned:
        gpu = context.smi.gpus.get(address)
        for row in gpu.processes if gpu else []:
            if not context.is_there(row.pid):
                hidden.append(f"{row.command or 'a process'} (pid {row.pid})")
            elif not context.is_own(row.pid):
                clean = False
                yield _row(name, _who(context, row.pid, row.command), "used", ERROR)
    if hidden:
        yield unknown(RULE, f"nvidia-smi names {some(hidden)}, and /proc has no such process: is it in a container, or hidden?", WANTED)
    elif clean:
        yield good(RULE, "none", WANTED)


def _open(context: Context, planned: List[Tuple[str, str]]) -> Iterator[Row]:
    """Report who has a GPU's device open; whether it computes on it, this does not tell."""
    names: Dict[str, str] = {}
    minors = {row["pci"]: row["minor"] for row in context.gpus}
    for address, name in planned:
        if minors.get(address) is not None:
            names[f"nvidia{minors[address]}" if context.nvidia else f"dri/renderD{minors[address]}"] = name
    if not names:
        yield unknown(RULE, "which device file belongs to which GPU is not known", WANTED)
        return
    clean = True
    for pid, devices in sorted(context.open.gpus.items()):
        held = sorted(devices & set(names))
        command, _unit = sockets.who(context.root, pid)
        # With ROCm every process that computes has KFD open, others have not.
        if not held or command in WATCHERS or (not context.nvidia and "kfd" not in devices) or context.is_own(pid):
            continue
        clean = False
        yield _row(names[held[0]], _who(context, pid), "held open", WARNING if context.nvidia else ERROR)
    if context.open.partial:
        yield unknown(RULE, "some processes cannot be looked at (not root?)", WANTED)
    elif clean:
        yield good(RULE, "none", WANTED)
