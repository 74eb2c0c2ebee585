# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof: a healthy cluster passes every step. What fails it is in test_cluster_causes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from labkit import Lab

pytestmark = pytest.mark.lab

STEPS = {
    "clocks", "ranks", "ports", "registration", "bootstrap", "router", "workers", "pairs", "chat", "stream", "long prompt", "UTF-8",
    "concurrency", "answer", "transport", "slow pairs",
}  # fmt: skip


def test_a_healthy_cluster_is_proven(cluster: Lab, tmp_path: Path) -> None:
    directory = tmp_path / "proof"
    variables = {**cluster.variables, "verify_report_directory": str(directory)}
    run = cluster.play(playbook="playbooks/verify.yml", variables=variables, seconds=240).succeeded()
    cluster.record("proof", round(run.seconds, 1))
    told = json.loads((directory / "proof.json").read_text(encoding="utf-8"))
    assert told["verdict"] == "proven"
    (row,) = told["clusters"]
    assert {step["step"]: step["state"] for step in row["steps"]} == dict.fromkeys(STEPS, "proven")
    print("\n".join(f"{step['step']} {step['seconds']} s: {step['evidence']} {step['notes']}" for step in row["steps"]))
    assert [pair["pair"] for pair in row["pairs"]] == ["prefill-0 > decode-0"]
    assert "verdict good" in (directory / "proof.html").read_text(encoding="utf-8")
    assert "Proof of lab: proven" in (directory / "proof.txt").read_text(encoding="utf-8")
    # Two ranks of prefill and two of decode, each with its own share.
    transport = next(step for step in row["steps"] if step["step"] == "transport")
    assert re.match(r"tcp as planned: prefill-0 sent [\d.]+ \w+ for [\d.]+ \w+; decode-0 received", transport["evidence"])


def test_the_smallest_cluster_is_proven(pair: Lab) -> None:
    run = pair.play("--tags", "verify", seconds=240).succeeded()
    assert run.changed == {}
    (row,) = [row["data"] for row in run.results if row["action"] == "railyard.sglang.serving_report"]
    assert row["verdict"] == "proven"
