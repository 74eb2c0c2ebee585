# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is given as -e VARIABLE=false is the word false, which Jinja takes for true: it must never count as consent."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.railyard.sglang.tests.unit.support import playbooks

ROLES = playbooks.ROOT / "roles"
# Handed to a module or an action as a whole it is made a truth value there.
WHOLE = re.compile(r'^\s*(- )?[\w.]+: "\{\{ \w+ \}\}"$')
CONVERTED = r"\b{}\b( \| default\([^)]*\))? \| bool\b"
ASKED = {"engine": "Ask for consent to interrupt what runs", "router": "Ask for consent to interrupt what runs"}


def switches(role: str) -> list[str]:
    specs = yaml.safe_load((ROLES / role / "meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
    return [name for spec in specs.values() for name, row in (spec.get("options") or {}).items() if row.get("type") == "bool"]


def raw_uses(role: str) -> list[str]:
    """Return the lines of a role that have a switch in an expression as it was given."""
    found = []
    for path in sorted([*(ROLES / role / "tasks").glob("*.yml"), *(ROLES / role / "vars").glob("*.yml")]):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.lstrip().startswith("#") or WHOLE.match(line):
                continue
            expression = re.sub(r"'[^']*'", "", line)
            for name in switches(role):
                is_use = re.search(rf"\b{name}\b(?!:)", expression) and not re.search(CONVERTED.format(name), expression)
                if is_use and re.search(r"\{\{|\{%|when:|^\s+- |\||\bif\b|\band\b|\bnot\b", expression):
                    found.append(f"{path.name}: {line.strip()}")
    return found


@pytest.mark.parametrize("role", ["deepgemm", "engine", "model", "router", "stack"])
def test_a_switch_in_an_expression_is_made_a_truth_value(role: str) -> None:
    assert switches(role)
    assert raw_uses(role) == []


@pytest.mark.parametrize(("word", "refused"), [("false", True), ("true", False)])
@pytest.mark.parametrize("role", ASKED)
def test_the_word_false_is_no_consent(role: str, word: str, refused: bool, tmp_path: Path) -> None:
    tasks = yaml.safe_load((ROLES / role / "tasks/main.yml").read_text(encoding="utf-8"))
    (task,) = [row for row in tasks if row["name"] == ASKED[role]]
    # Of both roles: who looks at what runs is not part of it.
    task.pop("vars", None)
    found = {"interrupts": ["sglang-prefill-0.service runs on p0"]}
    defaults: dict[str, Any] = yaml.safe_load((ROLES / role / "defaults/main.yml").read_text(encoding="utf-8"))
    variables = {**defaults, "__engine_turns": found, "__router_turns": found}
    play = {"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": [task]}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
    words = ("-e", f"ansible_connection=local ansible_python_interpreter={sys.executable}", "-e", f"sglang_allow_restart={word}")
    done = playbooks.playbook(tmp_path, *words, "play.yml")
    assert (done.returncode != 0) is refused, done.stdout + done.stderr
