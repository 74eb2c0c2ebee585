# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way between GPUs and NICs: PCIe links, access control that sends traffic through the CPU, and the IOMMU."""

from __future__ import annotations

import itertools
from typing import Any, Dict, Iterable, Iterator, List, Optional, Set, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.context import Context
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rails import planned
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import NOTE, Row, bad, good, needless, some, unknown
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import pci


def check(context: Context) -> Iterator[Row]:
    """Look at the PCIe links of planned devices, at ACS and at the IOMMU."""
    yield from _gpu_links(context)
    yield from _nic_links(context)
    if not context.gpu_ranks or not context.rdma:
        why = "no GPU exchanges data with a NIC here"
        yield from (needless(rule, why) for rule in ("preflight.acs", "preflight.iommu"))
    else:
        yield from _acs(context)
        yield from _iommu(context)


def _text(link: Dict[str, Any]) -> Tuple[str, str]:
    """Return what a link is and what it could be."""
    return f"{link['speed_gts'] or '?'} GT/s x{link['width'] or '?'}", f"{link['max_speed_gts'] or '?'} GT/s x{link['max_width'] or '?'}"


def _links(rule: str, rows: List[Tuple[str, Optional[Dict[str, Any]]]], speed_counts: bool) -> Iterator[Row]:
    """Report links below what both ends can do.

    :param rows: name and link of each device.
    :param speed_counts: whether a low speed is a fault: an idle GPU lowers it to save power.
    """
    silent = [name for name, link in rows if not link or link["narrow"] is None]
    clean = True
    for name, link in rows:
        if link and (link["narrow"] or (speed_counts and link["slow"])):
            clean = False
            now, best = _text(link)
            yield bad(
                rule, f"the PCIe link of {name} runs at {now}, both ends can do {best}",
                "seat the card again, look at riser, cable and BIOS; dmesg tells of a link that was trained down", f"{name} {now}", best,
            )
    if silent:
        yield unknown(rule, f"the PCIe link of {some(silent)} cannot be read", "as wide as both ends can")
    elif clean:
        yield good(rule, some(sorted({_text(link)[0] for _name, link in rows if link}), 3), "as wide as both ends can")


def _gpu_links(context: Context) -> Iterator[Row]:
    rule = "preflight.gpu-link"
    rows = [(f"GPU {index}", context.gpus[index]["pci_link"]) for index in context.planned_gpus if index < len(context.gpus)]
    if not context.gpu_ranks:
        yield needless(rule, "no GPU rank runs here")
    elif not rows:
        yield unknown(rule, "no planned GPU is there")
    else:
        yield from _links(rule, rows, speed_counts=False)


def _nic_links(context: Context) -> Iterator[Row]:
    rule = "preflight.nic-link"
    if not context.rdma:
        yield needless(rule, "the plan uses no RDMA on this host")
        return
    names = list(dict.fromkeys(rail.device for rail in planned(context)))
    found = [(name, context.device(name)) for name in names]
    hardware = [(name, device["pci_link"]) for name, device in found if device and device["pci"] and not device["virtual"]]
    if hardware:
        yield from _links(rule, hardware, speed_counts=True)
    elif any(device for _name, device in found):
        yield needless(rule, "the planned devices are soft ones")
    else:
        yield unknown(rule, "no planned device is there")


def _between(gpus: Iterable[List[str]], nics: Iterable[List[str]]) -> Set[str]:
    """Return the bridges that traffic between a GPU and a NIC passes where a switch joins them: without one it goes through the CPU.

    :param gpus: ways to functions from their root port on, as C(pci_path) of the facts.
    """
    found: Set[str] = set()
    for gpu, nic in itertools.product(gpus, nics):
        shared = sum(1 for _pair in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(gpu, nic)))
        if any(pci.is_function(part) for part in gpu[:shared]):
            found.update(gpu[shared:-1], nic[shared:-1])
    return found


def _acs(context: Context) -> Iterator[Row]:
    rule, wanted = "preflight.acs", "no redirect"
    devices = [context.device(rail.device) for rail in planned(context)]
    gpus = [context.gpus[index]["pci_path"] for index in context.planned_gpus if index < len(context.gpus)]
    between = _between([way for way in gpus if way], [device["pci_path"] for device in devices if device and device["pci_path"]])
    acs = context.facts["system"]["acs"]
    redirecting = [address for address in acs["redirecting"] if address in between] if acs else []
    if not between:
        yield needless(rule, "no PCIe switch joins a planned GPU and a planned NIC")
    elif acs is None:
        yield unknown(rule, "the configuration space of bridges cannot be read (not root?)", wanted)
    elif redirecting:
        yield bad(
            rule, f"PCIe access control sends traffic between GPU and NIC through the CPU at {some(redirecting)}",
            "switch ACS off in the firmware, or by setpci at every boot (NCCL documentation, Troubleshooting, PCI Access Control Services);"
            " not on boards with ConnectX-8, where rdma_topo of rdma-core sets these bits on purpose: waive the rule there",
            some(redirecting, 2), wanted,
        )
    else:
        yield good(rule, "no redirect", wanted)


def _kinds(context: Context) -> Set[str]:
    """Return how the IOMMU treats planned GPUs and NICs; empty where their groups are not known, and those of all devices count."""
    found = [context.device(rail.device) for rail in planned(context)]
    ways = [context.gpus[index]["pci"] for index in context.planned_gpus if index < len(context.gpus)]
    ways += [str(device["pci"]) for device in found if device and device["pci"]]
    return {kind for kind in (context.root.read(f"{pci.DEVICES}/{way}/iommu_group/type") for way in ways) if kind}


def _iommu(context: Context) -> Iterator[Row]:
    rule, wanted = "preflight.iommu", "off or pass-through"
    iommu = context.facts["system"]["iommu"]
    kinds = _kinds(context) or set(iommu["types"])
    if iommu["enabled"] is None:
        yield unknown(rule, "/sys/kernel/iommu_groups is not there", wanted)
    elif "DMA" in kinds:
        yield bad(
            rule, "the IOMMU translates every access and flushes at once (strict)", "add iommu=pt to the kernel command line and reboot",
            "strict", wanted,
        )
    elif "DMA-FQ" in kinds:
        yield bad(
            rule, "the IOMMU translates every access (lazy flushes)", "add iommu=pt to the kernel command line and reboot", "lazy", wanted,
            state=NOTE,
        )
    else:
        yield good(rule, "pass-through" if iommu["enabled"] else "off", wanted)
