# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Optional, Sequence

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.lab.lab import Lab
from ansible_collections.railyard.sglang.plugins.module_utils.lab.network import make_network
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import Completed
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import HostRecord, Paths, Record
from ansible_collections.railyard.sglang.plugins.module_utils.lab.survey import Survey

P0 = HostRecord("p0", "prefill", "198.51.100.10", "203.0.113.10")
D0 = HostRecord("d0", "decode", "198.51.100.110", "203.0.113.110")
RECORD = Record("lab", "0011aabb", "boot", "image", 0, "198.51.100.0/24", "203.0.113.0/24", (P0, D0))
INSIDE = "nsenter --net=/run/netns/railyard-lab -- "


class Machine:
    """Notes the commands and what they read."""

    def __init__(self) -> None:
        self.done: list[tuple[str, list[str]]] = []

    def __call__(self, argv: Sequence[str], stdin: Optional[str] = None) -> Completed:
        self.done.append((" ".join(argv), (stdin or "").splitlines()))
        return Completed(0, "", "")


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def lab(machine: Machine, tmp_path: Path) -> Lab:
    return Lab(Paths(tmp_path, "lab"), machine)


def test_new_network(lab: Lab, machine: Machine) -> None:
    make_network(lab, RECORD, [P0, D0], False, Survey(frozenset(), frozenset(), frozenset(), frozenset()))
    (make, namespaces), (inside, links), (_command, _input) = machine.done
    assert make == "ip -batch -"
    assert namespaces == ["netns add railyard-lab", "netns add railyard-lab-p0", "netns add railyard-lab-d0"]
    assert inside == INSIDE + "ip -batch -"
    assert "address add 198.51.100.1/24 dev mgmt" in links
    assert [line for line in links if "dev fabric" in line] == [], "the controller is no member of the fabric"
    for line in (
        "link add m-p0 type veth peer name mgmt0 address 02:00:c6:33:64:0a netns railyard-lab-p0",
        "link set m-p0 master mgmt",
        "link add f-d0 type veth peer name fab0 address 02:00:cb:00:71:6e netns railyard-lab-d0",
        "link set f-d0 master fabric",
    ):
        assert line in links


def test_only_a_dead_hosts_part_is_made_anew(lab: Lab, machine: Machine) -> None:
    names = frozenset({"railyard-lab", "railyard-lab-p0", "railyard-lab-d0"})
    there = frozenset({"mgmt", "fabric", "m-p0", "f-p0", "f-d0"})
    make_network(lab, RECORD, [D0], True, Survey(names, there, frozenset(), frozenset({"p0"})))
    (_inside, removed), (_make, namespaces), (_again, links), _bridge = machine.done
    assert removed == ["link delete f-d0"]
    assert namespaces == ["netns delete railyard-lab-d0", "netns add railyard-lab-d0"]
    assert [line.split()[2] for line in links] == ["m-d0", "m-d0", "m-d0", "f-d0", "f-d0", "f-d0"]


def test_remains_of_a_broken_switch_go_first(lab: Lab, machine: Machine) -> None:
    there = Survey(frozenset({"railyard-lab", "railyard-lab-p0"}), frozenset({"mgmt"}), frozenset(), frozenset())
    make_network(lab, RECORD, [P0], False, there)
    assert machine.done[0][1] == [
        "netns delete railyard-lab",
        "netns delete railyard-lab-p0",
        "netns add railyard-lab",
        "netns add railyard-lab-p0",
    ]
