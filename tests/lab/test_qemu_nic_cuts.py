# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A renaming that is cut off at some of its steps where a host has most to lose: of a bond's ports, and of the interface of the connection.

All steps of a plainer one are in test_qemu_nic_undo.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bondkit import PORTS, bonded
from cutkit import confirmation_steps, confirmed_up_to, few, is_before, killed, own, steps_of, without_power
from nickit import MANAGEMENT, RAILS, STATE, NicLab, renamed

pytestmark = [pytest.mark.lab, pytest.mark.full]

CUTS: dict[str, Callable[..., None]] = {"killed": killed, "without power": without_power}


@pytest.mark.parametrize("cut", CUTS)
def test_ports_of_a_bond(cut: str, host: NicLab) -> None:
    bonded(host)
    # A power cut must not take away what the bond is made of.
    host.ask("sync")
    before = host.look()
    change: dict[str, Any] = {"nics": host.wanted(["roce0", "roce1"])}
    steps = steps_of(host, **change)
    is_before(host, before, seconds=120)
    chosen = few(steps)
    host.record("steps of a bond", {"steps": steps, "cut off at": chosen})
    CUTS[cut](host, before, chosen, **change)
    host.done(**change)
    assert own(host.look()) == []
    host.settled(renamed(before, PORTS), seconds=60)


@pytest.mark.parametrize("cut", CUTS)
def test_the_interface_of_the_connection(cut: str, host: NicLab) -> None:
    before = host.look()
    wanted = [{"name": "mgmt0", "mac": host.management_mac()}, *host.wanted(["roce0"])]
    change: dict[str, Any] = {"nics": wanted, "allow_management": True}
    steps = steps_of(host, **change)
    is_before(host, before, seconds=120)
    chosen = few(steps)
    host.record("steps of the management", {"steps": steps, "cut off at": chosen})
    CUTS[cut](host, before, chosen, **change)
    host.done(**change)
    assert own(host.look()) == []
    host.settled(renamed(before, {MANAGEMENT: "mgmt0", RAILS[0]: "roce0"}), seconds=60)


@pytest.mark.parametrize("action", ["kill", "reset"])
def test_the_confirmation(action: str, host: NicLab) -> None:
    before = host.look()
    change: dict[str, Any] = {"nics": host.wanted(["roce0"])}
    steps = confirmation_steps(host, **change)
    is_before(host, before, seconds=120)
    # The journal goes by one rename; what is around that is what matters.
    chosen = [step for step in steps if "/pending" in step or "/over" in step or step.endswith("undo.pyz")][:4]
    host.record("steps of a confirmation", {"steps": steps, "cut off at": chosen})
    assert chosen
    for step in chosen:
        confirmed_up_to(host, before, step, action, **change)


@pytest.mark.parametrize("cut", CUTS)
def test_the_way_back(cut: str, host: NicLab) -> None:
    former = host.look()
    host.done(nics=host.wanted(["roce0", "roce1"]))
    host.ask("sync")
    before = host.look()
    steps = steps_of(host, state="absent")
    is_before(host, before, seconds=120)
    chosen = few(steps, 4)
    host.record("steps of the way back", {"steps": steps, "cut off at": chosen})
    CUTS[cut](host, before, chosen, state="absent")
    host.taken_back(wanted=former)


@pytest.mark.parametrize("cut", CUTS)
def test_the_writing_for_the_next_boot(cut: str, host: NicLab) -> None:
    before = host.look()
    change: dict[str, Any] = {"nics": host.wanted(["roce0", "roce1"]), "apply": "boot", "confirm_seconds": 600}
    steps = steps_of(host, last="log staged", **change)
    is_before(host, before, seconds=120)
    # From the phase on that says that all is written, a boot gives the names.
    end = steps.index("log files") + 1
    chosen = few(steps[: end + 1], 3)
    host.record("steps of the writing", {"steps": steps, "cut off at": chosen})
    CUTS[cut](host, before, chosen, **change)
    host.done(**change, confirm=False)
    assert host.open_transaction() == "staged"


def test_networkmanager_is_started_anew_before_the_boot(host: NicLab) -> None:
    before = host.look()
    host.done(nics=host.wanted(["roce0", "roce1"]), apply="boot", confirm=False, confirm_seconds=600)
    host.ask("systemctl restart NetworkManager")
    # The watch looks once a minute.
    is_before(host, before, seconds=240)
    assert host.open_transaction() == ""
    assert "has lost its profile before the boot" in host.read(f"{STATE}/undone.log")
