# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second run changes nothing and restarts nothing; from the checkout, from an installed collection, and in check mode."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from labkit import INVENTORY, ROOT, Lab, Run

pytestmark = pytest.mark.lab


def _nothing(run: Run, lab: Lab) -> None:
    run.succeeded()
    assert run.changed == {}
    assert set(lab.plan["hosts"]) <= set(run.recap)
    for host, totals in run.recap.items():
        assert {totals[kind] for kind in ("changed", "failures", "unreachable", "rescued", "ignored")} == {0}, (host, totals)


@pytest.fixture(name="second", scope="module")
def second_run(cluster: Lab) -> Run:
    before = cluster.processes()
    state = cluster.state()
    run = cluster.play()
    assert cluster.processes() == before, "a process was restarted"
    assert cluster.state() == state
    cluster.record("no-change run", round(run.seconds, 1))
    return run


def test_second_run_changes_nothing(cluster: Lab, second: Run) -> None:
    _nothing(second, cluster)
    answers = [row["data"] for row in second.results if row["action"] == "railyard.sglang.serving_proof"]
    assert [answer["tokens"] for answer in answers if "tokens" in answer] == [16]


@pytest.mark.full
def test_check_mode_predicts_that(cluster: Lab) -> None:
    before = cluster.processes()
    _nothing(cluster.play("--check", "--diff"), cluster)
    assert cluster.processes() == before


def _call(command: list[str], cwd: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.full
def test_installed_collection_does_the_same(cluster: Lab, second: Run, tmp_path: Path) -> None:
    home, elsewhere, collections = tmp_path / "home", tmp_path / "elsewhere", tmp_path / "collections"
    for folder in (home, elsewhere):
        folder.mkdir()
    # Without PYTHONPATH and ansible.cfg nothing but the collections path leads to the collection.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON"))}
    environment |= {"HOME": str(home), "ANSIBLE_HOME": str(home / ".ansible"), "ANSIBLE_COLLECTIONS_PATH": str(collections)}
    _call(["ansible-galaxy", "collection", "build", "--output-path", str(tmp_path)], ROOT, environment)
    tarball = str(next(tmp_path.glob("railyard-sglang-*.tar.gz")))
    _call(["ansible-galaxy", "collection", "install", "--offline", "-p", str(collections), tarball], elsewhere, environment)
    for name in ("RAILYARD_CACHE", "RAILYARD_LAB_NAME", "RAILYARD_LAB_SHAPE", "ANSIBLE_CALLBACK_PLUGINS", "ANSIBLE_CALLBACKS_ENABLED"):
        environment[name] = cluster.environment()[name]
    before = cluster.processes()
    run = cluster.play(playbook="railyard.sglang.site", inventory=str(ROOT / INVENTORY), cwd=elsewhere, environment=environment)
    _nothing(run, cluster)
    assert cluster.processes() == before

    def done(made: Run) -> list[tuple[str, str, str]]:
        return sorted((row["task"], row["host"], row["kind"]) for row in made.results)

    assert done(run) == done(second)
