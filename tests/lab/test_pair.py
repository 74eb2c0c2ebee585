# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tensor parallel size 1: what prefill and decode answer together is what a plain server answers. And stacks installed locally."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from labkit import ROOT, Lab, wait_until

pytestmark = pytest.mark.lab

PORT = 30100
PROMPTS = {
    "short": list(range(3, 11)),
    "one token": [42],
    "repeated": [7, 8] * 40,
    "long": [3 + (17 * index * index + 5 * index) % 300 for index in range(1500)],
}


@pytest.fixture(name="plain", scope="module")
def plain_server(pair: Lab) -> Iterator[str]:
    """A server without disaggregation on decode's host: the same environment, model and sizes."""
    rank = pair.rank("decode-0", 0)
    host = rank["host"]
    own = ("disaggregation", "port", "nccl-port")
    words = list(rank["argv"][4:])
    for place in reversed(range(len(words))):
        if words[place].startswith("--") and words[place][2:].startswith(own):
            del words[place : place + 2]
    lines = [f"{name}: {json.dumps(value)}\n" for name, value in rank["arguments"].items() if not name.startswith(own)]
    pair.ssh(host, "install -m 0644 /dev/stdin /run/plain.yaml", stdin="".join(lines))
    server = ["python", "-m", "sglang.launch_server", "--config", "/run/plain.yaml", *words, "--port", str(PORT)]
    pair.ssh(host, "systemd-run --quiet --unit plain " + shlex.join(["sglang-env", "decode-0", "--", *server]))
    url = f"http://{rank['address']}:{PORT}"
    wait_until(lambda: pair.request("/health", url=url, host=host, timeout=25)["status"] == 200, 180, "the plain server")
    yield url
    pair.ssh(host, "systemctl stop plain; systemctl reset-failed plain 2>/dev/null; pkill -u sglang -f -- '--port 30100' || true")


@pytest.mark.parametrize("name", PROMPTS)
def test_prefill_and_decode_answer_like_a_plain_server(name: str, pair: Lab, plain: str) -> None:
    count = 48
    together = pair.generated(PROMPTS[name], count)
    assert together == pair.generated(PROMPTS[name], count, url=plain)
    assert len(together) == count


# --- stacks


def test_the_router_builds_its_stack_by_itself_and_runs_from_it(pair: Lab) -> None:
    host, unit = pair.router["host"], pair.router["unit"]
    before = pair.processes()
    own = {**pair.variables, "stack_delivery": "local", "stack_store": "/opt/sglang/own"}
    run = pair.play("--tags", "stack,router", "--limit", "router", variables=own).succeeded()
    pair.record("router stack built on the host", round(run.seconds, 1))
    assert set(run.changed) == {host}
    target = pair.ssh(host, f"readlink -f /opt/sglang/{pair.router['stack']}")
    assert target.startswith("/opt/sglang/own/")
    pid = pair.show(host, unit, "MainPID")["MainPID"]
    assert f"{target}/" in pair.ssh(host, f"cat /proc/{pid}/maps"), "the running router has its libraries from there"
    assert pair.serving(30) > 0
    after = pair.processes()
    assert {name for name in after if after[name] != before[name]} == {f"{host} {unit}"}
    again = pair.play("--tags", "stack,router", "--limit", "router", variables=own).succeeded()
    assert again.changed == {}
    # And back to the shared store.
    assert set(pair.converge().changed) == {host}
    assert pair.ssh(host, f"readlink -f /opt/sglang/{pair.router['stack']}").startswith("/opt/sglang/store/")


def test_a_store_that_is_not_mounted_is_named(pair: Lab) -> None:
    before = pair.state()
    run = pair.play("--tags", "stack", "--limit", "p0", variables={**pair.variables, "stack_store": "/mnt/share"}, seconds=120)
    run.refused()
    assert set(run.failures) == {"p0"}
    for words in ("/mnt/share", "r0"):
        assert words in run.failures["p0"]
    print(run.failures["p0"])
    assert pair.state() == before


def _refused_build(pair: Lab, store: str, **variables: Any) -> str:
    """Let the router's host build its stack where that cannot work; return the error. Nothing may be left of it."""
    before = pair.state()
    own = {**pair.variables, "stack_delivery": "local", "stack_store": store, **variables}
    run = pair.play("--tags", "stack", "--limit", "router", variables=own)
    run.refused()
    assert set(run.failures) == {"r0"}
    assert pair.state() == before, "the link still names the tree of before"
    left = pair.ssh("r0", f"ls -A {store}").split()
    assert [name for name in left if not name.endswith(".lock") and name != "filler"] == []
    text = run.failures["r0"]
    print(text)
    assert "sglang-router-0.3.2" in text
    assert "Fix: " in text
    return text


def test_a_damaged_wheel_is_named(pair: Lab) -> None:
    pair.ssh("r0", "mkdir -p /root/wheels && cp /srv/wheels/* /root/wheels/ && ls /root/wheels/yarl-*.whl", seconds=120)
    pair.ssh("r0", "printf x | dd of=$(ls /root/wheels/yarl-*.whl) bs=1 seek=5000 conv=notrunc status=none")
    text = _refused_build(pair, "/opt/sglang/damaged", stack_wheels="/root/wheels")
    pair.ssh("r0", "rm -r /root/wheels")
    assert "yarl-" in text


def _damaged_lock(folder: Path, damage: Callable[[str], str]) -> str:
    """Copy the router's stack with a lock that was damaged; return the directory of stacks."""
    copy = folder / "stacks" / "sglang-router-0.3.2"
    shutil.copytree(ROOT / "roles/stack/files/sglang-router-0.3.2", copy)
    lock = copy / "requirements.txt"
    before = lock.read_text(encoding="utf-8")
    lock.write_text(damage(before), encoding="utf-8")
    assert lock.read_text(encoding="utf-8") != before
    return str(copy.parent)


def test_a_lock_with_a_wrong_hash_is_named(pair: Lab, tmp_path: Path) -> None:
    def other_hashes(text: str) -> str:
        """Another first digit in every hash of one package: the lock is well made, and no wheel fits it."""
        (entry,) = re.findall(r"^yarl==.*?(?=^\w)", text, re.MULTILINE | re.DOTALL) or [text[text.index("yarl==") :]]
        return text.replace(entry, re.sub(r"sha256:(.)", lambda found: "sha256:" + ("1" if found[1] == "0" else "0"), entry))

    text = _refused_build(pair, "/opt/sglang/wrong", stack_definition_paths=[_damaged_lock(tmp_path, other_hashes)])
    assert "yarl-" in text


LOCKS = {
    "cut in a hash": lambda text: text[: text.index("sha256:") + 20] + "\n",
    "no hash": lambda text: text.replace("--hash=sha256:", "--nohash:", 1),
    "no version": lambda text: text.replace("==", ">=", 1),
    "empty": lambda text: "",
}


@pytest.mark.parametrize("damage", LOCKS.values(), ids=LOCKS)
def test_a_damaged_lock_is_named_before_a_host_is_reached(damage: Callable[[str], str], pair: Lab, tmp_path: Path) -> None:
    before = pair.state()
    paths = [_damaged_lock(tmp_path, damage)]
    run = pair.play("--tags", "stack", "--limit", "router", variables={**pair.variables, "stack_definition_paths": paths})
    run.refused()
    text = run.failures["r0"]
    print(text)
    for words in ("sglang-router-0.3.2", "the lock ", "Fix: "):
        assert words in text
    assert pair.state() == before


@pytest.mark.parametrize("filled", ["before", "during"])
def test_a_full_disk_is_named(filled: str, pair: Lab) -> None:
    store = "/opt/sglang/small"
    size = 30 if filled == "before" else 300
    pair.ssh("r0", f"mkdir -p {store} && mount -t tmpfs -o size={size}m tmpfs {store}")
    # Somebody else's file takes the rest as soon as the build has begun.
    fill = f"until ls -A {store} | grep -v lock; do sleep 0.02; done; dd if=/dev/zero of={store}/filler bs=1M"
    other = pair.background("r0", fill) if filled == "during" else None
    try:
        text = _refused_build(pair, store)
    finally:
        if other is not None:
            other.kill()
            other.wait(20)
        pair.ssh("r0", f"umount {store} && rmdir {store}")
    assert store in text
    assert "free " in text.lower()


@pytest.mark.full
def test_an_engine_host_builds_its_stack_by_itself_and_runs_from_it(pair: Lab) -> None:
    rank = pair.rank("decode-0", 0)
    host = rank["host"]
    own = {**pair.variables, "stack_delivery": "local", "stack_store": "/opt/sglang/own"}
    run = pair.play("--tags", "stack,engine,verify", "--limit", host, variables=own, seconds=900).succeeded()
    pair.record("engine stack built on the host", round(run.seconds, 1))
    target = pair.ssh(host, f"readlink -f /opt/sglang/{rank['stack']}")
    assert target.startswith("/opt/sglang/own/")
    pid = pair.show(host, rank["unit"], "MainPID")["MainPID"]
    assert f"{target}/" in pair.ssh(host, f"cat /proc/{pid}/maps")
    assert pair.serving(60) > 0
