# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import time
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.qemu_run import machine_of
from ansible_collections.railyard.sglang.plugins.module_utils.lab.qemu_saved import KEPT, incoming, remove_old, state_name
from ansible_collections.railyard.sglang.plugins.module_utils.lab.qemu_up import MachineSettings, MachineWork, check_machine_settings
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import HostRecord, Paths, Record
from ansible_collections.railyard.sglang.plugins.module_utils.lab.survey import Survey

P0 = HostRecord("p0", "prefill", "198.51.100.10", "198.18.8.10", 768)
RECORD = Record("lab", "0011aabb", "boot", "image", 0, "198.51.100.0/24", "198.18.8.0/21", (P0,), backend="qemu")
PATHS = Paths(Path("/c"), "lab")
NOTHING = Survey(frozenset(), frozenset(), frozenset(), frozenset())
GOOD = MachineSettings("lab", Path("/c"), IPv4Network("198.51.100.0/24"), IPv4Network("198.18.8.0/21"), (P0,))


def name_of(record: Record = RECORD, paths: Paths = PATHS, arguments: str = "", version: str = "7.2") -> str:
    machines = {host.name: machine_of(paths, record, host, 1, arguments) for host in record.hosts}
    return state_name(record, machines, version)


def test_state_fits_the_same_lab_later() -> None:
    assert name_of(replace(RECORD, instance="later", boot_id="other", owner=1000)) == name_of()


@pytest.mark.parametrize(
    "change",
    [
        {"record": replace(RECORD, image="another")},
        {"record": replace(RECORD, hosts=(replace(P0, memory_mb=900),))},
        {"record": replace(RECORD, hosts=(replace(P0, management_address="198.51.100.11"),))},
        {"record": replace(RECORD, hosts=(replace(P0, group="decode"),))},
        {"paths": Paths(Path("/c"), "other")},
        {"arguments": "numa=off"},
        {"version": "8.0"},
    ],
)
def test_state_fits_nothing_else(change: dict[str, Any]) -> None:
    assert name_of(**change) != name_of()


def test_path_of_a_state_reaches_the_shell_whole() -> None:
    assert incoming(Path("/my cache/s"), "p0") == ["-incoming", "exec:zstd -dc '/my cache/s/p0/state.zst'"]


def test_states_used_last_are_kept(tmp_path: Path) -> None:
    now = time.time()
    for age in range(KEPT + 2):
        path = tmp_path / f"state{age}"
        path.mkdir()
        os.utime(path, (now - age, now - age))
    (tmp_path / ".saving-killed-999999999").mkdir()
    (tmp_path / f".saving-other-{os.getpid()}").mkdir()
    remove_old(tmp_path)
    kept = {f"state{age}" for age in range(KEPT - 1)}
    assert {path.name for path in tmp_path.iterdir()} == kept | {f".saving-other-{os.getpid()}"}


@pytest.mark.parametrize(
    ("change", "actions"),
    [
        ({}, ["make network namespace railyard-lab", "start host p0"]),
        ({"switch_whole": True}, ["start host p0"]),
        ({"switch_whole": True, "dead": (), "halted": (P0,)}, ["let host p0 go on"]),
        (
            {"builds_image": True, "saved": Path("/c/image/saved/abc")},
            ["build machine image image", "make network namespace railyard-lab", "start host p0", "save state abc"],
        ),
        ({"saved": Path("/c/image/saved/abc"), "resumes": True}, ["make network namespace railyard-lab", "resume host p0"]),
    ],
)
def test_actions(change: dict[str, Any], actions: list[str]) -> None:
    assert replace(MachineWork(RECORD, NOTHING, (P0,), False), **change).actions(PATHS) == actions


def test_good_settings() -> None:
    check_machine_settings(GOOD)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"cpus": 0}, "cpus is 0: a virtual machine has 1 to 16"),
        ({"hosts": (replace(P0, memory_mb=300),)}, "host p0: memory_mb is 300: .* at least 512"),
        ({"fabric_network": IPv4Network("198.18.8.0/24")}, "rails of a /24 each"),
        ({"name": "my-lab"}, "name is 'my-lab'"),
    ],
)
def test_wrong_settings_name_value_and_rule(change: dict[str, Any], text: str) -> None:
    with pytest.raises(LabError, match=text):
        check_machine_settings(replace(GOOD, **change))
