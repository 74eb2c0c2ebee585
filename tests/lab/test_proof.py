# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof: a healthy cluster passes every step, and a router that was started wrong fails within a minute, by the right message."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from labkit import Lab, wait_until

pytestmark = pytest.mark.lab

SECONDS = 60
STEPS = {
    "ranks", "ports", "registration", "router", "workers", "pairs", "chat", "stream", "long prompt", "UTF-8", "concurrency", "answer",
    "transport", "slow pairs",
}  # fmt: skip


@contextmanager
def started_as(lab: Lab, change: Callable[[str], str]) -> Iterator[None]:
    """Let the router run with another command line than planned; afterwards with the planned one again."""
    host, unit = lab.router["host"], lab.router["unit"]
    whole = re.search(r"^ExecStart=(?:.*\\\n)*.*$", lab.ssh(host, f"cat /etc/systemd/system/{unit}"), re.MULTILINE)
    assert whole, "the unit has no ExecStart="
    line = whole[0]
    changed = change(line)
    assert changed != line, line
    place = f"/run/systemd/system/{unit}.d"
    drop_in = shlex.quote(f"[Service]\nExecStart=\n{changed}\n")
    lab.ssh(host, f"mkdir -p {place} && printf %s {drop_in} > {place}/99-proof.conf && systemctl daemon-reload && systemctl restart {unit}")
    try:
        # Both workers of that router are there: it would now say that all is well.
        wait_until(lambda: lab.request("/readiness", timeout=5)["status"] == 200, SECONDS, "the wrong router is ready")
        yield
    finally:
        lab.ssh(host, f"rm -r {place} && systemctl daemon-reload && systemctl restart {unit}", seconds=90)
        lab.serving(90)


def swapped(line: str) -> str:
    """Give prefill as decode, and decode as prefill."""
    prefill, decode = re.findall(r"http://[^\s\"']+", line)[-2:]
    return line.replace(prefill, "@").replace(decode, prefill).replace("@", decode)


def refusal(lab: Lab) -> str:
    """Prove, which must fail in time, and return what the router's host says."""
    began = time.monotonic()
    run = lab.play("--tags", "verify", seconds=240)
    seconds = round(time.monotonic() - began, 1)
    run.refused()
    lab.record("proof of a fault", {"seconds": seconds, "failures": run.failures})
    print(f"{seconds} s: {run.failures}")
    assert seconds <= SECONDS
    assert set(run.failures) == {lab.router["host"]}
    return run.failures[lab.router["host"]]


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


def test_roles_swapped(cluster: Lab) -> None:
    with started_as(cluster, swapped):
        text = refusal(cluster)
    assert "router: prefill prefill-0 " in text
    assert "is listed as decode" in text


def test_rank_1_as_prefill(cluster: Lab) -> None:
    url = cluster.rank("prefill-0", 1)["health_url"].removesuffix("/health")
    planned = cluster.router["workers"][0]["url"]
    with started_as(cluster, lambda line: line.replace(planned, url)):
        text = refusal(cluster)
    assert f"{url} is listed, but not planned" in text
    assert f"prefill prefill-0 {planned} is not listed" in text


def test_a_wrong_bootstrap_port(cluster: Lab) -> None:
    port = str(cluster.router["workers"][0]["bootstrap_port"])
    with started_as(cluster, lambda line: re.sub(rf"\b{port}\b", "8999", line)):
        text = refusal(cluster)
    assert f"is listed with bootstrap port 8999, planned is {port}" in text


def test_the_smallest_cluster_is_proven(pair: Lab) -> None:
    run = pair.play("--tags", "verify", seconds=240).succeeded()
    assert run.changed == {}
    (row,) = [row["data"] for row in run.results if row["action"] == "railyard.sglang.serving_report"]
    assert row["verdict"] == "proven"
