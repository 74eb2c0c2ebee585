# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One result of what the hosts have said, by cluster. On the controller."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare import clock
from ansible_collections.railyard.sglang.plugins.module_utils.serving import outliers
from ansible_collections.railyard.sglang.plugins.module_utils.serving.ranks import READY
from ansible_collections.railyard.sglang.plugins.module_utils.serving.steps import FAILED, NOT_TRIED, PROVEN, Step, not_tried
from ansible_collections.railyard.sglang.plugins.module_utils.serving.transport import Transport

SCHEMA = 1
# A host that the run is limited away from, or a stage before it that failed.
NOT_LOOKED_AT = "not looked at in this run"
PARTIAL = "in part"
# Of the comparison of hosts.
CLOCK_RULE = "compare.clock"


@dataclass(frozen=True)
class Told:
    """What hosts have said in this run, each by host; a host that has said nothing is in none of them.

    :ivar ranks: what rank_state returned.
    :ivar proofs: what serving_proof returned, of routers' hosts.
    :ivar evidence: what serving_evidence returned.
    """

    ranks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    proofs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    evidence: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Demands:
    """What an operator asks for.

    :ivar fail_on_slow: whether a slow pair is a failure; otherwise it is a note.
    :ivar clock_seconds: how far the clocks of a cluster's hosts may be apart.
    :ivar waived: cluster to rules whose violation is accepted, a note then.
    """

    fail_on_slow: bool = False
    clock_seconds: float = 1.0
    waived: Mapping[str, Collection[str]] = field(default_factory=dict)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _clocks(hosts: Sequence[str], told: Told, seconds: float, waived: bool) -> Step:
    if len(hosts) == 1:
        return Step("clocks", evidence="one host has one clock")
    step, known = Step("clocks"), {}
    said = {host: row["clock"] for rows in (told.proofs, told.ranks) for host, row in rows.items() if host in hosts and row.get("clock")}
    for host, row in said.items():
        if "problem" in row:
            step.notes.append(f"{host}: its clock was not measured: {row['problem']}")
        else:
            known[host] = clock.Clock(row["low"], row["high"])
    missing = [host for host in hosts if host not in said]
    step.notes += [f"{NOT_LOOKED_AT}: {_some(missing)}"] if missing else []
    if len(known) < 2:
        return replace(not_tried("clocks", NOT_LOOKED_AT), notes=step.notes)
    found = [f"{row.name}: its clock is {row.text}" for row in clock.apart(known, seconds)]
    if waived:
        step.notes += found
    else:
        fix = "Fix: synchronise the clocks (chrony, ptp4l), and set this one once; preflight_clock_seconds is how far they may be apart"
        step.problems += [f"{text}. {fix}" for text in found]
    count = f"{len(found) or 'none'} {'are' if len(found) > 1 else 'is'}"
    step.evidence = f"of {len(known)} clocks {count} known to be more than {seconds:g} s off"
    return step.settled()


def _ports(hosts: Sequence[str], told: Told) -> Step:
    step, looked = Step("ports"), [host for host in hosts if host in told.evidence]
    if not looked:
        return not_tried("ports", NOT_LOOKED_AT)
    for host in looked:
        step.problems += [f"{host}: {text}" for text in told.evidence[host]["ports"]]
    count = sum(told.evidence[host]["listening"] for host in looked)
    step.evidence = f"{count} planned ports are held by their units on {len(looked)} hosts"
    return step.settled()


def _ranks(told: Told) -> Step:
    step, count = Step("ranks"), 0
    for host, result in told.ranks.items():
        if result.get("failed") and not result.get("ranks"):
            step.problems.append(f"{host}: {result.get('msg', 'its ranks could not be looked at')}")
        for row in result.get("ranks") or []:
            count += 1
            if row["state"] != READY:
                step.problems.append(f"{row['instance']} rank {row['rank']} on {row['host']} is {row['state']}: {row.get('detail', '')}")
    if not count and not step.problems:
        return not_tried("ranks", NOT_LOOKED_AT)
    step.evidence = f"{count} ranks are ready: units active, /health 200, registered where they have to"
    return step.settled()


def _registration(instances: Sequence[Mapping[str, Any]], told: Told) -> Step:
    step, count, servers, missing = Step("registration"), 0, [], []
    rows = {(row["instance"], row["rank"], host): row for host, result in told.ranks.items() for row in result.get("ranks") or []}
    for rank in (rank for instance in instances for rank in instance["ranks"]):
        registration = rank.get("registration")
        if not registration:
            continue
        row = rows.get((rank["instance"], rank["rank"], rank["host"]))
        if row is None:
            missing.append(rank["host"])
            continue
        found = row.get("registered") or {}
        count += len(found)
        servers.append(registration["url"])
        name = f"{rank['instance']} rank {rank['rank']} on {rank['host']}"
        wrong = {engine: address for engine, address in found.items() if address != registration["address"]}
        step.problems += [
            f"{name}: engine rank {engine} is registered by {address}, planned is {registration['address']}"
            for engine, address in wrong.items()
        ]
        lacking = len(registration["engine_ranks"]) - len(found)
        if lacking > 0:
            step.problems.append(
                f"{name}: {lacking} of {len(registration['engine_ranks'])} engine ranks are not registered at {registration['url']}"
            )
    if missing:
        step.notes.append(f"{NOT_LOOKED_AT}: {_some(sorted(set(missing)))}")
    if not servers:
        return not_tried("registration", NOT_LOOKED_AT if missing else "no instance registers anywhere")
    step.evidence = (
        f"{count} engine ranks at {len(set(servers))} bootstrap server{'s' * (len(set(servers)) > 1)}, each by its planned address"
    )
    return step.settled()


def _bootstrap(instances: Sequence[Mapping[str, Any]], told: Told) -> Step:
    step, asking = Step("bootstrap"), {rank["host"] for row in instances for rank in row["ranks"] if rank.get("bootstraps")}
    looked = sorted(asking & set(told.evidence))
    if not looked:
        return not_tried("bootstrap", NOT_LOOKED_AT if asking else "no instance looks another one up")
    rows = [(host, row) for host in looked for row in told.evidence[host].get("bootstraps") or []]
    # A server counts where its instance is ready in this run, or is none of the plan.
    ready = {"", *(row["instance"] for result in told.ranks.values() for row in result.get("ranks") or [] if row["state"] == READY)}
    step.problems = [
        f"{host}: the bootstrap server of {row['instance'] or 'no planned instance'} at {row['url']} is not reached: {row['problem']}. "
        "decode goes on with what it knows for a while, then requests to that pair fail: look for a firewall or a route between them"
        for host, row in rows
        if row["problem"] and row["instance"] in ready
    ]
    missing = (asking - set(looked)) | {row["instance"] for _host, row in rows if row["problem"] and row["instance"] not in ready}
    step.notes = [f"{NOT_LOOKED_AT}: {_some(sorted(missing))}"] if missing else []
    servers = len({row["url"] for _host, row in rows if row["instance"] in ready})
    step.evidence = f"{len(looked)} decode hosts reach {servers} bootstrap server{'s' * (servers != 1)} over new connections"
    return step.settled()


def _step(row: Mapping[str, Any], host: str, several: bool) -> Step:
    name = f"{row['step']} ({host})" if several else str(row["step"])
    return Step(name, row["state"], row["seconds"], row["evidence"], list(row["problems"]), list(row["notes"]))


def _slow(
    rows: Sequence[Mapping[str, Any]], transport: Transport, hosts_of: Mapping[str, Sequence[str]], fail: bool
) -> tuple[Step, list[dict[str, Any]]]:
    step = Step("slow pairs")
    timed = [row for row in rows if row.get("first_seconds") is not None]
    if not timed:
        return not_tried("slow pairs", "no pair was timed"), []
    found = outliers.find(timed)
    for row in found:
        row["hosts"] = list(dict.fromkeys(host for name in row["instances"] for host in hosts_of.get(name, ())))
        row["counters"] = "; ".join(transport.faults(name) for name in row["instances"])
        text = f"{row['text']}, on {', '.join(row['hosts'])}: {row['counters']}"
        (step.problems if fail else step.notes).append(text)
    times = [row["first_seconds"] for row in timed]
    few = "; one pair has none to be compared with" if len(timed) < 2 else ""
    step.evidence = f"{len(timed)} pairs, {min(times):.2f} to {max(times):.2f} s to the first token, {len(found)} outliers{few}"
    return step.settled(), found


def cluster(plan: Mapping[str, Any], name: str, told: Told, demands: Demands) -> dict[str, Any]:
    """Return the result of one cluster of the whole plan."""
    instances = [row for row in plan["instances"] if row["cluster"] == name]
    routers = [row["host"] for row in plan["routers"] if row["cluster"] == name]
    hosts = [host for host, row in plan["hosts"].items() if row["cluster"] == name and row["ranks"]]
    proofs = {host: told.proofs[host] for host in routers if host in told.proofs}
    own = {host: row for host, row in told.ranks.items() if plan["hosts"].get(host, {}).get("cluster") == name}
    everybody = [host for host, row in plan["hosts"].items() if row["cluster"] == name]
    clocks = _clocks(everybody, told, demands.clock_seconds, CLOCK_RULE in demands.waived.get(name, ()))
    steps = [clocks, _ranks(replace(told, ranks=own)), _ports(hosts, told)]
    steps += [_registration(instances, told), _bootstrap(instances, told)]
    for host, proof in proofs.items():
        steps += [_step(row, host, len(routers) > 1) for row in proof.get("steps") or []]
    if not proofs:
        steps.append(not_tried("requests", f"router: {NOT_LOOKED_AT}" if routers else "the plan has no router"))
    looked = {host: {**told.ranks.get(host, {}), **told.evidence[host]} for host in hosts if host in told.evidence}
    transport = Transport(plan, name, looked)
    sent: dict[str, int] = {}
    workers: dict[str, Any] = {}
    for proof in proofs.values():
        for instance, tokens in (proof.get("sent") or {}).items():
            sent[instance] = sent.get(instance, 0) + tokens
        workers |= proof.get("workers") or {}
    if any(row["mode"] in ("prefill", "decode") for row in instances):
        steps.append(
            transport.judge(sent, workers, list(looked))
            if looked and sent
            else not_tried("transport", NOT_LOOKED_AT if not looked else "no pair was asked in this run, or none answered")
        )
    pairs = [row for proof in proofs.values() for row in proof.get("pairs") or []]
    hosts_of = {row["name"]: [rank["host"] for rank in row["ranks"]] for row in instances}
    slow, found = _slow(pairs, transport, hosts_of, demands.fail_on_slow)
    steps.append(slow)
    return {
        "name": name,
        "verdict": verdict(steps),
        "steps": [step.plain() for step in steps],
        "pairs": pairs,
        "slow": found,
        "workers": workers,
        "hosts": hosts_of,
    }


def verdict(steps: Sequence[Step]) -> str:
    """Return V(failed) where anything was, V(in part) where something was not looked at, else V(proven)."""
    states = {step.state for step in steps}
    return FAILED if FAILED in states else PARTIAL if NOT_TRIED in states else PROVEN


def document(
    plan: Mapping[str, Any], told: Told, demands: Demands | None = None, clusters: Sequence[str] | None = None
) -> dict[str, Any]:
    """Return the result of every cluster of a plan, or of those named."""
    names = [row["name"] for row in plan["clusters"] if clusters is None or row["name"] in clusters]
    rows = [cluster(plan, name, told, demands or Demands()) for name in names]
    states = [row["verdict"] for row in rows]
    worst = next((state for state in (FAILED, PARTIAL) if state in states), PROVEN)
    return {"schema": SCHEMA, "verdict": worst, "clusters": rows}


def problems(result: Mapping[str, Any]) -> list[str]:
    """Return everything that is not proven, each with its step."""
    several = len(result["clusters"]) > 1
    return [
        f"{row['name'] + ': ' if several else ''}{step['step']}: {text}"
        for row in result["clusters"]
        for step in row["steps"]
        for text in step["problems"]
    ]
