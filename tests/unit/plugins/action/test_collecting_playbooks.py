# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What playbooks/collect.yml and playbooks/doctor.yml have in common, evaluated without a run: nothing that a host lacks ends them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.railyard.sglang.plugins.module_utils.report.keeping import file_of
from ansible_collections.railyard.sglang.tests.unit.support import playbooks

ROOT = Path(__file__).resolve().parents[4]
PLAYS: dict[str, list[dict[str, Any]]] = {
    name: yaml.safe_load((ROOT / f"playbooks/{name}.yml").read_text(encoding="utf-8")) for name in ("collect", "doctor")
}
BOTH = pytest.mark.parametrize("name", ["collect", "doctor"])


def tasks(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield all tasks, those of blocks, too."""
    for row in rows:
        inner = [task for part in ("block", "rescue", "always") for task in tasks(row.get(part, []))]
        yield from inner or [row]


def on_hosts(name: str) -> dict[str, Any]:
    """Return the play that runs on hosts."""
    return next(play for play in PLAYS[name] if play["hosts"] == "all")


def modules(name: str, module: str) -> list[dict[str, Any]]:
    """Return the tasks of a playbook that run a module."""
    return [task for play in PLAYS[name] for task in tasks(play.get("tasks", [])) if module in task]


def told(text: str, **variables: Any) -> Any:
    """Return what a template becomes."""
    given = {key: trust_as_template(value) if isinstance(value, str) and "{{" in value else value for key, value in variables.items()}
    return Templar(DataLoader(), variables=given).template(trust_as_template(text))


@BOTH
def test_nothing_is_written_to_a_disk_that_may_be_full(name: str) -> None:
    play = on_hosts(name)
    assert play["environment"] == {"TMPDIR": "/dev/shm"}
    assert play["vars"]["ansible_remote_tmp"] == "/dev/shm"
    rooms = [task["ansible.builtin.tempfile"] for task in tasks(play["tasks"]) if "ansible.builtin.tempfile" in task]
    assert [room["path"] for room in rooms] == ["/dev/shm"]


@BOTH
def test_what_hangs_ends_no_host(name: str) -> None:
    play = on_hosts(name)
    assert told(play["timeout"]) == 600
    assert told(play["timeout"], **{f"{name}_timeout": 5}) == 5
    # A task that takes too long fails, whatever failed_when says: what runs on a host is in a block that goes on, or once.
    alone = {task["name"] for task in play["tasks"] if "register" in task and not task.get("run_once")}
    assert alone == set()
    blocks = [task for task in play["tasks"] if "block" in task]
    assert "Look at the host" in {task["name"] for block in blocks for task in block["block"]}
    assert [block["name"] for block in blocks if "rescue" not in block] == []


@BOTH
def test_the_journal_is_fetched_by_who_logs_in(name: str) -> None:
    for module in ("ansible.builtin.fetch", "ansible.builtin.tempfile"):
        found = [task for task in tasks(on_hosts(name)["tasks"]) if module in task]
        assert [task.get("become") for task in found] == [False], module


@BOTH
def test_a_plan_that_is_refused_ends_nothing(name: str) -> None:
    assert not [play for play in PLAYS[name] if "ansible.builtin.import_playbook" in play]
    planned = modules(name, "railyard.sglang.plan")
    assert [task["railyard.sglang.plan"]["converge"] for task in planned] == [False] * len(planned)
    computed = next(task for task in planned if task["name"] == "Compute the plan")
    assert computed["failed_when"] == f"{name}_planned is failed and {name}_planned.findings is not defined"


WARNING, ERROR = [{"rule": "w", "severity": "warning"}], [{"rule": "e", "severity": "error"}]


@pytest.mark.parametrize(
    ("planned", "findings", "hosts"),
    [
        ({"plan": {"findings": WARNING, "hosts": {"a": {}}}, "changed": False}, WARNING, ["a"]),
        ({"findings": ERROR, "draft": {"hosts": {"a": {}}}, "failed": True}, ERROR, ["a", "b"]),
    ],
)
def test_the_doctor_gets_the_findings_of_the_contract(planned: dict[str, Any], findings: list[Any], hosts: list[str]) -> None:
    play = PLAYS["doctor"][-1]
    given = modules("doctor", "railyard.sglang.doctor")[0]["railyard.sglang.doctor"]
    known = {**play["vars"], "doctor_planned": planned, "groups": {"all": ["a", "b"]}}
    hostvars = {
        host: {"inventory_hostname": host, "doctor_journal": {"entries": 3}, **({"doctor_failed": "Fetch it: gone"} if host == "a" else {})}
        for host in ("a", "b")
    }
    known["hostvars"] = hostvars
    assert told(given["findings"], **known) == findings
    assert told("{{ doctor_hosts }}", **known) == hosts
    assert told(given["journals"], **known) == {host: {"entries": 3} for host in hosts}
    assert told(given["failed"], **known) == {"a": "Fetch it: gone"}
    assert told(given["findings"], **known, doctor_path="x") == []
    assert told("{{ doctor_hosts }}", **known, doctor_path="x") == []


PRELIMINARY, DRAFT = {"hosts": {"a": {}}, "findings": []}, {"hosts": {}}


@pytest.mark.parametrize(
    ("planned", "completed", "plan", "findings"),
    [
        ({"plan": PRELIMINARY}, {"skipped": True}, PRELIMINARY, []),
        ({"plan": PRELIMINARY}, {"plan": {"hosts": {"a": {"x": 1}}}}, {"hosts": {"a": {"x": 1}}}, []),
        # What hosts have is not what the plan needs.
        ({"plan": PRELIMINARY}, {"findings": ERROR, "draft": {}, "failed": False}, PRELIMINARY, ERROR),
        ({"findings": ERROR, "draft": DRAFT}, {"skipped": True}, DRAFT, ERROR),
    ],
)
def test_the_plan_that_is_packed_is_complete(planned: Any, completed: Any, plan: Any, findings: Any) -> None:
    given = modules("collect", "railyard.sglang.bundle")[0]["railyard.sglang.bundle"]
    hostvars = {"a": {"inventory_hostname": "a"}, "b": {"inventory_hostname": "b", "collect_completed": completed}}
    known = {**PLAYS["collect"][-1]["vars"], "collect_planned": planned, "groups": {"all": ["a", "b"]}, "hostvars": hostvars}
    assert told(given["plan"], **known) == plan
    assert told(given["findings"], **known) == findings
    assert told(given["findings"], **{**known, "hostvars": {"a": {}, "b": {}}}) == planned.get("findings", [])
    # On the hosts, too.
    play = on_hosts("collect")
    own = {**play["vars"], "collect_completed": completed, "hostvars": {"localhost": {"collect_planned": planned}}}
    assert told("{{ collect_plan }}", **own) == plan


def test_the_plan_is_completed_from_hosts_that_were_looked_at_in_this_run() -> None:
    task = next(task for task in modules("collect", "railyard.sglang.plan") if task["name"] == "Complete the plan from what was seen")
    given = task["railyard.sglang.plan"]
    assert given["looked"] is True
    rows = {"a": {"ansible_facts": {"rdma": {}}}, "b": {"msg": "Timed out", "failed": True}, "c": None}
    hostvars = {host: {"inventory_hostname": host, "ansible_facts": {"rdma": {"old": 1}}} for host in rows}
    hostvars = {host: {**row, **({"collect_looked": rows[host]} if rows[host] else {})} for host, row in hostvars.items()}
    assert told(given["looked_hosts"], ansible_play_hosts_all=list(rows), hostvars=hostvars) == ["a"]
    names = [row["name"] for row in tasks(on_hosts("collect")["tasks"])]
    assert names.index("Look at the RDMA devices and GPUs") < names.index(task["name"]) < names.index("Look at the host")


@BOTH
@pytest.mark.parametrize("host", ["gpu-a", "..", ".hidden", "a/b", "fe80::1%eth0", "a b"])
def test_a_host_has_the_same_file_everywhere(name: str, host: str) -> None:
    dest = modules(name, "ansible.builtin.fetch")[0]["ansible.builtin.fetch"]["dest"]
    made = told(dest, inventory_hostname=host, collect_from="/d", doctor_logs="/d/logs")
    assert made == f"/d/logs/{file_of(host).removesuffix('.json')}.export.gz"


@BOTH
@pytest.mark.parametrize("since", ["-2h; rm -r /", ""])
def test_a_time_that_is_none_is_refused_before_anything_is_looked_at(name: str, since: str, tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("all: {hosts: {a: {ansible_host: 192.0.2.1}}}\n", encoding="utf-8")
    given = json.dumps({f"{name}_since": since, f"{name}_directory": str(tmp_path / "into")})
    done = playbooks.playbook(tmp_path, "-i", "hosts.yml", str(ROOT / f"playbooks/{name}.yml"), "-e", given)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0
    assert f"{name}_since {since}: no time that journalctl --since takes [rule " in said
    assert not (tmp_path / "into").exists()
