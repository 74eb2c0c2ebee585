# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""perftest's output, as versions of it print it, and what its failures mean."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest import perftest
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.reasons import REASONS

# perftest 4.5+0.17 of Debian 12 on soft-RoCE.
HEAD = """
---------------------------------------------------------------------------------------
                    RDMA_Write BW Test
 Dual-port       : OFF\t\tDevice         : mlx5_3
 Number of qps   : 1\t\tTransport type : IB
 TX depth        : 20
 Mtu             : 4096[B]
 Link type       : Ethernet
 GID index       : 1
---------------------------------------------------------------------------------------
 local address: LID 0000 QPN 0x0011 PSN 0xe991f2 RKey 0x0002df VAddr 0x007f42d5c73000
 GID: 00:00:00:00:00:00:00:00:00:00:255:255:203:00:113:10
 remote address: LID 0000 QPN 0x0011 PSN 0x180aa RKey 0x0002c8 VAddr 0x007fdc7eec9000
 GID: 00:00:00:00:00:00:00:00:00:00:255:255:203:00:113:11
---------------------------------------------------------------------------------------
"""
LINE = "---------------------------------------------------------------------------------------\n"
BANDWIDTH = HEAD + """ #bytes     #iterations    BW peak[Gb/sec]    BW average[Gb/sec]   MsgRate[Mpps]
 65536      20               0.41               0.37   \t\t   0.000704
""" + LINE
DURATION = BANDWIDTH.replace("65536      20               0.41               0.37 ", "65536      693              0.00               0.12 ")
WITHOUT_GBITS = BANDWIDTH.replace("Gb/sec", "MB/sec").replace("0.37 ", "46000.00 ")
WITH_CPU = HEAD + """ #bytes     #iterations    BW peak[Gb/sec]    BW average[Gb/sec]   MsgRate[Mpps]   CPU_Util[%]
 1048576    5000             392.10             391.87             0.046715            2.40
""" + LINE
LATENCY = HEAD + (
    " #bytes #iterations    t_min[usec]    t_max[usec]  t_typical[usec]    t_avg[usec]    t_stdev[usec]   99% percentile[usec]   "
    "99.9% percentile[usec] \n"
    " 8       1000          1.72        6.10      3.44  \t       3.40     \t1.21\t\t6.06 \t\t6.09\n"
) + LINE
LATENCY_DURATION = HEAD + """ #bytes        #iterations       t_avg[usec]    tps average
 8             51234             2.05           487804.88
""" + LINE


def test_bandwidth() -> None:
    assert perftest.figures("write_bw", BANDWIDTH) == {"gbps": 0.37, "iterations": 20, "bytes": 20 * 65536, "mtu": 4096}
    assert perftest.figures("write_bw", DURATION)["gbps"] == 0.12
    assert perftest.figures("write_bw", WITH_CPU)["gbps"] == 391.87
    assert perftest.figures("write_bw", WITHOUT_GBITS)["gbps"] == pytest.approx(46000 * 8 * 1.048576e-3)


def test_latency() -> None:
    found = perftest.figures("write_lat", LATENCY)
    assert (found["latency_us"], found["latency_p99_us"], found["iterations"]) == (3.44, 6.06, 1000)
    assert perftest.figures("write_lat", LATENCY_DURATION)["latency_us"] == 2.05


@pytest.mark.parametrize("cut", range(0, len(BANDWIDTH), 23))
def test_output_that_breaks_off_gives_no_wrong_figure(cut: int) -> None:
    found = perftest.figures("write_bw", BANDWIDTH[:cut])
    assert found == {} or found["gbps"] == 0.37 or cut > BANDWIDTH.index("65536      20")


@pytest.mark.parametrize("figure", ["nan", "inf", "-1.00"])
def test_what_is_no_figure_counts_as_none(figure: str) -> None:
    assert perftest.figures("write_bw", BANDWIDTH.replace("0.37", figure)) == {}


@pytest.mark.parametrize(
    ("said", "code"),
    [
        # Seen with perftest 4.5+0.17.
        ("Couldn't allocate MR\nfailed to create mr\nFailed to create MR\n Couldn't create IB resources", "memory"),
        ("Couldn't connect to h2:18600\nUnable to open file descriptor for socket connection", "connect"),
        ("IB device mlx5_33 not found\n Unable to find the Infiniband/RoCE device", "no-device"),
        (" Port number 1 state is Down\n Couldn't set the link layer\n Couldn't get context for the device", "port-down"),
        (" Unable to query port 2 attributes\n Couldn't set the link layer\n Couldn't get context for the device", "device-access"),
        ("\n Found Incompatibility issue with GID types.\n Please Try to use a different IP version.\n", "gid"),
        ("ethernet_read_keys: Couldn't read remote address\n Unable to read to socket/rdma_cm\n Failed to exchange data", "peer-left"),
        # From its source.
        ("Failed to modify QP 1234 to RTR\n Unable to Connect the HCA's through the link", "rtr"),
        (" Completion with error at client\n Failed status 12: wr_id 0 syndrom 0x81", "completion"),
        ("Failed to start transient service unit: Access denied", "unit"),
        ("nothing that is known", ""),
    ],
)
def test_failures(said: str, code: str) -> None:
    assert perftest.failure(said) == code
    assert not code or code in REASONS


def test_every_code_has_cause_and_fix() -> None:
    for _pattern, code in perftest.FAILURES:
        assert REASONS[code].text, code
        assert REASONS[code].fix, code


def test_the_last_lines_are_those_that_say_something() -> None:
    assert perftest.tail(HEAD + "Couldn't allocate MR\n\n")[-1] == "Couldn't allocate MR"
    assert not any("----" in line for line in perftest.tail(HEAD))


def order(**change: Any) -> dict[str, Any]:
    return {
        "kind": "write_bw", "role": "client", "device": "mlx5_3", "port": 1, "gid_index": 3, "peer": "203.0.113.2", "tcp_port": 18520,
        "size": 65536, "iterations": 20, "seconds": 2, "queue_pairs": 4, "traffic_class": None, **change,
    }


def test_command_lines() -> None:
    line = perftest.command(order(), "ib_write_bw")
    assert " ".join(line) == "ib_write_bw -d mlx5_3 -i 1 -p 18520 -s 65536 -F -x 3 --report_gbits -q 4 -n 20 203.0.113.2"
    assert "203.0.113.2" not in perftest.command(order(role="server"), "ib_write_bw")
    assert "-x" not in perftest.command(order(gid_index=None), "ib_write_bw"), "InfiniBand"
    for role in ("client", "server"):
        assert "--ipv6-addr" in perftest.command(order(role=role, peer="2001:db8::2"), "ib_write_bw")
        assert "--ipv6-addr" not in perftest.command(order(role=role), "ib_write_bw")
    assert perftest.command(order(iterations=0), "x")[-3:-1] == ["-D", "2"]
    latency = perftest.command(order(kind="write_lat", traffic_class=106, port=2), "ib_write_lat")
    assert "--report_gbits" not in latency
    assert "--tclass=106" in latency
    assert latency[latency.index("-i") + 1] == "2"
