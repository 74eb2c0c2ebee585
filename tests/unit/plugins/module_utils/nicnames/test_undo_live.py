# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Undone transactions, with real addresses, routes, names and files; see live_undo.py for what is real there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import undo

DRIVER = Path(__file__).resolve().parent / "live_undo.py"


@pytest.fixture(scope="module", autouse=True)
def _able() -> None:
    trial = ["unshare", "--net", "--mount", "sh", "-c", "mount -t sysfs none /sys && ip link add v0 type veth peer name v1"]
    if os.geteuid() != 0 or shutil.which("ip") is None or subprocess.run(trial, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs root, iproute2, and network and mount namespaces")


def played(directory: Path, scenario: str) -> dict[str, Any]:
    """Play a scenario of live_undo.py."""
    environment = {**os.environ, "PYTHONPATH": str(Path(undo.__file__).parents[6])}
    command = ["unshare", "--net", "--mount", sys.executable, str(DRIVER), str(directory), scenario]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def activations(found: dict[str, Any]) -> list[str]:
    """Return what was asked of NetworkManager that could disturb an interface."""
    return [line for line in found["asked"] if line.startswith("nmcli --wait")]


@pytest.mark.parametrize("scenario", ["wrong_profile", "first_route"])
def test_what_is_wrong_is_taken_away_and_the_former_profile_is_in_force(tmp_path: Path, scenario: str) -> None:
    found = played(tmp_path, scenario)
    assert (found["left"], found["open"]) == ([], "")
    assert found["after"] == found["before"]
    assert found["force"]["v0"] == found["before"]["files"]["v0.nmconnection"]


def test_by_hand_everything_is_as_before_and_only_what_networkmanager_has_in_force_is_left(tmp_path: Path) -> None:
    found = played(tmp_path, "wrong_profile_applied")
    assert found["after"] == found["before"]
    assert found["left"] == ["NetworkManager has on v0 something else than its former profile in force (it fails)"]
    assert found["open"] == "applied"


def test_what_others_have_brought_stays(tmp_path: Path) -> None:
    found = played(tmp_path, "of_others")
    assert (found["left"], found["open"], activations(found)) == ([], "", [])
    extra = [row for part in ("addresses", "routes") for row in found["after"][part] if row not in found["before"][part]]
    for text in ("192.0.2.200/32", "203.0.113.0/24 via 192.0.2.7", "2001:db8:5::5/64"):
        assert [row for row in extra if text in row]


def test_what_passes_by_itself_or_is_of_the_link_stays(tmp_path: Path) -> None:
    found = played(tmp_path, "of_others_in_doubt")
    assert (found["left"], found["open"]) == ([], "")
    assert not [row for part in found["before"] for row in found["before"][part] if row not in found["after"][part]]
    by_hand = found["asked"][: found["asked"].index("nmcli connection reload")]
    assert "ip address add 192.0.2.10/24 broadcast 192.0.2.255 noprefixroute dev v0" in by_hand
    assert not [line for line in by_hand if " del " in line]


def test_another_lease_is_nothing_wrong(tmp_path: Path) -> None:
    found = played(tmp_path, "leased")
    assert (found["left"], found["open"], activations(found)) == ([], "", [])
    assert not [line for line in found["asked"] if " del " in line]
    assert [row for row in found["after"]["addresses"] if "v1 inet 198.51.100.21/24" in row]


def test_a_lease_in_the_place_of_fixed_addresses_goes(tmp_path: Path) -> None:
    found = played(tmp_path, "by_dhcp_now")
    assert found["after"] == found["before"]


def test_where_nothing_is_wrong_no_profile_is_activated(tmp_path: Path) -> None:
    found = played(tmp_path, "unharmed")
    assert (found["left"], found["open"], activations(found)) == ([], "", [])
    assert found["after"] == found["before"]


def test_what_stays_wrong_is_tried_again_some_times(tmp_path: Path) -> None:
    rows = played(tmp_path, "cannot_be_right")["rows"]
    assert [row[1] for row in rows] == ["applied"] * 3 + [""] * 2
    assert "route default via 192.0.2.1 dev v0 proto static is missing" in rows[0][0]


@pytest.mark.parametrize("scenario", ["failing_file", "failing_file_at_boot"])
def test_a_file_that_cannot_be_given_back(tmp_path: Path, scenario: str) -> None:
    found = played(tmp_path, scenario)
    assert "No space left on device" in "; ".join(found["left"])
    assert "r0 keeps its name, since files that name it are not as before" in found["left"]
    # One NIC is as before, the other as after; none is without a profile.
    assert sorted(found["after"]["up"]) == ["lo", "peer0", "peer1", "r0", "v1"]
    assert sorted(found["after"]["files"]) == ["r0.nmconnection", "v1.nmconnection"]
    assert found["open"] == "applied"
    # The timer, which a boot has to start, does the rest.
    armed = "systemctl --no-block restart railyard-nic-names-undo.timer" in found["asked"]
    assert armed == (scenario == "failing_file_at_boot")
    assert (found["again"]["left"], found["again"]["open"]) == ([], "")
    assert {key: found["again"]["after"][key] for key in ("files", "up")} == {key: found["before"][key] for key in ("files", "up")}


def test_an_undo_that_fails_at_a_boot_is_tried_again(tmp_path: Path) -> None:
    found = played(tmp_path, "unreadable_at_boot")
    assert found["left"][0].endswith("/pending is not whole")
    assert "systemctl --no-block restart railyard-nic-names-undo.timer" in found["asked"]


def test_a_confirmation_that_is_cut_off_is_not_taken_for_an_undo(tmp_path: Path) -> None:
    cut, again, repeated, unknown, undone = played(tmp_path, "confirmed_twice")["rows"]
    assert (cut, again, repeated) == (["applied", True], True, False)
    assert "knows no more whether it was kept or undone" in unknown
    assert "it was undone, because nobody confirmed it in time" in undone


def test_what_was_to_undo_goes_where_nothing_was_begun(tmp_path: Path) -> None:
    found = played(tmp_path, "no_units")
    assert "systemd cannot run" in found["left"][0]
    assert found["left"][0].endswith("Everything was undone.")
    assert (found["there"], found["after"]) == ([], found["before"])


def test_names_of_a_boot_wait_for_their_confirmation(tmp_path: Path) -> None:
    found = played(tmp_path, "names_of_a_boot")
    assert (found["left"], found["open"]) == ([], "booted")
    assert found["asked"] == ["udevadm settle --timeout=60", "systemctl --no-block restart railyard-nic-names-undo.timer"]


def test_names_that_a_boot_does_not_give_are_undone_at_once(tmp_path: Path) -> None:
    found = played(tmp_path, "names_that_a_boot_does_not_give")
    assert (found["left"], found["open"]) == ([], "")
    assert {key: found["after"][key] for key in ("files", "up")} == {key: found["before"][key] for key in ("files", "up")}
    assert "v1 was to be r1 from this boot on" in found["log"]


def test_an_interface_that_loses_its_profile_before_the_boot_gets_it_back(tmp_path: Path) -> None:
    found = played(tmp_path, "watched")
    assert (found["quiet"], found["left"], found["open"]) == ([[], "staged"], [], "")
    assert [line for line in found["asked before"] if not line.startswith("nmcli -t")] == []
    assert found["after"] == found["before"]
    assert found["force"]["v0"] == found["before"]["files"]["v0.nmconnection"]
    assert "v0 has lost its profile before the boot that was to rename it" in found["log"]


def test_a_module_that_is_ended_while_it_writes_the_files_of_a_boot_is_undone(tmp_path: Path) -> None:
    found = played(tmp_path, "ended_while_it_staged")
    assert (found["left"], found["open"], found["after"]) == ([], "", found["before"])
