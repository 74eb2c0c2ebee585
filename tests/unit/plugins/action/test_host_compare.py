# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the action on facts that a play holds, and of playbooks/facts.yml against this machine under three names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.railyard.sglang.plugins.action import host_compare
from ansible_collections.railyard.sglang.plugins.modules import host_compare as module
from ansible_collections.railyard.sglang.tests.unit.support import fleets, playbooks
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster

HOSTS = ("p0", "p1", "d0", "d1")
PLAY = """
- hosts: all
  gather_facts: false
  connection: local
  tasks:
    - name: Facts
      ansible.builtin.set_fact:
        rdma: "{{ lookup('ansible.builtin.file', source ~ '/' ~ inventory_hostname ~ '.json') | from_json }}"
        sglang_clock: {low: -0.1, high: 0.1, steady: true, synchronised: true}
        cacheable: true
    - name: Compare
      railyard.sglang.host_compare: "{{ {'plan': lookup('ansible.builtin.file', source ~ '/plan.json') | from_json} | combine(options) }}"
      run_once: true
"""


def written(place: Path, **change: Any) -> Path:
    """Write facts of four hosts, the third one changed, and their plan; return the directory."""
    source = place / "source"
    source.mkdir()
    for number, host in enumerate(HOSTS, 1):
        facts = fleets.machine(place / "trees", number, **(change if host == "d0" else {}))
        (source / f"{host}.json").write_text(json.dumps(facts), encoding="utf-8")
    plan = fleets.plan({"prefill-0": ["p0", "p1"], "decode-0": ["d0", "d1"]}, router="")
    (source / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    (place / "play.yml").write_text(PLAY, encoding="utf-8")
    return source


def run(place: Path, *words: str, variables: dict[str, Any] | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Compare what was written."""
    inventory = {"all": {"hosts": dict.fromkeys(HOSTS, variables or {}), "vars": {"source": str(place / "source"), "options": options}}}
    (place / "hosts.yml").write_text(json.dumps(inventory), encoding="utf-8")
    return playbooks.playbook(place, "-i", str(place / "hosts.yml"), str(place / "play.yml"), *words)


def recap(done: subprocess.CompletedProcess[str], host: str = "p0") -> tuple[str, str]:
    """Return the changed and the failed tasks of a host."""
    found = re.search(rf"^{host} .*changed=(\d+) .*failed=(\d+)", done.stdout, re.MULTILINE)
    assert found, done.stdout + done.stderr
    return found.group(1), found.group(2)


def test_equal_hosts_and_what_is_written(tmp_path: Path) -> None:
    source, out = written(tmp_path), tmp_path / "out"
    done = run(tmp_path, "--check", directory=str(out))
    assert recap(done) == ("1", "0")
    assert not out.exists()
    assert recap(run(tmp_path, directory=str(out))) == ("1", "0")
    assert {path.name for path in out.iterdir()} == {*host_compare.SUMMARY, *(f"{host}.json" for host in HOSTS)}
    for host in HOSTS:
        assert json.loads((out / f"{host}.json").read_text("utf-8")) == json.loads((source / f"{host}.json").read_text("utf-8"))
    assert json.loads((out / "summary.json").read_text("utf-8"))["findings"] == []
    again = run(tmp_path, directory=str(out))
    assert recap(again) == ("0", "0")
    assert "4 hosts compared: no findings" in again.stdout
    assert recap(run(tmp_path)) == ("0", "0")


def test_an_error_fails_after_everything_was_written(tmp_path: Path) -> None:
    written(tmp_path, mtu={3: 1500}, kernel="6.1.0")
    done = run(tmp_path, directory=str(tmp_path / "out"), show=False)
    assert done.returncode != 0
    said = " ".join((done.stdout + done.stderr).split())
    assert "error: ansible_facts.rdma (decode-0, host d0): active MTU: rail 3 (mlx5_3, ens3np0) 1024, the others 4096" in said
    assert "The hosts were compared: 1 error, 1 warning." in said
    assert "kernel: 6.1.0, the others have 6.8.0-45-generic [rule compare.kernel]" in said
    summary = json.loads((tmp_path / "out/summary.json").read_text("utf-8"))
    assert {row["rule"] for row in summary["findings"]} == {"compare.active-mtu", "compare.kernel"}
    assert (tmp_path / "out/d0.json").is_file()


def test_waivers_warnings_and_the_level_of_failure(tmp_path: Path) -> None:
    written(tmp_path, mtu={3: 1500}, kernel="6.1.0")
    waive = {"sglang_cluster": "east", "sglang_waive": {"compare.active-mtu": "the switch is replaced on Friday"}}
    done = run(tmp_path, variables=waive, show=False)
    assert recap(done) == ("0", "0")
    assert "kernel: 6.1.0, the others have 6.8.0-45-generic [rule compare.kernel]" in " ".join((done.stdout + done.stderr).split())
    done = run(tmp_path, variables=waive, fail_on="warning")
    assert recap(done) == ("0", "1")
    assert "waived: the switch is replaced on Friday" in done.stdout


def test_a_waiver_that_is_wrong_is_told(tmp_path: Path) -> None:
    written(tmp_path)
    waive = {"compare.mtuu": "the switch is replaced on Friday", "other.rule": "is not ours, so be it"}
    done = run(tmp_path, variables={"sglang_waive": waive})
    assert recap(done) == ("0", "1")
    said = " ".join((done.stdout + done.stderr).split())
    assert "sglang_waive: compare.mtuu is not a rule of the comparison (cluster east). Fix: name a rule of docs/host-comparison.md" in said


def test_rails_that_are_routed(tmp_path: Path) -> None:
    written(tmp_path, order=[0, 2, 1, 3, 4, 5, 6, 7])
    assert recap(run(tmp_path, fail_on="warning"))[1] == "1"
    assert recap(run(tmp_path, variables={"sglang_rails_routed": True}, fail_on="warning"))[1] == "0"


def test_hosts_that_are_not_in_the_run(tmp_path: Path) -> None:
    written(tmp_path, mtu={3: 1500})
    done = run(tmp_path, "--limit", "p0,p1,d1", directory=str(tmp_path / "out"))
    assert recap(done) == ("1", "0")
    assert "not in this run, and not compared: d0" in done.stdout
    assert not (tmp_path / "out/d0.json").exists()


@pytest.mark.parametrize(("options", "text"), [
    ({"plan": {"instances": []}}, "plan: has no routers, hosts; give what railyard.sglang.plan returns"),
    ({"clock_seconds": 0}, "clock_seconds 0.0 is not above 0"),
    ({"fail_on": "always"}, "fail_on must be one of"),
])
def test_options_that_make_no_sense(options: dict[str, Any], text: str, tmp_path: Path) -> None:
    written(tmp_path)
    done = run(tmp_path, **options)
    assert done.returncode != 0
    assert text in " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize(("host", "name"), [
    ("gpu01", "gpu01.json"), ("gpu01.example.org", "gpu01.example.org.json"), ("2001:db8::1", "2001_db8__1.json"),
    ("../../etc/x", "__.._etc_x.json"), ("..", "_.json"), ("a/b\0c", "a_b_c.json"),
])
def test_names_of_files(host: str, name: str) -> None:
    assert host_compare.file_of(host).replace("/", "!") == name


@pytest.mark.parametrize("hosts", [["a:b", "a_b", "c"], ["a:b", "a/b"], ["summary", "c"]])
def test_names_that_are_taken(hosts: list[str]) -> None:
    with pytest.raises(OSError, match="name of a file that there is already") as caught:
        host_compare.names_of(hosts)
    assert caught.value.filename == ", ".join(sorted(set(hosts) - {"c"}))
    assert host_compare.names_of(["p0", "p1"]) == {"p0": "p0.json", "p1": "p1.json"}


def test_options_are_documented_as_they_are() -> None:
    documented: dict[str, dict[str, Any]] = yaml.safe_load(module.DOCUMENTATION)["options"]
    known = ("type", "elements", "default", "choices", "required")
    assert {name: {key: row[key] for key in known if key in row} for name, row in documented.items()} == host_compare.SPEC


def test_playbook_against_this_machine(tmp_path: Path) -> None:
    inventory = cluster(1, 1, 1, 1)
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "sglang_become": False}
    groups = {name: {"hosts": {host: {**inventory.hostvars[host], **local} for host in hosts}}
              for name, hosts in inventory.groups.items() if name != "all"}
    (tmp_path / "hosts.yml").write_text(json.dumps({"all": {"children": groups}}), encoding="utf-8")
    words = ("-i", str(tmp_path / "hosts.yml"), "railyard.sglang.facts", "-e", f"facts_directory={tmp_path / 'facts'}")
    done = playbooks.playbook(tmp_path, *words)
    assert [recap(done, host)[1] for host in ("p0", "d0", "r0")] == ["0", "0", "0"]
    summary = json.loads((tmp_path / "facts/summary.json").read_text("utf-8"))
    clocks = {row["name"]: row["clock"] for row in summary["hosts"]}
    assert set(clocks) == {"p0", "d0", "r0"}
    for clock in clocks.values():
        assert clock["low"] <= 0 <= clock["high"], "this machine's clock is that of the controller"
    assert not [row for row in summary["findings"] if row["severity"] in ("error", "warning")]
    for host in ("p0", "d0", "r0"):
        assert "selection" in json.loads((tmp_path / f"facts/{host}.json").read_text("utf-8"))
    assert re.search(r"^prefill-0 +p0 ", done.stdout, re.MULTILINE)
