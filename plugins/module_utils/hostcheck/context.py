# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host and its slice of the plan, each fact read once and only when a check asks for it."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Dict, List, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck import environment, kernellog, nvsmi, sockets
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.runner import Runner
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import gpu, net, netlink
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.gather import gather
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.plugins.module_utils.services.units import DIRECTORY, MARK

VENDORS = {"cuda": "nvidia", "rocm": "amd"}
BACKEND = "disaggregation-transfer-backend"
# Both are the library Mooncake; the second one is its TCP transport whatever the host has.
MOONCAKE = ("mooncake", "mooncake_tcp")


def arguments(part: Dict[str, Any]) -> Dict[str, Any]:
    """Return every argument of a rank by its name without dashes: of its command line and of its argument file, which some stacks lack."""
    found: Dict[str, Any] = {}
    name = ""
    for word in map(str, part.get("argv") or []):
        if word.startswith("--"):
            name, _sign, found[name] = word[2:].partition("=")
        elif name:
            found[name] = f"{found[name]} {word}".strip()
    found.pop("config", None)
    return {**found, **(part.get("arguments") or {})}


class Context:
    """What the checks look at.

    :ivar plan: the host's slice of the plan.
    :ivar root: where files are read.
    :ivar run: runs a command of the host.
    :ivar opens: whether a later stage opens the ports of the plan in the host's filter.
    :ivar ranks: the ranks of the host; C(gpu_ranks) are those on GPUs.
    :ivar rdma: the part of the slice about RDMA, empty where the cluster uses none.
    """

    def __init__(self, plan: Dict[str, Any], root: Root, run: Runner, *, opens: bool = False):
        self.plan, self.root, self.run, self.opens = plan, root, run, opens
        self.ranks: List[Dict[str, Any]] = list(plan.get("ranks") or [])
        self.gpu_ranks = [rank for rank in self.ranks if rank.get("device", "cpu") != "cpu"]
        self.rdma: Dict[str, Any] = (plan.get("rdma") or {}) if self.ranks else {}

    @property
    def parts(self) -> List[Dict[str, Any]]:
        """Return the processes of the plan on this host: ranks, and the router."""
        return [*self.ranks, *([self.plan["router"]] if self.plan.get("router") else [])]

    @property
    def units(self) -> List[str]:
        """Return the units of the plan on this host."""
        return [str(part["unit"]) for part in self.parts]

    @property
    def devices(self) -> List[str]:
        """Return what the GPU ranks run on: cuda, rocm, npu."""
        return sorted({str(rank["device"]) for rank in self.gpu_ranks})

    @property
    def nvidia(self) -> bool:
        """Return whether a rank runs on NVIDIA GPUs."""
        return "cuda" in self.devices

    @property
    def planned_gpus(self) -> List[int]:
        """Return the indexes of the GPUs that the ranks take."""
        return sorted({int(index) for rank in self.gpu_ranks for index in rank.get("gpus") or []})

    @cached_property
    def own_units(self) -> List[str]:
        """Return the units that an earlier run installed for this cluster, and those of the plan."""
        cluster = str(self.plan.get("cluster", ""))
        names = [name for name in self.root.list(DIRECTORY) if name.endswith(".service")]
        # One that a plain user may not read is taken for another's.
        marks = {name: MARK.search(self.root.read(f"{DIRECTORY}/{name}", 1 << 20) or "") for name in names}
        return sorted({*(name for name, mark in marks.items() if mark and mark.group("cluster") == cluster), *self.units})

    @cached_property
    def facts(self) -> Dict[str, Any]:
        """Return the facts of RDMA, GPUs and system, as the module rdma_facts has them; only what the plan needs of them."""
        subsets = ["net", "rdma", "system", "gpu"] if self.rdma else ["gpu", "system"]
        return gather(self.root, subsets if self.gpu_ranks or self.rdma else ["system"], units=self.units)

    @cached_property
    def addresses(self) -> Dict[str, str]:
        """Return address to interface."""
        told = self.root.ask("addresses", netlink.addresses) if self.root.answers else None
        rows = net.file_addresses(self.root) if told is None else told
        return {address.partition("/")[0]: name for name, found in rows.items() for address in found}

    @cached_property
    def open(self) -> sockets.Open:
        """Return what processes have open."""
        return sockets.open_files(self.root)

    @cached_property
    def listeners(self) -> List[sockets.Listener]:
        """Return the listening sockets."""
        return sockets.listeners(self.root, self.open)

    @cached_property
    def manager(self) -> Tuple[environment.Found, bool]:
        """Return the service manager's environment, and whether it could be asked."""
        return environment.manager(self.root, self.run)

    def environment(self, part: Dict[str, Any]) -> environment.Found:
        """Return what a rank's or router's process finds in its environment."""
        return environment.effective(self.root, self.manager[0], part)

    @cached_property
    def smi(self) -> nvsmi.Smi:
        """Return what nvidia-smi says."""
        return nvsmi.read(self.run)

    @cached_property
    def log(self) -> kernellog.Log:
        """Return what the kernel said about its hardware since it was booted."""
        return kernellog.read(self.root, self.run)

    def device(self, name: str) -> Optional[Dict[str, Any]]:
        """Return the facts of an RDMA device, or None."""
        return next((row for row in self.facts["devices"] if row["name"] == name), None)

    @cached_property
    def gpus(self) -> List[Dict[str, Any]]:
        """Return the GPUs of the kind that the plan uses and that have their driver, in the order in which programs count them."""
        vendors = {VENDORS[device] for device in self.devices if device in VENDORS}
        drivers = gpu.DRIVERS.values()
        return [row for row in self.facts["gpus"] if row["vendor"] in vendors and row["index"] is not None and row["driver"] in drivers]

    def is_there(self, pid: int) -> bool:
        """Return whether a process can be looked at: those of another PID namespace, or hidden from a plain user, cannot."""
        return self.root.exists(f"/proc/{pid}")

    def is_own(self, pid: int) -> bool:
        """Return whether a process belongs to a unit of this cluster."""
        return sockets.who(self.root, pid)[1] in self.own_units

    def gpu_name(self, pci: str) -> str:
        """Return a GPU's index and address for a person."""
        index = next((place for place, row in enumerate(self.gpus) if row["pci"] == pci), None)
        return pci if index is None else f"GPU {index} ({pci})"
