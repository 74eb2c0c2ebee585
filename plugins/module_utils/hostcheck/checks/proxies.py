# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proxies that the host puts into the environment of the planned processes, and the peers that they would stand in the way of."""

from __future__ import annotations

import ipaddress
from typing import Any, Dict, Iterator, List, Tuple
from urllib.parse import urlsplit

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.checks.surroundings import REMEDY
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.context import Context, arguments
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.environment import PLAN, Found
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import NOTE, Row, bad, good, needless, some, unknown
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.sockets import plain

RULE, WANTED = "preflight.proxy", "none"
# Peers are called by plain HTTP: the proxy of HTTPS is another matter.
PLAIN, SECURE = ("http_proxy", "all_proxy"), "https_proxy"
MISSED, NAMED, COVERED = range(3)


def check(context: Context) -> Iterator[Row]:
    """Look for proxies from outside of the plan."""
    if not context.parts:
        yield needless(RULE, "nothing of the plan runs here")
        return
    wrong: Dict[Tuple[str, str], List[str]] = {}
    doubtful: Dict[str, None] = {}
    secure: Dict[str, str] = {}
    for part in context.parts:
        variables = context.environment(part)
        exceptions = _value(variables, "no_proxy") or _value(variables, "NO_PROXY")
        called = _called(part)
        judged = {address: exemption(address, exceptions) for address in called}
        missed = [address for address, how in judged.items() if how == MISSED]
        # What the plan itself sets is the business of the plan's rules environment.proxy and bootstrap.proxy.
        found = {name: source for name, (value, source) in variables.items() if value and source != PLAN}
        for name, source in found.items():
            if name.lower() == SECURE and exceptions != "*":
                secure[name] = source
            elif name.lower() in PLAIN and (missed or not called) and exceptions != "*":
                rows = wrong.setdefault((name, source), [])
                rows += [address for address in missed if address not in rows]
            elif name.lower() in PLAIN and part.get("mode") == "decode" and NAMED in judged.values():
                doubtful[name] = None
    yield from _rows(context, wrong, list(doubtful), secure)


def _rows(context: Context, wrong: Dict[Tuple[str, str], List[str]], doubtful: List[str], secure: Dict[str, str]) -> Iterator[Row]:
    # No values: they may hold a password.
    for (name, source), missed in sorted(wrong.items()):
        yield bad(
            RULE, f"{source} has {name}, and NO_PROXY leaves out {some(missed) or 'everything'}: "
            "bootstrap and health calls would go through the proxy", _fix(name, source), f"{name} in {source}", WANTED,
        )
    for name, source in sorted(secure.items()):
        yield bad(
            RULE, f"{source} has {name}: calls between the hosts are plain HTTP and do not use it", "nothing", f"{name} in {source}",
            WANTED, state=NOTE,
        )
    if wrong:
        return
    if doubtful:
        why = "NO_PROXY names addresses one by one: this host's part of the plan does not tell whether all prefill hosts are among them"
        yield unknown(RULE, f"{some(doubtful)} is set, and {why}", WANTED)
    elif not context.manager[1]:
        yield unknown(RULE, "the service manager does not tell its environment", WANTED)
    elif not secure:
        yield good(RULE, "none in the way", WANTED)


def _fix(name: str, source: str) -> str:
    way = REMEDY if source.startswith("/") else f"systemctl unset-environment {name}, and remove it from DefaultEnvironment"
    return f"{way}; or set NO_PROXY in sglang_env to the network of the hosts"


def _value(variables: Found, name: str) -> str:
    return variables.get(name, ("", ""))[0].replace(" ", "")


def _called(part: Dict[str, Any]) -> List[str]:
    """Return the addresses that a process calls by HTTP, as far as this host's part of the plan has them.

    A router calls its workers; a rank calls its own server to warm up, and registers with the first rank of its instance.
    """
    if part.get("workers"):
        found = [urlsplit(str(row.get("url"))).hostname or "" for row in part["workers"]]
    else:
        found = [str(part.get("address") or ""), str(arguments(part).get("dist-init-addr") or "").rpartition(":")[0].strip("[]")]
    return list(dict.fromkeys(filter(None, found)))


def exemption(address: str, exceptions: str) -> int:
    """Return how NO_PROXY leaves an address alone, as the requests library reads it: by itself, by an IPv4 network or for everything."""
    items = exceptions.split(",")
    if "*" in items or any(_inside(address, item) for item in items):
        return COVERED
    return NAMED if plain(address) in map(plain, items) else MISSED


def _inside(address: str, network: str) -> bool:
    try:
        return "/" in network and ipaddress.IPv4Address(address) in ipaddress.IPv4Network(network, strict=False)
    except ValueError:
        return False
