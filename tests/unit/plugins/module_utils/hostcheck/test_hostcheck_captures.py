# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RDMA checks on captures of real machines: soft-RoCE of a kernel 6.1, and an H100 host on InfiniBand."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.checks import rdma
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.context import Context
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import Row
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostcheck.world import slice_of
from ansible_collections.railyard.sglang.tests.unit.support.shared import capture
from ansible_collections.railyard.sglang.tests.unit.support.unpacking import unpack_into

INFINIBAND = [f"mlx5_{index}" for index in (0, 1, 4, 5, 6, 7, 8, 9)]


def looked(root: Path, **planned: Any) -> dict[str, list[Row]]:
    """Return the lines of the RDMA rules by rule."""
    plan = slice_of("cpu")
    plan["rdma"] = {"known": True, "device": "cpu", "backend": "mooncake", **planned}
    rows: dict[str, list[Row]] = {}
    for row in rdma.check(Context(plan, Root(str(root)), lambda words: (127, "", words[0]))):
        rows.setdefault(row.rule.partition(".")[2], []).append(row)
    return rows


@pytest.fixture(scope="module")
def soft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tree of a machine with two soft-RoCE devices."""
    place = tmp_path_factory.mktemp("rxe")
    with tarfile.open(capture("rxe-debian12/rxe-2dev.tar")) as archive:
        unpack_into(archive, place)
    return place


@pytest.mark.parametrize(
    ("index", "state", "text"),
    [(1, "ok", ""), (0, "", "GID index 0 is fe80:"), (3, "", "GID index 3 is empty"), (None, "ok", "")],
)
def test_the_gid_of_soft_roce(soft: Path, index: int | None, state: str, text: str) -> None:
    rows = looked(soft, devices=["mlx5_0", "mlx5_1"], gid_index=index)
    assert {row.state for row in rows["rdma-gid"]} == {state}
    assert len(rows["rdma-gid"]) == (1 if state else 2)
    for row in rows["rdma-gid"]:
        assert text in row.text
        assert bool(state) or row.fix == "the port's own is 1: set sglang_gid_index"


def test_the_rest_of_soft_roce(soft: Path) -> None:
    rows = looked(soft, devices=["mlx5_0", "mlx5_1"], gid_index=1)
    assert [(row.state, row.found) for row in rows["rdma-device"]] == [("ok", "2 of 2 ACTIVE")]
    assert [row.found for row in rows["rdma-mtu"]] == ["mlx5_0:1 1024", "mlx5_1:1 1024"]


def test_an_address_that_is_not_the_planned_one(soft: Path) -> None:
    rails = [{"device": "mlx5_0", "port": 1, "gid_index": 1, "addresses": ["203.0.113.1/24"]}]
    (row,) = looked(soft, rails=rails)["rdma-gid"]
    assert row.text.endswith("planned is 203.0.113.1")


def test_infiniband() -> None:
    root = capture("gpud-h100-ib")
    rows = looked(root, devices=INFINIBAND, gid_index=None)
    assert [(row.state, row.found) for row in rows["rdma-device"]] == [("ok", "8 of 8 ACTIVE")]
    assert {row.state for name in ("rdma-gid", "rdma-mtu") for row in rows[name]} == {"n/a"}
    (row,) = looked(root, devices=[*INFINIBAND, "mlx5_2"])["rdma-device"]
    assert row.text.startswith("the plan uses mlx5_2, and the host's RDMA devices are mlx5_0, mlx5_1, mlx5_4")
