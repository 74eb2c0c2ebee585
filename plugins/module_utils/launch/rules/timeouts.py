# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Timeouts that switch detection off, or that end what still works."""

from __future__ import annotations

from ansible_collections.railyard.sglang.plugins.module_utils.launch import partners
from ansible_collections.railyard.sglang.plugins.module_utils.launch.catalogue import ERROR
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.ranks import Rank
from ansible_collections.railyard.sglang.plugins.module_utils.launch.rules.router_options import RouterOptions
from ansible_collections.railyard.sglang.plugins.module_utils.launch.texts import number
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract

HOUR, DAY = 3600, 86400
# Where prefill waits for a destination and decode for the cache, unless a rank says otherwise.
TRANSFER_SECONDS = 300
TRANSFER = ("SGLANG_DISAGGREGATION_BOOTSTRAP_TIMEOUT", "SGLANG_DISAGGREGATION_WAITING_TIMEOUT")
# Seconds that two torch ranks wait for each other while one of them may compile kernels.
SHORTEST_MEETING = 60
# Seconds after which hardly any engine has loaded its weights.
LONGEST_ABSENCE = 120
# Option of the router: highest value that still protects, what a higher one does, the default.
ROUTER = {
    "cb-failure-threshold": (1000, "the circuit breaker of a failing worker does not open", 10),
    "cb-timeout-duration-secs": (HOUR, "a worker that failed once stays shut out for longer than an hour", 60),
    "request-timeout-secs": (DAY, "a request that hangs holds its connection for longer than a day", 1800),
    "retry-max-retries": (100, "a request that cannot succeed is repeated on every worker again and again", 5),
}


def check(contract: Contract, findings: Findings) -> None:
    """Judge the timeouts of ranks and routers."""
    for rank in contract.ranks:
        _watchdog(contract, rank, findings)
        _meeting(contract, rank, findings)
        _absence(rank, findings)
    if contract.routers:
        _router(contract, RouterOptions(contract), findings)


def _seconds(contract: Contract, rank: Rank, spelling: str) -> float:
    value = contract.value(rank, spelling)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else float("nan")


def _host(rank: Rank, variable: str) -> str:
    return rank.host if variable.startswith("sglang_host_") else ""


def _watchdog(contract: Contract, rank: Rank, findings: Findings) -> None:
    for spelling in ("watchdog-timeout", "soft-watchdog-timeout"):
        seconds, variable = _seconds(contract, rank, spelling), contract.variable(rank, spelling)
        if seconds > HOUR:
            findings.add(
                "timeouts.watchdog", variable,
                f"{seconds:g} s: an engine of {rank.instance.name} that hangs is not found for that time",
                f"set {spelling}: 300, the default",
                _host(rank, variable), severity=ERROR if seconds > DAY else "", place=rank.instance.name,
            )
        elif seconds <= 0:
            findings.add(
                "timeouts.watchdog", variable,
                f"{seconds:g} s does not switch it off: the watchdog ends the engine at the first step that takes any time",
                f"set {spelling}: 300, the default", _host(rank, variable), severity=ERROR, place=rank.instance.name,
            )
    soft, hard = _seconds(contract, rank, "soft-watchdog-timeout"), _seconds(contract, rank, "watchdog-timeout")
    if hard <= soft <= HOUR:
        variable = contract.variable(rank, "soft-watchdog-timeout")
        findings.add(
            "timeouts.soft-watchdog", variable,
            f"{soft:g} s is not below watchdog-timeout {hard:g} s: the engine is ended before it can report",
            f"set soft-watchdog-timeout below {hard:g}", _host(rank, variable), place=rank.instance.name,
        )


def _meeting(contract: Contract, rank: Rank, findings: Findings) -> None:
    """--dist-timeout is that of torch.distributed: of the meeting and of every collective operation that it supervises."""
    seconds, variable = _seconds(contract, rank, "dist-timeout"), contract.variable(rank, "dist-timeout")
    if seconds > 2 * HOUR or seconds < SHORTEST_MEETING:
        long = seconds > 2 * HOUR
        findings.add(
            "timeouts.dist", variable,
            f"{seconds:g} s: " + (f"ranks of {rank.instance.name} wait that long for one that has died" if long
                                  else "a rank that loads or compiles longer than the others ends the instance"),
            "leave dist-timeout out: torch's own limit then holds, or write 1800", _host(rank, variable), place=rank.instance.name,
        )


def _absence(rank: Rank, findings: Findings) -> None:
    """Between two lives prefill stays away until decode has missed it, see module partners."""
    seconds = partners.away([rank.environment]) if rank.instance.mode == "decode" else 0
    if seconds > LONGEST_ABSENCE:
        variable = next(rank.written[name] for name, *_numbers in (partners.INTERVAL, partners.FAILURES) if name in rank.written)
        findings.add(
            "timeouts.absence", variable,
            f"{rank.instance.name} misses a prefill instance after {seconds} s of heartbeats: one that starts again stays away for so long",
            f"leave {partners.INTERVAL[0]} and {partners.FAILURES[0]} out: it is 12 s by their defaults",
            _host(rank, variable), place=rank.instance.name,
        )


def _router(contract: Contract, options: RouterOptions, findings: Findings) -> None:
    for name, (highest, text, default) in ROUTER.items():
        if options.number(name) > highest:
            findings.add(
                "timeouts.router", options.variable(name), f"{options.value(name)}: {text}", f"set {name}: {default}, the default",
                place="router",
            )
    values = [rank.environment.get(name, "") for rank in contract.ranks if rank.instance.mode != "plain" for name in TRANSFER]
    longest = max([TRANSFER_SECONDS, *(number(text) or 0 for text in values)])
    if any(rank.instance.mode != "plain" for rank in contract.ranks) and options.number("request-timeout-secs") < longest:
        findings.add(
            "timeouts.request", options.variable("request-timeout-secs"),
            f"the router gives a request up after {options.value('request-timeout-secs')} s, and its workers wait {longest} s "
            "for a KV cache: they go on working for nobody, and the retry comes on top",
            f"set request-timeout-secs above {longest}; 1800 is the default", place="router",
        )
