# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Building DeepEP and libgdrapi on one host, carrying the result to another, and the proof that it imports on each of them.

Where everything is:
  <root>/deepep/<stack>                      link to the tree in use; of running services it is left to whoever restarts them
  <root>/deepep/store/<stack>-<key>/         a tree: deep_ep and its extension, lib/libgdrapi.so.*; complete with its marker, written last
  <root>/deepep/store/<stack>-<key>.tar.gz   the same for other hosts of this kind
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.deepep import toolkit
from ansible_collections.railyard.sglang.plugins.module_utils.deepep.kind import Environment, Kind
from ansible_collections.railyard.sglang.plugins.module_utils.deepep.recipe import Archive, Deepep
from ansible_collections.railyard.sglang.plugins.module_utils.deepep.running import HANGS, NOWHERE, run, tail
from ansible_collections.railyard.sglang.plugins.module_utils.deepep.unpack import digests, pack, unpack
from ansible_collections.railyard.sglang.plugins.module_utils.mirror import transfer
from ansible_collections.railyard.sglang.plugins.module_utils.stack import inuse
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError, is_disk_full
from ansible_collections.railyard.sglang.plugins.module_utils.stack.host import check_space
from ansible_collections.railyard.sglang.plugins.module_utils.stack.patches import apply_patch
from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import (
    MARKER,
    Place,
    complete_trees,
    discard,
    hold,
    interrupted,
    link_target,
    linked,
    read_marker,
    remove_tree,
    settle_in,
    surplus,
    switch_link,
    write_marker,
    write_synced,
)

LOCK_SECONDS = 7200
# Who takes everything away does not wait for a build.
REMOVE_SECONDS = 30
PROBE_SECONDS = 600
BUILD_SECONDS = 5400
MAKE_SECONDS = 300
IMPORT_SECONDS = 300
# Objects of one architecture and the extension.
NEEDED_MIB = 500
MIB_PER_JOB = 4096
MEMORY = Path("/proc/meminfo")
AVAILABLE = re.compile(r"^MemAvailable:\s+([0-9]{1,15}) kB$", re.MULTILINE)
EXTENSION = "deep_ep_cpp"
FIX = "see the message: nvcc, the host's compiler, make and the headers have to be there and to fit together"
# What this module leaves in the store: trees, their archives, what an interrupted build had, and locks.
OWN = re.compile(
    r"^\.?[a-z0-9][a-z0-9.+_-]*-[0-9a-f]{12}(\.tar\.gz(\.sha256)?(\.new)?|\.building(\.new)?|\.work)?$|^\.[a-z0-9.+_-]+\.lock$"
)
# What NVSHMEM is to have for DeepEP between hosts, by places below its directory; any name of a row will do.
NVSHMEM = (("include/nvshmem.h",), ("lib/libnvshmem_device.a",), ("lib/libnvshmem_host.so", "lib/libnvshmem_host.so.3"),
           ("lib/nvshmem_transport_ibgda.so.3", "lib/nvshmem_transport_ibgda.so.4", "lib/nvshmem_transport_ibgda.so"))
# Each in a process of its own: that it loads, its version, and which NVSHMEM the process has then.
PROOF = """
import importlib, importlib.metadata, json, sys
importlib.import_module(sys.argv[1])
maps = open("/proc/self/maps").read().split()
loaded = sorted({row for row in maps if row.startswith("/") and "libnvshmem_host" in row})
found = sys.modules[sys.argv[1]].__file__
print("proof:" + json.dumps({"version": importlib.metadata.version(sys.argv[2]), "nvshmem": loaded, "file": found}))
"""
OWN_PROOF = "import deep_ep; print('proof:' + deep_ep.__file__)"
LIBRARY_PROOF = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"


@dataclass
class Job:
    """One build, or one installation of what another host has built.

    :ivar python: interpreter of the stack, by its tree: the place of NVSHMEM that is compiled in has to be that of the kind.
    :ivar cuda_home: the toolkit.
    :ivar include: directories of headers besides those of the stack.
    :ivar sources: directory of the archives.
    :ivar fetches: whether an archive that is not there is fetched from its origin.
    :ivar nvshmem_home: an NVSHMEM of the operator's, empty for the stack's.
    :ivar kernels: whether DeepEP itself is built, and not only libgdrapi.
    :ivar seconds: how long steps took, by name.
    """

    root: Path
    stack: str
    kind: Kind
    recipe: Deepep
    environment: Environment
    python: str
    cuda_home: str
    include: Sequence[str] = ()
    sources: Path = Path("/srv/mirror/sources")
    fetches: bool = False
    nvshmem_home: str = ""
    kernels: bool = True
    jobs: int = 0
    lock: int = -1
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def place(self) -> Place:
        """Where the tree of this kind is."""
        return Place(self.root / "deepep" / "store", self.stack, self.kind.key)

    @property
    def link(self) -> Path:
        """Where the engine looks."""
        return self.root / "deepep" / self.stack

    @property
    def archive(self) -> Path:
        """The tree for other hosts."""
        return self.place.store / f"{self.place.tree.name}.tar.gz"

    @property
    def subject(self) -> str:
        """What errors name."""
        return f"DeepEP {self.recipe.version} for {self.stack}"

    @property
    def workers(self) -> int:
        """How many compilers run at a time: internode.cu alone takes some GiB."""
        return self.jobs or max(1, min(os.cpu_count() or 1, available_mib() // MIB_PER_JOB))

    def variables(self) -> dict[str, str]:
        """Return the environment of the compilers: whatever surrounds the build, the same files come out of it."""
        place = self.place.work
        return {
            "PATH": f"{Path(self.python).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(place), "TMPDIR": str(place), "PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0",
            "SOURCE_DATE_EPOCH": "315532800",
            "CUDA_HOME": self.cuda_home,
            "TORCH_CUDA_ARCH_LIST": ";".join(self.kind.architectures),
            "MAX_JOBS": str(self.workers),
            # setup.py asks git for a version; a repository around the build is not its own.
            "GIT_DIR": "/nonexistent",
            **({"NVSHMEM_DIR": self.nvshmem_home} if self.nvshmem_home else {}),
            **toolkit.include_path(self.cuda_home, [*self.environment.include, *self.include]),
        }


def available_mib(memory: Path = MEMORY) -> int:
    """Return how much memory programs can have, in MiB: what is free, and what the kernel gives back of its caches."""
    try:
        match = AVAILABLE.search(memory.read_text(encoding="ascii", errors="replace"))
    except OSError:
        match = None
    if match:
        return int(match[1]) >> 10
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20


def check_nvshmem(home: str, subject: str) -> None:
    """Raise StackError unless a directory holds an NVSHMEM with IBGDA that can be linked."""
    missing = [names[0] for names in NVSHMEM if not any(Path(home, name).exists() for name in names)] if home else []
    if not home:
        raise StackError(subject, "the stack has no NVSHMEM (nvidia-nvshmem)", "name the directory of one in deepep_nvshmem_home")
    if missing:
        fix = "name an NVSHMEM that was built with NVSHMEM_IBGDA_SUPPORT=1 in deepep_nvshmem_home, or leave it to the stack's"
        raise StackError(subject, f"{home} lacks {', '.join(missing)}", fix)


def obtain(job: Job, archive: Archive) -> Path:
    """Return the path of an archive, whose sha256 is the recipe's; fetch it where that is wanted. Raises StackError."""
    path = job.sources / archive.name
    if path.is_file() and transfer.digest(path) == archive.sha256:
        return path
    if not job.fetches:
        what = "is not what the recipe names" if path.is_file() else "is not there"
        fix = f"put {archive.name} there ({archive.origin}, sha256 {archive.sha256}), or name a mirror that carries it"
        raise StackError(job.subject, f"{path} {what}", fix)
    transfer.bring(archive.origin, path, archive.sha256, job.subject)
    return path


def commands(job: Job, output: Path) -> dict[str, list[str]]:
    """Return what is run to compile DeepEP, by step: one source alone, then all of it by its own setup.py.

    Both run in the directory of the unpacked source.

    :param output: where the packages go.
    """
    probe = toolkit.compile_command(
        job.cuda_home, job.recipe.probe, str(job.place.work / "probe.o"), job.kind.architectures,
        ["-O1", "-Icsrc", "-DDISABLE_NVSHMEM", "-DDISABLE_AGGRESSIVE_PTX_INSTRS", "-rdc=true"],
    )
    build = [
        job.python, "-s", "setup.py", "--quiet", "build", "--build-lib", str(output), "--build-temp", str(job.place.work / "objects"),
    ]
    return {"probe": probe, "build": build}


def _step(job: Job, name: str, command: Sequence[str], seconds: float, directory: Path) -> None:
    status, output = run(command, job.variables(), seconds, directory, job.lock)
    if status == 0:
        return
    if is_disk_full(output):
        raise OSError(28, "No space left on device", str(job.place.store))
    why = f"did not end in {seconds:.0f} s" if status == HANGS else f"failed (status {status}): {tail(output)}"
    raise StackError(job.subject, f"the step {name} {why}", FIX)


def make_deepep(job: Job, staging: Path) -> None:
    """Compile DeepEP into a directory. Raises StackError."""
    check_nvshmem(job.nvshmem_home or job.environment.nvshmem_home, job.subject)
    lacks = [name for name in ("torch", "setuptools", "ninja") if not getattr(job.environment, name)]
    if lacks:
        raise StackError(job.subject, f"the stack has no {', '.join(lacks)}, which its setup.py needs", "install them in the environment")
    source = job.place.work / "deepep"
    unpack(obtain(job, job.recipe.source), source, job.subject)
    for patch in job.recipe.patches:
        apply_patch(source, patch, job.subject)
    steps = commands(job, staging)
    _step(job, "probe", steps["probe"], PROBE_SECONDS, source)
    _step(job, "build", steps["build"], BUILD_SECONDS, source)
    if not list(staging.glob(f"{EXTENSION}*.so")):
        raise StackError(job.subject, f"the build has left no {EXTENSION}", "see what setup.py of this version builds")
    information = staging / f"{job.recipe.distribution.replace('-', '_')}-{job.recipe.version}.dist-info"
    information.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {job.recipe.distribution}", f"Version: {job.recipe.version}", ""]
    (information / "METADATA").write_text("\n".join(lines), encoding="utf-8")
    (information / "INSTALLER").write_text("railyard.sglang\n", encoding="utf-8")


def make_gdrcopy(job: Job, staging: Path) -> None:
    """Compile libgdrapi into lib of a directory. Raises StackError."""
    source = job.place.work / "gdrcopy"
    unpack(obtain(job, job.recipe.gdrcopy), source, job.subject)
    _step(job, "gdrcopy", ["make", f"prefix={staging}", "lib_install"], MAKE_SECONDS, source)
    shutil.rmtree(staging / "include", ignore_errors=True)
    if not (staging / "lib" / "libgdrapi.so.2").exists():
        raise StackError(job.subject, "make has left no libgdrapi.so.2", "see what this version of gdrcopy installs")


def prove(job: Job, tree: Path) -> dict[str, Any]:
    """Import what is in a tree, each in a process of its own, and compare versions; return what was found. Raises StackError."""
    found: dict[str, Any] = {}
    variables = {"PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1", "CUDA_HOME": job.cuda_home, "HOME": str(job.place.work)}
    fix = "see the message; what this host lacks, or run with deepep_rebuild: true to compile on it"
    if job.kernels:
        command = [job.python, "-s", "-W", "ignore", "-c", PROOF, "deep_ep", job.recipe.distribution]
        status, output = run(command, {**variables, "PYTHONPATH": str(tree)}, IMPORT_SECONDS, NOWHERE)
        rows = [line[len("proof:") :] for line in output.splitlines() if line.startswith("proof:")]
        if status != 0 or not rows:
            raise StackError(job.subject, f"deep_ep does not import (status {status}): {tail(output)}", fix)
        found["deep_ep"] = json.loads(rows[-1])
        if found["deep_ep"]["version"] != job.recipe.version:
            problem = f"deep_ep imports as {found['deep_ep']['version']}, the recipe says {job.recipe.version}"
            raise StackError(job.subject, problem, "look for another copy of it on the Python path of the host")
        if not found["deep_ep"]["file"].startswith(str(tree)):
            raise StackError(job.subject, f"deep_ep comes from {found['deep_ep']['file']}", "remove that copy of it")
        own = os.path.realpath(job.nvshmem_home or job.environment.nvshmem_home)
        other = [path for path in found["deep_ep"]["nvshmem"] if not os.path.realpath(path).startswith(own + "/")]
        if other:
            problem = f"it loads {', '.join(other)} and not the NVSHMEM that it was linked with, in {own}"
            raise StackError(job.subject, problem, "take the other one out of the loader's way (ld.so.conf.d, LD_LIBRARY_PATH)")
    if job.kind.gdrcopy:
        library = tree / "lib" / "libgdrapi.so.2"
        status, output = run([job.python, "-s", "-c", LIBRARY_PROOF, str(library)], variables, IMPORT_SECONDS, NOWHERE)
        if status != 0:
            raise StackError(job.subject, f"{library} does not load (status {status}): {tail(output)}", fix)
        found["gdrcopy"] = {"version": job.recipe.gdrcopy_version}
    return found


def import_own(python: str, subject: str) -> str:
    """Import the DeepEP that an environment has by itself, in a process of its own, and return where it is. Raises StackError."""
    variables = {"PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    status, output = run([python, "-s", "-W", "ignore", "-c", OWN_PROOF], variables, IMPORT_SECONDS, NOWHERE)
    rows = [line[len("proof:") :] for line in output.splitlines() if line.startswith("proof:")]
    if status != 0 or not rows:
        fix = "repair it in the environment, or leave sglang_deepep_own out"
        raise StackError(subject, f"the environment's own deep_ep does not import (status {status}): {tail(output)}", fix)
    return rows[-1]


def is_whole(tree: Path) -> bool:
    """Say whether a complete tree still holds what its marker names."""
    marker = read_marker(tree)
    own = {path: digest for path, digest in digests(tree).items() if path != MARKER} if marker else {}
    return bool(marker) and own == (marker or {}).get("files")


def _settle(staging: Path) -> None:
    """Let every user read what was built."""
    for directory, _directories, names in os.walk(staging):
        os.chmod(directory, 0o755)
        for name in names:
            path = os.path.join(directory, name)
            if not os.path.islink(path):
                os.chmod(path, 0o755 if os.stat(path).st_mode & 0o100 else 0o644)


def _finish(job: Job, staging: Path, origin: str) -> None:
    """Prove a staged tree, complete it, and make it the tree of this kind by one exchange of names: links lead to a whole one always."""
    _settle(staging)
    proof = prove(job, staging)
    row = {"stack": job.stack, "id": job.kind.key, "kind": asdict(job.kind), "files": digests(staging), "proof": proof, "origin": origin}
    write_marker(staging, row)
    settle_in(job.place)


def _carried(job: Job, archive: Path, sha256: str, staging: Path) -> None:
    """Unpack what another host has built. Raises StackError."""
    digest = transfer.digest(archive)
    if digest != sha256:
        raise StackError(job.subject, f"{archive} has the sha256 {digest} and not {sha256}", "run again: it is copied anew")
    unpack(archive, staging, job.subject)


def make(job: Job, carried: Path | None = None, sha256: str = "", origin: str = "this host", *, anew: bool = False) -> bool:
    """Have the tree of this kind, built here or unpacked from another host's; return whether that was needed. Raises StackError.

    What an interrupted run has left goes first; nothing gets the name of the tree before it has imported.

    :param carried: the archive of another host.
    :param anew: make it even where it is there; the former one stays until its successor has imported.
    """
    place = job.place
    old_mask = os.umask(0o022)
    try:
        place.store.mkdir(parents=True, exist_ok=True, mode=0o755)
        with hold(place.lock, LOCK_SECONDS, job.subject) as descriptor:
            if read_marker(place.tree) is not None and not anew:
                return False
            # A link may lead to a tree whose marker is lost: it stays until its successor has its name.
            used = linked(job.link.parent)
            for left in [place, *interrupted(place)]:
                discard(left, used)
            check_space(place.store, NEEDED_MIB, job.subject)
            job.lock = descriptor
            staging = place.new
            try:
                place.work.mkdir(mode=0o755)
                staging.mkdir(mode=0o755)
                write_synced(place.journal, f"process {os.getpid()}\n")
                if carried is not None:
                    _carried(job, carried, sha256, staging)
                else:
                    if job.kernels:
                        make_deepep(job, staging)
                    if job.kind.gdrcopy:
                        make_gdrcopy(job, staging)
                _finish(job, staging, origin)
            finally:
                discard(place, used)
    except OSError as error:
        if is_disk_full(error):
            raise StackError(job.subject, f"{place.store} became full; what was built is removed", "have 2 GiB free there") from error
        problem = f"{error.strerror or error} ({error.filename or place.store})"
        raise StackError(job.subject, problem, f"let root write to {place.store}, then run again") from error
    finally:
        os.umask(old_mask)
    return True


def offer(job: Job) -> dict[str, str]:
    """Return path and sha256 of the archive of the tree, which is made if it is missing or is not of this tree."""
    row = job.archive.with_name(f"{job.archive.name}.sha256")
    known = row.read_text(encoding="utf-8").strip() if row.is_file() else ""
    if not (known and job.archive.is_file() and transfer.digest(job.archive) == known):
        temporary = job.archive.with_name(f".{job.archive.name}.new")
        known = pack(job.place.tree, temporary, frozenset({MARKER}))
        os.replace(temporary, job.archive)
        write_synced(row, known + "\n")
    return {"path": str(job.archive), "sha256": known}


def use(job: Job, keep: int, *, held: bool = False) -> list[str]:
    """Point the engine's link to the tree of this kind, and remove trees beyond those that are kept; return the names of these.

    A tree that a link leads to, or that a process uses, stays. Raises StackError.

    :param held: whether the link stays as it is, for services that run from what it leads to.
    """
    if not held and link_target(job.link) != job.place.tree:
        switch_link(job.link, job.place.tree)
        os.utime(job.place.tree / MARKER)
    trees = complete_trees(job.place.store, job.stack)
    found = surplus(trees, {job.place.tree} | linked(job.link.parent), keep) if keep else []
    used = inuse.trees(found) if found else set()
    gone = [tree for tree in found if tree not in used]
    if gone:
        with hold(job.place.lock, LOCK_SECONDS, job.subject):
            for tree in gone:
                remove_tree(tree)
                for path in job.place.store.glob(f"{tree.name}.tar.gz*"):
                    path.unlink()
    return [tree.name for tree in gone]


def state_of(job: Job) -> Mapping[str, bool]:
    """Return whether the tree of this kind is complete, and whether the engine's link leads to it."""
    return {"complete": read_marker(job.place.tree) is not None, "current": link_target(job.link) == job.place.tree}


def own_links(root: Path) -> list[Path]:
    """Return the links to trees of ours."""
    own = root / "deepep"
    there = sorted(own.iterdir()) if own.is_dir() else []
    return [link for link in there if link.is_symlink() and Path(os.readlink(link)).parent == own / "store"]


def own_entries(root: Path) -> list[Path]:
    """Return what this module has left in the store."""
    store = root / "deepep" / "store"
    return [entry for entry in sorted(store.iterdir()) if OWN.match(entry.name)] if store.is_dir() else []


def may_remove(root: Path, services: Callable[[Path], list[str]]) -> None:
    """Raise StackError where something runs with what was built.

    :param services: tells which services run with what a link leads to.
    """
    for link in own_links(root):
        runs = services(link)
        if runs:
            fix = "stop that first, or leave moe-a2a-backend out and run the stage engine, which restarts it by consent"
            raise StackError("DeepEP", f"{', '.join(runs)} runs with {link}", fix)
    used = sorted(map(str, inuse.trees([entry for entry in own_entries(root) if entry.is_dir()])))
    if used:
        raise StackError("DeepEP", f"processes use {', '.join(used)}", "end them first (fuser -v, lsof +D)")


def remove(root: Path) -> list[str]:
    """Remove everything that was built for all stacks; return what was removed. Somebody else's files there stay.

    Raises StackError, before anything goes, where something is being built.
    """
    own, gone = root / "deepep", []
    with contextlib.ExitStack() as locks:
        for entry in own_entries(root):
            if entry.suffix == ".lock":
                locks.enter_context(hold(entry, REMOVE_SECONDS, "DeepEP"))
        for link in own_links(root):
            link.unlink()
            gone.append(str(link))
        # What was interrupted has ended since; the locks go last.
        for entry in sorted(own_entries(root), key=lambda path: path.suffix == ".lock"):
            if entry.is_dir():
                remove_tree(entry)
            else:
                entry.unlink()
            gone.append(str(entry))
    for directory in (own / "store", own):
        if directory.is_dir() and not any(directory.iterdir()):
            directory.rmdir()
    return gone
