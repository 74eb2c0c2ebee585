# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of host_firewall follows the names: interfaces go back to the operator's zones under the new ones."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall import look, planning
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.wanted import Flow, Host, Seen, Wanted
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import firewallrecord, references

ZONE_PATH = "/etc/firewalld/zones/rails.xml"
ZONE = (
    b'<?xml version="1.0" encoding="utf-8"?>\n<zone>\n  <short>rails</short>\n'
    b'  <interface name="%s"/>\n  <interface name="ens9"/>\n</zone>\n'
)
NAMES = {"ens1": "roce0", "ens2": "ens1"}
FLOW = Flow("fabric", "192.0.2.1", "tcp", "30000", "API", ("192.0.2.2",), "x")


def seen(name: str, files: dict[str, bytes], record: dict[str, Any] | None = None) -> Seen:
    return Seen(host=Host(addresses={"192.0.2.1": name}, interfaces=(name, "lo")), files=files, runtime={}, record=record or {})


def wanted(name: str, present: bool = True) -> Wanted:
    return Wanted(present=present, flows=(FLOW,), fabric_interfaces=(name,), addresses=("192.0.2.1",), take=True)


def written(record: Any) -> bytes:
    return (json.dumps(dict(record, change="abc"), indent=1, sort_keys=True) + "\n").encode()


def follows(files: dict[str, bytes], names: dict[str, str]) -> dict[str, bytes]:
    return {path: references.rewrite(path, content, names).content for path, content in files.items()}


def taken() -> tuple[dict[str, bytes], dict[str, Any]]:
    plan = planning.build(wanted("ens1"), seen("ens1", {ZONE_PATH: ZONE % b"ens1"}))
    assert plan.faults == []
    return {path: content for path, content in plan.files.items() if content is not None}, dict(plan.record)


def test_it_is_the_file_of_host_firewall() -> None:
    assert firewallrecord.PATH == look.RECORD
    assert firewallrecord.PATH in references.PATTERNS


def test_what_was_taken_goes_back_exactly_under_the_new_name() -> None:
    files, record = taken()
    new = follows({**files, firewallrecord.PATH: written(record)}, NAMES)
    after = json.loads(new.pop(firewallrecord.PATH))
    assert after["taken"][ZONE_PATH]["interfaces"] == ["roce0"]
    # A run under the new name has nothing to do.
    again = planning.build(wanted("roce0"), seen("roce0", new, after))
    assert (again.faults, again.files) == ([], {})
    assert again.record["taken"] == after["taken"]
    back = planning.build(wanted("roce0", present=False), seen("roce0", new, after))
    assert back.files[ZONE_PATH] == ZONE % b"roce0"
    # With a record of the former name nothing of that is exact.
    assert planning.build(wanted("roce0", present=False), seen("roce0", new, record)).files[ZONE_PATH] != ZONE % b"roce0"


def test_names_and_then_their_inverse_give_the_same_bytes() -> None:
    before = written(taken()[1])
    after = references.rewrite(firewallrecord.PATH, before, NAMES).content
    assert b"roce0" in after
    assert references.rewrite(firewallrecord.PATH, after, {new: old for old, new in NAMES.items()}).content == before


@pytest.mark.parametrize("content", [b"{}", b' {"version": 1}\n', written(taken()[1])])
def test_without_any_of_the_names_not_a_byte_changes(content: bytes) -> None:
    assert references.rewrite(firewallrecord.PATH, content, {"ens7": "roce7", "rails": "roce1"}).content == content


@pytest.mark.parametrize("content", [b"", b"[]", b'{"taken": 1}', b'{"taken": {"x": {}}}', b"ens1"])
def test_what_is_no_record_is_told(content: bytes) -> None:
    found = references.rewrite(firewallrecord.PATH, content, NAMES)
    assert found.content == content
    assert [row.text for row in found.unclear] == ["this is no record of host_firewall"]


def test_the_zones_in_it_are_as_their_files_become() -> None:
    zone = ZONE % b"ens2"
    packed = base64.b64encode(zone).decode()
    record = {"taken": {ZONE_PATH: {"interfaces": ["ens1"], "before": packed, "after": packed}}}
    after = json.loads(references.rewrite(firewallrecord.PATH, json.dumps(record).encode(), NAMES).content)["taken"][ZONE_PATH]
    assert base64.b64decode(after["after"]) == references.rewrite(ZONE_PATH, zone, NAMES).content == ZONE % b"ens1"
