# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module with real rules of nftables and real packets between two network namespaces."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support.programs import environment

DRIVER = Path(__file__).resolve().parent / "live_nft.py"
CLOSED = "No route to host"


def able() -> bool:
    """Whether networks and mounts of one's own can be had here, and the programs are there."""
    if os.geteuid() != 0 or not all(shutil.which(name) for name in ("nft", "ip", "ss", "unshare")):
        return False
    trial = "mount -t tmpfs none /run && mkdir -p /run/netns /run/u /run/w && ip netns add x && ip link add v0 type veth peer name v1 && "
    trial += "mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/u,workdir=/run/w /etc"
    return subprocess.run(["unshare", "--net", "--mount", "sh", "-c", trial], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if not able():
        pytest.skip("needs root, nft, iproute2, and network and mount namespaces")
    directory = tmp_path_factory.mktemp("live")
    command = ["unshare", "--net", "--mount", sys.executable, str(DRIVER), str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_only_what_is_planned_is_let_in(found: dict[str, Any]) -> None:
    assert found["reached before"] == ["open", "open", "open"]
    assert found["change"].get("msg") is None
    assert found["reached"] == ["open", CLOSED, CLOSED]
    assert found["change"]["zones"] == {"railyard-fabric": ["fab0"], "railyard-mgmt": ["mgmt0"]}


def test_check_mode_tells_what_the_run_does_and_writes_nothing(found: dict[str, Any]) -> None:
    assert found["after check"] == found["before"] == {}
    keys = ("changed", "actions", "zones", "diff")
    assert {key: found["check"][key] for key in keys} == {key: found["change"][key] for key in keys}
    assert (found["check"]["transaction"], found["change"]["transaction"] != "") == ("", True)


def test_the_second_run_changes_nothing(found: dict[str, Any]) -> None:
    assert found["confirm"]["changed"] is True
    for name in ("again", "check again"):
        assert (found[name]["changed"], found[name]["actions"], found[name]["transaction"]) == (False, [], ""), name


def test_what_is_not_confirmed_is_undone(found: dict[str, Any]) -> None:
    assert found["reached more"] == ["open", CLOSED, "open"]
    assert found["reached after the undo"] == ["open", CLOSED, CLOSED]
    assert found["too late"]["failed"] is True
    assert "was undone: it was not confirmed in time" in found["too late"]["msg"]
    assert found["after the undo"]["changed"] is False


def test_it_is_refused_while_names_are_open(found: dict[str, Any]) -> None:
    check, refused, nothing_to_do = found["names are open"]
    for result in (check, refused):
        assert result["failed"] is True
        assert "open change 0a1b2c3d4e5f of its names of interfaces (nic_names)" in result["msg"]
        assert result["msg"].endswith("Nothing was changed on this host.")
    assert (nothing_to_do.get("failed", False), nothing_to_do["changed"]) == (False, False)
    assert found["touched while names are open"] is False


def test_a_change_that_nobody_confirmed_is_undone_by_the_next_run(found: dict[str, Any]) -> None:
    transaction = found["forgotten"]["transaction"]
    assert f"Change {transaction} was never confirmed: it is undone first" in found["after one that was forgotten"]["notes"]


def test_state_absent_leaves_nothing(found: dict[str, Any]) -> None:
    assert found["after"] == {}
    assert found["reached after"] == ["open", "open", "open"]
    assert found["rules after"] == ""


def test_the_timer_is_armed_for_each_change_and_stopped_by_its_confirmation(found: dict[str, Any]) -> None:
    armed = [order for order in found["orders"] if order == "systemctl restart railyard-firewall-undo.timer"]
    assert len(armed) == 5
    assert "systemctl stop railyard-firewall-undo.timer" in found["orders"]


def test_a_change_is_undone_when_that_is_asked_for(found: dict[str, Any]) -> None:
    assert [(result.get("failed", False), result["changed"]) for result in found["told to undo"]] == [
        (False, True), (False, True), (False, False),
    ]
    assert found["reached after it"] == ["open", CLOSED, CLOSED]


def test_the_last_resort_lets_in_ssh_and_nothing_else(found: dict[str, Any]) -> None:
    assert found["ssh while it is shut out"] == CLOSED or "refused" in found["ssh while it is shut out"]
    assert found["ssh let in"][0] == "open"
    assert found["ssh let in"][1] != "open"
    # Once in each of both tables.
    assert found["ssh let in"][2] == 2
