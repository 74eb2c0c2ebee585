# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What breaks is healed by itself within a stated time, or ends in an error that names host, cause and fix."""

from __future__ import annotations

import base64
import json
import shlex
import time

import pytest
from labkit import Lab, override, python_command, wait_until

pytestmark = pytest.mark.lab

# Seconds within which a chat through the router has all its tokens again, on two cores.
BOUNDS = {
    "prefill-0 rank 1 killed": 90,
    "decode-0 rank 0 killed": 90,
    "decode-0 rank 1 killed, rank 0 hangs": 90,
    "prefill-0 rank 0 killed, rank 1 hangs": 90,
    "router killed": 20,
    "host of prefill-0 rank 1 rebooted": 120,
}


def _healed(lab: Lab, fault: str, began: float, before: dict[str, tuple[str, str]], units: set[str]) -> None:
    """Assert that exactly these units have new processes and that the cluster serves, all within the fault's bound."""

    def replaced() -> bool:
        try:
            now = lab.processes()
        except AssertionError:  # a host that is rebooting does not answer
            return False
        return all(now[unit] != before[unit] and now[unit][0] != "0" for unit in units)

    bound = BOUNDS[fault] * (1.0 if fault == "router killed" else lab.pace)
    wait_until(replaced, bound, f"new processes of {units}")
    lab.serving(bound - (time.monotonic() - began))
    seconds = round(time.monotonic() - began, 1)
    lab.record("healing", {"fault": fault, "seconds": seconds, "bound": round(bound, 1)})
    print(f"{fault}: {seconds} s")
    assert seconds <= bound
    after = lab.processes()
    assert {unit for unit in after if after[unit] != before[unit]} == units


def _instance(lab: Lab, name: str) -> set[str]:
    return {f"{rank['host']} {rank['unit']}" for rank in lab.ranks(name)}


@pytest.mark.full
@pytest.mark.parametrize(("instance", "number"), [("prefill-0", 1), ("decode-0", 0)])
def test_a_rank_that_dies_takes_its_instance_down_and_all_of_it_comes_back(instance: str, number: int, cluster: Lab) -> None:
    rank = cluster.rank(instance, number)
    before = cluster.processes()
    began = time.monotonic()
    cluster.ssh(rank["host"], f"systemctl kill --kill-whom=main --signal=KILL {rank['unit']}")
    _healed(cluster, f"{instance} rank {number} killed", began, before, _instance(cluster, instance))


@pytest.mark.parametrize(("instance", "number"), [pytest.param("prefill-0", 0, marks=pytest.mark.full), ("decode-0", 1)])
def test_a_rank_that_hangs_because_another_one_died_is_started_again_too(instance: str, number: int, cluster: Lab) -> None:
    rank, other = cluster.rank(instance, number), cluster.rank(instance, 1 - number)
    before = cluster.processes()
    # All its processes hang, as those of a rank do that waits for another one in NCCL; what watches the other ranks does not.
    watch = cluster.ssh(other["host"], f"pgrep -f {rank['directory']}/peers.py").split()
    hanging = [str(pid) for pid in cluster.pids(other["host"], other["unit"]) if str(pid) not in watch]
    assert len(watch) == 1
    assert len(hanging) > 1
    cluster.ssh(other["host"], f"kill -STOP {' '.join(hanging)}")
    began = time.monotonic()
    cluster.ssh(rank["host"], f"systemctl kill --kill-whom=main --signal=KILL {rank['unit']}")
    _healed(cluster, f"{instance} rank {number} killed, rank {1 - number} hangs", began, before, _instance(cluster, instance))
    log = cluster.ssh(other["host"], f"journalctl --unit {other['unit']} --lines 200 --output cat")
    assert f"rank {number} on {rank['host']} is gone: its connection to torch's store" in log


def test_router_that_dies_comes_back(cluster: Lab) -> None:
    router = cluster.router
    before = cluster.processes()
    began = time.monotonic()
    cluster.ssh(router["host"], f"systemctl kill --kill-whom=main --signal=KILL {router['unit']}")
    _healed(cluster, "router killed", began, before, {f"{router['host']} {router['unit']}"})


def test_host_that_reboots_comes_back(cluster: Lab) -> None:
    rank = cluster.rank("prefill-0", 1)
    before = cluster.processes()
    boot = cluster.ssh(rank["host"], "cat /proc/sys/kernel/random/boot_id")
    began = time.monotonic()
    cluster.run(rank["host"], "systemctl reboot")
    wait_until(
        lambda: cluster.run(rank["host"], "cat /proc/sys/kernel/random/boot_id").stdout.strip() not in ("", boot), 60, "the host is back"
    )
    _healed(cluster, "host of prefill-0 rank 1 rebooted", began, before, _instance(cluster, "prefill-0"))
    assert cluster.play().succeeded().changed == {}, "what the host lost by its reboot was not the collection's"


def test_port_that_somebody_holds(cluster: Lab) -> None:
    before = cluster.state()
    cluster.ssh("d0", "systemd-run --quiet --unit squatter python3 -m http.server 30009")
    wait_until(lambda: cluster.run("d0", "ss -ltn | grep -q :30009").returncode == 0, 10, "the foreign listener")
    run = cluster.play(variables=override(sglang_pools={"decode": {"port": 30009}}), seconds=120)
    cluster.ssh("d0", "systemctl stop squatter")
    run.refused()
    assert set(run.failures) == {"d0"}
    for words in (
        "port 30009, planned for API of sglang-decode-0.service, is held by python3 (pid ",
        "squatter.service",
        "stop that process, or choose another port in sglang_pools.decode.port",
    ):
        assert words in run.failures["d0"]
    assert run.changed == {}
    assert cluster.state() == before


# Runs on the router's host: streams two chats at once; says when both have begun, and how many tokens the first had at its end.
STREAMS = r"""
import json, sys, threading, urllib.request
order = json.loads(sys.stdin.readline())
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
begun = threading.Barrier(3)
def ask(tokens, ends):
    body = {**order["body"], "max_tokens": tokens, "stream": True, "stream_options": {"include_usage": True}}
    request = urllib.request.Request(order["url"], json.dumps(body).encode(), {"Content-Type": "application/json"})
    with opener.open(request, timeout=300) as answer:
        lines = iter(answer)
        next(lines)
        begun.wait(60)
        for line in lines:
            if line.startswith(b"data: {"):
                ends.append((json.loads(line[6:]).get("usage") or {}).get("completion_tokens", 0))
ends = [0]
first, second = (threading.Thread(target=ask, args=(tokens, found), daemon=True) for tokens, found in zip(order["tokens"], (ends, [])))
first.start()
second.start()
begun.wait(60)
print("begun", flush=True)
first.join(60)
print(max(ends), flush=True)
sys.stdin.readline()
"""
WEIGHTS = "/opt/models/tiny/model.safetensors"


def test_model_file_that_is_cut_short(cluster: Lab) -> None:
    whole = cluster.state()
    size = int(cluster.ssh("p0", f"stat --format %s {WEIGHTS}"))
    cluster.ssh("p0", f"cp {WEIGHTS} {WEIGHTS}.new && truncate --size -1000 {WEIGHTS}.new && mv {WEIGHTS}.new {WEIGHTS}")
    run = cluster.play("--tags", "model", variables=override(sglang_model={"source": "path"}), seconds=120)
    run.refused()
    assert set(run.failures) == {"p0"}
    for words in (f"model.safetensors has {size - 1000} bytes, its header promises {size}", "Fix: copy the model again"):
        assert words in run.failures["p0"]
    predicted = cluster.play("--check", "--tags", "model", seconds=120).succeeded()
    run = cluster.play("--tags", "model", seconds=120).succeeded()
    assert run.changed == predicted.changed
    assert set(run.changed) == {"p0"}
    assert cluster.state() == whole


@pytest.mark.full
def test_unit_stops_in_finite_time_while_requests_are_open(cluster: Lab) -> None:
    rank = cluster.rank("decode-0", 0)
    host, unit, limit = rank["host"], rank["unit"], 8
    assert cluster.show(host, unit, "TimeoutStopUSec") == {"TimeoutStopUSec": "30s"}
    # The second request takes longer than that; a shorter time leaves no doubt.
    shorter = f"/run/systemd/system/{unit}.d"
    drop_in = shlex.quote(f"[Service]\nTimeoutStopSec={limit}\n")
    cluster.ssh(host, f"mkdir -p {shorter} && printf {drop_in} > {shorter}/99.conf && systemctl daemon-reload")
    short, long = 60, 1900
    order = {"url": cluster.router["url"] + "/v1/chat/completions", "body": cluster.chat_body(), "tokens": [short, long]}
    asking = cluster.background("r0", python_command(base64.b64encode(STREAMS.encode()).decode()))
    # A client that connects and says nothing, besides.
    address = rank["health_url"].removeprefix("http://").removesuffix("/health").split(":")
    connect = f"import socket, time; s = socket.create_connection(('{address[0]}', {address[1]})); time.sleep(300)"
    silent = cluster.background("r0", python_command(base64.b64encode(connect.encode()).decode()))
    try:
        assert asking.stdin is not None
        assert asking.stdout is not None
        asking.stdin.write(json.dumps(order) + "\n")
        asking.stdin.flush()
        assert asking.stdout.readline() == "begun\n"
        began = time.monotonic()
        cluster.ssh(host, f"systemctl stop {unit}", seconds=limit + 60)
        seconds = round(time.monotonic() - began, 1)
        whole = int(asking.stdout.readline())
    finally:
        for client in (asking, silent):
            client.kill()
            client.wait(20)
        cluster.ssh(host, f"rm -r {shorter} && systemctl daemon-reload")
    cluster.record("stop with open requests", {"seconds": seconds, "limit": limit, "tokens of the short one": whole})
    assert seconds < limit + 5
    assert whole == short, "a request that ends in time is let end"
    assert cluster.pids(host, unit) == [], "nothing of it is left"
    # Run again, site.yml starts what is stopped.
    assert "d0" in cluster.converge().changed
