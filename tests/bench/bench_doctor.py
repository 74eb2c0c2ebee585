# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the doctor costs on gigabytes of logs: seconds of one core and memory, beside a search for the same literals in the same run.

The logs are made anew: engines, routers, Mooncake and kernels as they write, every line with numbers and random identifiers of its own,
some of it as the journal's export and as its JSON, and a failure in every ten thousand lines. The search is ripgrep, or grep -F where there
is no ripgrep; it only finds lines, while the doctor also reads times and hosts and judges. 1 GB may take 15 s of one core and 200 MB.

    python tests/bench/bench_doctor.py [--megabytes 1000] [--out result.json] [--keep DIRECTORY]
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SECONDS, MEGABYTES = 15.0, 200.0
PER_FILE = 50_000_000
# What is written most, as SGLang 0.5.8, sglang-router 0.3.2, Mooncake 0.3.13 and kernels write it; {n} is a number, {x} random letters.
ENGINE = (
    "[{t} TP{d}] Decode batch, #running-req: {d}, #token: {n}, token usage: 0.{n}, pre-allocated usage: 0.00, #prealloc-req: 0, "
    "#transfer-req: {d}, #retracted-req: 0, cuda graph: True, gen throughput (token/s): {n}.{d}, #queue-req: {d}, ",
    "[{t} TP{d}] Prefill batch, #new-seq: {d}, #new-token: {n}, #cached-token: {n}, token usage: 0.{d}, #running-req: 0, #queue-req: 0, "
    "#prealloc-req: 0, #inflight-req: {d}, input throughput (token/s): {n}.{d}, ",
    '[{t}] INFO:     198.51.100.{d}:{n} - "POST /v1/chat/completions HTTP/1.1" 200 OK',
    '[{t}] INFO:     198.51.100.{d}:{n} - "GET /health HTTP/1.1" 200 OK',
    '[{t}] INFO:     198.51.100.{d}:{n} - "GET /metrics HTTP/1.1" 200 OK',
    "[{t}] Receive: obj=GenerateReqInput(rid='{h}', http_worker_ipc=None, text='{x} {x}', input_ids=None, bootstrap_room={n}{n}{n})",
    "I1120 06:04:{d}.{n}   {n} transfer_engine_impl.cpp:1046] Throughput: {n}.{d} MB/s over the last 5 s",
    "W1120 06:04:{d}.{n}   {n} rdma_context.cpp:{d}] Device mlx5_{d} port 1 GID {d} of LID {n}: {h}",
)
ROUTER = (
    '{t}  INFO http_request{{method=POST uri=/v1/chat/completions version=HTTP/1.1 module="smg" request_id="chatcmpl-{x}"}}: smg::request: '
    "/build/sglang/src/middleware.rs:310: started processing request",
    '{t}  INFO http_request{{method=POST uri=/v1/chat/completions version=HTTP/1.1 module="smg" request_id="chatcmpl-{x}" status_code=200 '
    "latency={n}}}: smg::response: /build/sglang/src/middleware.rs:359: finished processing request",
    '{t}  INFO http_request{{method=GET uri=/readiness version=HTTP/1.1 module="smg" request_id="req-{x}" status_code=200 latency={n}}}: '
    "smg::response: /build/sglang/src/middleware.rs:359: finished processing request",
)
KERNEL = (
    "p{d} kernel: [{n}.{n}] mlx5_core 0000:{d}a:00.0 fab{d}: Link up",
    'p{d} kernel: [{n}.{n}] audit: type=1400 audit({n}.{d}:{n}): apparmor="ALLOWED" operation="open" profile="{x}" pid={n}',
)
FAILURES = (
    "[{t} TP{d}] Prefill instance failed to register to bootstrap server: HTTPConnectionPool(host='203.0.113.10', port=8998): Max retries "
    "exceeded with url: /route (Caused by NewConnectionError: [Errno 111] Connection refused)",
    "[{t} TP{d}] Decode transfer failed for request rank={d} decode_req.req.rid='{h}' decode_req.req.bootstrap_room={n}{n} with exception "
    "KVTransferError(bootstrap_room={n}{n}): Could not fetch prefill parallel info from bootstrap_addr: 203.0.113.10:8998",
    "E1120 06:04:{d}.{n}   {n} rdma_transport.cpp:{n}] Failed to register memory 0x{h}: Bad address [14]",
)


def line(form: str, moment: float) -> str:
    """Return one line of a form with numbers of its own."""
    bits = random.getrandbits(64)
    return form.format(
        t=time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(moment)),
        d=bits & 7,
        n=bits >> 8 & 0xFFFFF,
        h=f"{bits:016x}{bits ^ 0xA5A5A5A5A5A5A5A5:016x}",
        x=base64.b64encode(bits.to_bytes(8, "big") + (bits >> 3).to_bytes(9, "big"), b"xy").decode(),
    )


def lines(forms: tuple[str, ...], size: int) -> Iterator[str]:
    """Yield lines of a log until it has a size."""
    moment, written, number = 1_795_000_000.0, 0, 0
    while written < size:
        number += 1
        moment += 0.02
        text = line(
            FAILURES[number // 10_000 % len(FAILURES)] if number % 10_000 == 0 else forms[random.getrandbits(16) % len(forms)], moment
        )
        written += len(text) + 1
        yield text


def plain(path: Path, forms: tuple[str, ...], size: int) -> None:
    """Write a log as the engine's own file has it."""
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(text + "\n" for text in lines(forms, size))


def export(path: Path, forms: tuple[str, ...], size: int, unit: str) -> None:
    """Write a log as journalctl --output=export has it."""
    with path.open("w", encoding="utf-8") as stream:
        for number, text in enumerate(lines(forms, size // 3)):
            stream.write(
                f"__CURSOR=s={number:032x};i={number:x};b=0f;m={number:x};t={number:x};x={number:x}\n"
                f"__REALTIME_TIMESTAMP={1795000000000000 + number}\n"
                f"_HOSTNAME=d0\n_SYSTEMD_UNIT={unit}\n_PID=4{number % 10}\nMESSAGE={text}\n\n"
            )


def records(path: Path, forms: tuple[str, ...], size: int, unit: str) -> None:
    """Write a log as journalctl --output=json has it."""
    with path.open("w", encoding="utf-8") as stream:
        for number, text in enumerate(lines(forms, size // 3)):
            record = {
                "__REALTIME_TIMESTAMP": str(1795000000000000 + number),
                "_HOSTNAME": "d1",
                "_SYSTEMD_UNIT": unit,
                "_PID": "7",
                "MESSAGE": text,
            }
            stream.write(json.dumps(record) + "\n")


def make(directory: Path, size: int) -> int:
    """Write logs of a size in bytes; return how many bytes it were."""
    random.seed(20261120)
    kinds = (
        lambda number, part: plain(directory / f"prefill-{number}-rank0.log", ENGINE, part),
        lambda number, part: plain(directory / f"router-{number}.log", ROUTER, part),
        lambda number, part: plain(directory / f"decode-{number}-rank0.log", ENGINE, part),
        lambda number, part: export(directory / f"decode-{number}.export", ENGINE, part, "sglang-decode-0.service"),
        lambda number, part: plain(directory / f"kernel-{number}.log", KERNEL, part),
        lambda number, part: records(directory / f"engine-{number}.json", ENGINE, part, "sglang-decode-1.service"),
    )
    number = 0
    while (have := sum(path.stat().st_size for path in directory.iterdir())) < size:
        kinds[number % len(kinds)](number, min(PER_FILE, size - have))
        number += 1
    return have


DOCTOR = """
import json, resource, sys, time
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import catalogue, diagnosis
loaded = catalogue.load()
before, begun = time.process_time(), time.monotonic()
found = diagnosis.diagnose(sys.argv[1], loaded)
print(json.dumps({
    "cpu_s": time.process_time() - before, "wall_s": time.monotonic() - begun, "bytes": found.bytes,
    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "findings": [finding.id for finding in found.findings],
    "literals": len({text for item in loaded.signatures.values() for match in item.matches for text in match.literals}),
}))
"""
LITERALS = """
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import catalogue
loaded = catalogue.load()
print("\\n".join(sorted({text for item in loaded.signatures.values() for match in item.matches for text in match.literals})))
"""


def searched(directory: Path) -> dict[str, Any]:
    """Return what a search for the same literals costs, on one core."""
    literals = subprocess.run([sys.executable, "-c", LITERALS], check=True, capture_output=True, text=True).stdout
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as patterns:
        patterns.write(literals)
        patterns.flush()
        ripgrep = shutil.which("rg")
        if ripgrep:
            command = [ripgrep, "--threads=1", "--no-ignore", "--count", "--fixed-strings", f"--file={patterns.name}", str(directory)]
        else:
            command = ["grep", "-r", "-c", "-F", f"--file={patterns.name}", str(directory)]
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        result = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if result.returncode > 1:
        raise SystemExit(f"{command[0]}: {result.stderr}")
    return {
        "program": Path(command[0]).name,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "wall_s": time.monotonic() - begun,
        "lines": sum(int(row.rpartition(":")[2]) for row in result.stdout.splitlines()),
    }


def main() -> None:
    """Make logs, let the doctor and the search read them, compare with the limits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--keep", type=Path, help="make the logs here and leave them; logs that are there are taken as they are")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        directory = options.keep or Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        made = make(directory, options.megabytes * 1_000_000)
        search = searched(directory)
        doctor = json.loads(
            subprocess.run([sys.executable, "-c", DOCTOR, str(directory)], check=True, capture_output=True, text=True).stdout
        )
    scale = made / 1e9
    result = {"bytes": made, "doctor": doctor, "search": search, "cpu_s_per_gb": doctor["cpu_s"] / scale}
    print(f"{made / 1e6:.0f} MB, {doctor['literals']} literals")
    print(f"doctor   {doctor['cpu_s']:7.2f} s of one core, {doctor['wall_s']:7.2f} s in all, {doctor['peak_mb']:.0f} MB")
    print(f"found    {', '.join(doctor['findings'])}")
    print(f"{search['program']:<8} {search['cpu_s']:7.2f} s of one core, {search['wall_s']:7.2f} s in all, {search['lines']} lines")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    failed = []
    if result["cpu_s_per_gb"] > SECONDS:
        failed.append(f"{result['cpu_s_per_gb']:.1f} s per GB, more than {SECONDS:.0f}")
    if doctor["peak_mb"] > MEGABYTES:
        failed.append(f"{doctor['peak_mb']:.0f} MB, more than {MEGABYTES:.0f}")
    if not doctor["findings"]:
        failed.append("nothing was found, though there is a failure in every ten thousand lines")
    if failed:
        raise SystemExit("; ".join(failed))


if __name__ == "__main__":
    main()
