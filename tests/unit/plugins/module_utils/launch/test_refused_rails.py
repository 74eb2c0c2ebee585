# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rail addresses."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support.clusters import GONE, Refusal, gpu_cluster

RAILS = "sglang_rail_addresses"
HOSTS = ("p0", "p1", "d0", "d1")


def rails(number: int, devices: tuple[str, ...] = ("mlx5_0", "mlx5_3"), prefix: int = 28) -> dict[str, str]:
    """Return addresses of a host: rail i is in subnet i."""
    return {device: f"192.0.2.{index * 64 + number}/{prefix}" for index, device in enumerate(devices)}


def good(**changes: Any) -> dict[str, Any]:
    """Return changes that give every engine host two rails, one of them changed."""
    common: dict[str, Any] = {f"{host}:{RAILS}": rails(1 + index) for index, host in enumerate(HOSTS)}
    return {"sglang_rdma_devices": ["mlx5_0", "mlx5_3"], **common, **{f"{host}:{RAILS}": value for host, value in changes.items()}}


REFUSALS = {
    "no prefix": Refusal("rails.form", good(p0={**rails(1), "mlx5_0": "192.0.2.1"}), f"{RAILS}.mlx5_0", "is not a host's", host="p0"),
    "a network": Refusal("rails.form", good(p1={**rails(2), "mlx5_0": "192.0.2.0/28"}), f"{RAILS}.mlx5_0", "'192.0.2.0/28'", host="p1"),
    "a number": Refusal("rails.form", good(p1={**rails(2), "mlx5_3": 7}), f"{RAILS}.mlx5_3", "7 is not", host="p1"),
    "an unknown device": Refusal(
        "rails.device", good(d0={**rails(3), "mlx5_1": "192.0.2.200/28"}), f"{RAILS}.mlx5_1", "data devices mlx5_0, mlx5_3", host="d0"
    ),
    "the address of another host": Refusal("rails.twice", good(d1=rails(3)), f"{RAILS}.mlx5_0", "that of mlx5_0 on d0", host="d1"),
    "another host's fabric address": Refusal(
        "rails.twice", good(p1={**rails(2), "mlx5_0": "203.0.113.10/24"}), f"{RAILS}.mlx5_0", "the fabric address of p0", host="p1"
    ),
    "two rails in one subnet": Refusal(
        "rails.one-subnet", good(p0={"mlx5_0": "192.0.2.1/28", "mlx5_3": "192.0.2.5/28"}), f"{RAILS}.mlx5_3", "192.0.2.0/28", host="p0"
    ),
    "a rail without an address": Refusal("rails.incomplete", good(p0=rails(1, ("mlx5_0",))), RAILS, "mlx5_3 has no address", host="p0"),
    "a host without rails": Refusal("rails.missing", {**good(), f"d1:{RAILS}": GONE}, RAILS, "and p0, p1, d0 have", host="d1"),
    "another order": Refusal(
        "rails.differ", good(d1={"mlx5_0": "192.0.2.68/28", "mlx5_3": "192.0.2.4/28"}), RAILS,
        "rail 0 is in 192.0.2.64/28 here and in 192.0.2.0/28 on p0, and 1 more", host="d1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refused(refusal: Refusal) -> None:
    refusal.check(gpu_cluster())


ACCEPTED = {
    "none": {},
    "two rails": good(),
    "names that differ between hosts": {
        **good(), f"d1:{RAILS}": rails(4, ("mlx5_5", "mlx5_6")), "d1:sglang_rdma_devices": ["mlx5_5", "mlx5_6"],
    },
    "point to point": good(p0={**rails(1), "mlx5_0": "192.0.2.1/28"}),
    "one NIC carries the fabric address, too": good(p0={**rails(1), "mlx5_0": "203.0.113.10/24"}) | {"sglang_rails_routed": True},
    "routed rails": good(d1={"mlx5_0": "192.0.2.68/28", "mlx5_3": "192.0.2.4/28"}) | {"sglang_rails_routed": True},
    "IPv6": {
        "sglang_rdma_devices": ["mlx5_0"],
        **{f"{host}:{RAILS}": {"mlx5_0": f"2001:db8:1::{index + 1}/64"} for index, host in enumerate(HOSTS)},
    },
}  # fmt: skip


@pytest.mark.parametrize("changes", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(changes: dict[str, Any]) -> None:
    assert [found for found in gpu_cluster().change(changes).findings() if found.rule.startswith("rails.")] == []
