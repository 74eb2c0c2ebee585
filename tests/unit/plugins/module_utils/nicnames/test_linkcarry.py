# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the operator's .link files go on under the new names, and are what they are without this collection."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import linkcarry, linkfile
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.plan import build
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic, Seen, Wanted
from ansible_collections.railyard.sglang.tests.unit.support.nichosts import (
    DEFAULT,
    DEFAULT_LINK,
    booted,
    card,
    carried_out,
    edited,
    host,
    mac,
    wanted,
)

DIRECTORY = linkfile.DIRECTORY
LATER = f"{DIRECTORY}/90-mlx5.link"
EARLIER = f"{DIRECTORY}/10-old.link"
RINGS = b"[Match]\nDriver=mlx5_core\n\n[Link]\nNamePolicy=keep kernel path\n# rings\nRxBufferSize=8192\nMTUBytes=9000\n"
OLD = f"[Match]\nPermanentMACAddress={mac(0)}\n\n[Link]\nName=old0\nRxBufferSize=4096\n".encode()
ONE = {0: "roce0"}


def seen(files: dict[str, bytes], **other: Any) -> Seen:
    return host([card(0, "ens0"), card(1, "ens1")], files, **other)


def section(after: Seen, name: str = "roce0") -> str:
    """Return what a file of ours says in [Link] and after it, but its name and policy."""
    return after.files[linkfile.path(name)].decode("latin-1").partition("AlternativeNamesPolicy=database onboard slot path\n")[2]


def done(before: Seen, asked: Wanted) -> Seen:
    """Return a host after a run, of which another one and the way back are looked at, too."""
    plan = build(before, asked)
    assert plan.faults == []
    after = carried_out(before, plan)
    assert not build(after, asked).changed
    assert not build(booted(after), asked).changed
    back = carried_out(after, build(after, Wanted(present=False)))
    assert (back.files, back.modes, back.record) == (before.files, before.modes, {})
    return after


BOTH = "RxBufferSize=8192\nMTUBytes=9000\n"
CASES = [
    ({LATER: RINGS}, "RxBufferSize=8192\nMTUBytes=9000\n"),
    ({LATER: RINGS, f"{LATER}.d/a.conf": b"[Link]\nTxBufferSize=1\n"}, "RxBufferSize=8192\nMTUBytes=9000\nTxBufferSize=1\n"),
    ({LATER: RINGS.replace(b"mlx5_core", b"virtio_net")}, ""),
    ({LATER: RINGS, f"{DIRECTORY}/80-first.link": RINGS.replace(b"8192", b"1024")}, "RxBufferSize=1024\nMTUBytes=9000\n"),
    ({"/usr/lib/systemd/network/90-vendor.link": RINGS}, "RxBufferSize=8192\nMTUBytes=9000\n"),
    ({f"{DIRECTORY}/99-default.link": DEFAULT + b"WakeOnLan=magic\n"}, "WakeOnLan=magic\n"),
    ({f"{DIRECTORY}/99-default.link": DEFAULT.replace(b"persistent", b"none")}, "MACAddressPolicy=none\n"),
    ({LATER: RINGS + b"AlternativeName=rail roce0 roce1\nAlternativeName=roce0\n"}, BOTH + "AlternativeName=rail\n"),
    ({LATER: RINGS + b"Advertise=\nAdvertise=a\nAdvertise=b\\\n c\n"}, BOTH + "Advertise=\nAdvertise=a\nAdvertise=b c\n"),
    (
        {LATER: RINGS + b"[SR-IOV]\n# one\nVirtualFunction=0\n VLANId=5\n\n[SR-IOV]\nVirtualFunction=1\n[X-Own]\na=1\n"},
        "RxBufferSize=8192\nMTUBytes=9000\n\n[SR-IOV]\nVirtualFunction=0\n VLANId=5\n\n[SR-IOV]\nVirtualFunction=1\n",
    ),
    ({LATER: RINGS + b"Alias=caf\xc3\xa9\n"}, "RxBufferSize=8192\nMTUBytes=9000\nAlias=caf\u00c3\u00a9\n"),
    # By this the kernel's own names are meant, and no card is called so when udev meets it.
    ({LATER: RINGS.replace(b"Driver=mlx5_core", b"OriginalName=ens*")}, ""),
    ({LATER: b""}, ""),
    ({}, ""),
]


@pytest.mark.parametrize(("files", "repeated"), CASES)
def test_what_the_file_would_set_that_ours_is_applied_before(files: dict[str, bytes], repeated: str) -> None:
    before = seen(files)
    plan = build(before, wanted({0: "roce0", 1: "roce1"}))
    assert len([note for note in plan.notes if "one .link file" in note]) == bool(repeated)
    after = done(before, wanted({0: "roce0", 1: "roce1"}))
    assert (section(after), section(after, "roce1")) == (repeated, repeated)
    assert [nic.name for nic in booted(after).nics] == ["roce0", "roce1"]


def test_settings_of_a_file_that_is_removed_stay_in_force_and_are_told() -> None:
    before = seen({EARLIER: OLD, LATER: RINGS})
    plan = build(before, wanted(ONE, stale="remove"))
    assert [note for note in plan.notes if EARLIER in note and "RxBufferSize" in note and linkfile.path("roce0") in note]
    after = done(before, wanted(ONE, stale="remove"))
    assert section(after) == "RxBufferSize=4096\n"
    # Still without that consent, and under another name.
    assert not build(after, wanted(ONE)).changed
    later = carried_out(after, build(after, wanted({0: "rail0", 1: "rail1"})))
    assert (section(later, "rail0"), section(later, "rail1")) == ("RxBufferSize=4096\n", "RxBufferSize=8192\nMTUBytes=9000\n")


def test_settings_of_a_file_in_the_place_of_ours() -> None:
    assert section(done(seen({linkfile.path("roce0"): OLD}), wanted(ONE, stale="remove"))) == "RxBufferSize=4096\n"


def test_settings_follow_when_the_operators_file_changes() -> None:
    after = done(seen({LATER: RINGS}), wanted(ONE))
    changed = edited(after, {LATER: RINGS.replace(b"9000", b"4200")})
    again = carried_out(changed, build(changed, wanted(ONE)))
    assert section(again) == "RxBufferSize=8192\nMTUBytes=4200\n"
    files = {path: content for path, content in again.files.items() if path != LATER}
    gone = carried_out(replace(again, files=files), build(replace(again, files=files), wanted(ONE)))
    assert section(gone) == ""


def test_a_card_that_is_dead_keeps_its_file() -> None:
    asked = Wanted(nics=wanted(ONE).nics[:0], rails={0: "ens0"})
    rail = replace(wanted(ONE).nics[0], mac="", rail=0)
    long = "80:00:00:00:fe:80:00:00:00:00:00:00:00:00:00:00:00:00:00:01"
    for nic in (card(0, "ens0"), card(0, "ens0", mac=long, permanent_mac="")):
        before = host([nic, card(1, "ens1")], {LATER: RINGS})
        after = carried_out(before, build(before, replace(asked, nics=(rail,))))
        dead = replace(after, nics=after.nics[1:])
        plan = build(dead, replace(asked, nics=(rail,)))
        assert (plan.faults, plan.changed) == ([], False)
        named = carried_out(dead, build(dead, replace(asked, nics=(replace(rail, name="rail0"),))))
        assert named.files[linkfile.path("rail0")] == after.files[linkfile.path("roce0")].replace(b"roce0", b"rail0")


POLICY = b"[Match]\nOriginalName=*\n[Link]\nMACAddressPolicy=persistent\n"
LONG = "80:00:00:00:fe:80:00:00:00:00:00:00:00:00:00:00:00:00:00:01"


@pytest.mark.parametrize(
    ("nic", "link"),
    [
        (card(0, "ens0"), ()),
        (card(0, "ens0", virtual_function=True), ("MACAddressPolicy=persistent",)),
        (card(0, "ens0", permanent_mac=""), ("MACAddressPolicy=persistent",)),
        (card(0, "ib0", permanent_mac="", mac=LONG), ()),
    ],
)
def test_a_card_without_an_address_of_its_own_keeps_the_one_that_udev_made(nic: Nic, link: tuple[str, ...]) -> None:
    assert linkcarry.settings(POLICY, nic, []) == linkcarry.Settings(link)
    assert DEFAULT_LINK in host([nic]).files


def test_alternative_names_are_those_that_the_host_gives() -> None:
    policy = b"AlternativeNamesPolicy=database onboard slot path mac\n"
    after = done(seen({"/usr/lib/systemd/network/99-default.link": DEFAULT + policy}), wanted(ONE))
    assert policy in after.files[linkfile.path("roce0")]
