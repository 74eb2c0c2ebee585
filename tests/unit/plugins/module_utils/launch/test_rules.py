# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every rule of the code is broken by a row of some table."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path

from ansible_collections.railyard.sglang.plugins.module_utils.launch import catalogue
from ansible_collections.railyard.sglang.tests.unit.support.clusters import RULES_OF_THE_ACTION, Refusal

ROOT = Path(__file__).resolve().parents[5]
UTILS = ROOT / "plugins/module_utils"
TESTS = "ansible_collections.railyard.sglang.tests.unit.plugins.module_utils"
CALL = re.compile(r"\bfindings\.add\(")
RULE = re.compile(CALL.pattern + r'\s*"([a-z]+\.[a-z0-9-]+)"')


def in_code() -> set[str]:
    """Return the rules that the plan's code reports by name; those of the environment table come as data."""
    found = set()
    for path in [*UTILS.glob("launch/*.py"), *UTILS.glob("launch/rules/*.py"), ROOT / "plugins/action/plan.py"]:
        text = path.read_text(encoding="utf-8")
        rules = RULE.findall(text)
        if path.name != "environment_table.py":
            assert len(rules) == len(CALL.findall(text)), f"{path}: a rule that is not written as a literal"
        found |= set(rules)
    return found


def in_tables() -> set[str]:
    """Return the rules that some test breaks."""
    found = set(importlib.import_module(f"{TESTS}.launch.test_scope").REFUSALS)
    found |= RULES_OF_THE_ACTION
    for path in sorted(Path(__file__).parent.glob("test_refused_*.py")):
        rows: dict[str, Refusal] = importlib.import_module(f"{TESTS}.launch.{path.stem}").REFUSALS
        found |= {row.rule for row in rows.values()}
    return found


def test_every_rule_of_the_code_is_in_the_catalogue() -> None:
    assert in_code() - set(catalogue.RULES) == set()


def test_every_rule_of_the_catalogue_is_broken_by_a_table() -> None:
    assert set(catalogue.RULES) == in_tables()
    assert len(catalogue.RULES) > 60


def test_every_rule_of_the_catalogue_says_what_it_is() -> None:
    for rule in catalogue.RULES.values():
        assert rule.severity in (catalogue.ERROR, catalogue.WARNING, catalogue.NOTE), rule
        assert rule.text.endswith("."), rule
        assert rule.text[0].isupper(), rule


def test_the_page_of_rules_is_current() -> None:
    page = ROOT / "docs/rules.md"
    if os.environ.get("RAILYARD_GOLDEN") == "write":
        page.write_text(catalogue.document(catalogue.RULES), encoding="utf-8")
    assert page.read_text(encoding="utf-8") == catalogue.document(catalogue.RULES), "RAILYARD_GOLDEN=write tools/unit.sh -n 0 THIS FILE"
