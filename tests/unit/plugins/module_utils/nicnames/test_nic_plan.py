# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans of NIC names: what is renamed, written and recorded, and the way back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import linkfile, record
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.plan import build, networks
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic, Seen, Wanted, WantedNic
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

EIGHT = {number: f"roce{number}" for number in range(8)}


def names(seen: Seen) -> dict[str, str]:
    return {nic.permanent_mac: nic.name for nic in seen.nics if nic.permanent_mac}


def test_eight_rails() -> None:
    before = host(rails())
    plan = good(before, wanted(EIGHT))
    assert [(move.before, move.after) for move in plan.renames] == [
        (f"enp{number + 16}s0f0np0", f"roce{number}") for number in range(8)
    ]
    after = carried_out(before, plan)
    assert names(after) == {mac(number): f"roce{number}" for number in range(8)}
    for number in range(8):
        assert f"{CONNECTIONS}/enp{number + 16}s0f0np0.nmconnection" not in after.files
        profile = after.files[f"{CONNECTIONS}/roce{number}.nmconnection"]
        assert profile == before.files[f"{CONNECTIONS}/enp{number + 16}s0f0np0.nmconnection"].replace(
            f"enp{number + 16}s0f0np0".encode(), f"roce{number}".encode()
        )
        assert after.modes[f"{CONNECTIONS}/roce{number}.nmconnection"] == 0o600
        assert linkfile.own(after.files[linkfile.path(f"roce{number}")])
    assert plan.consent == []
    assert [(row.before, row.after, row.networks, row.pci) for row in plan.rows][:2] == [
        ("enp16s0f0np0", "roce0", ("192.0.2.0/31",), "0000:10:00.0"),
        ("enp17s0f0np0", "roce1", ("192.0.2.2/31",), "0000:11:00.0"),
    ]
    again = good(after, wanted(EIGHT))
    assert (again.changed, len(again.rows)) == (False, 8)
    assert booted(after).nics == after.nics


def test_the_way_back_is_exact() -> None:
    before = host(rails(), {"/etc/sysctl.d/50-rails.conf": b"net.ipv4.conf.enp16s0f0np0.rp_filter = 2\n"})
    after = carried_out(before, good(before, wanted(EIGHT)))
    assert b"roce0" in after.files["/etc/sysctl.d/50-rails.conf"]
    plan = good(after, Wanted(present=False))
    back = carried_out(after, plan)
    assert (back.files, back.modes, back.nics, back.record) == (before.files, before.modes, before.nics, {})
    assert not good(back, Wanted(present=False)).changed


def test_what_is_not_known_is_a_fault_where_something_would_change() -> None:
    unknown = replace(host(rails()), systemd=0, unknown=("nothing tells the version of systemd. Fix: see udevadm",))
    assert "nothing tells the version of systemd. Fix: see udevadm" in build(unknown, wanted(EIGHT)).faults
    assert build(unknown, Wanted(present=False)).faults == []


def test_absent_on_a_host_that_was_never_touched_does_nothing() -> None:
    assert not good(host(rails()), Wanted(present=False)).changed


def test_a_file_that_was_changed_since_loses_the_names_only() -> None:
    before = host(rails(2))
    after = carried_out(before, good(before, wanted({0: "roce0", 1: "roce1"})))
    path = f"{CONNECTIONS}/roce0.nmconnection"
    later = edited(after, {path: after.files[path] + b"[ipv4]\nmethod=auto\n", "/etc/sysctl.d/a.conf": b"net.ipv4.conf.roce1.x=1\n"})
    back = carried_out(later, good(later, Wanted(present=False)))
    old = f"{CONNECTIONS}/enp16s0f0np0.nmconnection"
    assert back.files[old] == before.files[old] + b"[ipv4]\nmethod=auto\n"
    assert back.files["/etc/sysctl.d/a.conf"] == b"net.ipv4.conf.enp17s0f0np0.x=1\n"
    assert names(back) == names(before)


def test_a_second_name_keeps_the_first_former_one() -> None:
    before = host(rails(3))
    one = carried_out(before, good(before, wanted({0: "roce0", 1: "roce1", 2: "roce2"})))
    # Written between the runs, so it speaks of the names of the first.
    between = edited(one, {"/etc/sysctl.d/b.conf": b"net.ipv4.conf.roce0.x=1\n"})
    two = carried_out(between, good(between, wanted({0: "rail2", 1: "rail0", 2: "rail1"})))
    assert linkfile.path("roce0") not in two.files
    assert two.files["/etc/sysctl.d/b.conf"] == b"net.ipv4.conf.rail2.x=1\n"
    back = carried_out(two, good(two, Wanted(present=False)))
    assert names(back) == names(before)
    assert back.files == {**before.files, "/etc/sysctl.d/b.conf": b"net.ipv4.conf.enp16s0f0np0.x=1\n"}


@pytest.mark.parametrize("order", [[1, 0, 2, 3, 4, 5, 6, 7], [7, 6, 5, 4, 3, 2, 1, 0], [1, 2, 3, 4, 5, 6, 7, 0]])
def test_permutations(order: list[int]) -> None:
    before = carried_out(host(rails()), good(host(rails()), wanted(EIGHT)))
    asked = wanted({number: f"roce{place}" for number, place in enumerate(order)})
    plan = good(before, asked)
    moved = [place for place, number in enumerate(order) if place != number]
    assert len(plan.renames) == len(moved)
    after = carried_out(before, plan)
    assert names(after) == {mac(number): f"roce{place}" for number, place in enumerate(order)}
    assert not good(after, asked).changed
    assert booted(after).nics == after.nics


def test_names_at_the_next_boot() -> None:
    before = host(rails())
    asked = wanted(EIGHT, at_boot=True)
    plan = good(before, asked)
    assert (plan.renames, plan.mtus, plan.changed) == ([], {}, True)
    assert plan.rows[0].after == "roce0"
    waiting = carried_out(before, plan)
    assert names(waiting) == names(before)
    assert not good(waiting, asked).changed
    after = booted(waiting)
    assert names(after) == {mac(number): f"roce{number}" for number in range(8)}
    assert not good(after, asked).changed
    back = carried_out(after, good(after, Wanted(present=False)))
    assert (back.files, names(back)) == (before.files, names(before))
    early = carried_out(waiting, good(waiting, Wanted(present=False)))
    assert (early.files, names(early)) == (before.files, names(before))


def test_a_permutation_at_the_next_boot_is_written_once() -> None:
    first = carried_out(host(rails(2)), good(host(rails(2)), wanted({0: "roce0", 1: "roce1"})))
    asked = wanted({0: "roce1", 1: "roce0"}, at_boot=True)
    waiting = carried_out(first, good(first, asked))
    assert not good(waiting, asked).changed
    live = replace(asked, at_boot=False)
    plan = good(waiting, live)
    assert (len(plan.renames), plan.files) == (2, [])
    back = carried_out(waiting, good(waiting, Wanted(present=False)))
    assert (back.files, names(back)) == (host(rails(2)).files, names(host(rails(2))))


def bonded() -> Seen:
    nics = [
        card(0, "ens0", master="bond0", addresses=()),
        card(1, "ens1", master="bond0", addresses=(), mac=mac(0)),
        Nic("bond0", 20, mac(0), kind="bond", lower=("ens0", "ens1"), addresses=("198.51.100.4/24",)),
        Nic("bond0.100", 21, mac(0), kind="vlan", lower=("bond0",)),
    ]
    files = {
        f"{CONNECTIONS}/ens0.nmconnection": keyfile("ens0", "[ethernet]").replace(b"uuid", b"master=bond0\nslave-type=bond\nuuid"),
        f"{CONNECTIONS}/ens1.nmconnection": keyfile("ens1", "[ethernet]").replace(b"uuid", b"master=bond0\nslave-type=bond\nuuid"),
        f"{CONNECTIONS}/bond0.nmconnection": keyfile("bond0", "[bond]", "mode=active-backup", "primary=ens0", kind="bond"),
        f"{CONNECTIONS}/v.nmconnection": keyfile("bond0.100", "[vlan]", "id=100", "parent=bond0", kind="vlan"),
    }
    return host(nics, files, profiled=False)


@pytest.mark.parametrize("systemd", [239, 245, 252, 257])
def test_a_bond_keeps_its_primary(systemd: int) -> None:
    before = replace(bonded(), systemd=systemd)
    plan = good(before, wanted({0: "roce0", 1: "roce1"}))
    assert [row.networks for row in plan.rows] == [("198.51.100.0/24",)] * 2
    after = carried_out(before, plan)
    assert b"primary=roce0" in after.files[f"{CONNECTIONS}/bond0.nmconnection"]
    assert after.files[f"{CONNECTIONS}/v.nmconnection"] == before.files[f"{CONNECTIONS}/v.nmconnection"]
    assert not good(after, wanted({0: "roce0", 1: "roce1"})).changed
    back = carried_out(after, good(after, Wanted(present=False)))
    assert (back.files, back.nics) == (before.files, before.nics)


KEYS = b"[connection]\nid=ens0\ntype=ethernet\ninterface-name=ens0\n"


@pytest.mark.parametrize(
    ("path", "content", "key"),
    [
        (f"{CONNECTIONS}/ens0.nmconnection", KEYS, "uuid"),
        (f"{CONNECTIONS}/ens0", KEYS, "uuid"),
        ("/etc/sysconfig/network-scripts/ifcfg-ens0", b"DEVICE=ens0\nONBOOT=yes\n", "UUID"),
    ],
)
def test_a_profile_without_a_uuid_keeps_the_one_that_its_name_gave_it(path: str, content: bytes, key: str) -> None:
    uuid = "7c1b6f0e-0000-4000-8000-00000000000a"
    seen = host([card(0, "ens0")], {path: content}, profiled=False)
    before = replace(seen, profiles=tuple(replace(profile, uuid=uuid) for profile in seen.profiles))
    after = carried_out(before, good(before, wanted({0: "roce0"})))
    assert f"{key}={uuid}\n".encode() in after.files[path.replace("ens0", "roce0")]
    assert carried_out(after, good(after, Wanted(present=False))).files == before.files


def test_a_file_that_was_changed_between_two_runs_keeps_the_change_on_the_way_back() -> None:
    before = host([card(0, "ens0")])
    asked = Wanted(nics=(WantedNic("roce0", mac=mac(0), mtu=9000),))
    one = carried_out(before, good(before, asked))
    path = f"{CONNECTIONS}/roce0.nmconnection"
    later = edited(one, {path: one.files[path] + b"# roce0 of rack 3\n"})
    two = carried_out(later, good(later, wanted({0: "rail0"})))
    back = carried_out(two, good(two, Wanted(present=False)))
    old = f"{CONNECTIONS}/ens0.nmconnection"
    assert back.files == {**before.files, old: before.files[old] + b"\n[ethernet]\n# roce0 of rack 3\n"}
    assert back.nics == before.nics


def test_a_record_of_another_form_is_not_written_again() -> None:
    before = host(rails(1))
    after = carried_out(before, good(before, wanted({0: "roce0"})))
    other = replace(after, files={**after.files, record.PATH: json.dumps(after.record).encode()})
    assert not good(other, wanted({0: "roce0"})).changed


def test_rows_of_the_way_back() -> None:
    before = host([card(0, "ens0", rdma=("mlx5_0",))])
    asked = Wanted(nics=(WantedNic("roce0", rail=5, mtu=9000, rdma="mlx5_rail5"),), rails={5: "ens0"})
    after = carried_out(before, good(before, asked))
    (row,) = good(after, Wanted(present=False)).rows
    assert (row.before, row.after, row.rail, row.mac) == ("roce0", "ens0", 5, mac(0))
    assert (row.mtu_before, row.mtu_after, row.rdma_before, row.rdma_after) == (9000, 1500, "mlx5_rail5", "mlx5_0")
    bare = Wanted(nics=(WantedNic("roce0", pci="0000:10:00.0"),))
    (row,) = good(host([card(0, "ens0", permanent_mac="")]), bare).rows
    assert (row.mac, row.rail, row.mtu_after, row.rdma_after) == (mac(0), None, 1500, "")


def test_the_mtu_of_a_bonds_port_is_that_of_the_bond() -> None:
    plan = build(bonded(), Wanted(nics=(WantedNic("roce0", mac=mac(0), mtu=9000),)))
    assert [fault for fault in plan.faults if "roce0 is a port of bond0" in fault]
    same = replace(bonded(), nics=tuple(replace(nic, mtu=9000) for nic in bonded().nics))
    assert good(same, Wanted(nics=(WantedNic("roce0", mac=mac(0), mtu=9000),))).mtus == {}
    bridged = replace(bonded(), nics=tuple(replace(nic, kind=nic.kind.replace("bond", "bridge")) for nic in bonded().nics))
    assert good(bridged, Wanted(nics=(WantedNic("roce0", mac=mac(0), mtu=9000),))).mtus == {"roce0": 9000}


def test_mtu_and_rdma_name() -> None:
    nics = [card(0, "ens0", rdma=("mlx5_0",)), card(1, "ens1", rdma=("mlx5_1",))]
    before = host(nics)
    asked = Wanted(nics=(WantedNic("roce0", mac=mac(0), mtu=9000, rdma="mlx5_rail0"), WantedNic("roce1", mac=mac(1))))
    plan = good(before, asked)
    assert (plan.mtus, plan.rdma) == ({"roce0": 9000}, {"mlx5_0": "mlx5_rail0"})
    assert (plan.rows[0].mtu_after, plan.rows[0].rdma_after, plan.rows[1].mtu_after) == (9000, "mlx5_rail0", 1500)
    assert plan.names == {"ens0": "roce0", "ens1": "roce1", "mlx5_0": "mlx5_rail0"}
    after = carried_out(before, plan)
    assert b"[ethernet]\nmtu=9000\n" in after.files[f"{CONNECTIONS}/roce0.nmconnection"]
    rules = [path for path in after.files if path.endswith(".rules")]
    assert [b"NAME_FIXED mlx5_rail0" in after.files[path] for path in rules] == [True]
    assert not good(after, asked).changed
    # Without an MTU and a name it is left alone.
    assert not good(after, wanted({0: "roce0", 1: "roce1"})).changed
    back = carried_out(after, good(after, Wanted(present=False)))
    assert (back.files, back.nics) == (before.files, before.nics)


def test_the_former_mtu_comes_back_into_a_profile_that_was_changed_since() -> None:
    path, new = f"{CONNECTIONS}/ens0.nmconnection", f"{CONNECTIONS}/roce0.nmconnection"
    before = host([card(0, "ens0", mtu=4200)], {path: keyfile("ens0", "[ethernet]", "mtu=4200")})
    after = carried_out(before, good(before, Wanted(nics=(WantedNic("roce0", mac=mac(0), mtu=9000),))))
    later = edited(after, {new: after.files[new] + b"# later\n"})
    back = carried_out(later, good(later, Wanted(present=False)))
    assert back.files[path] == before.files[path] + b"# later\n"
    assert back.nics == before.nics


def test_a_nic_without_a_profile_gets_its_mtu_live() -> None:
    plan = good(host([card(0, "ens0")], profiled=False), Wanted(nics=(WantedNic("roce0", mac=mac(0), mtu=9000),)))
    assert plan.mtus == {"roce0": 9000}
    assert [note for note in plan.notes if "no profile" in note]


def test_a_profile_that_is_bound_by_address_keeps_its_binding() -> None:
    path = f"{CONNECTIONS}/ens0.nmconnection"
    content = keyfile("ens0", "[ethernet]", f"mac-address={mac(0).upper()}", bound=False)
    before = host([card(0, "ens0")], {path: content})
    after = carried_out(before, good(before, Wanted(nics=(WantedNic("roce0", mac=mac(0), mtu=9000),))))
    assert after.files[f"{CONNECTIONS}/roce0.nmconnection"] == content.replace(b"id=ens0", b"id=roce0") + b"mtu=9000\n"


def test_the_record_holds_no_more_than_json() -> None:
    before = host(rails(2))
    plan = good(before, wanted({0: "roce0", 1: "roce1"}))
    assert record.load(record.dump(plan.record)) == json.loads(json.dumps(plan.record)) == plan.record
    (change,) = [change for change in plan.files if change.path == record.PATH]
    assert (change.mode, change.secret, change.like) == (0o600, True, "")


def test_secrets_are_marked() -> None:
    plan = good(host(rails(1)), wanted({0: "roce0"}))
    assert {change.path: change.secret for change in plan.files} == {
        f"{CONNECTIONS}/enp16s0f0np0.nmconnection": True,
        f"{CONNECTIONS}/roce0.nmconnection": True,
        linkfile.path("roce0"): False,
        record.PATH: True,
    }


def test_a_nic_that_is_named_right_already_gets_a_lasting_name() -> None:
    plan = good(host([card(0, "roce0")]), wanted({0: "roce0"}))
    assert (plan.renames, [change.path for change in plan.files]) == ([], [linkfile.path("roce0"), record.PATH])


@pytest.mark.parametrize(
    ("addresses", "found"),
    [
        ((), ()),
        (("192.0.2.9/24", "fe80::1/64", "2001:db8::9/64"), ("192.0.2.0/24", "2001:db8::/64")),
        (("192.0.2.9/24", "192.0.2.10/24", "nothing"), ("192.0.2.0/24",)),
    ],
)
def test_networks(addresses: tuple[str, ...], found: tuple[str, ...]) -> None:
    assert networks(addresses) == found
