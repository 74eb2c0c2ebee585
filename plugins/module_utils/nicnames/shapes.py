# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the parts of the NIC renaming give to each other: a host as it is, what is wanted, and what would be done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple

#: What was, before this collection renamed anything. Only texts, numbers, lists and dictionaries: it is a JSON file on the host.
Record = Dict[str, Any]


@dataclass(frozen=True)
class Nic:
    """A network device.

    :ivar mac: the address in use; of a bond's port it is the bond's.
    :ivar permanent_mac: the card's own address, empty where there is none.
    :ivar pci: address of the PCI function, empty where there is none.
    :ivar id_path: ID_PATH of the device in udev's database, for example C(pci-0000:0c:00.0).
    :ivar port_name: phys_port_name, for example C(p0); of a representor C(pf0vf3).
    :ivar kind: kind of a virtual device (bond, vlan, ...), empty for a card's port.
    :ivar lower: devices that it lies on.
    :ivar addresses: with prefix length.
    :ivar link_file: the .link file that udev applied, empty where it is not known.
    :ivar rdma: RDMA devices of it.
    :ivar management: whether the controller's connection runs over it.
    """

    name: str
    index: int = 0
    mac: str = ""
    permanent_mac: str = ""
    driver: str = ""
    pci: str = ""
    id_path: str = ""
    port_name: str = ""
    virtual_function: bool = False
    kind: str = ""
    altnames: Tuple[str, ...] = ()
    up: bool = False
    mtu: int = 0
    master: str = ""
    lower: Tuple[str, ...] = ()
    addresses: Tuple[str, ...] = ()
    link_file: str = ""
    rdma: Tuple[str, ...] = ()
    management: bool = False

    @property
    def identity(self) -> str:
        """What tells this card's port from others at the next boot, too: the permanent address, else the PCI address, else the name."""
        return self.permanent_mac or self.pci or self.name


@dataclass(frozen=True)
class Profile:
    """A connection of NetworkManager.

    :ivar path: its file; empty where NetworkManager keeps it in memory.
    :ivar device: the device on which it is active, empty where it is not.
    """

    uuid: str
    id: str
    type: str = ""
    path: str = ""
    device: str = ""
    interface_name: str = ""
    mac_address: str = ""


@dataclass(frozen=True)
class Seen:
    """A host as it is.

    :ivar files: content of every file whose structure is known and that may name an interface (keyfiles, ifcfg and their siblings,
        .link files, udev rules, sysctl.d, firewalld's zones and policies), and of every file of an earlier run's record.
    :ivar shadowed: files among them that cannot be rewritten: below /run and /usr/lib.
    :ivar systemd: version of udev, 0 where nothing tells it.
    :ivar manager: whether NetworkManager runs.
    :ivar connected: device to UUID of the profile that NetworkManager has it connected with.
    :ivar record: of earlier runs.
    :ivar serving: units of engines that run.
    :ivar unknown: what must be known before anything changes and is not, with the fix.
    :ivar root_mount: what the root file system is mounted from and how, where that is over the network (NFS).
    :ivar modes: permissions of the files.
    :ivar soft: RDMA devices that are made of software, which udev does not name.
    :ivar errors: file that is there and could not be read to the name of the error.
    """

    nics: Tuple[Nic, ...] = ()
    profiles: Tuple[Profile, ...] = ()
    files: Dict[str, bytes] = field(default_factory=dict)
    shadowed: Tuple[str, ...] = ()
    systemd: int = 252
    manager: bool = False
    connected: Mapping[str, str] = field(default_factory=dict)
    record: Record = field(default_factory=dict)
    serving: Tuple[str, ...] = ()
    unknown: Tuple[str, ...] = ()
    kernel_arguments: str = ""
    root_mount: str = ""
    modes: Dict[str, int] = field(default_factory=dict)
    soft: Tuple[str, ...] = ()
    errors: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class WantedNic:
    """One interface as it is to be. One of mac, pci and rail finds it.

    :ivar mac: permanent address.
    :ivar mtu: None leaves it alone.
    :ivar rdma: name of its RDMA device, empty leaves it alone.
    """

    name: str
    mac: str = ""
    pci: str = ""
    rail: Optional[int] = None
    mtu: Optional[int] = None
    rdma: str = ""

    def text(self) -> str:
        """Return how it is found, for messages."""
        return f"rail {self.rail}" if self.rail is not None else f"PCI {self.pci}" if self.pci else f"MAC {self.mac}"


@dataclass(frozen=True)
class Wanted:
    """What a call asks for.

    :ivar rails: rail of the GPU map to the name that its interface has now.
    :ivar carries: interfaces that a serving instance uses; None for all.
    :ivar stale: refuse or remove what would beat the names at the next boot: udev rules with NAME=, earlier .link files.
    :ivar at_boot: the names change at the next boot, not now.
    """

    present: bool = True
    nics: Tuple[WantedNic, ...] = ()
    rails: Dict[int, str] = field(default_factory=dict)
    carries: Optional[Tuple[str, ...]] = None
    stale: str = "refuse"
    at_boot: bool = False
    remap: bool = False
    allow_management: bool = False
    allow_disruption: bool = False


@dataclass(frozen=True)
class Rename:
    """A device that gets another name."""

    identity: str
    before: str
    after: str


@dataclass(frozen=True)
class FileChange:
    """A file that is written, or removed.

    :ivar before: None where there is none.
    :ivar after: None where it goes.
    :ivar like: path of the file whose mode, owner and SELinux context it takes; empty for a new one, which has the mode and the default
        context.
    :ivar secret: whether its content must not be shown as it is.
    """

    path: str
    before: Optional[bytes]
    after: Optional[bytes]
    mode: int = 0o644
    like: str = ""
    secret: bool = False


@dataclass(frozen=True)
class Reference:
    """A place that names an interface and that no program may rewrite.

    :ivar text: the line, or why the whole file is listed.
    """

    path: str
    line: int
    name: str
    text: str


@dataclass(frozen=True)
class Row:
    """One interface of the dry run."""

    before: str
    after: str
    pci: str
    mac: str
    rail: Optional[int]
    networks: Tuple[str, ...]
    management: bool = False
    mtu_before: int = 0
    mtu_after: int = 0
    rdma_before: str = ""
    rdma_after: str = ""


@dataclass
class Plan:
    """What would be done.

    :ivar mtus: name after the change to the MTU that is set live.
    :ivar rdma: RDMA device to its new name.
    :ivar faults: why nothing must be changed: host rule, fault, fix.
    :ivar consent: what would be refused without consent, each naming its variable.
    :ivar record: the record after it.
    :ivar names: name in files to its new one, of interfaces and of RDMA devices: what else names them has to follow.
    """

    rows: List[Row] = field(default_factory=list)
    renames: List[Rename] = field(default_factory=list)
    files: List[FileChange] = field(default_factory=list)
    mtus: Dict[str, int] = field(default_factory=dict)
    rdma: Dict[str, str] = field(default_factory=dict)
    faults: List[str] = field(default_factory=list)
    consent: List[str] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)
    references: List[Reference] = field(default_factory=list)
    record: Record = field(default_factory=dict)
    names: Dict[str, str] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """Whether anything would be done."""
        return bool(self.renames or self.files or self.mtus or self.rdma)
