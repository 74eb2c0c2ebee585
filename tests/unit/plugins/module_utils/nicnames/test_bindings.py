# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import bindings
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.look_profiles import profiles
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic, Seen

UUID, OTHER = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
PATH = "/etc/NetworkManager/system-connections/roce0.nmconnection"
PROFILE = f"[connection]\nid=roce0\nuuid={UUID}\ntype=ethernet\ninterface-name=roce0\n".encode()


def host(content: bytes = PROFILE, path: str = PATH) -> Seen:
    shown = f"{UUID}:802-3-ethernet:--:{path}:roce0\n"
    nic = Nic("roce0", 3, "02:00:5e:00:53:10", "02:00:5e:00:53:10", "mlx5_core", "0000:0c:00.0")
    return Seen(nics=(nic,), files={path: content}, profiles=profiles({path: content}, shown), manager=True)


def look(row: str, seen: Seen | None = None, config: str = "[main]\nplugins=keyfile\n") -> bindings.Bindings:
    def run(words: list[str]) -> tuple[int, str, str]:
        return (0, config, "") if words[0] == "NetworkManager" else (0, row, "")

    return bindings.look(seen or host(), run, ["roce0"])


def test_one_with_its_own_profile_is_right() -> None:
    assert look(f"roce0:connected:{UUID}") == bindings.Bindings()
    assert look("roce0:connecting (getting IP configuration):--") == bindings.Bindings()


def test_what_the_list_of_profiles_shows_is_not_asked_again() -> None:
    def nobody(words: list[str]) -> tuple[int, str, str]:
        raise AssertionError(words)

    assert bindings.look(replace(host(), connected={"roce0": UUID}), nobody, ["roce0"]) == bindings.Bindings()
    (fault,) = look(f"roce0:connected:{OTHER}", replace(host(), connected={"roce0": OTHER})).faults
    assert f"connected with the profile {OTHER}" in fault


@pytest.mark.parametrize("state", ["disconnected:--", "connected (externally):33", "failed:--"])
def test_one_without_its_profile_is_healed(state: str) -> None:
    assert look(f"roce0:{state}") == bindings.Bindings([bindings.Binding("roce0", UUID, PATH)])


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("", "NetworkManager does not know roce0"),
        ("roce0:unmanaged:--", "Fix: nmcli device set roce0 managed yes"),
        (f"roce0:connected:{OTHER}", f"connected with the profile {OTHER}, and its own is {PATH} ({UUID}). Fix: nmcli connection up"),
    ],
)
def test_what_a_person_has_to_mend(row: str, text: str) -> None:
    found = look(row)
    assert (found.heals, len(found.faults), "Fix: " in found.faults[0]) == ([], 1, True)
    assert text in found.faults[0]


@pytest.mark.parametrize("config", ["[keyfile]\nunmanaged-devices=interface-name:roce*\n", "[device-rails]\nmanaged=0\n"])
def test_one_that_the_configuration_keeps_from_it_is_left_alone(config: str) -> None:
    found = look("roce0:unmanaged:--", config=config)
    assert (found.heals, found.faults, len(found.notes)) == ([], [], 1)


def test_one_without_a_link_is_left_alone() -> None:
    found = look("roce0:unavailable:--")
    assert (found.heals, found.faults, len(found.notes)) == ([], [], 1)


@pytest.mark.parametrize(
    "seen",
    [
        host(PROFILE.replace(b"type=ethernet", b"type=ethernet\nautoconnect=false")),
        host(PROFILE.replace(b"=roce0", b"=roce7")),
        replace(host(), files={}, profiles=()),
        replace(host(), manager=False),
        host(f"DEVICE=roce0\nUUID={UUID}\nNM_CONTROLLED=no\n".encode(), "/etc/sysconfig/network-scripts/ifcfg-roce0"),
    ],
)
def test_one_without_a_profile_that_starts_by_itself_is_left_alone(seen: Seen) -> None:
    assert look("roce0:disconnected:--", seen) == bindings.Bindings()


def test_a_profile_that_takes_it_by_a_pattern_will_do() -> None:
    path = "/etc/NetworkManager/system-connections/any.nmconnection"
    content = f"[connection]\nid=any\nuuid={OTHER}\ntype=ethernet\nautoconnect=false\n[match]\ninterface-name=roce*\n".encode()
    found = host()
    files = {**found.files, path: content}
    shown = f"{UUID}:802-3-ethernet:--:{PATH}:roce0\n{OTHER}:802-3-ethernet:roce0:{path}:any\n"
    assert look(f"roce0:connected:{OTHER}", replace(found, files=files, profiles=profiles(files, shown))) == bindings.Bindings()


@pytest.mark.parametrize(("state", "faults"), [(f"connected:{UUID}", 0), ("disconnected:--", 1)])
def test_healing_is_looked_at(state: str, faults: int) -> None:
    asked: list[list[str]] = []

    def run(words: list[str]) -> tuple[int, str, str]:
        asked.append(words)
        return (0, f"roce0:{state}\n", "") if words[-1] == "device" else (4, "", "Error: no") if faults else (0, "", "")

    found = bindings.heal(run, [bindings.Binding("roce0", UUID, PATH)])
    assert asked[0][-5:] == ["up", "uuid", UUID, "ifname", "roce0"]
    assert [text for text in found if "Error: no" in text and "Fix: " in text] == found
    assert len(found) == faults
