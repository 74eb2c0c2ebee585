# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of a host: real texts of /proc, a captured tree, and this machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck import facts

# From a host with an ssh server, a resolver on loopback and one open ssh connection (Linux 6.1).
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 18213 1 ffff9a5e41c30000 100 0 0 10 0
   1: 3500007F:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 15432 1 ffff9a5e41c308c0 100 0 0 10 5
   2: 0A7100CB:7530 00000000:0000 0A 00000000:00000000 00:00000000 00000000   998        0 40811 1 ffff9a5e41c31180 100 0 0 10 0
   3: 0A7100CB:0016 017100CB:C7F2 01 00000000:00000000 02:000AE1C5 00000000     0        0 39021 4 ffff9a5e41c31a40 20 4 29 10 -1
"""
NOWHERE = "0" * 32
TCP6 = f"""\
  sl  local_address      remote_address     st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: {NOWHERE}:0016 {NOWHERE}:0000 0A 00000000:00000000 00:00000000 00000000     0        0 18224 1 ffff9a5e45340000 100 0 0 10 0
"""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (TCP, {"18213": ("0.0.0.0", 22), "15432": ("127.0.0.53", 53), "40811": ("203.0.113.10", 30000)}),
        (TCP6, {"18224": ("::", 22)}),
        (TCP.splitlines()[0], {}),
        ("", {}),
    ],
)
@pytest.mark.skipif(sys.byteorder != "little", reason="the captured text is of a little-endian machine")
def test_listening_sockets(text: str, wanted: dict[str, tuple[str, int]]) -> None:
    assert facts.listening_sockets(text) == wanted


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/sglang-prefill-0.service\n", "sglang-prefill-0.service"),
        ("0::/system.slice/ssh.service\n", "ssh.service"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/jupyter.service\n", "jupyter.service"),
        ("0::/user.slice/user-0.slice/session-3.scope\n", ""),
        (
            "12:pids:/system.slice/nginx.service\n1:name=systemd:/system.slice/nginx.service\n0::/system.slice/nginx.service\n",
            "nginx.service",
        ),
        ("0::/system.slice/system-getty.slice/getty@tty1.service\n", "getty@tty1.service"),
        ("0::/system.slice/my\\x2dtool.service\n", "my\\x2dtool.service"),
        ("0::/\n", ""),
        ("", ""),
    ],
)
def test_unit_of(cgroup: str, unit: str) -> None:
    assert facts.unit_of(cgroup) == unit


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            '[{"ifname":"lo","addr_info":[{"family":"inet","local":"127.0.0.1"},{"family":"inet6","local":"::1"}]},'
            '{"ifname":"fab0","addr_info":[{"family":"inet","local":"203.0.113.10","prefixlen":24}]},{"ifname":"mgmt0","addr_info":[]}]',
            {"127.0.0.1": "lo", "::1": "lo", "203.0.113.10": "fab0"},
        ),
        ("[]", {}),
        ("", {}),
    ],
)
def test_parse_addresses(text: str, wanted: dict[str, str]) -> None:
    assert facts.parse_addresses(text) == wanted


@pytest.mark.parametrize(
    ("text", "ranges"),
    [("", []), ("5000", [(5000, 5000)]), ("5000,30000-30010", [(5000, 5000), (30000, 30010)])],
)
def test_reserved_ports(text: str, ranges: list[tuple[int, int]]) -> None:
    assert facts.reserved_ports(text) == ranges


def captured(root: Path) -> Path:
    """Write the tree of a host: an engine on port 30000, IPv6 off, ports reserved, systemd running."""
    texts = {
        "proc/net/tcp": TCP,
        "proc/net/tcp6": TCP6,
        "proc/cmdline": "BOOT_IMAGE=/vmlinuz root=/dev/vda1 ro ipv6.disable=1\n",
        "proc/sys/net/ipv4/ip_local_port_range": "20000\t60999\n",
        "proc/sys/net/ipv4/ip_local_reserved_ports": "30000-30001\n",
        "proc/4711/comm": "sglang::schedul\n",
        "proc/4711/cgroup": "0::/system.slice/sglang-prefill-0.service\n",
        "run/systemd/system/x": "",
        "etc/systemd/system/sglang-old.service": "# railyard.sglang: unit of cluster lab, role engine\n",
        "etc/systemd/system/sglang-other.service": "# railyard.sglang: unit of cluster other, role engine\n",
    }
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    for process, number, target in ((4711, 3, "socket:[40811]"), (4711, 4, "/dev/null"), (1, 0, "socket:[18213]")):
        directory = root / f"proc/{process}/fd"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / str(number)).symlink_to(target)
    (root / "dev/shm").mkdir(parents=True)
    return root


def replay(answers: dict[str, tuple[int, str, str]]) -> facts.Runner:
    return lambda words: answers[words[0]]


def test_a_captured_tree(tmp_path: Path) -> None:
    manager = "LANG=C.UTF-8\nHTTPS_PROXY=http://proxy.example.com:3128\nhttp_proxy=\nNO_PROXY=*\n"
    address = '[{"ifname":"fab0","addr_info":[{"local":"203.0.113.10"}]}]'
    host = facts.read(replay({"ip": (0, address, ""), "systemctl": (0, manager, "")}), str(captured(tmp_path)), "lab")
    assert host.own_units == ["sglang-old.service"]
    assert host.addresses == {"203.0.113.10": "fab0"}
    rank = facts.Listener(30000, 4711, "sglang::schedul", "sglang-prefill-0.service", "203.0.113.10")
    assert facts.holders(host, 30000, "203.0.113.10") == [rank]
    assert facts.holders(host, 30000, "") == [rank]
    assert facts.holders(host, 30000, "198.51.100.10") == []
    assert {row.address for row in facts.holders(host, 22, "203.0.113.10")} <= {"0.0.0.0", "::"}
    assert facts.holders(host, 53, "") == [facts.Listener(53, address="127.0.0.53")]
    assert facts.holders(host, 51186, "") == []
    assert (host.ephemeral, host.reserved) == ((20000, 60999), "30000-30001")
    assert (host.ipv6_disabled, host.systemd) == (True, True)
    assert host.proxies == {"HTTPS_PROXY": "http://proxy.example.com:3128"}
    assert host.shm_bytes > 0


def test_what_cannot_be_read_keeps_its_default(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    host = facts.read(replay({"ip": (1, "", "no"), "systemctl": (1, "", "no")}), str(tmp_path))
    assert host == facts.Host()


def run(words: list[str]) -> tuple[int, str, str]:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=["IPv4", "IPv6"])
def test_a_real_socket_is_found_with_its_process(family: socket.AddressFamily, address: str) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as server:
        try:
            server.bind((address, 0))
        except OSError as error:
            pytest.skip(f"no {address} on this machine: {error}")
        port = server.getsockname()[1]
        assert facts.holders(facts.read(run), port, address) == []
        server.listen()
        (found,) = facts.holders(facts.read(run), port, address)
        assert found.address == address
        assert (found.pid, found.command) == (os.getpid(), Path("/proc/self/comm").read_text(encoding="utf-8").strip())
    assert facts.holders(facts.read(run), port, address) == []


def test_this_machine() -> None:
    host = facts.read(run)
    low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="utf-8").split()
    assert host.ephemeral == (int(low), int(high))
    assert host.addresses.get("127.0.0.1") == "lo"
    assert json.loads(json.dumps(host.addresses)) == host.addresses
