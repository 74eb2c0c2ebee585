# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has of the kernel caches that its ranks need: the key of each, and what is there of it."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import gpu
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.plugins.module_utils.jitcache import key, paths, place, store
from ansible_collections.railyard.sglang.plugins.module_utils.jitcache.errors import CacheError, LaterError
from ansible_collections.railyard.sglang.plugins.module_utils.model.mounts import Mount
from ansible_collections.railyard.sglang.plugins.module_utils.stack.architectures import compute_capability
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import read_marker

Runner = Callable[[List[str]], Tuple[int, str, str]]
UNUSED, UNKNOWN = "unused", "unknown"
RELEASE = re.compile(r"\brelease (\d+\.\d+)")
TOOLKIT = "/usr/local/cuda"
# StateDirectory and CacheDirectory of the units.
OWN = ("/var/cache/sglang/", "/var/lib/sglang/")


@dataclass(frozen=True)
class Host:
    """What decides about keys on a host, besides the ranks.

    :ivar trees: what the links to stacks will point to, by link, where a run has not made them yet.
    :ivar architectures: compute capabilities for which kernels are compiled.
    :ivar model: directory of the model.
    :ivar check: whether it is a prediction: earlier stages of the same run may not have made yet what is missing.
    """

    root: Root
    mounts: Sequence[Mount]
    run: Runner
    model: str
    architectures: Sequence[str]
    trees: Mapping[str, str] = field(default_factory=dict)
    check: bool = False


def _whole(tree: str) -> bool:
    try:
        return read_marker(Path(tree)) is not None
    except (OSError, StackError):
        return False


def tree_of(link: str, trees: Mapping[str, str], check: bool = False) -> str:
    """Return the tree that a link points to, or is about to; empty where there is none.

    What an earlier stage has said counts where that tree is whole: with a cache of facts it may be of another day.

    :param check: believe it in any case.
    """
    told = trees.get(link, "")
    if told and (check or _whole(told)):
        return told
    return os.path.realpath(link) if os.path.isdir(link) else ""


def trees_of(rank: Mapping[str, Any], host: Host) -> Dict[str, str]:
    """Return the trees of a rank, by link. Raises LaterError.

    The links themselves may still point to the trees of an engine that runs.
    """
    found = {link: tree_of(link, host.trees, host.check) for link in (rank["stack_link"], *rank["links"])}
    for link, tree in found.items():
        if not tree:
            stage = "stack" if link == rank["stack_link"] else "deepep"
            raise LaterError(link, "is not there", f"install the {stage} first: site.yml --tags {stage}")
    python = paths.moved(rank["python"], found)
    if not os.access(python, os.X_OK) and not (host.check and not os.path.isdir(found[rank["stack_link"]])):
        raise LaterError(python, "is not there, and would compile", "install the stack again: site.yml --tags stack")
    return found


def nvcc_of(environment: Mapping[str, str]) -> Tuple[str, str]:
    """Return the compiler that DeepGEMM will start, as torch looks for it, empty where there is none, and where it was looked for."""
    named = environment.get("DG_JIT_NVCC_COMPILER")
    home = environment.get("CUDA_HOME") or environment.get("CUDA_PATH")
    for path, variable in ((named, "DG_JIT_NVCC_COMPILER"), (f"{home}/bin/nvcc" if home else None, "CUDA_HOME")):
        if path:
            return (path if os.access(path, os.X_OK) else ""), f"{path} ({variable})"
    fallback = f"{TOOLKIT}/bin/nvcc"
    found = shutil.which("nvcc", path=environment.get("PATH", os.defpath)) or (fallback if os.access(fallback, os.X_OK) else "")
    return found, f"nvcc (PATH of the engine, and {fallback})"


def release(text: str) -> str:
    """Return the release in what nvcc --version says, empty where it is not in it."""
    match = RELEASE.search(text)
    return match[1] if match else ""


def config_of(folder: str) -> Dict[str, Any]:
    """Return the config.json of a model. Raises CacheError."""
    path = os.path.join(folder, "config.json")
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
    except (OSError, ValueError) as error:
        raise LaterError(path, f"cannot be read: {error}", "provide the model first: site.yml --tags model") from error
    if not isinstance(found, dict):
        raise CacheError(path, "holds no map", "provide the model again: site.yml --tags model")
    return found


def devices_of(root: Root, wanted: Sequence[int]) -> List[str]:
    """Return the PCI device ids of the GPUs with these numbers, of all where the host has fewer."""
    found = [row for row in gpu.gpus(root) if row["vendor"] == "nvidia" and row["index"] is not None and not row["is_vf"]]
    return sorted({str(row["device"]) for row in [row for row in found if row["index"] in wanted] or found})


def capabilities(devices: Sequence[str]) -> List[str]:
    """Return the compute capabilities of GPUs by their PCI device ids; of an unknown chip its id."""
    return sorted({compute_capability(device) or device for device in devices})


def _unused(config: Optional[Mapping[str, Any]], capable: Sequence[str], allowed: Sequence[str]) -> str:
    """Return why a rank uses no DeepGEMM, empty where it does as far as it is known."""
    if config is not None and not key.block_fp8(config):
        return "the model has no FP8 weights with block scales"
    others = [text for text in capable if text not in allowed and not text.startswith("0x")]
    if others:
        return f"DeepGEMM is not used on compute capability {', '.join(others)} (deepgemm_architectures)"
    return ""


def _row(rank: Mapping[str, Any]) -> Dict[str, Any]:
    return {
        "instance": rank["instance"], "rank": rank["rank"], "nodes": rank["nodes"], "unit": rank["unit"], "gpus": list(rank["gpus"]),
        "state": UNUSED, "path": "", "key": "", "parts": {}, "kernels": 0, "bytes": 0, "problems": [], "warnings": [], "differs": [],
        "why": "", "error": "", "later": False, "certain": bool(planned(rank).get("certain")), "partial": "", "active": False,
        "trees": {}, "units": [],
        "expected": key.digest([planned(rank).get(name) for name in ("arguments", "environment", "stage")]),
    }


def planned(rank: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the plan says of a rank's DeepGEMM, nothing where it has none."""
    found: Mapping[str, Any] = (rank["caches"] or {}).get("deepgemm") or {}
    return found


def path_of(rank: Mapping[str, Any]) -> str:
    """Return the path of a rank's DeepGEMM kernels, empty where it has none."""
    return str(planned(rank).get("path", ""))


def variables(rank: Mapping[str, Any]) -> Dict[str, str]:
    """Return the directories of a rank's caches, by the variable that names each."""
    return dict((rank["caches"] or {}).get("variables", {}))


def outside(rank: Mapping[str, Any]) -> List[str]:
    """Return the directories of a rank's caches that its units do not make: those that an operator has placed elsewhere."""
    return sorted({path for path in variables(rank).values() if not path.startswith(OWN)})


def rank_row(rank: Mapping[str, Any], host: Host, full: bool = False) -> Dict[str, Any]:
    """Return what is known of one rank's kernel cache; what is wrong is in C(error), and not raised."""
    row = _row(rank)
    try:
        for variable, path in sorted(variables(rank).items()):
            row["warnings"] += place.check(path, variable, list(host.mounts))
        wanted = planned(rank)
        if not wanted:
            return {**row, "why": "the plan has no DeepGEMM for it"}
        return {**row, **_keyed(rank, wanted, host, full)}
    except CacheError as error:
        return {**row, "path": path_of(rank), "state": UNKNOWN, "error": str(error), "later": isinstance(error, LaterError)}


def _keyed(rank: Mapping[str, Any], wanted: Mapping[str, Any], host: Host, full: bool) -> Dict[str, Any]:
    row: Dict[str, Any] = {"path": wanted["path"]}
    devices = devices_of(host.root, rank["gpus"])
    capable = capabilities(devices)
    # In this order: a host where it is not used needs neither a compiler nor a stack for it.
    configs = [config_of(folder) for folder in [host.model, *wanted["drafts"]]]
    why = _unused(configs[0], capable, host.architectures)
    if why:
        return {**row, "why": why}
    if not capable:
        raise CacheError(rank["instance"], "no NVIDIA GPU is seen on the host", "look at lspci; site.yml --tags preflight tells more")
    trees = trees_of(rank, host)
    nvcc, where = nvcc_of(rank["environment"])
    if not nvcc:
        fix = "have stage deepgemm install CUDA (sglang_cuda_install: packages or archives), or name a toolkit by sglang_cuda_home"
        # The role cuda of the same run brings it.
        raise (LaterError if host.check else CacheError)(where, "is not there", fix)
    code, out, err = host.run([nvcc, "--version"])
    if code or not release(out):
        raise CacheError(nvcc, f"does not say its version: {(err or out).strip()[:200]}", "repair the CUDA toolkit")
    parts = key.parts(
        tree=os.path.basename(trees[rank["stack_link"]]), architectures=capable, devices=devices, nvcc=release(out), models=configs,
        counted=wanted["arguments"], variables=wanted["environment"], stage=wanted.get("stage"),
    )
    name = key.digest(parts)
    cache = store.CacheStore(wanted["path"])
    found = cache.state(name, full)
    known = {"state": found.state, "key": name, "parts": parts, "kernels": found.kernels, "bytes": found.size, "problems": found.problems,
             "partial": cache.partial(name), "trees": trees}
    return {**row, **known, "differs": cache.differences(parts) if found.state != store.WHOLE else []}


def rows(ranks: Sequence[Mapping[str, Any]], host: Host, full: bool = False) -> List[Dict[str, Any]]:
    """Return what is known of the caches of a host's ranks. Two that would need different kernels at one path are an error of both."""
    found = [rank_row(rank, host, full) for rank in ranks]
    for row in found:
        # Who runs with the path: its link is not switched under them.
        row["units"] = sorted({other["unit"] for other in found if other["path"] == row["path"]})
        others = [other for other in found if other["path"] == row["path"] and other["key"] != row["key"] and row["key"] and other["key"]]
        if others:
            names = ", ".join(str(other["instance"]) for other in others)
            text = f"{names} needs other kernels at the same path"
            row["error"] = str(CacheError(row["path"], text, "give each instance its own SGLANG_DG_CACHE_DIR"))
    return found


def sizes(variables: Mapping[str, str]) -> Dict[str, int]:
    """Return the bytes that each cache takes on its disk, by the variable that names it."""
    found = {}
    for variable, path in variables.items():
        total = 0
        for folder, _folders, names in os.walk(path):
            for name in names:
                try:
                    total += os.lstat(os.path.join(folder, name)).st_blocks * 512
                except FileNotFoundError:
                    continue
        found[variable] = total
    return found


def kept(path: str) -> List[Dict[str, Any]]:
    """Return every key that is kept at a path, for a report; none where something else is in its place, which its rank's row tells."""
    cache = store.CacheStore(path)
    found: List[Dict[str, Any]] = []
    try:
        cache.current()
    except CacheError:
        return found
    for name in cache.versions():
        parts = cache.request(name)
        found.append({"path": path, "key": name, "parts": parts, **asdict(cache.state(name))})
    return found
