# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a transfer backend can register GPU memory with the NICs of a host, in which way, and what else would do."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional, Tuple

# From here on the way is chosen at run time, by WITH_NVIDIA_PEERMEM; before, it is compiled in.
SWITCHABLE = (0, 3, 11, 0)
# PyPI's wheel of 0.3.11 takes DMA-BUF unless told otherwise, those before and after it take peer memory.
DMABUF_BY_DEFAULT = (0, 3, 11, 0)
PEERMEM, DMABUF, HOST = "peermem", "dmabuf", "host memory"
SWITCH = "WITH_NVIDIA_PEERMEM"
TCP = "Mooncake over TCP (MC_FORCE_TCP=1), at a fraction of the bandwidth"

Verdict = Dict[str, Any]


def version(text: Optional[str]) -> Optional[Tuple[int, int, int, int]]:
    """Return a version with its post release as numbers, for example C(0.3.11.post1)."""
    found = re.match(r"^(\d+)\.(\d+)\.(\d+)(?:\.post(\d+))?", text or "")
    if not found:
        return None
    major, minor, patch, post = (int(part or 0) for part in found.groups())
    return major, minor, patch, post


def default_switch(mooncake: Optional[str]) -> str:
    """Return what WITH_NVIDIA_PEERMEM means to a version of Mooncake where it is not set."""
    return "0" if version(mooncake) == DMABUF_BY_DEFAULT else "1"


def _both(*values: Optional[bool]) -> Optional[bool]:
    """Return whether all of some facts are true; None where one is unknown and none is false."""
    if False in values:
        return False
    return None if None in values else True


def _ways(facts: Dict[str, Any], device: str) -> Tuple[bool, Optional[bool], Optional[bool]]:
    """Return whether peer memory is there now, whether it can be had, and whether DMA-BUF can."""
    system = facts.get("system") or {}
    peermem, dmabuf = system.get("peermem") or {}, system.get("dmabuf") or {}
    if device == "cuda":
        loaded = bool(peermem.get("loaded"))
        loadable = True if loaded else _both(peermem.get("file_present"), peermem.get("api_in_kernel"))
        return loaded, loadable, _both(dmabuf.get("kernel_ok"), dmabuf.get("open"))
    # The amdgpu driver itself is the client of peer memory: there is no module to load.
    api = peermem.get("api_in_kernel")
    return api is True, api, _both(dmabuf.get("kernel_ok"), dmabuf.get("p2pdma"), dmabuf.get("move_notify"))


def _verdict(ok: Optional[bool], way: Optional[str], why: str, **more: Any) -> Verdict:
    return {"ok": ok, "way": way, "why": why, "environment": {}, "needs": [], "alternative": None, **more}


def _lacks(facts: Dict[str, Any], device: str) -> str:
    """Return in words why neither way is open."""
    system = facts.get("system") or {}
    peermem, dmabuf = system.get("peermem") or {}, system.get("dmabuf") or {}
    lacks: List[str] = []
    if device == "cuda":
        if peermem.get("file_present") is False:
            lacks.append("no nvidia_peermem module for this kernel")
        if peermem.get("api_in_kernel") is False:
            lacks.append("the kernel's ib_core has no peer memory interface (it comes with DOCA or MLNX_OFED)")
        if dmabuf.get("open") is False:
            lacks.append("the NVIDIA driver is the proprietary one, which exports no DMA-BUF")
    else:
        if peermem.get("api_in_kernel") is False:
            lacks.append("the kernel's ib_core has no peer memory interface")
        lacks += [f"kernel built without {name}" for name, key in (("CONFIG_PCI_P2PDMA", "p2pdma"),
                  ("CONFIG_DMABUF_MOVE_NOTIFY", "move_notify")) if dmabuf.get(key) is False]
    if dmabuf.get("kernel_ok") is False:
        lacks.append("the kernel is older than 5.12, so it has no DMA-BUF for RDMA")
    return "; ".join(lacks) or "whether peer memory or DMA-BUF work here is not known (facts gathered without privileges?)"


def _repair(device: str) -> str:
    if device == "cuda":
        return f"the open NVIDIA driver on a kernel from 5.12 on (DMA-BUF), or DOCA-OFED with nvidia_peermem; until then {TCP}"
    return f"a kernel with CONFIG_PCI_P2PDMA=y and CONFIG_DMABUF_MOVE_NOTIFY=y, or DOCA-OFED; until then {TCP}"


def _mooncake(facts: Dict[str, Any], device: str, mooncake: Optional[str], switch: Optional[bool]) -> Verdict:
    """Return the verdict on Mooncake.

    :param switch: what the operator sets WITH_NVIDIA_PEERMEM to.
    """
    loaded, loadable, dmabuf = _ways(facts, device)
    number = version(mooncake)
    if device == "cuda" and switch is not None and (number is None or number >= SWITCHABLE):
        loaded, loadable, dmabuf = (loaded, loadable, False) if switch else (False, False, dmabuf)
    name = f"Mooncake {mooncake}" if number else "Mooncake of unknown version"
    switchable = None if number is None else number >= SWITCHABLE
    load = [] if loaded else ["load nvidia_peermem, now and at boot"]
    if device == "cuda" and loadable:
        # Whether or not it is loaded just now: the choice must not change from one look to the next.
        # The variable is without effect before it was invented, so that it can be set for an unknown version as well.
        environment = {} if switchable is False else {SWITCH: "1"}
        return _verdict(True, PEERMEM, f"{name} registers GPU memory through nvidia_peermem", environment=environment, needs=load)
    if dmabuf is True and (device != "cuda" or switchable):
        default = "its default" if number == DMABUF_BY_DEFAULT else f"only with {SWITCH}=0: its default is peer memory"
        why = f"{name} registers GPU memory by DMA-BUF" + (f" ({default})" if device == "cuda" else "")
        return _verdict(True, DMABUF, why, environment={SWITCH: "0"} if device == "cuda" else {})
    if device != "cuda" and loaded:
        return _verdict(True, PEERMEM, f"{name} registers GPU memory through the amdgpu driver's peer memory")
    if dmabuf is True and switchable is False:
        why = f"{name} was built for nvidia_peermem, and here {_lacks(facts, device)}" if loadable is False else (
            f"{name} was built for nvidia_peermem, which may not be loadable here")
        return _verdict(False if loadable is False else None, None, why,
                        alternative=f"Mooncake from 0.3.11 on with {SWITCH}=0, or the nixl backend: DMA-BUF works here")
    if loadable is False and dmabuf is False:
        return _verdict(False, None, f"{name} cannot register GPU memory: {_lacks(facts, device)}", alternative=_repair(device))
    if loadable is False and switchable is False:
        why = f"{name} was built for nvidia_peermem: {_lacks(facts, device)}"
        return _verdict(False, None, why, alternative=f"Mooncake from 0.3.11 on with {SWITCH}=0 if DMA-BUF works; else {_repair(device)}")
    return _verdict(None, None, _lacks(facts, device), alternative=_repair(device))


def _nixl(facts: Dict[str, Any], device: str) -> Verdict:
    loaded, loadable, dmabuf = _ways(facts, device)
    if loaded:
        return _verdict(True, PEERMEM, "UCX registers GPU memory through peer memory")
    if dmabuf is True:
        return _verdict(True, DMABUF, "UCX registers GPU memory by DMA-BUF")
    if loadable:
        return _verdict(True, PEERMEM, "UCX registers GPU memory through peer memory", needs=["load nvidia_peermem, now and at boot"])
    if loadable is False and dmabuf is False:
        return _verdict(False, None, f"UCX cannot register GPU memory: {_lacks(facts, device)}", alternative=_repair(device))
    return _verdict(None, None, _lacks(facts, device), alternative=_repair(device))


def judge(
    facts: Dict[str, Any], backend: str, device: str, mooncake: Optional[str] = None, environment: Optional[Dict[str, str]] = None
) -> Verdict:
    """Return whether a backend can register GPU memory on a host.

    :param backend: mooncake, mooncake_tcp or nixl.
    :param device: cuda, rocm or cpu.
    :param mooncake: version of the transfer engine.
    :param environment: what the operator sets himself.
    :returns: ok (None: not known), way (peermem, dmabuf, host memory), why, environment to set, needs, alternative.
    """
    given = environment or {}
    if device == "cpu":
        return _verdict(True, HOST, "the engine runs on CPUs: there is no GPU memory to register")
    # Any value of it counts, 0 too.
    if backend == "mooncake_tcp" or given.get("MC_FORCE_TCP") is not None:
        return _verdict(True, HOST, "Mooncake copies through host memory to TCP")
    if backend == "nixl":
        return _nixl(facts, device)
    if backend != "mooncake":
        return _verdict(None, None, f"nothing is known of how {backend} registers GPU memory")
    text = str(given.get(SWITCH, "")).lower()
    switch = None if not text else text in ("1", "true", "on", "yes")
    verdict = _mooncake(facts, device, mooncake, switch)
    if switch is not None and verdict["ok"] is not True:
        verdict["why"] += f" ({SWITCH} is set to {given[SWITCH]}; unset, the host decides)"
    return verdict
