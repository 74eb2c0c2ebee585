# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module model: a model directory on the host, whole and known by its checksum."""

from __future__ import annotations

DOCUMENTATION = r"""
module: model
short_description: Provide a model directory and prove that it is whole
version_added: 0.1.0
description:
  - With O(source=path) the directory must be there already. Every weight file's length is compared with what its own header promises, so
    a truncated or missing shard is found in milliseconds, and the checksum is compared where one is given.
  - With O(source=tiny) the collection's own tiny model is written - a two-layer Llama with real random weights, the same bytes on every
    host - and repaired where a file was damaged.
  - A directory is written beside its final place and renamed, so a half-written model never has the final name.
extends_documentation_fragment:
  - railyard.sglang.attributes
attributes:
  diff_mode:
    support: full
options:
  path:
    description: Directory of the model on the host.
    type: path
    required: true
  source:
    description: Where the model comes from.
    type: str
    choices: [path, tiny]
    default: path
  checksum:
    description:
      - SHA-256 over the sorted lines C(SHA256  NAME) of all files of the directory, as RV(checksum) returns it. Empty skips the comparison
        and, for O(source=path), reading the weights.
    type: str
    default: ''
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Write the tiny model
  railyard.sglang.model:
    path: /opt/models/tiny
    source: tiny

- name: Prove that a model on an NFS mount is whole
  railyard.sglang.model:
    path: /app/models/DeepSeek-R1
"""

RETURN = r"""
checksum:
  description: SHA-256 of the whole directory; empty when it was not read or does not exist yet.
  returned: always
  type: str
problems:
  description: What was wrong before the module ran.
  returned: always
  type: list
  elements: str
"""

import glob
import os
import shutil
import tempfile
from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.model import directory, tiny


def publish(path: str) -> None:
    """Write the tiny model beside path, then exchange it for what is there; remains of an interrupted run are removed."""
    parent, name = os.path.split(path)
    os.makedirs(parent, exist_ok=True)
    for remains in glob.glob(os.path.join(parent, f".{name}.*")):
        shutil.rmtree(remains)
    staging = tempfile.mkdtemp(prefix=f".{name}.new-", dir=parent)
    try:
        tiny.write(staging)
        os.chmod(staging, 0o755)
        old = ""
        if os.path.lexists(path):
            old = tempfile.mkdtemp(prefix=f".{name}.old-", dir=parent)
            os.rename(path, os.path.join(old, "was"))
        os.rename(staging, path)
    except OSError:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    if old:
        shutil.rmtree(old)


def tiny_problems(path: str) -> List[str]:
    """Return how a directory differs from the tiny model."""
    found = directory.problems(path)
    if found:
        return found
    wanted = tiny.parts()
    rows = []
    for name, content in wanted.items():
        target = os.path.join(path, name)
        try:
            with open(target, "rb") as stream:
                same = stream.read() == content
        except OSError:
            same = False
        if not same:
            rows.append(f"{name} is missing or differs")
    return rows


def fail(module: AnsibleModule, problems: List[str], fix: str) -> None:
    """Stop with every problem and the fix."""
    text = "; ".join(problems)
    module.fail_json(msg=f"The model in {module.params['path']} is not whole: {text}. Fix: {fix}", problems=problems, checksum="")


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "source": {"type": "str", "choices": ["path", "tiny"], "default": "path"},
            "checksum": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    # Services read these files as users of their own, whatever root's umask is.
    os.umask(0o022)
    path, source, wanted = os.path.normpath(module.params["path"]), module.params["source"], module.params["checksum"]
    problems = tiny_problems(path) if source == "tiny" else directory.problems(path)
    changed = source == "tiny" and bool(problems)
    if problems and source == "path":
        fail(module, problems, "copy the model again, or set sglang_model.source")
    if changed and not module.check_mode:
        try:
            publish(path)
        except OSError as error:
            fail(module, [f"writing it failed: {error}"], f"free space or make {os.path.dirname(path)} writable")
    found = ""
    if (wanted or source == "tiny") and os.path.isdir(path) and not (changed and module.check_mode):
        found = directory.checksum(directory.manifest(path))
    if wanted and found and wanted != found:
        fail(module, [f"its checksum is {found}, wanted {wanted}"], "copy the model again, or correct sglang_model.checksum")
    result: Dict[str, Any] = {"changed": changed, "checksum": found, "problems": problems}
    if module._diff and changed:
        result["diff"] = {"before": "\n".join(problems) + "\n", "after": "the tiny model\n", "before_header": path, "after_header": path}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
