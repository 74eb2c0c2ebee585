# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module serving_evidence: what an engine host can say of the way that the KV cache took."""

from __future__ import annotations

DOCUMENTATION = r"""
module: serving_evidence
short_description: Say what an engine host knows of the way that the KV cache took
version_added: 0.1.0
description:
  - Reads the counters of the data devices and of the fabric and management interfaces, the lines of the engines' logs that name their
    transport, who listens on the planned ports, and the model's C(config.json).
  - On a decode host asks the bootstrap servers of the plan, over new connections, whether they are there.
  - The counters of before are those that M(railyard.sglang.rank_state) has read.
extends_documentation_fragment:
  - railyard.sglang.attributes
  - railyard.sglang.attributes.read_only
options:
  plan:
    description: The host's slice of the plan.
    type: dict
    required: true
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Look at the way that the KV cache took
  railyard.sglang.serving_evidence:
    plan: "{{ sglang_host }}"
  register: evidence
"""

RETURN = r"""
after:
  description: Counters of the fabric and the management interface and of the RDMA ports.
  returned: always
  type: dict
listening:
  description: Number of planned ports that are held by the planned unit.
  returned: always
  type: int
ports:
  description: What is wrong with the others.
  returned: always
  type: list
  elements: str
bootstraps:
  description: Bootstrap servers that decode looks prefill up at, each with its C(url), C(instance) and C(problem), which is empty for none.
  returned: always
  type: list
  elements: dict
lines:
  description: Lines that name a transport, by unit.
  returned: always
  type: dict
config:
  description: The model's C(config.json).
  returned: always
  type: dict
"""

from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.plugins.module_utils.serving import evidence, lookup, planned


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={"plan": {"type": "dict", "required": True}}, supports_check_mode=True)
    plan, root = module.params["plan"], Root("/")
    after = evidence.snapshot(root, planned.wanted(plan))
    ports: List[Dict[str, Any]] = planned.ports(plan)
    good, wrong = evidence.listening(root, ports)
    lines = {rank["unit"]: evidence.transport_lines(module.run_command, rank["unit"]) for rank in plan.get("ranks") or []}
    config = evidence.model_config(root, str((plan.get("model") or {}).get("path") or ""))
    servers = lookup.look(open_url, plan.get("ranks") or [])
    module.exit_json(changed=False, after=after, listening=good, ports=wrong, bootstraps=servers, lines=lines, config=config)


if __name__ == "__main__":
    main()
