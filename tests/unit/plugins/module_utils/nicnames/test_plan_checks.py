# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a plan of NIC names is refused, what it asks consent for, and what it tells."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import linkfile, rdmarules
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.plan import build
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic, Plan, Seen, Wanted, WantedNic
from ansible_collections.railyard.sglang.tests.unit.support.nichosts import (
    CONNECTIONS,
    booted,
    card,
    carried_out,
    edited,
    good,
    host,
    keyfile,
    mac,
    rails,
    wanted,
)

OTHER_LINK = f"[Match]\nMACAddress={mac(0)}\n[Link]\nName=stale0\n".encode()
PATTERN_LINK = b"[Match]\nDriver=mlx5_core\n[Link]\nMTUBytes=9000\n"
RULE = f'SUBSYSTEM=="net", ACTION=="add", ATTR{{address}}=="{mac(0)}", NAME="stale0"\n'.encode()
UDEV = "/etc/udev/rules.d/70-persistent-net.rules"
ONE = {0: "roce0"}


def one(files: dict[str, bytes] | None = None, **other: Any) -> Seen:
    return host([card(0, "ens0"), card(1, "ens1")], files, **other)


def faulty(seen: Seen, asked: Wanted, *words: str) -> Plan:
    """Return a plan with exactly one fault, which has some words and a way out."""
    plan = build(seen, asked)
    assert len(plan.faults) == 1, plan.faults
    assert "Fix: " in plan.faults[0]
    for word in words:
        assert word in plan.faults[0]
    return plan


def test_a_name_that_another_device_has() -> None:
    faulty(host([card(0, "ens0"), Nic("roce0", 9, kind="dummy")]), wanted(ONE), "roce0 is the name of another device")


def test_a_name_that_another_device_has_as_an_alternative() -> None:
    faulty(host([card(0, "ens0"), card(1, "ens1", altnames=("roce0",))]), wanted(ONE), "alternative name of ens1", "altname roce0")


@pytest.mark.parametrize("holder", [0, 1])
def test_an_alternative_name_of_a_card_that_is_named_too_is_no_obstacle(holder: int) -> None:
    nics = [card(number, f"ens{number}", altnames=("roce0",) if number == holder else ()) for number in range(2)]
    assert build(host(nics), wanted({0: "roce0", 1: "roce1"})).faults == []


def test_a_profile_in_the_way() -> None:
    files = {f"{CONNECTIONS}/roce0.nmconnection": keyfile("other", uuid="7c1b6f0e-0000-4000-8000-00000000000f")}
    faulty(one(files), wanted(ONE), "ens0.nmconnection would become", "roce0.nmconnection")


def test_two_profiles_that_start_under_the_new_name() -> None:
    files = {f"{CONNECTIONS}/of-lsr.nmconnection": keyfile("roce0")}
    faulty(one(files), wanted(ONE), "several profiles", "of-lsr.nmconnection", "roce0.nmconnection")


@pytest.mark.parametrize("line", [b"autoconnect=false\n", b"autoconnect-priority=-1\n"])
def test_two_profiles_of_which_one_starts(line: bytes) -> None:
    files = {f"{CONNECTIONS}/of-lsr.nmconnection": keyfile("roce0").replace(b"type=", line + b"type=")}
    assert build(one(files), wanted(ONE)).faults == []


@pytest.mark.parametrize("directory", ["/run", "/usr/lib"])
def test_a_profile_that_cannot_be_written(directory: str) -> None:
    files = {f"{directory}/NetworkManager/system-connections/boot.nmconnection": keyfile("ens0")}
    faulty(host([card(0, "ens0")], files, profiled=False), wanted(ONE), "boot.nmconnection names ens0")


def test_a_profile_that_networkmanager_made_by_itself_is_no_obstacle() -> None:
    files = {"/run/NetworkManager/system-connections/w.nmconnection": keyfile("ens0", "[.nmmeta]", "nm-generated=true")}
    assert build(host([card(0, "ens0")], files, profiled=False), wanted(ONE)).faults == []


@pytest.mark.parametrize("name", ["ens1", "net7"])
def test_a_profile_elsewhere_that_names_no_such_nic_is_no_obstacle(name: str) -> None:
    files = {"/run/NetworkManager/system-connections/boot.nmconnection": keyfile(name)}
    assert build(host([card(0, "ens0"), card(1, "ens1")], files, profiled=False), wanted(ONE)).faults == []


@pytest.mark.parametrize("path", ["/etc/sysctl.d/50.conf", f"{CONNECTIONS}/link.nmconnection"])
def test_a_link_to_another_file_is_told(path: str) -> None:
    rule = keyfile("other", "[ipv4]", "routing-rule1=priority 1 iif ens0 table 9")
    content = b"net.ipv4.conf.ens0.x=1\n" if path.endswith(".conf") else rule
    plan = build(one({path: content}, shadowed=(path,)), wanted({0: "roce0", 1: "roce1"}))
    assert [(row.path, row.name, plan.faults) for row in plan.references] == [(path, "ens0", [])]
    assert path not in [change.path for change in plan.files]


@pytest.mark.parametrize(
    ("path", "content", "words"),
    [
        ("/etc/systemd/network/10-other.link", OTHER_LINK, "the name stale0"),
        (linkfile.path("roce0"), OTHER_LINK, "not this collection's"),
        (UDEV, RULE, "stale0"),
    ],
)
def test_what_beats_the_names_is_refused_or_removed(path: str, content: bytes, words: str) -> None:
    before = one({path: content})
    faulty(before, wanted(ONE), path, words, "network_stale: remove")
    plan = good(before, wanted(ONE, stale="remove"))
    after = carried_out(before, plan)
    assert [nic.name for nic in booted(after).nics] == ["roce0", "ens1"]
    assert b"stale0" not in after.files.get(path, b"")
    assert not build(after, wanted(ONE)).changed
    back = carried_out(after, build(after, Wanted(present=False)))
    assert (back.files, back.modes) == (before.files, before.modes)


def test_a_link_file_that_others_need_is_never_removed() -> None:
    faulty(one({"/etc/systemd/network/10-all.link": PATTERN_LINK}), wanted(ONE, stale="remove"), "10-all.link", "for ens1, too")


def test_a_link_file_of_named_ports_only_may_go() -> None:
    before = one({"/etc/systemd/network/10-all.link": PATTERN_LINK})
    plan = good(before, wanted({0: "roce0", 1: "roce1"}, stale="remove"))
    assert [note for note in plan.notes if "10-all.link" in note]


@pytest.mark.parametrize("path", ["/usr/lib/systemd/network/10-vendor.link", "/run/systemd/network/10-netplan.link"])
def test_a_link_file_that_cannot_be_removed(path: str) -> None:
    faulty(one({path: OTHER_LINK}), wanted(ONE, stale="remove"), path, "/etc/systemd/network")


def test_a_link_file_that_is_hidden_already_is_no_obstacle() -> None:
    files = {"/usr/lib/systemd/network/10-vendor.link": OTHER_LINK, "/etc/systemd/network/10-vendor.link": b""}
    assert build(one(files), wanted(ONE)).faults == []


def test_a_rule_that_cannot_be_removed() -> None:
    faulty(one({"/usr/lib/udev/rules.d/70-x.rules": RULE}), wanted(ONE, stale="remove"), "70-x.rules", "stale0")
    hidden = {"/usr/lib/udev/rules.d/70-x.rules": RULE, "/etc/udev/rules.d/70-x.rules": b"# nothing\n"}
    assert build(one(hidden), wanted(ONE)).faults == []


def test_a_file_of_rules_goes_with_its_last_rule_unless_it_hides_another_one() -> None:
    alone = one({UDEV: RULE})
    assert UDEV not in carried_out(alone, build(alone, wanted(ONE, stale="remove"))).files
    hidden = UDEV.replace("/etc", "/usr/lib")
    for files in ({UDEV: RULE, hidden: RULE}, {UDEV: b"# Ours.\n" + RULE}):
        before = one(files)
        after = carried_out(before, build(before, wanted(ONE, stale="remove")))
        assert after.files[UDEV] == files[UDEV].replace(RULE, b"")
        assert carried_out(after, build(after, Wanted(present=False))).files == before.files


def test_a_rule_that_pins_the_name_of_today_is_rewritten() -> None:
    before = one({UDEV: RULE.replace(b"stale0", b"ens0")})
    plan = good(before, wanted(ONE))
    assert carried_out(before, plan).files[UDEV] == RULE.replace(b"stale0", b"roce0")


def test_link_files_that_are_not_applied_at_all() -> None:
    path = "/etc/udev/rules.d/80-net-setup-link.rules"
    faulty(one({path: b""}, shadowed=(path,)), wanted(ONE), path, "any .link file")


def test_networkmanager_must_run() -> None:
    faulty(one(manager=False), wanted(ONE), "NetworkManager does not run", "network_apply: boot")
    assert build(one(manager=False), wanted(ONE, at_boot=True)).faults == []


def test_files_that_cannot_be_read() -> None:
    faulty(one(errors={CONNECTIONS: "EACCES", "/sys/x": "EIO"}), wanted(ONE), CONNECTIONS, "EACCES", "become")


def test_what_is_no_file_is_not_missed() -> None:
    path = f"{CONNECTIONS}/x.nmconnection"
    assert build(one(errors={path: "EISDIR"}), wanted(ONE)).faults == []
    faulty(one(errors={path: "EACCES"}), wanted(ONE), path)


def test_several_profiles_of_a_name_that_stays_are_not_our_business() -> None:
    files = {f"{CONNECTIONS}/of-lsr.nmconnection": keyfile("roce0")}
    assert build(host([card(0, "roce0")], files), wanted(ONE)).faults == []


def test_our_place_taken_by_a_link() -> None:
    path = linkfile.path("roce0")
    faulty(one({path: OTHER_LINK}, shadowed=(path,)), wanted(ONE, stale="remove"), path, "not this collection's")


def test_what_beats_the_name_of_a_dead_nic_can_wait() -> None:
    before = host(rails(2))
    asked = Wanted(nics=(WantedNic("roce0", rail=0), WantedNic("roce1", rail=1)), rails={0: before.nics[0].name, 1: before.nics[1].name})
    after = carried_out(before, build(before, asked))
    dead = edited(replace(after, nics=after.nics[1:]), {"/etc/systemd/network/10-other.link": OTHER_LINK, UDEV: RULE})
    assert build(dead, asked).faults == []


def test_the_usual_rules_of_udev_are_no_obstacle() -> None:
    usual = b'IMPORT{builtin}="net_setup_link"\nNAME=="", ENV{ID_NET_NAME}!="", NAME="$env{ID_NET_NAME}"\n'
    files = {
        "/usr/lib/udev/rules.d/80-net-setup-link.rules": usual,
        "/etc/udev/rules.d/99-disk.rules": b'KERNEL=="sda", SYMLINK+="x"\n',
    }
    assert build(one(files), wanted(ONE)).faults == []


def test_an_rdma_name_without_a_device_and_one_that_is_taken() -> None:
    asked = Wanted(nics=(WantedNic("roce0", mac=mac(0), rdma="mlx5_rail0"),))
    faulty(one(), asked, "mlx5_rail0", "has none")
    faulty(host([card(0, "ens0", rdma=("a", "b"))]), asked, "has 2 of them")
    faulty(host([card(0, "ens0", rdma=("mlx5_0",)), card(1, "ens1", rdma=("mlx5_rail0",))]), asked, "another RDMA device")


def test_an_rdma_device_of_software_is_told() -> None:
    asked = Wanted(nics=(WantedNic("roce0", mac=mac(0), rdma="mlx5_rail0"),))
    plan = build(host([card(0, "ens0", rdma=("rxe0",))], soft=("rxe0",)), asked)
    assert plan.rdma == {"rxe0": "mlx5_rail0"}
    assert [note for note in plan.notes if "rxe0: made of software" in note]
    assert not [change for change in plan.files if change.path.endswith(".rules")]


def test_rules_of_an_operator_stay_below_ours() -> None:
    path = "/etc/udev/rules.d/60-rdma-persistent-naming.rules"
    theirs = b'ACTION=="add", SUBSYSTEM=="infiniband", PROGRAM="rdma_rename %k NAME_KERNEL"\n'
    before = host([card(0, "ens0", rdma=("mlx5_0",))], {path: theirs})
    asked = Wanted(nics=(WantedNic("roce0", mac=mac(0), rdma="mlx5_rail0"),))
    after = carried_out(before, build(before, asked))
    assert b"NAME_FIXED mlx5_rail0" in after.files[path]
    assert theirs in after.files[path]
    assert not build(after, asked).changed
    back = carried_out(after, build(after, Wanted(present=False)))
    assert (back.files, back.nics) == (before.files, before.nics)
    # Where no RDMA name is left, theirs are alone again.
    more = replace(before, nics=(*before.nics, card(1, "ens1")))
    two = Wanted(nics=(*asked.nics, WantedNic("roce1", mac=mac(1))))
    after = carried_out(more, build(more, two))
    plan = build(after, replace(two, nics=two.nics[1:], remap=True))
    assert (plan.faults, carried_out(after, plan).files[path]) == ([], theirs)


def test_an_rdma_name_that_moves_to_another_place_leaves_the_former_one() -> None:
    path = "/etc/udev/rules.d/60-rdma-persistent-naming.rules"
    before = host([card(0, "ens0", rdma=("mlx5_0",)), card(1, "ens1", rdma=("mlx5_1",))])
    nics = (WantedNic("roce0", mac=mac(0), rdma="mlx5_a"), WantedNic("roce1", mac=mac(1), rdma="mlx5_b"))
    after = carried_out(before, build(before, Wanted(nics=nics)))
    swapped = Wanted(nics=(replace(nics[0], rdma="mlx5_b"), replace(nics[1], rdma="mlx5_a")))
    plan = build(after, swapped)
    assert (plan.faults, plan.rdma) == ([], {"mlx5_a": "mlx5_b", "mlx5_b": "mlx5_a"})
    now = carried_out(after, plan)
    assert [now.files[path].count(name) for name in (b"NAME_FIXED mlx5_a", b"NAME_FIXED mlx5_b")] == [1, 1]
    # Another card on another bus, and the rule of the former bus goes with the name.
    moved = replace(now, nics=(replace(now.nics[0], pci="0000:77:00.0", id_path="pci-0000:77:00.0"), now.nics[1]))
    later = carried_out(moved, build(moved, swapped))
    assert b"0000:10:00.0" not in later.files[path]
    assert b"0000:77:00.0" in later.files[path]


@pytest.mark.parametrize(
    ("asked", "other", "words"),
    [
        (wanted(ONE), {}, "network_allow_management: true"),
        (wanted(ONE, at_boot=True), {}, "network_allow_management: true"),
        (wanted({1: "roce1"}), {}, ""),
        (wanted(ONE, allow_management=True), {}, ""),
        (wanted({0: "ens0"}), {}, ""),
        (Wanted(nics=(WantedNic("ens0", mac=mac(0), mtu=9000),)), {}, "network_allow_management: true"),
        (wanted({1: "roce1"}), {"serving": ("sglang-prefill-0.service",)}, "runs and uses ens1, ens1.7. Fix: network_drain: true"),
        (wanted({1: "roce1"}, allow_disruption=True), {"serving": ("sglang-prefill-0.service",)}, ""),
        (wanted({1: "roce1"}, carries=("ens0",)), {"serving": ("sglang-prefill-0.service",)}, ""),
        (wanted({1: "roce1"}, carries=("ens1",)), {"serving": ("sglang-prefill-0.service",)}, "network_drain"),
        (wanted({1: "roce1"}, carries=("ens1.7",)), {"serving": ("sglang-prefill-0.service",)}, "uses ens1.7"),
        (wanted({1: "roce1"}, at_boot=True), {"serving": ("sglang-prefill-0.service",)}, ""),
        (Wanted(nics=(WantedNic("ens1", mac=mac(1), mtu=9000),)), {"serving": ("sglang-prefill-0.service",)}, "network_drain"),
        (Wanted(nics=(WantedNic("ens1", mac=mac(1), rdma="mlx5_a"),)), {"serving": ("sglang-prefill-0.service",)}, "network_drain"),
        (wanted({1: "ens1"}), {"serving": ("sglang-prefill-0.service",)}, ""),
    ],
)
def test_consent(asked: Wanted, other: dict[str, Any], words: str) -> None:
    nics = [card(0, "ens0", management=True), card(1, "ens1", rdma=("mlx5_1",)), Nic("ens1.7", 9, kind="vlan", lower=("ens1",))]
    plan = good(host(nics, **other), asked)
    assert len(plan.consent) == bool(words)
    assert all(words in row for row in plan.consent)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (one(kernel_arguments="ro biosdevname=1"), "biosdevname=1"),
        (one(kernel_arguments="net.ifnames=0"), "net.ifnames=0"),
        (one(kernel_arguments=f"ifname=ens0:{mac(70)} ip=dhcp"), "(ifname=)"),
        (one(kernel_arguments=f"ifname=roce0:{mac(70)}"), "(ifname=)"),
        (one(kernel_arguments=f"ifname=net7:{mac(0).upper()}"), "(ifname=)"),
        (one({"/etc/udev/rules.d/82-net-setup-link.rules": b"# vendor\n"}), "DOCA-OFED"),
        (one({"/etc/systemd/network/98-nmstate-ens1.link": OTHER_LINK}), "nmstate pins names"),
    ],
)
def test_notes(seen: Seen, words: str) -> None:
    plan = good(seen, wanted(ONE))
    assert [note for note in plan.notes if words in note]
    assert build(one(kernel_arguments=f"quiet ifname=net7:{mac(70)}"), wanted(ONE)).notes == []


@pytest.mark.parametrize(("systemd", "told"), [(239, False), (252, True)])
def test_ifcfg_files_are_rewritten_and_on_newer_systems_told(systemd: int, told: bool) -> None:
    path = "/etc/sysconfig/network-scripts/ifcfg-ens0"
    content = f"DEVICE=ens0\nNAME=ens0\nTYPE=Ethernet\nHWADDR={mac(0)}\nONBOOT=yes\n".encode()
    before = host([card(0, "ens0")], {path: content}, profiled=False, systemd=systemd)
    asked = Wanted(nics=(WantedNic("roce0", mac=mac(0), mtu=9000),))
    plan = build(before, asked)
    assert bool([note for note in plan.notes if "migrate" in note]) == told
    after = carried_out(before, plan)
    assert after.files["/etc/sysconfig/network-scripts/ifcfg-roce0"] == content.replace(b"ens0", b"roce0") + b"MTU=9000\n"
    assert not build(after, asked).changed
    back = carried_out(after, build(after, Wanted(present=False)))
    assert back.files == before.files


def test_everything_that_is_wrong_is_told_at_once() -> None:
    seen = one({"/etc/systemd/network/10-other.link": OTHER_LINK}, manager=False)
    asked = Wanted(nics=(WantedNic("roce0", mac=mac(0)), WantedNic("roce1", mac=mac(9)), WantedNic("roce2", pci="0000:ff:00.0")))
    assert len(build(seen, asked).faults) == 4


# The record: which NIC has which name


def test_a_dead_nic_shifts_no_name() -> None:
    nics = rails()
    full = host(nics)
    asked = Wanted(
        nics=tuple(WantedNic(f"roce{rail}", rail=rail) for rail in range(8)), rails={rail: nic.name for rail, nic in enumerate(nics)}
    )
    after = carried_out(full, build(full, asked))
    assert [nic.name for nic in after.nics] == [f"roce{rail}" for rail in range(8)]
    # NIC 3 is dead, and with it the map of today has moved up.
    dead = replace(after, nics=tuple(nic for number, nic in enumerate(after.nics) if number != 3))
    shifted = replace(asked, rails={rail: nic.name for rail, nic in enumerate(dead.nics)})
    plan = build(dead, shifted)
    assert (plan.faults, plan.changed) == ([], False)
    assert [row.after for row in plan.rows] == [f"roce{rail}" for rail in range(8) if rail != 3]
    assert [note for note in plan.notes if "roce3: the NIC of rail 3" in note]
    assert [note for note in plan.notes if "rail 4 is roce4 by the record and roce5 by the GPU map of today" in note]
    new = build(dead, replace(shifted, nics=shifted.nics[:7], remap=True))
    assert new.faults == []
    assert [(row.before, row.after) for row in new.rows if row.before != row.after] == [(f"roce{n}", f"roce{n - 1}") for n in range(4, 8)]


def test_the_name_of_a_dead_nic_is_not_given_away() -> None:
    full = host(rails(2))
    asked = Wanted(nics=(WantedNic("roce0", rail=0), WantedNic("roce1", rail=1)), rails={0: full.nics[0].name, 1: full.nics[1].name})
    after = carried_out(full, build(full, asked))
    dead = replace(after, nics=after.nics[1:])
    faults = build(dead, wanted({1: "roce0"})).faults
    assert [fault for fault in faults if "roce0 is by the record the name of the NIC" in fault and "network_remap: true" in fault]
    free = build(dead, wanted({1: "roce0"}, remap=True))
    assert (free.faults, [(move.before, move.after) for move in free.renames]) == ([], [("roce1", "roce0")])


def test_all_names_change_with_a_dead_nic_among_them() -> None:
    full = host(rails(3))
    rail_map = {rail: nic.name for rail, nic in enumerate(full.nics)}
    after = carried_out(full, build(full, Wanted(nics=tuple(WantedNic(f"roce{rail}", rail=rail) for rail in range(3)), rails=rail_map)))
    dead = replace(after, nics=after.nics[:2])
    plan = good(dead, Wanted(nics=tuple(WantedNic(f"rail{rail}", rail=rail) for rail in range(3))))
    now = carried_out(dead, plan)
    assert linkfile.path("roce2") not in now.files
    # It comes back, under the name of the kernel.
    mended = booted(replace(now, nics=(*now.nics, card(2, "enp18s0f0np0"))))
    assert [nic.name for nic in mended.nics] == ["rail0", "rail1", "rail2"]
    assert f"{CONNECTIONS}/rail2.nmconnection" in mended.files
    back = carried_out(mended, build(mended, Wanted(present=False)))
    assert (back.files, back.nics) == (full.files, full.nics)


def test_a_port_that_is_not_named_any_more_keeps_its_name_until_the_map_is_new() -> None:
    before = host(rails(2))
    both = carried_out(before, build(before, wanted({0: "roce0", 1: "roce1"})))
    less = build(both, wanted(ONE))
    assert (less.changed, less.faults) == (False, [])
    assert [note for note in less.notes if "roce1" in note and "kept" in note]
    plan = build(both, wanted(ONE, remap=True))
    assert [(move.before, move.after) for move in plan.renames] == [("roce1", "enp17s0f0np0")]
    after = carried_out(both, plan)
    assert after.files == carried_out(before, build(before, wanted(ONE))).files | {
        path: content for path, content in after.files.items() if path.endswith("record.json")
    }


def test_what_leaves_gets_its_mtu_and_rdma_name_back() -> None:
    before = host([card(0, "ens0", rdma=("mlx5_0",)), card(1, "ens1", rdma=("mlx5_1",))])
    nics = tuple(WantedNic(f"roce{rail}", mac=mac(rail), mtu=9000, rdma=f"mlx5_rail{rail}") for rail in range(2))
    both = carried_out(before, build(before, Wanted(nics=nics)))
    after = carried_out(both, build(both, Wanted(nics=nics[:1], remap=True)))
    assert after.nics[1] == before.nics[1]
    path = f"{CONNECTIONS}/ens1.nmconnection"
    assert b"mtu" not in after.files[path]
    assert not [path for path, content in after.files.items() if b"mlx5_rail1" in content and path.endswith(".rules")]


def test_one_that_is_wanted_by_its_place_hands_its_name_to_the_next_card() -> None:
    before = host([card(0, "ens0")])
    asked = Wanted(nics=(WantedNic("roce0", pci="0000:10:00.0"),))
    after = carried_out(before, build(before, asked))
    swapped = booted(replace(after, nics=(card(0, "ens0", mac=mac(77), permanent_mac=mac(77)),)))
    assert [nic.name for nic in swapped.nics] == ["roce0"]
    # Named by its address before, by its place now.
    first = carried_out(before, build(before, wanted(ONE)))
    other = replace(first, nics=(card(0, "ens0", mac=mac(77), permanent_mac=mac(77)),))
    assert [(move.before, move.after) for move in build(other, asked).renames] == [("ens0", "roce0")]
    assert build(other, asked).faults == []
    plan = build(swapped, asked)
    assert (plan.faults, plan.renames) == ([], [])
    assert not build(carried_out(swapped, plan), asked).changed


def test_another_card_in_the_place_of_a_dead_one_takes_over_when_the_map_is_new() -> None:
    before = host(rails(2))
    asked = Wanted(nics=(WantedNic("roce0", rail=0), WantedNic("roce1", rail=1)), rails={0: before.nics[0].name, 1: before.nics[1].name})
    after = carried_out(before, build(before, asked))
    new = card(0, before.nics[0].name, mac=mac(77), permanent_mac=mac(77))
    swapped = replace(after, nics=(new, after.nics[1]))
    today = replace(asked, rails={0: new.name, 1: "roce1"})
    plan = build(swapped, today)
    assert (plan.faults, plan.changed) == ([], False)
    assert [note for note in plan.notes if f"rail 0 is {mac(0)} by the record and {new.name} by the GPU map" in note]
    plan = good(swapped, replace(today, remap=True))
    now = carried_out(swapped, plan)
    assert [nic.name for nic in now.nics] == ["roce0", "roce1"]
    assert now.files[f"{CONNECTIONS}/roce0.nmconnection"] == after.files[f"{CONNECTIONS}/roce0.nmconnection"]
    assert mac(77).encode() in now.files[linkfile.path("roce0")]
    assert not build(now, replace(today, rails={0: "roce0", 1: "roce1"})).changed
    back = carried_out(now, build(now, Wanted(present=False)))
    assert (back.files, [nic.name for nic in back.nics]) == (before.files, [nic.name for nic in before.nics])


def test_a_rail_has_one_owner() -> None:
    before = host(rails(2))
    one_rail = Wanted(nics=(WantedNic("roce0", rail=0),), rails={0: before.nics[0].name})
    after = carried_out(before, build(before, one_rail))
    asked = Wanted(nics=(WantedNic("roce0", rail=0), WantedNic("roce1", mac=mac(0))), rails={0: before.nics[1].name}, remap=True)
    plan = good(after, asked)
    assert {entry["name"]: entry["rail"] for entry in plan.record["nics"].values()} == {"roce0": 0, "roce1": None}


def test_a_new_map_without_interfaces_is_the_way_back() -> None:
    before = one({UDEV: RULE})
    after = carried_out(before, build(before, wanted(ONE, stale="remove")))
    back = carried_out(after, build(after, Wanted(remap=True)))
    assert (back.files, back.modes, back.nics) == (before.files, before.modes, before.nics)


def test_a_virtual_function_with_the_address_of_its_card_is_not_the_card() -> None:
    place = "0000:10:00.2"
    function = card(0, "ens0v0", index=1, pci=place, id_path=f"pci-{place}", virtual_function=True, port_name="")
    before = host([card(0, "ens0"), function])
    faulty(before, wanted(ONE), "would name ens0v0, too", "find roce0 by pci")
    by_place = WantedNic("roce0", pci="0000:10:00.0")
    after = carried_out(before, build(before, Wanted(nics=(by_place,))))
    assert [nic.name for nic in after.nics] == ["roce0", "ens0v0"]
    function_too = WantedNic("roce0v0", pci="0000:10:00.2")
    faulty(after, Wanted(nics=(wanted(ONE).nics[0], function_too)), "would name ens0v0, too", "find roce0 by pci")
    plan = build(after, Wanted(nics=(by_place, function_too)))
    assert (plan.faults, len(plan.record["nics"])) == ([], 2)
    back = carried_out(carried_out(after, plan), build(carried_out(after, plan), Wanted(present=False)))
    assert (back.files, back.nics) == (before.files, before.nics)


def test_a_port_without_an_address_that_lasts_is_named_by_its_place() -> None:
    before = host([card(0, "ib0", permanent_mac="", mac=":".join(["a0"] * 20))])
    after = carried_out(before, build(before, Wanted(nics=(WantedNic("roce0", rail=0),), rails={0: "ib0"})))
    assert b"Path=pci-0000:10:00.0" in after.files[linkfile.path("roce0")]
    assert b"MACAddress" not in after.files[linkfile.path("roce0")]
    assert [nic.name for nic in booted(after).nics] == ["roce0"]


def test_the_same_card_by_another_way_is_the_same_card() -> None:
    before = host([card(0, "ens0")])
    after = carried_out(before, build(before, wanted(ONE)))
    asked = Wanted(nics=(WantedNic("roce0", pci="0000:10:00.0"),))
    plan = build(after, asked)
    assert (plan.faults, plan.renames) == ([], [])
    assert len(plan.record["nics"]) == 1
    back = carried_out(carried_out(after, plan), build(carried_out(after, plan), Wanted(present=False)))
    assert (back.files, back.nics) == (before.files, before.nics)


def test_back_with_a_nic_that_is_gone() -> None:
    before = host(rails(2))
    after = carried_out(before, build(before, wanted({0: "roce0", 1: "roce1"})))
    plan = good(replace(after, nics=after.nics[:1]), Wanted(present=False))
    assert [note for note in plan.notes if "roce1" in note and "is not there" in note]
    assert carried_out(replace(after, nics=after.nics[:1]), plan).files == before.files


def test_back_when_the_record_is_lost() -> None:
    before = host(rails(1))
    after = carried_out(before, build(before, wanted(ONE)))
    lost = replace(after, record={}, files={path: content for path, content in after.files.items() if not path.endswith("record.json")})
    faulty(lost, Wanted(present=False), "record.json is gone", linkfile.path("roce0"))
    again = build(lost, wanted(ONE))
    assert again.faults == []
    assert [note for note in again.notes if "whose record is gone" in note]
    assert build(after, wanted(ONE)).notes == []


def test_a_file_of_ours_that_was_changed_goes_all_the_same() -> None:
    before = host(rails(1))
    after = carried_out(before, build(before, wanted(ONE)))
    path = linkfile.path("roce0")
    theirs = edited(after, {path: after.files[path] + b"MTUBytes=9000\n", linkfile.path("old"): after.files[path]})
    plan = build(theirs, Wanted(present=False))
    assert [note for note in plan.notes if path in note and "was changed" in note]
    assert carried_out(theirs, plan).files == before.files
    assert build(after, Wanted(present=False)).notes == []


def test_a_removed_file_that_somebody_wrote_again_stays_theirs() -> None:
    path = "/etc/systemd/network/10-other.link"
    before = one({path: OTHER_LINK})
    after = carried_out(before, build(before, wanted(ONE, stale="remove")))
    theirs = edited(after, {path: b"[Match]\nMACAddress=00:00:5e:00:53:aa\n"})
    plan = build(theirs, Wanted(present=False))
    assert [note for note in plan.notes if path in note]
    assert carried_out(theirs, plan).files[path] == theirs.files[path]


def replaced_card(seen: Seen, number: int, name: str, **other: Any) -> Seen:
    """Return a host in which a card gave way to another one."""
    new = card(number, name, mac=mac(77), permanent_mac=mac(77), **other)
    return replace(seen, nics=tuple(new if nic.permanent_mac == mac(number) else nic for nic in seen.nics))


@pytest.mark.parametrize("asked", [Wanted(present=False), Wanted(remap=True)])
@pytest.mark.parametrize("name", ["enp17s0f0np0", "eth7"])
def test_back_after_a_card_was_replaced_that_nobody_named(name: str, asked: Wanted) -> None:
    before = host(rails(2))
    after = replaced_card(carried_out(before, build(before, wanted({0: "roce0", 1: "roce1"}))), 1, name)
    plan = good(after, asked)
    back = carried_out(after, plan)
    assert (back.files, [nic.name for nic in back.nics]) == (before.files, ["enp16s0f0np0", "enp17s0f0np0"])


def test_back_when_the_new_card_is_elsewhere_and_has_the_former_name() -> None:
    before = host(rails(2))
    after = replaced_card(carried_out(before, build(before, wanted({0: "roce0", 1: "roce1"}))), 1, "enp17s0f0np0", pci="0000:99:00.0")
    faulty(after, Wanted(present=False), "enp17s0f0np0 is the former name", mac(1), "roce1", "network_state: present")


def test_going_back_takes_no_card_that_is_meant_otherwise() -> None:
    before = host(rails(2))
    after = replaced_card(carried_out(before, build(before, wanted({0: "roce0", 1: "roce1"}))), 1, "enp17s0f0np0")
    named = carried_out(after, build(after, Wanted(nics=(WantedNic("stor0", mac=mac(77)),))))
    plan = good(named, Wanted(nics=(WantedNic("stor0", mac=mac(77)),), remap=True))
    assert [(row.before, row.after) for row in plan.rows if row.mac == mac(77)] == [("stor0", "stor0")]


def by_pattern(*patterns: str, more: bytes = b"") -> bytes:
    return keyfile("all", bound=False) + b"multi-connect=3\n" + more + f"[match]\ninterface-name={';'.join(patterns)}\n".encode()


ALL_PATH = f"{CONNECTIONS}/all.nmconnection"
IFCFG_PATH = "/etc/sysconfig/network-scripts/ifcfg-all"


@pytest.mark.parametrize("patterns", [["ens*"], ["ens*", "!ens7"], ["|ens*", "&e*"], ["!r*"], ["eth*", "ens?"], ["ens*", "&!roce*"]])
def test_a_profile_that_fits_the_former_name_only(patterns: list[str]) -> None:
    before = host([card(0, "ens0"), card(1, "ens1")], {ALL_PATH: by_pattern(*patterns)}, profiled=False)
    faulty(before, wanted(ONE), ALL_PATH, "takes ens0", "does not fit roce0")


@pytest.mark.parametrize(
    "patterns", [["ens*", "roce*"], ["*"], ["|ens*", "|roce0", "!usb*"], ["!usb*"], ["eth*"], ["e*", "!ens0"], ["ens0"]]
)
def test_a_profile_that_fits_both_names_or_none(patterns: list[str]) -> None:
    before = host([card(0, "ens0"), card(1, "ens1")], {ALL_PATH: by_pattern(*patterns)}, profiled=False)
    assert build(before, wanted(ONE)).faults == []


def test_a_pattern_in_an_ifcfg_file() -> None:
    content = b'TYPE=Ethernet\nONBOOT=yes\nMATCH_INTERFACE_NAME="ens* |eth*"\n'
    faulty(host([card(0, "ens0")], {IFCFG_PATH: content}, profiled=False), wanted(ONE), IFCFG_PATH, "does not fit roce0")


@pytest.mark.parametrize(
    ("line", "active", "faults"),
    [
        (b"", None, 0),
        (b"", ALL_PATH, 0),
        (b"autoconnect=no\n", None, 1),
        (b"autoconnect=no\n", ALL_PATH, 1),
        (b"autoconnect=no\n", f"{CONNECTIONS}/ens0.nmconnection", 0),
    ],
)
def test_a_profile_of_a_pattern_counts_where_no_other_one_takes_the_card(line: bytes, active: str | None, faults: int) -> None:
    seen = one({ALL_PATH: by_pattern("ens*"), f"{CONNECTIONS}/ens0.nmconnection": keyfile("ens0").replace(b"type=", line + b"type=")})
    rows = tuple(replace(row, device="ens0" if row.path == active else "") for row in seen.profiles)
    assert len(build(replace(seen, profiles=rows), wanted(ONE)).faults) == faults


def test_a_profile_of_a_pattern_is_in_order_for_a_name_that_stays() -> None:
    assert build(host([card(0, "roce0")], {ALL_PATH: by_pattern("roce*")}, profiled=False), wanted(ONE)).faults == []


def test_the_rules_of_rdma_core_go_on_for_other_devices() -> None:
    asked = Wanted(nics=(WantedNic("roce0", mac=mac(0), rdma="mlx5_rail0"),))
    before = host([card(0, "ens0", rdma=("mlx5_0",))], {rdmarules.VENDOR: b"# of rdma-core\n"})
    plan = good(before, asked)
    after = carried_out(before, plan)
    assert after.files[rdmarules.PATH] == rdmarules.text({"0000:10:00.0": "mlx5_rail0"}, before.files[rdmarules.VENDOR])
    newer = edited(after, {rdmarules.VENDOR: b"# newer\n"})
    assert carried_out(newer, build(newer, asked)).files[rdmarules.PATH] == rdmarules.text({"0000:10:00.0": "mlx5_rail0"}, b"# newer\n")
    # An operator's file in that place goes before it, as it does for udev.
    theirs = host([card(0, "ens0", rdma=("mlx5_0",))], {rdmarules.VENDOR: b"# of rdma-core\n", rdmarules.PATH: b"# theirs\n"})
    written = carried_out(theirs, build(theirs, asked))
    assert written.files[rdmarules.PATH] == rdmarules.text({"0000:10:00.0": "mlx5_rail0"}, b"# theirs\n")
    assert carried_out(written, build(written, Wanted(present=False))).files == theirs.files


def test_rules_that_are_switched_off_by_a_link_are_not_written() -> None:
    asked = Wanted(nics=(WantedNic("roce0", mac=mac(0), rdma="mlx5_rail0"),))
    before = host([card(0, "ens0", rdma=("mlx5_0",))], {rdmarules.PATH: b""}, shadowed=(rdmarules.PATH,))
    faulty(before, asked, "network_rdma_names", rdmarules.PATH, "link")


@pytest.mark.parametrize(
    ("arguments", "mount", "words"),
    [
        ("root=/dev/nfs nfsroot=192.0.2.0:/srv", "", "over ens0 (root=/dev/nfs nfsroot=192.0.2.0:/srv)"),
        ("netroot=iscsi:192.0.2.0::::iqn.2026-01.example:disk", "", "over ens0"),
        ("root=nfs:198.51.100.1:/srv", "", "over ens1"),
        ("rd.iscsi.firmware=1", "", "over ens1"),
        ("", "192.0.2.0:/srv rw,vers=4.2,addr=192.0.2.0", "over ens0 (192.0.2.0:/srv)"),
        ("root=UUID=7c1b6f0e ip=dhcp rd.neednet=1", "", ""),
        ("netroot=iscsi:203.0.113.1::::iqn.2026-01.example:disk", "", "over ens1"),
    ],
)
def test_a_root_file_system_over_the_network(arguments: str, mount: str, words: str) -> None:
    cards = [card(0, "ens0"), card(1, "ens1", management=True)]
    seen = replace(host(cards), kernel_arguments=arguments, root_mount=mount)
    asked = wanted({0: "roce0", 1: "mgmt0"}, allow_management=True)
    found = [text for text in build(seen, asked).faults if "root file system" in text]
    assert [words in text for text in found] == ([True] if words else [])
    assert [text for text in build(seen, replace(asked, at_boot=True)).faults if "root file system" in text] == []
    assert [text for text in build(seen, wanted({0: "ens0", 1: "ens1"})).faults if "root file system" in text] == []
