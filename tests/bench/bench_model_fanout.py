# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a model takes to seven hosts, against one copy to one host and against a star, in the same run.

Every host is a network namespace with a link of its own, limited by tbf in both directions, so low that the CPU is not the limit. What runs
in them is what runs on hosts: board, receivers with their verification, and libtorrent. The chain may take at most 1.6 times the one copy.
Needs root, ip, tc and python3-libtorrent; says so and ends with status 2 where they are not.

    PYTHONPATH=.tree python tests/bench/bench_model_fanout.py [--hosts 7] [--mib 32] [--mbit 16] [--out result.json]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from ansible_collections.railyard.sglang.plugins.module_utils.model import directory, swarm, torrent

LIMIT = 1.6
FEWEST_PIECES = 16
PREFIX = f"rybm{os.getpid() % 10000}"
PROGRAM = Path(__file__).resolve().parents[2] / "roles" / "model" / "files" / "swarm.py"
SYSTEM_PYTHON = "/usr/bin/python3"
PORT = 18720


def run(*words: str) -> None:
    """Run a command, with its output in the error if it fails."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.stderr or done.stdout}")


def missing() -> list[str]:
    """Return what this machine lacks."""
    found = [name for name in ("ip", "tc") if not shutil.which(name)]
    if os.geteuid() != 0:
        found.append("root")
    if subprocess.run([SYSTEM_PYTHON, "-c", "import libtorrent"], capture_output=True, check=False).returncode:
        found.append("python3-libtorrent")
    return found


def address(index: int) -> str:
    """Return the address of a host."""
    return f"198.51.100.{10 + index}"


@contextlib.contextmanager
def network(hosts: int, mbit: float) -> Iterator[None]:
    """Make one namespace per host and one with the switch between them; every link carries so much in each direction."""
    made = [f"{PREFIX}s", *(f"{PREFIX}n{index}" for index in range(hosts))]
    shape = ["root", "tbf", "rate", f"{mbit}mbit", "burst", "32kb", "latency", "200ms"]
    try:
        for name in made:
            run("ip", "netns", "add", name)
        run("ip", "-n", made[0], "link", "add", "br0", "type", "bridge")
        run("ip", "-n", made[0], "link", "set", "br0", "up")
        for index, name in enumerate(made[1:]):
            port = f"port{index}"
            run("ip", "-n", made[0], "link", "add", port, "type", "veth", "peer", "name", "fab0", "netns", name)
            run("ip", "-n", made[0], "link", "set", port, "master", "br0", "up")
            run("ip", "-n", name, "link", "set", "lo", "up")
            run("ip", "-n", name, "addr", "add", f"{address(index)}/24", "dev", "fab0")
            run("ip", "-n", name, "link", "set", "fab0", "up")
            run("ip", "netns", "exec", name, "tc", "qdisc", "add", "dev", "fab0", *shape)
            run("ip", "netns", "exec", made[0], "tc", "qdisc", "add", "dev", port, *shape)
        yield
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def worker(given: dict[str, Any]) -> None:
    """Be one host; print what it came to as JSON."""
    plan = swarm.Plan(given["addresses"], "benchmark", PORT, Path(given["torrent"]).read_bytes(), stall=60, seconds=900, star=given["star"])
    command = [SYSTEM_PYTHON, str(PROGRAM)]
    # All begin together: how long Python takes to start on a busy machine says nothing of the distribution.
    print("ready", flush=True)
    sys.stdin.readline()
    if given["host"] == plan.source:
        print(json.dumps(swarm.send(plan, given["host"], given["directory"], command, lambda _row: None)))
        return
    whole: list[float] = []
    first: list[float] = []
    model = Path(given["directory"], "model")

    def check() -> list[str]:
        wrong = [name for name, digest in given["digests"].items() if directory.sha256(str(model / name)) != digest]
        whole.append(time.monotonic())
        return wrong

    def moved(row: dict[str, Any]) -> None:
        if row.get("done") and not first:
            first.append(time.monotonic())

    swarm.Receiver(plan, given["host"], given["directory"], command, check, moved).run()
    print(json.dumps({"first": first[0], "whole": whole[0]}))


def pipe(stream: IO[str] | None) -> IO[str]:
    """Return a pipe that was asked for."""
    return cast(IO[str], stream)


def distribute(base: Path, digests: dict[str, str], hosts: int, star: bool) -> dict[str, Any]:
    """Send the model to so many hosts; return what it took and the bytes that the source sent.

    C(seconds) are those from the first byte on any host until the last host had received and verified the model; C(start) those before, in
    which programs start.
    """
    names = ["source", *(f"host{index}" for index in range(1, hosts + 1))]
    addresses = {name: address(index) for index, name in enumerate(names)}
    processes = []
    began = time.monotonic()
    try:
        for index, name in enumerate(names):
            home = base / name
            home.mkdir(exist_ok=True)
            given = {"host": name, "addresses": addresses, "directory": str(home), "torrent": str(base / "torrent"), "star": star,
                     "digests": digests}
            words = ["ip", "netns", "exec", f"{PREFIX}n{index}", sys.executable, __file__, "--worker", json.dumps(given)]
            processes.append(subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        for process in processes:
            if pipe(process.stdout).readline() != "ready\n":
                raise SystemExit("a host did not start; see above")
        for process in processes:
            pipe(process.stdin).write("go\n")
            pipe(process.stdin).flush()
        outputs = [process.communicate(timeout=1000)[0] for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
    if any(process.returncode for process in processes):
        raise SystemExit("a host failed; see above")
    for name in names[1:]:
        shutil.rmtree(base / name)
    rows = [json.loads(output) for output in outputs]
    first = min(row["first"] for row in rows[1:])
    return {"seconds": round(max(row["whole"] for row in rows[1:]) - first, 1), "start": round(first - began, 1), "sent": rows[0]["sent"]}


def measure(hosts: int, mib: int, mbit: float) -> dict[str, Any]:
    """Return the seconds of one copy, a chain and a star."""
    with tempfile.TemporaryDirectory() as text, network(hosts + 1, mbit):
        base = Path(text)
        model = base / "source" / "model"
        model.mkdir(parents=True)
        for index in range(4):
            (model / f"{index}.safetensors").write_bytes(os.urandom((mib << 20) // 4))
        sizes = {path.name: path.stat().st_size for path in model.iterdir()}
        (base / "torrent").write_bytes(torrent.make(str(model), "model", sizes, "benchmark"))
        digests = directory.manifest(str(model))
        total = sum(sizes.values())
        found = {
            "one": distribute(base, digests, 1, False), "chain": distribute(base, digests, hosts, False),
            "star": distribute(base, digests, hosts, True),
        }
    pieces = -(-total // torrent.piece_length(total))
    copies = {f"{name}_copies_sent": round(row["sent"] / total, 2) for name, row in found.items()}
    seconds = {f"{name}_seconds": row["seconds"] for name, row in found.items()}
    one = found["one"]["seconds"]
    starts = {f"{name}_start": row["start"] for name, row in found.items()}
    ratios = {"chain_ratio": round(found["chain"]["seconds"] / one, 2), "star_ratio": round(found["star"]["seconds"] / one, 2)}
    link = {"hosts": hosts, "mib": mib, "mbit": mbit, "pieces": pieces, "link_seconds": round(total * 8 / mbit / 1e6, 1)}
    return {**link, **seconds, **ratios, **copies, **starts}


def complaints(result: dict[str, Any]) -> list[str]:
    """Return what a result misses."""
    found = []
    if result["chain_ratio"] > LIMIT:
        found.append(f"the chain took {result['chain_ratio']} times one copy, at most {LIMIT} allowed")
    if result["pieces"] < FEWEST_PIECES:
        found.append(f"{result['pieces']} pieces, at least {FEWEST_PIECES} wanted: give more MiB")
    return found


def main() -> int:
    """Measure, print, write and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hosts", type=int, default=7, help="hosts that receive")
    parser.add_argument("--mib", type=int, default=32, help="size of the model")
    parser.add_argument("--mbit", type=float, default=16, help="what every link carries in each direction")
    parser.add_argument("--out", type=Path, help="write the result there as JSON")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(json.loads(options.worker))
        return 0
    lacking = missing()
    if lacking:
        print(f"not measured: {', '.join(lacking)} missing here")
        return 2
    result = measure(options.hosts, options.mib, options.mbit)
    print(json.dumps(result))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    found = complaints(result)
    for complaint in found:
        print(f"too slow: {complaint}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
