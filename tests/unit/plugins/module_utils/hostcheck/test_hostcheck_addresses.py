# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GIDs of ports whose data addresses are on VLANs or of IPv6: what was planned from the same host is right there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.checks import rdma
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.context import Context
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import Row
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.selection import Options, select
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostcheck.world import slice_of
from ansible_collections.railyard.sglang.tests.unit.support import addressed
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import Host, gid


def gids(root: Path, rails: list[dict[str, Any]]) -> list[Row]:
    """Return the lines about GIDs of a host with these rails planned."""
    plan = slice_of("cpu")
    plan["rdma"] = {"known": True, "device": "cpu", "backend": "mooncake", "rails": rails}
    context = Context(plan, Root(str(root)), lambda words: (127, "", words[0]))
    return [row for row in rdma.check(context) if row.rule == "preflight.rdma-gid"]


@pytest.mark.parametrize(("write", "network"), [
    (addressed.vlan, addressed.DATA),
    (addressed.vlan_beside_management, addressed.DATA),
    (addressed.vlan_beside_management, addressed.MANAGEMENT),
    (addressed.vlan_on_bonds, addressed.DATA),
    (addressed.storage_vlan, addressed.DATA),
    (addressed.ipv6, addressed.DATA6),
])
def test_what_was_planned_is_right(tmp_path: Path, write: Callable[[Host], Host], network: str) -> None:
    facts = write(Host(tmp_path)).facts()
    names = [row["name"] for row in facts["devices"]]
    rails = select(facts, Options(include=names, address_range=network))["rails"]
    assert [(row.state, row.found) for row in gids(tmp_path, rails)] == [("ok", "2 of 2 right")]


def test_two_addresses_of_a_port_that_have_changed_places(tmp_path: Path) -> None:
    host = addressed.vlan_beside_management(Host(tmp_path))
    rails = select(host.facts(), Options(address_range=addressed.DATA))["rails"]
    directory = "/sys/class/infiniband/mlx5_0/ports/1"
    for index, address, netdev in ((3, "198.51.100.5", "ens0.100"), (5, "192.0.2.5", "ens0")):
        host.files(directory, {f"gids/{index}": gid(address), f"gid_attrs/ndevs/{index}": netdev})
    (row,) = gids(tmp_path, rails)
    assert row.text == "mlx5_0:1 GID index 5 is 192.0.2.5, planned is 198.51.100.5"
