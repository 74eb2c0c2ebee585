# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host puts into the environment of the planned processes: libraries loaded ahead of the stack's own."""

from __future__ import annotations

import re
from typing import Dict, Iterator, List, Set, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.context import BACKEND, Context, arguments
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.environment import PLAN
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import ERROR, WARNING, Row, bad, good, needless, some, unknown

# Of which a copy of another version breaks a process that loads it instead of the stack's.
LIBRARY = re.compile(r"lib(ucp|ucs|nccl|nvshmem_host)\.so(\.[0-9]{1,4}){0,3}")
CACHED = re.compile(rb"/[\x21-\x7e]{1,255}/lib(?:ucp|nccl|nvshmem_host)\.so[.0-9]{0,16}")
NAMES = {"ucp": "UCX", "ucs": "UCX", "nccl": "NCCL", "nvshmem_host": "NVSHMEM"}
CACHE, CONFIGURATION = "/etc/ld.so.cache", "/etc/ld.so.conf.d"
REMEDY = "remove it there; a variable that the engines need belongs into sglang_env"


def check(context: Context) -> Iterator[Row]:
    """Look at the way of the dynamic loader."""
    yield from _library_path(context)
    yield from _preload(context)
    yield from _system_libraries(context)
    yield from _nccl_file(context)


def _libraries(context: Context, directory: str) -> Set[str]:
    matches = [LIBRARY.fullmatch(name) for name in context.root.list(directory)] if directory.startswith("/") else []
    return {NAMES[match.group(1)] for match in matches if match}


def _paths(context: Context, name: str) -> List[Tuple[str, str]]:
    """Return the directories in a variable of the GPU ranks' environments, each with the source."""
    found: Dict[str, str] = {}
    for rank in context.gpu_ranks or (context.ranks if context.rdma else []):
        value, source = context.environment(rank).get(name, ("", ""))
        found.update({entry: source for entry in re.split("[: ]", value) if entry})
    return list(found.items())


def _library_path(context: Context) -> Iterator[Row]:
    rule, name = "preflight.library-path", "LD_LIBRARY_PATH"
    if not context.gpu_ranks and not context.rdma:
        yield needless(rule, "neither GPUs nor RDMA are planned here")
        return
    stacks = [str(rank.get("stack_link")) + "/" for rank in context.ranks]
    clean = True
    for directory, source in _paths(context, name):
        names = _libraries(context, directory)
        if not names or any((directory + "/").startswith(stack) for stack in stacks):
            continue
        clean = False
        nixl = any(arguments(rank).get(BACKEND) == "nixl" for rank in context.ranks)
        fatal = bool(names - {"UCX"}) or nixl
        yield bad(
            rule, f"{name} in {source} names {directory}, whose {some(sorted(names))} is loaded instead of the stack's own",
            REMEDY if source != PLAN else f"remove {directory} from {name} in sglang_env", f"{some(sorted(names))} in {directory}",
            "the stack's own", variable="sglang_env" if source == PLAN else "", state=ERROR if fatal else WARNING,
        )
    if clean:
        yield good(rule, "the stack's own", "the stack's own")


def _preload(context: Context) -> Iterator[Row]:
    rule = "preflight.preload"
    if not context.ranks:
        yield needless(rule, "no rank runs here")
        return
    found: Dict[str, str] = {}
    for rank in context.ranks:
        value, source = context.environment(rank).get("LD_PRELOAD", ("", ""))
        found.update({value: source} if value and source != PLAN else {})
    text = context.root.read("/etc/ld.so.preload")
    found.update({text: "/etc/ld.so.preload"} if text else {})
    for value, source in found.items():
        yield bad(rule, f"{source} loads {some(value.split())} into every process", REMEDY, some(value.split()), "none")
    if not found:
        yield good(rule, "none", "none")


def _system_libraries(context: Context) -> Iterator[Row]:
    rule = "preflight.system-libraries"
    if not context.gpu_ranks and not context.rdma:
        yield needless(rule, "neither GPUs nor RDMA are planned here")
        return
    data = context.root.data(CACHE, 1 << 24)
    if data is None:
        yield unknown(rule, f"{CACHE} cannot be read", "none")
        return
    found = sorted({match.decode("ascii") for match in CACHED.findall(data)})
    hpcx = [name for name in context.root.list(CONFIGURATION) if "hpcx" in name or "hpc-x" in name]
    if found or hpcx:
        yield bad(
            rule, f"the loader knows {some([*found, *hpcx])}; wheels find their own copies first, by their own paths",
            "nothing, unless a program of the stack is found to load them: then remove them from /etc/ld.so.conf.d and run ldconfig",
            some([*found, *hpcx], 2), "none",
        )
    else:
        yield good(rule, "none", "none")


def _nccl_file(context: Context) -> Iterator[Row]:
    rule = "preflight.nccl-file"
    if not context.gpu_ranks:
        yield needless(rule, "no GPU rank runs here")
        return
    homes = {str((rank.get("environment") or {}).get("HOME", "")) for rank in context.gpu_ranks}
    planned = {name for rank in context.gpu_ranks for name in rank.get("environment") or {}}
    clean = True
    for path in ["/etc/nccl.conf", *sorted(f"{home}/.nccl.conf" for home in homes if home)]:
        names = [line.partition("=")[0].strip() for line in (context.root.read(path) or "").splitlines() if "=" in line and line[0] != "#"]
        more = sorted(set(names) - planned)
        if more:
            clean = False
            yield bad(
                rule, f"{path} sets {some(more)}, which the plan does not know of", "remove the file, or write its values into sglang_env",
                some(more, 2), "none",
            )
    if clean:
        yield good(rule, "none", "none")
