# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cases of GPUs."""

from __future__ import annotations

import functools

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import ERROR, NEEDLESS, NOTE, OK, UNKNOWN, WARNING
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostcheck.changes import (
    DEEPEP,
    GREP,
    LOADED,
    NO_LOG,
    NO_SWITCH,
    OWN,
    SMI_HANGS,
    SXID,
    XID,
    Case,
    all_smi,
    answer,
    app,
    both,
    file,
    gone,
    log,
    nothing,
    pci,
    plain_user,
    process,
    rank,
    remapped,
    smi,
    smi_gone,
    xid,
)
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostcheck.world import (
    DRIVER,
    STATUS,
    amd_world,
    cpu_world,
    gpu_address,
    new_world,
)

NOT_INSTALLED = answer("systemctl show --property=LoadState", 0, "LoadState=not-found\nActiveState=inactive\n")

# Seven more compute partitions of the GPU at 0000:20:00.0.
PARTITIONS = both(*(
    file(f"/sys/class/kfd/kfd/topology/nodes/{node}/properties", f"simd_count 38\nlocation_id {0x20 << 8}\ndomain 0")
    for node in range(20, 27)
))
GPUS: dict[str, list[Case]] = {
    "gpu-count": [
        Case(
            ERROR, gone(f"/sys/bus/pci/devices/{gpu_address(7)}/driver"),
            f"takes GPU 7, and the host has 7 that can be used; without their driver: {gpu_address(7)}",
        ),
        Case(ERROR, gone("/sys/bus/pci/devices"), "the host has 0 that can be used"),
        Case(ERROR, rank(device="rocm"), "8 of another vendor than the plan's rocm"),
        Case(ERROR, rank(device="cuda"), "8 of another vendor than the plan's cuda", amd_world),
        Case(
            ERROR, answer("nvidia-smi", 18, "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 570.133\n"),
            "the driver does not reach the GPUs: nvidia-smi: Failed to initialize NVML: Driver/library version mismatch",
        ),
        Case(ERROR, answer("nvidia-smi", 9, "NVIDIA-SMI has failed because it couldn't communicate with the driver.\n"), "communicate"),
        Case(ERROR, answer("nvidia-smi", 0, "No devices were found\n"), "No devices were found"),
        Case(ERROR, lambda world: world.unnamed.add(2), "nvidia-smi does not name GPU 2 (0000:33:00.0)"),
        Case(OK, both(lambda world: world.unnamed.add(2), rank(gpus=[0, 1])), ""),
        Case(UNKNOWN, SMI_HANGS, "gave no answer in 20 s"),
        Case(UNKNOWN, smi_gone, "No such file"),
        Case(UNKNOWN, rank(device="npu"), "nothing is known of npu"),
        Case(NEEDLESS, nothing, "no GPU rank", cpu_world),
    ],
    "gpu-mig": [
        Case(ERROR, smi(2, mig="Enabled", used="[N/A]", total="[N/A]"), "GPU 2 (0000:33:00.0) is in MIG mode"),
        Case(ERROR, PARTITIONS, "divided into 8 partitions", amd_world),
        Case(UNKNOWN, SMI_HANGS, "gave no answer in 20 s"),
        Case(NEEDLESS, nothing, "no GPU rank", cpu_world),
    ],
    "gpu-ecc": [
        Case(WARNING, smi(1, ecc="3"), "GPU 1 (0000:23:00.0) has had 3 uncorrected ECC errors"),
        Case(WARNING, smi(1, retired="Yes"), "waits for a reset"),
        Case(WARNING, remapped(4, "1, 0"), "GPU 4 (0000:53:00.0) waits for a reset"),
        Case(ERROR, remapped(4, "0, 1"), "a memory row of GPU 4 (0000:53:00.0) could not be remapped"),
        Case(ERROR, pci("0000:20:00.0", "ras/umc_err_count", "ue: 1\nce: 0"), "has had 1 uncorrected errors", amd_world),
        Case(UNKNOWN, gone("/sys/bus/pci/devices/0000:20:00.0/ras"), "amdgpu counts no errors of GPU 0", amd_world),
        Case(OK, all_smi(ecc="[N/A]", state="[N/A]"), ""),
        Case(UNKNOWN, smi_gone, "nvidia-smi: No such file"),
        Case(NEEDLESS, nothing, "no GPU rank", cpu_world),
    ],
    "gpu-memory": [
        Case(ERROR, smi(3, used=9000), "9000 of 81559 MiB of GPU 3 (0000:43:00.0) are in use"),
        Case(WARNING, smi(3, used=2000), "2000 of 81559 MiB"),
        Case(OK, smi(3, used=1000), ""),
        Case(OK, both(smi(3, used=70000), process(7, "sglang", OWN), app(3, 7, "69500", "sglang")), ""),
        Case(ERROR, both(smi(3, used=70000), process(7, "sglang", OWN), app(3, 7, "20000", "sglang")), "50000 of 81559 MiB"),
        Case(OK, both(smi(3, used=70000), process(7, "sglang", OWN), app(3, 7, "[N/A]", "sglang")), ""),
        Case(OK, both(smi(3, used=70000), process(7, "sglang", OWN, "/dev/nvidia3")), ""),
        Case(ERROR, both(smi(3, used=70000), process(7, "sglang", OWN, "/dev/nvidia2")), "70000 of 81559 MiB"),
        Case(UNKNOWN, both(smi(3, used=70000), app(3, 7, "69500", "sglang")), "by whom cannot be told"),
        Case(OK, both(smi(3, used=900), app(3, 7, "500", "sglang")), ""),
        Case(UNKNOWN, both(smi(3, used=70000), answer("nvidia-smi --query-compute-apps", 1)), "70000 MiB of GPU 3 (0000:43:00.0) are"),
        Case(UNKNOWN, both(smi(3, used=70000), plain_user), "not root"),
        Case(OK, both(smi(3, used=70000), plain_user, process(7, "sglang", OWN), app(3, 7, "69500", "sglang")), ""),
        Case(ERROR, both(smi(3, used=70000), plain_user, process(7, "x"), app(3, 7, "69500", "x")), "70000 of 81559 MiB"),
        Case(UNKNOWN, both(plain_user, pci("0000:21:00.0", "mem_info_vram_used", str(50 << 30))), "not root", amd_world),
        Case(UNKNOWN, smi(3, used="[Unknown Error]"), "the memory of GPU 3"),
        Case(
            UNKNOWN, answer("nvidia-smi", 9, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."),
            "couldn't communicate",
        ),
        Case(ERROR, pci("0000:21:00.0", "mem_info_vram_used", str(50 << 30)), "51200 of 196608 MiB of GPU 1", amd_world),
        Case(
            OK, both(pci("0000:21:00.0", "mem_info_vram_used", str(50 << 30)), process(7, "sglang", OWN, "/dev/dri/renderD129")), "",
            amd_world,
        ),
        Case(UNKNOWN, gone("/sys/bus/pci/devices/0000:21:00.0/mem_info_vram_used"), "the memory of GPU 1", amd_world),
        Case(NEEDLESS, nothing, "no GPU rank", cpu_world),
    ],
    "gpu-process": [
        Case(ERROR, both(process(7, "python3"), app(3, 7, "500", "python3, a")), "GPU 3 (0000:43:00.0) is used by python3 (pid 7)"),
        Case(UNKNOWN, app(3, 77, "[N/A]", "/usr/bin/gone, really"), "/usr/bin/gone, really (pid 77), and /proc has no such process"),
        Case(OK, both(process(7, "sglang", OWN), app(3, 7, "500", "sglang")), ""),
        Case(
            WARNING, both(smi_gone, process(7, "python3", "jupyter.service", "/dev/nvidia3")),
            "held open by python3 (pid 7, jupyter.service)",
        ),
        Case(OK, both(smi_gone, process(7, "nvidia-persiste", "", "/dev/nvidia3")), ""),
        Case(OK, both(smi_gone, process(7, "sglang", OWN, "/dev/nvidia3"), process(8, "x", "", "/dev/nvidiactl")), ""),
        Case(
            ERROR, both(process(7, "python3", "", "/dev/kfd"), process(7, "python3", "", "/dev/dri/renderD130", 4)), "GPU 2", amd_world,
        ),
        Case(OK, process(7, "Xorg", "", "/dev/dri/renderD130"), "", amd_world),
        Case(UNKNOWN, both(smi_gone, gone("/proc/driver/nvidia/gpus")), "which device file"),
        Case(UNKNOWN, gone("/sys/bus/pci/devices"), "no planned GPU is there", amd_world),
        Case(NEEDLESS, nothing, "no GPU rank", cpu_world),
    ],
    "xid": [
        Case(
            ERROR, xid("79, pid=1101, name=nvc:[driver], GPU has fallen off the bus.", 2),
            "GPU 2 (0000:33:00.0): Xid 79, GPU has fallen off the bus, 1 times",
        ),
        Case(WARNING, log(2 * XID.format(pci="0000:13:00", rest="63, Row Remapper: New row marked for remapping")), "2 times"),
        Case(NOTE, xid("31, pid=7, name=python3, Ch 00000008"), "GPU memory page fault"),
        Case(NOTE, xid("9999, new"), "not in our table"),
        Case(NOTE, xid("154, GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)"), "no longer"),
        Case(ERROR, xid("154, GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)"), "asks for a recovery"),
        Case(OK, log(XID.format(pci="0000:13:00", rest="79, off the bus") + LOADED), ""),
        Case(NOTE, both(xid("48, DBE", 7), rank(gpus=[0, 1])), "double bit"),
        Case(ERROR, both(NO_LOG, file("/dev/kmsg", "6,1,0,-;Linux version 6.8\n6,9,9,-;NVRM: Xid (0000:13:00): 48, DBE\n")), "double bit"),
        Case(OK, both(NO_LOG, file("/dev/kmsg", "6,1,0,-;Linux version 6.8\n")), ""),
        Case(UNKNOWN, both(NO_LOG, file("/dev/kmsg", "6,1,0,-;usb 1-1: new device\n")), "has lost its beginning"),
        Case(ERROR, log(XID.format(pci="0000:13:00 GPU-I:05", rest="48, pid=1, DBE")), "GPU 0 (0000:13:00.0): Xid 48, double bit"),
        Case(UNKNOWN, answer(GREP, 0, SXID.format(rest="12028, Non-fatal")), "none in the journal, which has lost its beginning"),
        Case(UNKNOWN, answer(GREP, 1), "none in the journal, which has lost its beginning"),
        Case(UNKNOWN, log(2000 * SXID.format(rest="12028, Non-fatal")), "which has lost its beginning"),
        Case(UNKNOWN, NO_LOG, "neither the kernel's journal nor"),
        Case(NEEDLESS, nothing, "no NVIDIA GPU", amd_world),
    ],
    "sxid": [
        Case(ERROR, log(SXID.format(rest="20034, Fatal, Link 32 LTSSM Fault Up (First)")), "SXid 20034 1 times as fatal"),
        Case(
            WARNING, log(2 * SXID.format(rest="12028, Non-fatal, Link 32 egress non-posted PRIV error (First)")),
            "SXid 12028 2 times since",
        ),
        Case(UNKNOWN, NO_LOG, "neither the kernel's journal"),
        Case(NEEDLESS, NO_SWITCH, "no NVSwitch"),
    ],
    "fabricmanager": [
        Case(
            ERROR, file("/var/lib/dpkg/status", STATUS.format(name="nvidia-fabricmanager", version="570.86.15")),
            f"is 570.86.15 and the driver {DRIVER}",
        ),
        Case(ERROR, both(NOT_INSTALLED, all_smi(state="[N/A]", status="[N/A]")), "service is not installed: CUDA ends with error 802"),
        Case(ERROR, both(NOT_INSTALLED, smi(5, state="In Progress", status="N/A")), "service is not installed: CUDA ends with error 802"),
        Case(WARNING, NOT_INSTALLED, "service is not installed: all GPUs have joined the NVLink fabric"),
        Case(ERROR, answer("systemctl show --property=LoadState", 0, "LoadState=loaded\nActiveState=failed\n"), "service is failed"),
        Case(OK, both(gone("/var/lib/dpkg/status"), answer("nv-fabricmanager", 0, f"Fabric Manager version is : {DRIVER}\n")), ""),
        Case(
            ERROR, both(gone("/var/lib/dpkg/status"), answer("nv-fabricmanager", 0, "Fabric Manager version is : 535.54.03\n")),
            "535.54.03",
        ),
        Case(UNKNOWN, gone("/var/lib/dpkg/status"), "version of fabricmanager is not known"),
        Case(UNKNOWN, answer("systemctl show --property=LoadState", 1, "", "no bus"), "no bus"),
        Case(NEEDLESS, NO_SWITCH, "no NVSwitch"),
    ],
    "gpu-fabric": [
        Case(ERROR, smi(5, state="In Progress", status="N/A"), "GPU 5 has not joined the NVLink fabric: state In Progress"),
        Case(ERROR, smi(5, status="Insufficient Resources"), "Insufficient Resources"),
        Case(NEEDLESS, all_smi(state="[N/A]", status="[N/A]"), "no fabric state"),
        Case(UNKNOWN, smi_gone, "No such file"),
        Case(NEEDLESS, nothing, "no NVIDIA GPU", amd_world),
    ],
    "gpu-link": [
        Case(WARNING, pci(gpu_address(6), "current_link_width", "8"), "GPU 6 runs at 32.0 GT/s x8, both ends can do 32.0 GT/s x16"),
        Case(OK, pci(gpu_address(6), "current_link_speed", "2.5 GT/s PCIe"), ""),
        Case(UNKNOWN, pci(gpu_address(6), "current_link_width", "255"), "the PCIe link of GPU 6 cannot be read"),
        Case(UNKNOWN, gone("/sys/bus/pci/devices"), "no planned GPU", amd_world),
        Case(NEEDLESS, nothing, "no GPU rank", cpu_world),
    ],
    "ibgda": [
        Case(
            WARNING, both(DEEPEP, file("/proc/driver/nvidia/params", 'EnableStreamMemOPs: 0\nRegistryDwords: ""')),
            "EnableStreamMemOPs, PeerMappingOverride",
        ),
        Case(
            ERROR, both(DEEPEP, rank(environment={"NVSHMEM_IBGDA_NIC_HANDLER": "gpu"}),
                        file("/proc/driver/nvidia/params", 'EnableStreamMemOPs: 1\nRegistryDwords: "PeerMappingOverride=10;"')),
            "PeerMappingOverride",
        ),
        Case(OK, DEEPEP, ""),
        Case(UNKNOWN, both(DEEPEP, gone("/proc/driver/nvidia/params")), "cannot be read"),
        Case(
            WARNING, file("/proc/driver/nvidia/params", 'EnableStreamMemOPs: 0\nRegistryDwords: "PeerMappingOverride=1;"'),
            "EnableStreamMemOPs", functools.partial(new_world, more="deepep"),
        ),
        Case(NEEDLESS, both(DEEPEP, rank(environment={"NVSHMEM_IBGDA_NIC_HANDLER": "cpu"})), "leaves the doorbells"),
        Case(NEEDLESS, both(DEEPEP, rank(nodes=1)), "no rank runs DeepEP"),
    ],
}
