# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wanted of a host, in one piece."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple

PORTS = "net.ipv4.ip_local_reserved_ports"
CLASS_MODULE = "rdma_cm"


@dataclass(frozen=True)
class Port:
    """A port of an RDMA device with its network device."""

    device: str
    port: int
    netdev: str

    @property
    def name(self) -> str:
        """The port as C(device:port)."""
        return f"{self.device}:{self.port}"


@dataclass(frozen=True)
class Limit:
    """A line of limits.d; C(kind) is soft, hard or C(-) for both."""

    domain: str
    kind: str
    item: str
    value: str


@dataclass(frozen=True)
class Wanted:
    """The whole set.

    :ivar sysctl: exact values.
    :ivar least: values that may be higher.
    :ivar reserved_ports: ports that no outgoing connection gets.
    :ivar priority: of the traffic class; by default that of its DSCP.
    """

    modules: Tuple[str, ...] = ()
    sysctl: Dict[str, str] = field(default_factory=dict)
    least: Dict[str, int] = field(default_factory=dict)
    reserved_ports: Tuple[int, ...] = ()
    limits: Tuple[Limit, ...] = ()
    udev_rules: Tuple[str, ...] = ()
    drop_ins: Dict[str, Dict[str, Dict[str, str]]] = field(default_factory=dict)
    default_memlock: str = ""
    rails: Tuple[Port, ...] = ()
    trust: Optional[str] = None
    pfc: Optional[Tuple[int, ...]] = None
    priority: Optional[int] = None
    traffic_class: Optional[int] = None

    @property
    def dscp(self) -> Optional[int]:
        """The DSCP of the traffic class, whose two low bits are ECN's."""
        return None if self.traffic_class is None else self.traffic_class >> 2

    @property
    def mapping(self) -> Optional[Tuple[int, int]]:
        """DSCP and priority that the ports must map it to; None where nothing is asked for."""
        if self.dscp is None or self.priority is None:
            return None
        return self.dscp, self.priority

    @property
    def bridging(self) -> bool:
        """Whether trust, flow control or the DSCP map is to be set, for which a tool is needed."""
        return self.trust is not None or self.pfc is not None or self.mapping is not None


def module_name(name: str) -> str:
    """Return a module's name as the kernel writes it."""
    return name.replace("-", "_")


def canonical(key: str) -> str:
    """Return a sysctl key with dots between its parts, and a slash for a dot in one (eth0/100), as sysctl.d takes it."""
    first = re.search("[./]", key)
    if first and first.group(0) == "/":
        return "".join({"/": ".", ".": "/"}.get(letter, letter) for letter in key)
    return key


def value_text(value: Any) -> str:
    """Return a value as the kernel shows it: words with one blank between them."""
    if isinstance(value, bool):
        value = int(value)
    return " ".join(str(value).split())
