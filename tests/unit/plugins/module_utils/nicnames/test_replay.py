# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a kernel drops when an interface is switched off comes back, on this machine's kernel in a network namespace of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support.programs import environment

PACKAGE = "ansible_collections.railyard.sglang.plugins.module_utils.nicnames"
SPACE = ["unshare", "--user", "--map-root-user", "--net"]
# As NetworkManager does it: no route comes with an address, and no link-local address by itself.
SETUP = """
ip link add v0 type veth peer name v1
ip link set v0 addrgenmode none; ip link set v1 up
ip link set v0 up
ip address add 192.0.2.10/24 dev v0 noprefixroute
ip address add fe80::10/64 dev v0 noprefixroute nodad
ip route add 192.0.2.0/24 dev v0 proto kernel scope link src 192.0.2.10 metric 101
ip route add default via 192.0.2.1 dev v0 proto static metric 101
ip route add 198.51.100.0/24 via 192.0.2.7 dev v0 table 77 mtu 1400
ip route add 203.0.113.0/24 via 203.0.113.1 dev v0 onlink
ip link set v1 addrgenmode none; ip address add fe80::11/64 dev v1 noprefixroute nodad
ip -6 route append fe80::/64 dev v1 proto kernel metric 1024
ip -6 route append fe80::/64 dev v0 proto kernel metric 1024
ip -6 route add 2001:db8:1::/64 via fe80::1 dev v0 metric 9
ip neigh add 192.0.2.50 lladdr 02:00:5e:00:53:50 dev v0 nud permanent
ip neigh add fe80::50 lladdr 02:00:5e:00:53:51 dev v0 nud permanent
"""
PROGRAM = f"""
import json, subprocess, sys, time
from {PACKAGE} import replay, rtnl
subprocess.run(sys.argv[1], shell=True, check=True)
def seen():
    words = ["ip -o -4 route show table all", "ip -o -6 route show table all", "ip -o address show scope link",
             "ip -o neigh show nud permanent"]
    rows = [row for word in words for row in subprocess.run(word.split(), capture_output=True, text=True).stdout.splitlines()]
    return sorted(" ".join(row.split()) for row in rows if ("v0" in row or "v1" in row) and "table local" not in row)
links = rtnl.links()
index = {{link.name: link.index for link in links}}["v0"]
before = seen()
kept = replay.keep(links, index)
rtnl.switch(index, False)
off = seen()
rtnl.switch(index, True)
bare = seen()
replay.bring_back(kept)
print(json.dumps({{"before": before, "off": off, "bare": bare, "after": seen()}}))
"""


@pytest.fixture(name="found", scope="module")
def _found() -> dict[str, Any]:
    if shutil.which("ip") is None or subprocess.run([*SPACE, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no ip, or no network namespaces for this user")
    done = subprocess.run(
        [*SPACE, sys.executable, "-c", PROGRAM, SETUP], capture_output=True, text=True, check=False, env=environment()
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_the_kernel_drops_something_without_it(found: dict[str, Any]) -> None:
    assert len(found["before"]) == 13
    assert len(found["bare"]) < len(found["before"])


def test_everything_comes_back_as_it_was(found: dict[str, Any]) -> None:
    assert found["after"] == found["before"]
