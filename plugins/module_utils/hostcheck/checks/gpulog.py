# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the GPUs and NVSwitches reported, and whether the fabric between GPUs is up."""

from __future__ import annotations

import re
from collections import Counter
from typing import Dict, Iterator, List, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck import kernellog, xids
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.context import Context
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.kernellog import Event
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
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import pci

# A bridge of class "other", by NVIDIA: the NVSwitches of HGX boards up to H200. Later boards show theirs as the fabric state of the GPUs.
NVSWITCH = ("0x0680", "0x10de")
UNIT = "nvidia-fabricmanager.service"
PACKAGES = "/var/lib/dpkg/status"
PACKAGE = re.compile(r"^Package: nvidia-fabricmanager(?:-[0-9]+)?$(.*?)^$", re.MULTILINE | re.DOTALL)
VERSION = re.compile(r"([0-9]{3}\.[0-9]{1,3}(?:\.[0-9]{1,3})?)")
ABSENT = "not installed"


def check(context: Context) -> Iterator[Row]:
    """Look at the kernel's log, and at fabricmanager."""
    if not context.nvidia:
        why = "no NVIDIA GPU is planned here"
        yield from (needless(rule, why) for rule in ("preflight.xid", "preflight.sxid", "preflight.fabricmanager", "preflight.gpu-fabric"))
        return
    yield from _xids(context)
    switches = _switches(context)
    if switches:
        yield from _sxids(context)
        yield from _fabricmanager(context, switches)
    else:
        yield from (needless(rule, "no NVSwitch is a device of this host") for rule in ("preflight.sxid", "preflight.fabricmanager"))
    yield from _fabric(context)


def _xids(context: Context) -> Iterator[Row]:
    rule, wanted = "preflight.xid", "none that needs a repair"
    if not context.log.known:
        yield unknown(rule, context.log.why, wanted)
        return
    found = kernellog.events(context.log, kernellog.XID)
    groups: Dict[Tuple[str, int], List[Event]] = {}
    for event in found:
        groups.setdefault((event.pci, event.number), []).append(event)
    planned = {context.gpus[index]["pci"] for index in context.planned_gpus if index < len(context.gpus)}
    known = {row["pci"] for row in context.gpus}
    for (address, number), events in sorted(groups.items()):
        level, meaning = xids.judge(number, events[-1].text)
        # A GPU that has fallen off the bus is no longer among those that are known, and the count tells of it.
        level = NOTE if address in known and address not in planned else level
        yield bad(
            rule,
            f"{context.gpu_name(address)}: Xid {number}, {meaning}, {len(events)} times since the driver was loaded;"
            f" last: {events[-1].line}",
            "nothing: see the log of what ran" if level == NOTE else
            "reset the GPU (nvidia-smi --gpu-reset) or reboot; have it replaced if it comes again",
            f"Xid {number} x{len(events)}", wanted, state=level,
        )
    if not found:
        yield _silence(context, rule, wanted)


def _silence(context: Context, rule: str, wanted: str) -> Row:
    """Return the line of a log without a report."""
    if context.log.partial:
        return unknown(rule, f"none in {context.log.source}, which has lost its beginning", wanted)
    return good(rule, f"none in {context.log.source}", wanted)


def _switches(context: Context) -> List[str]:
    def is_switch(address: str) -> bool:
        kind, vendor = (context.root.read(f"{pci.DEVICES}/{address}/{name}") or "" for name in ("class", "vendor"))
        return kind.startswith(NVSWITCH[0]) and vendor == NVSWITCH[1]

    return [address for address in context.root.list(pci.DEVICES) if is_switch(address)]


def _sxids(context: Context) -> Iterator[Row]:
    rule, wanted = "preflight.sxid", "none"
    if not context.log.known:
        yield unknown(rule, context.log.why, wanted)
        return
    events = kernellog.events(context.log, kernellog.SXID)
    # The kernel says itself which ones are fatal; corrected ones come by the thousand.
    fatal = [event for event in events if event.text.lower().startswith("fatal")]
    for level, rows in ((ERROR, fatal), (WARNING, [event for event in events if event not in fatal])):
        numbers = Counter(event.number for event in rows)
        if rows:
            yield bad(
                rule, f"NVSwitches reported {some(f'SXid {number} {count} times' for number, count in sorted(numbers.items()))}"
                f"{' as fatal' if level == ERROR else ''} since the driver was loaded; last: {rows[-1].line}",
                "reboot the host (a reset of all GPUs and switches may do); have the board looked at if it comes again",
                some((f"SXid {number}" for number in sorted(numbers)), 2), wanted, state=level,
            )
    if not events:
        yield _silence(context, rule, wanted)


def _version(context: Context) -> Optional[str]:
    """Return fabricmanager's version: from the list of packages where it is a file, else by asking the program."""
    text = context.root.read(PACKAGES, 1 << 26)
    for block in PACKAGE.findall((text or "") + "\n\n"):
        found = re.search(r"^Version: .*?" + VERSION.pattern, block, re.MULTILINE)
        if found and re.search(r"^Status: .* installed$", block, re.MULTILINE):
            return found.group(1)
    rc, out, err = context.run(["nv-fabricmanager", "--version"])
    match = VERSION.search(out + err) if rc == 0 else None
    return match.group(1) if match else None


def _fabricmanager(context: Context, switches: List[str]) -> Iterator[Row]:
    rule, driver = "preflight.fabricmanager", context.facts["system"]["nvidia"]["version"]
    wanted = f"active, version {driver or 'of the driver'}"
    rc, out, err = context.run(["systemctl", "show", "--property=LoadState,ActiveState", UNIT])
    values = dict(line.partition("=")[::2] for line in out.splitlines())
    state = ABSENT if values.get("LoadState") == "not-found" else values.get("ActiveState", "")
    if rc != 0 or not state:
        yield unknown(rule, f"systemctl does not tell the state of {UNIT}: {err.strip()[:200]}", wanted)
        return
    if state != "active":
        # In a container it may run outside of it: what it does is seen at the GPUs.
        joined = state == ABSENT and len(_states(context)) == len(context.planned_gpus) and not _apart(context)
        yield bad(
            rule, f"the host has {len(switches)} NVSwitches, and {UNIT} is {state}: "
            + ("all GPUs have joined the NVLink fabric all the same" if joined else "CUDA ends with error 802, system not yet initialized"),
            f"install the version of the driver ({driver or 'unknown'}) and run: systemctl enable --now {UNIT}", state, wanted,
            state=WARNING if joined else ERROR,
        )
        return
    version = _version(context)
    if version is None or driver is None:
        yield unknown(rule, f"it is active, but the version of {'the driver' if driver is None else 'fabricmanager'} is not known", wanted)
    elif version != driver:
        yield bad(
            rule, f"fabricmanager is {version} and the driver {driver}: it refuses to work with another version",
            f"install fabricmanager {driver} and restart {UNIT}", f"active, version {version}", wanted,
        )
    else:
        yield good(rule, f"active, version {version}", wanted)


def _states(context: Context) -> Dict[int, Tuple[str, str]]:
    """Return state and status of the planned GPUs in the NVLink fabric, without those whose driver shows none."""
    states = {}
    for index in context.planned_gpus:
        gpu = context.smi.gpus.get(context.gpus[index]["pci"]) if index < len(context.gpus) else None
        if gpu and gpu.values.get("fabric.state", "N/A") not in ("N/A", "Not Supported"):
            states[index] = (gpu.values["fabric.state"], gpu.values.get("fabric.status", "N/A"))
    return states


def _apart(context: Context) -> Dict[int, Tuple[str, str]]:
    """Return those that have not joined it."""
    return {index: row for index, row in _states(context).items() if row[0] != "Completed" or row[1] not in ("Success", "N/A")}


def _fabric(context: Context) -> Iterator[Row]:
    """Report GPUs that have not joined the NVLink fabric, as their driver says it."""
    rule, wanted = "preflight.gpu-fabric", "Completed, Success"
    if context.smi.why:
        yield unknown(rule, context.smi.why, wanted)
        return
    states, wrong = _states(context), _apart(context)
    for index, (state, status) in wrong.items():
        yield bad(
            rule, f"GPU {index} has not joined the NVLink fabric: state {state}, status {status}",
            f"systemctl restart {UNIT}, and look at its journal; on GB200 and GB300 at nvidia-imex and the switch trays",
            f"{state}, {status}", wanted,
        )
    if not states:
        yield needless(rule, "the driver shows no fabric state of these GPUs")
    elif not wrong:
        yield good(rule, wanted, wanted)
