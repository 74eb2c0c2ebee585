# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module rank_state: how far the ranks of one host have come."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rank_state
short_description: Say how far the ranks of a host have come
version_added: 0.1.0
description:
  - Looks at each rank on its own host - installation, unit, /health, and for prefill the registration at the bootstrap server by the
    planned address - and names its state.
  - Waits up to O(timeout) seconds for a state that differs from O(known), so that a controller can show progress without polling.
  - The action plugin of the same name repeats it until every rank is ready and prints each change.
extends_documentation_fragment:
  - railyard.sglang.attributes
  - railyard.sglang.attributes.read_only
options:
  ranks:
    description: The host's ranks, from its slice of the plan.
    type: list
    elements: dict
    required: true
  known:
    description: States that the caller has seen already, one per rank.
    type: list
    elements: str
    default: []
  restarts:
    description: How often systemd has restarted the ranks, as far as the caller knows, one per rank. One more is a change, too.
    type: list
    elements: int
    default: []
  timeout:
    description: Seconds to wait for a change.
    type: int
    default: 0
  counters:
    description:
      - The host's slice of the plan. When given, the counters of its data devices and interfaces are returned, for
        M(railyard.sglang.serving_evidence) to be compared with.
    type: dict
    default: {}
  deadline:
    description: Seconds after which ranks that are not ready are a failure. Read by the action plugin.
    type: int
    default: 1800
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Wait until the ranks of this host are ready
  railyard.sglang.rank_state:
    ranks: "{{ sglang_host.ranks }}"
    deadline: 600
"""

RETURN = r"""
ranks:
  description: Instance, rank, host, state, detail, restarts and whether waiting longer is pointless, one entry per rank.
  returned: always
  type: list
  elements: dict
  contains:
    ended:
      description: The last journal lines of a rank that was restarted more often than O(restarts) says; empty otherwise.
      type: list
      elements: str
clock:
  description:
    - How far the host's clock is from the controller's, as M(railyard.sglang.host_clock) measures it - C(low), C(high), C(offset) and
      C(uncertainty) in seconds, C(steady), C(synchronised) - or C(problem).
  returned: always
  type: dict
before:
  description: Counters of the fabric and the management interface and of the RDMA ports.
  returned: when O(counters) is given
  type: dict
log:
  description: Last journal lines of the ranks that are not ready.
  returned: always
  type: list
  elements: str
"""

import os
import time
from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.plugins.module_utils.services import units
from ansible_collections.railyard.sglang.plugins.module_utils.serving import evidence, http, planned, ranks

# /health of 0.5.8 generates a token and says 503 after 20 s.
HEALTH_SECONDS = 21
PAUSE_SECONDS = 1.0
# Shown to people; and of one that has ended, whose tracebacks have 30 lines each, and which its next start follows.
LINES = 25
LINES_OF_AN_END = 200
NOT_ASKED = http.Answer(0, error="not asked")


def observe(module: AnsibleModule, rank: Dict[str, Any]) -> ranks.Observed:
    """Look at one rank."""
    unit = units.show(module.run_command, rank["unit"])
    alive = unit.active in ("active", "reloading")
    began = time.monotonic()
    health = http.request(open_url, rank["health_url"], HEALTH_SECONDS) if alive else NOT_ASKED
    waited = time.monotonic() - began
    # The bootstrap server of 0.5.8 answers for an engine rank that it does not know yet with a traceback of 15 lines in the engine's log;
    # ranks have registered when the instance begins to answer.
    asked = ranks.registration_urls(rank)
    registrations = {name: http.request(open_url, url, 5) if health.status else NOT_ASKED for name, url in asked.items()}
    return ranks.Observed(
        installed=os.path.exists(rank["python"]),
        load=unit.load,
        active=unit.active,
        restarts=unit.restarts,
        health=health,
        registrations=registrations,
        waited=waited,
    )


def journal(module: AnsibleModule, unit: str, lines: int) -> List[str]:
    """Return the last lines of a unit's journal."""
    command = ["journalctl", "--quiet", "--unit", unit, "--lines", str(lines), "--no-pager", "--output", "short-iso"]
    rc, out, _err = module.run_command(command)
    return out.splitlines() if rc == 0 else []


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "ranks": {"type": "list", "elements": "dict", "required": True},
            "known": {"type": "list", "elements": "str", "default": []},
            "restarts": {"type": "list", "elements": "int", "default": []},
            "timeout": {"type": "int", "default": 0},
            "counters": {"type": "dict", "default": {}},
            "deadline": {"type": "int", "default": 1800},
        },
        supports_check_mode=True,
    )
    end = time.monotonic() + module.params["timeout"]
    counts = list(module.params["restarts"])
    try:
        while True:
            rows = [ranks.judge(rank, observe(module, rank)) for rank in module.params["ranks"]]
            states = [row["state"] for row in rows]
            finished = all(row["hopeless"] or row["state"] == ranks.READY for row in rows)
            ended = ranks.ended(counts, rows)
            # Whoever starts a unit by hand sets its count back.
            counts = [min(count, row["restarts"]) for count, row in zip(counts, rows)]
            if finished or any(ended) or states != module.params["known"] or time.monotonic() + PAUSE_SECONDS > end:
                break
            time.sleep(PAUSE_SECONDS)
    except units.UnitError as error:
        module.fail_json(msg=str(error))
    late = [rank for rank, row in zip(module.params["ranks"], rows) if row["state"] != ranks.READY]
    counters = module.params["counters"]
    # Read last, when nothing is loaded any more.
    told = {"before": evidence.snapshot(Root("/"), planned.wanted(counters))} if counters else {}
    for rank, row, again in zip(module.params["ranks"], rows, ended):
        row["ended"] = journal(module, rank["unit"], LINES_OF_AN_END) if again else []
    log = [line for rank in late for line in journal(module, rank["unit"], LINES)]
    module.exit_json(changed=False, ranks=rows, **told, log=log)


if __name__ == "__main__":
    main()
