# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that would do nothing, or would cut an instance."""

from __future__ import annotations

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import catalogue, scope
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings, PlanError
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster, gpu_cluster

PLAN = cluster(4, 2, 2, 2).plan()
ALL = list(PLAN["hosts"])
PLANNED_ONLY = gpu_cluster().change({"sglang_stack": "sglang-0.5.8-rocm"}).plan()
# Each rule: hosts, tags, skipped tags, and what the finding says.
Case = tuple[list[str], list[str], list[str], str]
REFUSALS: dict[str, list[Case]] = {
    "run.no-stage": [(ALL, ["engin"], [], "engin is no stage"), (ALL, ["a", "b"], [], "a, b is no stage")],
    "run.no-host": [(["mail"], ["all"], [], "none of mail is in the plan"), ([], ["verify"], [], "none of")],
    "run.limit-cuts-instance": [
        (["p0"], ["all"], [], "leaves p1 out of prefill-0"),
        (["p0", "p1", "p3"], ["engine"], [], "leaves p2 out of prefill-1"),
        (["d1", "r0"], ["tagged"], [], "leaves d0 out of decode-0"),
        (["d1"], ["all"], ["router"], "leaves d0 out of decode-0"),
    ],
    "run.dry-stages": [
        (ALL, ["all"], [], "other stages of this run"),
        (ALL, ["network", "rdma"], [], "other stages of this run"),
        (ALL, ["tagged"], ["engine"], "other stages of this run"),
    ],
    "run.stack-not-installable": [
        (["p0", "p1"], ["all"], [], "sglang-0.5.8-rocm can be planned, but not installed"),
        (["p0"], ["stack"], [], "sglang-0.5.8-rocm can be planned"),
        (list(PLANNED_ONLY["hosts"]), ["tagged"], ["engine"], "sglang-0.5.8-rocm can be planned"),
    ],
}
CASES = [(rule, *case) for rule, cases in REFUSALS.items() for case in cases]


@pytest.mark.parametrize(("rule", "hosts", "tags", "skipped", "text"), CASES)
def test_refused(rule: str, hosts: list[str], tags: list[str], skipped: list[str], text: str) -> None:
    with pytest.raises(PlanError) as caught:
        scope.check(PLANNED_ONLY if rule == "run.stack-not-installable" else PLAN, hosts, tags, skipped, dry=rule == "run.dry-stages")
    (finding,) = caught.value.findings
    assert finding.rule == rule
    assert text in finding.text


@pytest.mark.parametrize(
    ("hosts", "tags", "skipped"), [(["r0"], ["all"], []), (["p0", "p1"], ["engine"], []), (["p0"], ["all"], ["stack", "engine"])]
)
def test_what_installs_nothing_may_run(hosts: list[str], tags: list[str], skipped: list[str]) -> None:
    scope.check(PLANNED_ONLY, hosts, tags, skipped)


def test_environments_that_exist_need_no_installation() -> None:
    hosts = list(PLANNED_ONLY["hosts"])
    there = {host: {"sglang-0.5.8-rocm": {"path": "/opt/venv"}} for host in hosts}
    scope.check(PLANNED_ONLY, hosts, ["all"], [], external=there)
    with pytest.raises(PlanError, match="name an environment that exists in stack_external"):
        scope.check(PLANNED_ONLY, hosts, ["all"], [], external={**there, hosts[0]: {}})


def test_the_fix_names_the_whole_instance() -> None:
    with pytest.raises(PlanError, match="--limit d0,d1"):
        scope.check(PLAN, ["d1"], ["all"], [])


@pytest.mark.parametrize(
    ("hosts", "tags", "skipped"),
    [
        (ALL, ["all"], []),
        ([*ALL, "mail"], ["all"], []),
        (["p2", "p3"], ["engine"], []),
        (["p0"], ["verify"], []),
        (["p0"], ["all"], ["engine"]),
        (["r0"], ["router", "verify"], []),
        (ALL, ["engine", "mine"], []),
        (ALL, ["never"], []),
    ],
)
def test_accepted(hosts: list[str], tags: list[str], skipped: list[str]) -> None:
    scope.check(PLAN, hosts, tags, skipped)


@pytest.mark.parametrize(
    ("tags", "skipped", "alone"),
    [
        (["network"], [], True),
        (["network", "mine"], [], True),
        (["all"], [stage for stage in scope.STAGES if stage != "network"], True),
        (["all"], [], False),
        (["network", "verify"], [], False),
        (["network"], ["network"], False),
    ],
)
def test_a_run_of_stage_network_alone(tags: list[str], skipped: list[str], alone: bool) -> None:
    assert scope.names_only(tags, skipped) is alone
    if alone:
        scope.check(PLAN, ALL, tags, skipped, dry=True)


def test_what_stage_network_mends_are_errors_of_other_stages() -> None:
    assert {catalogue.RULES[rule].severity for rule in scope.NAMING} == {catalogue.ERROR}


def test_a_rule_that_a_run_is_lenient_with_is_a_warning() -> None:
    findings = Findings({"facts.devices": "known, and accepted"}, ["facts.no-gid", "facts.devices", "rdma.devices-differ"])
    for rule in ("facts.no-gid", "facts.devices", "facts.port-missing"):
        findings.add(rule, "sglang_rdma_devices", "text", "fix", "p0")
    assert {found.rule: found.severity for found in findings.all()} == {
        "facts.no-gid": "warning", "facts.devices": "waived", "facts.port-missing": "error",
    }
