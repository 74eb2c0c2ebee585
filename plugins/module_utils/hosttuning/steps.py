# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the planners give and take: steps, and what was seen of a host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

#: What was, before this collection changed it. Only texts, numbers, lists and dictionaries: it is a JSON file on the host.
Record = Dict[str, Any]


@dataclass(frozen=True)
class Step:
    """One change.

    :ivar kind: file, link, load, unload, sysctl, command, put (a file of the kernel) or connection (rdma_cm's default).
    :ivar what: path, key, module or port.
    :ivar before: the live value, or an empty text.
    :ivar content: of a file; None where it goes.
    :ivar disrupts: what a serving instance would notice, or an empty text.
    """

    kind: str
    what: str
    before: str = ""
    after: str = ""
    content: Optional[bytes] = None
    argv: Tuple[str, ...] = ()
    disrupts: str = ""

    def text(self) -> str:
        """Return it as a sentence without an end."""
        if self.kind == "file":
            return f"{'write' if self.content is not None else 'remove'} {self.what}"
        if self.kind == "link":
            return f"{'make' if self.after else 'remove'} link {self.what}"
        if self.kind in ("load", "unload"):
            return f"{self.kind} module {self.what}"
        return f"set {self.what} to {self.after}"


@dataclass(frozen=True)
class ModuleSeen:
    """What modprobe says of a module: itself and what it needs, in the order of loading, or why it cannot be had."""

    closure: Tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Loaded:
    """A module that is loaded: number of users, and the modules among them."""

    users: int
    holders: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Bridge:
    """Trust, flow control and DSCP map of a network device.

    :ivar tool: mlnx_qos or dcb; empty where there is neither.
    :ivar priorities: DSCP to priority. With dcb, the entries; a device that has none trusts the VLAN tag.
    :ivar error: why nothing can be read.
    """

    tool: str = ""
    trust: Optional[str] = None
    pfc: Tuple[int, ...] = ()
    priorities: Dict[int, int] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class ClassSeen:
    """Traffic classes of a port.

    :ivar all_connections: of the driver, for all; -1 is unset, None is a driver without such a file.
    :ivar managed: of rdma_cm, for connections that it makes; None while rdma_cm is not loaded.
    """

    all_connections: Optional[int] = None
    managed: Optional[int] = None


@dataclass(frozen=True)
class Seen:
    """A host as it is.

    :ivar files: content of the files that have the role's names.
    :ivar alien: paths with such names that are no plain files.
    :ivar links: targets of the links that have the role's names.
    :ivar directories: directories among those that files need.
    :ivar leftovers: unfinished files of an interrupted run.
    :ivar sysctl: live values, None for a key that the kernel does not have.
    :ivar sysctl_files: the other sysctl.d files with their texts, in the order in which they are applied.
    :ivar forgetting: whether a run was interrupted while it removed the record.
    :ivar netdevs: network devices that are there, among those of bridges.
    :ivar serving: units of engines that run.
    """

    files: Dict[str, bytes] = field(default_factory=dict)
    alien: Tuple[str, ...] = ()
    links: Dict[str, str] = field(default_factory=dict)
    directories: Tuple[str, ...] = ()
    leftovers: Tuple[str, ...] = ()
    forgetting: bool = False
    sysctl: Dict[str, Optional[str]] = field(default_factory=dict)
    sysctl_files: Tuple[Tuple[str, str], ...] = ()
    modules: Dict[str, ModuleSeen] = field(default_factory=dict)
    loaded: Dict[str, Loaded] = field(default_factory=dict)
    bridges: Dict[str, Bridge] = field(default_factory=dict)
    netdevs: Tuple[str, ...] = ()
    classes: Dict[str, ClassSeen] = field(default_factory=dict)
    default_memlock: str = ""
    serving: Tuple[str, ...] = ()
    kernel: str = ""


@dataclass
class Part:
    """What one planner makes of its part.

    :ivar during: its part of the record while the steps are taken.
    :ivar final: its part of the record afterwards.
    :ivar faults: why nothing must be changed: variable, fault, fix.
    :ivar notes: what the operator should know.
    """

    steps: List[Step] = field(default_factory=list)
    during: Any = None
    final: Any = None
    faults: List[str] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)
