# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module cuda_toolkit: nvcc and headers for compilers at run time, checked or installed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cuda_toolkit
short_description: Check or install the CUDA toolkit that an engine's compilers use
version_added: 0.1.0
description:
  - Looks at a toolkit's directory - nvcc and its version, the headers and theirs - and at the loaded driver, against what a stack
    needs, and compiles a few lines for the host's GPUs with it, so that nvcc, headers and the host's compiler are known to fit together.
  - Says which packages of NVIDIA's repository would bring what is missing, or makes a toolkit of NVIDIA's archives.
  - Sets no environment. Which toolkit an engine uses is in its unit, by the plan.
extends_documentation_fragment:
  - railyard.sglang.attributes
attributes:
  diff_mode:
    support: none
options:
  state:
    description:
      - Whether the toolkit is to be there. With V(absent), toolkits of all versions that this module has made of archives go, others stay.
    type: str
    choices: [present, absent]
    default: present
  recipe:
    description: What the toolkit is installed from, the key C(cuda) of a stack's definition. Not needed with O(state=absent).
    type: dict
    default: {}
  needs:
    description: What the stack needs of a host, as the lookup P(railyard.sglang.stack_needs#lookup) gives it.
    type: dict
    default: {}
  home:
    description: Directory of the toolkit. If it is empty, that of the nvcc that programs find by themselves, as stage stack looks for it.
    type: str
    default: ""
  install:
    description:
      - V(no) checks only. V(packages) names the packages that are missing in RV(missing_packages), with O(defer).
      - V(archives) makes it of O(directory).
    type: str
    choices: ["no", packages, archives]
    default: "no"
  directory:
    description: Directory with the archives.
    type: path
    default: /srv/mirror/sources
  root:
    description: Directory below which a toolkit of archives is made, as C(cuda-VERSION).
    type: path
    default: /opt/sglang
  waive:
    description: Rules of docs/stacks.md that do not count, each with the reason. C(stack.nvcc) makes faults of the toolkit warnings.
    type: dict
    default: {}
  fetch:
    description: Whether an archive that is not there is fetched from its origin.
    type: bool
    default: false
  defer:
    description: With O(install=packages), leave packages that are missing to the caller instead of failing.
    type: bool
    default: false
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Check the toolkit of this host
  railyard.sglang.cuda_toolkit:
    recipe: "{{ (query('railyard.sglang.stack_definition', 'sglang-0.5.8-cu12') | first).cuda }}"
    needs: "{{ query('railyard.sglang.stack_needs', 'sglang-0.5.8-cu12') | first }}"
    home: /usr/local/cuda-12.9
"""

RETURN = r"""
toolkit:
  description: What was found - C(home), C(nvcc) and C(headers) with their versions.
  returned: when it is there
  type: dict
  sample: {home: /usr/local/cuda-12.9, nvcc: 12.9.86, headers: "12.9"}
missing_packages:
  description: Packages that would bring what is missing.
  returned: always
  type: list
  elements: str
removed:
  description: What was removed.
  returned: with O(state=absent)
  type: list
  elements: str
"""

import platform
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.deepep import recipe as recipes
from ansible_collections.railyard.sglang.plugins.module_utils.deepep import toolkit
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.plugins.module_utils.onhost.refusing import refuse
from ansible_collections.railyard.sglang.plugins.module_utils.stack import decide
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.gate import wrong_waivers
from ansible_collections.railyard.sglang.plugins.module_utils.stack.hosts import HostFacts, look
from ansible_collections.railyard.sglang.plugins.module_utils.stack.needs import Needs, parse_needs
from ansible_collections.railyard.sglang.plugins.module_utils.stack.ospackages import Table

ARGUMENTS = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "recipe": {"type": "dict", "default": {}},
    "needs": {"type": "dict", "default": {}},
    "home": {"type": "str", "default": ""},
    "install": {"type": "str", "choices": ["no", "packages", "archives"], "default": "no"},
    "directory": {"type": "path", "default": "/srv/mirror/sources"},
    "root": {"type": "path", "default": "/opt/sglang"},
    "waive": {"type": "dict", "default": {}},
    "fetch": {"type": "bool", "default": False},
    "defer": {"type": "bool", "default": False},
}
NVCC = "stack.nvcc"
FIXES = {
    "no": "set sglang_cuda_home to a toolkit of such a version, or sglang_cuda_install to packages or archives",
    "packages": "see whether NVIDIA's repository is configured on the host, and which packages it has",
    "archives": "see what the archives of the definition hold, or set sglang_cuda_install: packages",
}


COMPILER = "install g++ (gcc-c++ on RHEL), which nvcc starts and this host lacks; stage stack does it for a stack on GPUs"


def found(needs: Needs, facts: HostFacts, home: str, way: str) -> Tuple[toolkit.Toolkit, List[str], List[str]]:
    """Return the toolkit, what is wrong with it, each with what helps, and what may come by the same run.

    :param way: how the toolkit is installed.
    """
    own = [gpu.architecture for gpu in facts.gpus if gpu.vendor == "nvidia" and gpu.architecture]
    more = {name: row.nvcc for name, row in needs.architectures.items()}
    wanted = toolkit.least_of(needs.nvcc, more, dict.fromkeys(own), "code")
    there = toolkit.inspect(home)
    wrong = [f"{NVCC}: {text}. Fix: {FIXES[way]}" for text in toolkit.faults(there, wanted)]
    failed = toolkit.trial(home, sorted(set(own))) if own and not wrong else ""
    if not failed:
        return there, wrong, []
    if toolkit.has_host_compiler():
        return there, [f"{NVCC}: {failed}. Fix: {FIXES[way]}"], []
    return there, [], [f"{NVCC}: {failed}. Fix: {COMPILER}"]


def driver(params: Dict[str, Any], needs: Needs, facts: HostFacts) -> List[str]:
    """Return what is wrong with the loaded driver."""
    without = (set(decide.RULES) - {"stack.gpu-driver"}) | set(params["waive"])
    return [f"{row.rule}: {row.found}; {row.needed}. Fix: {row.fix}" for row in decide.reasons(needs, facts, Table({}, {}), without)]


def warn(module: AnsibleModule, texts: Sequence[str]) -> None:
    """Say what deserves a look."""
    for text in texts:
        module.warn(text)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    root = Path(params["root"])
    try:
        if params["state"] == "absent":
            there = [str(path) for path in toolkit.own(root)]
            gone = there if module.check_mode else toolkit.remove(root)
            module.exit_json(changed=bool(gone), removed=gone, missing_packages=[])
        wrong_waivers(params["waive"])
        recipe, needs = recipes.parse_cuda(params["recipe"]), parse_needs(params["needs"])
        archives = recipe.archives.get(platform.machine(), ())
        given = params["home"] or (str(root / f"cuda-{recipe.version}") if params["install"] == "archives" else "")
        facts = look(Root(), [], (), given)
        home = given or toolkit.usual(facts)
        refuse(module, driver(params, needs, facts))
        changed = False
        if params["install"] == "archives":
            none = f"there are no archives of CUDA {recipe.version} for {platform.machine()}. Fix: {FIXES['no']}"
            refuse(module, [] if archives else [none])
            changed = toolkit.install(root, recipe.version, archives, Path(params["directory"]), params["fetch"], check=module.check_mode)
        if changed and module.check_mode:
            module.exit_json(changed=True, missing_packages=[])
        found_there, wrong, later = found(needs, facts, home, params["install"])
    except StackError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or params['root']}: {error.strerror}. Fix: let root write there, and have space")
    names = recipe.packages.get(facts.system) or recipe.packages.get(facts.system.partition("-")[0]) or ()
    lacks = bool(found_there.problem or found_there.missing)
    if params["install"] == "packages" and lacks and names and params["defer"]:
        module.exit_json(changed=False, toolkit=found_there.plain(), missing_packages=list(names))
    if params["install"] == "packages" and lacks and not names:
        wrong.append(f"{NVCC}: no packages of CUDA {recipe.version} are known for {facts.title}. Fix: {FIXES['no']}")
    if module.check_mode:
        # Stage stack of the same run may install the compiler.
        warn(module, later)
    else:
        wrong += later
    if NVCC in params["waive"]:
        warn(module, [f"{text} (waived: {params['waive'][NVCC]})" for text in wrong])
    else:
        refuse(module, wrong)
    module.exit_json(changed=changed, toolkit=found_there.plain(), missing_packages=[])


if __name__ == "__main__":
    main()
