# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model to three hosts that are addresses of this machine, by the real libtorrent where the system's Python has it.

RAILYARD_LIBTORRENT_PYTHON names another Python that has libtorrent.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.model import board, directory, fanout, provide, record, swarm, torrent
from ansible_collections.railyard.sglang.plugins.module_utils.model.errors import ModelError
from ansible_collections.railyard.sglang.plugins.module_utils.model.source import Directory
from ansible_collections.railyard.sglang.tests.unit.support import models

PYTHON = os.environ.get("RAILYARD_LIBTORRENT_PYTHON", "/usr/bin/python3")
PROGRAM = Path(directory.__file__).resolve().parents[3] / "roles" / "model" / "files" / "swarm.py"
COMMAND = [PYTHON, "-c", PROGRAM.read_text(encoding="utf-8")]
ADDRESSES = {"s": "127.0.0.1", "a": "127.0.0.2", "b": "127.0.0.3", "c": "127.0.0.4"}
TOKEN = "a-token-of-this-test"


def has_libtorrent() -> bool:
    done = subprocess.run([PYTHON, "-c", "import libtorrent"], capture_output=True, check=False) if os.path.exists(PYTHON) else None
    return done is not None and done.returncode == 0


needs_libtorrent = pytest.mark.skipif(not has_libtorrent(), reason=f"{PYTHON} has no libtorrent (python3-libtorrent)")


def free_port() -> int:
    """Return a port that is free on all addresses, together with the one above."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("0.0.0.0", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("0.0.0.0", port + 1))
            except OSError:
                continue
            return port


def host(base: Path, name: str, offer: fanout.Offer) -> fanout.Host:
    return fanout.Host(offer, provide.Options(str(base / name / "m"), {"from": "another host"}, reserve=0))


def distribute(base: Path, offer: fanout.Offer, names: list[str], **more: Any) -> dict[str, Any]:
    """Let hosts take part at the same time; return what each came to."""
    port, ended = free_port(), {}

    def work(name: str) -> None:
        plan = swarm.Plan({key: ADDRESSES[key] for key in ["s", *names]}, TOKEN, port, **{"stall": 60, "seconds": 300, **more})
        try:
            part = host(base, name, offer)
            ended[name] = part.send(plan, name, COMMAND) if name == "s" else part.receive(plan, name, COMMAND)
        except ModelError as error:
            ended[name] = error

    threads = [threading.Thread(target=work, args=(name,), daemon=True) for name in ["s", *names]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(320)
    return ended


@pytest.fixture(name="source")
def write_source(tmp_path: Path) -> Path:
    return models.write(tmp_path / "source", shards=4, size=900_000)


@pytest.fixture(name="offer")
def make_offer(tmp_path: Path, source: Path) -> fanout.Offer:
    done = provide.Provider(Directory(str(source)), provide.Options(str(tmp_path / "s" / "m"), {"a": 1}, reserve=0)).run()
    return fanout.offer(done.after, done.files)


@needs_libtorrent
def test_three_hosts_and_then_what_is_damaged_and_a_new_one(tmp_path: Path, source: Path, offer: fanout.Offer) -> None:
    wanted = directory.manifest(str(source))
    assert all(host(tmp_path, name, offer).lacks() for name in "ab")
    # What a run that was killed has left: one file right, one of the wrong bytes.
    partial = Path(host(tmp_path, "a", offer).partial)
    partial.mkdir(parents=True)
    shutil.copy(source / "model-0.safetensors", partial)
    (partial / "model-1.safetensors").write_bytes(b"x" * 500_000)
    ended = distribute(tmp_path, offer, ["a", "b"])
    assert {name: row["state"] for name, row in ended["s"]["hosts"].items()} == {"a": "whole", "b": "whole"}
    for name in "ab":
        assert directory.manifest(str(tmp_path / name / "m")) == wanted
        assert not host(tmp_path, name, offer).lacks()
        assert host(tmp_path, name, offer).settle() == (False, [])
    # The second one was served by the first, and the source sent less than one copy.
    assert ended["s"]["sent"] <= offer.total
    assert ended["a"]["sent"] >= offer.total

    models.flip(tmp_path / "b" / "m" / "model-2.safetensors")
    before = models.inodes(tmp_path / "b" / "m")
    part = host(tmp_path, "b", offer)
    assert part.lacks()
    assert part.problems == ["model-2.safetensors has other bytes than its checksum says"]
    ended = distribute(tmp_path, offer, ["b", "c"])
    after = models.inodes(tmp_path / "b" / "m")
    assert {name for name in after if after[name] != before[name]} == {"model-2.safetensors"}
    for name in "bc":
        assert directory.manifest(str(tmp_path / name / "m")) == wanted


@needs_libtorrent
def test_a_limit_holds_between_hosts_of_one_network(tmp_path: Path, offer: fanout.Offer) -> None:
    ended = distribute(tmp_path, offer, ["a"], limit=600_000)
    assert ended["s"]["hosts"]["a"]["state"] == "whole"
    # 3.6 MB; without the limit it takes a moment.
    assert ended["a"]["seconds"] > 3


@needs_libtorrent
def test_a_host_that_is_not_planned_gets_nothing(tmp_path: Path, offer: fanout.Offer) -> None:
    port = free_port()
    plan = swarm.Plan({name: ADDRESSES[name] for name in "sa"}, TOKEN, port, seconds=20)
    ended: list[Any] = []
    thread = threading.Thread(target=lambda: ended.append(host(tmp_path, "s", offer).send(plan, "s", COMMAND)), daemon=True)
    thread.start()
    stranger = swarm.Plan({"s": ADDRESSES["s"], "c": ADDRESSES["c"]}, TOKEN, port, seconds=30)
    with pytest.raises(ModelError, match=r"answers 403 .*this host is not the one"):
        host(tmp_path, "c", offer).receive(stranger, "c", COMMAND)
    # Even with the torrent in its hands, the source's libtorrent does not speak with it.
    while not plan.torrent:
        threading.Event().wait(0.1)
    folder = tmp_path / "stranger"
    folder.mkdir()
    known = swarm.Plan(stranger.addresses, TOKEN, port, plan.torrent)
    with swarm.Agent(COMMAND, known, "c", str(folder), whole=False) as agent:
        for _turn in range(8):
            agent.connect(ADDRESSES["s"], port + 1)
            threading.Event().wait(0.5)
        assert agent.look().get("done", 0) == 0
    thread.join(60)
    assert ended[0]["late"] == ["a"]
    assert ended[0]["sent"] == 0


def test_without_libtorrent_the_package_is_named(tmp_path: Path, offer: fanout.Offer) -> None:
    command = [PYTHON, "-c", "raise ModuleNotFoundError(\"No module named 'libtorrent'\")"]
    plan = swarm.Plan({name: ADDRESSES[name] for name in "sa"}, TOKEN, free_port(), seconds=60)
    with pytest.raises(ModelError, match=r"No module named 'libtorrent'. Fix: install python3-libtorrent"):
        host(tmp_path, "s", offer).send(plan, "s", command)


def test_no_room_on_a_receiver(tmp_path: Path, offer: fanout.Offer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provide, "free_bytes", lambda _path: 1000)
    plan = swarm.Plan({name: ADDRESSES[name] for name in "sa"}, TOKEN, free_port(), seconds=60)
    with pytest.raises(ModelError, match="GiB are to come"):
        host(tmp_path, "a", offer).receive(plan, "a", COMMAND)


@pytest.mark.parametrize(("version", "files"), [("../x", {"a": {"size": 1, "sha256": ""}}), ("abc", {"../a": {"size": 1, "sha256": ""}})])
def test_an_offer_that_leads_out_is_refused(version: str, files: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        fanout.offer(version, files)


def test_a_board_that_never_opens_is_given_up(tmp_path: Path, offer: fanout.Offer) -> None:
    plan = swarm.Plan({name: ADDRESSES[name] for name in "sa"}, TOKEN, free_port(), stall=2)
    began = time.monotonic()
    with pytest.raises(ModelError, match=r"the board of s: no answer for \d+ s: .*refused.*Fix: open model_fanout_port"):
        host(tmp_path, "a", offer).receive(plan, "a", COMMAND)
    assert time.monotonic() - began < 60


@needs_libtorrent
def test_a_source_that_reads_for_long_is_waited_for(
    tmp_path: Path, source: Path, offer: fanout.Offer, monkeypatch: pytest.MonkeyPatch,
) -> None:
    make = torrent.make

    def slow(*words: Any, **more: Any) -> bytes:
        time.sleep(6)
        return make(*words, **more)

    monkeypatch.setattr(torrent, "make", slow)
    ended = distribute(tmp_path, offer, ["a"], stall=3)
    assert ended["s"]["hosts"]["a"]["state"] == "whole"
    assert directory.manifest(str(tmp_path / "a" / "m")) == directory.manifest(str(source))


@needs_libtorrent
def test_one_whose_process_ends_is_not_waited_for(tmp_path: Path, offer: fanout.Offer) -> None:
    plan = swarm.Plan({name: ADDRESSES[name] for name in "sa"}, TOKEN, free_port(), seconds=300)
    ended: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: ended.append(host(tmp_path, "s", offer).send(plan, "s", COMMAND)), daemon=True)
    began = time.monotonic()
    thread.start()
    with pytest.raises(ModelError, match="the process that moves the pieces: ended: status 3"):
        host(tmp_path, "a", offer).receive(swarm.Plan(plan.addresses, TOKEN, plan.port), "a", [PYTHON, "-c", "raise SystemExit(3)"])
    thread.join(60)
    assert (ended[0]["hosts"]["a"]["state"], ended[0]["late"]) == ("failed", [])
    assert time.monotonic() - began < board.LOST


@needs_libtorrent
def test_a_source_waits_for_one_that_an_earlier_run_has_left(tmp_path: Path, offer: fanout.Offer) -> None:
    port, ended = free_port(), []

    def work(seconds: float) -> None:
        plan = swarm.Plan({name: ADDRESSES[name] for name in "sa"}, TOKEN, port, seconds=seconds)
        ended.append((seconds, host(tmp_path, "s", offer).send(plan, "s", COMMAND)["late"]))

    threads = [threading.Thread(target=work, args=(seconds,), daemon=True) for seconds in (4.0, 1.0)]
    for thread in threads:
        thread.start()
        time.sleep(1)
    for thread in threads:
        thread.join(60)
    assert ended == [(4.0, ["a"]), (1.0, ["a"])]


@needs_libtorrent
def test_one_that_never_comes_is_named(tmp_path: Path, offer: fanout.Offer) -> None:
    plan = swarm.Plan({name: ADDRESSES[name] for name in "sa"}, TOKEN, free_port(), stall=2)
    ended = host(tmp_path, "s", offer).send(plan, "s", COMMAND)
    assert (ended["late"], ended["hosts"]) == (["a"], {})


def next_offer(base: Path, source: Path) -> fanout.Offer:
    """Change one shard of four at the source."""
    models.shard(source / "model-0.safetensors", "new", 900_000)
    done = provide.Provider(Directory(str(source)), provide.Options(str(base / "s" / "m"), {"a": 1}, reserve=0)).run()
    return fanout.offer(done.after, done.files)


@needs_libtorrent
@pytest.mark.parametrize("rotten", [False, True])
def test_a_new_version_takes_what_is_the_same_from_the_former_one(tmp_path: Path, source: Path, offer: fanout.Offer, rotten: bool) -> None:
    provide.Provider(Directory(str(source)), provide.Options(str(tmp_path / "a" / "m"), {"a": 1}, reserve=0)).run()
    former = tmp_path / "a" / "m" / "model-1.safetensors"
    before = models.inodes(tmp_path / "a" / "m")
    if rotten:
        models.flip(former, quietly=True)
    wrong = former.read_bytes()
    former = former.resolve()
    offer = next_offer(tmp_path, source)
    ended = distribute(tmp_path, offer, ["a"])
    assert directory.manifest(str(tmp_path / "a" / "m")) == directory.manifest(str(source))
    assert 900_000 <= ended["s"]["sent"] < (1 + rotten) * 1_000_000
    after = models.inodes(tmp_path / "a" / "m")
    assert (after["model-1.safetensors"] != before["model-1.safetensors"]) == rotten
    # A file of the former version is not written into: somebody may have it open.
    assert former.read_bytes() == wrong
    assert not host(tmp_path, "a", offer).lacks()


@pytest.mark.parametrize("left", [[], ["config.json"]])
@pytest.mark.parametrize("record_gone", [False, True])
def test_a_receiver_that_was_killed_after_it_had_mended_the_last_file(
    tmp_path: Path, source: Path, offer: fanout.Offer, left: list[str], record_gone: bool,
) -> None:
    provide.Provider(Directory(str(source)), provide.Options(str(tmp_path / "a" / "m"), {"a": 1}, reserve=0)).run()
    part = host(tmp_path, "a", offer)
    shutil.copy(source / "model-0.safetensors", tmp_path / "new")
    os.replace(tmp_path / "new", Path(part.tree, "model-0.safetensors"))
    if record_gone:
        Path(part.tree, directory.RECORD).unlink()
    Path(part.partial).mkdir(parents=True)
    for name in left:
        Path(part.partial, name).write_bytes(b"x")
    assert not part.lacks()
    part.settle()
    assert not Path(part.partial).exists()
    assert directory.manifest(str(tmp_path / "a" / "m")) == directory.manifest(str(source))
    # What was read once is known from now on.
    rows = record.read(part.tree)
    assert rows["whole"]
    assert all(record.same(part.tree, name, row) for name, row in rows["files"].items())


def test_a_version_of_another_checksum_is_not_taken(tmp_path: Path, offer: fanout.Offer, source: Path) -> None:
    right = directory.checksum(directory.manifest(str(source)))
    for checksum in ("", right):
        assert fanout.Host(offer, provide.Options(str(tmp_path / "a" / "m"), {}, checksum=checksum)).lacks()
    plan = swarm.Plan({name: ADDRESSES[name] for name in "sa"}, TOKEN, free_port(), stall=2)
    part = fanout.Host(offer, provide.Options(str(tmp_path / "a" / "m"), {}, checksum="0" * 64))
    for work in (part.lacks, part.settle, lambda: part.receive(plan, "a", COMMAND)):
        with pytest.raises(ModelError, match=f"the checksum of the source's version is {right}, wanted 000"):
            work()
    assert not (tmp_path / "a").exists()
