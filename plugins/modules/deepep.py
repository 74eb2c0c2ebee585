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
    compared, and then renamed; its marker comes last, and then the link that the engine's environment names. What is interrupted is
    begun anew by the next run.
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
      - V(absent) removes what was built for all stacks.
    type: str
    choices: [looked, built, installed, absent]
    default: looked
  stack:
    description: Name of the stack.
    type: str
    default: ""
  way:
    description: Whether DeepEP is built, or comes with the stack as a wheel and is only proven.
    type: str
    choices: [source, wheel]
    default: source
  recipe:
    description: What is built from what, the key C(deepep) of the stack's definition.
    type: dict
    default: {}
  python:
    description: Interpreter of the stack, by the stack's link.
    type: str
    default: ""
  root:
    description: Directory of the stacks.
    type: path
    default: /opt/sglang
  cuda_home:
    description: Directory of the CUDA toolkit. If it is empty, C(/usr/local/cuda).
    type: str
    default: ""
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
  description: The key of the host's kind. Empty where the stack is not there yet, in check mode.
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

import os
import platform
import time
from pathlib import Path
from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.deepep import build, kind, recipe, toolkit
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.host import loads
from ansible_collections.railyard.sglang.plugins.module_utils.stack.hosts import HostFacts, look
from ansible_collections.railyard.sglang.plugins.module_utils.stack.ospackages import Present, missing, parse_table
from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import read_marker
from ansible_collections.railyard.sglang.plugins.module_utils.stack.wheels import local_glibc

ARGUMENTS: Dict[str, Dict[str, Any]] = {
    "state": {"type": "str", "choices": ["looked", "built", "installed", "absent"], "default": "looked"},
    "stack": {"type": "str", "default": ""},
    "way": {"type": "str", "choices": ["source", "wheel"], "default": "source"},
    "recipe": {"type": "dict", "default": {}},
    "python": {"type": "str", "default": ""},
    "root": {"type": "path", "default": "/opt/sglang"},
    "cuda_home": {"type": "str", "default": ""},
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
MAKE = "make"


def job_from(params: Dict[str, Any], facts: HostFacts) -> build.Job:
    """Return what is to be built on this host. Raises StackError."""
    subject = f"DeepEP for {params['stack']}"
    read = recipe.parse_deepep(params["recipe"])
    home = params["cuda_home"] or toolkit.USUAL
    environment = kind.environment_of(params["python"], subject)
    there = toolkit.inspect(home)
    kernels = params["way"] == "source"
    if there.problem and kernels:
        raise StackError(subject, there.problem, "see the role cuda: sglang_cuda_home, sglang_cuda_install")
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
        raise StackError(subject, "; ".join(wrong), "see the role cuda: sglang_cuda_home, sglang_cuda_install")
    return build.Job(
        Path(params["root"]), params["stack"], own, read, environment, params["python"], home, params["include"], Path(params["sources"]),
        params["fetch"], params["nvshmem_home"], kernels, params["jobs"],
    )


def lacking(params: Dict[str, Any], job: build.Job, facts: HostFacts) -> List[str]:
    """Return the packages that a build needs and the host lacks. Raises StackError where no package is known."""
    features = [*(job.recipe.features if job.kernels else ()), *([MAKE] if params["gdrcopy"] else [])]
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


def wheel_proof(params: Dict[str, Any]) -> Dict[str, Any]:
    """Return what the stage stack has proven of a DeepEP that comes as a wheel. Raises StackError where it has not."""
    link = Path(params["python"]).parent.parent
    marker = read_marker(Path(os.path.realpath(link))) or {}
    version = (marker.get("imports") or {}).get("deep_ep")
    if version is None:
        problem = f"the stack at {link} has not imported deep_ep when it was installed"
        raise StackError(f"DeepEP for {params['stack']}", problem, "name it among the imports of its stack.yml, or run the stage stack")
    return {"deep_ep": {"version": version, "file": str(link)}}


def apply(module: AnsibleModule, params: Dict[str, Any], facts: HostFacts) -> Dict[str, Any]:
    """Do what is asked, or say what would be done. Raises StackError."""
    check, state = module.check_mode, params["state"]
    builds = params["way"] == "source" or params["gdrcopy"]
    if check and not os.path.exists(params["python"]):
        # The stack would be installed by the same run.
        return {"changed": state != "looked", "key": "", "needed": builds, "missing_packages": [], "removed": []}
    if not builds:
        return {"changed": False, "key": "", "needed": False, "proof": wheel_proof(params), "missing_packages": [], "removed": []}
    job = job_from(params, facts)
    before = build.link_target(job.link)
    if params["verify"] and build.read_marker(job.place.tree) and not build.is_whole(job.place.tree):
        module.warn(f"{job.place.tree} is not what was built: it is built anew")
        params["rebuild"] = True
    there = dict(build.state_of(job))
    stale = there["complete"] and params["rebuild"]
    needed = stale or not there["complete"]
    result: Dict[str, Any] = {"key": job.kind.key, "needed": needed, "removed": [], "missing_packages": []}
    result["missing_packages"] = lacking(params, job, facts) if needed else []
    made = needed and state != "looked"
    result["changed"] = made or (there["complete"] and not stale and not there["current"])
    if not check:
        if made:
            carried = Path(params["archive"]) if state == "installed" and params["archive"] else None
            build.make(job, carried, params["sha256"], params["origin"] or "this host", anew=stale)
            if carried:
                carried.unlink()
        if made or (there["complete"] and not stale):
            result["removed"] = build.use(job, params["keep"])
        if state == "built":
            result["archive"] = build.offer(job)
    marker = build.read_marker(job.place.tree)
    if marker:
        result["proof"] = marker["proof"]
    if made or there["complete"]:
        result["ansible_facts"] = {"sglang_deepep_trees": {str(job.link): str(job.place.tree)}}
    after = job.place.tree if result["changed"] else before
    result["diff"] = {"before": f"{job.link} -> {before}\n" if before else "", "after": f"{job.link} -> {after}\n" if after else ""}
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params, begin = module.params, time.monotonic()
    try:
        if params["state"] == "absent":
            there = os.path.isdir(os.path.join(params["root"], "deepep"))
            gone = build.remove(Path(params["root"])) if there and not module.check_mode else []
            changed = bool(gone) or (there and module.check_mode)
            module.exit_json(changed=changed, removed=gone, key="", needed=False, missing_packages=[])
        result = apply(module, params, look(Root(), [], (), params["cuda_home"]))
    except StackError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or params['root']}: {error.strerror}. Fix: let root write there, and have space")
    result["gdrdrv"] = os.path.exists("/sys/module/gdrdrv")
    module.exit_json(seconds=round(time.monotonic() - begin, 1), **result)


if __name__ == "__main__":
    main()
