# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filling a directory with the locked wheels, by pip with its own configuration, a few of them at a time.

Pip keeps what it has downloaded only at its end: what each one is asked for is little, so that a run which is cut short, or a line which is
slow, costs little. A pip may take as long as it wants as long as something arrives.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError, is_disk_full
from ansible_collections.railyard.sglang.plugins.module_utils.stack.locks import Pin
from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import hold
from ansible_collections.railyard.sglang.plugins.module_utils.stack.wheels import (
    Target,
    candidates,
    listed,
    local_target,
    sha256,
    sha256_all,
)

MANIFEST = "wheels.json"
PARTIAL = ".partial-"
LOCK = ".lock"
LOCK_WAIT_SECONDS = 3600
PIP_VERSION_SECONDS = 60
# A pip that nothing has arrived for in so many seconds is ended; pip itself gives up a connection long before.
STALL_SECONDS = 600
POLL_SECONDS = 0.2
WHEELS_PER_PIP = 4
TAIL = 1200
STALLED = "nothing has arrived for"
LEGACY_TAGS = ("manylinux2014", "manylinux2010", "manylinux1")


@dataclass(frozen=True)
class Fetch:
    """What to fetch where: directory, pins by name, what the wheels have to fit.

    index is one more package index, empty for none. python is an interpreter that has pip, empty for a search.
    parallel is the number of pip processes. verify has every file read again, instead of comparing names and sizes.
    inherit are descriptors of locks that every pip holds, too.
    """

    directory: Path
    pins: Mapping[str, Pin]
    target: Target
    index: str = ""
    python: str = ""
    parallel: int = 4
    verify: bool = False
    inherit: tuple[int, ...] = ()


def pip_version(command: Sequence[str]) -> str:
    """Return what a pip says of itself, an empty text if it does not run."""
    try:
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False, timeout=PIP_VERSION_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""


def find_pip(python: str, subject: str) -> list[str]:
    """Return the command of a pip; raise StackError if there is none."""
    tried = []
    for candidate in dict.fromkeys([python, sys.executable, "/usr/bin/python3", shutil.which("python3") or ""]):
        if candidate:
            command = [candidate, "-m", "pip"]
            if pip_version(command):
                return command
            tried.append(candidate)
    raise StackError(subject, f"no pip: {', '.join(tried)} have none", "install the package python3-pip")


def pip_minor(command: Sequence[str]) -> int:
    """Return the minor version of the Python 3 that a pip runs in."""
    match = re.search(r"\(python 3\.(\d+)\)", pip_version(command))
    return int(match[1]) if match else 0


def target_arguments(target: Target, pip_runs_in: int) -> list[str]:
    """Return the arguments with which pip chooses wheels for the target; none where its own choice is the same."""
    if local_target(pip_runs_in) == target:
        return []
    arguments = ["--python-version", f"3.{target.minor}", "--implementation", "cp"]
    for abi in (f"cp3{target.minor}", "abi3", "none"):
        arguments += ["--abi", abi]
    tags = [f"manylinux_{target.glibc[0]}_{minor}" for minor in range(target.glibc[1], 4, -1)]
    for tag in [*tags, *LEGACY_TAGS, "linux"]:
        arguments += ["--platform", f"{tag}_{target.machine}"]
    return arguments


def read_manifest(directory: Path) -> dict[str, Any]:
    """Return the files that the last run left in the directory: {name: {"size": bytes, "sha256": digest}}."""
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    files = manifest.get("files") if isinstance(manifest, dict) else None
    return files if isinstance(files, dict) else {}


def write_manifest(directory: Path, files: Mapping[str, Any]) -> None:
    """Write the manifest whole or not at all."""
    temporary = directory / f".{MANIFEST}.new"
    temporary.write_text(json.dumps({"files": files}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(temporary, directory / MANIFEST)


def inspect(request: Fetch) -> tuple[dict[str, Any], list[str], list[str]]:
    """Return what the directory holds of the pins: entries for the manifest, bad files, names of missing pins.

    A file which the manifest knows with its size is taken as read, unless the request is to verify.
    """
    names = os.listdir(request.directory) if request.directory.is_dir() else []
    found = candidates(names, request.pins, request.target)
    known = {} if request.verify else read_manifest(request.directory)
    sizes = {w.filename: (request.directory / w.filename).stat().st_size for wheels in found.values() for w in wheels}
    unread = [name for name, size in sizes.items() if known.get(name, {}).get("size") != size]
    digests = sha256_all(request.directory / name for name in unread)
    entries: dict[str, Any] = {}
    bad, missing = [], []
    for name, wheels in found.items():
        good = False
        for wheel in wheels:
            filename = wheel.filename
            digest = digests.get(filename) or known[filename]["sha256"]
            if digest in request.pins[name].hashes:
                entries[filename] = {"size": sizes[filename], "sha256": digest}
                good = True
            else:
                bad.append(filename)
        if not good:
            missing.append(name)
    return entries, bad, missing


def explain(output: str, request: Fetch, subject: str) -> StackError:
    """Return the error for what pip printed when it failed."""
    words = " ".join(output.split())
    if is_disk_full(output):
        problem = f"{request.directory} became full while wheels were fetched"
        return StackError(subject, problem, "free space there and run again: what is complete is kept")
    if "DO NOT MATCH THE HASHES" in words:
        names = re.findall(r"(\S+==\S+) from (\S+)", words) or re.findall(r"(\S+)( )from \S+", words)
        which = ", ".join(dict.fromkeys(found[0] for found in names)) or "a wheel"
        problem = f"the index gives {which} with a sha256 which is not the locked one"
        return StackError(subject, problem, "use an index with the locked files, or check who changed them")
    broken = re.search(r"connection broken by (.*)|Could not fetch URL (.*)|(?:Connection|HTTP)Error:? (.*)", words)
    if broken:
        detail = next(filter(None, broken.groups()), "")[:200]
        problem = f"the package index cannot be reached ({detail})"
        return StackError(subject, problem, "check network, proxy and pip's configuration (pip config list)")
    stalled = re.search(rf"{STALLED} .*", output)
    if stalled:
        problem = f"the package index is too slow or has stopped answering: {stalled[0]}"
        return StackError(subject, problem, "check network and proxy, then run again: what is complete is kept")
    absent = re.findall(r"No matching distribution found for (\S+)", words)
    if absent:
        problem = f"no index that pip knows has a wheel of {listed(set(absent))} for Python 3.{request.target.minor}"
        fix = "name one more index (wheels_index; torch for CPUs is on PyTorch's CPU wheel index)"
        return StackError(subject, problem, fix)
    return StackError(subject, f"pip download failed: {words[-TAIL:]}", "see the cause in pip's message")


def adopt(request: Fetch, partial: Path) -> list[str]:
    """Move the wheels of a partial download which are the locked ones into the directory; return their names."""
    moved = []
    found = candidates([path.name for path in partial.iterdir()], request.pins, request.target)
    for name, wheels in found.items():
        for wheel in wheels:
            path = partial / wheel.filename
            if sha256(path) in request.pins[name].hashes:
                os.chmod(path, 0o644)
                os.replace(path, request.directory / wheel.filename)
                moved.append(wheel.filename)
    shutil.rmtree(partial)
    return moved


@dataclass(frozen=True)
class Pip:
    """The command of a pip, its arguments which say for which Python and platform, and the descriptors of the locks that it holds.

    Every pip inherits the locks: if this program is killed, the next run waits until the last pip has ended.
    failed is set when one has failed: no further one is started then.
    """

    command: Sequence[str]
    chosen: Sequence[str]
    locks: Sequence[int]
    failed: threading.Event = field(default_factory=threading.Event)


def requirements(path: Path, lines: Sequence[str], index: str = "") -> Path:
    """Write a file of requirements for pip, one more index included: its address may hold a password, and command lines are public."""
    more = [f"--extra-index-url {index}"] if index else []
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
        stream.write("".join(f"{line}\n" for line in [*more, *lines]))
    return path


def size_of(directory: Path) -> int:
    """Return the bytes that are below a directory which somebody writes."""
    total = 0
    for place, _directories, names in os.walk(directory):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                continue
    return total


def watch(process: subprocess.Popen[bytes], partial: Path) -> bool:
    """Wait until a pip has ended and return True; end one for which nothing has arrived in a while, and return False."""
    size, until = -1, time.monotonic() + STALL_SECONDS
    while True:
        try:
            process.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        else:
            return True
        now = size_of(partial)
        if now != size:
            size, until = now, time.monotonic() + STALL_SECONDS
        elif time.monotonic() >= until:
            process.kill()
            process.wait()
            return False


def download(request: Fetch, pip: Pip, number: int, names: Sequence[str]) -> tuple[int, str]:
    """Have one pip download some pins into a partial directory of its own; return its status and output."""
    if pip.failed.is_set():
        return 0, ""
    partial = request.directory / f"{PARTIAL}{number}"
    partial.mkdir()
    lock = requirements(partial / "requirements.txt", [request.pins[name].line() for name in names], request.index)
    arguments = ["download", "--quiet", "--no-deps", "--require-hashes", "--no-cache-dir", "--progress-bar", "off"]
    arguments += ["--disable-pip-version-check", "--only-binary", ":all:", "--dest", str(partial), *pip.chosen]
    arguments += ["--requirement", str(lock)]
    environment = {**os.environ, "TMPDIR": str(partial), "PYTHONNOUSERSITE": "1", "LC_ALL": "C.UTF-8"}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [*pip.command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=[descriptor for descriptor in pip.locks if descriptor >= 0],
        )
        try:
            alive = watch(process, partial)
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    if not alive:
        text += f"\n{STALLED} {STALL_SECONDS:.0f} s: {listed(names)}"
    status = process.returncode
    if status != 0:
        pip.failed.set()
    return status, text


def fetch(request: Fetch, subject: str) -> list[str]:
    """Fill the directory and return the names of the wheels that were fetched, in order.

    Bad files are replaced. What was complete when an earlier run was killed is kept. Raises StackError.
    """
    directory = request.directory
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with hold(directory / LOCK, LOCK_WAIT_SECONDS, subject) as descriptor:
            fetched = fill(request, subject, descriptor)
    except OSError as error:
        if is_disk_full(error):
            raise explain(str(error), request, subject) from error
        problem = f"{error.strerror or error} ({error.filename or directory})"
        raise StackError(subject, problem, "let this user write there") from error
    return sorted(fetched)


def fill(request: Fetch, subject: str, lock: int) -> list[str]:
    """Fill the directory, whose lock is held by that descriptor, and return the names of the wheels that were fetched."""
    directory = request.directory
    fetched: list[str] = []
    for partial in sorted(directory.glob(f"{PARTIAL}*")):
        fetched += adopt(request, partial)
    _entries, bad, missing = inspect(request)
    for name in bad:
        (directory / name).unlink()
    if missing:
        fetched += fetch_missing(request, missing, subject, lock)
    entries = inspect(request)[0]
    known = read_manifest(directory)
    others = {name: entry for name, entry in known.items() if (directory / name).is_file()}
    if known != {**others, **entries}:
        write_manifest(directory, {**others, **entries})
    return fetched


def fetch_missing(request: Fetch, missing: Sequence[str], subject: str, lock: int) -> list[str]:
    """Fetch the wheels of these pins; return the names of the files. Raises StackError, after keeping what did come."""
    command = find_pip(request.python, subject)
    pip = Pip(command, target_arguments(request.target, pip_minor(command)), [lock, *request.inherit])
    count = max(1, min(request.parallel, len(missing)))
    size = min(WHEELS_PER_PIP, -(-len(missing) // count))
    shares = [list(missing[start : start + size]) for start in range(0, len(missing), size)]

    def obtain(number: int) -> tuple[int, str, list[str]]:
        status, output = download(request, pip, number, shares[number])
        partial = request.directory / f"{PARTIAL}{number}"
        return status, output, adopt(request, partial) if partial.is_dir() else []

    with ThreadPoolExecutor(count) as pool:
        results = list(pool.map(obtain, range(len(shares))))
    failed = [output or f"it ended with status {status} and said nothing" for status, output, _names in results if status != 0]
    if failed:
        raise explain("\n".join(failed), request, subject)
    return [name for _status, _output, names in results for name in names]


@dataclass(frozen=True)
class Inspection:
    """What a directory holds of several requests: manifest entries, missing pins, remains of an interrupted run."""

    entries: dict[str, Any]
    missing: list[str]
    leftover: bool


def inspect_all(requests: Sequence[Fetch]) -> Inspection:
    """Return what the one directory of these requests holds, changing nothing."""
    entries: dict[str, Any] = {}
    missing: set[str] = set()
    leftover = False
    for request in requests:
        found, _bad, absent = inspect(request)
        entries.update(found)
        missing.update(f"{name}=={request.pins[name].version}" for name in absent)
        leftover = leftover or any(request.directory.glob(f"{PARTIAL}*"))
    return Inspection(entries, sorted(missing), leftover)


def fetch_all(requests: Sequence[Fetch], subject: str) -> list[str]:
    """Fetch for all requests, those with the same target together; return the names of the files in order."""
    merged: dict[Target, Fetch] = {}
    rest: list[Fetch] = []
    for request in requests:
        other = merged.setdefault(request.target, request)
        if any(request.pins[name] != pin for name, pin in other.pins.items() if name in request.pins):
            rest.append(request)
        elif other is not request:
            merged[request.target] = replace(other, pins={**other.pins, **request.pins})
    return sorted({name for request in [*merged.values(), *rest] for name in fetch(request, subject)})
