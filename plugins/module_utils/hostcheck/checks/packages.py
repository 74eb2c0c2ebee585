# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of the host's own packages could take the place of the stack's, and whether its C libraries are new enough for the stack."""

from __future__ import annotations

import re
from typing import Dict, Iterator, List, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.context import BACKEND, MOONCAKE, Context, arguments
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.environment import PLAN
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import NOTE, WARNING, Row, bad, good, needless, some, unknown

# Packages of which two versions in one process end badly.
WATCHED = ("torch", "sgl_kernel", "flashinfer", "sglang", "triton", "mooncake", "nixl", "deep_ep", "deep_gemm", "nvidia/nccl")
SYSTEM = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64")
PYTHON = re.compile(r"python3(\.[0-9]{1,2})?")
MULTIARCH = [f"{place}/{kind}-linux-gnu" for kind in ("x86_64", "aarch64") for place in ("/usr/lib", "/lib")] + ["/usr/lib64", "/lib64"]
# Stack to the newest symbols that its Mooncake needs of libstdc++ and libc, as (3.4.N, 2.N). The wheels of 0.3.8.post1 were built on Ubuntu
# 22.04 and are marked manylinux_2_17, too, so that pip installs them on older systems where they do not load; those of 0.3.12.post1
# and the CPU one of 0.3.13.post1 are manylinux_2_28.
# The symbols themselves are those of the definitions of the stacks.
NEEDS = {
    "sglang-0.5.8-cu12": (30, 34), "sglang-0.5.8-cu12-el9": (22, 28), "sglang-0.5.23-cu13": (22, 28), "sglang-0.5.8-cpu": (22, 28),
}


def check(context: Context) -> Iterator[Row]:
    """Look at packages outside of the stacks."""
    if not context.ranks:
        rules = ("preflight.python-path", "preflight.site-packages", "preflight.libstdcxx", "preflight.glibc")
        yield from (needless(rule, "no rank runs here") for rule in rules)
        return
    yield from _python_path(context)
    yield from _site_packages(context)
    yield from _libraries(context)


def _packages(context: Context, directory: str) -> List[str]:
    names = set(context.root.list(directory))
    return [name for name in WATCHED if name.partition("/")[0] in names and ("/" not in name or context.root.exists(f"{directory}/{name}"))]


def _python_path(context: Context) -> Iterator[Row]:
    rule, wanted = "preflight.python-path", "nothing before the stack"
    found: Dict[Tuple[str, str], str] = {}
    for rank in context.ranks:
        variables = context.environment(rank)
        for name in ("PYTHONPATH", "PYTHONHOME"):
            value, source = variables.get(name, ("", ""))
            found.update({(name, entry): source for entry in value.split(":") if entry})
    clean = True
    # What the plan itself puts there: DeepEP, of which the stack has none.
    own = {link for rank in context.ranks for link in rank.get("links") or () if link != rank.get("stack_link")}
    for (name, directory), source in found.items():
        if source == PLAN and directory in own:
            continue
        names = _packages(context, directory) if directory.startswith("/") else []
        fix = f"remove it from {'sglang_env' if source == PLAN else source}"
        if name == "PYTHONHOME":
            clean = False
            yield bad(rule, f"PYTHONHOME in {source} takes Python's own library from {directory}", fix, directory, wanted)
        elif names:
            clean = False
            yield bad(
                rule, f"PYTHONPATH in {source} names {directory}, whose {some(names)} is imported instead of the stack's", fix, directory,
                wanted,
            )
        elif source != PLAN:
            clean = False
            text = f"PYTHONPATH in {source} names {directory}: what is put there is imported instead of the stack's"
            yield bad(rule, text, fix, directory, wanted, state=WARNING)
    if clean:
        yield good(rule, wanted, wanted)


def _directories(context: Context) -> List[str]:
    homes = [str((rank.get("environment") or {}).get("HOME", "")) for rank in context.ranks]
    places = [*SYSTEM, *(f"{home}/.local/lib" for home in dict.fromkeys([*homes, "/root"]) if home)]
    real = dict.fromkeys(context.root.real(place) for place in places if context.root.exists(place))
    found = []
    for place in filter(None, real):
        for name in context.root.list(place):
            if PYTHON.fullmatch(name):
                found += [f"{place}/{name}/{kind}-packages" for kind in ("site", "dist")]
    return found


def _sees_system(context: Context, rank: Dict[str, object]) -> Optional[bool]:
    """Return whether a stack's environment shows the system's packages to its programs, None where it is not installed yet."""
    text = context.root.read(f"{rank.get('stack_link')}/pyvenv.cfg")
    match = re.search(r"^include-system-site-packages\s*=\s*(\w+)", text or "", re.MULTILINE)
    return match.group(1).lower() == "true" if match else None


def _site_packages(context: Context) -> Iterator[Row]:
    """Report packages that a stack could see, and those that it does not.

    A virtual environment without the system's packages sees neither them nor those of users, whatever PYTHONNOUSERSITE says.
    """
    rule, wanted = "preflight.site-packages", "none that a stack sees"
    found = {directory: names for directory, names in ((place, _packages(context, place)) for place in _directories(context)) if names}
    open_stacks = sorted({str(rank["stack"]) for rank in context.ranks if _sees_system(context, rank)})
    for directory, names in found.items():
        if open_stacks:
            yield bad(
                rule, f"{directory} has {some(names)}, and {some(open_stacks)} sees the system's packages",
                "build the stack anew by stage stack, or uninstall them", f"{some(names)} in {directory}", wanted, state=WARNING,
            )
        else:
            yield bad(
                rule, f"{directory} has {some(names)}; the stack is a virtual environment and does not see it", "nothing", some(names),
                wanted, state=NOTE,
            )
    if not found:
        yield good(rule, "none", wanted)


def _library(context: Context, name: str) -> Optional[str]:
    """Return the path of the C library that the engine's process loads: of LD_LIBRARY_PATH first, then the system's."""
    listed = [entry for rank in context.ranks for entry in context.environment(rank).get("LD_LIBRARY_PATH", ("", ""))[0].split(":")]
    for directory in [*(entry for entry in listed if entry.startswith("/")), *MULTIARCH]:
        if context.root.exists(f"{directory}/{name}"):
            return f"{directory}/{name}"
    return None


def _newest(context: Context, path: str, prefix: str) -> Optional[int]:
    """Return the newest version of its symbols that a library defines: their names stand in it, each with a zero behind."""
    data = context.root.data(path, 1 << 25, cut=True) or b""
    return max((int(number) for number in re.findall(re.escape(prefix).encode() + rb"([0-9]{1,3})\0", data)), default=None)


def _libraries(context: Context) -> Iterator[Row]:
    mooncake = [rank for rank in context.ranks if arguments(rank).get(BACKEND) in MOONCAKE]
    stacks = sorted({str(rank["stack"]) for rank in mooncake})
    needs = [NEEDS[stack] for stack in stacks if stack in NEEDS]
    for rule, name, prefix, place in (
        ("preflight.libstdcxx", "libstdc++.so.6", "GLIBCXX_3.4.", 0), ("preflight.glibc", "libc.so.6", "GLIBC_2.", 1),
    ):
        if not mooncake:
            yield needless(rule, "no rank transfers by Mooncake")
            continue
        if not needs:
            yield unknown(rule, f"what Mooncake of {some(stacks)} needs is not known")
            continue
        least = max(need[place] for need in needs)
        wanted, path = f"{prefix}{least}", _library(context, name)
        newest = _newest(context, path, prefix) if path else None
        if path is None or newest is None:
            yield unknown(rule, f"{name} is in no usual directory, or cannot be read", wanted)
        elif newest < least:
            yield bad(
                rule, f"{path} ends at {prefix}{newest}, and Mooncake of {some(stacks)} needs {wanted}",
                "use a newer release of the operating system, or a stack whose Mooncake was built for it;"
                " never LD_PRELOAD another library for all programs",
                f"{prefix}{newest}", wanted, variable="sglang_stack",
            )
        else:
            yield good(rule, f"{prefix}{newest}", wanted)
