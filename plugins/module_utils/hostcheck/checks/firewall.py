# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host's own filter does with the connections of the plan."""

from __future__ import annotations

from typing import Iterator, List, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.context import Context
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import NOTE, Row, bad, good, needless, some, unknown
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.runner import ABSENT
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall import nft, ruleset
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.parameters import planned
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.ruleset import Verdict
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.wanted import FABRIC, SOFT_ROCE, Flow

RULE, WANTED = "preflight.firewall", "every port of the plan let in"
# This check was brought here by SSH.
PROVEN = "controllers"
LEGACY = "/proc/net/ip_tables_names"
ACCEPTS = "-P INPUT ACCEPT"


def check(context: Context) -> Iterator[Row]:
    """Follow each connection through the rules."""
    flows = _flows(context)
    if not flows:
        yield needless(RULE, "nothing of the plan is reached on this host")
        return
    filters, why = _filters(context)
    if filters is None:
        yield unknown(RULE, why, WANTED) if why else good(RULE, "no filter", WANTED)
        return
    found = [(flow, ruleset.judge(filters, flow, context.addresses, _interface(context, flow))) for flow in flows]
    closed = [(flow, verdict) for flow, verdict in found if verdict.state == ruleset.CLOSED]
    unclear = [(flow, verdict) for flow, verdict in found if verdict.state == ruleset.UNKNOWN]
    for flow, verdict in closed:
        yield _closed(context, flow, verdict)
    if unclear:
        ports = some([f"{flow.protocol} {flow.port}" for flow, _verdict in unclear])
        yield unknown(RULE, f"whether {ports} is let in cannot be told: {unclear[0][1].where}", WANTED)
    if not closed and not unclear:
        yield good(RULE, f"{some(sorted({f'{flow.protocol} {flow.port}' for flow in flows}))} let in", WANTED)


def _flows(context: Context) -> List[Flow]:
    """Return the connections that must be possible, without those of monitoring, whose networks the plan does not know."""
    given = context.plan.get("firewall") or {}
    soft = any(context.root.read(f"/sys/class/infiniband/{name}/parent") for name in context.root.list("/sys/class/infiniband"))
    found = planned(given, {}) if given else []
    return [flow for flow in found if flow.sources != () and flow.source != PROVEN and (flow.needed != SOFT_ROCE or soft)]


def _interface(context: Context, flow: Flow) -> str:
    """Return the interface of a connection that names no address."""
    given, plan = context.plan["firewall"], context.plan
    address = plan.get("fabric_address") if flow.scope == FABRIC else given["management_address"]
    named = plan.get("fabric_interface") if flow.scope == FABRIC else ""
    return str(named or context.addresses.get(str(address), ""))


def _filters(context: Context) -> Tuple[Optional[ruleset.Filters], str]:
    """Return the rules of the host; without any, why they cannot be told, or nothing where there are none."""
    rc, out, err = context.run(["nft", "-j", "list", "ruleset"])
    if rc not in (0, ABSENT):
        return None, f"nft does not list the rules: {' '.join(err.split())[:120] or rc}"
    legacy = "filter" in (context.root.read(LEGACY) or "").split()
    for program in ("iptables", "ip6tables") if rc == ABSENT else ("iptables-legacy",) if legacy else ():
        status, rules, _err = context.run([program, "-S", "INPUT"])
        if status != ABSENT and (status != 0 or rules.split("\n")[0].strip() != ACCEPTS or len(rules.split("\n")) > 2):
            return None, f"{program} has rules of its own, which are not followed here"
    if rc == ABSENT:
        return None, _without_nft(context)
    try:
        return ruleset.Filters(nft.ruleset(out)), ""
    except (ValueError, KeyError, TypeError):
        return None, "what nft lists is not understood"


def _without_nft(context: Context) -> str:
    """Return why the rules cannot be told where there is no nft, nothing where there are none."""
    if not context.root.exists("/proc/sys/net"):
        return "there is no nft, and the kernel's settings cannot be read"
    status, _out, _err = context.run(["firewall-cmd", "--state"])
    return "firewalld runs, and its rules cannot be listed without nft: install nftables" if status == 0 else ""


def _closed(context: Context, flow: Flow, verdict: Verdict) -> Row:
    """Return the line of a connection that is shut out; where stage network opens it, that is a note."""
    port = f"{flow.protocol} {flow.port}"
    on = f" on {flow.address}" if flow.address else ""
    who = f"zone {verdict.zone} of firewalld" if verdict.zone else verdict.where
    text = f"{port}{on} ({flow.purpose}, from {flow.source}) is closed by {who}"
    if context.opens:
        return bad(RULE, text, "nothing: stage network opens it", f"{port} closed", WANTED, variable="network_firewall", state=NOTE)
    command = f"accept it in {verdict.where}"
    if verdict.zone:
        command = f"firewall-cmd --permanent --zone={verdict.zone} --add-port={flow.port}/{flow.protocol}, and firewall-cmd --reload"
    return bad(RULE, text, f"set network_firewall: true, or {command}", f"{port} closed", WANTED, variable="network_firewall")
