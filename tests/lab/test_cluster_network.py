# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network stage alone on a cluster that serves: only its own tasks run, and the serving processes are the same before and after.

The hosts are containers: their interfaces have no cards that could get other names, and their filter is real.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from labkit import Lab, Run

pytestmark = pytest.mark.lab

ALL = {"p0", "p1", "d0", "d1", "r0"}
FILTER: dict[str, Any] = {"network_firewall": True, "network_firewall_provider": "nftables"}
#: What makes the plan, and the refusal of a run without one.
PLANNING = {"Inventory", "Plan", "Hosts"}
FILES = "ls -d /etc/railyard-sglang.nft /etc/systemd/system/railyard-firewall* /var/lib/railyard.sglang/firewall 2> /dev/null || true"
RULES = "nft list tables"
#: Runs on a host: connects to addresses and ports, and tells what becomes of each.
DIAL = """
import json, socket, sys
found = []
for address, port in json.load(sys.stdin):
    try:
        socket.create_connection((address, port), 10).close()
        found.append("open")
    except ConnectionRefusedError:
        found.append("refused")
    except OSError as error:
        found.append(error.strerror or "timed out")
print(json.dumps(found))
"""


def started(run: Run) -> set[str]:
    """Return the plays of which a task was begun, whether or not it did something; roles check their arguments whatever the tags."""
    return {event["play"] for event in run.events if event["event"] == "task" and "Validating arguments" not in event["task"]}


def network(cluster: Lab, *words: str, **variables: Any) -> Run:
    """Run the network stage alone, with the cluster's own variables and some more."""
    given = {**cluster.variables, "network_report_directory": str(cluster.scratch / "network"), **variables}
    return cluster.play("--tags", "network", *words, variables=given, seconds=400)


def test_a_plan_that_asks_for_nothing(cluster: Lab) -> None:
    before, state = cluster.processes(), cluster.state()
    for words in ((), ("--check",)):
        run = network(cluster, *words).succeeded()
        assert started(run) <= PLANNING
        assert (run.changed, run.on_hosts()) == ({}, [])
    assert (cluster.processes(), cluster.state()) == (before, state)


@pytest.mark.full
def test_what_serves_is_not_renamed(cluster: Lab) -> None:
    before = cluster.processes()
    addresses = cluster.everywhere("ip -j address")
    mac = cluster.ssh("p0", "cat /sys/class/net/fab0/address")
    wanted = {"network_interfaces": [{"name": "fabric0", "mac": mac}], "network_allow_rename": True, "network_drain": False}
    refused = network(cluster, "--limit", "p0,p1", **wanted).refused()
    assert mac in refused
    assert "nothing was changed on any host" in refused
    assert cluster.processes() == before
    assert cluster.everywhere("ip -j address") == addresses
    assert cluster.serving(60) > 0


@pytest.fixture
def unfiltered(cluster: Lab) -> Iterator[Lab]:
    """The cluster, whose hosts filter nothing before and afterwards."""
    assert set(cluster.everywhere(RULES + "; " + FILES).values()) == {""}
    yield cluster
    network(cluster, **{**FILTER, "network_firewall": False, "network_firewall_state": "absent"}).succeeded()
    assert set(cluster.everywhere(RULES + "; " + FILES).values()) == {""}
    assert cluster.serving(60) > 0


@pytest.mark.full
def test_a_filter_around_what_serves(unfiltered: Lab) -> None:
    cluster = unfiltered
    before = cluster.processes()
    predicted = network(cluster, "--check", "--diff", **FILTER).succeeded()
    assert set(predicted.changed) == ALL
    assert set(cluster.everywhere(RULES).values()) == {""}
    run = network(cluster, "--diff", **FILTER).succeeded()
    assert started(run) <= PLANNING | {"Network, firewall"}
    assert run.plays_on_hosts() == {"Network, firewall"}
    assert {row["task"].rpartition(" : ")[2] for row in run.on_hosts()} == {
        "Let in what the plan needs",
        "Reach the host again",
        "Keep the filter",
    }
    assert {row["host"] for row in run.on_hosts()} == ALL
    # What it does to each host is what check mode said.
    said = [
        {
            row["host"]: row["data"]["actions"]
            for row in one.results
            if row["task"].endswith("Let in what the plan needs") and row["kind"] != "skipped"
        }
        for one in (predicted, run)
    ]
    assert said[0] == said[1]
    assert cluster.processes() == before
    # New connections, too: between router, prefill and decode, over the fabric.
    assert cluster.serving(120) > 0
    # Without the variables of the filter a connection of the plan that it shuts out would be an error of preflight.
    cluster.play("--tags", "preflight,verify").succeeded()
    again = network(cluster, **FILTER).succeeded()
    assert again.changed == {}
    assert {row["task"].rpartition(" : ")[2] for row in again.on_hosts()} == {"Let in what the plan needs"}
    assert cluster.processes() == before


@pytest.mark.full
def test_who_is_not_in_the_plan_stays_outside(unfiltered: Lab) -> None:
    cluster = unfiltered
    network(cluster, **FILTER).succeeded()
    (head,) = [rank for rank in cluster.ranks() if rank["mode"] == "prefill" and rank["rank"] == 0]
    port, fabric = head["ports"][0]["port"], head["address"]
    # An engine is no router: nobody but routers sends requests to workers.
    assert dialled(cluster, cluster.router["host"], [(fabric, port)]) == ["open"]
    other = next(rank["host"] for rank in cluster.ranks() if rank["mode"] == "decode")
    assert dialled(cluster, other, [(fabric, port), (fabric, 22)]) == ["No route to host", "No route to host"]


def dialled(cluster: Lab, host: str, rows: list[tuple[str, int]]) -> list[str]:
    """Return what becomes of connections from a host."""
    found: list[str] = json.loads(cluster.python(host, DIAL, json.dumps(rows), 60))
    return found
