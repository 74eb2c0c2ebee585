#!/usr/bin/python
# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: a directory with every wheel that stacks are locked to."""

from __future__ import annotations

DOCUMENTATION = r"""
module: wheel_directory
short_description: Fill a directory with every wheel that stacks are locked to
version_added: 0.1.0
author:
  - railyard.sglang contributors (@railyard)
description:
  - Fetches, on a machine that has a package index, all wheels of the locks of stacks, and the wheel of uv which
    installs them. M(railyard.sglang.stack) then installs from the directory and needs no network.
  - Pip does the fetching, with its own configuration (C(pip.conf), C(PIP_*) variables). Every file is checked against
    the lock before it gets its name in the directory.
  - What is there already is not fetched again, also after a run that was interrupted. Files that are not locked by
    these stacks stay.
requirements:
  - pip in the Python that runs the module, in /usr/bin/python3 or in the first python3 of the path
options:
  path:
    description: The directory. It is made if it is missing.
    type: path
    required: true
  definitions:
    description: The definitions of the stacks, as the lookup P(railyard.sglang.stack_definition#lookup) gives them.
    type: list
    elements: dict
    required: true
  python_version:
    description:
      - The Python of the hosts that install, like V(3.11).
      - If it is empty, the first one that each definition names.
    type: str
    default: ""
  machine:
    description:
      - The machine type of the hosts that install, as C(uname -m) says it.
      - If it is empty, that of this machine.
    type: str
    default: ""
  glibc:
    description:
      - The glibc of the oldest host that installs, like V(2.34).
      - If it is empty, that of this machine.
    type: str
    default: ""
  index:
    description:
      - One more package index for pip, for instance PyTorch's for CPUs. Pip's own configuration comes first.
      - It may hold credentials; it reaches neither a log nor a command line.
    type: str
    default: ""
  parallel:
    description: Number of pip processes.
    type: int
    default: 4
  verify:
    description:
      - Read and check every file, instead of comparing names and sizes with those of the last run.
      - Corrupted ones are replaced.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Says which packages would be fetched.
  diff_mode:
    support: full
    description: Shows the wheels that are added.
  platform:
    support: full
    platforms: linux
    description: Machines that it runs on.
"""

EXAMPLES = r"""
- name: Fetch all wheels of two stacks
  railyard.sglang.wheel_directory:
    path: /srv/wheels
    definitions: "{{ query('railyard.sglang.stack_definition', 'sglang-0.5.8-cpu', 'sglang-router-0.3.2') }}"
"""

RETURN = r"""
fetched:
  description: The wheels that were fetched. In check mode, the packages that would be.
  returned: always
  type: list
  elements: str
  sample: [torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl]
wheels:
  description: Number of wheels in the directory that the stacks are locked to.
  returned: always
  type: int
  sample: 111
mib:
  description: Their size in MiB.
  returned: always
  type: int
  sample: 560
"""

import os
import platform
import re
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import Definition, parse_definition
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.fetch import Fetch, fetch_all, inspect_all
from ansible_collections.railyard.sglang.plugins.module_utils.stack.host import MIB
from ansible_collections.railyard.sglang.plugins.module_utils.stack.wheels import Target, local_glibc

SPEC: dict[str, dict[str, Any]] = {
    "path": {"type": "path", "required": True},
    "definitions": {"type": "list", "elements": "dict", "required": True},
    "python_version": {"type": "str", "default": ""},
    "machine": {"type": "str", "default": ""},
    "glibc": {"type": "str", "default": ""},
    "index": {"type": "str", "default": "", "no_log": True},
    "parallel": {"type": "int", "default": 4},
    "verify": {"type": "bool", "default": False},
}


def target_from(params: dict[str, Any], definition: Definition) -> Target:
    """Return what the wheels of a definition have to fit. Raises StackError."""
    python = params["python_version"] or definition.pythons[0]
    if python not in definition.pythons:
        problem = f"it is locked for Python {', '.join(definition.pythons)} and not for {python}"
        raise StackError(f"stack {definition.name}", problem, "set python_version to one of these")
    glibc = local_glibc()
    if params["glibc"]:
        match = re.match(r"^(\d+)\.(\d+)$", params["glibc"])
        if not match:
            raise StackError("glibc", f"{params['glibc']!r} is not a version like 2.34", "correct it")
        glibc = (int(match[1]), int(match[2]))
    return Target(int(python.partition(".")[2]), params["machine"] or platform.machine(), glibc)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    # Whoever installs may be another user, whatever this one's umask is.
    os.umask(0o022)
    params = module.params
    directory = Path(params["path"])
    try:
        definitions = [parse_definition(data) for data in params["definitions"]]
        requests = [
            Fetch(
                directory,
                {**definition.installer, **definition.pins},
                target_from(params, definition),
                index=params["index"],
                parallel=max(1, params["parallel"]),
                verify=params["verify"],
            )
            for definition in definitions
        ]
        found = inspect_all(requests)
        changed = bool(found.missing or found.leftover)
        fetched = found.missing
        if changed and not module.check_mode:
            fetched = fetch_all(requests, f"wheel directory {directory}")
            found = inspect_all(requests)
    except StackError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=changed,
        fetched=fetched,
        wheels=len(found.entries),
        mib=sum(entry["size"] for entry in found.entries.values()) // MIB,
        diff={"before": "", "after": "".join(f"{name}\n" for name in fetched)},
    )


if __name__ == "__main__":
    main()
