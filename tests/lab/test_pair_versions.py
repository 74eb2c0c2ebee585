# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From one version of the engine, with the router of its time, to another one by one variable, and back."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from causekit import diagnosis, healthy, now, refusal
from labkit import Lab

pytestmark = [pytest.mark.lab, pytest.mark.full]

OLD = {"engine": "sglang-0.5.8-cpu", "router": "sglang-router-0.3.2"}
NEW = {"engine": "sglang-0.5.23-cpu", "router": "smg-1.13.0"}
MODULES = {"sglang-router-0.3.2": "sglang_router.launch_router", "smg-1.13.0": "smg.launch_router"}


def other(lab: Lab, **more: Any) -> dict[str, Any]:
    """Return the lab's variables with the other version of the engine."""
    return {**lab.variables, "sglang_stack": NEW["engine"], **more}


def written(lab: Lab) -> dict[str, list[str]]:
    """Return what the collection manages on every host, but which processes run."""
    return {host: [line for line in text.splitlines() if not line.startswith("MainPID=")] for host, text in lab.state().items()}


def versions(lab: Lab) -> set[str]:
    """Return what the engines say of their version."""
    urls = [lab.rank(name, 0)["health_url"].removesuffix("/health") for name in ("prefill-0", "decode-0")]
    return {str(json.loads(lab.request("/server_info", url=url)["text"])["version"]) for url in urls}


def runs(lab: Lab, stacks: dict[str, str]) -> None:
    """Assert that every process runs from the trees of these stacks."""
    assert lab.plan["clusters"][0]["stacks"] == stacks
    assert {rank["stack"] for rank in lab.ranks()} == {stacks["engine"]}
    for row in [*lab.ranks(), lab.router]:
        pid = lab.show(row["host"], row["unit"], "MainPID")["MainPID"]
        tree = lab.ssh(row["host"], f"readlink -f /opt/sglang/{row['stack']}").strip()
        assert tree.startswith("/opt/sglang/store/")
        assert f"{tree}/" in lab.ssh(row["host"], f"cat /proc/{pid}/maps")
    words = lab.ssh(lab.router["host"], f"systemctl show --property ExecStart --value {lab.router['unit']}")
    assert MODULES[stacks["router"]] in words
    assert versions(lab) == {stacks["engine"].split("-")[1]}


def test_without_consent_nothing_is_switched(pair: Lab) -> None:
    before = pair.state()
    run = pair.play(variables=other(pair, sglang_allow_restart=False), seconds=900)
    run.refused()
    # The trees may be there for the next time; what runs, and what it would start from, is as it was.
    assert pair.state() == before
    text = " ".join(run.failures.values())
    for words in ("sglang-prefill-0.service runs on p0", "sglang-decode-0.service runs on d0", "set sglang_allow_restart: true"):
        assert words in text
    runs(pair, OLD)


def test_the_other_version_serves_and_the_way_back_restores_everything(pair: Lab) -> None:
    runs(pair, OLD)
    usual, before = pair.variables, written(pair)
    try:
        there = pair.converge(variables=other(pair), seconds=900)
        runs(pair, NEW)
        again = pair.play(variables=pair.variables).succeeded()
    finally:
        back = pair.converge(variables=usual, seconds=900)
    pair.record("another version", {"there": round(there.seconds, 1), "again": round(again.seconds, 1), "back": round(back.seconds, 1)})
    assert again.changed == {}
    assert written(pair) == before
    runs(pair, OLD)
    assert pair.play(variables=usual).succeeded().changed == {}


def test_decode_alone_is_of_another_version(pair: Lab, tmp_path: Path) -> None:
    """Somebody has run site.yml with another version for one host: both engines are healthy, and do not understand each other."""
    usual, since = pair.variables, now()
    try:
        pair.play("--tags", "stack,engine", "--limit", "d0", variables=other(pair), seconds=900).succeeded()
        healthy(pair, pair.rank("decode-0", 0))
        text = refusal(pair, "r0")
        found = diagnosis(pair, since, tmp_path / "broken")
    finally:
        pair.converge(variables=usual, seconds=900)
    since = now()
    pair.play("--tags", "verify", seconds=240).succeeded()
    after = diagnosis(pair, since, tmp_path / "mended")
    assert re.search(r"workers: decode decode-0 \S+: version is 0\.5\.23, planned is 0\.5\.8", text), text
    assert (found["first"], found["findings"][0]["host"]) == ("L59", "d0"), [(row["id"], row["host"]) for row in found["findings"]]
    assert after["verdict"] == "clean", after["findings"]
