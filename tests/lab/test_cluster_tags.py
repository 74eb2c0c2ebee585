# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One stage alone, or one instance alone, on a live cluster."""

from __future__ import annotations

import pytest
from labkit import Lab, names

pytestmark = pytest.mark.lab

ENGINES = {"p0", "p1", "d0", "d1"}
ALL = ENGINES | {"r0"}
STAGES = {
    "preflight": ("Preflight", ALL),
    "network": ("", set()),
    "rdma": ("RDMA", ALL),
    "deepep,deepgemm": ("", set()),
    "stack": ("Stack", ALL),
    "model": ("Model", ENGINES),
    "engine": ("Engine", ALL),
    "router": ("Router", {"r0"}),
    "verify": ("Verify", ALL),
}
#: The others are for the long run.
SHORT = {"network", "engine", "verify"}


@pytest.mark.parametrize("tag", [pytest.param(tag, marks=() if tag in SHORT else pytest.mark.full) for tag in STAGES])
def test_a_stage_alone_does_just_that(tag: str, cluster: Lab) -> None:
    play, hosts = STAGES[tag]
    before = cluster.processes()
    run = cluster.play("--tags", tag, seconds=120).succeeded()
    assert run.plays_on_hosts() == ({play} if play else set())
    assert {row["host"] for row in run.on_hosts()} == hosts
    assert run.changed == {}
    assert cluster.processes() == before


def test_limit_to_one_instance(cluster: Lab) -> None:
    run = cluster.play("--limit", "p0,p1", seconds=120).succeeded()
    assert {row["host"] for row in run.on_hosts()} == {"p0", "p1"}
    assert {"Preflight", "RDMA", "Stack", "Model", "Engine", "Verify"} == run.plays_on_hosts()
    assert run.changed == {}
    assert "Wait for the ranks" in " ".join(names(run.on_hosts()))


@pytest.mark.full
def test_limit_to_the_router(cluster: Lab) -> None:
    run = cluster.play("--limit", "router", seconds=120).succeeded()
    assert {row["host"] for row in run.on_hosts()} == {"r0"}
    assert run.changed == {}
