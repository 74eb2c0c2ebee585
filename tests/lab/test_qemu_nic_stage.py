# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network stage alone, by site.yml and its tag, on a virtual machine: bare, and with an engine's unit that uses the interfaces.

The unit, its files and its arguments are those of the plan; the program that it runs is a stand-in. What serving processes keep is in
test_cluster_network.py.
"""

from __future__ import annotations

import pytest
from nickit import MANAGEMENT, RAILS, ROCE, NicLab, renamed
from stagekit import NAMES, UNIT, install_engine, main_process, slice_of, stage, tasks

pytestmark = [pytest.mark.lab, pytest.mark.full]

LOOK, CHANGE = "Network", "Network, host by host"
MAPPING = dict(zip(RAILS, ROCE))


def test_a_bare_host(host: NicLab) -> None:
    before = host.look()
    predicted = stage(host, "--check", "--diff", **NAMES).succeeded()
    assert host.look() == before, "check mode has changed something"
    assert set(predicted.changed) == {"p0"}
    run = stage(host, "--diff", **NAMES).succeeded()
    # Beside its own plays only the one that makes the plan does something on the host, and that is a look.
    assert run.plays_on_hosts() == {"Plan", LOOK, CHANGE}
    assert tasks(run, "Plan") == ["Look at the RDMA devices and GPUs"]
    assert tasks(run, LOOK) == ["Look what would change"]
    assert tasks(run, CHANGE) == ["Give the names", "Reach the host again", "Keep the names", "Look at the RDMA devices and GPUs"]
    assert {row["host"] for row in run.on_hosts()} == {"p0"}
    host.settled(renamed(before, MAPPING), seconds=60)
    host.managed(ROCE, host.look())
    again = stage(host, **NAMES).succeeded()
    assert again.changed == {}
    assert again.plays_on_hosts() == {"Plan", LOOK}
    assert tasks(again, LOOK) == ["Look what would change"]
    back = stage(host, **{**NAMES, "network_state": "absent"}).succeeded()
    assert back.plays_on_hosts() == {"Plan", LOOK, CHANGE, "Network, firewall"}
    host.settled(before, seconds=60)


def test_a_stage_that_is_asked_for_nothing(host: NicLab) -> None:
    before = host.look()
    run = stage(host).succeeded()
    assert (run.changed, run.plays_on_hosts()) == ({}, {"Plan"})
    assert host.look() == before


def test_an_engine_keeps_its_interfaces_unless_it_is_drained(host: NicLab) -> None:
    # In check mode the plan has the names that the host has.
    plan = slice_of(stage(host, "--check", network_firewall=True, network_firewall_provider="nftables").succeeded())
    install_engine(host, plan)
    before, process = host.look(), main_process(host)
    assert process != "0"

    refused = stage(host, **NAMES).refused()
    assert f"{UNIT} runs and uses {', '.join(sorted(RAILS))}" in refused
    assert "network_drain: true" in refused
    assert "nothing was changed on any host" in refused
    assert (host.look(), main_process(host)) == (before, process)

    # One that the engine does not use, while it runs.
    management = {"network_interfaces": [{"name": "mgmt0", "mac": host.management_mac()}], "network_allow_management": True}
    other = {**NAMES, **management, "network_prefix": ""}
    for drain in (False, True):
        run = stage(host, **other, network_drain=drain).succeeded()
        assert "Stop the engine's units" not in tasks(run, CHANGE)
        assert main_process(host) == process
    host.settled(renamed(before, {MANAGEMENT: "mgmt0"}), seconds=60)

    # Those that it uses: it is stopped, and stays so, since its files name what is called otherwise now.
    all_names = {**NAMES, **management, "network_drain": True}
    run = stage(host, seconds=1200, **all_names).succeeded()
    done = tasks(run, CHANGE)
    assert done[:2] == ["Stop the engine's units", "Give the names"]
    assert "Start the engine's units again" not in done
    assert f"{UNIT} stays stopped: its files name an interface that is called otherwise now" in " ".join(run.output.split())
    assert (main_process(host), host.ask(f"systemctl is-active {UNIT} || true")) == ("0", "inactive")
    host.settled(renamed(before, {**MAPPING, MANAGEMENT: "mgmt0"}), seconds=60)

    # What stage engine does then: the files of the plan of now.
    run = stage(host, "--check", **{**all_names, "network_firewall": True, "network_firewall_provider": "nftables"}).succeeded()
    now = slice_of(run)
    assert (now["ranks"][0]["environment"]["GLOO_SOCKET_IFNAME"], plan["ranks"][0]["environment"]["GLOO_SOCKET_IFNAME"]) == (
        ROCE[0],
        RAILS[0],
    )
    install_engine(host, now)
    process = main_process(host)
    assert process != "0"
    assert stage(host, **all_names).succeeded().changed == {}
    assert main_process(host) == process

    # A change after which its files are still right: it is stopped before and started after.
    run = stage(host, seconds=1200, **{**all_names, "network_rail_mtu": 9000}).succeeded()
    done = tasks(run, CHANGE)
    assert done[:2] == ["Stop the engine's units", "Give the names"]
    assert "Start the engine's units again" in done
    assert main_process(host) not in ("0", process)
    assert {host.look()["links"][name][0] for name in ROCE} == {9000}

    refused = stage(host, **{**all_names, "network_state": "absent", "network_drain": False}).refused()
    assert f"{UNIT} runs and uses" in refused
    stage(host, seconds=1200, **{**all_names, "network_state": "absent"}).succeeded()
    assert main_process(host) == "0"
    host.settled(before, seconds=60, without=("files",))
