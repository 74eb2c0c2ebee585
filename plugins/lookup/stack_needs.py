# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup: what decides where stacks fit, read on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
name: stack_needs
short_description: Read what every known stack needs of a host
version_added: 0.1.0
author:
  - railyard.sglang contributors (@railyard)
description:
  - Reads the C(stack.yml) of all stacks of the collection and of further directories, and returns of each what decides where it fits.
  - Locks and files are not read, so stacks without a lock are returned, too.
options:
  _terms:
    description: Names of stacks. All of them if there are none.
  paths:
    description: Directories on the controller with more stacks. One of a name that the collection has, too, takes its place.
    type: list
    elements: path
    default: []
"""

EXAMPLES = r"""
- name: Show what a stack needs
  ansible.builtin.debug:
    msg: "{{ query('railyard.sglang.stack_needs', 'sglang-0.5.23-cu13') }}"
"""

RETURN = r"""
_list:
  description: One for each stack, with C(name), C(kind), C(python), C(machines), C(host), C(os), C(obtain) and C(locked).
  type: list
  elements: dict
"""

from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import read_needs
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.needs import parse_needs

OWN = Path(__file__).resolve().parents[2] / "roles" / "stack" / "files"


class LookupModule(LookupBase):
    """Reads the needs of stacks."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Return the needs of the stacks named in terms, of all if there are none."""
        self.set_options(var_options=variables, direct=kwargs)
        places = [OWN, *(Path(path) for path in reversed(self.get_option("paths")))]
        found = {entry.parent.name: entry.parent for place in places for entry in sorted(place.glob("*/stack.yml"))}
        wanted = [str(term) for term in terms] or sorted(found)
        unknown = sorted(set(wanted) - set(found))
        if unknown:
            raise AnsibleError(f"there is no stack {', '.join(unknown)}. Fix: use one of {', '.join(sorted(found))}.")
        try:
            rows = [read_needs(found[name], yaml.safe_load) for name in wanted]
            for row in rows:
                parse_needs(row)
        except StackError as error:
            raise AnsibleError(str(error)) from error
        return rows
