# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inventories that cannot be planned: site.yml ends before it touches a host, names variable, rule and fix, and lists inventories."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from labkit import ROOT, Lab, override

pytestmark = pytest.mark.lab

CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "pool names a group that does not exist": (
        {"sglang_pools": {"decode": {"group": "decoders"}}},
        ["sglang_pools.decode.group: group decoders has no host", "topology.group-empty"],
    ),
    "instance takes a host of another group": (
        {"sglang_pools": {"decode": {"instances": [{"name": "decode-0", "hosts": ["d0", "p1"]}]}}},
        ["sglang_pools.decode.instances[0].hosts (host p1): p1 is not in group decode", "topology.wrong-group"],
    ),
    "two instances of one name": (
        {
            "sglang_pools": {
                "decode": {"nodes_per_instance": 1, "tp": 1, "instances": [{"name": "d", "hosts": ["d0"]}, {"name": "d", "hosts": ["d1"]}]}
            }
        },
        ["sglang_pools.decode.instances[1].name: two instances are called d", "topology.name-twice"],
    ),
    "number of hosts is no multiple": (
        {"sglang_pools": {"decode": {"nodes_per_instance": 3, "tp": 3}}},
        ["sglang_pools.decode.nodes_per_instance: group decode has 2 hosts (d0, d1), which is not a multiple of 3", "add 1 host(s)"],
    ),
    "no router": (
        {"sglang_router": {"group": "routers"}},
        ["sglang_router.group: group routers has no host", "topology.group-empty"],
    ),
    "prefill and decode in one group": (
        {"sglang_pools": {"decode": {"group": "prefill"}}},
        ["p0 serves prefill-0 and decode-0", "placement.gpu-unknown"],
    ),
    "argument that the engine does not have": (
        {"sglang_args": {"max-total-tokenz": 1}},
        ["sglang_args.max-total-tokenz", "max-total-tokens"],
    ),
    "model without a path": ({"sglang_model": {"path": None}}, ["sglang_model.path: is not set", "input.missing"]),
}


@pytest.mark.parametrize("case", CASES)
def test_inventory_that_cannot_be_planned(case: str, nowhere: Lab) -> None:
    change, said = CASES[case]
    run = nowhere.play(variables=override(**change), seconds=60)
    text = run.refused()
    for words in [*said, "Fix: ", "Inventory given: ", "Inventories found: ", "inventory/lab"]:
        assert words in text
    assert run.on_hosts() == []


@pytest.mark.parametrize("check", [[], ["--check"]])
def test_without_an_inventory(check: list[str], nowhere: Lab) -> None:
    run = nowhere.play(*check, inventory=None, seconds=60)
    text = run.refused()
    assert "sglang_pools: is set on no host of this inventory" in text
    assert "Inventory given: " in text
    assert "inventory/lab" in text
    assert run.on_hosts() == []


def test_inventory_that_does_not_exist(nowhere: Lab) -> None:
    run = nowhere.play(inventory="inventory/labb", seconds=60)
    assert "inventory/labb" in run.refused()
    assert run.on_hosts() == []


def test_empty_inventory(nowhere: Lab, tmp_path: Path) -> None:
    empty = tmp_path / "hosts.yml"
    empty.write_text("---\nall:\n  hosts: {}\n", encoding="utf-8")
    run = nowhere.play(inventory=str(empty), seconds=60)
    text = run.refused()
    assert f"Inventory given: {empty}" in text
    assert "inventory/lab" in text


def test_hosts_without_variables(nowhere: Lab) -> None:
    run = nowhere.play(inventory="p0,d0,r0", seconds=60)
    assert "name the inventory of a cluster with -i, or set sglang_pools in its group_vars/all.yml" in run.refused()
    assert run.on_hosts() == []


def test_limit_that_cuts_an_instance(nowhere: Lab) -> None:
    run = nowhere.play("--limit", "p0,d1,r0", seconds=60)
    text = run.refused()
    assert "--limit: leaves p1 out of prefill-0, which starts and stops as one" in text
    assert "--limit: leaves d0 out of decode-0" in text
    assert "Fix: --limit d0,d1" in text
    assert run.on_hosts() == []


def test_tag_that_is_no_stage(nowhere: Lab) -> None:
    run = nowhere.play("--tags", "engines", seconds=60)
    assert "engines is no stage" in run.refused()
    assert run.on_hosts() == []


def test_limit_that_matches_no_host(nowhere: Lab) -> None:
    run = nowhere.play("--limit", "nosuchhost", seconds=60)
    assert "nosuchhost" in run.refused()


def test_hosts_that_do_not_answer_are_named(nowhere: Lab) -> None:
    run = nowhere.play(seconds=240)
    assert run.refused()
    assert set(run.failures) == {"p0", "p1", "d0", "d1", "r0"}
    assert all("lab is not up" in text for text in run.failures.values()), run.failures


def test_input_for_a_lab_that_is_not_up_is_taken(tmp_path: Path) -> None:
    """More than a pipe holds, as Ansible sends a module: a broken pipe would hide why."""
    wrapper = [str(ROOT / "roles/lab/files/lab-ssh.sh"), "-F", str(tmp_path / "ssh_config"), "p0"]
    with subprocess.Popen(wrapper, stdin=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as run:
        assert run.stdin is not None
        assert run.stderr is not None
        # Unlike communicate(), this fails with a broken pipe.
        left = memoryview(b"x" * (1 << 20))
        while left:
            left = left[run.stdin.write(left) :]
        run.stdin.close()
        assert b"lab is not up" in run.stderr.read()
    assert run.returncode == 255


def test_files_of_the_checkout_are_not_touched() -> None:
    assert not (ROOT / "site.retry").exists()
