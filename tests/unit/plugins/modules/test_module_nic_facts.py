# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module nic_facts, on this machine and on trees of our own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from ansible_collections.railyard.sglang.plugins.modules import nic_facts
from ansible_collections.railyard.sglang.tests.unit.support.modules import run
from ansible_collections.railyard.sglang.tests.unit.support.nichosts import CONNECTIONS, keyfile, mac
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import Host


@pytest.mark.parametrize("check", [False, True])
def test_this_machine(check: bool) -> None:
    result = run(nic_facts.main, {}, check)
    assert set(result) == {"changed", "ansible_facts", "errors"}
    assert result["changed"] is False
    names = [name for name in os.listdir("/sys/class/net") if name != "bonding_masters"]
    assert sorted(row["name"] for row in result["ansible_facts"]["nics"]) == sorted(names)


def test_what_is_documented_is_what_comes(tmp_path: Path) -> None:
    Host(tmp_path).netdev("ens0", "10:01.0 11:00.0")
    (row,) = run(nic_facts.main, {"root": str(tmp_path)})["ansible_facts"]["nics"]
    documented = yaml.safe_load(nic_facts.RETURN)["ansible_facts"]["contains"]["nics"]["contains"]
    assert set(documented) == set(row)
    kinds = {"str": str, "int": int, "bool": bool, "list": list}
    assert {key: type(value) for key, value in row.items()} == {key: kinds[entry["type"]] for key, entry in documented.items()}


def test_a_tree_with_a_bond_and_profiles(tmp_path: Path) -> None:
    host = Host(tmp_path)
    for number in range(2):
        host.netdev(f"ens{number}", f"10:01.0 11:00.{number}", address=mac(number))
    host.bond("bond0", ["ens0", "ens1"])
    host.file(f"{CONNECTIONS}/port.nmconnection", keyfile("ens0"))
    host.file(f"{CONNECTIONS}/by-address.nmconnection", keyfile("other", "[ethernet]", f"mac-address={mac(1).upper()}", bound=False))
    host.file(f"{CONNECTIONS}/any.nmconnection", keyfile("any", bound=False))
    rows = {row["name"]: row for row in run(nic_facts.main, {"root": str(tmp_path)})["ansible_facts"]["nics"]}
    assert (rows["bond0"]["ports"], rows["ens0"]["ports"], rows["ens0"]["master"]) == (["ens0", "ens1"], [], "bond0")
    assert {name: [profile["id"] for profile in row["profiles"]] for name, row in rows.items()} == {
        "ens0": ["ens0"],
        "ens1": ["other"],
        "bond0": [],
    }


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.netdev("ens0", "10:01.0 11:00.0")
    (tmp_path / CONNECTIONS.lstrip("/") / "x.nmconnection").mkdir(parents=True)
    result = run(nic_facts.main, {"root": str(tmp_path)})
    assert result["errors"] == {f"{CONNECTIONS}/x.nmconnection": "EISDIR"}


def test_no_such_directory(tmp_path: Path) -> None:
    result = run(nic_facts.main, {"root": str(tmp_path / "none")})
    assert result["failed"]
    assert "Fix: " in result["msg"]
