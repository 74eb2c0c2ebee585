# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans of random hosts: any set of names and any permutation of it ends where it was wanted, and back where it began."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.plan import build
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic, Seen, Wanted
from ansible_collections.railyard.sglang.tests.unit.support.nichosts import (
    CONNECTIONS,
    booted,
    card,
    carried_out,
    host,
    keyfile,
    mac,
    wanted,
)

NAMES = ["roce0", "roce1", "roce2", "rail0", "rail1", "rail_2", "a", "roce0-1", "m" * 15]
OLD = ["enp1s0", "enp1s0f1", "eno1", "ens3np0", "eth0", "p1p1", "ens3", "enp1s0np1", "x"]


@st.composite
def hosts(draw: st.DrawFn) -> Seen:
    """Hosts with some cards, a bond of the first two at times, and files that name them all."""
    count = draw(st.integers(1, 8))
    old = draw(st.permutations([*OLD, *NAMES]))[:count]
    bond = count > 2 and draw(st.booleans())
    nics = [card(number, name, master="bond0" if bond and number < 2 else "") for number, name in enumerate(old)]
    rules = [f"routing-rule{number}=priority {number} iif {name} table 9" for number, name in enumerate(old)]
    files = {
        "/etc/sysctl.d/50.conf": "".join(f"net.ipv4.conf.{name}.rp_filter=2\n" for name in old).encode(),
        f"{CONNECTIONS}/rules.nmconnection": keyfile("rules", "[ipv4]", *rules),
    }
    if bond:
        nics.append(Nic("bond0", 40, mac(0), kind="bond", lower=tuple(old[:2])))
        files[f"{CONNECTIONS}/bond0.nmconnection"] = keyfile("bond0", "[bond]", f"primary={old[1]}", kind="bond")
        files.update({f"{CONNECTIONS}/{name}.nmconnection": keyfile(name).replace(b"uuid", b"master=bond0\nuuid") for name in old[:2]})
    return host(nics, files)


def pick(draw: st.DrawFn, seen: Seen, names: list[str]) -> Wanted:
    """Return the wish that some of a host's cards have some names, of which none is that of a card that is left out."""
    numbers = [number for number, nic in enumerate(seen.nics) if not nic.kind]
    chosen = draw(st.lists(st.sampled_from(numbers), unique=True, min_size=1))
    left = {nic.name for number, nic in enumerate(seen.nics) if number not in chosen}
    free = [name for name in names if name not in left]
    given = draw(st.permutations(free))[: len(chosen)]
    return wanted(dict(zip(chosen, given)), at_boot=draw(st.booleans()))


def lay(seen: Seen, asked: Wanted) -> Seen:
    """Carry out what is asked, without a boot."""
    plan = build(seen, asked)
    assert plan.faults == []
    after = carried_out(seen, plan)
    again = build(after, asked)
    assert (again.changed, again.faults) == (False, [])
    return after


def step(seen: Seen, asked: Wanted) -> Seen:
    """Carry out what is asked, boot where that is how it comes to be, and see that nothing is left to be done."""
    after = lay(seen, asked)
    if asked.at_boot:
        after = booted(after)
    elif asked.present:
        assert booted(after).nics == after.nics
    again = build(after, asked)
    assert (again.changed, again.faults) == (False, [])
    for nic in asked.nics:
        assert [found.name for found in after.nics if found.permanent_mac == nic.mac] == [nic.name]
    return after


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_there_and_back(data: st.DataObject) -> None:
    before = data.draw(hosts())
    now = before
    for _turn in range(data.draw(st.integers(1, 3))):
        now = step(now, pick(data.draw, now, NAMES))
    back = step(now, Wanted(present=False))
    assert (back.files, back.modes, back.record) == (before.files, before.modes, {})
    assert back.nics == before.nics


@settings(max_examples=60, deadline=None)
@given(st.data(), st.permutations(range(8)), st.permutations(range(8)), st.booleans())
def test_a_boot_that_does_not_come(data: st.DataObject, first: list[int], second: list[int], boot: bool) -> None:
    before = host([card(number, name) for number, name in enumerate(data.draw(st.permutations(OLD))[:8])])
    now = step(before, wanted({number: f"roce{place}" for number, place in enumerate(first)}))
    waiting = lay(now, wanted({number: f"roce{place}" for number, place in enumerate(second)}, at_boot=True))
    if boot:
        assert [nic.name for nic in booted(waiting).nics] == [f"roce{place}" for place in second]
        waiting = booted(waiting)
    for asked in (Wanted(present=False), wanted({number: f"rail{number}" for number in range(8)})):
        after = lay(waiting, asked)
        back = after if not asked.present else lay(after, Wanted(present=False))
        assert (back.files, back.nics) == (before.files, before.nics)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_leaves_the_set_goes_back_when_the_map_is_new(data: st.DataObject) -> None:
    before = data.draw(hosts())
    now = step(before, replace(pick(data.draw, before, NAMES), at_boot=False))
    asked = replace(pick(data.draw, before, NAMES), at_boot=False, remap=True)
    plan = build(now, asked)
    if plan.faults:
        # A former name may be what another card is to be called.
        assert all("would be the name of" in fault or "would become" in fault for fault in plan.faults), plan.faults
        return
    after = carried_out(now, plan)
    assert not build(after, asked).changed
    meant = {nic.mac: nic.name for nic in asked.nics}
    for old, new in zip(before.nics, after.nics):
        assert new.name == meant.get(old.permanent_mac, old.name)
