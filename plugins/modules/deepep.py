# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module deepep: DeepEP and libgdrapi of one stack on one host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: deepep
short_description: Build DeepEP for a stack, or install what another host of the kind has built
version_added: 0.1.0
description:
  - A host's kind is all that decides whether code compiled elsewhere runs on it - sources, GPU architectures, nvcc, torch, NVSHMEM,
    Python, operating system and C library. Its key names the tree.
  - A tree is compiled, or unpacked from another host's archive, beside its place, imported in a process of its own with versions
    compared, completed by its marker and then renamed; after that the link is switched that the engine's environment names. What is
    interrupted is begun anew by the next run.
  - A link that running services have started with stays as it is, with a warning; the stage engine switches it where it restarts them.
    What it leads to is not removed.
  - Nothing is written into the stack, and no environment is set.
extends_documentation_fragment:
  - railyard.sglang.attributes
attributes:
  diff_mode:
    support: full
options:
  state:
    description:
      - V(looked) changes the link only, where the tree of this kind is there already. V(built) compiles, V(installed) unpacks O(archive).
      - V(absent) removes what was built for all stacks, unless a service runs with it.
    type: str
    choices: [looked, built, installed, absent]
    default: looked
  stack:
    description: Name of the stack.
    type: str
    default: ""
  way:
    description: Whether DeepEP is built, comes with the stack as a wheel, or is the environment's own. The latter two are only proven.
    type: str
    choices: [source, wheel, own]
    default: source
  recipe:
    description: What is built from what, the key C(deepep) of the stack's definition.
    type: dict
    default: {}
  python:
    description: Interpreter of the stack, by the stack's link.
    type: str
    default: ""
  trees:
    description: Trees of stacks by their links, as the fact C(sglang_stack_trees) has them, of links that are yet to be switched.
    type: dict
    default: {}
  root:
    description: Directory of the stacks.
    type: path
    default: /opt/sglang
  cuda_home:
    description: Directory of the CUDA toolkit. If it is empty, that of the nvcc that programs find by themselves.
    type: str
    default: ""
  cuda_installed:
    description: Whether the same run installs the toolkit. In check mode it may then be missing.
    type: bool
    default: false
  architectures:
    description: Compute capabilities to compile for, like V(9.0). If there are none, those of the host's GPUs.
    type: list
    elements: str
    default: []
  gdrcopy:
    description: Whether libgdrapi is built, too.
    type: bool
    default: false
  nvshmem_home:
    description: Directory of an NVSHMEM with IBGDA to link with. If it is empty, the stack's.
    type: str
    default: ""
  include:
    description: Directories of headers that the compiler searches besides.
    type: list
    elements: path
    default: []
  sources:
    description: Directory with the archives of the sources.
    type: path
    default: /srv/mirror/sources
  fetch:
    description: Whether an archive that is not there is fetched from its origin.
    type: bool
    default: false
  archive:
    description: What another host of the kind has built. It is removed once it is installed.
    type: path
  sha256:
    description: Its sha256.
    type: str
    default: ""
  origin:
    description: Name of that host.
    type: str
    default: ""
  keep:
    description: Number of trees of the stack to keep, the current one included. V(0) removes none.
    type: int
    default: 2
  jobs:
    description: Compilers that run at a time. V(0) takes what cores and memory allow.
    type: int
    default: 0
  rebuild:
    description: Build anew, even where the tree is there.
    type: bool
    default: false
  verify:
    description: Read all files of the tree and compare them with what was built.
    type: bool
    default: false
  table:
    description: The table of operating system packages, C(os_packages.yml) of the role stack as data.
    type: dict
    default: {}
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Build DeepEP for the GPUs of this host
  railyard.sglang.deepep:
    state: built
    stack: sglang-0.5.8-cu12
    recipe: "{{ (query('railyard.sglang.stack_definition', 'sglang-0.5.8-cu12') | first).deepep }}"
    python: /opt/sglang/sglang-0.5.8-cu12/bin/python
    cuda_home: /usr/local/cuda-12.9
"""

RETURN = r"""
ansible_facts:
  description: Facts about this host.
  returned: success
  type: dict
  contains:
    sglang_deepep_trees:
      description: What the link points to, by link. In check mode, what it would point to.
      returned: success
      type: dict
key:
  description: The key of the host's kind. Empty where the stack or the toolkit is not there yet, in check mode.
  returned: success
  type: str
needed:
  description: Whether the tree of this kind is missing.
  returned: success
  type: bool
archive:
  description: C(path) and C(sha256) of the tree for other hosts.
  returned: with O(state=built)
  type: dict
proof:
  description: What was imported, with versions and files.
  returned: when the tree is there
  type: dict
missing_packages:
  description: Packages that a build needs and the host lacks.
  returned: success
  type: list
  elements: str
held:
  description: Services that run with what the link leads to, which therefore was not switched.
  returned: success
  type: list
  elements: str
nvshmem:
  description: Version of the stack's NVSHMEM, empty where it is not known.
  returned: success
  type: str
gdrdrv:
  description: Whether gdrcopy's kernel module is loaded.
  returned: success
  type: bool
removed:
  description: What was removed.
  returned: success
  type: list
  elements: str
seconds:
  description: How long it took.
  returned: success
  type: float
"""

import contextlib
import os
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.deepep import build, kind, recipe, toolkit
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.plugins.module_utils.services import units
from ansible_collections.railyard.sglang.plugins.module_utils.stack import inuse
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.host import loads
from ansible_collections.railyard.sglang.plugins.module_utils.stack.hosts import HostFacts, look
from ansible_collections.railyard.sglang.plugins.module_utils.stack.ospackages import Present, missing, parse_table
from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import read_marker
from ansible_collections.railyard.sglang.plugins.module_utils.stack.wheels import local_glibc

ARGUMENTS: Dict[str, Dict[str, Any]] = {
    "state": {"type": "str", "choices": ["looked", "built", "installed", "absent"], "default": "looked"},
    "stack": {"type": "str", "default": ""},
    "way": {"type": "str", "choices": ["source", "wheel", "own"], "default": "source"},
    "recipe": {"type": "dict", "default": {}},
    "python": {"type": "str", "default": ""},
    "trees": {"type": "dict", "default": {}},
    "root": {"type": "path", "default": "/opt/sglang"},
    "cuda_home": {"type": "str", "default": ""},
    "cuda_installed": {"type": "bool", "default": False},
    "architectures": {"type": "list", "elements": "str", "default": []},
    "gdrcopy": {"type": "bool", "default": False},
    "nvshmem_home": {"type": "str", "default": ""},
    "include": {"type": "list", "elements": "path", "default": []},
    "sources": {"type": "path", "default": "/srv/mirror/sources"},
    "fetch": {"type": "bool", "default": False},
    "archive": {"type": "path"},
    "sha256": {"type": "str", "default": ""},
    "origin": {"type": "str", "default": ""},
    "keep": {"type": "int", "default": 2},
    "jobs": {"type": "int", "default": 0},
    "rebuild": {"type": "bool", "default": False},
    "verify": {"type": "bool", "default": False},
    "table": {"type": "dict", "default": {}},
}
# What libgdrapi is built by: rows of the table of operating system packages.
GDRCOPY = ("compiler", "make")
FIX_CUDA = "see the role cuda: sglang_cuda_home, sglang_cuda_install"
Services = Callable[[Path], List[str]]


def interpreter(params: Dict[str, Any]) -> str:
    """Return the interpreter of the tree that the stack's link leads to, or will lead to when running services have been restarted."""
    if not params["python"]:
        return ""
    python = Path(params["python"])
    link = str(python.parent.parent)
    # The real path always: what is compiled in, and the key, must not depend on whether the link was switched before or after.
    return os.path.join(os.path.realpath(params["trees"].get(link) or link), python.parent.name, python.name)


def is_awaited(params: Dict[str, Any], facts: HostFacts) -> bool:
    """Return whether this is a run in check mode in which the toolkit would be installed before this module builds with it."""
    if not params["cuda_installed"] or params["way"] != "source":
        return False
    there = toolkit.inspect(params["cuda_home"] or toolkit.usual(facts))
    return bool(there.problem or there.missing)


def job_from(params: Dict[str, Any], facts: HostFacts, environment: kind.Environment) -> build.Job:
    """Return what is to be built on this host. Raises StackError."""
    subject = f"DeepEP for {params['stack']}"
    read = recipe.parse_deepep(params["recipe"])
    home = params["cuda_home"] or toolkit.usual(facts)
    there = toolkit.inspect(home)
    there = replace(there, missing=tuple(name for name in there.missing if name not in toolkit.ENGINE_ONLY))
    kernels = params["way"] == "source"
    if there.problem and kernels:
        raise StackError(subject, there.problem, FIX_CUDA)
    own = kind.Kind(
        recipe=kind.recipe_id(params["recipe"]), gdrcopy=params["gdrcopy"], deepep=kernels,
        architectures=kind.capabilities(facts, read, params["architectures"], subject) if kernels else (),
        nvcc=there.nvcc if kernels else "", torch=environment.torch, python=environment.abi, nvshmem=environment.nvshmem,
        nvshmem_home=params["nvshmem_home"] or environment.nvshmem_home, system=facts.system or facts.title,
        glibc=".".join(map(str, local_glibc())), machine=platform.machine(),
    )
    least = [row for name in own.architectures for row in toolkit.least_of(None, read.architectures, [name], "code of DeepEP")]
    wrong = toolkit.faults(there, least) if kernels else []
    if wrong:
        raise StackError(subject, "; ".join(wrong), FIX_CUDA)
    return build.Job(
        Path(params["root"]), params["stack"], own, read, environment, interpreter(params), home, params["include"],
        Path(params["sources"]), params["fetch"], params["nvshmem_home"], kernels, params["jobs"],
    )


def lacking(params: Dict[str, Any], job: build.Job, facts: HostFacts) -> List[str]:
    """Return the packages that a build needs and the host lacks. Raises StackError where no package is known."""
    features = dict.fromkeys([*(job.recipe.features if job.kernels else ()), *(GDRCOPY if params["gdrcopy"] else ())])
    table = parse_table(params["table"])
    known = [name for name in features if name in table.features]
    minor = job.environment.python.rpartition("-3")[2]
    rows = missing(table, known, facts.system, f"3.{minor}", Present(loads, os.path.exists))
    # A directory of headers of the operator's counts.
    rows = [row for row in rows if not any(os.path.exists(os.path.join(place, *row.what.split("/")[3:])) for place in params["include"])]
    unknown = [row.what for row in rows if not row.package]
    if unknown:
        raise StackError(job.subject, f"this host lacks {', '.join(unknown)}", f"install what brings it on {facts.title}")
    return sorted({row.package for row in rows})


def there_proof(params: Dict[str, Any], environment: kind.Environment) -> Dict[str, Any]:
    """Return what is known of a DeepEP that is not built here: the stack's wheel, or the environment's own. Raises StackError."""
    subject, tree = f"DeepEP for {params['stack']}", Path(interpreter(params)).parent.parent
    if params["way"] == "own":
        if not environment.deep_ep:
            problem = f"sglang_deepep_own is true, and the environment of {params['python']} has no deep_ep"
            raise StackError(subject, problem, "install it there, or leave sglang_deepep_own out")
        return {"deep_ep": {"version": environment.deep_ep, "file": build.import_own(interpreter(params), subject)}}
    version = ((read_marker(tree) or {}).get("imports") or {}).get("deep_ep")
    if version is None:
        problem = f"the stack at {tree} has not imported deep_ep when it was installed"
        raise StackError(subject, problem, "name it among the imports of its stack.yml, or run the stage stack")
    return {"deep_ep": {"version": version, "file": str(tree)}}


def held_by(job: build.Job, services: Services) -> List[str]:
    """Return the services for which the link stays as it is."""
    target = build.link_target(job.link)
    return services(job.link) if target is not None and target != job.place.tree and target.is_dir() else []


def may_replace(job: build.Job, services: Services) -> None:
    """Raise StackError where services run with the very tree that is to be built anew."""
    runs = services(job.link) if build.link_target(job.link) == job.place.tree else []
    if runs:
        problem = f"{', '.join(runs)} runs with {job.place.tree}, which is to be built anew"
        raise StackError(job.subject, problem, "stop that first (systemctl stop); the stage engine starts it again")


def apply(module: AnsibleModule, params: Dict[str, Any], facts: HostFacts, services: Services) -> Dict[str, Any]:
    """Do what is asked, or say what would be done. Raises StackError."""
    check, state = module.check_mode, params["state"]
    builds = params["way"] == "source" or params["gdrcopy"]
    nothing: Dict[str, Any] = {"key": "", "removed": [], "missing_packages": [], "held": [], "nvshmem": ""}
    if check and (not os.path.exists(interpreter(params)) or is_awaited(params, facts)):
        # The stack, or the toolkit, would be installed by the same run.
        return {**nothing, "changed": builds and state != "looked", "needed": builds}
    environment = kind.environment_of(interpreter(params), f"DeepEP for {params['stack']}")
    proof = there_proof(params, environment) if params["way"] != "source" else {}
    if not builds:
        return {**nothing, "changed": False, "needed": False, "proof": proof, "nvshmem": environment.nvshmem}
    if params["way"] == "source" and environment.deep_ep:
        module.warn(
            f"the environment of {params['python']} has a DeepEP of its own ({environment.deep_ep}), and the one that is built here comes "
            "before it. Fix: sglang_deepep_own: true takes the environment's"
        )
    job = job_from(params, facts, environment)
    result = carry_out(module, params, job, facts, services)
    if proof or "proof" in result:
        result["proof"] = {**result.get("proof", {}), **proof}
    return result


def carry_out(module: AnsibleModule, params: Dict[str, Any], job: build.Job, facts: HostFacts, services: Services) -> Dict[str, Any]:
    """Have the tree of this kind and switch the link, or say what would be done. Raises StackError."""
    check, state = module.check_mode, params["state"]
    before, rebuild = build.link_target(job.link), params["rebuild"]
    if params["verify"] and read_marker(job.place.tree) and not build.is_whole(job.place.tree):
        module.warn(f"{job.place.tree} is not what was built: it is built anew")
        rebuild = True
    there = dict(build.state_of(job))
    stale = there["complete"] and rebuild
    needed = stale or not there["complete"]
    if stale:
        may_replace(job, services)
    held = held_by(job, services)
    result: Dict[str, Any] = {"key": job.kind.key, "needed": needed, "removed": [], "held": held, "nvshmem": job.environment.nvshmem}
    result["missing_packages"] = lacking(params, job, facts) if needed else []
    made = needed and state != "looked"
    switched = (made or (there["complete"] and not stale)) and not there["current"] and not held
    result["changed"] = made or switched
    if not check:
        if made:
            carried = Path(params["archive"]) if state == "installed" and params["archive"] else None
            install(params, job, carried, stale=stale)
        if made or (there["complete"] and not stale):
            result["removed"] = build.use(job, params["keep"], held=bool(held))
        if state == "built":
            result["archive"] = build.offer(job)
    marker = read_marker(job.place.tree)
    if marker:
        result["proof"] = marker["proof"]
    if made or there["complete"]:
        result["ansible_facts"] = {"sglang_deepep_trees": {str(job.link): str(job.place.tree)}}
    if held and (made or there["complete"]):
        fix = "the stage engine switches the link where it restarts it, by consent (--tags deepep,engine)"
        module.warn(f"{job.link} does not point to {job.place.tree} yet: {', '.join(held)} runs with what it points to; {fix}")
    after = job.place.tree if switched else before
    result["diff"] = {"before": f"{job.link} -> {before}\n" if before else "", "after": f"{job.link} -> {after}\n" if after else ""}
    return result


def install(params: Dict[str, Any], job: build.Job, carried: Optional[Path], *, stale: bool) -> None:
    """Have the tree; what was carried here goes, whether that succeeds or not. Raises StackError."""
    try:
        build.make(job, carried, params["sha256"], params["origin"] or "this host", anew=stale)
    finally:
        if carried:
            with contextlib.suppress(FileNotFoundError):
                carried.unlink()


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params, begin = module.params, time.monotonic()
    # Services read trees and links as users of their own, whatever root's umask is.
    os.umask(0o022)

    def services(link: Path) -> List[str]:
        return inuse.recorded(link, module.run_command, units.DIRECTORY)

    try:
        if params["state"] == "absent":
            root = Path(params["root"])
            build.may_remove(root, services)
            there = [str(path) for path in [*build.own_links(root), *build.own_entries(root)]]
            gone = there if module.check_mode else build.remove(root)
            module.exit_json(changed=bool(gone), removed=gone, key="", needed=False, missing_packages=[], held=[], nvshmem="")
        result = apply(module, params, look(Root(), [], (), params["cuda_home"]), services)
    except (StackError, units.UnitError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or params['root']}: {error.strerror}. Fix: let root write there, and have space")
    result["gdrdrv"] = os.path.exists("/sys/module/gdrdrv")
    module.exit_json(seconds=round(time.monotonic() - begin, 1), **result)


if __name__ == "__main__":
    main()
