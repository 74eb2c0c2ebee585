# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The build of one tree: uv from its wheel, the locked wheels, files, patches, bytecode, proof that it imports."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import Definition, ImportCheck
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError, is_disk_full
from ansible_collections.railyard.sglang.plugins.module_utils.stack.fetch import Fetch, fetch
from ansible_collections.railyard.sglang.plugins.module_utils.stack.host import MIB, check_space, free_mib
from ansible_collections.railyard.sglang.plugins.module_utils.stack.locks import normalise
from ansible_collections.railyard.sglang.plugins.module_utils.stack.patches import apply_patch
from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import (
    Place,
    discard,
    hold,
    interrupted,
    read_marker,
    remove_tree,
    settle_in,
    write_marker,
    write_synced,
)
from ansible_collections.railyard.sglang.plugins.module_utils.stack.wheels import (
    Target,
    check_wheels,
    extract_program,
    local_target,
)

UV_SECONDS = 1800
COMPILE_SECONDS = 900
IMPORT_SECONDS = 300
LOCK_WAIT_SECONDS = 1800
TAIL = 1500

IMPORT_PROGRAM = """
import importlib, importlib.metadata, sys
importlib.import_module(sys.argv[1])
print("version:" + (importlib.metadata.version(sys.argv[2]) if sys.argv[2] else ""))
"""


@dataclass(frozen=True)
class Source:
    """Where wheels come from: a directory of this host, or (None) the package index that pip of this host knows."""

    wheels: Path | None
    index: str = ""


@dataclass
class Build:
    """One build under way.

    python is the interpreter's path, version its version; extra is what the import checks get into their environment besides the
    definition's; used are trees that links point to; again: build it although it is complete; seconds collects how long the steps took,
    step is the name of the one under way.
    """

    definition: Definition
    place: Place
    python: str
    version: tuple[int, int, int]
    source: Source
    extra: Mapping[str, str] = field(default_factory=dict)
    used: frozenset[Path] = frozenset()
    again: bool = False
    lock_descriptor: int = -1
    seconds: dict[str, float] = field(default_factory=dict)
    step: str = ""

    @property
    def subject(self) -> str:
        """The stack, as errors name it."""
        return f"stack {self.definition.name}"

    @property
    def site_packages(self) -> Path:
        """Where the packages of the new tree are."""
        return self.place.new / "lib" / f"python3.{self.version[1]}" / "site-packages"

    @property
    def tree_python(self) -> str:
        """The interpreter of the new tree."""
        return str(self.place.new / "bin" / "python")

    @property
    def target(self) -> Target:
        """What the wheels have to fit."""
        return local_target(self.version[1])

    def environment(self) -> dict[str, str]:
        """Return the environment of the programs that the build starts: nothing of the caller's settings."""
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.place.work),
            "TMPDIR": str(self.place.work),
            "LANG": "C.UTF-8",
            "PYTHONNOUSERSITE": "1",
            "UV_NO_CONFIG": "1",
            "UV_OFFLINE": "1",
            "UV_NO_PROGRESS": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_CACHE_DIR": str(self.place.work / "cache"),
        }

    def start(self, command: Sequence[str], extra: Mapping[str, str], output: Any) -> subprocess.Popen[bytes]:
        """Start a program which inherits the build lock; what it prints goes to a file."""
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=self.place.work,
            env={**self.environment(), **extra},
            pass_fds=[self.lock_descriptor] if self.lock_descriptor >= 0 else [],
        )

    def run(self, command: Sequence[str], timeout: float) -> tuple[int, str]:
        """Run a program and return its exit status with what it printed; the status of one that hangs is -1."""
        with tempfile.TemporaryFile(dir=self.place.work) as output:
            process = self.start(command, {}, output)
            try:
                status = process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                status = -1
            output.seek(0)
            return status, output.read().decode("utf-8", "replace")


def timed(build: Build, name: str, step: Callable[[], Any]) -> Any:
    """Do a step of a build, note what it took, and return its result."""
    build.step = name
    begin = time.monotonic()
    try:
        return step()
    finally:
        build.seconds[name] = round(time.monotonic() - begin, 2)


def disk_full(build: Build) -> StackError:
    """Return the error of a build whose file system became full."""
    store = build.place.store
    needed = build.definition.disk_mib
    free = free_mib(store)
    problem = f"{store} became full in the step {build.step}; what was built is removed, {free} MiB are free now"
    return StackError(build.subject, problem, f"have {needed} MiB free there, or put stack_store on a larger disk")


def check_disk(build: Build, output: str) -> None:
    """Raise OSError if a program failed because the disk is full; then what it printed may be lost, too: it goes there."""
    if is_disk_full(output) or free_mib(build.place.store) == 0:
        raise OSError(28, "No space left on device", str(build.place.store))


def uv(build: Build, program: Path, arguments: Sequence[str], what: str) -> None:
    """Run uv; raise StackError with what it said if it fails."""
    status, output = build.run([str(program), *arguments], UV_SECONDS)
    if status == 0:
        return
    check_disk(build, output)
    problem = f"uv could not {what} (status {status}): {' '.join(output.split())[-TAIL:]}"
    raise StackError(build.subject, problem, "see the cause in uv's message")


def install(build: Build, program: Path, wheels: Path) -> None:
    """Make the virtual environment and install the locked wheels into it, nothing else."""
    tree = str(build.place.new)
    uv(build, program, ["venv", "--quiet", "--relocatable", "--python", build.python, tree], "make the environment")
    lock = build.place.work / "requirements.txt"
    lock.write_text("".join(pin.line() + "\n" for pin in build.definition.pins.values()), encoding="utf-8")
    arguments = ["pip", "install", "--quiet", "--python", build.tree_python, "--no-index", "--find-links", str(wheels)]
    arguments += ["--no-deps", "--require-hashes", "--no-build", "--link-mode", "hardlink", "--requirement", str(lock)]
    uv(build, program, arguments, "install the packages")


def installed(build: Build) -> dict[str, str]:
    """Return the versions of the distributions in the tree; raise StackError unless they are the locked ones."""
    found = {}
    for entry in build.site_packages.glob("*.dist-info"):
        name, version = entry.name[: -len(".dist-info")].split("-", 1)
        found[normalise(name)] = version
    wanted = build.definition.packages()
    wrong = [
        f"{name} {found.get(name, 'missing')} instead of {wanted.get(name, 'nothing')}"
        for name in sorted(set(found) | set(wanted))
        if found.get(name) != wanted.get(name)
    ]
    if wrong:
        raise StackError(build.subject, f"the tree does not hold what is locked: {'; '.join(wrong[:5])}", "report this")
    return found


def add_files(build: Build) -> None:
    """Write the definition's own files and make its patches."""
    for path, text in build.definition.files.items():
        target = build.site_packages / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    for patch in build.definition.patches:
        apply_patch(build.site_packages, patch, build.subject)


def compile_bytecode(build: Build) -> None:
    """Compile the modules, because whoever runs the stack may not write there.

    Tests of packages are left out. Status 1 says that some files do not compile: they are other Python versions'.
    """
    command = [
        build.tree_python,
        "-I",
        "-m",
        "compileall",
        "-qq",
        "-j",
        "0",
        "-x",
        "/tests?/",
        # Tracebacks name the place that the tree is about to get.
        "-s",
        str(build.place.new),
        "-p",
        str(build.place.tree),
        str(build.site_packages),
    ]
    status, output = build.run(command, COMPILE_SECONDS)
    if is_disk_full(output):
        raise OSError(28, "No space left on device", str(build.place.store))
    if status not in (0, 1):
        check_disk(build, output)
        problem = f"the bytecode could not be compiled (status {status}): {output[-TAIL:]}"
        raise StackError(build.subject, problem, "see the message of compileall")


def judge_import(build: Build, check: ImportCheck, status: int, output: str) -> str:
    """Return the version that an import check found; raise StackError if it failed or is not the locked one."""
    lines = output.strip().splitlines()
    if status != 0:
        check_disk(build, output)
        library = re.search(r"(lib\S+\.so[.\d]*): cannot open shared object file", output)
        fix = "install the package of that library" if library else "see the message of Python"
        problem = f"{check.module} does not import (status {status}): {' '.join(' '.join(lines[-4:]).split())[-TAIL:]}"
        raise StackError(build.subject, problem, fix)
    version = next((line[len("version:") :] for line in reversed(lines) if line.startswith("version:")), "")
    wanted = build.definition.packages()[check.distribution] if check.distribution else ""
    if version != wanted:
        problem = f"{check.module} imports as {check.distribution} {version or 'unknown'}, the lock says {wanted}"
        raise StackError(build.subject, problem, "look for another copy of it on the Python path of the host")
    return version


def check_imports(build: Build) -> dict[str, str]:
    """Import every module that the definition names, each in a process of its own; return versions by module."""
    waiting = list(build.definition.imports)
    running: list[tuple[ImportCheck, subprocess.Popen[bytes], Path, float]] = []
    versions: dict[str, str] = {}
    extra = {**build.definition.environment, **build.extra, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        while waiting or running:
            while waiting and len(running) < max(1, os.cpu_count() or 1):
                check = waiting.pop(0)
                command = [build.tree_python, "-s", "-W", "ignore", "-c", IMPORT_PROGRAM, check.module]
                output = build.place.work / f"import-{check.module}"
                with output.open("wb") as stream:
                    process = build.start([*command, check.distribution or ""], extra, stream)
                running.append((check, process, output, time.monotonic() + IMPORT_SECONDS))
            time.sleep(0.02)
            for entry in list(running):
                check, process, output, until = entry
                if process.poll() is not None:
                    running.remove(entry)
                    text = output.read_text(encoding="utf-8", errors="replace")
                    versions[check.module] = judge_import(build, check, process.returncode, text)
                elif time.monotonic() >= until:
                    problem = f"{check.module} is still importing after {IMPORT_SECONDS} s"
                    raise StackError(build.subject, problem, "look at the load of the host, then run again")
    finally:
        for _check, process, _output, _until in running:
            process.kill()
            process.wait()
    return versions


def settle(tree: Path) -> tuple[int, int]:
    """Let every user read the tree; return the number of its files and their size in bytes."""
    files = size = 0
    for directory, _directories, names in os.walk(tree):
        os.chmod(directory, 0o755)
        for name in names:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                continue
            mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
            if stat.S_IMODE(status.st_mode) != mode:
                os.chmod(path, mode)
            files += 1
            size += status.st_size
    return files, size


def prepare_wheels(build: Build) -> Path:
    """Return the directory with the wheels; for an index it is filled first, by pip of this host."""
    if build.source.wheels is not None:
        return build.source.wheels
    wheels = build.place.work / "wheels"
    wheels.mkdir()
    check_space(wheels, build.definition.disk_mib + build.definition.download_mib, build.subject)
    pins = {**build.definition.installer, **build.definition.pins}
    request = Fetch(wheels, pins, build.target, index=build.source.index, python=build.python, inherit=(build.lock_descriptor,))
    fetch(request, build.subject)
    return wheels


def make_tree(build: Build) -> dict[str, Any]:
    """Do all steps of a build but the marker; return what the marker says."""
    definition = build.definition
    wheels = timed(build, "fetch", lambda: prepare_wheels(build))
    pins = {**definition.installer, **definition.pins}
    good = timed(build, "hash", lambda: check_wheels(wheels, pins, build.target, build.subject))
    program = timed(build, "installer", lambda: extract_program(good["uv"], "uv", build.place.work / "uv"))
    timed(build, "install", lambda: install(build, program, wheels))
    packages = installed(build)
    timed(build, "patch", lambda: add_files(build))
    timed(build, "bytecode", lambda: compile_bytecode(build))
    imports = timed(build, "import", lambda: check_imports(build))
    files, size = timed(build, "settle", lambda: settle(build.place.new))
    return {
        "stack": definition.name,
        "kind": definition.kind,
        "id": build.place.content,
        "python": {"path": build.python, "version": ".".join(map(str, build.version))},
        "packages": packages,
        "imports": imports,
        "files": files,
        "mib": size // MIB,
    }


def is_left_complete(build: Build) -> bool:
    """Say whether an earlier build was ended between completing its tree and giving it its name."""
    return not build.again and (read_marker(build.place.new) or {}).get("id") == build.place.content


def in_place(build: Build, make: Callable[[], dict[str, Any]], mib: int) -> bool:
    """Make a tree beside its place, complete it, put it there, and return whether that was needed.

    What an earlier build left unfinished is removed first, and what this one leaves if it fails is removed too; a tree that links point to
    is there all the time. Raises StackError, OSError.

    :param make: what makes the tree and returns what its marker says.
    :param mib: the room that it takes.
    """
    place = build.place
    place.store.mkdir(parents=True, exist_ok=True, mode=0o755)
    with hold(place.lock, LOCK_WAIT_SECONDS, build.subject) as descriptor:
        if read_marker(place.tree) is not None and not build.again:
            return False
        if is_left_complete(build):
            settle_in(place)
            discard(place, build.used)
            return True
        for left in [place, *interrupted(place)]:
            discard(left, build.used)
        check_space(place.store, mib, build.subject)
        build.lock_descriptor = descriptor
        try:
            place.work.mkdir(mode=0o700)
            write_synced(place.journal, f"process {os.getpid()} of {' '.join(os.uname()[1:3])}\n")
            marker = make()
            # A kill after the last step would leave it for good: nobody builds here again. The journal goes last.
            remove_tree(place.work)
            timed(build, "sync", lambda: write_marker(place.new, {**marker, "seconds": build.seconds}))
            settle_in(place)
        except BaseException:
            discard(place, build.used)
            raise
        discard(place, build.used)
    return True


def build_tree(build: Build) -> bool:
    """Build the tree unless it is complete, and return whether that was needed. Raises StackError."""
    place = build.place
    old_mask = os.umask(0o022)
    try:
        return in_place(build, lambda: make_tree(build), build.definition.disk_mib)
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(build) from error
        problem = f"{error.strerror or error} ({error.filename or place.store})"
        raise StackError(build.subject, problem, f"let root write to {place.store}, then run again") from error
    finally:
        os.umask(old_mask)
