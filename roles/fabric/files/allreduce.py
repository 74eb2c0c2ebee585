# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All-reduce between the ranks of an instance, or those of one host, with the stack's torch: python allreduce.py ORDER (JSON).

Starts this host's ranks, which meet at a store of rank 0, reduce tensors whose sums are known, and say how long it took. Every line that is
printed is one JSON object. A rank whose heart stops is named by the others, so that a hang has a host.
Needs torch with torch.distributed (2.x); gloo and NCCL are the backends.
"""

from __future__ import annotations

import datetime
import importlib
import json
import os
import signal
import sys
import threading
import time
from typing import Any

BEAT_SECONDS = 0.5
SILENT_SECONDS = 5.0
# A rank that fails goes on to say so for as long as others need to see who has fallen silent.
LINGER_SECONDS = SILENT_SECONDS + 3
STORE_SECONDS = 10
FLOAT_BYTES = 4


def say(**event: Any) -> None:
    """Print one event."""
    os.write(1, (json.dumps(event) + "\n").encode())


def first(error: BaseException) -> str:
    """Return the first sentence of an error."""
    return ((str(error) or type(error).__name__).splitlines() or [""])[0].partition(". This is typically")[0][:300]


class Heart:
    """Beats for one rank, and watches the others."""

    def __init__(self, store: Any, rank: int, world: int) -> None:
        self.store = store
        self.rank = rank
        self.world = world
        self.silent: set[int] = set()
        self.asked = 0.0
        self.end = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _look(self, seen: dict[int, tuple[str, float]]) -> None:
        now = time.monotonic()
        for other in range(self.world):
            if other == self.rank or not self.store.check([f"beat/{other}"]):
                continue
            beat = self.store.get(f"beat/{other}").decode()
            if beat == "done" or seen.get(other, ("", 0.0))[0] != beat:
                seen[other] = (beat, now)
                self.silent.discard(other)
            elif now - seen[other][1] > SILENT_SECONDS and other not in self.silent:
                self.silent.add(other)
                say(event="silent", rank=self.rank, silent=other)

    def _run(self) -> None:
        count, seen = 0, dict[int, tuple[str, float]]()
        while not self.end.wait(BEAT_SECONDS):
            count += 1
            self.asked = time.monotonic()
            try:
                self.store.set(f"beat/{self.rank}", str(count))
                self._look(seen)
                self.asked = 0.0
            except Exception as error:  # whatever the store raises, it is rank 0's
                if self.rank:
                    self.silent.add(0)
                    say(event="silent", rank=self.rank, silent=0, why=first(error))
                return

    @property
    def suspects(self) -> list[int]:
        """The ranks that have fallen silent; rank 0, too, where its store has not answered for long."""
        stuck = self.asked and time.monotonic() - self.asked > SILENT_SECONDS
        return sorted(self.silent | ({0} if stuck and self.rank else set()))

    def stop(self) -> None:
        """Say that this rank needs nobody any more."""
        self.end.set()
        self.thread.join(2 * STORE_SECONDS)
        self.store.set(f"beat/{self.rank}", "done")


def gather(store: Any, world: int, limit: float) -> list[int]:
    """Wait for all ranks until a monotonic time and return those that did not come."""
    while True:
        missing = [rank for rank in range(world) if not store.check([f"beat/{rank}"])]
        if not missing or time.monotonic() > limit:
            return missing
        time.sleep(0.2)


def measure(torch: Any, device: Any, place: tuple[int, int], size: int, iterations: int) -> dict[str, Any]:
    """Reduce tensors of so many bytes and return seconds of one (the slowest rank's mean) and whether sums were right."""
    dist = torch.distributed
    rank, world = place
    pattern = (torch.arange(size // FLOAT_BYTES, device=device) % 7 + 1).to(torch.float32)
    wanted = pattern * (world * (world + 1) // 2)

    def right() -> bool:
        summed = pattern * (rank + 1)
        dist.all_reduce(summed)
        return bool(torch.equal(summed, wanted))

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    first = right()
    zeros = torch.zeros_like(pattern)
    dist.barrier()
    wait()
    begin = time.monotonic()
    for _turn in range(iterations):
        dist.all_reduce(zeros)
    wait()
    spent = torch.tensor([(time.monotonic() - begin) / iterations], dtype=torch.float64, device=device)
    dist.all_reduce(spent, op=dist.ReduceOp.MAX)
    good = torch.tensor([1.0 if first and right() else 0.0], device=device)
    dist.all_reduce(good, op=dist.ReduceOp.MIN)
    seconds = float(spent.item())
    return {"bytes": size, "seconds": seconds, "busbw_gbps": 2 * (world - 1) / world * size * 8 / seconds / 1e9, "right": bool(good.item())}


def one(order: dict[str, Any], rank: int, gpu: int) -> int:
    """Run one rank and return its exit status."""
    # Torch writes pages of stack frames about what is said in one line below.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")
    torch = importlib.import_module("torch")
    dist = importlib.import_module("torch.distributed")
    world, limit = order["world"], datetime.timedelta(seconds=order["run_seconds"])
    # Importing torch has taken some of the time already.
    until = order["began"] + order["meet_seconds"]
    left = datetime.timedelta(seconds=max(1.0, until - time.monotonic()))
    try:
        store = dist.TCPStore(
            order["address"], order["port"], world, rank == 0, left, wait_for_workers=False,
        )
        beats = dist.TCPStore(
            order["address"], order["port"], world, False, datetime.timedelta(seconds=STORE_SECONDS), wait_for_workers=False,
        )
    except Exception as error:  # torch raises its own, of which there are several
        say(event="failed", rank=rank, code="store", missing=[0] if rank else [], why=first(error))
        return 1
    heart = Heart(beats, rank, world)
    try:
        missing = gather(store, world, until)
        if missing:
            say(event="failed", rank=rank, code="missing", missing=missing, why="they did not come to the rendezvous")
            time.sleep(2)
            return 1
        say(event="met", rank=rank)
        device = torch.device("cuda", gpu) if order["backend"] == "nccl" else torch.device("cpu")
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group(order["backend"], store=dist.PrefixStore("group", store), rank=rank, world_size=world, timeout=limit)
        for size in order["sizes"]:
            say(event="row", rank=rank, **measure(torch, device, (rank, world), size, order["iterations"]))
    except Exception as error:
        time.sleep(LINGER_SECONDS)
        say(event="failed", rank=rank, code="reduce", missing=heart.suspects, why=first(error))
        return 1
    dist.barrier()
    heart.stop()
    # Rank 0 holds the store: it goes last.
    while rank == 0 and any(store.get(f"beat/{other}") != b"done" for other in range(world)):
        time.sleep(0.1)
    say(event="done", rank=rank)
    return 0


def main(order: dict[str, Any]) -> int:
    """Start the ranks of this host, wait until all have ended or the time is over, and return the worst status."""
    order["began"] = time.monotonic()
    children: dict[int, int] = {}
    for row in order["ranks"]:
        pid = os.fork()
        if not pid:
            status = 1
            try:
                status = one(order, row["rank"], row["gpu"])
            except BaseException as error:
                say(event="failed", rank=row["rank"], code="crash", missing=[], why=f"{type(error).__name__}: {error}"[:300])
            finally:
                os._exit(status)
        children[pid] = row["rank"]
    limit = time.monotonic() + order["meet_seconds"] + order["run_seconds"] + LINGER_SECONDS + 5
    worst = 0
    while children and time.monotonic() < limit:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            rank, code = children.pop(pid), os.waitstatus_to_exitcode(status)
            worst = worst or code
            if code < 0:
                say(event="failed", rank=rank, code="killed", missing=[rank], why=f"ended by {signal.Signals(-code).name}")
        else:
            time.sleep(0.05)
    for pid, rank in children.items():
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        say(event="failed", rank=rank, code="overran", missing=[], why="it did not end in time")
    return 1 if children or worst else 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
