# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One engine process group and how its work is divided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sizes:
    """The parallel sizes of an instance, in SGLang's sense.

    :ivar dp_attention: data parallel attention: the C(dp) groups share the GPUs of C(tp). Without it each of C(dp) is a whole replica.
    """

    tp: int
    dp: int
    pp: int
    ep: int
    dp_attention: bool

    @property
    def attention_tp(self) -> int:
        """GPUs that share one attention layer."""
        return self.tp // self.dp if self.dp_attention else self.tp

    @property
    def gpus(self) -> int:
        """GPUs of the whole instance."""
        return self.tp * self.pp * (1 if self.dp_attention else self.dp)


@dataclass(frozen=True)
class Instance:
    """One engine process group: its hosts in rank order, and its part of the pool's settings.

    :ivar own_ports: keys of the ports that were written for this instance; they are not moved on a shared host.
    :ivar first_gpu: as written, -1 where it follows from the instances before.
    :ivar gpu: index of the first GPU on each host.
    """

    name: str
    pool: str
    mode: str
    hosts: tuple[str, ...]
    sizes: Sizes
    port: int
    bootstrap_port: int
    dist_init_port: int
    own_ports: frozenset[str]
    first_gpu: int
    launch: dict[str, Any]
    variable: str
    gpu: tuple[int, ...] = ()

    @property
    def head(self) -> str:
        """The host of rank 0."""
        return self.hosts[0]

    @property
    def nodes(self) -> int:
        """The number of hosts, one rank each."""
        return len(self.hosts)

    @property
    def gpus_per_host(self) -> int:
        """GPUs that a rank takes on its host."""
        return self.sizes.gpus // self.nodes

    @property
    def meets(self) -> bool:
        """Whether ranks find each other by --dist-init-addr: several hosts, or DP attention, whose processes talk over TCP."""
        return self.nodes > 1 or self.sizes.dp_attention

    def port_reason(self, key: str, of_pool: int) -> str:
        """Return why one of its ports has its number."""
        if key in self.own_ports:
            return f"{key} of {self.name}"
        number = getattr(self, key)
        return f"{key} of pool {self.pool}" if number == of_pool else f"the next one from {of_pool} on that is free on its hosts"

    def port_variable(self, key: str) -> str:
        """Return the variable that holds one of its ports."""
        return f"{self.variable if key in self.own_ports else 'sglang_pools.' + self.pool}.{key}"
