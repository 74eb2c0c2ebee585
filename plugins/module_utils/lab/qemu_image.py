# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk image that all virtual machines of a lab share: a kernel, a ram disk, and a root file system with RDMA tools.

It is made of the same package sources and by the same program as the root of systemd-nspawn hosts.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.lab import image, initrd
from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.looks import FILE_CONTEXTS, LOOKS
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import Runner, demand

#: To be raised when build_machine_image itself changes what it makes.
MACHINE_RECIPE = 1

KERNELS = {"x86_64": "linux-image-amd64"}

PACKAGES = (
    "busybox-static",
    "ethtool",
    "firewalld",
    "ibverbs-utils",
    "infiniband-diags",
    "iputils-ping",
    "kmod",
    "libibverbs1",
    "librdmacm1",
    # /etc/protocols, without which firewalld ends.
    "netbase",
    "numactl",
    "pciutils",
    "perftest",
    "python3-nftables",
    "rdma-core",
)

#: Of the kernel's drivers and file systems these are of use in the lab; all others stay out of the image.
KEPT_DRIVERS = (
    "block/*",
    "char/hw_random/*",
    "dma-buf/*",
    "infiniband/core/*",
    "infiniband/hw/mlx5/*",
    "infiniband/sw/*",
    "infiniband/ulp/ipoib/*",
    "net/bonding/*",
    "net/dummy.ko*",
    "net/ethernet/mellanox/*",
    "net/ifb.ko*",
    "net/ip*vlan/*",
    "net/macvlan.ko*",
    "net/mdio/*",
    "net/net_failover.ko*",
    "net/tun.ko*",
    "net/veth.ko*",
    "net/virtio_net.ko*",
    "net/vmxnet3/*",
    "net/vrf.ko*",
    "net/vxlan/*",
    "virtio/*",
)
KEPT_FILE_SYSTEMS = (
    "9p/*",
    "autofs/*",
    "configfs/*",
    "ext4/*",
    "fscache/*",
    "fuse/*",
    "jbd2/*",
    "mbcache.ko*",
    "netfs/*",
    "nls/*",
    "overlayfs/*",
)
LEFT_OUT = ("arch/x86/kvm/*", "sound/*", "net/bluetooth/*", "net/can/*", "net/mac80211/*", "net/sctp/*", "net/tipc/*", "net/wireless/*")

#: Names the soft-RoCE devices as real ones are named. Interfaces are told by their hardware address: their names may change.
_SOFT_ROCE = """#!/bin/sh
# rxe.conf has a line per device: its name and the hardware address of its interface.
set -u
modprobe rdma_rxe
udevadm settle --timeout=60
failed=0
while read -r device mac; do
  [ -n "$device" ] && [ ! -e "/sys/class/infiniband/$device" ] || continue
  interface=$(grep -ilx "$mac" /sys/class/net/*/address | head -n 1)
  interface=${interface%/address}
  if [ -z "$interface" ]; then
    echo "no interface has the address $mac" >&2
    failed=1
    continue
  fi
  rdma link add "$device" type rxe netdev "${interface##*/}" || failed=1
done < /etc/railyard-lab/rxe.conf
exit $failed
"""

FILES = {
    **image.FILES,
    "usr/local/sbin/railyard-soft-roce": _SOFT_ROCE,
    "etc/systemd/system/railyard-soft-roce.service": (
        "[Unit]\nDescription=Soft-RoCE devices named as real ones\nConditionPathExists=/etc/railyard-lab/rxe.conf\n"
        # At a boot that undoes a renaming, names change: not while devices are made by them.
        "After=systemd-udev-trigger.service railyard-nic-names-boot.service\nBefore=network-pre.target ssh.service\n"
        "Wants=network-pre.target\n\n"
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/local/sbin/railyard-soft-roce\nTimeoutStartSec=180\n\n"
        "[Install]\nWantedBy=multi-user.target\n"
    ),
    "etc/systemd/system/multi-user.target.d/railyard-soft-roce.conf": "[Unit]\nWants=railyard-soft-roce.service\n",
    # Root's own service manager stays: to start one costs each way in 3 s of an emulated processor.
    "var/lib/systemd/linger/root": "",
}

#: Unlike a systemd-nspawn host, a virtual machine has a kernel, consoles and modules of its own. What is listed here
#: costs seconds of an emulated processor and serves nothing in a machine without uplink, screen and users.
MASKED_UNITS = (
    *(unit for unit in image.MASKED_UNITS if unit.endswith(".timer") or unit in {"e2scrub_reap.service", "getty@tty1.service"}),
    "ModemManager.service",
    "NetworkManager-wait-online.service",
    "e2scrub_all.service",
    "modprobe@drm.service",
    "serial-getty@ttyS0.service",
    "systemd-binfmt.service",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-pstore.service",
    "systemd-rfkill.service",
    "systemd-rfkill.socket",
    "systemd-update-utmp-runlevel.service",
    "systemd-update-utmp.service",
)

#: Installed, and started by whoever wants it: its start takes a quarter of a minute on an emulated processor.
DISABLED_UNITS = ("firewalld.service",)

#: Measured: the root takes 0.6 GB, its packages while it is built and the disk made of it as much again each.
BUILD_DISK_MB = 2500

#: Size of a host's disk as it sees it; what it has not written takes no room here.
DISK_SIZE_MB = 12288

KERNEL, RAM_DISK, DISK = "vmlinuz", "initrd.img", "root.raw"


def package_options() -> list[str]:
    """Return mmdebstrap's options that keep useless drivers, and the making of a second ram disk, out of the image."""
    kernel = "/lib/modules/*/kernel"
    excluded = ["/etc/kernel/postinst.d/initramfs-tools", "/usr/share/locale/*"]
    excluded += [f"{kernel}/{each}" for each in ("drivers/*", "fs/*", *LEFT_OUT)]
    included = [f"{kernel}/drivers/{each}" for each in KEPT_DRIVERS] + [f"{kernel}/fs/{each}" for each in KEPT_FILE_SYSTEMS]
    return [*(f"--dpkgopt=path-exclude={each}" for each in excluded), *(f"--dpkgopt=path-include={each}" for each in included)]


@dataclass(frozen=True)
class MachineRecipe(image.Recipe):
    """Everything that a virtual machine's image depends on."""

    look: str = "debian"

    def files(self) -> dict[str, str]:
        """Return the lab's files in the image."""
        return {**FILES, **LOOKS[self.look].files}

    def digest(self) -> str:
        """Return the name of the image: 12 hexadecimal digits over the content of the recipe."""
        content = {
            "recipe": [image.RECIPE, MACHINE_RECIPE],
            "suite": self.suite,
            "architecture": self.architecture,
            "packages": sorted(set(self.packages)),
            "sources": self.sources,
            "options": package_options(),
            "files": self.files(),
            "labelled": LOOKS[self.look].labelled,
            "masked": MASKED_UNITS,
            "disabled": DISABLED_UNITS,
            "removed": image.REMOVED,
            "ram disk": [initrd.DISK_MODULES, initrd.archive(initrd.base_files(b"", ())).hex()],
            "size": DISK_SIZE_MB,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def make_machine_recipe(
    extra_packages: Sequence[str],
    suite: str = "",
    source_paths: Sequence[Path] = (),
    root: Path = Path("/"),
    look: str = "debian",
) -> MachineRecipe:
    """Return the recipe for this machine; arguments and errors as those of image.make_recipe, and what hosts look like."""
    recipe = image.make_recipe([*PACKAGES, *LOOKS[look].packages, *extra_packages], suite, source_paths, root)
    kernel = KERNELS.get(recipe.architecture)
    if kernel is None:
        raise LabError(
            f"Virtual machines are built for {', '.join(KERNELS)} only, and this machine is {recipe.architecture}: take lab_backend nspawn"
        )
    return MachineRecipe(recipe.suite, recipe.architecture, (*recipe.packages, kernel), recipe.sources, look)


def machine_image_path(recipe: Optional[MachineRecipe], images: Path) -> Optional[Path]:
    """Return the finished image of a recipe, or None."""
    return image.image_path(recipe, images)


def ram_disk(root: Path) -> bytes:
    """Return the initial ram disk for the kernel of a root. Raises LabError where that has none."""
    kernels = sorted((root / "lib/modules").glob("*/modules.dep"))
    if not kernels:
        raise LabError(f"{root} has no kernel modules: the package {KERNELS['x86_64']} was not installed")
    dependencies = kernels[-1]
    order = initrd.module_order(dependencies.read_text(encoding="ascii"), initrd.DISK_MODULES)
    modules = [initrd.unpacked(name, (dependencies.parent / name).read_bytes()) for name in order]
    return initrd.archive(initrd.base_files((root / "bin/busybox").read_bytes(), modules))


def disable(root: Path, units: Sequence[str]) -> None:
    """Undo what the packages of units have enabled below a root."""
    for path in list((root / "etc/systemd/system").rglob("*")):
        if path.is_symlink() and path.readlink().name in units:
            path.unlink()


def label(root: Path, runner: Runner) -> None:
    """Give the files of a root the labels of its own policy. Raises LabError where that fails."""
    # setfiles finds files by /proc, which is mounted for it alone; without -m it would leave out what this machine has no labels on.
    script = 'mount -t proc proc "$1/proc" && exec chroot "$1" /sbin/setfiles -m -e /proc -F "$2" /'
    demand(runner, ["unshare", "--mount", "sh", "-c", script, "sh", str(root), FILE_CONTEXTS], "label the files of the image")


def build_machine_image(recipe: MachineRecipe, images: Path, runner: Runner) -> Path:
    """Build the image unless it is there, beside its place, and move it there when it is whole.

    Raises:
        LabError: the build failed; the text has the end of its output.
    """
    final = images / recipe.digest()
    if final.is_dir():
        return final
    with image.build_directory(images, recipe.digest()) as build:
        root = image.install_packages(recipe, build, runner, package_options())
        image.customise(root, recipe.files(), MASKED_UNITS)
        disable(root, DISABLED_UNITS)
        if LOOKS[recipe.look].labelled:
            label(root, runner)
        parts = build / "parts"
        parts.mkdir()
        (parts / RAM_DISK).write_bytes(ram_disk(root))
        kernels = sorted((root / "boot").glob("vmlinuz-*"))
        kernels[-1].rename(parts / KERNEL)
        disk = parts / DISK
        with disk.open("wb") as file:
            file.truncate(DISK_SIZE_MB << 20)
        make = ["mke2fs", "-q", "-t", "ext4", "-O", "^metadata_csum", "-E", "lazy_itable_init=1,nodiscard", "-m", "0"]
        demand(runner, [*make, "-L", "root", "-d", str(root), str(disk)], f"make a disk of the root {root}")
        demand(runner, ["sync", "--file-system", str(disk)], "write the image to the disk")
        parts.rename(final)
    return final
