# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every rule of the code is broken by a row of some table."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from ansible_collections.railyard.sglang.tests.unit.support.clusters import Refusal

ROOT = Path(__file__).resolve().parents[5]
UTILS = ROOT / "plugins/module_utils"
TESTS = "ansible_collections.railyard.sglang.tests.unit.plugins.module_utils"
TABLES = [f"launch.test_refused_{name}" for name in ("addresses", "arguments", "inputs", "ports", "topology")]
CALL = re.compile(r"\b(?:findings\.add|(?<!def )problem)\(")
RULE = re.compile(CALL.pattern + r'\s*"([a-z]+\.[a-z0-9-]+)"')


def in_code() -> set[str]:
    found = set()
    for path in [*UTILS.glob("launch/*.py"), UTILS / "hostcheck/rules.py"]:
        text = path.read_text(encoding="utf-8")
        rules = RULE.findall(text)
        assert len(rules) == len(CALL.findall(text)), f"{path}: a rule that is not written as a literal"
        found |= set(rules)
    return found


def in_tables() -> set[str]:
    found = set(importlib.import_module(f"{TESTS}.hostcheck.test_hostcheck_rules").REFUSALS)
    found |= set(importlib.import_module(f"{TESTS}.launch.test_scope").REFUSALS)
    for name in TABLES:
        rows: dict[str, Refusal] = importlib.import_module(f"{TESTS}.{name}").REFUSALS
        found |= {row.rule for row in rows.values()}
    return found


def test_every_rule_is_broken_by_a_table() -> None:
    assert in_code() == in_tables()
    assert len(in_code()) > 40
