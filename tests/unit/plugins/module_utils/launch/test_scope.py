# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that would do nothing, or would cut an instance."""

from __future__ import annotations

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import scope
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import PlanError
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster

PLAN = cluster(4, 2, 2, 2).plan()
ALL = list(PLAN["hosts"])
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
}
CASES = [(rule, *case) for rule, cases in REFUSALS.items() for case in cases]


@pytest.mark.parametrize(("rule", "hosts", "tags", "skipped", "text"), CASES)
def test_refused(rule: str, hosts: list[str], tags: list[str], skipped: list[str], text: str) -> None:
    with pytest.raises(PlanError) as caught:
        scope.check(PLAN, hosts, tags, skipped)
    (finding,) = caught.value.findings
    assert finding.rule == rule
    assert text in finding.text


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
