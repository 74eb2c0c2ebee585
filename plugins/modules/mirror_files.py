#!/usr/bin/python
# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: what a host needs, from a signed mirror."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mirror_files
short_description: Take wheels, models and sources from a signed mirror
version_added: 0.1.0
author:
  - railyard.sglang contributors (@railyard)
description:
  - Reads the manifest of a mirror that M(railyard.sglang.mirror) has published, by path or over HTTP, and checks its signature
    before anything else.
  - Copies the wheels of stacks for this host's Python, and models and sources by name. A file gets its name after its sha256 was
    found to be that of
    the signed manifest; what an interrupted run has left is gone on with.
  - With O(copy=false) nothing is copied from a mounted mirror, and it is checked where it is.
requirements:
  - ssh-keygen of OpenSSH 8.2 or later
options:
  source:
    description: Directory of the mirror on this host, or the HTTP address of a file server that gives it out.
    type: str
    required: true
  signers:
    description: Public keys of which one has to have signed the mirror, each as the one line of a C(.pub) file.
    type: list
    elements: str
    required: true
  path:
    description: Directory that files are copied into, with the layout of the mirror. Wheels are in its C(wheels).
    type: path
    default: /srv/mirror
  copy:
    description: Whether to copy. Without, O(source) has to be a directory.
    type: bool
    default: true
  definitions:
    description: The definitions of stacks whose wheels are wanted, as the lookup P(railyard.sglang.stack_definition#lookup) gives them.
    type: list
    elements: dict
    default: []
  python:
    description:
      - Interpreter that the stacks are built with. If it is empty, one of a version that the definition names is looked for.
      - Where none is installed yet, the wheels are copied of all those versions that the mirror has whole.
    type: str
    default: ""
  models:
    description: Names of models that are wanted.
    type: list
    elements: str
    default: []
  sources:
    description: Names of sources that are wanted.
    type: list
    elements: str
    default: []
  verify:
    description: Read every file that is there already, instead of comparing size and time with those of the last run.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Checks the manifest's signature and says which files would be copied.
  diff_mode:
    support: full
    description: Shows the files that are copied.
  platform:
    support: full
    platforms: linux
    description: Machines that it runs on.
seealso:
  - module: railyard.sglang.mirror
"""

EXAMPLES = r"""
- name: Have the wheels of a stack on a host without a route out
  railyard.sglang.mirror_files:
    source: http://192.0.2.10:8080/mirror
    signers: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI... mirror"]
    definitions: "{{ query('railyard.sglang.stack_definition', 'sglang-0.5.8-cpu') }}"
"""

RETURN = r"""
copied:
  description: Files that were copied, or would be in check mode.
  returned: always
  type: list
  elements: str
  sample: [wheels/sglang-0.5.8-py3-none-any.whl]
wheels:
  description: Directory of the wheels, for O(railyard.sglang.stack#module:wheels).
  returned: always
  type: str
  sample: /srv/mirror/wheels
models:
  description: Directories of the models, by name.
  returned: always
  type: dict
"""

import os
import platform
from pathlib import Path
from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.mirror import sync
from ansible_collections.railyard.sglang.plugins.module_utils.mirror.transfer import is_url
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import Definition, parse_definition
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.host import find_python
from ansible_collections.railyard.sglang.plugins.module_utils.stack.wheels import Target, local_glibc

SPEC: Dict[str, Dict[str, Any]] = {
    "source": {"type": "str", "required": True},
    "signers": {"type": "list", "elements": "str", "required": True},
    "path": {"type": "path", "default": "/srv/mirror"},
    "copy": {"type": "bool", "default": True},
    "definitions": {"type": "list", "elements": "dict", "default": []},
    "python": {"type": "str", "default": ""},
    "models": {"type": "list", "elements": "str", "default": []},
    "sources": {"type": "list", "elements": "str", "default": []},
    "verify": {"type": "bool", "default": False},
}


def minors(definition: Definition, python: str) -> List[int]:
    """Return the minor version of the Python that a stack is built with; all that it is locked for where none is installed yet."""
    try:
        return [find_python(definition.pythons, python, f"stack {definition.name}")[1][1]]
    except StackError:
        if python:
            raise
        return [int(version.partition(".")[2]) for version in definition.pythons]


def wish_from(params: Dict[str, Any]) -> sync.Wish:
    """Return what this host needs. Raises StackError."""
    definitions = [row for row in map(parse_definition, params["definitions"]) if row.pins]
    machine, glibc = platform.machine(), local_glibc()
    targets = [[Target(minor, machine, glibc) for minor in minors(row, params["python"])] for row in definitions]
    return sync.Wish(definitions, targets, params["models"], params["sources"])


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    params = module.params
    # Services read these files as users of their own, whatever root's umask is.
    os.umask(0o022)
    if not params["copy"] and is_url(params["source"]):
        module.fail_json(msg=f"source: {params['source']} is no directory of this host. Fix: copy from it, or mount the mirror.")
    try:
        wish = wish_from(params)
        flags = {"copy": params["copy"], "check": module.check_mode, "verify": params["verify"]}
        taken = sync.take(params["source"], params["signers"], wish, Path(params["path"]), **flags)
    except StackError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(taken.copied),
        copied=taken.copied,
        wheels=str(taken.place / sync.WHEELS),
        models=taken.models,
        diff={"before": "", "after": "".join(f"{path}\n" for path in taken.copied)},
    )


if __name__ == "__main__":
    main()
