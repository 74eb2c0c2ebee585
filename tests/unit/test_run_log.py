# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests' own counting callback counts right: gates of cost and of "did it run at all" stand on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLAY = """
- name: Two hosts
  hosts: all
  gather_facts: false
  tasks:
    - name: Run
      ansible.builtin.command: "true"
      changed_when: true
    - name: Run once
      ansible.builtin.debug:
      run_once: true
    - name: Skip on one
      ansible.builtin.debug:
      when: inventory_hostname == 'a'
    - name: Loop
      ansible.builtin.debug:
      loop: [1, 2, 3]
- name: Nobody
  hosts: none
  tasks:
    - name: Never
      ansible.builtin.debug:
"""


def test_counts(tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(PLAY, encoding="utf-8")
    log = tmp_path / "log"
    env = dict(
        os.environ,
        ANSIBLE_CALLBACK_PLUGINS=str(ROOT / "tests" / "plugins" / "callback"),
        ANSIBLE_CALLBACKS_ENABLED="run_log",
        RAILYARD_RUN_LOG=str(log),
        ANSIBLE_HOST_PATTERN_MISMATCH="ignore",
    )
    hosts = ["-i", "a,b,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
    command = ["ansible-playbook", *hosts, "play.yml"]
    for _run in range(2):
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "[WARNING]: Failure" not in done.stderr + done.stdout
    assert [path.name for path in sorted(log.iterdir())] == ["001-play.json", "002-play.json"]

    counted = json.loads((log / "001-play.json").read_text(encoding="utf-8"))
    assert counted["kinds"] == {"changed": 2, "ok": 4, "skipped": 1}
    assert (counted["executed"], counted["skipped"], counted["extra_items"]) == (6, 1, 4)
    assert counted["hosts"] == {"a": {"changed": 1, "ok": 3}, "b": {"changed": 1, "ok": 1, "skipped": 1}}
    assert [play["hosts"] for play in counted["plays"]] == [["a", "b"], []]
    assert [task["name"] for task in counted["tasks"]] == ["Run", "Run once", "Skip on one", "Loop"]
