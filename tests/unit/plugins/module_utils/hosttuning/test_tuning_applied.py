# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Present and absent on a machine in a directory: exact, complete, and finished after being killed anywhere."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning import apply, files
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.wanted import Wanted
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hosttuning.tuned_machine import (
    FULL,
    RAILS,
    Killed,
    Machine,
    wanted,
)

# Thousands of small files: in memory where there is such a place.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
KINDS = [("dcb", False), ("mlnx_qos", True), ("dcb", True)]
SECOND = {
    **FULL,
    "sysctl": {},
    "pfc": [],
    "priority": None,
    "trust": "dscp",
    "modules": ["rdma_ucm"],
    "reserved_ports": ["30001"],
    "drop_ins": {},
}


@pytest.fixture(name="scratch")
def make_scratch() -> Iterator[Path]:
    """A directory that goes with the test."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        yield Path(directory, "root")


@pytest.mark.parametrize(("tool", "driver_class"), KINDS)
def test_everything_is_set_and_taken_back(tool: str, driver_class: bool, scratch: Path) -> None:
    machine = Machine(scratch, tool, driver_class)
    before = machine.state()
    machine.apply(wanted(**FULL))
    after = machine.state()
    assert after["proc/sys/vm/max_map_count"] == ["16777216"]
    assert after["proc/sys/net/ipv4/ip_local_reserved_ports"] == ["5000,15000-17000,30000"]
    assert after["proc/sys/net/ipv4/conf/ens2.100/arp_announce"] == ["2"]
    assert after["loaded"] == ["ib_cm", "ib_core", "ib_umad", "rdma_cm"]
    assert {(port["map"]["26"], tuple(port["pfc"])) for port in after["ports"].values()} == {(3, (3,))}
    assert after["sys/kernel/config/rdma_cm/mlx5_1/ports/1/default_roce_tos"] == ["106"]
    assert not driver_class or after["sys/class/infiniband/mlx5_0/tc/1/traffic_class"] == ["Global", "tclass=106"]
    assert after["memlock"] == "infinity"
    assert after[files.QOS_LINK[1:]] == f"-> {files.UNITS}/{files.QOS}"
    machine.apply(Wanted())
    assert machine.state() == before


def test_the_plan_alone_changes_nothing(scratch: Path) -> None:
    machine = Machine(scratch, "mlnx_qos", True)
    before = machine.state()
    machine.left = 0
    plan = machine.plan(wanted(**FULL))
    assert plan.changed
    assert machine.state() == before
    machine.left = None
    assert machine.apply(wanted(**FULL)).actions() == plan.actions()


@pytest.mark.parametrize(("tool", "driver_class"), KINDS[:2])
def test_killed_anywhere_and_run_again(tool: str, driver_class: bool, scratch: Path) -> None:
    whole = Machine(scratch / "whole", tool, driver_class)
    before = whole.state()
    whole.apply(wanted(**FULL))
    end, number = whole.state(), 0
    while True:
        machine = Machine(scratch / str(number), tool, driver_class)
        if _killed(machine, wanted(**FULL), number) is None:
            break
        machine.apply(wanted(**FULL))
        assert machine.state() == end, number
        _killed(machine, Wanted(), number)
        machine.apply(Wanted())
        assert machine.state() == before, number
        number += 1
    assert number > 25


def _killed(machine: Machine, what: Wanted, effects: int) -> Any:
    """Apply a set and kill the process after so many effects; return None when it ended before."""
    machine.left = effects
    try:
        made = machine.plan(what)
        if made.changed:
            apply.carry_out(machine, machine.run, made)
        return None
    except Killed:
        return effects
    finally:
        machine.left = None


def _subset(names: list[str]) -> dict[str, Any]:
    found = {name: value for name, value in FULL.items() if name in names}
    # What makes no sense alone.
    if "traffic_class" not in found or "trust" not in found:
        found.pop("priority", None)
    return {**found, "rails": RAILS}


SETS = st.one_of(st.lists(st.sampled_from(sorted(FULL)), unique=True).map(_subset), st.just(SECOND), st.just({}))
RUNS = st.lists(st.tuples(SETS, st.one_of(st.none(), st.integers(0, 60))), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    loaded=st.sampled_from([(), ("ib_core",), ("ib_core", "ib_umad"), ("ib_core", "ib_cm", "rdma_cm", "rdma_ucm")]),
    runs=RUNS,
)
def test_any_sets_with_any_kills_then_absent(kind: tuple[str, bool], loaded: tuple[str, ...], runs: list[tuple[Any, Any]]) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        machine = Machine(Path(directory, "root"), *kind, loaded)
        before = machine.state()
        for chosen, kill in runs:
            if kill is None:
                machine.apply(wanted(**chosen))
            else:
                _killed(machine, wanted(**chosen), kill)
        machine.apply(Wanted())
        assert machine.state() == before


def test_a_drop_in_cut_off_and_not_wanted_any_more_leaves_nothing(scratch: Path) -> None:
    machine = Machine(scratch)
    before = machine.state()
    _killed(machine, wanted(drop_ins=FULL["drop_ins"]), 1)
    assert machine.exists(f"{files.UNITS}/user@.service.d/.{files.DROP_IN}.unfinished")
    machine.apply(Wanted())
    assert machine.state() == before


def test_what_leaves_the_set_is_restored(scratch: Path) -> None:
    machine = Machine(scratch, "mlnx_qos", True)
    machine.apply(wanted(**FULL))
    machine.apply(wanted(**SECOND))
    after = machine.state()
    assert after["proc/sys/net/core/rmem_max"] == ["212992"]
    assert after["proc/sys/net/ipv4/ip_local_reserved_ports"] == ["5000,30001"]
    assert after["loaded"] == ["ib_cm", "ib_core", "rdma_cm", "rdma_ucm"]
    assert after["ports"]["ens1"]["pfc"] == []
    assert after["ports"]["ens1"]["trust"] == "dscp"
    assert "etc/systemd/system/user@.service.d" not in after


def test_what_another_has_set_since_stays(scratch: Path) -> None:
    machine = Machine(scratch)
    machine.apply(wanted(sysctl={"net.core.rmem_max": 4194304}, reserved_ports=["30000"]))
    for key, value in (("core/rmem_max", b"8388608"), ("ipv4/ip_local_reserved_ports", b"5000,6000,30000")):
        machine.put(f"/proc/sys/net/{key}", value)
    made = machine.apply(Wanted())
    assert "somebody else has set it" in made.notes[0]
    assert machine.text("/proc/sys/net/core/rmem_max") == "8388608"
    assert machine.text("/proc/sys/net/ipv4/ip_local_reserved_ports") == "5000,6000"


def test_a_module_in_use_stays_and_goes_later(scratch: Path) -> None:
    machine = Machine(scratch)
    before = machine.state()
    machine.apply(wanted(modules=["ib_umad"]))
    machine.users["ib_umad"] = 2
    made = machine.apply(Wanted())
    assert made.notes == ["module ib_umad stays loaded: used by 2 open handles. It is not loaded at the next boot"]
    assert "ib_umad" in machine.loaded
    machine.users.clear()
    assert machine.apply(Wanted()).actions() == ["unload module ib_umad"]
    assert machine.state() == before


def test_a_setting_drifts_and_is_set_again(scratch: Path) -> None:
    machine = Machine(scratch)
    machine.apply(wanted(**FULL))
    machine.put("/proc/sys/vm/max_map_count", b"1000")
    machine.ports["ens1"]["pfc"] = []
    actions = machine.apply(wanted(**FULL)).actions()
    assert actions == ["set vm.max_map_count to 16777216", "set flow control of ens1 to [3]"]


def test_an_empty_directory_that_was_there_before_stays(scratch: Path) -> None:
    machine = Machine(scratch)
    Path(machine.real("/var/lib/railyard.sglang")).mkdir()
    before = machine.state()
    machine.apply(wanted(**FULL))
    machine.apply(Wanted())
    assert machine.state() == before


def test_nothing_wanted_of_a_bare_machine_is_nothing_done(scratch: Path) -> None:
    machine = Machine(scratch)
    before = machine.state()
    made = machine.apply(wanted())
    assert (made.changed, made.actions()) == (False, [])
    assert machine.state() == before
    assert {argv[0] for argv in machine.commands} == {"systemctl"}


@pytest.mark.parametrize("text", ["not json", "[]", '{"version": 2}', "{}"])
def test_a_damaged_record_is_refused(text: str, scratch: Path) -> None:
    machine = Machine(scratch)
    Machine.write(machine, files.STATE, text.encode())
    with pytest.raises(apply.TuningError, match=r"holds no record of what this host was like before.*Fix: restore it"):
        machine.plan(wanted())


def test_a_kernel_that_takes_another_value_is_noticed(scratch: Path) -> None:
    machine = Machine(scratch)
    asked = wanted(sysctl={"net.core.rmem_max": 1})
    apply.carry_out(machine, machine.run, machine.plan(asked))
    machine.put("/proc/sys/net/core/rmem_max", b"2304")
    assert apply.remaining(machine, machine.run, asked, "6.1") == ["set net.core.rmem_max to 1"]


def test_a_refusal_of_the_kernel_says_how_to_go_on(scratch: Path) -> None:
    machine = Machine(scratch)
    made = machine.plan(wanted(sysctl={"net.core.rmem_max": 1}))
    Path(machine.real("/proc/sys/net/core/rmem_max")).unlink()
    Path(machine.real("/proc/sys/net/core/rmem_max")).mkdir()
    with pytest.raises(apply.TuningError, match=r"cannot set net.core.rmem_max to 1: Is a directory.*the next run goes on"):
        apply.carry_out(machine, machine.run, made)


def test_a_failing_program_is_quoted_with_the_likely_cause(scratch: Path) -> None:
    machine = Machine(scratch)
    step = machine.plan(wanted(modules=["ib_umad"])).steps[-1]

    def run(argv: list[str]) -> tuple[int, str, str]:
        return 1, "", f"modprobe: ERROR: could not insert '{argv[1]}': Invalid argument\n"

    with pytest.raises(apply.TuningError, match=r"'modprobe ib_umad' ended with 1: modprobe: ERROR"):
        apply.take(machine, run, step)
    with pytest.raises(apply.TuningError, match=r"Invalid argument. NVIDIA's driver was built before DOCA-OFED"):
        apply.take(machine, run, type(step)("load", "nvidia_peermem"))
