# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine host says: on trees of files, on sockets of this machine, and on lines of real logs."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.plugins.module_utils.serving import evidence, planned
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster, looked

# Of sglang 0.5.8 with Mooncake 0.3.13.post1 on a host without RDMA.
REAL = """\
[2026-11-27 10:48:30] Load weight end. type=LlamaForCausalLM, dtype=torch.bfloat16, mem usage=0.00 GB.
W1127 10:48:41.661544 18209 transfer_engine_py.cpp:120] Using default malloc/free for protocol: rdma
I1127 10:48:41.661628 18209 transfer_engine_impl.cpp:116] Transfer Engine parseHostNameWithPort. server_name: 203.0.113.110 port: 12001
I1127 10:48:41.661659 18209 transfer_engine_impl.cpp:183] Transfer Engine RPC using P2P handshake, listening on 203.0.113.110:16663
I1127 10:48:41.843554 18209 tcp_transport.cpp:391] TcpTransport: listen on port 16552
I1127 10:48:41.843689 18209 transfer_engine_impl.cpp:219] MC_FORCE_TCP is set, using TCP transport only
"""


def write(root: Path, files: dict[str, str]) -> Root:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n", encoding="utf-8")
    return Root(str(root))


def port_files(device: str, sent: int) -> dict[str, str]:
    place = f"sys/class/infiniband/{device}/ports/1"
    return {f"{place}/counters/port_xmit_data": str(sent), f"{place}/hw_counters/out_of_sequence": "0"}


def test_counters_of_the_plans_devices(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            **port_files("mlx5_0", 40),
            **port_files("mlx5_1", 50),
            "sys/class/net/fab0/statistics/rx_bytes": "7",
            "sys/class/net/fab0/statistics/tx_bytes": "9",
        },
    )
    wanted = {"fabric_interface": "fab0", "rdma": True, "ports": ["mlx5_1:1"]}
    seen = evidence.snapshot(root, wanted)
    assert seen["fabric"] == {"interface": "fab0", "rx_bytes": 7, "tx_bytes": 9}
    assert seen["management"] == {"interface": ""}
    assert seen["rdma"] == {"mlx5_1:1": {"counters/port_xmit_data": 50, "hw_counters/out_of_sequence": 0}}
    assert set(evidence.snapshot(root, {**wanted, "ports": []})["rdma"]) == {"mlx5_0:1", "mlx5_1:1"}, "all of them where none is named"
    assert evidence.snapshot(root, {**wanted, "rdma": False})["rdma"] == {}


def test_the_interface_of_an_address_of_this_machine() -> None:
    assert evidence.interface_of(Root("/"), "127.0.0.1") == "lo"
    assert evidence.interface_of(Root("/"), "203.0.113.77") == ""
    assert evidence.traffic(Root("/"), "lo")["rx_bytes"] >= 0


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({"a": 1}, {"a": 5}, {"a": 4}),
        ({"a": 5}, {"a": 1}, {}),
        ({"a": 1}, {}, {}),
        (None, {"a": 1}, {}),
        ({"interface": "x"}, {"interface": "x"}, {}),
    ],
)
def test_growth(before: dict[str, int] | None, after: dict[str, int], found: dict[str, int]) -> None:
    assert evidence.grown(before, after) == found


def test_who_listens_on_planned_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        rows = [
            {"port": one.getsockname()[1], "address": "127.0.0.1", "purpose": "API", "unit": "sglang-prefill-0.service"}
            for one in (server, unused)
        ]
        good, wrong = evidence.listening(Root("/"), rows)
        assert evidence.listening(Root("/"), [{**rows[1], "purpose": "DP handshake"}]) == (0, [])
    # Tests run in a unit on some machines, which is not the planned one then.
    assert good + len(wrong) == 2
    assert wrong[-1] == f"nobody listens on 127.0.0.1:{rows[1]['port']} (API of sglang-prefill-0.service)"


def journal(found: str, grep: bool = True) -> evidence.Runner:
    def run(command: list[str]) -> tuple[int, str, str]:
        if command[0] == "systemctl":
            return 0, "5f0c\n", ""
        assert "_SYSTEMD_INVOCATION_ID=5f0c" in command
        if "--grep" in command and not grep:
            return 1, "", "Compiled without pattern matching support"
        return 0, found, ""

    return run


@pytest.mark.parametrize("grep", [True, False])
def test_lines_that_name_a_transport(grep: bool) -> None:
    lines = evidence.transport_lines(journal(REAL, grep), "sglang-decode-0.service")
    assert [line.partition("] ")[2] for line in lines] == [
        "TcpTransport: listen on port 16552",
        "MC_FORCE_TCP is set, using TCP transport only",
    ]


def test_a_unit_that_does_not_run_has_no_lines() -> None:
    assert evidence.transport_lines(lambda _command: (0, "\n", ""), "x.service") == []


def test_config(tmp_path: Path) -> None:
    root = write(tmp_path, {"opt/models/tiny/config.json": '{"architectures": ["X"]}', "opt/models/bad/config.json": "{"})
    assert evidence.model_config(root, "/opt/models/tiny") == {"architectures": ["X"]}
    assert evidence.model_config(root, "/opt/models/bad") == {}
    assert evidence.model_config(root, "/opt/models/none") == {}


def test_what_the_plan_asks_of_a_host() -> None:
    row = cluster().plan()["hosts"]["p0"]
    assert planned.wanted(row) == {
        "fabric_interface": "fab0",
        "fabric_address": "203.0.113.10",
        "management_address": "198.51.100.10",
        "rdma": False,
        "ports": [],
    }
    assert {(port["purpose"], port["unit"]) for port in planned.ports(row)} >= {("KV bootstrap", "sglang-prefill-0.service")}
    rails = planned.wanted(looked().plan()["hosts"]["p0"])
    assert (rails["rdma"], len(rails["ports"])) == (True, 8)
