#!/usr/bin/python
# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: pinned, locked stacks of engine packages in versioned directories."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack
short_description: Install pinned, locked stacks of engine packages and switch to them atomically
version_added: 0.1.0
author:
  - railyard.sglang contributors (@railyard)
description:
  - Applies a list of stacks to a host in one call. A stack is a definition with a lock file, as the lookup
    P(railyard.sglang.stack_definition#lookup) reads it.
  - A stack is built as a virtual environment in O(store) under its name and the hash of its content, Python version
    included. It is complete when a marker says so, which is written last, after every locked package was found in it
    and every import check of the definition passed.
  - The link to a stack below O(root) is switched to complete trees only, by a rename. As long as a service of this collection starts from
    the link and runs, it is not switched - M(railyard.sglang.service_state) does it between stop and start of that service.
  - A build that was interrupted, by a kill, a full disk or a power cut, was never current. The next run removes what
    it left and begins anew.
  - Earlier trees are kept for a rollback, as many as O(keep) says.
  - Before anything is downloaded, also in check mode, the host is compared with what each stack needs - its C library and C++ library, GPUs
    and their driver, nvcc, Python. A stack that cannot work there fails with every reason, the fix, and the stacks that would work instead.
options:
  definitions:
    description: The definitions of the stacks, as the lookup P(railyard.sglang.stack_definition#lookup) gives them.
    type: list
    elements: dict
    required: true
  names:
    description:
      - Which of the definitions this host uses, and so gets a link to. The others are built only.
      - All of them if this is not given.
    type: list
    elements: str
  root:
    description: Directory of the links.
    type: path
    default: /opt/sglang
  store:
    description: Directory of the trees, V(store) below O(root) if it is not given.
    type: path
  delivery:
    description:
      - V(local) builds the stacks on this host.
      - V(store) takes them from a O(store) which hosts share, for instance over NFS. It has to be mounted at the same
        path everywhere, and read-write on the host with O(builder=true) alone.
    type: str
    choices: [local, store]
    default: local
  builder:
    description:
      - With O(delivery=store), whether this host builds what the store lacks.
      - Other hosts check that it is complete and link to it.
    type: bool
    default: false
  builder_name:
    description: With O(delivery=store), the inventory name of the host that builds, for error messages.
    type: str
    default: ""
  builder_in_play:
    description:
      - Whether that host takes part in the run.
      - Check mode then expects what is missing in the store to be built.
    type: bool
    default: false
  source:
    description:
      - V(wheels) installs from O(wheels) and from nothing else.
      - V(index) has pip of this host fetch the locked wheels first, with its own configuration.
    type: str
    choices: [wheels, index]
    default: wheels
  wheels:
    description:
      - Directory on this host with the wheels of the locks and the one of uv.
      - M(railyard.sglang.wheel_directory) fills it.
    type: path
    default: /srv/wheels
  index:
    description:
      - With O(source=index), one more package index for pip, for instance PyTorch's for CPUs.
      - It may hold credentials; it reaches neither a log nor a command line.
    type: str
    default: ""
  python:
    description:
      - Interpreter that the stacks are built with.
      - If it is empty, one of a version that the definition names is looked for.
    type: str
    default: ""
  keep:
    description:
      - How many complete trees of each stack to keep, the current one included. V(0) removes none.
      - Trees that a link below O(root) points to, that a service of this collection starts from or that a process of this host uses stay.
      - In a shared store the links of the other hosts are not visible, so a tree that one of them still uses may go with any other value.
    type: int
    default: 2
  rebuild:
    description:
      - Build every stack that this host builds anew, although it is complete, and put it in the place of the former tree in one step.
      - For a tree in which something was changed or damaged. A stack that a service of this host runs from is refused.
    type: bool
    default: false
  defer:
    description:
      - If a system library is missing, or the tree in a shared store, leave that stack alone and name it in
        RV(deferred) instead of failing.
      - For a first pass, after which packages are installed and the builder has built.
    type: bool
    default: false
  decide:
    description: Whether to decide only, and neither build nor link.
    type: bool
    default: false
  host:
    description: Name of this host, for messages.
    type: str
    default: this host
  known:
    description:
      - What decides where each known stack fits, as the lookup P(railyard.sglang.stack_needs#lookup) gives it.
      - For the ones that would work where a stack is refused.
    type: list
    elements: dict
    default: []
  table:
    description:
      - The table of operating system packages, C(roles/stack/files/os_packages.yml) as data.
      - If it is empty, packages are those that the definitions name.
    type: dict
    default: {}
  system_packages:
    description:
      - Whether packages of the operating system are installed for the stacks after this call.
      - If not, a host that lacks some is refused at once.
    type: bool
    default: true
  waive:
    description: Rules by which a host would be refused and that do not count, each with a written reason.
    type: dict
    default: {}
  library_path:
    description:
      - Directories that the loader searches first when a stack is decided on and its modules are imported.
      - Those of C(LD_LIBRARY_PATH) of its unit.
    type: list
    elements: path
    default: []
  cuda_home:
    description:
      - CUDA toolkit that the engine is told to use.
      - If it is empty, the one that programs find by themselves counts, on the path or at C(/usr/local/cuda).
    type: str
    default: ""
  external:
    description:
      - Environments that exist already, by the name of the stack that each is, with C(path), and where wanted C(wrapper) (a list of words)
        and C(versions).
      - They are checked like a stack that was built and linked by a script. Nothing in them is changed.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
    description: Predicts exactly what a run changes, and works on a host that has nothing yet.
  diff_mode:
    support: full
    description: Shows the tree that the link points to, and its packages, before and after.
  platform:
    support: full
    platforms: linux
    description: Machines that it runs on.
"""

EXAMPLES = r"""
- name: Build and use an engine stack on this host
  railyard.sglang.stack:
    definitions: "{{ query('railyard.sglang.stack_definition', 'sglang-0.5.8-cpu') }}"

- name: Use it from a store that hosts share, in which r0 builds
  railyard.sglang.stack:
    definitions: "{{ query('railyard.sglang.stack_definition', 'sglang-0.5.8-cpu') }}"
    delivery: store
    builder: "{{ inventory_hostname == 'r0' }}"
    builder_name: r0
    builder_in_play: "{{ 'r0' in ansible_play_hosts_all }}"
"""

RETURN = r"""
ansible_facts:
  description: Facts about this host.
  returned: success
  type: dict
  contains:
    sglang_stack_trees:
      description: What each stack's link points to, by link. In check mode, what it would point to.
      returned: success
      type: dict
      sample: {/opt/sglang/sglang-0.5.8-cpu: /opt/sglang/store/sglang-0.5.8-cpu-0f3a5c1d2e4b}
stacks:
  description:
    - What was done for each stack, by name. In check mode, what would be done.
    - C(action) is V(built), V(linked), V(none), V(waiting) (see RV(deferred)), or V(held), where nothing but a link is to be switched
      that services run from. C(held) names these services.
  returned: always
  type: dict
  sample:
    sglang-0.5.8-cpu:
      action: built
      content: 0f3a5c1d2e4b
      files: 38000
      held: []
      kind: engine
      mib: 2100
      packages_changed: []
      path: /opt/sglang/sglang-0.5.8-cpu
      pruned: []
      python: 3.11.2
      seconds: {bytecode: 14.1, hash: 0.7, import: 12.0, install: 12.2}
      tree: /opt/sglang/store/sglang-0.5.8-cpu-0f3a5c1d2e4b
unplanned:
  description: Complete trees in the O(store) of stacks that are not in O(definitions), with C(stack), C(tree), C(mib). Nobody removes them.
  returned: when the host builds
  type: list
  elements: dict
deferred:
  description: Stacks that were left alone because of O(defer), and what each waits for.
  returned: always
  type: list
  elements: str
  sample: ["sglang-0.5.8-cpu needs libnuma.so.1"]
refused:
  description: By stack, the reasons why this host cannot run it, each with C(rule), C(found), C(needed), C(fix) and C(instead).
  returned: when a stack is refused
  type: dict
missing_libraries:
  description: System libraries, programs and Pythons that the stacks need and the host lacks.
  returned: always
  type: list
  elements: str
  sample: [libnuma.so.1]
missing_packages:
  description: The packages that bring them, as this host's package manager calls them.
  returned: always
  type: list
  elements: str
  sample: [libnuma1]
"""

import os
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.plugins.module_utils.services import units
from ansible_collections.railyard.sglang.plugins.module_utils.stack import decide, inuse
from ansible_collections.railyard.sglang.plugins.module_utils.stack.apply import Options, apply
from ansible_collections.railyard.sglang.plugins.module_utils.stack.build import Source
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import parse_definition
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.external import parse_external
from ansible_collections.railyard.sglang.plugins.module_utils.stack.gate import Gate, refused, wrong_waivers
from ansible_collections.railyard.sglang.plugins.module_utils.stack.needs import parse_needs
from ansible_collections.railyard.sglang.plugins.module_utils.stack.ospackages import parse_table

SPEC: dict[str, dict[str, Any]] = {
    "definitions": {"type": "list", "elements": "dict", "required": True},
    "names": {"type": "list", "elements": "str"},
    "root": {"type": "path", "default": "/opt/sglang"},
    "store": {"type": "path"},
    "delivery": {"type": "str", "choices": ["local", "store"], "default": "local"},
    "builder": {"type": "bool", "default": False},
    "builder_name": {"type": "str", "default": ""},
    "builder_in_play": {"type": "bool", "default": False},
    "source": {"type": "str", "choices": ["wheels", "index"], "default": "wheels"},
    "wheels": {"type": "path", "default": "/srv/wheels"},
    "index": {"type": "str", "default": "", "no_log": True},
    "python": {"type": "str", "default": ""},
    "keep": {"type": "int", "default": 2},
    "rebuild": {"type": "bool", "default": False},
    "defer": {"type": "bool", "default": False},
    "decide": {"type": "bool", "default": False},
    "host": {"type": "str", "default": "this host"},
    "known": {"type": "list", "elements": "dict", "default": []},
    "table": {"type": "dict", "default": {}},
    "system_packages": {"type": "bool", "default": True},
    "waive": {"type": "dict", "default": {}},
    "library_path": {"type": "list", "elements": "path", "default": []},
    "cuda_home": {"type": "str", "default": ""},
    "external": {"type": "dict", "default": {}},
}


def options_from(params: dict[str, Any], check: bool) -> Options:
    """Return the options of a run from the module's parameters. Raises StackError."""
    shared = params["delivery"] == "store"
    if params["keep"] < 0 or (shared and params["keep"] == 1):
        problem = f"{params['keep']} trees cannot be kept with delivery {params['delivery']}"
        raise StackError("keep", problem, "set it to 0, which removes none, or to 2 or more")
    names = params["names"]
    if names is None:
        names = [str(data.get("name")) for data in params["definitions"]]
    unknown = set(names) - {str(data.get("name")) for data in params["definitions"]}
    if unknown:
        raise StackError("names", f"no definition was given for {', '.join(sorted(unknown))}", "give it in definitions")
    root = Path(params["root"])
    environment = {"LD_LIBRARY_PATH": os.pathsep.join(params["library_path"]), "CUDA_HOME": params["cuda_home"]}
    return Options(
        root=root,
        store=Path(params["store"]) if params["store"] else root / "store",
        builds=not shared or params["builder"],
        builder=params["builder_name"],
        builder_in_play=params["builder_in_play"],
        source=Source(Path(params["wheels"]) if params["source"] == "wheels" else None, params["index"]),
        python=params["python"],
        keep=params["keep"],
        link=frozenset(names),
        defer=params["defer"],
        check=check,
        table=parse_table(params["table"]),
        installs=params["system_packages"],
        external=parse_external(params["external"]),
        environment={name: value for name, value in environment.items() if value},
        rebuild=params["rebuild"],
    )


def gate_from(params: dict[str, Any], options: Options) -> Gate:
    """Return what the decision knows besides the stacks. Raises StackError."""
    wrong_waivers(params["waive"])
    return Gate(
        known=[parse_needs(data) for data in params["known"]],
        table=options.table,
        waived=params["waive"],
        library_path=params["library_path"],
        cuda_home=params["cuda_home"],
        python=params["python"],
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    # Services read links and trees as users of their own, whatever root's umask is.
    os.umask(0o022)
    try:
        options = options_from(module.params, module.check_mode)
        options = replace(options, services=lambda link: inuse.services(link, module.run_command, units.DIRECTORY))
        definitions = [parse_definition(data) for data in module.params["definitions"]]
        gate = gate_from(module.params, options)
        needs = [definition.needs for definition in definitions if options.takes(definition.name)]
        facts = gate.facts(needs, Root())
        reasons = refused(needs, gate, facts, options.link, options.external)
        if reasons:
            plain = {name: [reason.plain() for reason in found] for name, found in reasons.items()}
            module.fail_json(msg=decide.text(module.params["host"], reasons), refused=plain)
        if module.params["decide"]:
            module.exit_json(changed=False, stacks={}, deferred=[], missing_libraries=[], missing_packages=[])
        outcome = apply(definitions, replace(options, system=facts.system), platform.machine())
    except (StackError, units.UnitError) as error:
        module.fail_json(msg=str(error))
    for row in outcome.stacks.values():
        if row["held"]:
            runs = ", ".join(row["held"])
            fix = "stages engine and router switch the link where they restart it, by consent (--tags stack,deepep,deepgemm,engine,router)"
            module.warn(f"{row['path']} does not point to {row['tree']} yet: {runs} runs from what it points to; {fix}")
    trees = {row["path"]: row["tree"] for row in outcome.stacks.values()}
    module.exit_json(
        changed=outcome.changed,
        ansible_facts={"sglang_stack_trees": trees},
        stacks=outcome.stacks,
        deferred=outcome.deferred,
        unplanned=outcome.unplanned,
        missing_libraries=[missing.what for missing in outcome.lacks],
        missing_packages=sorted({missing.package for missing in outcome.lacks}),
        diff={"before": outcome.before, "after": outcome.after},
    )


if __name__ == "__main__":
    main()
