# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""mi300x-1p1d names no device: the plan takes the eight of the ten that AMD's page says, from the hosts."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.selection import select
from ansible_collections.railyard.sglang.tests.unit.support import inventories, mi300x
from ansible_collections.railyard.sglang.tests.unit.support.clusters import GONE

NAME = "mi300x-1p1d"
EIGHT = ["mlx5_0", "mlx5_2", "mlx5_3", "mlx5_4", "mlx5_5", "mlx5_7", "mlx5_8", "mlx5_9"]


def test_ten_devices_of_a_tree(tmp_path: Path) -> None:
    facts = mi300x.write(tmp_path, 31).facts()
    assert [device["name"] for device in facts["devices"]] == [f"mlx5_{number}" for number in range(10)]
    found = select(facts)
    assert found["data_devices"] == EIGHT
    assert found["left_out"] == dict.fromkeys(("mlx5_1:1", "mlx5_6:1"), "100 Gb/s, slower than 400 Gb/s")
    assert found["gpu_map"] == {str(gpu): [name] for gpu, name in enumerate(EIGHT)}


def test_the_inventory_names_none() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (inventories.INVENTORY / NAME).rglob("*.yml")]
    assert not [text for text in texts if "sglang_rdma_devices:" in text]


@pytest.mark.parametrize("host", ["prefill-0", "decode-0"])
def test_the_plan_takes_them_from_the_facts(host: str) -> None:
    (rank,) = inventories.build(inventories.read(NAME))["hosts"][host]["ranks"]
    assert rank["arguments"]["disaggregation-ib-device"] == ",".join(EIGHT)
    assert rank["environment"]["NCCL_IB_HCA"] == "=" + ",".join(f"{name}:1" for name in EIGHT)
    assert rank["reasons"]["NCCL_IB_HCA"].startswith("8 ACTIVE 400 Gb/s ports; left out mlx5_1 100 Gb/s, mlx5_6 100 Gb/s")
    assert rank["unknown"] == []


def test_without_a_look_they_are_not_known() -> None:
    blind = inventories.read(NAME).change({"!prefill-0": GONE, "!decode-0": GONE})
    (rank,) = inventories.build(blind)["hosts"]["prefill-0"]["ranks"]
    assert "--disaggregation-ib-device" in {row["name"] for row in rank["unknown"]}
    assert "mlx5" not in str([rank["argv"], rank["arguments"], rank["environment"]])
