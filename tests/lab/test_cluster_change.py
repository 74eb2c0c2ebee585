# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A changed argument restarts the instance that it belongs to, all of it and nothing else, and only with consent."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from labkit import Lab, Run, Running, override, wait_until

pytestmark = pytest.mark.lab

# As in the tiny model: prefill and decode must render a chat alike. The comment is what a test changes.
TEMPLATE = (
    "{{# edition {edition} #}}{{% for message in messages %}}<|im_start|>{{{{ message['role'] }}}}\n"
    "{{{{ message['content'] }}}}<|im_end|>\n{{% endfor %}}{{% if add_generation_prompt %}}<|im_start|>assistant\n{{% endif %}}"
)
DECODE = {"d0", "d1"}


def edition(number: int, folder: Path) -> dict[str, Any]:
    """Return variables that differ from the lab's in arguments, files and environment of decode only."""
    file = folder / f"chat-{number}.jinja"
    file.write_text(TEMPLATE.format(edition=number), encoding="utf-8")
    decode = {
        "args": {"max-running-requests": 16 - number, "chat-template": {"file": "chat.jinja"}},
        "files": {"chat.jinja": {"src": str(file)}, "tables/moe.json": {"content": {"edition": number}}},
        "env": {"SGLANG_MOE_CONFIG_DIR": {"file": "tables"}},
    }
    return override(sglang_pools={"decode": decode})


def changes(run: Run, play: str = "Engine") -> dict[str, list[tuple[str, Any]]]:
    """Return what changed on each host, with each task's own account of it."""
    assert {row["play"] for row in run.results if row["changed"]} <= {play}, run.changed
    found: dict[str, list[tuple[str, Any]]] = {}
    for row in run.results:
        if row["changed"]:
            items = row["data"].get("results", [row["data"]])
            told = [{key: item[key] for key in ("units", "unit", "action", "config_id", "diff") if key in item} for item in items]
            found.setdefault(row["host"], []).append((row["task"], told))
    return found


def runs_as_planned(lab: Lab) -> None:
    """Assert that every rank of decode-0 runs with the plan's arguments, files and digest, and that the cluster serves."""
    for rank in lab.ranks("decode-0"):
        words = lab.command_line(rank)
        assert words[1:] == rank["argv"]
        held = lab.ssh(rank["host"], f"cat {rank['argument_file']}")
        for name, value in rank["arguments"].items():
            assert f"{name}: {json.dumps(value)}" in held
        pid = lab.show(rank["host"], rank["unit"], "MainPID")["MainPID"]
        started_with = lab.ssh(rank["host"], f"tr '\\0' '\\n' < /proc/{pid}/environ").splitlines()
        assert f"RAILYARD_INSTANCE_DIGEST={rank['instance_digest']}" in started_with
        for file in rank["files"]:
            assert lab.ssh(rank["host"], f"sha256sum {file['path']}").split()[0] == file["sha256"]
    # What the engine itself says that it runs with; /server_info answers once /health has.
    url = lab.rank("decode-0", 0)["health_url"].removesuffix("/health")
    assert lab.request("/health", url=url)["status"] == 200
    info = json.loads(lab.request("/server_info", url=url)["text"])
    # A limit of the whole instance is shared out among its data parallel ranks, of which there is one.
    assert info["max_running_requests"] == lab.rank("decode-0", 0)["arguments"]["max-running-requests"]
    assert lab.serving(30) > 0


@pytest.fixture(name="files", scope="module")
def source_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.fixture(name="wanted", scope="module")
def wanted_change(files: Path) -> dict[str, Any]:
    return edition(1, files)


@pytest.fixture(name="predicted", scope="module")
def predicted_change(cluster: Lab, wanted: dict[str, Any]) -> Run:
    before = cluster.state()
    run = cluster.play("--check", "--diff", variables=wanted).succeeded()
    assert cluster.state() == before, "check mode changed something"
    return run


@pytest.fixture(name="made", scope="module")
def made_change(cluster: Lab, wanted: dict[str, Any], predicted: Run) -> tuple[Run, dict[str, tuple[str, str]]]:
    before = cluster.processes()
    run = cluster.converge("--diff", variables=wanted)
    cluster.record("change of one instance", round(run.seconds, 1))
    return run, before


def test_without_consent_nothing_changes(cluster: Lab, wanted: dict[str, Any]) -> None:
    before = cluster.state()
    run = cluster.play(variables={**wanted, "sglang_allow_restart": False})
    run.refused()
    assert cluster.state() == before
    assert run.changed == {}
    text = " ".join(run.failures.values())
    for words in (
        "sglang-decode-0.service runs on d0, d1: on d0 ",
        "on d1 ",
        "This stage has changed nothing on any host",
        "set sglang_allow_restart: true",
    ):
        assert words in text
    assert "prefill" not in text


def test_without_consent_an_unchanged_cluster_passes(cluster: Lab) -> None:
    run = cluster.play("--tags", "engine,router", variables={**cluster.variables, "sglang_allow_restart": False}, seconds=120).succeeded()
    assert run.changed == {}


def test_check_mode_predicts_the_run(predicted: Run, made: tuple[Run, Any]) -> None:
    run, _before = made
    assert changes(predicted) == changes(run)
    assert set(changes(run)) == DECODE


def test_both_ranks_of_the_instance_restart_and_nothing_else(cluster: Lab, made: tuple[Run, dict[str, tuple[str, str]]]) -> None:
    _run, before = made
    after = cluster.processes()
    restarted = {name for name in after if after[name] != before[name]}
    assert restarted == {"d0 sglang-decode-0.service", "d1 sglang-decode-0.service"}


def test_rank_0_stops_before_the_others(made: tuple[Run, Any]) -> None:
    stops = [(row["task"], row["host"]) for row in made[0].results if row["changed"] and "top" in row["task"]]
    assert [host for _task, host in stops] == ["d0", "d1"]


def test_new_arguments_and_files_run(cluster: Lab, files: Path, made: tuple[Run, Any]) -> None:
    runs_as_planned(cluster)
    text = (files / "chat-1.jinja").read_text(encoding="utf-8")
    for rank in cluster.ranks("decode-0"):
        assert rank["environment"]["SGLANG_MOE_CONFIG_DIR"] == "/etc/sglang/decode-0/tables"
        held = cluster.ssh(rank["host"], "sha256sum /etc/sglang/decode-0/chat.jinja").split()[0]
        assert held == hashlib.sha256(text.encode()).hexdigest()
        assert json.loads(cluster.ssh(rank["host"], "cat /etc/sglang/decode-0/tables/moe.json")) == {"edition": 1}
        arguments = cluster.ssh(rank["host"], f"cat {rank['argument_file']}") + " ".join(cluster.command_line(rank))
        assert "/etc/sglang/decode-0/chat.jinja" in arguments


def test_changed_content_of_a_file_restarts(cluster: Lab, files: Path, made: tuple[Run, Any]) -> None:
    run = cluster.play("--check", "--diff", "--tags", "engine", variables=edition(2, files), seconds=120).succeeded()
    found = changes(run)
    assert set(found) == DECODE
    for told in found.values():
        assert told[0][1][0]["action"] == "restart"
        assert "edition 2" in json.dumps(told[0][1][0]["diff"])


def _task(name: str) -> Any:
    return lambda event: event["event"] == "task" and event["task"].endswith(name)


def _done(name: str) -> Any:
    return lambda event: event["event"] == "result" and event["task"].endswith(name) and event["changed"]


CUTS = {
    "rank 0 is stopped, kill -9": (_done("Stop rank 0 of the instances that change"), Running.kill, 3),
    "files are written, Ctrl-C": (_done("Install the unit and the files of each rank"), Running.interrupt, 4),
    "ranks are stopping, kill -9": (_task("Stop rank 0 of the instances that change"), Running.kill, 5),
    "ranks are starting, Ctrl-C": (_task("Start the ranks"), Running.interrupt, 6),
}


@pytest.mark.parametrize("cut", [name if index == 0 else pytest.param(name, marks=pytest.mark.full) for index, name in enumerate(CUTS)])
def test_a_controller_that_dies_leaves_what_the_same_command_finishes(cut: str, cluster: Lab, files: Path) -> None:
    until, end, number = CUTS[cut]
    wanted = edition(number, files)
    others = {name: pid for name, pid in cluster.processes().items() if "decode" not in name}
    running = cluster.start(variables=wanted)
    running.until(until, 60)
    assert end(running) != 0
    run = cluster.converge(variables=wanted)
    assert set(run.changed) <= DECODE
    assert run.changed, "the first run was not cut short"
    runs_as_planned(cluster)
    assert cluster.ssh("d0", "cat /etc/sglang/decode-0/tables/moe.json") == cluster.ssh("d1", "cat /etc/sglang/decode-0/tables/moe.json")
    assert {name: pid for name, pid in cluster.processes().items() if "decode" not in name} == others


def _edit(cluster: Lab) -> str:
    """Change files of rank 1 of decode by hand, and return what they were."""
    look = "find /etc/sglang/decode-0 /etc/systemd/system/sglang-decode-0.service* -type f -exec sha256sum {} + | sort"
    before = cluster.ssh("d1", look)
    cluster.ssh("d1", "echo 'log-level: debug' >> /etc/sglang/decode-0/arguments.yaml; touch /etc/sglang/decode-0/left-over.json")
    cluster.ssh("d1", "sed -i s/^TimeoutStopSec=.*/TimeoutStopSec=7/ /etc/systemd/system/sglang-decode-0.service")
    assert cluster.ssh("d1", look) != before
    return before


def _put_back(cluster: Lab, before: str) -> set[str]:
    """Run site.yml as check mode predicts it, and return the processes that it replaced."""
    processes = cluster.processes()
    predicted = cluster.play("--check", "--diff", "--tags", "engine").succeeded()
    run = cluster.converge("--diff", "--tags", "engine,verify")
    assert changes(run) == changes(predicted)
    assert {host for host, tasks in run.changed.items() if any("Install" in task for task in tasks)} == {"d1"}
    look = "find /etc/sglang/decode-0 /etc/systemd/system/sglang-decode-0.service* -type f -exec sha256sum {} + | sort"
    assert cluster.ssh("d1", look) == before
    assert cluster.show("d1", "sglang-decode-0.service", "TimeoutStopUSec", "NeedDaemonReload") == {
        "TimeoutStopUSec": "30s",
        "NeedDaemonReload": "no",
    }
    return {name for name, pid in cluster.processes().items() if pid != processes[name]}


@pytest.mark.full
def test_files_edited_by_hand_are_put_back(cluster: Lab) -> None:
    assert _put_back(cluster, _edit(cluster)) == set(), "what runs was started before the edit, with what is wanted"


@pytest.mark.full
def test_a_rank_that_started_with_edited_files_is_restarted(cluster: Lab) -> None:
    before = _edit(cluster)
    processes = cluster.processes()
    cluster.ssh("d1", "systemctl daemon-reload; systemctl kill --kill-whom=main --signal=KILL sglang-decode-0.service")
    ranks = {"d0 sglang-decode-0.service", "d1 sglang-decode-0.service"}

    def back() -> bool:
        now = cluster.processes()
        return all(now[name] != processes[name] and now[name][0] != "0" for name in ranks)

    wait_until(back, 60, "both ranks are started again")
    assert cluster.serving(120) > 0, "the edit is one that SGLang runs with"
    assert _put_back(cluster, before) == ranks
    runs_as_planned(cluster)


@pytest.mark.full
def test_instance_of_another_name_replaces_the_old_one(cluster: Lab) -> None:
    before = cluster.processes()
    variables = cluster.variables
    renamed = override(sglang_pools={"decode": {"instances": [{"name": "night", "hosts": ["d0", "d1"]}]}})
    refused = cluster.play(variables={**renamed, "sglang_allow_restart": False})
    assert "sglang-decode-0.service" in refused.refused()
    assert cluster.processes() == before
    predicted = cluster.play("--check", variables=renamed).succeeded()
    run = cluster.converge(variables=renamed)
    assert run.changed == predicted.changed
    assert set(run.changed) == DECODE
    for host in DECODE:
        assert cluster.ssh(host, "systemctl list-unit-files --plain --no-legend 'sglang-*' | cut -d' ' -f1") == "sglang-night.service"
        assert cluster.ssh(host, "ls /etc/sglang /etc/systemd/system | grep decode || true") == ""
        assert cluster.pids(host, "sglang-decode-0.service") == []
    after = cluster.processes()
    assert {name for name in before if name in after and after[name] != before[name]} == set()
    assert cluster.serving(30) > 0
    # And back, for the tests that come after this one.
    assert set(cluster.converge(variables=variables).changed) == DECODE
