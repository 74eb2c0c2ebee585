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


def runs(stage: str, tags: Collection[str], skipped: Collection[str]) -> bool:
    """Whether a stage takes part in a run with these tags."""
    return (stage in tags or "all" in tags or "tagged" in tags) and stage not in skipped


def check(plan: Mapping[str, Any], hosts: Collection[str], tags: Collection[str], skipped: Collection[str]) -> None:
    """Refuse a run that would do nothing, or that would change a part of an instance.

    :param hosts: hosts that take part (--limit).
    :param tags: --tags, or C(all).
    :param skipped: --skip-tags.
    :raises PlanError: with every reason.
    """
    findings = Findings()
    unknown = sorted(set(tags) - set(STAGES) - SPECIAL)
    if tags and len(unknown) == len(set(tags)):
        findings.add("run.no-stage", "--tags", f"{', '.join(unknown)} is no stage", "the stages are " + ", ".join(STAGES))
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
        wanted = {name for host in hosts for name in plan["hosts"].get(host, {"stacks": []})["stacks"]}
        for name in sorted(wanted - INSTALLABLE):
            findings.add(
                "run.stack-not-installable", "sglang_stack", f"{name} can be planned, but not installed by this version",
                "use playbooks/plan.yml for the plan; the stacks that can be installed are " + ", ".join(sorted(INSTALLABLE)),
            )
    findings.stop()
