# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A converged cluster: it serves, nothing in it runs as root, its units are hardened and keep what they need, logs are whole."""

from __future__ import annotations

import json
import re
import secrets
import shlex

import pytest
from labkit import Lab

pytestmark = pytest.mark.lab

EXPOSURE = 4.0
# More than journald's default limit of 10000 in 30 s, which it triples on a disk with room.
LINES = 50000
# Set by the service manager for each start of a unit, so they differ between two processes of any unit.
PER_START = {"INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "RUNTIME_DIRECTORY", "STATE_DIRECTORY", "CACHE_DIRECTORY"}


def inside(lab: Lab, host: str, unit: str, command: str, seconds: float = 60) -> str:
    """Run a shell command as a process of a unit: in its control group and mounts, as its user."""
    state = lab.show(host, unit, "MainPID", "ControlGroup", "User")
    enter = (
        f"for tree in . systemd unified; do group=/sys/fs/cgroup/$tree{state['ControlGroup']}; "
        "[ ! -d $group ] || echo $$ > $group/cgroup.procs; done; "
        f"exec nsenter --target {state['MainPID']} --mount setpriv --reuid {state['User']} --regid {state['User']} --init-groups "
        f"--no-new-privs --bounding-set=-all sh -c {shlex.quote(command)}"
    )
    return lab.ssh(host, f"sh -c {shlex.quote(enter)}", seconds=seconds)


def test_every_rank_is_ready_and_an_answer_has_its_tokens(cluster: Lab) -> None:
    run = cluster.play("--tags", "verify").succeeded()
    rows = [rank for result in run.results for rank in result["data"].get("ranks", [])]
    ready = {(rank["instance"], rank["rank"]): rank["state"] for rank in rows}
    assert ready == {(rank["instance"], rank["rank"]): "ready" for rank in cluster.ranks()}
    assert len(ready) == 4
    texts = set()
    for _again in range(2):
        answer = cluster.request("/v1/chat/completions", cluster.chat_body(24))
        data = json.loads(answer["text"])
        assert answer["status"] == 200
        assert data["usage"]["completion_tokens"] == 24
        assert data["choices"][0]["finish_reason"] == "length"
        texts.add(data["choices"][0]["message"]["content"])
    assert len(texts) == 1, "a greedy answer is always the same"


def test_the_router_has_rank_0_of_each_instance_and_no_other(cluster: Lab) -> None:
    listed = json.loads(cluster.request("/workers")["text"])["workers"]
    assert {(row["url"], row["worker_type"], row["is_healthy"]) for row in listed} == {
        (row["url"], row["role"], True) for row in cluster.router["workers"]
    }
    assert len(listed) == 2


def test_streams_arrive_whole(cluster: Lab) -> None:
    answer = cluster.request("/v1/chat/completions", cluster.chat_body(16, stream=True, stream_options={"include_usage": True}))
    events = [line[6:] for line in answer["text"].splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    usage = [json.loads(event)["usage"] for event in events[:-1] if json.loads(event).get("usage")]
    assert usage[-1]["completion_tokens"] == 16


def test_no_process_runs_as_root(cluster: Lab) -> None:
    for host, unit in cluster.units():
        pids = " ".join(map(str, cluster.pids(host, unit)))
        text = cluster.ssh(host, f"for pid in {pids}; do grep -h '^Uid:' /proc/$pid/status; done")
        rows = [line.split()[1:] for line in text.splitlines()]
        assert rows, unit
        assert all("0" not in row for row in rows), f"{host} {unit}: {rows}"


def test_exposure_of_the_units(cluster: Lab) -> None:
    for host, unit in cluster.units():
        text = cluster.ssh(host, f"systemd-analyze security --no-pager --threshold={EXPOSURE * 10:.0f} {unit}")
        found = re.findall(r"Overall exposure level for \S+: ([\d.]+)", text)
        assert found, text
        assert float(found[0]) <= EXPOSURE
        cluster.record("exposure", {unit: float(found[0])})


def test_units_pass_systemds_own_check(cluster: Lab) -> None:
    for host, unit in cluster.units():
        assert cluster.ssh(host, f"systemd-analyze verify --man=no {unit} 2>&1 | grep {unit} || true") == ""


def _logged(cluster: Lab, host: str, tag: str) -> int:
    counted = f"journalctl --sync; journalctl --no-pager --output cat --identifier {tag} | grep -c '^line '"
    return int(cluster.run(host, counted, seconds=120).stdout.strip() or 0)


def test_a_burst_of_lines_is_logged_whole(cluster: Lab) -> None:
    burst = f"seq -f 'line %.0f of a burst that a crashing engine may well write' {LINES} | systemd-cat --identifier "
    for host, unit in (cluster.units()[0], cluster.units()[-1]):
        tag = f"burst-{secrets.token_hex(4)}"
        inside(cluster, host, unit, burst + tag, seconds=120)
        assert _logged(cluster, host, tag) == LINES
        assert cluster.ssh(host, f"journalctl --no-pager --unit {unit} --identifier {tag} --output cat | wc -l") == str(LINES)
    # A unit without the setting does lose lines here, so the counts above mean something.
    tag = f"burst-{secrets.token_hex(4)}"
    cluster.ssh("d1", f"systemd-run --quiet --wait sh -c {shlex.quote(burst + tag)}", seconds=120)
    assert _logged(cluster, "d1", tag) < LINES


def test_the_journal_is_capped(cluster: Lab) -> None:
    for host in {rank["host"] for rank in cluster.ranks()}:
        assert "SystemMaxUse=64M" in cluster.ssh(host, "systemd-analyze cat-config systemd/journald.conf | grep ^SystemMaxUse=")
        assert cluster.ssh(host, "ls -d /var/log/journal/*") != ""


def test_shared_memory_is_usable_and_the_rest_is_not(cluster: Lab) -> None:
    rank = cluster.rank("prefill-0", 0)
    host, unit = rank["host"], rank["unit"]
    inside(cluster, host, unit, "dd if=/dev/zero of=/dev/shm/probe bs=1M count=32 status=none")
    assert cluster.ssh(host, "stat --format %s /dev/shm/probe; rm /dev/shm/probe") == str(32 * 2**20), "it is the host's own"
    inside(cluster, host, unit, "cd /var/lib/sglang && touch probe /var/cache/sglang/probe /tmp/probe && rm probe /var/cache/sglang/probe")
    assert cluster.run(host, "test -e /tmp/probe").returncode != 0, "/tmp is the unit's own"
    for path in ("/etc/sglang/probe", "/opt/sglang/probe", "/opt/models/tiny/probe", "/usr/probe", "/root/probe", "/srv/probe"):
        assert "no" in inside(cluster, host, unit, f"touch {path} 2>/dev/null && echo yes || echo no"), path


def test_limits_of_the_running_process(cluster: Lab) -> None:
    # What a machine that has given up CAP_SYS_RESOURCE cannot raise, its lab's hosts cannot raise either.
    raised = "systemd-run --quiet --pipe --wait -p LimitMEMLOCK=infinity -p LimitNOFILE=1048576 cat /proc/self/limits"
    wanted = ("Max open files", "Max locked memory", "Max core file size")
    for rank in cluster.ranks():
        pid = cluster.show(rank["host"], rank["unit"], "MainPID")["MainPID"]
        possible, running = (
            {line[:26].strip(): line[26:].split()[0] for line in text.splitlines()[1:]}
            for text in (cluster.ssh(rank["host"], raised), cluster.ssh(rank["host"], f"cat /proc/{pid}/limits"))
        )
        possible["Max core file size"] = "0"
        assert {name: running[name] for name in wanted} == {name: possible[name] for name in wanted}
        state = cluster.show(rank["host"], rank["unit"], "LimitNOFILE", "LimitMEMLOCK", "LimitCORE")
        assert state == {"LimitNOFILE": "1048576", "LimitMEMLOCK": "infinity", "LimitCORE": "0"}


def _environment(text: str) -> dict[str, str]:
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {name: value for name, value in found.items() if name not in PER_START}


@pytest.mark.parametrize(("instance", "number"), [("prefill-0", 0), ("decode-0", 1)])
def test_sglang_env_has_the_environment_of_the_running_process(instance: str, number: int, cluster: Lab) -> None:
    rank = cluster.rank(instance, number)
    host = rank["host"]
    pid = cluster.show(host, rank["unit"], "MainPID")["MainPID"]
    running = _environment(cluster.ssh(host, f"tr '\\0' '\\n' < /proc/{pid}/environ"))
    assert {**running, **rank["environment"]} == running, "the main process has what the plan says"
    assert _environment(cluster.ssh(host, f"sglang-env {instance} -- env")) == running


def test_sglang_env_is_the_same_user_directory_and_limits(cluster: Lab) -> None:
    rank = cluster.rank("prefill-0", 0)
    pid = cluster.show(rank["host"], rank["unit"], "MainPID")["MainPID"]
    look = "grep -E '^(Uid|Gid|Groups|Umask):' /proc/{0}/status; readlink /proc/{0}/cwd; grep -E 'locked|open files' /proc/{0}/limits"
    running = cluster.ssh(rank["host"], look.format(pid))
    entered = cluster.ssh(rank["host"], "sglang-env prefill-0 -- sh -c " + shlex.quote(look.format("self")))
    assert entered.splitlines() == running.splitlines()


def test_sglang_env_passes_words_input_and_exit_status_on(cluster: Lab) -> None:
    host = cluster.rank("prefill-0", 0)["host"]
    words = ["a  b", "$HOME", "${HOME}", "$$", "%h", "it's", '"q"', "back\\slash", "", "semi;colon", "*", "new\nline\n", "-n", "--", "ü"]
    program = "import json, sys; print(json.dumps(sys.argv[1:]))"
    line = shlex.join(["sglang-env", "prefill-0", "--", "python3", "-c", program, *words])
    assert json.loads(cluster.ssh(host, line)) == words
    loop = shlex.join(["sglang-env", "prefill-0", "--", "sh", "-c", 'for i in 1 2; do echo "<${i}>"; done; echo $HOME'])
    assert cluster.ssh(host, loop).split() == ["<1>", "<2>", "/var/lib/sglang"]
    for status in (0, 1, 37, 255):
        assert cluster.run(host, f"sglang-env prefill-0 -- sh -c 'exit {status}'").returncode == status
    assert cluster.ssh(host, "sglang-env prefill-0 -- cat", stdin="through\n") == "through"
    assert cluster.ssh(host, "sglang-env prefill-0 -- python -c 'import sglang; print(sglang.__version__)'") == "0.5.8"


@pytest.mark.parametrize("name", ["decode-0", "nosuch", "../prefill-0", "router", "", "prefill-0/.."])
def test_sglang_env_refuses_what_is_no_instance_of_the_host(name: str, cluster: Lab) -> None:
    done = cluster.run(cluster.rank("prefill-0", 0)["host"], f"sglang-env {shlex.quote(name)} -- echo reached")
    assert done.returncode == 2
    assert "reached" not in done.stdout
    assert f"no instance {name} on this host" in done.stderr
    assert "instances here: prefill-0" in done.stderr


def test_no_secret_is_readable_by_others(cluster: Lab) -> None:
    for rank in cluster.ranks():
        assert cluster.ssh(rank["host"], f"stat --format '%a %U %G' {rank['environment_file']}").startswith("640 root")


def test_no_unit_has_failed(cluster: Lab) -> None:
    for host in cluster.plan["hosts"]:
        assert cluster.ssh(host, "systemctl list-units --failed --plain --no-legend") == "", host
