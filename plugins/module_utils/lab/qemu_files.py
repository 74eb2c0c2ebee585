# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a virtual machine's own, which its ram disk brings to its disk at its first boot."""

from __future__ import annotations

import uuid
from typing import Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.lab.hostfiles import connection_profile, hosts_file
from ansible_collections.railyard.sglang.plugins.module_utils.lab.initrd import SEED, File, archive
from ansible_collections.railyard.sglang.plugins.module_utils.lab.pci_layouts import MANAGEMENT_INTERFACE
from ansible_collections.railyard.sglang.plugins.module_utils.lab.qemu_args import share_tag
from ansible_collections.railyard.sglang.plugins.module_utils.lab.rails import RAIL_MTU, cards
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import Bind, HostRecord, Record

_PROFILES = "etc/NetworkManager/system-connections"


def soft_roce(host: HostRecord, fabric_network: str) -> str:
    """Return the list of a host's soft-RoCE devices: name and hardware address; routers have none."""
    if host.group == "router":
        return ""
    return "".join(f"{card.device} {card.mac}\n" for card in cards(host, fabric_network))


def mounts(shares: Sequence[Bind]) -> str:
    """Return /etc/fstab: the disk, and directories of this machine, mounted when they are first used."""
    lines = ["/dev/vda / ext4 defaults,noatime 0 0"]
    for number, share in enumerate(shares):
        access = "ro" if share.read_only else "rw"
        options = f"trans=virtio,version=9p2000.L,msize=262144,{access},noauto,nofail,x-systemd.automount"
        lines.append(f"{share_tag(number)} {share.dst} 9p {options} 0 0")
    return "\n".join(lines) + "\n"


def rail_names(record: Record) -> str:
    """Return lines of /etc/hosts with each host's name on each rail."""
    return "".join(f"{card.address} {host.name}-rail{card.rail}\n" for host in record.hosts for card in cards(host, record.fabric_network))


def profile_uuid(interface: str, address: str) -> str:
    """Return what identifies the profile of an interface, the same each time; as every profile that was not written by hand has it."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"railyard-lab:{interface}:{address}"))


def own_files(record: Record, host: HostRecord, public_key: str, host_key: str) -> dict[str, tuple[str, int]]:
    """Return the files that make a copy of the image this host: path below its root, text and mode."""
    identity = profile_uuid(MANAGEMENT_INTERFACE, host.management_address)
    management = connection_profile(MANAGEMENT_INTERFACE, host.management_address, record.management_network, uuid=identity)
    files = {
        "etc/hostname": (f"{host.name}\n", 0o644),
        "etc/hosts": (hosts_file(record, host) + rail_names(record), 0o644),
        "etc/fstab": (mounts(host.binds), 0o644),
        f"{_PROFILES}/{MANAGEMENT_INTERFACE}.nmconnection": (management, 0o600),
        "root/.ssh/authorized_keys": (public_key, 0o600),
        "etc/ssh/ssh_host_ed25519_key": (host_key, 0o600),
    }
    for card in cards(host, record.fabric_network):
        identity = profile_uuid(card.interface, card.address)
        profile = connection_profile(card.interface, card.address, card.network, RAIL_MTU, identity)
        files[f"{_PROFILES}/{card.interface}.nmconnection"] = (profile, 0o600)
    devices = soft_roce(host, record.fabric_network)
    if devices:
        files["etc/railyard-lab/rxe.conf"] = (devices, 0o644)
    return files


def own_archive(record: Record, host: HostRecord, public_key: str, host_key: str) -> bytes:
    """Return what is appended to the image's ram disk to make it this host's."""
    files = own_files(record, host, public_key, host_key)
    content = {f"{SEED}/{path}": File(text.encode(), mode) for path, (text, mode) in files.items()}
    return archive(content, {f"{SEED}/root", f"{SEED}/root/.ssh"})
