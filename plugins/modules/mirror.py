#!/usr/bin/python
# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: a mirror of all that hosts without a route out install from."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mirror
short_description: Complete and publish a mirror with a signed manifest and a bill of materials
version_added: 0.1.0
author:
  - railyard.sglang contributors (@railyard)
description:
  - On a machine with a package index, completes a directory with sources and models, beside the wheels that
    M(railyard.sglang.wheel_directory) has put
    into its C(wheels), and publishes C(manifest.json) - size and sha256 of every file - with a signature by C(ssh-keygen) and a bill
    of materials in
    CycloneDX 1.6 (JSON).
  - The manifest is replaced by one rename, as the last step. Until then readers have the former mirror; what an interrupted run has
    brought is gone on with.
  - Files of earlier manifests stay.
requirements:
  - ssh-keygen of OpenSSH 8.2 or later
options:
  path:
    description: The directory. It is made if it is missing.
    type: path
    required: true
  definitions:
    description: The definitions of the stacks, as the lookup P(railyard.sglang.stack_definition#lookup) gives them. All wheels of
      their locks have to be there.
    type: list
    elements: dict
    required: true
  key:
    description: Private key that signs the manifest, made by C(ssh-keygen -t ed25519). With a public key, ssh-agent has to hold the
      private one.
    type: path
    required: true
  sources:
    description:
      - Files that are to be in the mirror, for instance archives of sources. Those that the stacks name (CUDA, DeepEP, gdrcopy) are
        added; one of the same name here takes its place.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name in the mirror.
        type: str
        required: true
      origin:
        description: Path or HTTP address that it comes from. The manifest names it without user, query and fragment.
        type: str
        required: true
      sha256:
        description: Its sha256.
        type: str
        required: true
  models:
    description:
      - Directories of whole models, by the name that they get in the mirror. Files further below are taken too; hidden files and
        directories, such as C(.gitattributes), are not, nor is C(SHA256SUMS).
      - RV(railyard.sglang.model#module:checksum) of what is in the mirror stands in its manifest.
    type: dict
    default: {}
  os_packages:
    description: Names of operating system packages that hosts need, by system. They are listed in the manifest, and not fetched.
    type: dict
    default: {}
  systems:
    description: Systems of the hosts, like V(debian-12), for which the packages that the stacks need are added to that list.
    type: list
    elements: str
    default: []
  table:
    description: The table of operating system packages with which O(systems) are looked up, C(os_packages.yml) of the role stack as data.
    type: dict
    default: {}
  verify:
    description: Read everything again that was found good before. What is damaged is brought anew, except wheels, for which
      M(railyard.sglang.wheel_directory) does that.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Says what is missing, and whether the manifest would change.
  diff_mode:
    support: full
    description: Shows the files that the manifest names.
  platform:
    support: full
    platforms: linux
    description: Machines that it runs on.
seealso:
  - module: railyard.sglang.mirror_files
  - module: railyard.sglang.wheel_directory
"""

EXAMPLES = r"""
- name: Publish a mirror of two stacks and a model
  railyard.sglang.mirror:
    path: /srv/mirror
    definitions: "{{ query('railyard.sglang.stack_definition', 'sglang-0.5.8-cpu', 'sglang-router-0.3.2') }}"
    models:
      DeepSeek-R1: /data/models/DeepSeek-R1
    key: ~/.ssh/mirror
"""

RETURN = r"""
missing:
  description: What was brought; in check mode, what would be.
  returned: always
  type: list
  elements: str
files:
  description: Number of files that the manifest names.
  returned: always
  type: int
mib:
  description: Their size in MiB.
  returned: always
  type: int
sbom:
  description: Path of the bill of materials.
  returned: when nothing is missing
  type: str
"""

import os
import re
from pathlib import Path
from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.deepep.recipe import archives
from ansible_collections.railyard.sglang.plugins.module_utils.mirror import manifest
from ansible_collections.railyard.sglang.plugins.module_utils.mirror.build import (
    Content,
    Item,
    Request,
    build,
    documents,
    inspect,
    is_published,
)
from ansible_collections.railyard.sglang.plugins.module_utils.mirror.ospackages import merge, wanted
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import parse_definition
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.host import MIB
from ansible_collections.railyard.sglang.plugins.module_utils.stack.ospackages import parse_table

SPEC: Dict[str, Dict[str, Any]] = {
    "path": {"type": "path", "required": True},
    "definitions": {"type": "list", "elements": "dict", "required": True},
    "key": {"type": "path", "required": True, "no_log": False},
    "sources": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {name: {"type": "str", "required": True} for name in ("name", "origin", "sha256")},
    },
    "models": {"type": "dict", "default": {}},
    "os_packages": {"type": "dict", "default": {}},
    "systems": {"type": "list", "elements": "str", "default": []},
    "table": {"type": "dict", "default": {}},
    "verify": {"type": "bool", "default": False},
}


def request_from(params: Dict[str, Any]) -> Request:
    """Return what the mirror is to hold. Raises StackError."""
    for name in [*(row["name"] for row in params["sources"]), *params["models"]]:
        if not manifest.is_name(name):
            raise StackError(f"mirror {params['path']}", f"{name!r} cannot be a name in a mirror", "use letters, digits and . _ + @ = ! -")
    for row in params["sources"]:
        if not re.match(r"^[0-9a-f]{64}$", row["sha256"]):
            raise StackError(f"source {row['name']}", "its sha256 is not 64 hexadecimal digits", "give the output of sha256sum")
    given = [parse_definition(data) for data in params["definitions"]]
    definitions = [row for row in given if row.pins]
    named = {row["name"] for row in params["sources"]}
    of_stacks = {row.name: row for definition in given for row in archives(definition.recipes) if row.name not in named}
    computed = wanted(definitions, parse_table(params["table"]), params["systems"])
    return Request(
        root=Path(params["path"]),
        definitions=definitions,
        key=Path(params["key"]),
        sources=[Item(row["name"], row["origin"], row["sha256"]) for row in params["sources"]]
        + [Item(row.name, row.origin, row.sha256) for row in of_stacks.values()],
        models={name: Path(path) for name, path in params["models"].items()},
        os_packages=merge(params["os_packages"], computed),
        verify=params["verify"],
    )


def names(content: Content) -> str:
    """Return the files of a mirror as lines."""
    return "".join(f"{path} {row['sha256']}\n" for path, row in sorted(content.files.items()))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    # File servers give it out as users of their own, whatever root's umask is.
    os.umask(0o022)
    try:
        request = request_from(module.params)
        before = inspect(request)
        changed = bool(before.missing) or not is_published(request, before)
        after = build(request) if changed and not module.check_mode else before
    except StackError as error:
        module.fail_json(msg=str(error))
    missing: List[str] = before.missing
    result = {"sbom": str(request.root / documents(after)[1])} if not after.missing else {}
    module.exit_json(
        changed=changed,
        missing=missing,
        files=len(after.files),
        mib=sum(row["size"] for row in after.files.values()) // MIB,
        diff={"before": names(before), "after": names(after) + "".join(f"{name}\n" for name in after.missing)},
        **result,
    )


if __name__ == "__main__":
    main()
