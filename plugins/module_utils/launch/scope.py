# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a run, as it was limited and tagged, can do what it was asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import stacks
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings, listed

STAGES = ("preflight", "network", "rdma", "stack", "deepep", "model", "deepgemm", "engine", "router", "verify")
INSTALLABLE = {name for name, stack in stacks.ENGINES.items() if stack.installable} | {
    name for name, stack in stacks.ROUTERS.items() if stack.installable
}
# Ansible's own words for tags.
SPECIAL = frozenset({"all", "always", "never", "tagged", "untagged"})
# What stage network mends by giving names, or need not know to give them back: an interface that has lost its name has lost its address.
NAMING = frozenset({
    "address.interface", "facts.contradiction", "facts.gpu-count", "facts.no-device", "facts.no-gid",
    "facts.port-missing", "facts.rail-names",
})


def runs(stage: str, tags: Collection[str], skipped: Collection[str]) -> bool:
    """Whether a stage takes part in a run with these tags."""
    return (stage in tags or "all" in tags or "tagged" in tags) and stage not in skipped


def names_only(tags: Collection[str], skipped: Collection[str]) -> bool:
    """Whether stage network is the only one of a run of site.yml."""
    return [stage for stage in STAGES if runs(stage, tags, skipped)] == ["network"]


def check(
    plan: Mapping[str, Any], hosts: Collection[str], tags: Collection[str], skipped: Collection[str], *, dry: bool = False,
    external: Mapping[str, Collection[str]] | None = None,
) -> None:
    """Refuse a run that would do nothing, or that would change a part of an instance.

    :param hosts: hosts that take part (--limit).
    :param tags: --tags, or C(all).
    :param skipped: --skip-tags.
    :param dry: whether stage network only tells what it would do.
    :param external: host to the stacks whose environments it has already (C(stack_external)).
    :raises PlanError: with every reason.
    """
    findings = Findings()
    unknown = sorted(set(tags) - set(STAGES) - SPECIAL)
    if tags and len(unknown) == len(set(tags)):
        findings.add("run.no-stage", "--tags", f"{', '.join(unknown)} is no stage", "the stages are " + ", ".join(STAGES))
    if dry and not names_only(tags, skipped):
        findings.add(
            "run.dry-stages", "network_dry_run", "is true, and the other stages of this run would change hosts",
            "playbooks/network.yml or --tags network; --check for what all stages would do",
        )
    if not any(host in plan["hosts"] for host in hosts):
        findings.add(
            "run.no-host", "--limit", f"none of {listed(sorted(hosts))} is in the plan",
            "the plan's hosts are " + listed(list(plan["hosts"])),
        )
    if runs("engine", tags, skipped):
        for instance in plan["instances"]:
            members = [rank["host"] for rank in instance["ranks"]]
            inside = [host for host in members if host in hosts]
            if inside and len(inside) < len(members):
                missing = ", ".join(host for host in members if host not in hosts)
                findings.add(
                    "run.limit-cuts-instance",
                    "--limit",
                    f"leaves {missing} out of {instance['name']}, which starts and stops as one",
                    f"--limit {','.join(members)}",
                )
    if runs("stack", tags, skipped):
        there = external or {}
        wanted = {name for host in hosts for name in plan["hosts"].get(host, {"stacks": []})["stacks"] if name not in there.get(host, ())}
        for name in sorted(wanted - INSTALLABLE):
            findings.add(
                "run.stack-not-installable", "sglang_stack", f"{name} can be planned, but not installed by this version",
                "name an environment that exists in stack_external, or use playbooks/plan.yml for the plan; "
                "the stacks that can be installed are " + ", ".join(sorted(INSTALLABLE)),
            )
    findings.stop()
