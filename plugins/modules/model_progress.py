# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module model_progress: how far the transfer of a model is on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: model_progress
short_description: Say how far the transfer of a model is, and wait for its job
version_added: 0.1.0
description:
  - Reads what M(railyard.sglang.model) and M(railyard.sglang.model_fanout) write down once a second while they work.
  - With O(jid) the action plugin of the same name waits for that asynchronous job, prints bytes, rate and remaining time, and returns the
    job's own result. A job whose process is gone without a result - killed, or its host was restarted - is a failure.
extends_documentation_fragment:
  - railyard.sglang.attributes
  - railyard.sglang.attributes.read_only
options:
  path:
    description: The model on the host.
    type: path
    required: true
  jid:
    description: Job to wait for.
    type: str
    default: ''
  seconds:
    description: Seconds after which waiting is a failure. Read by the action plugin.
    type: int
    default: 86400
  poll:
    description: Seconds between two looks. Read by the action plugin.
    type: int
    default: 10
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: See how far it is
  railyard.sglang.model_progress:
    path: /lssd/models/DeepSeek-R1
"""

RETURN = r"""
progress:
  description:
    - C(total_bytes), C(done_bytes), C(bytes_per_second) of the last half minute, C(seconds_left) at this rate.
    - Empty when nothing is under way.
  returned: always
  type: dict
lost:
  description: Whether no process of the job O(jid) is there, and nobody has noted any progress for two minutes.
  returned: with O(jid)
  type: bool
"""

import json
import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.model.progress import NAME, at_work, is_fresh
from ansible_collections.railyard.sglang.plugins.module_utils.model.store import Store


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "jid": {"type": "str", "default": ""},
            "seconds": {"type": "int", "default": 86400},
            "poll": {"type": "int", "default": 10},
        },
        supports_check_mode=True,
    )
    try:
        with open(os.path.join(Store(module.params["path"]).folder, NAME), encoding="utf-8") as stream:
            found = json.load(stream)
    except (OSError, ValueError):
        found = {}
    job = module.params["jid"]
    result = {"lost": not at_work(job) and not is_fresh(found)} if job else {}
    module.exit_json(changed=False, progress=found, **result)


if __name__ == "__main__":
    main()
