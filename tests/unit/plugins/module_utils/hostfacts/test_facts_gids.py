# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GID tables: which slots are read, and which index is the port's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import gids
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.gather import gather
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import Host, gid

LINK_LOCAL = "fe80::5054:ff:fe00:1"


def table(rows: dict[int, str]) -> list[dict[str, Any]]:
    """Return GID facts; a row is type, address, network device."""
    found = []
    for index, text in rows.items():
        kind, address, ndev = text.split()
        full = gid(address)
        found.append({"index": index, "gid": full, "type": kind, "ndev": ndev, "ipv4": gids.ipv4(full)})
    return found


# What the table holds, the port's own network device, the port's own index, and the one that NCCL takes by itself.
TABLES: dict[str, tuple[dict[int, str], str, int | None, int | None]] = {
    "mlx5, one address": (
        {0: f"v1 {LINK_LOCAL} e1", 1: f"v2 {LINK_LOCAL} e1", 2: "v1 192.0.2.1 e1", 3: "v2 192.0.2.1 e1"}, "e1", 3, 3,
    ),
    "soft-RoCE and others without v1": ({0: f"v2 {LINK_LOCAL} e1", 1: "v2 192.0.2.1 e1"}, "e1", 1, 1),
    "stable privacy address before it": (
        {0: f"v1 {LINK_LOCAL} e1", 1: f"v2 {LINK_LOCAL} e1", 2: "v1 fe80::1 e1", 3: "v2 fe80::1 e1",
         4: "v1 192.0.2.1 e1", 5: "v2 192.0.2.1 e1"},
        "e1", 5, 5,
    ),
    "tunnel with the bond's address before it": (
        {0: f"v1 {LINK_LOCAL} bond0", 1: f"v2 {LINK_LOCAL} bond0", 2: "v1 192.0.2.1 vxlan1", 3: "v2 192.0.2.1 vxlan1",
         4: "v1 192.0.2.1 bond0", 5: "v2 192.0.2.1 bond0"},
        "bond0", 5, 3,
    ),
    "address moved to a late slot": ({0: f"v1 {LINK_LOCAL} e1", 1: f"v2 {LINK_LOCAL} e1", 8: "v2 192.0.2.1 e1"}, "e1", 8, 8),
    "head of a pair": ({0: f"v2 {LINK_LOCAL} e1", 3: "v1 192.0.2.1 e1", 4: "v2 192.0.2.1 e1"}, "e1", 4, 4),
    "zeroconf address before the real one": (
        {0: f"v1 {LINK_LOCAL} e1", 1: f"v2 {LINK_LOCAL} e1", 2: "v1 169.254.7.7 e1", 3: "v2 169.254.7.7 e1", 5: "v2 192.0.2.1 e1"},
        "e1", 5, 3,
    ),
    "only a zeroconf address": ({1: f"v2 {LINK_LOCAL} e1", 3: "v2 169.254.7.7 e1"}, "e1", 3, 3),
    "VLAN before the port": (
        {0: f"v2 {LINK_LOCAL} e1", 1: f"v2 {LINK_LOCAL} e1.100", 2: "v2 198.51.100.1 e1.100", 3: "v2 192.0.2.1 e1"}, "e1", 3, 2,
    ),
    "only the VLAN has an address": ({0: f"v2 {LINK_LOCAL} e1", 2: "v2 198.51.100.1 e1.100"}, "e1", 2, 2),
    "IPv6 only": ({0: f"v1 {LINK_LOCAL} e1", 1: f"v2 {LINK_LOCAL} e1", 3: "v2 2001:db8::1 e1"}, "e1", 3, 0),
    "IPv4 behind IPv6": ({1: f"v2 {LINK_LOCAL} e1", 3: "v2 2001:db8::1 e1", 5: "v2 192.0.2.1 e1"}, "e1", 5, 5),
    "address lost": ({0: f"v2 {LINK_LOCAL} e1", 1: "v2 fe80::1 e1"}, "e1", None, 0),
    "two addresses": ({3: "v2 192.0.2.1 e1", 5: "v2 192.0.2.2 e1"}, "e1", 3, 3),
    "RoCE v1 only": ({0: f"v1 {LINK_LOCAL} e1", 1: "v1 192.0.2.1 e1"}, "e1", None, 1),
    "other namespace's": ({0: "v2 192.0.2.1 e9"}, "e1", 0, 0),
    "empty": ({}, "e1", None, None),
}


@pytest.mark.parametrize(("rows", "own", "index", "nccl"), TABLES.values(), ids=TABLES)
def test_index(tmp_path: Path, rows: dict[int, str], own: str, index: int | None, nccl: int | None) -> None:
    assert gids.nccl_choice(table(rows)) == nccl
    host = Host(tmp_path)
    host.netdev(own)
    host.soft("mlx5_0", own, gids=rows, slots=16)
    port = host.port("mlx5_0")
    assert (port["rocev2_gid_index"], port["nccl_auto_gid_index"]) == (index, nccl)
    assert port["netdev"] == own
    assert [row["index"] for row in port["gids"]] == sorted(rows)


def test_what_the_own_gid_is() -> None:
    rows = table({0: f"v2 {LINK_LOCAL} e1", 4: "v2 192.0.2.1 e1"})
    assert gids.own(rows, ["e1"]) == {"index": 4, "kind": "ipv4", "address": "192.0.2.1", "ndev": "e1"}
    assert gids.own(rows[:1], ["e1"]) == {"index": 0, "kind": "ipv6-link-local", "address": gid(LINK_LOCAL), "ndev": "e1"}


class Kernel(Root):
    """Reads a tree as the kernel lets it be read: types and network devices of empty slots, and of foreign GIDs, give EINVAL."""

    foreign = ()

    def data(self, path: str, limit: int = 65536, cut: bool = False) -> bytes | None:
        head, name = path.rsplit("/", 1)
        if head.endswith(("/types", "/ndevs")):
            value = super().data(f"{head.rsplit('/', 2)[0]}/gids/{name}") or b""
            if int(name) in self.foreign or value.startswith(b"0000:0000:0000:0000:0000:0000"):
                self.complain(path, 22)
                return None
        return super().data(path, limit, cut)


@pytest.mark.parametrize(("foreign", "errors", "index"), [((), 0, 1), ((1,), 2, None)], ids=["empty slots", "another namespace's GID"])
def test_slots_that_cannot_be_read(tmp_path: Path, foreign: tuple[int, ...], errors: int, index: int | None) -> None:
    host = Host(tmp_path)
    path = host.soft("mlx5_0", "ens4", gids={0: f"v2 {LINK_LOCAL} ens4", 1: "v2 192.0.2.1 ens4"}, slots=64)
    for slot in range(2, 64):
        host.files(f"{path}/ports/1/gid_attrs", {f"types/{slot}": "", f"ndevs/{slot}": ""})
    root = Kernel(str(tmp_path))
    root.foreign = foreign
    facts = gather(root, ["rdma"])
    (port,) = facts["devices"][0]["ports"]
    assert [row["index"] for row in port["gids"]] == [0, 1]
    assert port["gids"][1]["type"] == ("v2" if not foreign else None)
    assert port["rocev2_gid_index"] == index
    assert (len(facts["errors"]), set(facts["errors"].values())) == (errors, {"EINVAL"} if errors else set())


@pytest.mark.parametrize(
    ("slots", "last", "found", "reads"),
    [(256, 255, True, 256), (1024, 64, True, 129), (1024, 65, False, 65), (1024, 200, False, 65)],
    ids=["small tables are read to the end", "large with a gap of 63", "large with a gap of 64", "large with a long gap"],
)
def test_large_tables(tmp_path: Path, slots: int, last: int, found: bool, reads: int) -> None:
    host = Host(tmp_path)
    host.soft("mlx5_0", "ens4", gids={0: f"v2 {LINK_LOCAL} ens4", last: "v2 192.0.2.1 ens4"}, slots=slots)
    root = Root(str(tmp_path))
    rows, size = gids.table(root, "/sys/class/infiniband/mlx5_0/ports/1", infiniband=False)
    assert size == slots
    assert (last in [row["index"] for row in rows]) == found
    # One listing, and type and network device of the used slots.
    assert root.reads - 1 - 2 * len(rows) == reads


def test_infiniband_slots_have_no_types(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.nic("mlx5_0", layer="InfiniBand", gids={0: "IB fe80::a088:c203:e3:142a -"}, slots=4)
    port = host.port("mlx5_0")
    assert port["gids"] == [{"index": 0, "gid": "fe80:0000:0000:0000:a088:c203:00e3:142a", "type": "IB", "ndev": None, "ipv4": None}]
    assert port["guid"] == "a088:c203:00e3:142a"
    assert (port["rocev2_gid_index"], port["nccl_auto_gid_index"], port["active_mtu"]) == (None, None, None)


@pytest.mark.parametrize("text", ["", "zzzz", "fe80", "fe80:0000:0000:0000:0000:0000:0000:000g", "\x00\x00", "fe80::1"])
def test_garbage_is_no_gid(tmp_path: Path, text: str) -> None:
    host = Host(tmp_path)
    host.soft("mlx5_0", "ens4", gids={1: "v2 192.0.2.1 ens4"})
    host.file("/sys/devices/virtual/infiniband/mlx5_0/ports/1/gids/0", text)
    facts = host.facts(["rdma"])
    assert facts["devices"][0]["ports"][0]["rocev2_gid_index"] == 1
    assert facts["errors"] == {"/sys/devices/virtual/infiniband/mlx5_0/ports/1/gids/0": "EBADMSG"}
