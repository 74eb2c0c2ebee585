# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role verify by Ansible itself, against stand-ins of router and engines: what is registered, joined, shown and written."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.railyard.sglang.plugins.action import serving_proof, serving_report
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster
from ansible_collections.railyard.sglang.tests.unit.support.engines import Engines, engines
from ansible_collections.railyard.sglang.tests.unit.support.playbooks import playbook

PLAN = cluster().plan()


@pytest.fixture(name="three")
def serve() -> Iterator[Engines]:
    with engines() as three:
        yield three


def verify(three: Engines, directory: Path, **variables: Any) -> tuple[int, str, dict[str, Any]]:
    """Run the role on a host that is the router's; return exit status, output and proof.json."""
    router = {**PLAN["routers"][0], "url": three.router.url, "workers": three.workers}
    plan = {**PLAN, "routers": [router]}
    given = {
        "sglang_planned": {"plan": plan},
        "sglang_host": {**plan["hosts"]["r0"], "router": router},
        "verify_tokens": 8,
        "verify_rounds": 1,
        "verify_router_timeout": 1,
        "verify_answer_timeout": 20,
        "verify_report_directory": str(directory / "proof"),
        "verify_judge_tokens": 24,
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        **variables,
    }
    play = {"hosts": "r0", "gather_facts": False, "roles": [{"role": "railyard.sglang.verify"}]}
    (directory / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
    (directory / "given.json").write_text(json.dumps(given), encoding="utf-8")
    done = playbook(directory, "-i", "r0,", "-e", f"@{directory}/given.json", "play.yml")
    written = directory / "proof" / "proof.json"
    return done.returncode, done.stdout + done.stderr, json.loads(written.read_text(encoding="utf-8")) if written.exists() else {}


def test_what_is_proven_is_shown_and_written(three: Engines, tmp_path: Path) -> None:
    status, text, proof = verify(three, tmp_path, verify_known={"Say hello.": "The harbour"})
    assert status == 0, text
    assert text.count("Proof of lab: in part") == 1, "no engine host was in the run"
    assert proof["verdict"] == "in part"
    states = {step["step"]: step["state"] for step in proof["clusters"][0]["steps"]}
    assert states["answer"] == states["pairs"] == "proven"
    assert states["registration"] == states["transport"] == "not tried"
    assert sorted(path.name for path in (tmp_path / "proof").iterdir()) == ["proof.html", "proof.json", "proof.txt"]


def test_what_is_not_proven_fails_after_it_was_written(three: Engines, tmp_path: Path) -> None:
    three.decode.fault.paths["/server_info"] = (404, {"detail": "Not Found"})
    status, text, proof = verify(three, tmp_path)
    assert status == 2, text
    assert "Proof of lab: failed" in text
    assert proof["verdict"] == "failed"
    words = f"workers: decode decode-0 {three.decode.url}: /health answers and /server_info does not (404): it is a rank above 0"
    assert words in " ".join(text.split())
    assert "The cluster does not serve through r0" in text


def test_a_host_that_is_not_reached_ends_with_a_report(tmp_path: Path) -> None:
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    away = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 9, "ansible_ssh_common_args": "-o ControlMaster=no"}
    hosts = {name: {**own, "sglang_host": PLAN["hosts"][name]} for name, own in (("p0", here), ("d0", away))}
    given = {"sglang_planned": {"plan": PLAN}, "verify_deadline": 1, "verify_report_directory": str(tmp_path / "proof")}
    play = {"hosts": "all", "gather_facts": False, "any_errors_fatal": True, "roles": [{"role": "railyard.sglang.verify"}]}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}), encoding="utf-8")
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
    (tmp_path / "given.json").write_text(json.dumps(given), encoding="utf-8")
    done = playbook(tmp_path, "-i", "hosts.yml", "-e", f"@{tmp_path}/given.json", "play.yml")
    assert done.returncode != 0
    steps = {row["step"]: row for row in json.loads((tmp_path / "proof/proof.json").read_text())["clusters"][0]["steps"]}
    assert steps["clocks"]["notes"] == ["not looked at in this run: p1, d0, d1, r0"]
    assert any("p0" in text for text in steps["ranks"]["problems"])
    assert "Proof of lab: failed" in done.stdout


def test_the_source_of_a_model() -> None:
    assert serving_proof.source_of(PLAN, "lab") in serving_proof.texts.RANDOM
    assert serving_proof.source_of(PLAN, "other") == "None"
    assert serving_proof.source_of({}, "lab") == "None"


class Hostvars(dict[str, Any]):
    """Variables by host, as Ansible has them."""

    def raw_get(self, host: str) -> Any:
        return self[host]


def test_only_what_this_run_has_registered_counts() -> None:
    rows = {"p0": {"ranks": []}, "p1": {"skipped": True, "changed": False}, "d0": {"unreachable": True}}
    hostvars = Hostvars({host: {serving_report.RANKS: row} for host, row in rows.items()} | {"x9": {serving_report.RANKS: {"ranks": []}}})
    assert serving_report.gathered({"hostvars": hostvars}, PLAN, serving_report.RANKS) == {"p0": {"ranks": []}}


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    told = serving_report.written(str(tmp_path / "file" / "proof"), {"verdict": "proven", "clusters": []}, "x", False)
    assert told["failed"]
    assert "file" in told["msg"]
    assert serving_report.written("", {}, "x", False) == {}
