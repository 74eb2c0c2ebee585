# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of a host, and what its answers mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall import firewalld, look, nft
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.wanted import Profile, Wanted
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostfirewall.filtered_host import HOST
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostfirewall.test_firewall_texts import LISTED

STORED, MADE_UP = "/etc/NetworkManager/system-connections/", "/run/NetworkManager/system-connections/"
SCRIPT = "/etc/sysconfig/network-scripts/ifcfg-eno2"
FILES = {
    f"{STORED}fab: 0.nmconnection": "[connection]\nid=fab: 0\nzone=internal\n",
    SCRIPT: "DEVICE=eno2\nZONE=public\n",
    f"{MADE_UP}mgmt0.nmconnection": "[connection]\nid=mgmt0\n\n[.nmmeta]\nnm-generated=true\nvolatile=true\nexternal=true\n",
    f"{MADE_UP}Wired connection 1.nmconnection": "[connection]\nid=Wired connection 1\n\n[.nmmeta]\nnm-generated=true\n",
    f"{STORED}unused.nmconnection": "[connection]\nid=unused\n",
}
# As nmcli 1.42 -t has it: a colon in a value has a backslash before it.
SHOWN = f"""\
u-1:802-3-ethernet:fab0:{STORED}fab\\: 0.nmconnection:fab\\: 0
u-2:802-3-ethernet:eno2:{SCRIPT}:System eno2
u-3:802-3-ethernet:mgmt0:{MADE_UP}mgmt0.nmconnection:mgmt0
u-4:802-3-ethernet:eno4:{MADE_UP}Wired connection 1.nmconnection:Wired connection 1
u-5:loopback:lo:{MADE_UP}lo.nmconnection:lo
u-6:802-3-ethernet::{STORED}unused.nmconnection:unused
"""


def answers(**given: str) -> look.Runner:
    """Return what answers for programs by their names; others are not there."""

    def run(argv: list[str]) -> tuple[int, str, str]:
        name = argv[0].replace("-", "_")
        return (0, given[name], "") if name in given else (127, "", "not found")

    return run


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for path, text in {**FILES, firewalld.CONFIGURATION: "DefaultZone=internal\n"}.items():
        place = tmp_path / path[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    return tmp_path


def test_profiles(base: Path) -> None:
    found = {row.device: row for row in look.profiles(str(base), answers(nmcli=SHOWN))}
    content = {path: text.encode() for path, text in FILES.items()}
    path, made = f"{STORED}fab: 0.nmconnection", f"{MADE_UP}Wired connection 1.nmconnection"
    assert found == {
        "fab0": Profile("u-1", "fab0", "fab: 0", path, content[path], "internal"),
        "eno2": Profile("u-2", "eno2", "System eno2", SCRIPT, content[SCRIPT], "public"),
        # NetworkManager has made it up, and it is nowhere stored.
        "eno4": Profile("u-4", "eno4", "Wired connection 1", "", content[made], None),
    }
    assert look.profiles(str(base), answers()) == ()


def test_a_host_without_any_filter(base: Path) -> None:
    found = look.look(str(base), answers(), Wanted(), HOST)
    assert (found.runtime, found.ruleset, found.profiles, found.files, found.linked, found.pending) == (None, None, (), {}, False, False)
    assert found.default_zone == "internal"


def test_only_what_matters_is_asked(base: Path) -> None:
    asked: list[str] = []

    def run(argv: list[str]) -> tuple[int, str, str]:
        asked.append(argv[0])
        return {"nmcli": (0, SHOWN, ""), "firewall-cmd": (0, LISTED, ""), "nft": (0, '{"nftables": []}', "")}[argv[0]]

    found = look.look(str(base), run, Wanted(), HOST)
    assert asked == ["nmcli", "firewall-cmd"]
    assert set(found.runtime or {}) == {"public", "trusted"}
    asked.clear()
    assert look.look(str(base), run, Wanted(provider="nftables"), HOST).ruleset == []
    assert asked == ["nft"]
    # What the other provider has left is looked at, too.
    (base / nft.PATH[1:]).write_bytes(b"x")
    asked.clear()
    found = look.look(str(base), run, Wanted(), HOST)
    assert asked == ["nmcli", "firewall-cmd", "nft"]
    assert found.files == {nft.PATH: b"x"}


@pytest.mark.parametrize("output", ["", "{}", "no json"])
def test_rules_that_are_not_understood_are_none(output: str) -> None:
    assert look.ruleset(answers(nft=output)) is None


def test_this_machine_has_interfaces() -> None:
    found = look.host()
    assert "lo" in found.interfaces
    assert found.addresses["127.0.0.1"] == "lo"
