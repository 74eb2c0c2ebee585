# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role model on this machine, with real asynchronous jobs: several clusters in one play, what it refuses, jobs that are killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.model import directory
from ansible_collections.railyard.sglang.tests.unit.support import models, playbooks

PLAY = """
- hosts: all
  gather_facts: false
  any_errors_fatal: true
  roles:
    - role: railyard.sglang.model
"""
JOB = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.command: sleep {seconds}
      async: 600
      poll: 0
      register: started
    - ansible.builtin.shell: |
        for place in /proc/[0-9]*; do
          if tr '\\0' '\\n' < $place/cmdline 2>/dev/null | grep -qx '{{{{ started.ansible_job_id | split(".") | first }}}}'; then
            kill -9 ${{place#/proc/}}
          fi
        done
      when: {killed}
    - railyard.sglang.model_progress:
        jid: "{{{{ started.ansible_job_id }}}}"
        path: {path}/m
        poll: 1
"""


def run(base: Path, hosts: dict[str, dict[str, Any]], *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run the role on hosts that are all this machine."""
    common = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "model_reserve_gib": 0, "model_poll_seconds": 1}
    inventory = {"all": {"hosts": hosts, "vars": {**common, **more}}}
    (base / "hosts.json").write_text(json.dumps(inventory), encoding="utf-8")
    (base / "play.yml").write_text(PLAY, encoding="utf-8")
    return playbooks.playbook(base, "-i", str(base / "hosts.json"), str(base / "play.yml"), *words, seconds=600)


def host(base: Path, cluster: str, checksum: str = "", **more: Any) -> dict[str, Any]:
    """Return the variables of a host of a cluster whose model is the one of that name."""
    model = {"path": str(base / "hosts" / cluster / "m"), "name": "m", "source": "path", "checksum": checksum}
    planned = {"cluster": cluster, "model": model, "fabric_address": "127.0.0.1", "ranks": []}
    origin = {"type": "directory", "path": str(base / "from" / cluster)}
    return {"sglang_host": planned, "model_origin": origin, "model_hub_python": "/nonexistent/python", **more}


def said(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join((done.stdout + done.stderr).split())


@pytest.mark.full
def test_each_cluster_of_a_play_gets_its_own_model(tmp_path: Path) -> None:
    for name in ("one", "two"):
        models.write(tmp_path / "from" / name, seed=name)
    hosts = {"a1": host(tmp_path, "one"), "a2": host(tmp_path, "one"), "b1": host(tmp_path, "two"), "b2": host(tmp_path, "two")}
    predicted = run(tmp_path, hosts, "--check", model_fanout=True)
    assert predicted.returncode == 0, said(predicted)
    assert not (tmp_path / "hosts").exists()
    done = run(tmp_path, hosts, model_fanout=True)
    assert done.returncode == 0, said(done)
    for name in ("one", "two"):
        assert directory.manifest(str(tmp_path / "hosts" / name / "m")) == directory.manifest(str(tmp_path / "from" / name))
    again = run(tmp_path, hosts, model_fanout=True)
    assert again.stdout.count("changed=0") == len(hosts), said(again)


HUB = {"type": "hub", "repo": "a/b", "revision": "0" * 40}
REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "a typo": ({"model_fanout": True, "model_fanout_source": "a9"}, "model_fanout_source of a1: names 'a9', which is no host of this run"),
    "the hub": (
        {"stack_offline": True, "model_origin": HUB}, "model_origin.type of a1 is hub, which is not fetched from with stack_offline",
    ),
    "a store": (
        {"stack_offline": True, "model_origin": {"type": "s3", "bucket": "b"}}, "of a1 is s3, which is not fetched from with stack_offline",
    ),
}


@pytest.mark.parametrize("check", [[], ["--check"]])
@pytest.mark.parametrize(("more", "text"), REFUSALS.values(), ids=REFUSALS)
def test_refusals_name_variable_host_rule_and_fix(tmp_path: Path, more: dict[str, Any], text: str, check: list[str]) -> None:
    done = run(tmp_path, {"a1": host(tmp_path, "one", **more), "a2": host(tmp_path, "one", **more)}, *check)
    assert done.returncode != 0
    assert text in said(done)
    assert "Fix: " in said(done)
    assert not (tmp_path / "hosts").exists()


def test_secrets_are_in_no_output_and_failures_are_said(tmp_path: Path) -> None:
    more = {"model_token": "verysecrettoken", "model_origin": {"type": "http", "url": "http://127.0.0.1:9/m"}}
    for words in (["--check", "-vvv"], ["-vvv"]):
        done = run(tmp_path, {"a1": host(tmp_path, "one", "0" * 64, **more)}, *words)
        assert done.returncode != 0
        assert "it cannot be fetched: " in said(done)
        assert "verysecrettoken" not in said(done)


ENDS: list[tuple[int, bool, str]] = [(600, True, "has ended without a result: it was killed, or localhost"), (4, False, "")]


@pytest.mark.parametrize(("seconds", "killed", "text"), ENDS)
def test_a_job_that_was_killed_is_no_longer_waited_for(tmp_path: Path, seconds: int, killed: bool, text: str) -> None:
    (tmp_path / "play.yml").write_text(JOB.format(seconds=seconds, killed=str(killed).lower(), path=tmp_path), encoding="utf-8")
    began = time.monotonic()
    done = playbooks.playbook(tmp_path, str(tmp_path / "play.yml"), "-e", f"ansible_python_interpreter={sys.executable}", seconds=300)
    assert (done.returncode != 0) == killed, said(done)
    assert text in said(done)
    assert time.monotonic() - began < 200
