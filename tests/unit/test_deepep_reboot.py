# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks of the role deepep about the driver, by Ansible itself, with stand-ins for the module that looks and for the reboot."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.railyard.sglang.tests.unit.support import playbooks

ROLE = playbooks.ROOT / "roles/deepep"
# Modules of the older kind: arguments come as a file. They write down who does what, in the order in which it is done.
STUB = """#!/usr/bin/python
# WANT_JSON
import json, os, sys
base, host = os.environ["STUB_BASE"], os.environ["STUB_HOST"]
words = json.load(open(sys.argv[1]))
what = "{what}" if "{what}" == "reboot" else "look" if "wait" in words else "set"
with open(os.path.join(base, "log"), "a") as stream:
    stream.write(host + " " + what + "\\n")
answers = json.load(open(os.path.join(base, host + ".json")))
print(json.dumps({{"changed": what == "reboot", **(answers.get(what) or {{}})}}))
"""
LACKS = {"loaded": True, "reboot": True, "missing": ["PeerMappingOverride"], "notes": []}
HAS = {"loaded": True, "reboot": False, "missing": [], "notes": []}
NOT_LOADED = {**HAS, "loaded": False}
PLAN = {"nodes": 2, "handlers": ["auto"], "gdrcopy": False}


def run(base: Path, answers: dict[str, dict[str, Any]], *words: str, **more: Any) -> tuple[bool, list[str], str]:
    """Run the tasks on hosts that are this machine; return whether that went well, what was done, and what was printed.

    :param answers: by host, what setting the parameters and looking after a reboot find.
    """
    role = base / "roles/deepep"
    (role / "tasks").mkdir(parents=True)
    (role / "library").mkdir()
    for part in ("defaults", "vars"):
        (role / part).symlink_to(ROLE / part)
    for name in ("driver", "reboot"):
        text = (ROLE / f"tasks/{name}.yml").read_text(encoding="utf-8")
        text = text.replace("railyard.sglang.driver_parameters:", "driver_stub:").replace("ansible.builtin.reboot:", "reboot_stub:")
        (role / f"tasks/{name}.yml").write_text(text, encoding="utf-8")
        (role / f"library/{name}_stub.py").write_text(STUB.format(what=name), encoding="utf-8")
    (role / "tasks/main.yml").write_text("- ansible.builtin.import_tasks: driver.yml\n", encoding="utf-8")
    environment = {"STUB_BASE": str(base), "STUB_HOST": "{{ inventory_hostname }}"}
    play = {"hosts": "all", "gather_facts": False, "environment": environment, "roles": ["deepep"]}
    after = {"hosts": "all", "gather_facts": False, "tasks": [{"ansible.builtin.debug": {"msg": "went on"}}]}
    (base / "play.yml").write_text(yaml.safe_dump([play, after]), encoding="utf-8")
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory = {"all": {"hosts": {host: {} for host in answers}, "vars": here}}
    (base / "hosts.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
    for host, found in answers.items():
        (base / f"{host}.json").write_text(json.dumps(found), encoding="utf-8")
    given = {"sglang_host": {}, "deepep_plan": PLAN, "__deepep_looked": {"nvshmem": "3.3.20"}, **more}
    done = playbooks.playbook(base, "-i", "hosts.yml", "play.yml", "-e", json.dumps(given), *words, seconds=600)
    log = (base / "log").read_text(encoding="utf-8").splitlines() if (base / "log").exists() else []
    return done.returncode == 0, log, " ".join((done.stdout + done.stderr).split())


def test_a_host_is_looked_at_before_the_next_one_reboots(tmp_path: Path) -> None:
    hosts: dict[str, dict[str, Any]] = {host: {"set": LACKS, "look": HAS} for host in "abc"}
    good, log, text = run(tmp_path, {**hosts, "d": {"set": HAS}}, deepep_allow_reboot=True)
    assert good, text
    assert sorted(log[:4]) == ["a set", "b set", "c set", "d set"]
    # In the order in which the hosts have answered.
    turns = [log[place : place + 2] for place in range(4, len(log), 2)]
    assert sorted(turns) == [[f"{host} reboot", f"{host} look"] for host in "abc"]
    assert text.count("went on") == 4


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (LACKS, "{host} was rebooted and its driver still runs without PeerMappingOverride"),
        (NOT_LOADED, "{host} was rebooted and has loaded no NVIDIA driver in 120 s"),
        ({"failed": True, "msg": "no answer"}, "no answer"),
    ],
)
def test_where_a_reboot_did_not_help_no_other_host_reboots(tmp_path: Path, after: dict[str, Any], message: str) -> None:
    good, log, text = run(tmp_path, {host: {"set": LACKS, "look": after} for host in "abc"}, deepep_allow_reboot=True)
    assert not good
    # Whichever host has answered first: it alone was rebooted.
    host = log[3].split()[0]
    assert log[3:] == [f"{host} reboot", f"{host} look"]
    assert message.format(host=host) in text
    assert "went on" not in text


@pytest.mark.parametrize(
    ("nvshmem", "plan", "good"),
    [
        ("3.3.20", {"gdrcopy": True}, False),
        ("3.4.5", {"gdrcopy": False}, False),
        ("3.4.5", {"gdrcopy": True, "handlers": ["gpu"]}, False),
        ("3.10.1", {"gdrcopy": True}, True),
    ],
)
def test_without_consent_it_stops_unless_the_cpu_can_ring(tmp_path: Path, nvshmem: str, plan: dict[str, Any], good: bool) -> None:
    went, log, text = run(tmp_path, {"a": {"set": LACKS}}, deepep_plan={**PLAN, **plan}, __deepep_looked={"nvshmem": nvshmem})
    assert (went, log) == (good, ["a set"])
    assert ("lets the CPU ring the doorbells of NICs by libgdrapi, which is slower" in text) == good
    assert ("or deepep_driver_parameters: false where NVSHMEM is 3.4.5 or newer" in text) != good


def test_instances_of_one_host_ask_nothing_of_the_driver(tmp_path: Path) -> None:
    good, log, _text = run(tmp_path, {"a": {"set": LACKS}}, deepep_plan={**PLAN, "nodes": 1, "handlers": []})
    assert (good, log) == (True, [])
