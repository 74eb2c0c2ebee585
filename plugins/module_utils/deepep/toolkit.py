# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A CUDA toolkit: what nvcc and the headers of a directory are, whether they fit, and making one of archives."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.railyard.sglang.plugins.module_utils.deepep.recipe import Archive
from ansible_collections.railyard.sglang.plugins.module_utils.deepep.running import HANGS, NOT_FOUND, SYSTEM_PATH, run, tail
from ansible_collections.railyard.sglang.plugins.module_utils.deepep.unpack import unpack
from ansible_collections.railyard.sglang.plugins.module_utils.mirror import transfer
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.hosts import HostFacts
from ansible_collections.railyard.sglang.plugins.module_utils.stack.needs import Least, number
from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import (
    Place,
    discard,
    hold,
    link_target,
    read_marker,
    remove_tree,
    switch_link,
    write_marker,
)

USUAL = "/usr/local/cuda"
SECONDS = 60
TRIAL_SECONDS = 300
LOCK_SECONDS = 1800
ID_DIGITS = 12
VERSION = re.compile(r"release \d+\.\d+, V(\d+(?:\.\d+)+)")
OWN_LINK = re.compile(r"^cuda-\d+\.\d+$")
OWN_ENTRY = re.compile(r"^cuda-\d+\.\d+-[0-9a-f]{12}$|^\.cuda-\d+\.\d+(-[0-9a-f]{12}\.(building|work|new|before))?(\.lock)?$")
DEFINED = re.compile(r"^\s*#\s*define\s+CUDA_VERSION\s+(\d+)", re.MULTILINE)
# By their places below include: what compilers at run time and DeepEP include first. CUDA 13 has moved those of CCCL.
HEADERS = (
    ("cuda.h",), ("cuda_runtime.h",), ("cuda_bf16.h",), ("cuda_fp8.h",), ("crt/host_config.h",), ("nv/target", "cccl/nv/target"),
    ("curand_kernel.h",),
)
# What FlashInfer's sampling includes, and DeepEP does not.
ENGINE_ONLY = frozenset({"curand_kernel.h"})
# What nvcc starts for the host's part of a source.
HOST_COMPILER = "g++"
TRIAL = """#include <cuda_bf16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>
__global__ void trial(__nv_bfloat16 *out, float in) { out[threadIdx.x] = __float2bfloat16(in); }
"""


@dataclass(frozen=True)
class Toolkit:
    """What a directory holds.

    :ivar nvcc: version of the compiler, like 13.0.88; empty where it does not say one.
    :ivar headers: version of the headers, like 13.0; empty where they do not say one.
    :ivar missing: headers that are not there.
    :ivar problem: why the compiler cannot be used; empty where it can.
    """

    home: str
    nvcc: str = ""
    headers: str = ""
    missing: tuple[str, ...] = ()
    problem: str = ""

    def plain(self) -> dict[str, str]:
        """Return it as plain data."""
        return {"home": self.home, "nvcc": self.nvcc, "headers": self.headers}


def usual(facts: HostFacts) -> str:
    """Return the toolkit that programs find which are told none: that of the first nvcc on their path, otherwise the usual place."""
    return facts.compilers[0].path if facts.compilers else USUAL


def has_host_compiler() -> bool:
    """Return whether nvcc finds a compiler for the host's part of a source."""
    return shutil.which(HOST_COMPILER, path=SYSTEM_PATH) is not None


def parse_version(text: str) -> str:
    """Return the version in what nvcc --version prints, empty where there is none."""
    match = VERSION.search(text)
    return match[1] if match else ""


def header_version(text: str) -> str:
    """Return the version that cuda.h defines: 12090 is 12.9. Empty where it defines none."""
    match = DEFINED.search(text)
    value = int(match[1]) if match else 0
    return f"{value // 1000}.{value % 1000 // 10}" if value else ""


def inspect(home: str, runner: Callable[..., tuple[int, str]] = run) -> Toolkit:
    """Return what a directory holds; nothing is changed."""
    nvcc, include = Path(home, "bin", "nvcc"), Path(home, "include")
    if not nvcc.exists():
        return Toolkit(home, problem=f"there is no {nvcc}")
    status, output = runner([str(nvcc), "--version"], {"CUDA_HOME": home}, SECONDS)
    version = parse_version(output)
    problem = ""
    if status != 0 or not version:
        why = "does not end" if status == HANGS else "cannot be started" if status == NOT_FOUND else f"says: {tail(output)[:200]}"
        problem = f"{nvcc} --version {why}"
    text = include / "cuda.h"
    headers = header_version(text.read_text(encoding="utf-8", errors="replace")) if text.is_file() else ""
    missing = tuple(names[0] for names in HEADERS if not any((include / name).exists() for name in names))
    return Toolkit(home, version, headers, missing, problem)


def faults(toolkit: Toolkit, wanted: Iterable[Least]) -> list[str]:
    """Return why a toolkit cannot be used: what is missing, of another version than the rest, or not what is needed."""
    found = [toolkit.problem] if toolkit.problem else []
    if toolkit.problem.startswith("there is no"):
        return found
    if toolkit.missing:
        found.append(f"{toolkit.home}/include lacks {', '.join(toolkit.missing)}")
    own = number(toolkit.nvcc) if toolkit.nvcc else ()
    if own and toolkit.headers and own[:2] != number(toolkit.headers)[:2]:
        found.append(f"nvcc of {toolkit.home} is {toolkit.nvcc}, and its headers are of {toolkit.headers}")
    for least in wanted if own else ():
        if own < number(least.least):
            found.append(f"nvcc of {toolkit.home} is {toolkit.nvcc}; {least.of} needs {least.least} or newer")
        elif least.below and own >= number(least.below):
            found.append(f"nvcc of {toolkit.home} is {toolkit.nvcc}; {least.of} needs one below {least.below}")
    return found


def gencode(architectures: Sequence[str]) -> list[str]:
    """Return the arguments by which nvcc makes code for compute capabilities like 9.0."""
    names = [name.replace(".", "") for name in architectures]
    return [f"-gencode=arch=compute_{name},code=sm_{name}" for name in names]


def compile_command(home: str, source: str, output: str, architectures: Sequence[str], more: Sequence[str] = ()) -> list[str]:
    """Return the command by which nvcc of a toolkit compiles one source."""
    return [f"{home}/bin/nvcc", "-c", "-std=c++17", "-Xcompiler", "-fPIC", *gencode(architectures), *more, source, "-o", output]


def include_path(home: str, more: Sequence[str] = ()) -> dict[str, str]:
    """Return the variable that leads a compiler to the headers that are not in the first place of the toolkit."""
    places = [place for place in (f"{home}/include/cccl", *more) if os.path.isdir(place)]
    return {"CPLUS_INCLUDE_PATH": ":".join(places)} if places else {}


def trial(home: str, architectures: Sequence[str]) -> str:
    """Compile a few lines with everything that takes part - nvcc, headers, the host's compiler - and return what failed, or nothing."""
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory, "trial.cu")
        source.write_text(TRIAL, encoding="utf-8")
        command = compile_command(home, str(source), f"{directory}/trial.o", architectures)
        status, output = run(command, {"CUDA_HOME": home, "HOME": directory, "TMPDIR": directory, **include_path(home)}, TRIAL_SECONDS)
    if status == 0:
        return ""
    return f"{home}/bin/nvcc does not compile for {', '.join(architectures)} (status {status}): {tail(output)}"


def place_of(root: Path, version: str, archives: Sequence[Archive]) -> Place:
    """Return where the toolkit of these archives is."""
    content = hashlib.sha256("\n".join(row.sha256 for row in archives).encode()).hexdigest()[:ID_DIGITS]
    return Place(root / "store", f"cuda-{version}", content)


def install(root: Path, version: str, archives: Sequence[Archive], directory: Path, fetch: bool = False, *, check: bool = False) -> bool:
    """Have a toolkit at root/cuda-VERSION that is made of archives which lie in a directory; return whether that changed anything.

    It becomes current by one rename of a link, after its compiler has said its version. What an interrupted run has left goes first. Raises
    StackError.

    :param fetch: whether an archive that is not there is fetched from its origin.
    """
    place, link, subject = place_of(root, version, archives), root / f"cuda-{version}", f"CUDA {version}"
    whole = read_marker(place.tree) is not None
    if (whole and link_target(link) == place.tree) or check:
        return not (whole and link_target(link) == place.tree)
    place.store.mkdir(parents=True, exist_ok=True, mode=0o755)
    with hold(place.lock, LOCK_SECONDS, subject):
        if read_marker(place.tree) is None:
            discard(place)
            try:
                for row in archives if fetch else ():
                    if not (directory / row.name).is_file():
                        transfer.bring(row.origin, directory / row.name, row.sha256, subject)
                _make(place, archives, directory, subject)
                rows = {row.name: row.sha256 for row in archives}
                write_marker(place.tree, {"stack": place.stack, "id": place.content, "archives": rows})
            except BaseException:
                discard(place)
                raise
        switch_link(link, place.tree)
    return True


def _make(place: Place, archives: Sequence[Archive], directory: Path, subject: str) -> None:
    """Unpack the archives over each other and ask the compiler for its version."""
    place.tree.mkdir(mode=0o755)
    for row in archives:
        path = directory / row.name
        if not path.is_file():
            fix = f"put {row.name} there ({row.origin}), or name a mirror that carries it"
            raise StackError(subject, f"there is no {path}", fix)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != row.sha256:
            raise StackError(subject, f"{path} is not what the recipe names: its sha256 is {digest}", "fetch it again")
        unpack(path, place.tree, subject)
    if not (place.tree / "lib64").exists() and (place.tree / "lib").is_dir():
        (place.tree / "lib64").symlink_to("lib")
    found = faults(inspect(str(place.tree)), [])
    if found:
        raise StackError(subject, f"what the archives hold is no toolkit: {'; '.join(found)}", "correct the recipe")


def own(root: Path) -> list[Path]:
    """Return what install() has made of any version: links, then trees, what was interrupted, and locks."""
    store = root / "store"
    links = [path for path in sorted(root.glob("cuda-*")) if OWN_LINK.match(path.name) and path.is_symlink()]
    return [path for path in links if Path(os.readlink(path)).parent == store] + [
        path for path in (sorted(store.iterdir()) if store.is_dir() else []) if OWN_ENTRY.match(path.name)
    ]


def remove(root: Path) -> list[str]:
    """Remove the toolkits of archives of all versions, links first; return what was removed."""
    gone = []
    for path in own(root):
        if path.is_dir() and not path.is_symlink():
            remove_tree(path)
        else:
            path.unlink()
        gone.append(str(path))
    return gone


def least_of(least: Least | None, more: Mapping[str, str], architectures: Iterable[str], what: str) -> list[Least]:
    """Return what nvcc has to be: as the stack needs it, and as each architecture does.

    :param more: architecture to the least nvcc.
    """
    found = [least] if least else []
    return found + [Least(more[name], f"{what} for {name}") for name in architectures if more.get(name)]
