# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What C(nvidia-smi) says of the GPUs and of the processes on them, for it alone knows their memory.

Fields and CSV form: its manual, drivers 470 to 570; older drivers refuse a whole query for one field that they do not know.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, List, Optional

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.runner import ABSENT, LATE, Runner

LEAST = ("pci.bus_id", "memory.total", "memory.used")
WANTED = (*LEAST, "mig.mode.current", "ecc.errors.uncorrected.volatile.total", "retired_pages.pending")
# Of drivers from 535 on.
FABRIC = (*WANTED, "fabric.state", "fabric.status")
ROWS = ("gpu_bus_id", "remapped_rows.pending", "remapped_rows.failure")
ADDRESS = re.compile(r"(?:[0-9A-Fa-f]{4})?([0-9A-Fa-f]{4}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7])")


@dataclass
class Process:
    """A process that computes on a GPU; C(mib) is None where the driver does not say how much memory it has."""

    pid: int
    mib: Optional[int]
    command: str


@dataclass
class Gpu:
    """One GPU: memory in MiB, and the other fields as they came, without those that are not available."""

    total: Optional[int] = None
    used: Optional[int] = None
    values: Dict[str, str] = field(default_factory=dict)
    processes: List[Process] = field(default_factory=list)


@dataclass
class Smi:
    """Answers by PCI address.

    :ivar why: why there are none.
    :ivar failed: whether the program itself says that it cannot reach a GPU; not where it is absent, or gave no answer in time.
    :ivar processes_known: whether processes could be asked for.
    """

    gpus: Dict[str, Gpu] = field(default_factory=dict)
    why: str = ""
    failed: bool = False
    processes_known: bool = False


def address(text: str) -> Optional[str]:
    """Return a PCI address as sysfs writes it, for C(00000000:1A:00.0)."""
    match = ADDRESS.fullmatch(text.strip())
    return match.group(1).lower() if match else None


def number(text: Optional[str]) -> Optional[int]:
    """Return a count, or None for what is none, as C([N/A])."""
    match = re.match(r"\s*([0-9]{1,12})(?: MiB)?\s*$", text or "")
    return int(match.group(1)) if match else None


def _csv(out: str, names: tuple) -> List[Dict[str, str]]:
    """Return the rows of an answer; a line with another number of fields is none. The last field may hold commas."""
    rows = []
    for line in out.splitlines():
        cells = [cell.strip() for cell in line.split(",", len(names) - 1)]
        if len(cells) == len(names):
            rows.append({name: cell for name, cell in zip(names, cells) if cell and not cell.startswith("[")})
    return rows


def _gpus(run: Runner) -> Smi:
    why = ""
    for names in (FABRIC, WANTED, LEAST):
        rc, out, err = run(["nvidia-smi", f"--query-gpu={','.join(names)}", "--format=csv,noheader,nounits"])
        found = Smi()
        for row in _csv(out, names) if rc == 0 else []:
            place = address(row.get("pci.bus_id", ""))
            if place:
                found.gpus[place] = Gpu(number(row.get("memory.total")), number(row.get("memory.used")), row)
        if found.gpus:
            return found
        text = ((err.strip() or out.strip()).splitlines() or ["no GPU in its answer"])[0][:200]
        why = f"nvidia-smi: {text}" if not text.startswith("nvidia-smi") else text
        if "not a valid field" not in (out + err).lower():
            return Smi(why=why, failed=rc not in (ABSENT, LATE))
    return Smi(why=why)


def _flag(row: Dict[str, str], name: str) -> bool:
    return row.get(name, "0").lower() not in ("0", "no", "n/a", "")


def read(run: Runner) -> Smi:
    """Return what it says; a program that is absent, hangs or fails says why in C(why)."""
    found = _gpus(run)
    if not found.gpus:
        return found
    rc, out, _err = run(["nvidia-smi", "--query-compute-apps=gpu_bus_id,pid,used_memory,process_name", "--format=csv,noheader,nounits"])
    found.processes_known = rc == 0
    for row in _csv(out, ("gpu_bus_id", "pid", "used_memory", "process_name")) if rc == 0 else []:
        gpu, pid = found.gpus.get(address(row.get("gpu_bus_id", "")) or ""), number(row.get("pid"))
        if gpu and pid is not None:
            gpu.processes.append(Process(pid, number(row.get("used_memory")), row.get("process_name", "")))
    rc, out, _err = run(["nvidia-smi", f"--query-remapped-rows={','.join(ROWS)}", "--format=csv,noheader"])
    for row in _csv(out, ROWS) if rc == 0 else []:
        gpu = found.gpus.get(address(row.get("gpu_bus_id", "")) or "")
        if gpu:
            gpu.values.update({name: "yes" for name in ROWS[1:] if _flag(row, name)})
    return found
