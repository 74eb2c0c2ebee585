# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host firewall on a booted virtual machine of each generation: firewalld really runs, packets come from outside of it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from nickit import MANAGEMENT, RAILS, ROCE, NicLab
from stagekit import NAMES, slice_of
from wallkit import (
    STATE,
    UNDONE,
    ZONES,
    answer,
    everything_passes,
    exactly_planned,
    filtered,
    filters,
    listen,
    module,
    only_planned_passes,
    settled_zones,
    start_firewalld,
)

pytestmark = pytest.mark.lab

PROVIDERS = ("firewalld", "nftables")
APART = {ZONES[0]: sorted(RAILS), ZONES[1]: [MANAGEMENT]}
#: A change by firewalld and NetworkManager is a minute's work on an emulated processor that is shared: the timer comes after it.
UNDO_SECONDS = {"firewalld": 240, "nftables": 90}


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest, host: NicLab) -> str:
    """Return what filters, ready to do so."""
    name: str = request.param
    if name == "firewalld":
        start_firewalld(host)
    return name


def is_before(host: NicLab, before: dict[str, Any], rules: list[str], seconds: float = 240) -> None:
    """See that the host has its former files, profiles and filter; what an undo leaves to be read does not count."""
    until = time.monotonic() + seconds
    while (now := filters(host)) != rules:
        assert time.monotonic() < until, [row for row in {*now, *rules} if (row in now) != (row in rules)]
        time.sleep(2)
    host.ask(f"rm -f {UNDONE}")
    host.settled(before, without=("altnames",), seconds=120)


@pytest.mark.full
def test_only_what_is_planned_is_let_in(host: NicLab) -> None:
    listen(host)
    everything_passes(host)
    first = filtered(host, network_firewall_provider="nftables").succeeded()
    assert answer(first)["zones"] == APART
    exactly_planned(host, "nftables")
    only_planned_passes(host)
    again = filtered(host, network_firewall_provider="nftables").succeeded()
    assert again.changed == {}
    assert (answer(again)["actions"], answer(again)["transaction"]) == ([], "")


@pytest.mark.full
def test_predicted_done_and_taken_back(provider: str, host: NicLab) -> None:
    given = {"network_firewall_provider": provider}
    listen(host)
    if provider == "nftables":
        everything_passes(host)
    before, rules = host.look(), filters(host)
    predicted = answer(filtered(host, "--check", "--diff", **given).succeeded())
    assert (host.look(), filters(host)) == (before, rules), "check mode has changed something"
    done = answer(filtered(host, "--diff", **given).succeeded())
    for key in ("changed", "actions", "zones", "diff"):
        assert done[key] == predicted[key], key
    assert done["zones"] == APART
    assert (done["changed"], predicted["transaction"], done["transaction"] != "") == (True, "", True)
    after, loaded = host.look(), filters(host)
    for words in ((), ("--check",)):
        again = filtered(host, *words, **given).succeeded()
        assert (again.changed, answer(again)["actions"]) == ({}, [])
    assert (host.look(), filters(host)) == (after, loaded)
    holds(host, provider)
    host.reboot()
    holds(host, provider)
    host.settled(after, without=("altnames",))
    assert filtered(host, **given).succeeded().changed == {}
    absent = {**given, "network_firewall": False, "network_firewall_state": "absent"}
    predicted = answer(filtered(host, "--check", "--diff", **absent).succeeded())
    done = answer(filtered(host, "--diff", **absent).succeeded())
    assert {key: done[key] for key in ("changed", "actions", "diff")} == {key: predicted[key] for key in ("changed", "actions", "diff")}
    is_before(host, before, rules)
    assert host.ask("ls -d /var/lib/railyard.sglang 2> /dev/null || true") == ""
    if provider == "nftables":
        everything_passes(host)
    assert filtered(host, **absent).succeeded().changed == {}


def holds(host: NicLab, provider: str) -> None:
    """See that the filter is there: by what is loaded, and by packets."""
    if provider == "firewalld":
        settled_zones(host, APART)
    listen(host)
    exactly_planned(host, provider)
    only_planned_passes(host)


@pytest.mark.full
def test_nobody_confirms(provider: str, host: NicLab) -> None:
    given = {"provider": provider, "confirm_seconds": UNDO_SECONDS[provider]}
    before, rules = host.look(), filters(host)
    plan = slice_of(filtered(host, "--check", network_firewall_provider=provider).succeeded())
    opened = answer(module(host, plan=plan, **given).succeeded())
    assert opened["transaction"]
    assert host.ask("systemctl is-active railyard-firewall-undo.timer") == "active"
    assert filters(host) != rules
    # Nothing else is asked of the host until its timer has come.
    closed = f"[ ! -e {STATE}/pending ] && [ ! -e {STATE}/undoing ]"
    host.ask(f"for _ in $(seq 600); do {closed} && exit 0; sleep 1; done; exit 1", seconds=900)
    late = module(host, confirm=opened["transaction"]).refused()
    assert "was undone: it was not confirmed in time" in late
    assert "Fix:" in late
    assert host.read(UNDONE).strip() == opened["transaction"]
    is_before(host, before, rules)
    assert host.ask("systemctl is-active railyard-firewall-undo.timer || true") != "active"


@pytest.mark.full
def test_a_change_is_added_to_a_filter_and_undone(provider: str, host: NicLab) -> None:
    filtered(host, network_firewall_provider=provider).succeeded()
    before, rules = host.look(), filters(host)
    run = filtered(host, "--check", network_firewall_provider=provider).succeeded()
    also = [{"port": "9100", "scope": "fabric", "purpose": "exporter"}]
    given = {"provider": provider, "plan": slice_of(run), "confirm_seconds": 3600}
    module(host, also=also, **given).succeeded()
    listen(host)
    only_planned_passes(host, "peer 9100", "stranger 9100", "rail 3 9100")
    # The next run undoes first what nobody has confirmed.
    forgotten = answer(module(host, **given).succeeded())
    assert "was never confirmed: it is undone first" in " ".join(forgotten["notes"])
    assert (forgotten["changed"], forgotten["transaction"]) == (True, "")
    is_before(host, before, rules)
    only_planned_passes(host)


@pytest.mark.full
def test_the_power_fails_while_a_change_is_open(provider: str, host: NicLab) -> None:
    before, rules = host.look(), filters(host)
    plan = slice_of(filtered(host, "--check", network_firewall_provider=provider).succeeded())
    module(host, plan=plan, provider=provider, confirm_seconds=3600).succeeded()
    assert host.ask(f"ls -d {STATE}/pending") == f"{STATE}/pending"
    host.cut_power()
    assert host.ask(f"ls -d {STATE}/pending {STATE}/undoing 2> /dev/null || true") == ""
    is_before(host, before, rules)
    # Nothing is in the way of the next one.
    filtered(host, network_firewall_provider=provider).succeeded()
    holds(host, provider)


@pytest.mark.full
def test_names_and_a_filter_in_one_run(provider: str, host: NicLab) -> None:
    before, rules = host.look(), filters(host)
    both = {**NAMES, "network_firewall_provider": provider}
    done = answer(filtered(host, seconds=1500, **both).succeeded())
    apart = {ZONES[0]: sorted(ROCE), ZONES[1]: [MANAGEMENT]}
    assert done["zones"] == apart
    assert filtered(host, **both).succeeded().changed == {}
    host.reboot()
    if provider == "firewalld":
        settled_zones(host, apart)
    listen(host)
    only_planned_passes(host)
    # Other names for what is filtered: the filter follows in the same transaction.
    other = {**both, "network_prefix": "rail", "network_firewall": False, "network_firewall_state": "present"}
    filtered(host, seconds=1500, **other).succeeded()
    if provider == "firewalld":
        settled_zones(host, {ZONES[0]: [name.replace("roce", "rail") for name in ROCE], ZONES[1]: [MANAGEMENT]})
    only_planned_passes(host)
    assert filtered(host, **{**other, "network_firewall": True}).succeeded().changed == {}
    filtered(host, seconds=1500, **{**both, "network_state": "absent", "network_firewall": False}).succeeded()
    is_before(host, before, rules)


@pytest.mark.full
def test_an_open_change_of_one_kind_is_in_the_way_of_the_other(provider: str, host: NicLab) -> None:
    before, rules = host.look(), filters(host)
    plan = slice_of(filtered(host, "--check", network_firewall_provider=provider).succeeded())
    options = {"plan": plan, "provider": provider, "confirm_seconds": 3600}
    opened = answer(module(host, **options).succeeded())["transaction"]
    now = host.look()
    refused = host.named(nics=host.wanted(["roce0", "roce1"])).refused()
    assert f"change {opened} of its filter" in refused
    assert "Fix:" in refused
    assert host.look() == now
    # What the timer does when its time has come.
    host.ask(f"/bin/sh {STATE}/undo.sh && systemctl stop railyard-firewall-undo.timer", seconds=300)
    is_before(host, before, rules)
    named = host.done(nics=host.wanted(["roce0", "roce1"]), confirm=False, confirm_seconds=3600)["transaction"]
    now = host.look()
    refused = module(host, **options).refused()
    assert f"change {named} of its names" in refused
    assert "Fix:" in refused
    assert (host.look(), filters(host)) == (now, [" ".join(sorted(swapped(row))) for row in rules])
    host.undo_now()
    is_before(host, before, rules)


def swapped(row: str) -> list[str]:
    """Return the words of a line with the names that two interfaces have meanwhile."""
    names = {RAILS[0]: "roce0", RAILS[1]: "roce1"}
    return [names.get(word, word) for word in row.split()]
