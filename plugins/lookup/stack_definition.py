# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup: definitions of stacks, read on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
name: stack_definition
short_description: Read the definitions of stacks on the controller
version_added: 0.1.0
author:
  - railyard.sglang contributors (@railyard)
description:
  - Reads a stack's directory (C(stack.yml), C(requirements.txt) and the files that it names) as the plain data that
    M(railyard.sglang.stack) and M(railyard.sglang.wheel_directory) take.
options:
  _terms:
    description: Names of stacks.
    required: true
  paths:
    description: Directories on the controller with more stacks, looked through before the collection's own.
    type: list
    elements: path
    default: []
"""

EXAMPLES = r"""
- name: Show what a stack is locked to
  ansible.builtin.debug:
    msg: "{{ query('railyard.sglang.stack_definition', 'sglang-router-0.3.2') }}"
"""

RETURN = r"""
_list:
  description: One definition for each name.
  type: list
  elements: dict
"""

from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import parse_definition, read_definition
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError

OWN = Path(__file__).resolve().parents[2] / "roles" / "stack" / "files"


def find(name: str, directories: list[Path]) -> Path:
    """Return the directory of a stack; raise StackError naming the stacks that there are."""
    for directory in directories:
        if (directory / name / "stack.yml").is_file():
            return directory / name
    known = sorted({entry.parent.name for directory in directories for entry in directory.glob("*/stack.yml")})
    raise StackError(f"stack {name}", "there is no such stack", f"use one of {', '.join(known)}, or name its directory")


class LookupModule(LookupBase):
    """Reads definitions of stacks."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Return the definitions of the stacks named in terms."""
        self.set_options(var_options=variables, direct=kwargs)
        directories = [*(Path(path) for path in self.get_option("paths")), OWN]
        try:
            found = []
            for term in terms:
                data = read_definition(find(str(term), directories), OWN / "installer.txt", yaml.safe_load)
                parse_definition(data)
                found.append(data)
            return found
        except StackError as error:
            raise AnsibleError(str(error)) from error
