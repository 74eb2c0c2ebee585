# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the host checks as a table: what must hold, how bad it is when it does not, what it looked like where it was seen.

The modules of C(checks) find out; this table is all that reports and documents need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import ERROR, NOTE, WARNING


@dataclass(frozen=True)
class Rule:
    """One rule.

    :ivar severity: V(error) stops a run; a check may lower or raise it where it says so in its text.
    :ivar failures: signatures of failures that it catches beforehand, as C(signatures) lists them.
    :ivar stage: the stage that would stumble over it without this check; V(serving) where nothing would, and the cluster be slow.
    :ivar text: the rule as a sentence.
    :ivar evidence: program and version, or record of a fault, that it is known from.
    """

    id: str
    severity: str
    failures: Tuple[str, ...]
    stage: str
    text: str
    evidence: str


def _rule(name: str, severity: str, failures: str, *words: str) -> Tuple[str, Rule]:
    key = "preflight." + name
    stage, text, evidence = words
    return key, Rule(key, severity, tuple(failures.split()), stage, text, evidence)


TABLE = (
    # The host
    _rule("systemd", ERROR, "", "engine", "The host is run by systemd.", "the engines and routers are systemd units"),
    _rule("address", ERROR, "D04 D08", "engine", "The planned addresses are on the host.",
          "sglang 0.5.8 binds --host; ZMQError: No such device"),
    _rule("interface", ERROR, "D04 D05", "engine", "The fabric address is on the planned interface.",
          "Gloo and NCCL follow GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME"),
    _rule("port-taken", ERROR, "", "engine", "Every planned port is free, or held by a unit of this cluster.",
          "bind: Address already in use"),
    _rule("port-ephemeral", ERROR, "D39", "engine", "No planned port lies in the host's ephemeral range, unless it is reserved.",
          "net.ipv4.ip_local_port_range: an outgoing connection may take it before the engine does"),
    _rule("firewall", ERROR, "", "engine",
          "The host's filter lets in the connections of the plan; a note where stage network opens them.",
          "firewalld of a new RHEL lets in SSH and rejects the rest: No route to host"),
    _rule("shm", ERROR, "", "engine", "Shared memory has room for the ranks: 64 MiB on CPUs, 1 GiB on GPUs.",
          "sglang 0.5.8 distributed/parallel_state.py: 24 MiB per group; NCCL documentation, Troubleshooting, Shared memory"),
    _rule("proxy", ERROR, "D06", "engine", "No proxy from outside of the plan stands before peers; a note for https_proxy.",
          "PUT of the bootstrap and /health went to the proxy: failures D06"),
    _rule("ipv6", ERROR, "D09", "engine", "IPv6 is in the kernel where Mooncake moves the KV cache over TCP.",
          "Mooncake v0.3.8.post1 tcp_transport: RuntimeError: open: Address family not supported by protocol"),
    _rule("command-line", WARNING, "D32 D33", "serving", "The kernel command line has no trap: numa=off, pci=nommconf, iommu.strict=1.",
          "hosts of the field cluster ran with numa=off: all paths NODE"),
    _rule("numa", WARNING, "D32", "serving", "There is a NUMA node for each socket.",
          "Mooncake and NCCL choose NICs by NUMA node: failures D32"),
    _rule("memory-errors", WARNING, "", "serving", "The host's memory has had no uncorrected error.",
          "kernel documentation, RAS, EDAC: ue_count"),
    # GPUs
    _rule("gpu-count", ERROR, "", "engine", "The GPUs that the plan takes are there, and their driver reaches them.",
          "CUDA: invalid device ordinal; Failed to initialize NVML: Driver/library version mismatch"),
    _rule("gpu-mig", ERROR, "", "engine", "GPUs are whole: no MIG, no partitions.",
          "NVIDIA MIG user guide: a process uses one MIG instance; no NCCL between them"),
    _rule("gpu-ecc", ERROR, "D31", "serving",
          "GPUs have no faulty memory; a warning where it is an uncorrected error, or a row that waits for a reset.",
          "NVML API: pending remappings need a reset, a failure one time is for good"),
    _rule("gpu-memory", ERROR, "D37", "engine", "The memory of the GPUs is free; a warning up to a tenth of it.",
          "sglang 0.5.8 model_executor/model_runner.py: The memory capacity is unbalanced. Some GPUs may be occupied by other processes"),
    _rule("gpu-process", ERROR, "D37", "engine",
          "No process of others computes on the GPUs; a warning where it is only known to have one open.",
          "engines left behind by kill -9: failures D37"),
    _rule("xid", ERROR, "D31", "engine",
          "The driver has reported no GPU that needs a repair; warnings for what heals itself, notes for faults of programs.",
          "Xid catalog of NVIDIA's documentation, deploy/xid-errors"),
    _rule("sxid", ERROR, "D31", "engine", "NVSwitches have reported no fatal error; a warning for others.",
          "Fabric Manager user guide: fatal and non-fatal SXid errors; NCCL hangs after Init COMPLETE: failures D31"),
    _rule("fabricmanager", ERROR, "D31", "engine",
          "On boards with NVSwitches fabricmanager runs, in the version of the driver; a warning where all GPUs have joined without.",
          "CUDA error 802, system not yet initialized: pytorch#35710"),
    _rule("gpu-fabric", ERROR, "D31", "engine", "GPUs have joined the NVLink fabric where their driver shows its state.",
          "nvidia-smi -q, Fabric: State Completed, Status Success"),
    _rule("gpu-link", WARNING, "D33", "serving", "The PCIe links of the GPUs are as wide as both ends can.",
          "PCIe link trained down: failures D33; the speed does not count, idle GPUs lower it"),
    _rule("ibgda", WARNING, "D28", "engine",
          "With DeepEP over several hosts the NVIDIA driver lets GPUs ring the doorbells of NICs; an error where NVSHMEM is told to.",
          "cannot allocate mlx5dv_devx_uar: sglang#12533, DeepEP#139; NVSHMEM 3.4.5 NVSHMEM_IBGDA_NIC_HANDLER"),
    # RDMA
    _rule("rdma-device", ERROR, "D14 D17 D18", "engine", "The planned RDMA ports are there and ACTIVE.",
          "Invalid IB devices specified; Mooncake falls back to TCP: sglang#17598"),
    _rule("rdma-node", ERROR, "D18 D28", "engine",
          "RDMA devices have a device file that the engine's user may open; a warning for its mode.",
          "Mooncake v0.3.8.post1 skips devices without a usable /dev/infiniband/uverbsN"),
    _rule("rdma-gid", ERROR, "D12 D14", "verify", "The planned GID index is a RoCE v2 GID of the port's own address.",
          "Failed to modify QP to RTR, check mtu, gid: Mooncake#204, #1066"),
    _rule("rdma-mtu", WARNING, "D33", "serving", "RoCE ports send packets of 4096 bytes.",
          "network device with MTU 1500 gives 1024: failures D33"),
    _rule("nic-link", WARNING, "D33", "serving", "The PCIe links of the planned NICs are as fast and wide as both ends can.",
          "failures D33"),
    _rule("acs", WARNING, "D10 D33", "serving", "PCIe access control does not send traffic between GPU and NIC through the CPU.",
          "NCCL documentation, Troubleshooting, PCI Access Control Services"),
    _rule("iommu", WARNING, "D10 D33", "serving",
          "The IOMMU is off or passes through for the planned devices; a note where it translates lazily.", "failures D33"),
    _rule("registration", ERROR, "D10 D12", "verify", "The transfer backend can register GPU memory on the host.",
          "Failed to register memory: Bad address: sglang#6193; DMA BUF supported required: Mooncake#3538"),
    _rule("peermem-build", ERROR, "D10 D11", "rdma", "A module nvidia_peermem that is wanted was built for the ib_core that runs.",
          "nvidia-peermem.c of NVIDIA's open kernel modules: without the interface its init is return -EINVAL"),
    _rule("memlock", ERROR, "D30", "verify", "The units may lock all memory.",
          "reg_mr: Cannot allocate memory: Mooncake#1382; systemd ignores limits.conf; drop-ins of service.d are read after the unit"),
    _rule("map-count", NOTE, "D30", "serving", "vm.max_map_count is 16777216 or more.", "failures D30"),
    # Packages and libraries
    _rule("libstdcxx", ERROR, "D21", "stack", "The C++ library is new enough for the stack's Mooncake.",
          "libstdc++.so.6: version GLIBCXX_3.4.30 not found: Mooncake#2586"),
    _rule("glibc", ERROR, "D21", "stack", "The C library is new enough for the stack's Mooncake.",
          "tags of the wheels: 0.3.8.post1 manylinux_2_35, 0.3.12.post1 manylinux_2_28"),
    _rule("python-path", ERROR, "D22 D23", "engine",
          "No directory comes before the stack's own packages; a warning where one does that has none of them.",
          "common_ops.abi3.so: undefined symbol: sglang#5247; Python documentation, PYTHONPATH"),
    _rule("site-packages", WARNING, "D22 D23", "engine",
          "No stack sees torch, NCCL or kernels of the system's or users' packages; a note where they are there and unseen.",
          "Python documentation, site: a virtual environment sees neither unless include-system-site-packages is true"),
    _rule("library-path", ERROR, "D20", "engine", "LD_LIBRARY_PATH names no other UCX, NCCL or NVSHMEM; a warning for UCX without NIXL.",
          "NIXL_ERR_BACKEND with two UCX installations: nixl#503"),
    _rule("preload", WARNING, "D21", "engine", "Nothing outside of the plan is loaded into every process.",
          "a libstdc++ preloaded for all programs in the field cluster: failures D21"),
    _rule("system-libraries", NOTE, "D20", "engine", "The loader's cache knows no other UCX, NCCL or NVSHMEM.",
          "HPC-X in /etc/ld.so.conf.d: nixl#492"),
    _rule("nccl-file", WARNING, "D34", "serving", "No nccl.conf sets what the plan does not know of.",
          "NCCL documentation: /etc/nccl.conf and ~/.nccl.conf"),
    # Of the checks themselves
    _rule("internal", WARNING, "", "preflight", "Every check can be carried out; if one cannot, that is a fault of this collection.", "-"),
)
RULES = dict(TABLE)
