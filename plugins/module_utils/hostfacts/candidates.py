# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ports can carry data at all: what is known of each port by itself and by its speed, before any comparison of places."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.locality import Locality
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.ports import ACTIVE, ETHERNET, LAYERS, Port, inside, named

# What asks the operator back: the variable that answers each question.
VARIABLES = {
    "include": "sglang_rdma_devices",
    "exclude": "sglang_rdma_exclude",
    "link_layer": "sglang_rdma_link_layer",
    "min_rate_gbps": "sglang_rdma_min_rate_gbps",
    "expected_devices": "sglang_rdma_expected_devices",
    "expected_rate_gbps": "sglang_rdma_expected_rate_gbps",
    "address_range": "sglang_rdma_address_range",
    "gpu_map": "sglang_rdma_device_map",
}
# What stands for itself in every list and environment file that names go into. Topology files may have PCI addresses for names.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*|[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
# The kernel's names of node types that have reliable connections over InfiniBand or RoCE; EFA's is the second.
USABLE_TYPES = ("", "CA", "UNSPECIFIED")


@dataclass(frozen=True)
class Options:
    """What an operator says about his hosts; all of it may stay unsaid.

    :ivar include: exactly these devices (name, name:port or PCI address), in this order; None lets the facts decide.
    :ivar exclude: never these.
    :ivar min_rate_gbps: slower ports carry no data.
    :ivar expected_devices: number of data devices that every host must have.
    :ivar expected_rate_gbps: rate that every data port must have.
    :ivar link_layer: InfiniBand or Ethernet; auto lets the facts decide.
    :ivar address_range: network that holds the addresses of all data ports, for example C(192.0.2.0/24).
    :ivar gpu_map: devices of every GPU, by index.
    :ivar whole_map: whether the map must have every GPU; who knows which of them are used may do with less.
    """

    include: Optional[Sequence[str]] = None
    exclude: Sequence[str] = ()
    min_rate_gbps: Optional[float] = None
    expected_devices: Optional[int] = None
    expected_rate_gbps: Optional[float] = None
    link_layer: str = "auto"
    address_range: Optional[str] = None
    gpu_map: Optional[Dict[Any, Any]] = None
    whole_map: bool = True


def gbps(rate: Optional[float]) -> str:
    """Return a rate as people write it."""
    return "unknown rate" if rate is None else f"{rate:g} Gb/s"


def labels(ports: Sequence[Port]) -> str:
    """Return the names of some ports."""
    return ", ".join(port.label for port in ports)


@dataclass
class Narrowed:
    """Ports in the running, and why the others are out of it.

    :ivar down: hardware that would be in the running if it were ACTIVE.
    :ivar question: what only the operator can answer, or None.
    """

    locality: Locality
    options: Options
    ports: List[Port] = field(default_factory=list)
    down: List[Port] = field(default_factory=list)
    left_out: Dict[str, str] = field(default_factory=dict)
    reasons: List[str] = field(default_factory=list)
    question: Optional[Dict[str, Any]] = None

    def drop(self, keep: Callable[[Port], bool], why: Callable[[Port], str]) -> List[Port]:
        """Leave out the ports that a rule does not keep, and return them."""
        dropped = [port for port in self.ports if not keep(port)]
        self.left_out.update({port.key: why(port) for port in dropped})
        self.ports = [port for port in self.ports if keep(port)]
        return dropped

    def keep(self, ports: Sequence[Port], why: str) -> None:
        """Go on with some ports only, all others being left out for one reason."""
        keys = {port.key for port in ports}
        self.drop(lambda port: port.key in keys, lambda port: why)

    def ask(self, option: str, text: str, candidates: Sequence[Sequence[Port]]) -> None:
        """Ask the operator, unless an earlier question is open or the expected number of devices answers this one."""
        expected = self.options.expected_devices
        answers = [row for row in candidates if expected and len(row) == expected]
        if len(answers) == 1 and option == "include":
            variable = VARIABLES["expected_devices"]
            self.reasons.append(f"{variable} is {expected}: {labels(answers[0])}")
            self.keep(answers[0], f"not among the {expected} devices of {variable}")
        elif self.question is None:
            self.question = {
                "question": text,
                "variable": VARIABLES[option],
                "candidates": [[port.label for port in row] for row in candidates],
            }


def _by_itself(port: Port, options: Options, excluded: Any) -> str:
    """Return why a port can never carry data, or an empty text."""
    if named(port, excluded):
        return f"excluded by {VARIABLES['exclude']}"
    if not NAME.fullmatch(port.device):
        return "its name does not fit into a list of devices"
    if port.plane_management:
        return "management device of a multi-plane card"
    if port.representor:
        return "representor of a virtual function or subfunction"
    if port.node_type.upper() not in USABLE_TYPES:
        return f"node type {port.node_type}: has no reliable connections over InfiniBand or RoCE"
    if port.layer not in LAYERS:
        return f"link layer {port.layer or 'unreadable'}"
    if options.link_layer not in ("auto", port.layer):
        return f"{port.layer}, and {VARIABLES['link_layer']} is {options.link_layer}"
    return ""


def usable(ports: Sequence[Port], locality: Locality, options: Options) -> Narrowed:
    """Return the ACTIVE ports that may carry data, whatever their rate, with the hardware that is not ACTIVE apart."""
    state = Narrowed(locality, options, list(ports))
    excluded = set(options.exclude)
    state.drop(lambda port: not _by_itself(port, options, excluded), lambda port: _by_itself(port, options, excluded))
    hardware = [port for port in state.ports if not port.soft]
    if hardware:
        state.drop(lambda port: not port.soft, lambda port: "soft device, and the host has hardware")
    state.down = [port for port in hardware if port.state != ACTIVE and not port.virtual_function]
    state.drop(lambda port: port.state == ACTIVE, lambda port: f"{port.state}, not {ACTIVE}")
    if options.address_range:
        network = options.address_range
        state.drop(
            lambda port: port.layer != ETHERNET or inside(port, network),
            lambda port: f"no address in {network} ({VARIABLES['address_range']})",
        )
    return state


def without_virtual_functions(state: Narrowed) -> None:
    """Leave out virtual functions of cards that are here themselves, and all of them beside cards that are as fast."""
    physical = [port for port in state.ports if not port.virtual_function]
    owners = {port.pci: port.label for port in physical if port.pci}
    best = max((port.rate or 0.0 for port in physical), default=-1.0)
    state.drop(
        lambda port: not port.virtual_function or (port.parent not in owners and (port.rate or 0.0) > best),
        lambda port: f"virtual function or subfunction of {owners[port.parent]}" if port.parent in owners
        else f"virtual function or subfunction, and the host has physical ones of {gbps(best)}",
    )


def fastest(state: Narrowed) -> None:
    """Keep the fastest ports, and ask where that may be the wrong ones."""
    slow = state.options.min_rate_gbps
    if slow:
        state.drop(lambda port: (port.rate or 0.0) >= slow, lambda port: f"{gbps(port.rate)}, below {VARIABLES['min_rate_gbps']}")
    rates = sorted({port.rate for port in state.ports if port.rate is not None}, reverse=True)
    if not rates:
        return
    top = [port for port in state.ports if port.rate == rates[0]]
    for rate in rates[1:]:
        rival = _rival([port for port in state.ports if port.rate == rate], top, state)
        if rival:
            state.ask("include", rival[0], [top, rival[1]])
    best = max(port.rate for port in state.ports if port.rate is not None)
    state.drop(lambda port: port.rate == best, lambda port: f"{gbps(port.rate)}, slower than {gbps(best)}")


def _rival(slower: List[Port], top: List[Port], state: Narrowed) -> Optional[Tuple[str, List[Port]]]:
    """Return why slower ports may be the data ports nevertheless, and which ones."""
    where = state.locality
    gpus = len(where.gpus)
    near = where.on_switch(slower)
    both = f"{len(top)} port(s) of {gbps(top[0].rate)} ({labels(top)})"
    weight, other = sum(port.bandwidth for port in near), sum(port.bandwidth for port in top)
    if where.covers(near) and not where.covers(top) and weight >= other:
        return f"{both} are faster, but {len(near)} of {gbps(near[0].rate)} share a PCIe switch with every GPU: which carry data?", near
    if len(slower) > len(top) and any(port.bandwidth >= (top[0].rate or 0.0) for port in slower):
        return f"{both} and {len(slower)} bonds of the same rate over all legs ({labels(slower)}): which carry data?", slower
    if gpus and len(slower) % gpus == 0 and len(top) < gpus and sum(port.bandwidth for port in slower) >= other and not where.covers(top):
        return f"{both} are faster, but {len(slower)} of {gbps(slower[0].rate)} fit {gpus} GPUs: which carry data?", slower
    return None
