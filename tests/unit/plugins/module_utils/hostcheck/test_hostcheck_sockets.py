# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Listening sockets and their holders: real texts of /proc, and this machine."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck import sockets
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root

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
    assert sockets.listening_sockets(text) == wanted


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
    assert sockets.unit_of(cgroup) == unit


def test_what_is_no_table_of_sockets() -> None:
    lines = TCP.splitlines()
    broken = [lines[0], lines[1].replace("00000000:0016", "xyz:0016"), lines[2].replace(":0035", ":"), lines[3][:40], "", lines[4]]
    assert sockets.listening_sockets("\n".join(broken)) == {}


def listening() -> list[sockets.Listener]:
    root = Root()
    return sockets.listeners(root, sockets.open_files(root))


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=["IPv4", "IPv6"])
def test_a_real_socket_is_found_with_its_process(family: socket.AddressFamily, address: str) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as server:
        try:
            server.bind((address, 0))
        except OSError as error:
            pytest.skip(f"no {address} on this machine: {error}")
        port = server.getsockname()[1]
        assert sockets.holders(listening(), port, address) == []
        server.listen()
        (found,) = sockets.holders(listening(), port, address)
        assert found.address == address
        assert (found.pid, found.command) == (os.getpid(), Path("/proc/self/comm").read_text(encoding="utf-8").strip())
    assert sockets.holders(listening(), port, address) == []


def test_gpu_devices_that_a_process_has_open(tmp_path: Path) -> None:
    names = ["/dev/nvidia3", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/dri/renderD128", "/dev/kfd", "/tmp/nvidia3", "socket:[77]"]
    directory = tmp_path / "proc/4711/fd"
    directory.mkdir(parents=True)
    for number, target in enumerate(names):
        (directory / str(number)).symlink_to(target)
    (directory / "10").write_text("no link", encoding="utf-8")
    found = sockets.open_files(Root(str(tmp_path)))
    assert found == sockets.Open(True, False, {"77": 4711}, {4711: {"nvidia3", "dri/renderD128", "kfd"}})


def test_processes_that_a_plain_user_may_not_look_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "proc/4711/fd").mkdir(parents=True)
    listdir = os.listdir

    def guarded(path: str) -> list[str]:
        if str(path).endswith("/fd"):
            raise PermissionError(13, "Permission denied", path)
        return listdir(path)

    monkeypatch.setattr(os, "listdir", guarded)
    assert sockets.open_files(Root(str(tmp_path))) == sockets.Open(True, True)


def test_without_proc_nothing_is_known(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    assert sockets.open_files(root) == sockets.Open()
    assert sockets.listeners(root, sockets.Open()) == []
    assert sockets.who(root, 0) == ("", "")
