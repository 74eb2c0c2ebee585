# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of a virtual machine, from its description."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.lab import pci_layouts
from ansible_collections.railyard.sglang.plugins.module_utils.lab.rails import Card, management_tap, tap
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import Bind

PROGRAM = "qemu-system-x86_64"

#: MiB for translated code: with less, the code of a boot is translated again and again.
TRANSLATION_CACHE_MB = 256

#: What QEMU takes besides the host's memory and the translated code.
OVERHEAD_MB = 100

#: vmxnet3 tells its guest of a link that is cut and has its NUMA node below it; virtio's and Intel's models lack one or the other.
CARD_MODEL = "vmxnet3"


@dataclass(frozen=True)
class Machine:
    """A virtual machine; files by their paths."""

    name: str
    lab: str
    group: str
    memory_mb: int
    cpus: int
    kernel: str
    ram_disk: str
    disk: str
    console: str
    monitor: str
    management_mac: str
    cards: tuple[Card, ...]
    shares: tuple[Bind, ...]
    kernel_arguments: str


def kernel_arguments(clock_khz: int, more: str) -> str:
    """Return the kernel's command line.

    Args:
        clock_khz: frequency of this machine's time stamp counter, 0 where it is unknown: an emulated processor on a busy machine
            measures it wrongly now and then, and its clock then runs several times too fast.
        more: the operator's, behind the lab's own.
    """
    words = ["root=/dev/vda", "rw", "console=ttyS0", "loglevel=4", "mitigations=off", "tsc=reliable", "no_timer_check"]
    words += ["random.trust_cpu=on", *([f"tsc_early_khz={clock_khz}"] if clock_khz else [])]
    return " ".join([*words, *([more] if more else [])])


def clock_khz(cpuinfo: str) -> int:
    """Return the time stamp counter's frequency from the text of /proc/cpuinfo, which has twice its MHz; 0 where it has not."""
    for line in cpuinfo.splitlines():
        name, _colon, value = line.partition(":")
        if name.strip() == "bogomips":
            return int(float(value) * 500)
    return 0


def escaped(text: str) -> str:
    """Return a value of an option: QEMU takes a comma for the next one's beginning unless it is doubled."""
    return text.replace(",", ",,")


def memory(machine: Machine) -> list[str]:
    """Return the options of two NUMA nodes, each with half of the memory; one processor belongs to the first."""
    first = machine.memory_mb // 2
    words = []
    for node, size in enumerate((first, machine.memory_mb - first)):
        begin, end = (machine.cpus + 1) // 2 * node, (machine.cpus + 1) // 2 if node == 0 else machine.cpus
        cpus = f",cpus={begin}-{end - 1}" if end > begin else ""
        words += ["-object", f"memory-backend-ram,id=memory{node},size={size}M"]
        words += ["-numa", f"node,nodeid={node},memdev=memory{node}{cpus}"]
    return words


def card_options(card: Card, host: str) -> list[str]:
    """Return the options of one card: a host bridge on its NUMA node, a port, the card, and what connects it."""
    rail, slot = card.rail, card.slot
    place = f"bus=pcie.0,addr=0x{pci_layouts.FIRST_BRIDGE_SLOT + rail:x}"
    port = f"bus=port{rail},addr=0.{slot.function}"
    words = ["-device", f"pxb-pcie,id=bridge{rail},{place},bus_nr={slot.bridge_bus},numa_node={slot.numa_node}"]
    # Without hot plugging the kernel makes no slot, after which the interface would be named.
    words += ["-device", f"pcie-root-port,id=port{rail},bus=bridge{rail},chassis={rail + 1},slot={rail + 1},hotplug=off,io-reserve=0"]
    if slot.function:
        spare = card.mac.replace("02:00:", "02:01:", 1)
        words += ["-device", f"{CARD_MODEL},id=spare{rail},bus=port{rail},addr=0.0,multifunction=on,mac={spare},romfile="]
    words += ["-netdev", f"tap,id=link{rail},ifname={tap(host, rail)},script=no,downscript=no,vhost=off"]
    return [*words, "-device", f"{CARD_MODEL},id=card{rail},netdev=link{rail},{port},mac={card.mac},romfile="]


def share_options(shares: Sequence[Bind]) -> list[str]:
    """Return the options of the directories that a host sees."""
    words = []
    for number, share in enumerate(shares):
        read_only = ",readonly=on" if share.read_only else ""
        words += ["-fsdev", f"local,id=share{number},path={escaped(share.src)},security_model=none,multidevs=remap{read_only}"]
        slot = f"bus=pcie.0,addr=0x{pci_layouts.FIRST_SHARE_SLOT + number:x}"
        words += ["-device", f"virtio-9p-pci,fsdev=share{number},mount_tag={share_tag(number)},{slot},disable-legacy=on"]
    return words


def share_tag(number: int) -> str:
    """Return the name under which a host mounts a directory."""
    return f"share{number}"


def command(machine: Machine) -> list[str]:
    """Return the command that runs a virtual machine in the foreground.

    The processor is always an emulated one: where /dev/kvm is there and not usable, QEMU would hang or end.
    """
    management = f"bus=pcie.0,addr=0x{pci_layouts.MANAGEMENT_SLOT:x},mac={machine.management_mac},romfile=,disable-legacy=on"
    words = [PROGRAM, "-name", f"railyard-{machine.lab}-{machine.name}", "-nodefaults", "-no-user-config"]
    words += ["-M", "q35,usb=off,smbus=off,sata=off,vmport=off", "-accel", f"tcg,thread=multi,tb-size={TRANSLATION_CACHE_MB}"]
    words += ["-cpu", "max", "-smp", str(machine.cpus), "-m", str(machine.memory_mb), *memory(machine)]
    words += ["-display", "none", "-vga", "none", "-kernel", machine.kernel, "-initrd", machine.ram_disk]
    words += ["-append", machine.kernel_arguments]
    words += ["-drive", f"if=none,id=disk,file={escaped(machine.disk)},format=qcow2,cache=unsafe,discard=unmap"]
    words += ["-device", f"virtio-blk-pci,drive=disk,bus=pcie.0,addr=0x{pci_layouts.DISK_SLOT:x},disable-legacy=on"]
    words += ["-netdev", f"tap,id=management,ifname={management_tap(machine.name)},script=no,downscript=no,vhost=off"]
    words += ["-device", f"virtio-net-pci,id=management0,netdev=management,{management}"]
    words += ["-object", "rng-random,id=random,filename=/dev/urandom"]
    words += ["-device", f"virtio-rng-pci,rng=random,bus=pcie.0,addr=0x{pci_layouts.RANDOM_SLOT:x}"]
    words += ["-smbios", f"type=1,manufacturer=railyard,product={machine.group or 'lab'}-server,serial={machine.lab}-{machine.name}"]
    words += ["-serial", f"file:{machine.console}", "-qmp", f"unix:{machine.monitor},server=on,wait=off"]
    return [*words, *(word for card in machine.cards for word in card_options(card, machine.name)), *share_options(machine.shares)]
