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
  - The link to a stack below O(root) is switched to complete trees only, by a rename.
  - A build that was interrupted, by a kill, a full disk or a power cut, was never current. The next run removes what
    it left and begins anew.
  - Earlier trees are kept for a rollback, as many as O(keep) says.
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
    description: With O(source=index), one more package index for pip, for instance PyTorch's for CPUs.
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
      - In a shared store the links of the other hosts are not visible, so a tree that one of them still uses may go with any other value.
    type: int
    default: 2
  defer:
    description:
      - If a system library is missing, or the tree in a shared store, leave that stack alone and name it in
        RV(deferred) instead of failing.
      - For a first pass, after which packages are installed and the builder has built.
    type: bool
    default: false
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
  description: What was done for each stack, by name. In check mode, what would be done.
  returned: always
  type: dict
  sample:
    sglang-0.5.8-cpu:
      action: built
      content: 0f3a5c1d2e4b
      files: 38000
      kind: engine
      mib: 2100
      packages_changed: []
      path: /opt/sglang/sglang-0.5.8-cpu
      pruned: []
      python: 3.11.2
      seconds: {bytecode: 14.1, hash: 0.7, import: 12.0, install: 12.2}
      tree: /opt/sglang/store/sglang-0.5.8-cpu-0f3a5c1d2e4b
deferred:
  description: Stacks that were left alone because of O(defer), and what each waits for.
  returned: always
  type: list
  elements: str
  sample: ["sglang-0.5.8-cpu needs libnuma.so.1"]
missing_libraries:
  description: System libraries that the stacks need and the host lacks.
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

import platform
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.stack.apply import Options, apply
from ansible_collections.railyard.sglang.plugins.module_utils.stack.build import Source
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import parse_definition
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.host import missing_packages

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
    "index": {"type": "str", "default": ""},
    "python": {"type": "str", "default": ""},
    "keep": {"type": "int", "default": 2},
    "defer": {"type": "bool", "default": False},
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
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    try:
        options = options_from(module.params, module.check_mode)
        definitions = [parse_definition(data) for data in module.params["definitions"]]
        outcome = apply(definitions, options, platform.machine())
    except StackError as error:
        module.fail_json(msg=str(error))
    trees = {row["path"]: row["tree"] for row in outcome.stacks.values()}
    module.exit_json(
        changed=outcome.changed,
        ansible_facts={"sglang_stack_trees": trees},
        stacks=outcome.stacks,
        deferred=outcome.deferred,
        missing_libraries=[library.soname for library in outcome.libraries],
        missing_packages=missing_packages(outcome.libraries),
        diff={"before": outcome.before, "after": outcome.after},
    )


if __name__ == "__main__":
    main()
