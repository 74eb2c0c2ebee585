# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counters: what moved, what of it is a fault, and what proves RDMA."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest import counters
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root


def write(base: Path, **values: int) -> None:
    for name, value in values.items():
        place, _underscore, file = name.partition("__")
        port = "infiniband/mlx5_0/ports/1"
        directory = {"counters": f"{port}/counters", "hw": f"{port}/hw_counters", "net": "net/e0/statistics"}[place]
        path = base / "sys/class" / directory / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")


def test_reading_and_what_moved(tmp_path: Path) -> None:
    write(tmp_path, counters__symbol_error=3, counters__port_xmit_data=1000, hw__out_of_sequence=0, hw__lifespan=10, net__rx_crc_errors=1)
    before = counters.read(Root(str(tmp_path)), "mlx5_0", 1, "e0")
    assert before["counters/symbol_error"] == 3
    write(tmp_path, counters__symbol_error=5, counters__port_xmit_data=9000, hw__out_of_sequence=7, hw__lifespan=12, net__rx_crc_errors=0)
    delta = counters.moved(before, counters.read(Root(str(tmp_path)), "mlx5_0", 1, "e0"))
    assert delta == {"counters/symbol_error": 2, "counters/port_xmit_data": 8000, "hw_counters/out_of_sequence": 7}, "a reset is no growth"
    assert counters.errors(delta) == {"counters/symbol_error": 2, "hw_counters/out_of_sequence": 7}
    assert counters.read(Root(str(tmp_path)), "mlx5_9", 1, None) == {}


@pytest.mark.parametrize(
    "name",
    [
        "counters/symbol_error", "counters/link_downed", "counters/port_rcv_errors", "counters/port_xmit_discards",
        "counters/VL15_dropped",
        "hw_counters/out_of_sequence", "hw_counters/rx_icrc_encapsulated", "hw_counters/local_ack_timeout_err",
        "hw_counters/packet_seq_err",
        "hw_counters/rnr_nak_retry_err", "hw_counters/out_of_buffer", "hw_counters/completer_retry_err", "hw_counters/rcvd_seq_err",
        "hw_counters/retry_exceeded_err", "hw_counters/out_of_seq_request", "net/rx_crc_errors", "net/tx_dropped",
    ],
)
def test_faults(name: str) -> None:
    assert counters.errors({name: 1}) == {name: 1}


@pytest.mark.parametrize(
    "name",
    [
        "counters/port_xmit_data", "hw_counters/sent_pkts", "hw_counters/rcvd_pkts", "hw_counters/ack_deferred", "net/rx_bytes",
        "hw_counters/rdma_sends", "hw_counters/rx_write_requests", "hw_counters/np_cnp_sent", "net/multicast",
        "counters/unicast_rcv_packets",
    ],
)
def test_no_faults(name: str) -> None:
    assert counters.errors({name: 1}) == {}


def test_what_proves_that_rdma_carried_it() -> None:
    words, packets = {"counters/port_xmit_data": 1}, {"hw_counters/sent_pkts": 1, "net/tx_packets": 5}
    assert counters.carried({"counters/port_xmit_data": 250}, words, 1000)["enough"] is True
    assert counters.carried({"counters/port_xmit_data": 249}, words, 1000)["enough"] is False
    assert counters.carried({"hw_counters/sent_pkts": 20}, packets, 20 * 4096) == {
        "counter": "hw_counters/sent_pkts", "grown": 20, "enough": True,
    }
    assert counters.carried({"hw_counters/sent_pkts": 2}, packets, 20 * 4096)["enough"] is False
    assert counters.carried({"net/tx_packets": 900}, packets, 4096) == {
        "counter": "hw_counters/sent_pkts", "grown": 0, "enough": False,
    }, "TCP alone moved"
    assert counters.carried({"hw_counters/sent_pkts": 7000}, packets, 0)["enough"] is None, "a way that failed sent nothing that is known"
    assert counters.carried({}, {}, 4096)["enough"] is None, "a driver without counters"
    other = counters.carried({"hw_counters/iwOutRdmaWrites": 5}, {"hw_counters/iwOutRdmaWrites": 1}, 4096)
    assert other == {"counter": None, "grown": 0, "enough": None}, "a driver whose counters do not tell"
