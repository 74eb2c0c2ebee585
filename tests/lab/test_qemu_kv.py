# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""KV bytes over RDMA: Mooncake of the stack moves memory from a prefill host to a decode host by what the plan renders for their ranks.

What carried the bytes is told by the counters of both hosts, not by what any program says of itself. The engine does not run here (an
emulated processor is too slow for it); its transfer engine is called as it calls it, by its user and under the settings of its unit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from kvkit import PACKET, Moved, Transfers, argument, planned
from qemukit import HOSTS, QemuLab

pytestmark = [pytest.mark.lab, pytest.mark.full]

DEVICES = [f"mlx5_{rail}" for rail in range(8)]
CHOSEN = (1, 5)
FEWER = {"sglang_rdma_devices": [f"mlx5_{rail}" for rail in CHOSEN]}


@pytest.fixture(scope="module")
def fewer(machines: QemuLab) -> dict[str, dict[str, Any]]:
    """Ranks of the cluster whose devices the inventory names."""
    return planned(machines, **FEWER)


def tell(lab: QemuLab, name: str, moved: Moved) -> None:
    """Note the figures of a transfer."""
    packets = {host: moved.packets(host, way) for host, way in (("p0", "sent"), ("d0", "received"))}
    tcp = {host: row["tcp"] for host, row in moved.counted.items()}
    lab.record(name, {"bytes": moved.size, "seconds": moved.sent.get("seconds"), "packets": packets, "tcp segments": tcp})


@pytest.mark.parametrize("host", HOSTS)
def test_the_plan_chooses_all_rails_and_the_index_of_the_address(host: str, ranks: dict[str, dict[str, Any]]) -> None:
    rank = ranks[host]
    assert str(argument(rank, "disaggregation-ib-device")).split(",") == DEVICES
    assert rank["environment"]["MC_GID_INDEX"] == "1"
    # Rails do not reach each other, so that devices of the same name belong together; and no TCP where no device is usable.
    assert rank["environment"]["MC_ENABLE_DEST_DEVICE_AFFINITY"] == "1"
    assert rank["environment"]["MC_FORCE_HCA"] == "1"
    assert "MC_FORCE_TCP" not in rank["environment"]
    assert argument(rank, "disaggregation-transfer-backend") == "mooncake"


def test_rdma_carries_the_bytes_on_every_rail_and_tcp_does_not(transfers: Transfers, ranks: dict[str, dict[str, Any]]) -> None:
    moved = transfers.move(ranks)
    tell(transfers.lab, "kv over rdma", moved)
    assert moved.whole, moved.sent | {"log": moved.log[-3000:]}
    assert moved.carriers == ["rdma"]
    assert moved.tcp_at_most < moved.size // 4
    for device in DEVICES:
        sent, received = moved.packets("p0", "sent")[device], moved.packets("d0", "received")[device]
        # The interface below has seen them, too; what it saw on top are headers, and on rail 0 the handshake.
        assert 0 < sent <= received + 64, device
        assert moved.counted["p0"]["devices"][device]["tx_bytes"] > (sent - 64) * PACKET, device
        assert moved.counted["d0"]["devices"][device]["rx_bytes"] > (received - 64) * PACKET, device


def test_the_same_over_tcp_is_told_apart(transfers: Transfers, ranks: dict[str, dict[str, Any]]) -> None:
    moved = transfers.move(ranks, MC_FORCE_TCP="1", MC_FORCE_HCA=None)
    tell(transfers.lab, "kv over tcp", moved)
    assert moved.whole, moved.sent | {"log": moved.log[-3000:]}
    assert moved.carriers == ["tcp"]
    for host in HOSTS:
        assert set(moved.packets(host, "sent").values()) == {0}


@contextmanager
def cut(lab: QemuLab, *hosts: str) -> Iterator[None]:
    """Cut the chosen rails of hosts, and plug them in again."""
    state = "; ".join(f"cat /sys/class/infiniband/mlx5_{rail}/ports/1/state" for rail in CHOSEN)
    rails = [(host, rail) for host in hosts for rail in CHOSEN]
    try:
        for host, rail in rails:
            lab.set_link(host, rail, up=False)
        assert all(lab.becomes(host, state, "1: DOWN\n1: DOWN", 15) for host in hosts)
        yield
    finally:
        for host, rail in rails:
            lab.set_link(host, rail, up=True)
        assert all(lab.becomes(host, state, "4: ACTIVE\n4: ACTIVE", 30) for host in hosts)


def test_rails_that_are_cut_before_the_start_are_named_and_tcp_does_not_step_in(
    machines: QemuLab, transfers: Transfers, fewer: dict[str, dict[str, Any]]
) -> None:
    assert argument(fewer["p0"], "disaggregation-ib-device") == "mlx5_1,mlx5_5"
    with cut(machines, "p0"):
        refused = machines.play("--tags", "preflight", variables=FEWER).refused()
        moved = transfers.move(fewer)
    tell(machines, "kv with cut rails", moved)
    assert re.search(r"p0\b.*mlx5_1\b.*mlx5_5\b", refused), refused
    assert moved.sent == {"error": "the transfer engine did not start: -1"}
    assert moved.carriers == []


def test_without_the_plans_word_tcp_steps_in_where_rails_are_cut(
    machines: QemuLab, transfers: Transfers, fewer: dict[str, dict[str, Any]]
) -> None:
    with cut(machines, "p0"):
        one = transfers.move(fewer, MC_FORCE_HCA=None)
    with cut(machines, *HOSTS):
        both = transfers.move(fewer, MC_FORCE_HCA=None)
    tell(machines, "kv with cut rails and nothing against TCP", both)
    # TCP at one end does not speak with RDMA at the other.
    assert not one.whole
    assert both.whole, both.sent | {"log": both.log[-3000:]}
    assert both.carriers == ["tcp"]


def test_rails_that_are_cut_while_the_engines_run_end_the_transfer_and_tcp_does_not_step_in(
    machines: QemuLab, transfers: Transfers, fewer: dict[str, dict[str, Any]]
) -> None:
    with ExitStack() as later:
        moved = transfers.move(fewer, before_sending=lambda: later.enter_context(cut(machines, "p0")))
    tell(machines, "kv with rails cut on the way", moved)
    # Both engines ran, and the transfer itself says that it failed.
    assert "error" not in moved.sent, moved.sent | {"log": moved.log[-3000:]}
    assert moved.sent["result"] != 0
    assert not moved.whole
    assert moved.carriers == []
