# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts a lab of a given shape has, and their addresses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Optional

from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError

#: Prefill host i has the network's address 10 + i, decode host i 110 + i, the router 210, the controller 1.
MOST_PER_POOL = 90
FIRST_PREFILL, FIRST_DECODE, ROUTER, CONTROLLER = 10, 110, 210, 1
SHORTEST_NETWORK = 24

#: Measured with the CPU stack: the five hosts of 2p2d, serving, take 3.9 GB together.
ENGINE_HOST_MEMORY_MB = 900
BASE_MEMORY_MB = 300

_SHAPE = re.compile(r"([1-9][0-9]?)p([1-9][0-9]?)d")
_NAME = re.compile(r"[a-z][a-z0-9]{0,15}")


@dataclass(frozen=True)
class Shape:
    """How many prefill and decode hosts."""

    prefill: int
    decode: int

    def __str__(self) -> str:
        return f"{self.prefill}p{self.decode}d"


@dataclass(frozen=True)
class LabHost:
    """One host of a lab; addresses without prefix length, memory in MiB."""

    name: str
    group: str
    management_address: str
    fabric_address: str
    memory_mb: int


def check_name(name: str) -> str:
    """Return a lab's name. Raises LabError where it is not one: it becomes part of namespace and machine names."""
    if not _NAME.fullmatch(name):
        raise LabError(f"name is '{name}': it must be 1 to 16 lower-case letters and digits, beginning with a letter, such as lab")
    return name


def parse_shape(text: str) -> Shape:
    """Read a shape such as 2p2d. Raises LabError with the grammar."""
    match = _SHAPE.fullmatch(text)
    shape = Shape(int(match[1]), int(match[2])) if match else None
    if shape is None or max(shape.prefill, shape.decode) > MOST_PER_POOL:
        raise LabError(
            f"shape is '{text}': it must be <prefill hosts>p<decode hosts>d with 1 to {MOST_PER_POOL} of each, "
            "such as 2p2d (default) or 1p1d (for machines with 8 GiB of memory)"
        )
    return shape


def nodes_per_instance(shape: Shape, asked: Optional[int] = None) -> int:
    """Return how many hosts form one engine instance: as asked, else 2 where both counts are even, else 1.

    Raises:
        LabError: the number asked for does not divide both counts.
    """
    if asked is None:
        return 2 if shape.prefill % 2 == 0 and shape.decode % 2 == 0 else 1
    if asked < 1 or shape.prefill % asked or shape.decode % asked:
        raise LabError(
            f"nodes_per_instance is {asked}, and shape {shape} has {shape.prefill} prefill and {shape.decode} decode "
            "hosts: it must be at least 1 and divide both counts; leave it unset for the default"
        )
    return asked


def lab_hosts(shape: Shape, management: IPv4Network, fabric: IPv4Network) -> list[LabHost]:
    """Return the hosts p0.., d0.., r0 with their addresses, which depend on the host's name and the networks only."""

    def host(name: str, group: str, offset: int, memory_mb: int) -> LabHost:
        return LabHost(name, group, str(management[offset]), str(fabric[offset]), memory_mb)

    prefill = [host(f"p{i}", "prefill", FIRST_PREFILL + i, ENGINE_HOST_MEMORY_MB) for i in range(shape.prefill)]
    decode = [host(f"d{i}", "decode", FIRST_DECODE + i, ENGINE_HOST_MEMORY_MB) for i in range(shape.decode)]
    return [*prefill, *decode, host("r0", "router", ROUTER, 0)]
