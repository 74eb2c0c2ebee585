# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what is wanted and what is there to a change; no program is run."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall import firewalld, nft, planning, planning_table, views, zones
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.wanted import Plan, Runtime, Seen, Wanted
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostfirewall.filtered_host import (
    HOST,
    PUBLIC,
    also,
    keyfile,
    seen,
    wanted,
)

FABRIC, MANAGEMENT = "/etc/firewalld/zones/railyard-fabric.xml", "/etc/firewalld/zones/railyard-mgmt.xml"
ABSENT = Wanted(present=False)
TRUSTED = "/etc/firewalld/zones/trusted.xml"
BOUND = b'<?xml version="1.0" encoding="utf-8"?>\n<zone target="ACCEPT">\n  <interface name="fab0"/>\n  <interface name="x0"/>\n</zone>\n'


def applied(plan: Plan, before: Seen, given: Wanted) -> Seen:
    """Return the host after a change, as firewalld and NetworkManager then show it."""
    files = {path: content for path, content in {**before.files, **plan.files}.items() if content is not None}
    profiles = []
    for profile in before.profiles:
        content = files.pop(profile.path, None) or profile.content
        lines = [line[5:] for line in content.decode().splitlines() if line.startswith("zone=")]
        profiles.append(replace(profile, content=content, zone=lines[0] if lines else None))
    found = zones.zones(given, before.host)[0] if given.present else {}
    rows = {zone.name: Runtime("default", zone.interfaces, (), tuple(sorted(firewalld.rich(zone)))) for zone in found.values()}
    return replace(before, files=files, profiles=tuple(profiles), runtime={"public": PUBLIC, **rows}, record=plan.record)


def test_a_bare_host_gets_both_zones() -> None:
    plan = planning.build(wanted(), seen())
    assert plan.faults == []
    assert set(plan.files) == {FABRIC, MANAGEMENT}
    assert plan.moves == {"fab0": "railyard-fabric", "mgmt0": "railyard-mgmt"}
    assert (plan.reload, plan.manager, plan.load, plan.linked) == (True, False, None, None)
    assert plan.actions()[:3] == [f"write {FABRIC}", f"write {MANAGEMENT}", "let firewalld read its files again"]


def test_a_second_run_does_nothing() -> None:
    before = seen(profiles=(keyfile("fab0"), keyfile("mgmt0")))
    after = applied(planning.build(wanted(), before), before, wanted())
    again = planning.build(wanted(), after)
    assert (again.changed, again.faults, again.actions()) == (False, [], [])
    assert again.record == after.record


@pytest.mark.parametrize("former", [None, "internal"])
def test_profiles_name_the_zone_and_get_their_former_one_back(former: str | None) -> None:
    before = seen(profiles=(keyfile("fab0", former), keyfile("other0")))
    given = wanted(take=True)
    plan = planning.build(given, before)
    path = before.profiles[0].path
    assert plan.manager
    assert b"zone=railyard-fabric\n" in (plan.files[path] or b"")
    # What the profile binds, the file does not; the profile of another interface is left alone.
    assert b"<interface" not in (plan.files[FABRIC] or b"")
    assert set(plan.files) == {FABRIC, MANAGEMENT, path}
    after = applied(plan, before, given)
    back = planning.build(ABSENT, after)
    assert back.files == {FABRIC: None, MANAGEMENT: None, path: before.profiles[0].content}
    assert back.record == {}


def test_a_zone_that_the_operator_has_chosen_since_stays() -> None:
    before = seen(profiles=(keyfile("fab0"),))
    after = applied(planning.build(wanted(), before), before, wanted())
    changed = replace(after, profiles=(keyfile("fab0", "internal"),))
    assert set(planning.build(ABSENT, changed).files) == {FABRIC, MANAGEMENT}


def test_a_profile_whose_interface_is_not_wanted_any_more_gets_its_zone_back() -> None:
    before = seen(profiles=(keyfile("fab0"),))
    after = applied(planning.build(wanted(), before), before, wanted())
    moved = wanted(changes={"sglang_fabric_interface": "other0", "p0:sglang_fabric_address": "203.0.113.12"})
    host = replace(HOST, addresses={"203.0.113.12": "other0", "198.51.100.10": "mgmt0"})
    plan = planning.build(moved, replace(after, host=host))
    assert plan.files[before.profiles[0].path] == before.profiles[0].content
    assert plan.leaves == {"fab0": "railyard-fabric"}
    assert plan.record["profiles"] == {}


def test_a_profile_that_cannot_be_edited_is_a_fault() -> None:
    plan = planning.build(wanted(), seen(profiles=(replace(keyfile("fab0"), path=""),)))
    (fault,) = plan.faults
    assert fault == (
        "fab0: profile fab0 is not stored below /etc, so that it cannot name a zone for good. "
        "Fix: nmcli connection modify u-fab0 connection.zone railyard-fabric"
    )


def runtime(**zones_: Runtime) -> dict[str, Runtime]:
    return {"public": PUBLIC, **zones_}


# Host, words of the fault without consent.
TAKEN: dict[str, tuple[Seen, str]] = {
    "a zone's file binds it": (
        seen(files={TRUSTED: BOUND}, runtime=runtime(trusted=Runtime("ACCEPT", ("fab0",)))), f"fab0 is bound by {TRUSTED}",
    ),
    "a profile names one": (seen(profiles=(keyfile("fab0", "internal"),)), "profile fab0 puts fab0 into zone internal"),
    "it is in one at run time": (
        seen(runtime=runtime(internal=Runtime("default", ("fab0",)))), "fab0 is in zone internal at run time",
    ),
    "the default zone lets in more": (
        seen(runtime={"public": replace(PUBLIC, interfaces=("mgmt0",), opened={"services": "ssh", "ports": "9100/tcp"})}),
        "mgmt0 is in the default zone public, which also lets in ports 9100/tcp",
    ),
    "the default zone lets in everything": (
        seen(runtime={"trusted": Runtime("ACCEPT")}, default_zone="trusted"), "which also lets in target ACCEPT",
    ),
}


@pytest.mark.parametrize("name", TAKEN)
def test_an_interface_of_the_operators_is_taken_with_consent_only(name: str) -> None:
    before, text = TAKEN[name]
    faults = planning.build(wanted(), before).faults
    assert any(text in fault and fault.startswith("network_firewall_take: ") and "Fix: " in fault for fault in faults), faults
    assert planning.build(wanted(take=True), before).faults == []


def test_what_was_taken_from_a_zone_is_given_back_byte_for_byte() -> None:
    before = seen(files={TRUSTED: BOUND}, runtime=runtime(trusted=Runtime("ACCEPT", ("fab0",))))
    given = wanted(take=True)
    after = applied(planning.build(given, before), before, given)
    assert firewalld.bound(after.files[TRUSTED]) == ["x0"]
    assert planning.build(given, after).changed is False
    assert planning.build(ABSENT, after).files == {FABRIC: None, MANAGEMENT: None, TRUSTED: BOUND}
    # What the operator has written since stays.
    edited = after.files[TRUSTED].replace(b"</zone>", b'  <service name="ssh"/>\n</zone>')
    later = replace(after, files={**after.files, TRUSTED: edited})
    again = planning.build(given, later)
    assert again.record["taken"][TRUSTED]["after"] == base64.b64encode(after.files[TRUSTED]).decode()
    back = planning.build(ABSENT, later).files[TRUSTED] or b""
    assert b"ssh" in back
    assert sorted(firewalld.bound(back)) == ["fab0", "x0"]


def test_rules_that_run_otherwise_are_loaded_again() -> None:
    after = applied(planning.build(wanted(), seen()), seen(), wanted())
    zone = (after.runtime or {})["railyard-fabric"]
    for changed in (replace(zone, rich=zone.rich[1:]), replace(zone, rich=(*zone.rich, "rule accept"))):
        plan = planning.build(wanted(), replace(after, runtime={**(after.runtime or {}), "railyard-fabric": changed}))
        assert (plan.reload, plan.files, plan.changed) == (True, {}, True)


def test_an_interface_that_has_left_its_zone_is_moved_again() -> None:
    after = applied(planning.build(wanted(), seen()), seen(), wanted())
    rows = {**(after.runtime or {}), "public": replace(PUBLIC, interfaces=("fab0",))}
    rows["railyard-fabric"] = replace(rows["railyard-fabric"], interfaces=())
    plan = planning.build(wanted(), replace(after, runtime=rows))
    assert (plan.moves, plan.reload, plan.faults) == ({"fab0": "railyard-fabric"}, False, [])
    # NetworkManager had not taken the zone of its profile over.
    plan = planning.build(wanted(), replace(after, runtime=rows, profiles=(keyfile("fab0", "railyard-fabric"),)))
    assert plan.touched == {keyfile("fab0").path: "u-fab0"}
    assert keyfile("fab0").path not in plan.files


def test_a_set_of_sources_that_is_not_used_any_more_goes() -> None:
    many = [f"192.0.2.{number}" for number in range(1, 40, 2)]
    given = wanted(also=[also("9100", "management", *many)])
    after = applied(planning.build(given, seen()), seen(), given)
    sets = [path for path in after.files if path.startswith(firewalld.IPSETS)]
    assert len(sets) == 1
    assert planning.build(wanted(), after).files[sets[0]] is None


@pytest.mark.parametrize(("path", "provider"), [(FABRIC, "firewalld"), (nft.PATH, "nftables"), (nft.UNIT_PATH, "nftables")])
def test_a_file_of_our_name_that_is_not_ours_is_a_fault(path: str, provider: str) -> None:
    plan = planning.build(wanted(provider=provider), seen(files={path: b"x"}))
    assert [fault for fault in plan.faults if path in fault]
    assert path not in plan.files
    assert path not in planning.build(ABSENT, seen(files={path: b"x"})).files


def test_firewalld_must_run() -> None:
    (fault,) = planning.build(wanted(), seen(runtime=None)).faults
    assert "firewalld does not run on this host" in fault
    assert planning.build(ABSENT, seen(runtime=None)).faults == []


def test_files_go_also_where_firewalld_does_not_run() -> None:
    after = applied(planning.build(wanted(), seen()), seen(), wanted())
    plan = planning.build(ABSENT, replace(after, runtime=None))
    assert (plan.files, plan.reload) == ({FABRIC: None, MANAGEMENT: None}, False)


def test_nftables() -> None:
    given = wanted(provider="nftables")
    plan = planning.build(given, seen())
    assert set(plan.files) == {nft.PATH, nft.UNIT_PATH}
    assert (plan.load, plan.linked, plan.reload, plan.moves) == (True, True, False, {})
    after = seen(files=plan.files, linked=True, ruleset=listed(plan.files[nft.PATH] or b""))
    assert planning.build(given, after).changed is False
    back = planning.build(replace(ABSENT, provider="nftables"), after)
    assert back.files == {nft.PATH: None, nft.UNIT_PATH: None}
    assert (back.load, back.linked) == (False, False)


def listed(content: bytes) -> list[Any]:
    """Return as much of a listing of the table as tells whether it is loaded."""
    lines = [line for line in content.decode().splitlines() if line.startswith("    ") and "type filter" not in line]
    marks = [line.rpartition('comment "')[2].rstrip('"') if "comment" in line else "" for line in lines]
    where = {"family": "inet", "table": "railyard_sglang"}
    rules = [{"rule": {**where, "chain": "x", "comment": mark, "expr": []}} for mark in marks]
    return [{"table": {"family": "inet", "name": "railyard_sglang"}}, *rules]


def test_what_listens_and_is_not_let_in_any_more_is_told_once() -> None:
    rows = (("0.0.0.0", 22), ("::", 9100), ("203.0.113.10", 111), ("127.0.0.1", 25), ("192.0.2.1", 26), ("0.0.0.0", 40000))
    given = wanted(provider="nftables")
    before = seen(host=replace(HOST, listening=rows))
    plan = planning.build(given, before)
    assert plan.notes == ["By fab0, mgmt0 nobody will reach what listens at port 111, 9100: see network_firewall_also"]
    after = replace(before, files=plan.files, linked=True, ruleset=listed(plan.files[nft.PATH] or b""))
    assert planning.build(given, after).notes == []


def test_what_other_rules_shut_out_is_seen() -> None:
    assert planning_table.closed(wanted(), HOST, []) == []
    found = planning_table.closed(wanted(), HOST, [DROPS])
    assert "tcp 30000 (API) is dropped by chain in of table inet op" in found
    soft = replace(HOST, soft_roce=("rxe0",))
    assert [host for host in (HOST, soft) if "udp 4791" in str(planning_table.closed(wanted("looked"), host, [DROPS]))] == [soft]


def test_the_other_provider_is_taken_back() -> None:
    after = applied(planning.build(wanted(), seen()), seen(), wanted())
    plan = planning.build(wanted(provider="nftables"), replace(after, ruleset=[]))
    assert plan.files[FABRIC] is None
    assert plan.reload
    loaded = planning.build(wanted(provider="nftables"), seen())
    content = loaded.files[nft.PATH] or b""
    back = planning.build(wanted(), seen(files=loaded.files, linked=True, ruleset=listed(content)))
    assert back.files[nft.PATH] is None
    assert (back.load, back.linked) == (False, False)


DROPS = {"chain": {"family": "inet", "table": "op", "name": "in", "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}}
FIREWALLD = {"table": {"family": "inet", "name": "firewalld"}}


@pytest.mark.parametrize(
    ("ruleset", "text"),
    [
        ([DROPS], "tcp 30000 (API) is dropped by chain in of table inet op"), ([FIREWALLD], "firewalld runs"),
        (None, "nft cannot list the rules"),
    ],
)
def test_what_keeps_a_table_of_ours_from_letting_in(ruleset: list[Any] | None, text: str) -> None:
    faults = planning.build(wanted(provider="nftables"), seen(ruleset=ruleset)).faults
    assert any(text in fault and "Fix: " in fault for fault in faults)


def test_a_reload_that_would_lose_rules_of_the_operator_is_refused() -> None:
    stored = {"public": PUBLIC}
    assert planning.lost(stored, seen()) == []
    changed = seen(runtime={"public": replace(PUBLIC, opened={**PUBLIC.opened, "ports": "9100/tcp"})})
    assert "zone public of firewalld has rules at run time" in planning.lost(stored, changed)[0]
    # Of interfaces the run time knows more, and a reload keeps them.
    assert planning.lost(stored, seen(runtime={"public": replace(PUBLIC, interfaces=("fab0",))})) == []


def test_differences_hide_secrets() -> None:
    profile = keyfile("fab0")
    profile = replace(profile, content=profile.content + b"[wifi-security]\npsk=hunter2\n")
    before = seen(profiles=(profile,))
    rows = views.differences(planning.build(wanted(), before), before)
    assert "hunter2" not in str(rows)
    assert {row["before_header"] for row in rows} == {FABRIC, MANAGEMENT, profile.path, "zones at run time"}
    assert views.zones(wanted(), HOST) == {"railyard-fabric": ["fab0"], "railyard-mgmt": ["mgmt0"]}
