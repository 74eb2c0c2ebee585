# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The GPUs that the plan takes: whether they are there, whole, healthy and free."""

from __future__ import annotations

from typing import Dict, Iterator, List, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.checks.gpumemory import memory
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.checks.holders import foreign
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.context import VENDORS, Context
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.nvsmi import Gpu
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import ERROR, WARNING, Row, bad, good, needless, some, unknown
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import pci

RULES = ("preflight.gpu-count", "preflight.gpu-mig", "preflight.gpu-ecc", "preflight.gpu-memory", "preflight.gpu-process")


def check(context: Context) -> Iterator[Row]:
    """Compare the GPUs with the plan."""
    if not context.gpu_ranks:
        yield from (needless(rule, "no GPU rank runs here") for rule in RULES)
    elif not set(context.devices) <= set(VENDORS):
        yield from (unknown(rule, f"nothing is known of {some(context.devices)} devices") for rule in RULES)
    else:
        yield from _count(context)
        yield from _mig(context)
        yield from _ecc(context)
        yield from memory(context, _planned(context))
        yield from foreign(context, _planned(context))


def _planned(context: Context) -> List[Tuple[str, str]]:
    """Return address and name of the planned GPUs that are there."""
    rows = context.gpus
    return [(rows[index]["pci"], f"GPU {index} ({rows[index]['pci']})") for index in context.planned_gpus if index < len(rows)]


def _count(context: Context) -> Iterator[Row]:
    rule, planned, present = RULES[0], context.planned_gpus, len(context.gpus)
    wanted = f"GPUs {some(planned, 16)}"
    missing = [index for index in planned if index >= present]
    everything = [row for row in context.facts["gpus"] if row["vendor"] in {VENDORS[device] for device in context.devices}]
    idle = [row for row in everything if row not in context.gpus]
    of_others = len(context.facts["gpus"]) - len(everything)
    models = sorted({row["model"] or row["device"] or "of unknown model" for row in context.gpus})
    found = f"{present} {some(models)}".rstrip()
    if not missing:
        yield _reached(context, rule, found, wanted)
        return
    why = f"; without their driver: {some(row['pci'] + ' ' + (row['driver'] or '') for row in idle)}".rstrip() if idle else ""
    why += f"; {of_others} of another vendor than the plan's {some(context.devices)}" if of_others else ""
    yield bad(
        rule, f"the plan takes GPU {some(missing, 16)}, and the host has {present} that can be used{why}",
        "repair the host (lspci, dmesg; is the driver loaded?), or correct sglang_gpu.count and the instance's hosts", found, wanted,
        variable="sglang_gpu.count",
    )


def _reached(context: Context, rule: str, found: str, wanted: str) -> Row:
    """Return the line of GPUs that are all there: the driver must reach them, too."""
    fix = "look at dmesg; after an update of the driver reboot the host, so that its module and its libraries are of one version again"
    if not context.nvidia:
        return good(rule, found, wanted)
    if context.smi.failed:
        return bad(rule, f"the driver does not reach the GPUs: {context.smi.why}", fix, "not reached", wanted)
    if context.smi.why:
        return unknown(rule, f"{found}; {context.smi.why}", wanted)
    lost = [name for address, name in _planned(context) if address not in context.smi.gpus]
    if lost:
        text = f"nvidia-smi does not name {some(lost)}: the driver does not reach it"
        return bad(rule, text, fix, f"{some(lost, 2)} not reached", wanted)
    return good(rule, found, wanted)


def _smi(context: Context, rule: str, wanted: str) -> Tuple[Dict[str, Gpu], List[Row]]:
    """Return what nvidia-smi says of the planned GPUs, and the lines of those that it does not name."""
    if context.smi.why:
        return {}, [unknown(rule, context.smi.why, wanted)]
    found = {name: context.smi.gpus[address] for address, name in _planned(context) if address in context.smi.gpus}
    lost = [name for address, name in _planned(context) if address not in context.smi.gpus]
    return found, [unknown(rule, f"nvidia-smi does not name {some(lost)}", wanted)] if lost else []


def _mig(context: Context) -> Iterator[Row]:
    rule, wanted = RULES[1], "whole GPUs"
    if not context.nvidia:
        partitions = [row for row in context.gpus if (row["partitions"] or 1) > 1]
        for row in partitions:
            yield bad(
                rule, f"{context.gpu_name(row['pci'])} is divided into {row['partitions']} partitions, and GPUs of the plan are whole",
                "amd-smi set --compute-partition SPX", f"{row['partitions']} partitions", wanted,
            )
        if not partitions:
            yield good(rule, "whole", wanted)
        return
    found, rows = _smi(context, rule, wanted)
    divided = [name for name, gpu in found.items() if gpu.values.get("mig.mode.current") == "Enabled"]
    for name in divided:
        yield bad(
            rule, f"{name} is in MIG mode, and GPUs of the plan are whole", "nvidia-smi --multi-instance-gpu=0, then a reset", "MIG",
            wanted,
        )
    yield from rows
    if found and not divided:
        yield good(rule, "whole", wanted)


def _amd_errors(context: Context, address: str) -> Optional[int]:
    """Return the uncorrected errors that amdgpu counts for all blocks of a GPU, or None."""
    counts = []
    base = f"{pci.DEVICES}/{address}/ras"
    for name in context.root.list(base):
        if name.endswith("_err_count"):
            for line in (context.root.read(f"{base}/{name}") or "").splitlines():
                kind, _colon, value = line.partition(":")
                if kind.strip() == "ue" and value.strip().isdigit():
                    counts.append(int(value))
    return sum(counts) if counts else None


def _ecc(context: Context) -> Iterator[Row]:
    rule, wanted = RULES[2], "no uncorrected error"
    reset = "reset the GPU (nvidia-smi --gpu-reset) or reboot; have it replaced if it comes again"
    found, rows = _smi(context, rule, wanted) if context.nvidia else ({}, [])
    clean, asked = True, bool(found)
    for name, gpu in found.items():
        count = gpu.values.get("ecc.errors.uncorrected.volatile.total", "")
        if gpu.values.get("remapped_rows.failure"):
            clean = False
            yield bad(
                rule, f"a memory row of {name} could not be remapped", "have the GPU replaced", "remapping failed", wanted, state=ERROR,
            )
        if count.isdigit() and int(count):
            clean = False
            yield bad(
                rule, f"{name} has had {count} uncorrected ECC errors since its driver was loaded", reset, count, wanted, state=WARNING,
            )
        if gpu.values.get("remapped_rows.pending") or gpu.values.get("retired_pages.pending") == "Yes":
            clean = False
            yield bad(
                rule, f"{name} waits for a reset to take a faulty memory row out of use", reset, "remapping pending", wanted, state=WARNING,
            )
    if not context.nvidia:
        counts = {name: _amd_errors(context, address) for address, name in _planned(context)}
        silent = [name for name, count in counts.items() if count is None]
        rows = [unknown(rule, f"amdgpu counts no errors of {some(silent)}", wanted)] if silent else []
        asked = len(silent) < len(counts)
        for name, errors in counts.items():
            if errors:
                clean = False
                yield bad(
                    rule, f"{name} has had {errors} uncorrected errors since its driver was loaded", "reset the GPU or reboot", str(errors),
                    wanted,
                )
    yield from rows
    if clean and asked:
        yield good(rule, "none", wanted)
