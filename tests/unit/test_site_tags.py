# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage tags of site.yml are the ten of the design, and the README's table names the same."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAGES = ["preflight", "network", "rdma", "stack", "deepep", "model", "deepgemm", "engine", "router", "verify"]


def list_tags(playbook: str, collections: Path, cwd: Path) -> set[str]:
    """Return the tags that `ansible-playbook --list-tags` prints for a playbook, without always and never."""
    # Ansible finds collections on PYTHONPATH too, and ansible-test has settings of its own.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH" and not name.startswith("ANSIBLE_")}
    env["ANSIBLE_COLLECTIONS_PATH"] = str(collections)
    command = ["ansible-playbook", "-i", "localhost,", playbook, "--list-tags"]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    listed = re.findall(r"TASK TAGS: \[(.*)\]", done.stdout)
    assert listed, done.stdout
    return {tag for line in listed for tag in line.split(", ") if tag} - {"always", "never"}


def list_tasks(playbook: str, collections: Path, cwd: Path, *words: str) -> list[tuple[str, str]]:
    """Return play and task of what `ansible-playbook --list-tasks` prints, without tasks that run whatever the tags are."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH" and not name.startswith("ANSIBLE_")}
    env["ANSIBLE_COLLECTIONS_PATH"] = str(collections)
    command = ["ansible-playbook", "-i", "localhost,", playbook, "--list-tasks", *words]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found, play = [], ""
    for line in done.stdout.splitlines():
        if title := re.match(r"  play #\d+ \(.*\): (.*?)\tTAGS: ", line):
            play = title.group(1)
        elif (task := re.match(r"      (.*?)\tTAGS: \[(.*)\]", line)) and "always" not in task.group(2).split(", "):
            found.append((play, task.group(1)))
    return found


def readme_tags(text: str) -> list[str]:
    """Return the first column of the README's table between its two markers, in order."""
    table = re.search(r"<!-- tags:begin -->.*?^\|[-| :]+\|$(.*)<!-- tags:end -->", text, re.S | re.M)
    assert table, "README.md has no table between <!-- tags:begin --> and <!-- tags:end -->"
    return re.findall(r"^\| *`?([a-z_]+)`? *\|", table.group(1), re.M)


@pytest.fixture(name="collections")
def link_collections(tmp_path: Path) -> Path:
    """Return a collections path with this checkout in it, as tools/bootstrap.sh makes one."""
    link = tmp_path / "ansible_collections" / "railyard" / "sglang"
    link.parent.mkdir(parents=True)
    link.symlink_to(ROOT)
    return tmp_path


@pytest.mark.parametrize("playbook", ["site.yml", "railyard.sglang.site"])
def test_site_has_the_stage_tags(playbook: str, collections: Path) -> None:
    assert list_tags(playbook, collections, ROOT) == set(STAGES)


@pytest.mark.parametrize("playbook", ["site.yml", "railyard.sglang.network"])
def test_the_network_stage_alone(playbook: str, collections: Path) -> None:
    tasks = list_tasks(playbook, collections, ROOT, "--tags", "network")
    assert tasks[0] == ("Hosts", "Refuse a run without a plan")
    assert {play for play, _task in tasks[1:]} == {"Network", "Network, host by host", "Network, firewall", "Network, in check mode"}
    (look, change, keep) = (f"railyard.sglang.network : {name}" for name in ("Look what would change", "Give the names", "Keep the names"))
    places = [tasks.index(row) for row in (("Network", look), ("Network, host by host", change), ("Network, host by host", keep))]
    assert places == sorted(places)


def test_readme_names_the_same_tags() -> None:
    assert readme_tags((ROOT / "README.md").read_text(encoding="utf-8")) == STAGES


def test_a_missing_tag_is_seen(tmp_path: Path) -> None:
    play = "- hosts: all\n  tasks:\n    - ansible.builtin.debug:\n      tags: [preflight, network]\n"
    (tmp_path / "site.yml").write_text(play, encoding="utf-8")
    assert list_tags("site.yml", tmp_path, tmp_path) == {"preflight", "network"}
    table = "<!-- tags:begin -->\n| tag | x |\n|---|---|\n| `engine` | y |\n| router | z |\n<!-- tags:end -->"
    assert readme_tags(table) == ["engine", "router"]
