# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module serving_proof: from the router's host, that a cluster serves what was planned."""

from __future__ import annotations

DOCUMENTATION = r"""
module: serving_proof
short_description: Prove that a cluster serves by counting and judging the tokens that come out of it
version_added: 0.1.0
description:
  - On the router's host, waits until the router is ready and lists exactly the planned workers, asks every worker what it is, sends one
    chat to every pair of a prefill and a decode instance, and then chats through the router - in one piece, as a stream, long, in several
    scripts, several at once - and judges the words of an answer.
  - A router that says it is ready proves nothing - with prefill and decode swapped it answers 200 with one token.
  - A pair is asked as the router does it, by the same request to both instances with the bootstrap server's address and a room in it.
  - Load and time are bounded, so it can run on a live cluster.
  - The action plugin of the same name adds what the engine hosts have reported and writes the result.
extends_documentation_fragment:
  - railyard.sglang.attributes
  - railyard.sglang.attributes.read_only
options:
  plan:
    description: The whole plan. Read by the action plugin, which takes from it what each worker must say of itself.
    type: dict
  directory:
    description:
      - Directory of the controller for the result where it is a failure, see M(railyard.sglang.serving_report). Read by the action plugin.
    type: str
    default: ""
  fail_on_slow:
    description: See M(railyard.sglang.serving_report). Read by the action plugin.
    type: bool
    default: false
  clock_seconds:
    description: See M(railyard.sglang.serving_report). Read by the action plugin.
    type: float
    default: 1.0
  router:
    description: The router, from its host's slice of the plan.
    type: dict
    required: true
  workers:
    description:
      - The router's workers, each with RV(ignore:expected), the fields of C(/server_info) that it must have.
      - By default those of O(router), with nothing expected. The action plugin takes them from the plan.
    type: list
    elements: dict
  prompt:
    description: What to say in the chats that are counted.
    type: str
    default: Say hello.
  tokens:
    description: Number of tokens to ask for, at least 2.
    type: int
    default: 16
  timeout:
    description: Seconds to wait for the router to be ready. A difference that waiting does not mend ends it at once.
    type: int
    default: 120
  answer_timeout:
    description: Seconds for each answer.
    type: int
    default: 120
  seconds:
    description: Seconds for all requests together.
    type: int
    default: 600
  rounds:
    description: Requests per pair whose times are taken.
    type: int
    default: 2
  pair_limit:
    description: Number of pairs that are asked where there are more. Every instance is in one of them whatever the number is.
    type: int
    default: 64
  long_tokens:
    description: Most tokens of the long prompt. It is one and a half chunks long where that is less.
    type: int
    default: 32768
  concurrency:
    description: Number of chats that are sent at once.
    type: int
    default: 4
  known:
    description:
      - Prompts with the beginnings that their greedy answers may have.
      - By default an answer is judged by O(limits).
    type: dict
    default: {}
  judge_prompt:
    description: What to say for an answer that is judged by limits.
    type: str
    default: Describe a harbour in the morning in three sentences.
  judge_tokens:
    description: Most tokens of that answer.
    type: int
    default: 64
  limits:
    description:
      - Limits of that answer.
      - V(logprob) is the least mean natural log-probability of its tokens (default -2.5), V(strange) the largest share of characters that
        no text holds (0.02), V(letters) the least share of letters, digits and spaces (0.5), V(repeated) the largest share that one piece
        may make up by being said again (0.5).
    type: dict
    default: {}
  random_words:
    description:
      - Whether the model's words are random by design, as those of the model that this collection makes. No limit fits them, and without
        O(known) they must only be the same from every pair and through the router.
      - By default the action plugin takes it from the plan.
    type: bool
    default: false
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Prove that it serves
  railyard.sglang.serving_proof:
    router: "{{ sglang_host.router }}"
    answer_timeout: 60
"""

RETURN = r"""
answer:
  description: The text that came back through the router.
  returned: success
  type: str
tokens:
  description: Number of tokens counted in it.
  returned: success
  type: int
seconds:
  description: Seconds from that request to its whole answer.
  returned: success
  type: float
steps:
  description: Every step with its state, seconds, evidence, problems and notes.
  returned: always
  type: list
  elements: dict
pairs:
  description: Every pair that was asked, with its tokens, and the seconds to the first token and between tokens.
  returned: always
  type: list
  elements: dict
workers:
  description: What each worker said of itself, by instance.
  returned: always
  type: dict
clock:
  description: The clock of the router's host, see RV(railyard.sglang.rank_state#module:clock).
  returned: always
  type: dict
sent:
  description: Prompt tokens whose KV cache each instance must have sent or received at least, by instance.
  returned: always
  type: dict
problems:
  description: What keeps the cluster from serving.
  returned: failure
  type: list
  elements: str
log:
  description: The end of the router's journal.
  returned: failure
  type: list
  elements: str
"""

from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

from ansible_collections.railyard.sglang.plugins.module_utils.services import units
from ansible_collections.railyard.sglang.plugins.module_utils.serving import judge
from ansible_collections.railyard.sglang.plugins.module_utils.serving.prove import Prover, Settings

ARGUMENTS: Dict[str, Dict[str, Any]] = {
    "plan": {"type": "dict"},
    "directory": {"type": "str", "default": ""},
    "fail_on_slow": {"type": "bool", "default": False},
    "clock_seconds": {"type": "float", "default": 1.0},
    "router": {"type": "dict", "required": True},
    "workers": {"type": "list", "elements": "dict"},
    "prompt": {"type": "str", "default": "Say hello."},
    "tokens": {"type": "int", "default": 16, "no_log": False},
    "timeout": {"type": "int", "default": 120},
    "answer_timeout": {"type": "int", "default": 120},
    "seconds": {"type": "int", "default": 600},
    "rounds": {"type": "int", "default": 2},
    "pair_limit": {"type": "int", "default": 64},
    "long_tokens": {"type": "int", "default": 32768, "no_log": False},
    "concurrency": {"type": "int", "default": 4},
    "known": {"type": "dict", "default": {}},
    "judge_prompt": {"type": "str", "default": "Describe a harbour in the morning in three sentences."},
    "judge_tokens": {"type": "int", "default": 64, "no_log": False},
    "limits": {"type": "dict", "default": {}},
    "random_words": {"type": "bool", "default": False},
}
LEAST = {
    "tokens": 2,
    "answer_timeout": 1,
    "seconds": 1,
    "rounds": 0,
    "pair_limit": 1,
    "long_tokens": 1,
    "concurrency": 1,
    "judge_tokens": 2,
}


def settings(module: AnsibleModule) -> Settings:
    """Return what the operator has set; what cannot be is refused."""
    given = module.params
    for name, least in LEAST.items():
        if given[name] < least:
            module.fail_json(msg=f"{name} {given[name]} is below {least}", problems=[])
    try:
        limits = judge.limits_of({name: float(value) for name, value in given["limits"].items()})
    except (TypeError, ValueError) as error:
        module.fail_json(msg=f"limits: {error}; there are logprob, strange, letters and repeated, each a number", problems=[])
    known = {str(prompt): [wanted] if isinstance(wanted, str) else list(wanted) for prompt, wanted in given["known"].items()}
    same = [name for name in ARGUMENTS if name in Settings.__dataclass_fields__ and name not in ("known", "limits")]
    return Settings(known=known, limits=limits, long_limit=given["long_tokens"], **{name: given[name] for name in same})


def fail(module: AnsibleModule, problems: List[str], result: Dict[str, Any]) -> None:
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
    module.fail_json(msg="\n".join(lines), problems=problems, log=log.splitlines(), **result)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    router = module.params["router"]
    workers = module.params["workers"]
    prover = Prover(open_url, router, router["workers"] if workers is None else workers, settings(module))
    steps = prover.run()
    result: Dict[str, Any] = {
        "steps": [step.plain() for step in steps],
        "pairs": prover.pair_rows(),
        "workers": prover.information,
        "sent": prover.sent,
    }
    problems = [f"{step.name}: {text}" for step in steps for text in step.problems]
    if problems:
        fail(module, problems, result)
    answer = prover.answer
    told = {"answer": answer.text, "tokens": answer.tokens, "seconds": round(answer.seconds, 2)} if answer else {}
    module.exit_json(changed=False, **told, **result)


if __name__ == "__main__":
    main()
