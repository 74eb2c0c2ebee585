# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cases of RDMA and the way between GPUs and NICs."""

from __future__ import annotations

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import ERROR, NEEDLESS, NOTE, OK, UNKNOWN, WARNING
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostcheck.changes import (
    INFINIBAND,
    LINK_LOCAL,
    MEMORY,
    OWN,
    PEER,
    VERDICT,
    ZERO,
    Case,
    both,
    file,
    gid,
    gid_type,
    gone,
    grouped,
    mode,
    nothing,
    pci,
    plan,
    rank,
    rdma,
    told,
    unaddressed,
)
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostcheck.world import (
    DRIVER,
    KERNEL,
    cpu_world,
    gpu_address,
    nic_address,
)
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import config_space

RDMA: dict[str, list[Case]] = {
    "rdma-device": [
        Case(ERROR, gone("/sys/class/infiniband/mlx5_7"), "the plan uses mlx5_7, and the host's RDMA devices are mlx5_0, mlx5_1"),
        Case(ERROR, file("/sys/class/infiniband/mlx5_2/ports/1/state", "1: DOWN"), "mlx5_2:1 (ens2np0) is DOWN, not ACTIVE"),
        Case(ERROR, rdma(rails=[{"device": "mlx5_0", "port": 2}]), "mlx5_0 has no port 2"),
        Case(OK, rdma(rails=[], ports=["mlx5_0:1"]), ""),
        Case(OK, rdma(rails=None, ports=None, devices=["mlx5_0"]), ""),
        Case(UNKNOWN, gone("/sys/class/infiniband/mlx5_2/ports/1/state"), "the state of mlx5_2:1 cannot be read"),
        Case(UNKNOWN, rdma(rails=[], ports=[], devices=[]), "names no RDMA device"),
        Case(NEEDLESS, nothing, "no RDMA", cpu_world),
    ],
    "rdma-node": [
        Case(ERROR, gone("/dev/infiniband/uverbs3"), "mlx5_3 has no device file for programs: /dev/infiniband/uverbs3 is missing"),
        Case(ERROR, gone("/sys/class/infiniband_verbs"), "mlx5_0 has no device file"),
        Case(WARNING, mode("dev/infiniband/uverbs3", 0o660), "mode 0660"),
        Case(UNKNOWN, gone("/sys/class/infiniband"), "no planned port"),
        Case(NEEDLESS, nothing, "no RDMA", cpu_world),
    ],
    "rdma-gid": [
        Case(ERROR, gid(2, 3, ZERO), "mlx5_2:1 GID index 3 is empty: has ens2np0 lost its address?"),
        Case(ERROR, gid(2, 3, "fe80:0000:0000:0000:0000:0000:0000:0001"), "a link-local address"),
        Case(ERROR, both(told(2, 2), gid(2, 2, LINK_LOCAL), gid_type(2, 2, "RoCE v2")), "is 169.254.1.1, a link-local address"),
        Case(OK, both(gid(2, 3, LINK_LOCAL), unaddressed(2)), ""),
        Case(ERROR, gid(2, 3, "0000:0000:0000:0000:0000:ffff:c000:0263"), "is 192.0.2.99, planned is 192.0.2.3"),
        Case(ERROR, file("/sys/class/infiniband/mlx5_2/ports/1/gid_attrs/types/3", "IB/RoCE v1"), "is v1, not RoCE v2"),
        Case(ERROR, told(1, 2), "mlx5_1:1 GID index 2 is v1"),
        Case(ERROR, told(1, 9), "mlx5_1:1 GID index 9 is empty"),
        Case(OK, told(1, None), ""),
        Case(ERROR, both(told(1, None), gid(1, 3, ZERO)), "no RoCE v2 GID of a global address"),
        Case(UNKNOWN, gone("/sys/class/infiniband/mlx5_2/ports/1/gid_attrs/types/3"), "the type of mlx5_2:1 GID index 3"),
        Case(UNKNOWN, gone("/sys/class/infiniband"), "no planned port"),
        Case(NEEDLESS, INFINIBAND, "no planned port is RoCE"),
        Case(NEEDLESS, nothing, "no RDMA", cpu_world),
    ],
    "rdma-mtu": [
        Case(WARNING, file("/sys/class/net/ens4np0/mtu", "1500"), "mlx5_4:1 sends packets of 1024 bytes: ens4np0 has MTU 1500"),
        Case(OK, file("/sys/class/net/ens4np0/mtu", "4200"), ""),
        Case(UNKNOWN, gone("/sys/class/net/ens4np0/mtu"), "the MTU of mlx5_4:1"),
        Case(NEEDLESS, INFINIBAND, "no planned port is RoCE"),
    ],
    "nic-link": [
        Case(WARNING, pci(nic_address(6), "current_link_speed", "16.0 GT/s PCIe"), "mlx5_6 runs at 16.0 GT/s x16"),
        Case(WARNING, pci(nic_address(6), "current_link_width", "4"), "x4, both ends can do 32.0 GT/s x16"),
        Case(UNKNOWN, gone(f"/sys/bus/pci/devices/{nic_address(6)}/current_link_width"), "the PCIe link of mlx5_6"),
        Case(UNKNOWN, gone("/sys/class/infiniband"), "no planned device"),
        Case(
            NEEDLESS,
            both(gone("/sys/class/infiniband"), lambda world: world.host.soft("mlx5_0", "ens0np0"), rdma(rails=[], ports=["mlx5_0:1"])),
            "soft ones",
        ),
        Case(NEEDLESS, nothing, "no RDMA", cpu_world),
    ],
    "acs": [
        Case(WARNING, pci("0000:12:00.0", "config", config_space("downstream", 0x1D)), "through the CPU at 0000:12:00.0"),
        Case(UNKNOWN, both(*(pci(f"0000:{bus + offset:02x}:0{place}.0", "config", config_space("downstream", 0, 64))
                             for bus in range(0x10, 0x90, 0x10) for offset, place in ((0, 1), (1, 0), (2, 0), (2, 1))),
                           pci("0000:f0:01.0", "config", b"")), "cannot be read"),
        # No planned GPU is below that switch.
        Case(OK, both(pci("0000:72:00.0", "config", config_space("downstream", 0x1D)), rank(gpus=[0])), ""),
        Case(NEEDLESS, both(rank(gpus=[0]), rdma(rails=[], ports=["mlx5_7:1"])), "no PCIe switch joins"),
        Case(NEEDLESS, plan(rdma=None), "no GPU exchanges"),
    ],
    "iommu": [
        Case(WARNING, file("/sys/kernel/iommu_groups/7/type", "DMA"), "strict"),
        Case(NOTE, file("/sys/kernel/iommu_groups/7/type", "DMA-FQ"), "lazy"),
        Case(
            WARNING, both(file("/sys/kernel/iommu_groups/7/type", "DMA"), grouped(gpu_address(3), 7), grouped(nic_address(0), 0)), "strict",
        ),
        Case(OK, both(file("/sys/kernel/iommu_groups/7/type", "DMA"), grouped(gpu_address(3), 0), grouped(nic_address(0), 0)), ""),
        Case(
            OK, both(file("/sys/kernel/iommu_groups/7/type", "DMA"), grouped(gpu_address(7), 7), grouped(gpu_address(0), 0),
                     rank(gpus=[0])), "",
        ),
        Case(UNKNOWN, gone("/sys/kernel/iommu_groups"), "is not there"),
        Case(NEEDLESS, plan(rdma=None), "no GPU exchanges"),
    ],
    "registration": [
        Case(
            ERROR, rdma(registration={**VERDICT, "ok": False, "why": "cannot register GPU memory", "alternative": "the open driver"}),
            "cannot register",
        ),
        Case(
            NOTE, rdma(registration={**VERDICT, "needs": ["load nvidia_peermem, now and at boot"]}),
            "still to be done: load nvidia_peermem",
        ),
        Case(UNKNOWN, rdma(registration={**VERDICT, "ok": None, "why": "nobody knows"}), "nobody knows"),
        Case(OK, rdma(registration=None), ""),
        Case(UNKNOWN, gone("/sys/module/nvidia_peermem"), "is not known"),
        Case(
            ERROR, both(rdma(registration=None), gone("/sys/module/nvidia_peermem"),
                        file(f"/lib/modules/{KERNEL}/modules.dep", "kernel/x.ko:"),
                        file("/proc/driver/nvidia/version", f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {DRIVER}")),
            "no nvidia_peermem module",
        ),
        Case(NEEDLESS, plan(rdma=None), "no RDMA"),
    ],
    "peermem-build": [
        Case(
            ERROR,
            both(
                gone("/sys/module/nvidia_peermem"), file(f"/lib/modules/{KERNEL}/modules.dep", PEER.format(needs="updates/dkms/nvidia.ko")),
            ),
            "built without ib_core's peer memory interface",
        ),
        Case(
            ERROR, both(gone("/sys/module/nvidia_peermem"), file("/proc/kallsyms", "0 T ib_register_client"),
                        file(f"/lib/modules/{KERNEL}/modules.dep", PEER.format(needs="updates/dkms/nvidia.ko.zst kernel/ib_core.ko"))),
            "has no ib_register_peer_memory_client",
        ),
        Case(
            OK, both(gone("/sys/module/nvidia_peermem"), file("/proc/kallsyms", "0 T ib_register_peer_memory_client"),
                     file(f"/lib/modules/{KERNEL}/modules.dep", PEER.format(needs="updates/dkms/nvidia.ko updates/ib-core.ko.xz"))), "",
        ),
        Case(ERROR, both(gone("/sys/module/nvidia_peermem"), file(f"/lib/modules/{KERNEL}/modules.dep", "kernel/x.ko:")), "no such module"),
        Case(UNKNOWN, gone("/sys/module/nvidia_peermem"), "list of the kernel's modules"),
        Case(NEEDLESS, rdma(modules=[]), "does not need nvidia_peermem"),
    ],
    "memlock": [
        Case(ERROR, file("/etc/systemd/system/service.d/l.conf", "[Service]\nLimitMEMLOCK=8M\n"), "may lock 8388608 bytes"),
        Case(
            OK, both(file("/etc/systemd/system/service.d/l.conf", "[Service]\nLimitMEMLOCK=4T\n"), file("/proc/meminfo", MEMORY)), "",
        ),
        Case(
            ERROR, both(file("/etc/systemd/system/service.d/l.conf", "[Service]\nLimitMEMLOCK=1T\n"), file("/proc/meminfo", MEMORY)),
            "may lock 1099511627776 bytes",
        ),
        Case(WARNING, file(f"/etc/systemd/system/{OWN}", "[Service]\nExecStart=/x\n"), "may lock systemd's default"),
        Case(OK, file(f"/etc/systemd/system/{OWN}", "[Service]\nLimitMEMLOCK=infinity\n"), ""),
        Case(
            ERROR, both(file(f"/etc/systemd/system/{OWN}", "[Service]\nLimitMEMLOCK=infinity\n"),
                        file(f"/etc/systemd/system/{OWN}.d/l.conf", "[Service]\nLimitMEMLOCK=1G\n")), "may lock 1073741824 bytes",
        ),
        Case(OK, file("/etc/systemd/system.conf", "[Manager]\nDefaultLimitMEMLOCK=8M\n"), ""),
        Case(NEEDLESS, nothing, "no RDMA", cpu_world),
    ],
    "map-count": [
        Case(NOTE, file("/proc/sys/vm/max_map_count", "65530"), "vm.max_map_count is 65530"),
        Case(UNKNOWN, file("/proc/sys/vm/max_map_count", "x"), "cannot be read"),
        Case(NEEDLESS, nothing, "no RDMA", cpu_world),
    ],
}
