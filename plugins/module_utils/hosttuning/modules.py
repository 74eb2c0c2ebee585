# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel modules: which to load, which of those that were loaded for us to unload again."""

from __future__ import annotations

import os
import re
from typing import Dict, List, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.steps import Loaded, ModuleSeen, Part, Seen, Step
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.wanted import Wanted, module_name

#: Module to where it comes from.
ORIGINS = {
    "nvidia_peermem": "it comes with NVIDIA's driver and needs the peer memory interface of DOCA-OFED. Fix: install both, DOCA-OFED "
    "first, or let the engine register GPU memory by DMA-BUF and take it out of rdma_modules",
}
_ORIGIN = (
    "it is neither built in nor in the kernel's directory of modules. Fix: install the package that has it for this kernel, or take "
    "it out of rdma_modules or rdma_extra_modules"
)
#: What a failed load most often means.
CAUSES = {
    "nvidia_peermem": "NVIDIA's driver was built before DOCA-OFED, or for another one (failure D11). Fix: install the driver again "
    "after DOCA-OFED, or register GPU memory by DMA-BUF",
}


def parse_loaded(text: str) -> Dict[str, Loaded]:
    """Return the modules of C(/proc/modules)."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 4:
            holders = tuple(name for name in words[3].split(",") if name and name not in ("-", "[permanent]"))
            found[words[0]] = Loaded(int(words[2]) if words[2].isdigit() else 1, holders)
    return found


def parse_depends(rc: int, out: str, err: str) -> ModuleSeen:
    """Return what C(modprobe --show-depends) said of a module. One that is built in needs no loading."""
    if rc == 127:
        return ModuleSeen(error="there is no modprobe here. Fix: install the package kmod")
    if rc != 0:
        return ModuleSeen(error=" ".join(err.split()) or f"modprobe ended with {rc}")
    closure: List[str] = []
    for line in out.splitlines():
        verb, _blank, rest = line.strip().partition(" ")
        if verb == "install":
            return ModuleSeen(error=f"modprobe.d has an install line for it ({rest}). Fix: remove that line")
        if verb == "insmod":
            match = re.match(r"[^.]+", os.path.basename(rest.split()[0]))
            closure += [module_name(match.group(0))] if match else []
    return ModuleSeen(closure=tuple(dict.fromkeys(closure)))


def missing(name: str, error: str, kernel: str) -> str:
    """Return why a module cannot be had, with what to do."""
    if "not found" not in error:
        return f"{name}: {error}"
    return f"{name}: no such module for kernel {kernel}; {ORIGINS.get(name, _ORIGIN)}"


def _real(name: str, module: ModuleSeen) -> str:
    """Return a module's name, where it may be asked for by an alias: the last of what is loaded for it."""
    return name if name in module.closure else module.closure[-1]


def _unload(leaving: Sequence[str], seen: Seen, part: Part) -> None:
    """Unload what was loaded for us, users first; what others use stays, and stays in the record."""
    going: List[str] = []
    for name in reversed(leaving):
        state = seen.loaded[name]
        others = state.users - sum(holder in going for holder in state.holders)
        if others > 0:
            users = ", ".join(holder for holder in state.holders if holder not in going) or f"{others} open handles"
            part.notes.append(f"module {name} stays loaded: used by {users}. It is not loaded at the next boot")
            continue
        going.append(name)
        part.steps.append(Step("unload", name, "loaded", "not loaded", disrupts=f"module {name} would be unloaded"))
    part.final = [name for name in part.final if name not in going]


def plan(wanted: Wanted, seen: Seen, record: List[str]) -> Part:
    """Return which modules to load and unload.

    :param record: modules that were not loaded before, in the order of loading.
    """
    part = Part(during=list(record), final=[])
    needed: List[str] = []
    for name in wanted.modules:
        module = seen.modules[name]
        needed += module.closure
        if module.error:
            part.faults.append(missing(name, module.error, seen.kernel))
        elif module.closure and _real(name, module) not in seen.loaded:
            part.steps.append(Step("load", name, "not loaded", "loaded"))
            part.during += [item for item in module.closure if item not in seen.loaded and item not in part.during]
    ours = [name for name in part.during if name in seen.loaded or name in needed]
    part.final = list(ours)
    _unload([name for name in ours if name not in needed], seen, part)
    return part
