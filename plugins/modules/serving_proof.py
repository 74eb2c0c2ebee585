# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module serving_proof: tokens counted through the router."""

from __future__ import annotations

DOCUMENTATION = r"""
module: serving_proof
short_description: Prove that a cluster serves by counting the tokens that come out of its router
version_added: 0.1.0
description:
  - On the router's host, waits until the router is ready and lists exactly the planned workers, then sends a chat and counts the tokens.
  - A router that says it is ready proves nothing - with prefill and decode swapped it answers 200 with one token.
  - The request is one, bounded in tokens and time, so it can be sent to a live cluster.
extends_documentation_fragment:
  - railyard.sglang.attributes
  - railyard.sglang.attributes.read_only
options:
  router:
    description: The router, from its host's slice of the plan.
    type: dict
    required: true
  prompt:
    description: What to say.
    type: str
    default: Say hello.
  tokens:
    description: Number of tokens to ask for.
    type: int
    default: 16
  timeout:
    description: Seconds to wait for the router to be ready.
    type: int
    default: 120
  answer_timeout:
    description: Seconds for the answer.
    type: int
    default: 120
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Chat through the router and count the tokens
  railyard.sglang.serving_proof:
    router: "{{ sglang_host.router }}"
"""

RETURN = r"""
answer:
  description: The text that came back.
  returned: success
  type: str
tokens:
  description: Number of tokens counted.
  returned: success
  type: int
seconds:
  description: Seconds from the request to the whole answer.
  returned: success
  type: float
problems:
  description: What keeps the cluster from serving.
  returned: failure
  type: list
  elements: str
"""

import time
from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

from ansible_collections.railyard.sglang.plugins.module_utils.services import units
from ansible_collections.railyard.sglang.plugins.module_utils.serving import http, proof

PAUSE_SECONDS = 1.0


def not_ready(router: Dict[str, Any]) -> List[str]:
    """Return what the router still waits for."""
    ready = http.request(open_url, router["url"] + "/readiness", 5)
    workers = http.request(open_url, router["url"] + "/workers", 5)
    found = [] if ready.status == 200 else [f"/readiness answered {ready.error or ready.status}"]
    return found + proof.worker_problems(router["workers"], workers)


def wait(router: Dict[str, Any], seconds: int) -> List[str]:
    """Wait until the router is ready, and return what is still wrong at the end."""
    end = time.monotonic() + seconds
    problems = not_ready(router)
    while problems and time.monotonic() < end:
        time.sleep(PAUSE_SECONDS)
        problems = not_ready(router)
    return problems


def fail(module: AnsibleModule, problems: List[str]) -> None:
    """Stop with what is wrong and the router's own state."""
    router = module.params["router"]
    try:
        unit = units.show(module.run_command, router["unit"])
        state = f"{unit.name} is {unit.active} ({unit.sub}), restarted {unit.restarts} time(s)"
    except units.UnitError as error:
        state = str(error)
    _rc, log, _err = module.run_command(["journalctl", "--unit", router["unit"], "--lines", "25", "--no-pager", "--output", "short-iso"])
    lines = [f"The cluster does not serve through {router['host']} ({router['url']}); {state}:"]
    lines += [f"- {text}" for text in problems]
    lines.append(f"Fix: journalctl -u {router['unit']} on {router['host']}, and --tags verify once the ranks are ready")
    module.fail_json(msg="\n".join(lines), problems=problems, log=log.splitlines())


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "router": {"type": "dict", "required": True},
            "prompt": {"type": "str", "default": "Say hello."},
            "tokens": {"type": "int", "default": 16, "no_log": False},
            "timeout": {"type": "int", "default": 120},
            "answer_timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    router, tokens = module.params["router"], module.params["tokens"]
    problems = wait(router, module.params["timeout"])
    if problems:
        fail(module, problems)
    started = time.monotonic()
    body = proof.chat(router["model"], module.params["prompt"], tokens)
    answer = http.request(open_url, router["url"] + "/v1/chat/completions", module.params["answer_timeout"], body)
    seconds = round(time.monotonic() - started, 2)
    problems = proof.answer_problems(answer, router["model"], tokens)
    if problems:
        fail(module, problems)
    module.exit_json(changed=False, answer=proof.content(answer), tokens=tokens, seconds=seconds)


if __name__ == "__main__":
    main()
