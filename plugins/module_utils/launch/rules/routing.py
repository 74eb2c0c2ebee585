# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The router must find a dead worker, and must not lose a living one."""

from __future__ import annotations

from ansible_collections.railyard.sglang.plugins.module_utils.launch.catalogue import WARNING
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.rules.router_options import RouterOptions
from ansible_collections.railyard.sglang.plugins.module_utils.launch.texts import number
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract

# sglang's SGLANG_HEALTH_CHECK_TIMEOUT, unless a rank sets it.
HEALTH_SECONDS = 20
# Longest time to find a dead worker without a note, and without a warning.
DETECTION_NOTE, DETECTION_WARNING = 60, 600
PROTECTION = {
    "disable-health-check": "a dead worker stays in the list, and its share of the requests fails",
    "disable-circuit-breaker": "requests keep going to a worker that fails them",
    "disable-retries": "one failing worker shows in every client, and a worker that restarts costs requests",
}
# Endpoints that ask the engine; /ready came after 0.5.8.
GENERATING = ("/health", "/health_generate")
CHEAP = "/ready"
# Policies that follow a key of the request.
KEYED = ("manual", "consistent_hashing")


def check(contract: Contract, findings: Findings) -> None:
    """Judge the router's options."""
    if not contract.routers:
        return
    options = RouterOptions(contract)
    _health(contract, options, findings)
    _protection(options, findings)
    _policies(contract, options, findings)
    _program(contract, options, findings)


def _health(contract: Contract, options: RouterOptions, findings: Findings) -> None:
    if options.value("disable-health-check") is True:
        return
    endpoint = options.value("health-check-endpoint")
    good = GENERATING if contract.engine.version == "0.5.8" else (*GENERATING, CHEAP)
    if endpoint not in good:
        findings.add(
            "routing.health-endpoint", options.variable("health-check-endpoint"),
            f"{endpoint} does not say whether the engine of sglang {contract.engine.version} answers", "write one of " + ", ".join(good),
            place="router",
        )
    texts = [rank.environment.get("SGLANG_HEALTH_CHECK_TIMEOUT", "") for rank in contract.heads]
    needed = max([HEALTH_SECONDS, *(number(text) or 0 for text in texts)])
    if endpoint in GENERATING and options.number("health-check-timeout-secs") < needed:
        findings.add(
            "routing.health-timeout", options.variable("health-check-timeout-secs"),
            f"{options.value('health-check-timeout-secs')} s, and {endpoint} of a worker generates a token and may take {needed} s: "
            "a long prefill takes the worker out",
            f"set sglang_router.args.health-check-timeout-secs: {needed + 5}", place="router",
        )
    interval, threshold = options.number("health-check-interval-secs"), options.number("health-failure-threshold")
    if interval * threshold > DETECTION_NOTE:
        findings.add(
            "routing.health-detection", options.variable("health-check-interval-secs"),
            f"{interval} s times {threshold} failures: a dead worker gets requests for {interval * threshold} s",
            "set sglang_router.args: {health-check-interval-secs: 10, health-failure-threshold: 2}",
            severity=WARNING if interval * threshold > DETECTION_WARNING else "", place="router",
        )


def _protection(options: RouterOptions, findings: Findings) -> None:
    for name, text in PROTECTION.items():
        if options.value(name) is True:
            findings.add("routing.protection-off", options.variable(name), text, f"remove {name}", place="router")
    if options.number("retry-max-retries") < 1 and options.value("disable-retries") is not True:
        findings.add(
            "routing.protection-off", options.variable("retry-max-retries"), PROTECTION["disable-retries"], "set it to 5, the default",
            place="router",
        )


def _policies(contract: Contract, options: RouterOptions, findings: Findings) -> None:
    for name in ("policy", "prefill-policy", "decode-policy"):
        if options.value(name) in KEYED:
            findings.add(
                "routing.policy-key", options.variable(name),
                f"{options.value(name)} keeps requests of one key together; those that carry none are spread at random",
                "let clients send the header X-SMG-Routing-Key, or write cache_aware", place="router",
            )
    spelling = "prefill-policy" if options.value("prefill-policy") else "policy"
    if len(contract.routers) > 1 and options.value(spelling) == "cache_aware":
        findings.add(
            "routing.several-trees", options.variable(spelling),
            f"each of {len(contract.routers)} routers knows only the prompts that it has sent itself: "
            "the same prefix may go to several workers",
            "let clients keep to one router (by session, at the load balancer), or accept fewer cache hits", place="router",
        )


def _program(contract: Contract, options: RouterOptions, findings: Findings) -> None:
    if options.value("mini-lb") is True:
        findings.add(
            "routing.mini-lb", options.variable("mini-lb"),
            "is for debugging: it chooses at random, without retries, without health checks and without the policies "
            "of the other arguments",
            "remove mini-lb", place="router",
        )
    if options.value("service-discovery") is True:
        findings.add(
            "routing.discovery", options.variable("service-discovery"),
            "asks a Kubernetes API for workers, beside those that the plan lists", "remove it: the plan lists the workers", place="router",
        )
    wanted = contract.engine.router
    if options.stack.name != wanted:
        findings.add(
            "routing.version", "sglang_router_stack",
            f"{options.stack.name} and sglang {contract.engine.version} are of different times; nobody tries them together",
            f"choose {wanted}, or leave sglang_router_stack out", place="router",
        )
