# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of playbooks/plan.yml: what they write, show and return, and that they contact no host."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.railyard.sglang.tests.unit.support import playbooks

FILES = ["firewall.json", "firewall.nft", "plan.html", "plan.json", "plan.txt"]
INVENTORY = playbooks.ROOT / "tests/unit/golden/inventory.yml"
WARNING = {"sglang_bind_address": "0.0.0.0"}
ERROR = {"sglang_fabric_interface": ""}


class Desk:
    """A directory of an operator, with an inventory in inventory/east and an ssh that leaves a trace."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.trace = directory / "contacted"
        self.out = directory / "plan/east"
        ssh = directory / "ssh"
        ssh.write_text(f"#!/bin/sh\necho contacted >>{self.trace}\nexit 255\n", encoding="utf-8")
        ssh.chmod(0o755)
        self.inventory = directory / "inventory/east/hosts.yml"
        self.inventory.parent.mkdir(parents=True)
        data = yaml.safe_load(INVENTORY.read_text(encoding="utf-8"))
        data["all"]["vars"]["ansible_ssh_executable"] = str(ssh)
        self.inventory.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")

    def run(
        self, *words: str, variables: dict[str, Any] | None = None, name: str = "railyard.sglang.plan",
    ) -> subprocess.CompletedProcess[str]:
        """Run the playbook; no host may have been contacted."""
        extra = ["-e", json.dumps(variables)] if variables else []
        done = playbooks.playbook(self.directory, "-i", str(self.inventory.parent), name, *extra, *words)
        assert not self.trace.exists()
        assert "Traceback" not in done.stdout + done.stderr
        return done

    def files(self) -> dict[str, bytes]:
        """Return what was written."""
        return {path.name: path.read_bytes() for path in sorted(self.out.iterdir())} if self.out.exists() else {}


@pytest.fixture(name="desk")
def make_desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def changed(done: subprocess.CompletedProcess[str]) -> list[str]:
    return re.findall(r"changed=(\d+)", done.stdout.split("PLAY RECAP")[1])


def test_first_run_writes_and_the_second_changes_nothing(desk: Desk) -> None:
    first = desk.run()
    assert first.returncode == 0, first.stdout + first.stderr
    written = desk.files()
    assert sorted(written) == FILES
    assert written["plan.txt"].decode().strip() in first.stdout
    assert "There is no earlier plan to compare with." in first.stdout
    assert "1" in changed(first)
    plan = json.loads(written["plan.json"])
    assert [row["name"] for row in plan["instances"]] == ["prefill-0", "decode-0"]
    second = desk.run()
    assert (second.returncode, set(changed(second))) == (0, {"0"})
    assert "Nothing would restart." in second.stdout
    assert desk.files() == written


def test_path_name_limit_and_directory_do_not_matter(desk: Desk, tmp_path: Path) -> None:
    desk.run()
    written = desk.files()
    other = tmp_path / "elsewhere/deep"
    path = str(playbooks.ROOT / "playbooks/plan.yml")
    done = desk.run("--limit", "d1", variables={"plan_directory": str(other)}, name=path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name: path.read_bytes() for path in other.iterdir()} == written


def test_check_mode_writes_nothing_and_says_what_it_would(desk: Desk) -> None:
    done = desk.run("--check")
    assert done.returncode == 0
    assert "1" in changed(done)
    assert desk.files() == {}
    assert not (desk.directory / "plan").exists()
    desk.run()
    assert set(changed(desk.run("--check"))) == {"0"}


@pytest.mark.full
def test_diff_says_what_would_restart(desk: Desk) -> None:
    desk.run()
    written = desk.files()
    variables = {"sglang_env": {"NCCL_DEBUG": "INFO"}}
    done = desk.run("--check", "--diff", variables=variables)
    assert "prefill-0 (cluster lab) would restart\n  environment NCCL_DEBUG: not set -> INFO\n" in done.stdout
    assert done.stdout.count("would restart") == 2
    assert desk.files() == written
    desk.run(variables=variables)
    assert "Nothing would restart." in desk.run(variables=variables).stdout
    kept = desk.directory / "release.json"
    kept.write_bytes(written["plan.json"])
    assert "would restart" in desk.run(variables={**variables, "plan_previous": str(kept)}).stdout


def test_an_error_is_written_down_and_fails(desk: Desk) -> None:
    done = desk.run(variables=ERROR)
    assert done.returncode == 2
    assert "The inventory cannot be planned: 4 errors. No host was contacted." in done.stdout
    assert sorted(desk.files()) == ["plan.html", "plan.txt"]
    assert b"rule address.interface" in desk.files()["plan.html"]
    desk.run()
    good = desk.files()
    desk.run(variables=ERROR)
    found = desk.files()
    assert {name for name in FILES if found[name] != good[name]} == {"plan.html", "plan.txt"}


@pytest.mark.parametrize(("variables", "level", "code"), [
    (WARNING, None, 0), (WARNING, "warning", 2), ({}, "warning", 0), (WARNING, "error", 0), (ERROR, "warning", 2),
])
def test_exit_code_follows_severity(desk: Desk, variables: dict[str, Any], level: str | None, code: int) -> None:
    done = desk.run(variables={**variables, **({"plan_fail_on": level} if level else {})})
    assert done.returncode == code, done.stdout + done.stderr
    assert "plan.html" in desk.files()
    assert ("plan.json" in desk.files()) is (variables != ERROR)


@pytest.mark.parametrize(("variables", "text"), [
    ({"plan_fail_on": "never"}, "value of fail_on must be one of"),
    ({"plan_monitoring": ["monitoring.example.com"]}, "not an address and not a network: monitoring.example.com"),
    ({"plan_ssh_port": 99999}, "ssh_port 99999 is not from 1 to 65535"),
    ({"plan_zone": "a zone"}, "zone 'a zone' is not the name of a zone"),
    ({"plan_previous": "none.json"}, "none.json: there is no such file"),
    ({"plan_directory": "inventory/east/hosts.yml"}, "hosts.yml"),
])
def test_wrong_options_are_refused(desk: Desk, variables: dict[str, Any], text: str) -> None:
    done = desk.run(variables=variables)
    assert done.returncode == 2
    assert text in done.stdout
    assert desk.files() == {}


@pytest.mark.full
def test_networks_outside_of_the_plan(desk: Desk) -> None:
    desk.run(variables={"plan_monitoring": ["198.51.100.0/28"], "plan_clients": ["192.0.2.0/24"], "plan_controllers": ["198.51.100.1"]})
    data = json.loads(desk.files()["firewall.json"])
    assert data["outside"] == {"clients": ["192.0.2.0/24"], "monitoring": ["198.51.100.0/28"], "controllers": ["198.51.100.1"]}
    assert b"ip saddr @from_clients_v4 ip daddr . tcp dport @to_clients_router_api_v4 accept" in desk.files()["firewall.nft"]


def test_an_inventory_without_hosts_is_refused(desk: Desk) -> None:
    desk.inventory.write_text("all: {}\n", encoding="utf-8")
    done = desk.run()
    assert done.returncode == 2
    assert "sglang_pools: is set on no host" in done.stdout
