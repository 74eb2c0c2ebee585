# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What registering memory with NICs needs: peer memory or DMA-BUF, limits of the units, and GPUs that may ring doorbells."""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List, Optional

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.context import Context, arguments
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import (
    ERROR,
    NOTE,
    WARNING,
    Row,
    bad,
    good,
    needless,
    some,
    unknown,
)
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import registration

MAP_COUNT = 16777216
PEERMEM = "nvidia_peermem"
PARAMS = "/proc/driver/nvidia/params"
HANDLER = "NVSHMEM_IBGDA_NIC_HANDLER"
SWITCHES = {
    "EnableStreamMemOPs": r"^EnableStreamMemOPs: 1$", "PeerMappingOverride": r"^RegistryDwords: .*\bPeerMappingOverride= *(0[xX])?0*1\b",
}


def check(context: Context) -> Iterator[Row]:
    """Look at the ways of GPU memory to NICs."""
    if context.rdma:
        yield from _registration(context)
        yield from _module(context)
        yield from _memlock(context)
        yield from _map_count(context)
    else:
        rules = ("preflight.registration", "preflight.peermem-build", "preflight.memlock", "preflight.map-count")
        yield from (needless(rule, "the plan uses no RDMA on this host") for rule in rules)
    yield from _doorbells(context)


def _registration(context: Context) -> Iterator[Row]:
    rule, wanted = "preflight.registration", "peer memory or DMA-BUF"
    device, backend = str(context.rdma.get("device") or "cpu"), str(context.rdma.get("backend") or "mooncake")
    given = {name: str(value) for rank in context.ranks for name, value in (rank.get("environment") or {}).items()}
    verdict: Dict[str, Any] = context.rdma.get("registration") or {}
    lost = verdict.get("way") == registration.PEERMEM and not verdict["needs"] and not context.facts["system"]["peermem"]["loaded"]
    if not verdict or lost:
        # The plan was made from other facts, or from none.
        verdict = registration.judge(context.facts, backend, device, None, given)
    if verdict["ok"] is False:
        yield bad(
            rule, verdict["why"], verdict["alternative"] or "see docs/rdma.md", "neither works", wanted, variable="sglang_transfer_backend",
        )
    elif verdict["ok"] is None:
        yield unknown(rule, verdict["why"], wanted)
    elif verdict["needs"]:
        yield bad(
            rule, f"{verdict['why']}; still to be done: {some(verdict['needs'])}", "nothing: stage rdma does it, if it is part of this run",
            str(verdict["way"]), wanted, state=NOTE,
        )
    else:
        yield good(rule, str(verdict["way"]), wanted)


def _dependencies(context: Context) -> Optional[List[str]]:
    """Return the modules that nvidia_peermem was linked against, or None where it is not in the list of modules."""
    kernel = context.facts["system"]["kernel"]
    text = context.root.read(f"/lib/modules/{kernel}/modules.dep", 1 << 24) if kernel else None
    for line in (text or "").splitlines():
        name, _colon, rest = line.partition(":")
        if re.search(r"/nvidia[_-]peermem\.ko[.a-z]*$", "/" + name):
            return [re.sub(r".*/|\.ko[.a-z]*$", "", word).replace("-", "_") for word in rest.split()]
    return None


def _module(context: Context) -> Iterator[Row]:
    """Report a peer memory module that will refuse to load, before stage rdma tries."""
    rule, wanted = "preflight.peermem-build", "built against this kernel's ib_core"
    peermem = context.facts["system"]["peermem"]
    if PEERMEM not in (context.rdma.get("modules") or []):
        yield needless(rule, f"the plan does not need {PEERMEM}")
        return
    linked = _dependencies(context)
    fix = "install DOCA or MLNX_OFED first and the NVIDIA driver after it (dkms rebuilds it), or use DMA-BUF with the open driver"
    if peermem["loaded"]:
        yield good(rule, f"{peermem['module']} is loaded", wanted)
    elif linked is None:
        known = peermem["file_present"] is False
        text = f"{PEERMEM} is wanted, and there is no such module for this kernel"
        yield bad(rule, text, fix, "absent", wanted) if known else unknown(rule, "the list of the kernel's modules cannot be read", wanted)
    elif "ib_core" not in linked:
        # Without the interface at build time its init function is nothing but return -EINVAL: nvidia-peermem.c of the open kernel modules.
        yield bad(
            rule, f"{PEERMEM} was built without ib_core's peer memory interface: modprobe says Invalid argument", fix, "without ib_core",
            wanted,
        )
    elif peermem["api_in_kernel"] is False:
        yield bad(
            rule, f"{PEERMEM} was built against another ib_core than the one that runs: it has no ib_register_peer_memory_client", fix,
            "other ib_core", wanted,
        )
    else:
        yield good(rule, "built against ib_core", wanted)


def _memlock(context: Context) -> Iterator[Row]:
    rule, wanted, limits = "preflight.memlock", "infinity", context.facts["system"]["memlock"]["units"]
    memory = re.search(r"^MemTotal: +([0-9]{1,15}) kB$", context.root.read("/proc/meminfo") or "", re.MULTILINE)
    enough = int(memory.group(1)) << 10 if memory else None
    units = [str(rank["unit"]) for rank in context.ranks]
    clean = True
    for unit in units:
        row = limits.get(unit) or {}
        source = str(row.get("source") or "")
        # A unit that is not there yet will say infinity itself: then only drop-ins count, which are read after it.
        counts = row.get("installed") or (source and ".d/" in source and "system.conf" not in source)
        value = row.get("value")
        if counts and value != "infinity" and not (isinstance(value, int) and enough and value >= enough):
            clean = False
            shown = "systemd's default" if value is None else f"{value} bytes"
            yield bad(
                rule,
                f"{unit} may lock {shown}{' (' + source + ')' if source else ''}: registering memory ends with Cannot allocate memory",
                f"remove LimitMEMLOCK from {source}" if ".d/" in source else
                "stage engine writes LimitMEMLOCK=infinity; a template of your own must, too",
                shown, wanted, state=ERROR if ".d/" in source else WARNING,
            )
    if clean:
        yield good(rule, "as much as there is", wanted)


def _map_count(context: Context) -> Iterator[Row]:
    rule, wanted = "preflight.map-count", f"{MAP_COUNT} or more"
    count = context.root.number("/proc/sys/vm/max_map_count")
    if count is None:
        yield unknown(rule, "vm.max_map_count cannot be read", wanted)
    elif count < MAP_COUNT:
        yield bad(
            rule, f"vm.max_map_count is {count}: a large KV cache that is registered in pieces may run out of mappings",
            f"sysctl vm.max_map_count={MAP_COUNT}, in a file below /etc/sysctl.d", str(count), wanted,
        )
    else:
        yield good(rule, str(count), wanted)


def _doorbells(context: Context) -> Iterator[Row]:
    """Report a driver that does not let GPUs ring the doorbells of NICs, which DeepEP's IBGDA does."""
    rule, wanted = "preflight.ibgda", f"{' and '.join(SWITCHES)} set"
    ranks = [
        rank for rank in context.gpu_ranks
        if arguments(rank).get("moe-a2a-backend") == "deepep" and int(rank.get("nodes") or 1) > 1
    ]
    handlers = {str((rank.get("environment") or {}).get(HANDLER, "auto")) for rank in ranks}
    if not context.nvidia or not ranks:
        yield needless(rule, "no rank runs DeepEP over several hosts on NVIDIA GPUs")
        return
    if handlers <= {"cpu", "cpu_host_memory"}:
        yield needless(rule, f"{HANDLER} leaves the doorbells to the CPU")
        return
    text = context.root.read(PARAMS)
    if text is None:
        yield unknown(rule, f"{PARAMS} cannot be read", wanted)
        return
    missing = [name for name, pattern in SWITCHES.items() if not re.search(pattern, text, re.MULTILINE)]
    if missing:
        yield bad(
            rule, f"the NVIDIA driver runs without {some(missing)}: GPUs cannot ring the doorbells of NICs"
            f"{'' if 'gpu' in handlers else '; NVSHMEM from 3.4.5 on lets the CPU do it, which is slower, earlier ones end'}",
            'options nvidia NVreg_EnableStreamMemOPs=1 NVreg_RegistryDwords="PeerMappingOverride=1;" below /etc/modprobe.d, then reboot;'
            f" or {HANDLER}=cpu in sglang_env",
            f"without {some(missing)}", wanted, variable="sglang_env", state=ERROR if "gpu" in handlers else WARNING,
        )
    else:
        yield good(rule, "set", wanted)
