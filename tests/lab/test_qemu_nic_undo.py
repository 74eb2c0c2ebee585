# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A renaming that is cut off anywhere, or that nobody confirms, ends in the names of before, and the host is reachable."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest
from cutkit import is_before, journal_steps, own, steps_of
from labkit import wait_until
from nickit import MANAGEMENT, PROFILES, RAILS, STATE, UNDO, NicLab, renamed
from nicmatrix import killed

pytestmark = [pytest.mark.lab, pytest.mark.full]

#: Two that change places, one of them by a name in between, and one that gets a free name.
FIRST, SECOND = ("roce0", "roce1"), ("roce1", "roce0", "roce2")


@pytest.fixture
def named(host: NicLab) -> dict[str, Any]:
    """Give two rails names of their own, and return how the host is."""
    host.done(nics=host.wanted(FIRST))
    return host.look()


def test_the_module_is_killed_at_every_step(host: NicLab, named: dict[str, Any]) -> None:
    steps = steps_of(host, nics=host.wanted(SECOND))
    is_before(host, named)
    host.record("steps", steps)
    rows = killed(host, steps, {"nics": host.wanted(SECOND)})
    host.record("seconds for a kill", [row["seconds"] for row in rows])
    assert [row["step"] for row in rows] == steps
    assert [row for row in rows if row["wrong"]] == []
    assert {row["rc"] for row in rows} == {-signal.SIGKILL}
    # What is left of the last one is in nobody's way, and goes.
    host.done(nics=host.wanted(SECOND))
    assert own(host.look()) == []
    host.settled(renamed(named, {"roce0": "roce1", "roce1": "roce0", RAILS[2]: "roce2"}))


def test_the_power_fails_at_every_step(host: NicLab, named: dict[str, Any]) -> None:
    steps = steps_of(host, nics=host.wanted(SECOND))
    for step in journal_steps(steps):
        boot = host.boot_id()
        with host.watched("reset", step):
            run = host.start(playbook=host.playbook(nics=host.wanted(SECOND)), variables={})
            try:
                host.booted(boot)
            finally:
                run.kill()
        try:
            is_before(host, named, without=("altnames",))
        except AssertionError as error:
            raise AssertionError(f"without power at {step}") from error
        if step.startswith("log") and step != "log armed":
            assert own(host.look()) == []


def test_the_machine_dies_with_the_transaction_open_and_in_the_undo(host: NicLab, named: dict[str, Any]) -> None:
    wanted = host.wanted(SECOND)
    host.named(nics=wanted, confirm=False).succeeded()
    assert host.open_transaction() == "applied"
    host.cut_power()
    is_before(host, named, without=("altnames",))
    assert host.open_transaction() == ""
    # And the way back, cut off in its middle, first the program and then the power.
    host.named(nics=wanted, confirm=False).succeeded()
    with host.watched() as steps:
        host.undo_now()
    middle = steps[max(1, len(steps) // 2)]
    for action in ("kill", "reset"):
        host.named(nics=wanted, confirm=False).succeeded()
        boot = host.boot_id()
        with host.watched(action, middle):
            host.question("p0", f"systemctl start {UNDO}.service")
            if action == "reset":
                host.booted(boot)
        host.undo_now()
        host.ask(f"systemctl start {UNDO}.service 2> /dev/null || true", seconds=300)
        is_before(host, named, without=("altnames",))
        assert host.open_transaction() == ""


#: What is changed in the profile: an address of another network, which cuts the controller off, with a gateway and a route in it; or a
#: gateway and a route alone, beside the right address, of which the controller notices nothing.
WRONG = {
    "cut off": "ipv4.addresses {away}.77/24 ipv4.gateway {away}.254 ipv4.routes '{far}.0/24 {away}.253'",
    "other ways": "ipv4.gateway {net}.254 ipv4.routes '{far}.0/24 {net}.253'",
}
#: One of these may be the lab's own.
DOCUMENTED = ("192.0.2", "198.51.100", "203.0.113")


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_profile_in_the_place_of_the_right_one(wrong: str, host: NicLab) -> None:
    uuid = host.look()["devices"][MANAGEMENT].rpartition(":")[2]
    address = host.ask(f"nmcli -g ip4.address device show {MANAGEMENT}").split()[0]
    net = address.rpartition(".")[0]
    away, far = [other for other in DOCUMENTED if other != net][:2]
    # The routed case: there is a default route, and one more, which nobody answers on here. They are to come back as they were.
    host.ask(f"nmcli connection modify {uuid} ipv4.gateway {net}.1 ipv4.routes '{far}.0/24 {net}.9' && nmcli connection up {uuid}")
    host.ask("sync")
    before = host.look()
    assert [row for row in before["routes"] if f"gateway {net}.1" in row]
    # As if the change had brought it, under the same UUID.
    change = f"nmcli connection modify {uuid} {WRONG[wrong].format(net=net, away=away, far=far)} && nmcli connection up {uuid}"
    between = [
        {
            "name": "A profile that is wrong",
            "ansible.builtin.command": {"argv": ["systemd-run", "--quiet", "--collect", "--on-active=2", "sh", "-c", change]},
        },
        {"name": "Let it come", "ansible.builtin.wait_for": {"timeout": 10}, "delegate_to": "localhost"},
    ]
    wanted = [{"name": "mgmt0", "mac": host.management_mac()}, *host.wanted(("roce0",))]
    cut = host.named(nics=wanted, allow_management=True, confirm_seconds=150, between=between)
    assert cut.rc != 0
    assert "p0" in cut.failures
    begin = time.monotonic()
    assert host.reachable(300), "nobody has undone it"
    host.record("reachable again", round(time.monotonic() - begin, 1))
    # Nothing wrong is left beside the right: the looks hold all addresses and routes.
    is_before(host, before)
    wait_until(lambda: host.open_transaction() == "", 240, "the undo has come to its end")
    assert "undo" in host.read(f"{STATE}/undone.log")
    # NetworkManager has the former profile in force, too: it changes nothing when it is told to apply it.
    host.ask(f"nmcli device reapply {MANAGEMENT}")
    is_before(host, before)


def test_nobody_confirms(host: NicLab) -> None:
    before = host.look()
    done = host.done(nics=host.wanted(("roce0", "roce1")), confirm=False, confirm_seconds=90)
    transaction = done["transaction"]
    assert transaction
    # The second run finds what it would do done, and the transaction open.
    assert host.ask(f"systemctl is-active {UNDO}.timer") == "active"
    until = time.monotonic() + 240
    while host.open_transaction() and time.monotonic() < until:
        time.sleep(2)
    is_before(host, before)
    late = host.confirmed(transaction).refused()
    assert f"no open transaction {transaction}" in late
    assert "Fix:" in late


def test_what_waits_for_a_confirmation_is_found_by_the_next_run(host: NicLab) -> None:
    wanted = host.wanted(("roce0", "roce1"))
    first = host.done(nics=wanted, confirm=False)
    again = host.done(nics=wanted)
    assert (again["changed"], again["transaction"]) == (False, first["transaction"])
    assert host.open_transaction() == ""
    # Another change undoes what is open before it begins.
    host.done(nics=host.wanted(("roce1", "roce0")), confirm=False)
    host.taken_back()


def test_names_that_change_at_the_next_boot(host: NicLab) -> None:
    before = host.look()
    wanted = host.wanted(("roce0", "roce1"))
    staged = host.done(nics=wanted, apply="boot", confirm=False, confirm_seconds=600)
    assert staged["changed"]
    now = host.look()
    assert now["names"] == before["names"]
    assert now["addresses"] == before["addresses"]
    host.reboot()
    expected = renamed(before, {RAILS[0]: "roce0", RAILS[1]: "roce1"})
    host.settled(expected, seconds=120)
    again = host.done(nics=wanted, apply="boot", confirm_seconds=600)
    assert again["changed"] is False
    assert again["transaction"]
    assert host.open_transaction() == ""
    host.settled(expected)
    host.reboot()
    host.settled(expected, seconds=120)
    host.taken_back()


def test_names_that_change_at_the_next_boot_and_that_nobody_confirms(host: NicLab) -> None:
    before = host.look()
    short = host.named(nics=host.wanted(("roce0", "roce1")), apply="boot", confirm=False, confirm_seconds=60)
    assert "network_confirm_seconds" in short.refused()
    host.done(nics=host.wanted(("roce0", "roce1")), apply="boot", confirm=False, confirm_seconds=600)
    host.reboot()
    assert host.ask(f"systemctl is-active {UNDO}.timer") == "active"
    # What the timer does in ten minutes.
    host.undo_now()
    is_before(host, before, without=("altnames",))
    assert f"{PROFILES}/{RAILS[0]}.nmconnection" in host.look()["files"]
