# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kind of a host: everything that decides whether what one host has compiled runs on another, and its key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.deepep.recipe import Deepep
from ansible_collections.railyard.sglang.plugins.module_utils.deepep.running import NOWHERE, run, tail
from ansible_collections.railyard.sglang.plugins.module_utils.stack import architectures as names
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.hosts import HostFacts

DIGITS = 12
SECONDS = 60
# Changes of what is built from the same sources get another key.
FORMAT = 1
# What a stack's environment says of itself, without loading torch: versions, NVSHMEM, and headers of NVIDIA's packages. Those of the
# runtime and the compiler stay out: they are the toolkit's.
PROGRAM = """
import importlib.metadata, importlib.util, json, os, sys, sysconfig
def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
def place(name):
    try:
        found = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return ""
    return list(found.submodule_search_locations)[0] if found and found.submodule_search_locations else ""
own = place("nvidia")
left_out = {"nvshmem", "cuda_runtime", "cuda_nvcc", "cuda_cccl"}
include = [os.path.join(own, name, "include") for name in sorted(os.listdir(own)) if name not in left_out] if own else []
print(json.dumps({
    "python": sys.implementation.cache_tag, "abi": sysconfig.get_config_var("EXT_SUFFIX") or "", "torch": version("torch"),
    "nvshmem": version("nvidia-nvshmem-cu12") or version("nvidia-nvshmem-cu13"), "nvshmem_home": place("nvidia.nvshmem"),
    "deep_ep": (version("deep_ep") or version("sgl-deep-ep") or "unknown") if importlib.util.find_spec("deep_ep") else "",
    "setuptools": version("setuptools"), "ninja": version("ninja"), "include": [path for path in include if os.path.isdir(path)],
}))
"""


@dataclass(frozen=True)
class Environment:
    """What is known of a stack's Python environment.

    :ivar nvshmem_home: directory of NVSHMEM, empty where there is none.
    :ivar deep_ep: version of a DeepEP that it has by itself, empty where it has none.
    :ivar include: directories with headers of NVIDIA's libraries.
    """

    python: str
    abi: str
    torch: str
    nvshmem: str
    nvshmem_home: str
    setuptools: str
    ninja: str
    include: tuple[str, ...] = ()
    deep_ep: str = ""


def environment_of(python: str, subject: str) -> Environment:
    """Ask an interpreter; raise StackError if it does not answer."""
    status, output = run([python, "-s", "-c", PROGRAM], {"PYTHONNOUSERSITE": "1"}, SECONDS, NOWHERE)
    try:
        row = json.loads(output.strip().splitlines()[-1]) if status == 0 else {}
    except (IndexError, ValueError):
        row = {}
    if not row:
        raise StackError(subject, f"{python} does not answer (status {status}): {tail(output)}", "run the stage stack first")
    return Environment(**{**row, "include": tuple(row["include"])})


@dataclass(frozen=True)
class Kind:
    """What decides.

    :ivar architectures: compute capabilities that code is made for.
    :ivar nvshmem_home: compiled into the result as the place of the library: below the stack's tree, never below a link to it.
    """

    recipe: str
    gdrcopy: bool
    deepep: bool
    architectures: tuple[str, ...]
    nvcc: str
    torch: str
    python: str
    nvshmem: str
    nvshmem_home: str
    system: str
    glibc: str
    machine: str

    @property
    def key(self) -> str:
        """The digest of all of it."""
        text = json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def recipe_id(recipe: Mapping[str, Any]) -> str:
    """Return the digest of what of a recipe reaches the result."""
    content = {name: recipe[name] for name in ("version", "distribution", "source", "patches", "gdrcopy") if name in recipe}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:DIGITS]


def capabilities(facts: HostFacts, recipe: Deepep, written: Sequence[str], subject: str) -> tuple[str, ...]:
    """Return the compute capabilities to compile for: those of the host's GPUs, or what the operator writes. Raises StackError.

    :param written: by the operator, empty for the host's own.
    """
    found = [gpu.architecture for gpu in facts.gpus if gpu.vendor == "nvidia"]
    wanted = list(written) or [name for name in found if name]
    if not wanted:
        what = "its GPUs are of chips that are not known here" if found else "this host has no NVIDIA GPU on its PCI buses"
        raise StackError(subject, f"it is not known what to compile for: {what}", "write deepep_architectures, for example ['9.0']")
    for name in wanted:
        if name not in recipe.architectures:
            known = ", ".join(recipe.architectures)
            raise StackError(subject, f"it has no kernels for {names.title(name)}: {known} only", "leave moe-a2a-backend out on such hosts")
    return tuple(sorted(set(wanted), key=lambda name: tuple(map(int, name.split(".")))))
