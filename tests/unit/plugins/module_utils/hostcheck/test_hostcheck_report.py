# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of the lines of a host: waivers, tables, sentences, the page of rules."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck import look, signatures
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import (
    ERROR,
    NOTE,
    OK,
    WAIVED,
    WARNING,
    bad,
    good,
    some,
    unknown,
)
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rules import RULES
from ansible_collections.railyard.sglang.plugins.module_utils.launch import catalogue
from ansible_collections.railyard.sglang.tests.unit.support.shared import VARIABLE

ROOT = Path(__file__).resolve().parents[5]
REASON = "measured, and fast enough for us"
WRONG = bad("preflight.nic-link", "it is slow", "seat it again", "x8", "x16", state=WARNING)
# Of failures.md: what shows before an engine runs.
STAGE_P = [f"D{number:02d}" for number in (1, *range(9, 18), 21, 22, 23, *range(26, 34))]


def test_every_signature_is_caught_by_a_rule() -> None:
    assert list(signatures.SIGNATURES) == STAGE_P
    caught = signatures.catchers(RULES)
    for key, row in signatures.SIGNATURES.items():
        assert row.plan or caught[key], key
        assert set(row.plan) <= set(catalogue.RULES), key
    assert signatures.SIGNATURES["D01"].blocks
    assert not signatures.SIGNATURES["D33"].blocks


def test_the_signatures_are_those_of_the_record() -> None:
    place = os.environ.get(VARIABLE)
    if not place:
        pytest.skip(f"{VARIABLE} is not set: the record of failures is not here")
    text = (Path(place) / "reference/failures.md").read_text(encoding="utf-8")
    rows = {row[0]: row[1:] for row in re.findall(r"^(D[0-9]{2}) ([FD]) ([PSR/]+) ", text, re.MULTILINE)}
    assert {key: kind for key, (kind, stage) in rows.items() if "P" in stage.split("/")} == {
        row.id: "F" if row.blocks else "D" for row in signatures.SIGNATURES.values()
    }
    assert {key for rule in RULES.values() for key in rule.failures} <= set(rows)


def test_the_page_is_current() -> None:
    page = ROOT / "docs/host-checks.md"
    text = page.read_text(encoding="utf-8")
    wanted = text.split("## Rules\n")[0] + signatures.document(RULES)
    if os.environ.get("RAILYARD_GOLDEN") == "write":
        page.write_text(wanted, encoding="utf-8")
        text = wanted
    assert text == wanted, "RAILYARD_GOLDEN=write tools/unit.sh -n 0 THIS FILE"


def test_rules_say_what_they_are() -> None:
    for rule in RULES.values():
        assert rule.severity in (ERROR, WARNING, NOTE), rule
        assert rule.text[0].isupper() or rule.text.startswith("vm."), rule
        assert rule.text.endswith("."), rule
        assert rule.evidence, rule
        assert rule.stage in ("preflight", "rdma", "stack", "engine", "verify", "serving"), rule


def test_rules_are_not_rules_of_the_plan() -> None:
    assert not set(RULES) & set(catalogue.RULES)


def test_a_waiver_keeps_the_finding_visible() -> None:
    note = bad("preflight.map-count", "few", "more", state=NOTE)
    rows = look.waive([WRONG, note, good("preflight.acs", "none")], dict.fromkeys(("preflight.nic-link", "preflight.map-count"), REASON))
    assert [row.state for row in rows] == [WAIVED, NOTE, OK]
    assert rows[0].text == f"it is slow (waived: {REASON})"
    assert look.notable(rows) == rows[:2]


@pytest.mark.parametrize(
    ("waivers", "wrong"),
    [
        ({"preflight.nic-link": REASON, "port.range": ""}, []),
        ({"preflight.nick-link": REASON}, ["preflight.nick-link is not a rule of the host checks"]),
        ({"preflight.nic-link": "because"}, ["preflight.nic-link has no reason of 10 characters or more"]),
        ({"preflight.nic-link": None}, ["preflight.nic-link has no reason of 10 characters or more"]),
    ],
)
def test_waivers_that_do_not_count(waivers: dict[str, object], wrong: list[str]) -> None:
    assert look.wrong_waivers(waivers) == wrong


def test_table_and_sentence() -> None:
    rows = [good("preflight.acs", "no redirect", "no redirect"), WRONG, unknown("preflight.iommu", "nobody\nknows " + 80 * "x")]
    assert look.table(rows) == [
        "check     state    found" + 57 * " " + "wanted       failures",
        "--------  -------  " + 60 * "-" + "  -----------  --------",
        "acs       ok       no redirect" + 51 * " " + "no redirect  D10 D33",
        "nic-link  warning  x8" + 60 * " " + "x16          D33",
        "iommu     unknown  nobody knows " + 44 * "x" + "..." + 15 * " " + "D10 D33",
    ]
    assert look.sentence(WRONG) == "it is slow [rule preflight.nic-link, D33] Fix: seat it again"
    assert look.summary(rows) == "1 unknown, 1 warning, 1 ok"
    assert look.finding(WRONG)["failures"] == ["D33"]
    assert look.finding(WRONG)["severity"] == WARNING


def test_warnings_that_are_alike_are_one() -> None:
    other = bad("preflight.acs", "redirects", "switch it off", state=WARNING)
    assert look.warnings([WRONG, other, WRONG, good("preflight.iommu", "off")]) == [
        "it is slow [rule preflight.nic-link, D33] Fix: seat it again And 1 more alike.",
        "redirects [rule preflight.acs, D10 D33] Fix: switch it off",
    ]


def test_some() -> None:
    assert some(range(4)) == "0, 1, 2, 3"
    assert some(range(5)) == "0, 1, 2, 3 and 1 more"
    assert some([]) == ""
