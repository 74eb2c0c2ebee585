# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a call asks of a host's filter, and what the parts of this package give each other."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

FABRIC, MANAGEMENT = "fabric", "management"
FIREWALLD, NFTABLES = "firewalld", "nftables"
#: Only a soft device (rxe) needs it.
SOFT_ROCE = "soft-roce"
#: A zone's name has 17 characters at most.
NAMES = {FABRIC: "railyard-fabric", MANAGEMENT: "railyard-mgmt"}
VARIABLES = {"clients": "network_firewall_clients", "monitoring": "network_firewall_monitoring",
             "controllers": "network_firewall_controllers"}
RAILS = "rails of engines"


@dataclass(frozen=True)
class Flow:
    """A connection that must be possible.

    :ivar address: the host's address that is dialled, empty for any.
    :ivar port: a port, or two with a dash.
    :ivar sources: networks that it comes from; None is from anywhere.
    :ivar source: who connects, for a person.
    """

    scope: str
    address: str
    protocol: str
    port: str
    purpose: str
    sources: Optional[Tuple[str, ...]]
    source: str = ""
    needed: str = "always"

    @property
    def ports(self) -> Tuple[int, int]:
        """Return its first and its last port."""
        first, _dash, last = self.port.partition("-")
        return int(first), int(last or first)


@dataclass(frozen=True)
class Wanted:
    """What a call asks for.

    :ivar fabric_interfaces: that the plan names: of the fabric address, and of the rails.
    :ivar addresses: on the fabric's side, those of the plan that the host must have.
    :ivar management_address: empty where it is not known.
    :ivar controllers: networks that SSH comes from, empty for anywhere.
    :ivar take: whether an interface that is in a zone of the operator's may be taken from it.
    """

    present: bool = True
    provider: str = FIREWALLD
    flows: Tuple[Flow, ...] = ()
    fabric_interfaces: Tuple[str, ...] = ()
    addresses: Tuple[str, ...] = ()
    management_address: str = ""
    controllers: Tuple[str, ...] = ()
    take: bool = False


@dataclass(frozen=True)
class Connection:
    """The controller's connection over SSH.

    :ivar client: address that it comes from.
    :ivar local: address of this host.
    :ivar port: of the SSH server.
    """

    client: str
    local: str
    port: int


@dataclass(frozen=True)
class Rule:
    """What a zone lets in.

    :ivar family: 4 or 6, 0 for both.
    :ivar sources: None for anywhere.
    :ivar destination: empty for any address of the zone's interfaces.
    """

    family: int
    sources: Optional[Tuple[str, ...]]
    destination: str
    protocol: str
    port: str
    purpose: str

    @property
    def comment(self) -> str:
        """Return what it is for, without what would end a comment of XML or a text of nft."""
        return re.sub("-+", "-", re.sub(r"[^A-Za-z0-9_ .,:;/+()-]", "?", self.purpose))[:100]


@dataclass(frozen=True)
class Zone:
    """Interfaces that are treated alike.

    :ivar rules: in the order of the plan, each once.
    """

    scope: str
    interfaces: Tuple[str, ...]
    rules: Tuple[Rule, ...]

    @property
    def name(self) -> str:
        """Return how the zone is called."""
        return NAMES[self.scope]


@dataclass(frozen=True)
class Profile:
    """A profile of NetworkManager that is active on an interface.

    :ivar path: its file, empty where it has none that can be edited.
    :ivar zone: the zone that it names, None where it names none.
    """

    uuid: str
    device: str
    name: str
    path: str
    content: bytes = b""
    zone: Optional[str] = None


@dataclass(frozen=True)
class Runtime:
    """A zone of a firewalld that runs, as it lists it.

    :ivar opened: services, ports, rich rules and whatever else lets something in or changes it, as it is listed.
    """

    target: str = "default"
    interfaces: Tuple[str, ...] = ()
    sources: Tuple[str, ...] = ()
    rich: Tuple[str, ...] = ()
    opened: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Host:
    """A host's interfaces and who asks.

    :ivar addresses: address to interface.
    :ivar interfaces: that are there.
    :ivar connection: None where the controller is not connected by SSH.
    :ivar soft_roce: soft RDMA devices.
    :ivar listening: address and port of the TCP sockets that listen.
    """

    addresses: Dict[str, str] = field(default_factory=dict)
    interfaces: Tuple[str, ...] = ()
    connection: Optional[Connection] = None
    soft_roce: Tuple[str, ...] = ()
    listening: Tuple[Tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Seen:
    """A host as it is.

    :ivar files: content by path of the files that are ours by their names, and of the zones of the operator.
    :ivar linked: whether the unit of the table of ours is started at a boot.
    :ivar runtime: zones of the firewalld that runs by name, None where none does.
    :ivar default_zone: of firewalld.
    :ivar ruleset: what C(nft -j list ruleset) lists, None where it was not asked or says nothing.
    :ivar pending: whether a change of an earlier run is not confirmed.
    """

    host: Host = field(default_factory=Host)
    files: Dict[str, bytes] = field(default_factory=dict)
    linked: bool = False
    profiles: Tuple[Profile, ...] = ()
    runtime: Optional[Dict[str, Runtime]] = None
    default_zone: str = "public"
    ruleset: Optional[List[Any]] = None
    record: Dict[str, Any] = field(default_factory=dict)
    pending: bool = False


@dataclass
class Plan:
    """What is done.

    :ivar files: content by path, None for a file that goes.
    :ivar linked: whether the unit of the table of ours shall be started at a boot; None leaves that alone.
    :ivar reload: firewalld reads its files again.
    :ivar manager: NetworkManager reads its profiles again.
    :ivar touched: file to UUID of the profiles whose zone it shall take over on interfaces that are active.
    :ivar moves: interface to the zone that it gets at run time.
    :ivar leaves: interface that is not there any more to the zone of ours that still lists it.
    :ivar load: the table of ours is loaded (true) or removed (false); None leaves it alone.
    :ivar faults: why nothing must be changed: variable, fault, fix.
    :ivar record: what is to be remembered afterwards.
    :ivar forget: whether what was remembered goes.
    """

    files: Dict[str, Optional[bytes]] = field(default_factory=dict)
    linked: Optional[bool] = None
    reload: bool = False
    manager: bool = False
    touched: Dict[str, str] = field(default_factory=dict)
    moves: Dict[str, str] = field(default_factory=dict)
    leaves: Dict[str, str] = field(default_factory=dict)
    load: Optional[bool] = None
    faults: List[str] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)
    record: Dict[str, Any] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """Whether anything is done."""
        return bool(self.files or self.reload or self.moves or self.leaves) or self.load is not None or self.linked is not None

    def actions(self) -> List[str]:
        """Return what is done, a sentence each."""
        found = [f"{'remove' if content is None else 'write'} {path}" for path, content in self.files.items()]
        found += ["let firewalld read its files again"] if self.reload else []
        found += ["let NetworkManager read its profiles again"] if self.manager else []
        found += [f"move {name} to zone {zone}" for name, zone in self.moves.items()]
        found += [f"take {name} out of zone {zone}" for name, zone in self.leaves.items()]
        if self.load is not None:
            found.append("load the table inet railyard_sglang" if self.load else "remove the table inet railyard_sglang")
        return found
