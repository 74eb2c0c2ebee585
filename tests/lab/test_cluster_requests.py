# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two prefill and two decode instances of two hosts each: while one of them comes back, what goes to the others is served."""

from __future__ import annotations

import base64
import json
import re
import time

import pytest
from labkit import Lab, python_command, wait_until

pytestmark = [pytest.mark.lab, pytest.mark.full]

#: Seconds from the kill until the instance is served again, as in test_cluster_faults.
BOUND = 90
# Runs on the router's host: chats through the router, four at a time, each with an id of its own, until its input says stop.
CHATS = r"""
import json, sys, threading, time, urllib.request
order = json.loads(sys.stdin.readline())
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
stop, rows = threading.Event(), []
def work(thread):
    number = 0
    while not stop.is_set():
        number += 1
        name = f"{order['name']}-{thread}-{number}"
        headers = {"Content-Type": "application/json", "x-request-id": name}
        request = urllib.request.Request(order["url"], json.dumps(order["body"]).encode(), headers)
        row = {"id": name, "sent": time.time(), "tokens": 0, "text": ""}
        try:
            with opener.open(request, timeout=60) as answer:
                row["tokens"] = json.load(answer)["usage"]["completion_tokens"]
        except Exception as error:
            row["text"] = f"{error} " + (error.read().decode("utf-8", "replace") if hasattr(error, "read") else "")
        row["ended"] = time.time()
        rows.append(row)
        time.sleep(0.5)
threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
for thread in threads:
    thread.start()
while not any(row["tokens"] for row in rows):
    time.sleep(0.2)
print("begun", flush=True)
sys.stdin.readline()
stop.set()
for thread in threads:
    thread.join()
print(json.dumps(rows))
"""
TOKENS = 8


def came_back(lab: Lab, instance: str, before: dict[str, tuple[str, str]]) -> bool:
    """Return whether all ranks of an instance are new processes, and the first one is well."""
    units = [f"{rank['host']} {rank['unit']}" for rank in lab.ranks(instance)]
    now = lab.processes()
    if any(now[unit] == before[unit] or now[unit][0] == "0" for unit in units):
        return False
    url = lab.rank(instance, 0)["health_url"].removesuffix("/health")
    return bool(lab.request("/health", timeout=5, url=url)["status"] == 200)


def failures_of(lab: Lab, instance: str, since: float) -> list[str]:
    """Return what an instance wrote of requests that failed: each that it had leaves a line, also one that its client gave up."""
    rank = lab.rank(instance, 0)
    log = lab.ssh(rank["host"], f"journalctl --unit {rank['unit']} --since @{int(since)} --output cat --all")
    return [line for line in log.splitlines() if "KVTransferError" in line or re.search(r'" 5\d\d ', line)]


@pytest.mark.parametrize(("instance", "number"), [("prefill-0", 1), ("decode-0", 0)])
def test_pairs_without_the_killed_rank_serve_on(instance: str, number: int, wide: Lab) -> None:
    assert {row["instance"] for row in wide.router["workers"]} == {"prefill-0", "prefill-1", "decode-0", "decode-1"}
    rank, before = wide.rank(instance, number), wide.processes()
    body = wide.chat_body(TOKENS)
    order = {"name": instance, "url": wide.router["url"] + "/v1/chat/completions", "body": body}
    asking = wide.background("r0", python_command(base64.b64encode(CHATS.encode()).decode()))
    assert asking.stdin is not None
    assert asking.stdout is not None
    try:
        asking.stdin.write(json.dumps(order) + "\n")
        asking.stdin.flush()
        assert asking.stdout.readline() == "begun\n"
        began = time.time()
        wide.ssh(rank["host"], f"systemctl kill --kill-whom=main --signal=KILL {rank['unit']}")
        seconds = wait_until(lambda: came_back(wide, instance, before), BOUND * wide.pace, f"{instance} is served again")
        ended = time.time()
        asking.stdin.write("\n")
        asking.stdin.flush()
        rows = json.loads(asking.stdout.readline())
    finally:
        asking.kill()
        asking.wait(20)
    during = [row for row in rows if began <= row["sent"] <= ended]
    failed = [row for row in rows if row["tokens"] != TOKENS]
    # Every pair without the instance has the other one of its role.
    other = f"{instance.partition('-')[0]}-1"
    told = {"instance": instance, "rank": number, "seconds": round(seconds, 1), "sent": len(during), "failed": len(failed)}
    wide.record("requests while a rank is killed", told)
    print(told, *failed, sep="\n")
    assert failures_of(wide, other, began) == [], "requests to pairs without it failed"
    # The router finds out by its second health check; until then it gives the instance its share, and waits for the partner's answer, too.
    assert all(row["sent"] < began + 10 for row in failed), "the router gave it requests when it was known to be away"
    assert len(during) - len(failed) >= 10, "hardly anything was served meanwhile"
    wide.serving(60)
