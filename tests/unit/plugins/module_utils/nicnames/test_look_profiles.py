# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles of NetworkManager: what nmcli tells, what files tell."""

from __future__ import annotations

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.look_profiles import connected, fields, is_profile, manager, profiles
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Profile
from ansible_collections.railyard.sglang.tests.unit.support.nichosts import CONNECTIONS, keyfile, mac

ONE = "7c1b6f0e-0000-4000-8000-000000000001"
TWO = "7c1b6f0e-0000-4000-8000-000000000002"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("a:b:c", ["a", "b", "c"]),
        (r"a\:b:c\\:", ["a:b", "c\\", ""]),
        ("::", ["", "", ""]),
        ("", [""]),
    ],
)
def test_fields(line: str, found: list[str]) -> None:
    assert fields(line) == found


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        (f"{CONNECTIONS}/ens0.nmconnection", True),
        (f"{CONNECTIONS}/Wired connection 1", True),
        ("/run/NetworkManager/system-connections/x.nmconnection", True),
        ("/etc/sysconfig/network-scripts/ifcfg-ens0", True),
        ("/etc/sysconfig/network-scripts/route-ens0", False),
        (f"{CONNECTIONS}/{ONE}.nmmeta", False),
        ("/etc/NetworkManager/conf.d/x.conf", False),
    ],
)
def test_what_is_a_profile(path: str, is_one: bool) -> None:
    assert is_profile(path) == is_one


def test_nmcli_and_files_together() -> None:
    files = {
        f"{CONNECTIONS}/a.nmconnection": keyfile("ens0", "[ethernet]", f"mac-address={mac(0).upper()}", uuid=ONE),
        f"{CONNECTIONS}/new.nmconnection": keyfile("ens9", uuid=TWO),
        f"{CONNECTIONS}/README": b"no profile\n",
        "/etc/sysctl.conf": b"",
    }
    shown = (
        f"{ONE}:802-3-ethernet:ens0:{CONNECTIONS}/a.nmconnection:My\\: name\n"
        f"{TWO[:-1]}3:bridge::/run/NetworkManager/system-connections/virbr0.nmconnection:virbr0\n"
        f"{TWO[:-1]}4:loopback:--::lo\n"
        "broken\n"
    )
    assert profiles(files, shown) == (
        Profile(ONE, "My: name", "ethernet", f"{CONNECTIONS}/a.nmconnection", "ens0", "ens0", mac(0)),
        Profile(f"{TWO[:-1]}3", "virbr0", "bridge", "/run/NetworkManager/system-connections/virbr0.nmconnection"),
        Profile(f"{TWO[:-1]}4", "lo", "loopback"),
        Profile(TWO, "ens9", "ethernet", f"{CONNECTIONS}/new.nmconnection", "", "ens9"),
    )


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ((0, "x", ""), (True, "x")),
        ((8, "", "Error: NetworkManager is not running."), (False, "")),
        ((127, "", ""), (False, "")),
    ],
)
def test_whether_it_runs(answer: tuple[int, str, str], found: tuple[bool, str]) -> None:
    asked: list[list[str]] = []

    def run(words: list[str]) -> tuple[int, str, str]:
        asked.append(words)
        return answer

    assert manager(run) == found
    assert asked == [["nmcli", "-t", "-f", "UUID,TYPE,DEVICE,FILENAME,NAME,STATE", "connection", "show"]]


def test_what_is_connected() -> None:
    shown = (
        f"{ONE.upper()}:802-3-ethernet:ens0:{CONNECTIONS}/a.nmconnection:My\\: name:activated\n"
        f"{TWO}:802-3-ethernet:ens1:{CONNECTIONS}/b.nmconnection:b:activating\n"
        f"{TWO[:-1]}3:bridge::/run/virbr0.nmconnection:virbr0:\n"
        f"{TWO[:-1]}4:loopback:--::lo:activated\n"
        "broken\n"
    )
    assert connected(shown) == {"ens0": ONE}
    assert [row.uuid for row in profiles({}, shown)] == [ONE, TWO, f"{TWO[:-1]}3", f"{TWO[:-1]}4"]
