# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that would do nothing, or would cut an instance."""

from __future__ import annotations

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import scope
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import PlanError
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster, gpu_cluster

PLAN = cluster(4, 2, 2, 2).plan()
ALL = list(PLAN["hosts"])
PLANNED_ONLY = gpu_cluster().plan()
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
    "run.stack-not-installable": [
        (["p0", "p1"], ["all"], [], "sglang-0.5.8-cu12 can be planned, but not installed"),
        (["p0"], ["stack"], [], "sglang-0.5.8-cu12 can be planned"),
        (list(PLANNED_ONLY["hosts"]), ["tagged"], ["engine"], "sglang-0.5.8-cu12 can be planned"),
    ],
}
CASES = [(rule, *case) for rule, cases in REFUSALS.items() for case in cases]


@pytest.mark.parametrize(("rule", "hosts", "tags", "skipped", "text"), CASES)
def test_refused(rule: str, hosts: list[str], tags: list[str], skipped: list[str], text: str) -> None:
    with pytest.raises(PlanError) as caught:
        scope.check(PLANNED_ONLY if rule == "run.stack-not-installable" else PLAN, hosts, tags, skipped)
    (finding,) = caught.value.findings
    assert finding.rule == rule
    assert text in finding.text


@pytest.mark.parametrize(
    ("hosts", "tags", "skipped"), [(["r0"], ["all"], []), (["p0", "p1"], ["engine"], []), (["p0"], ["all"], ["stack", "engine"])]
)
def test_what_installs_nothing_may_run(hosts: list[str], tags: list[str], skipped: list[str]) -> None:
    scope.check(PLANNED_ONLY, hosts, tags, skipped)


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
