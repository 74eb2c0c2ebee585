# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module stack on a host that a stack does not work on: this one, with a stack that wants too much of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.stack.test_stack_calls import TREE, call
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.stack.tiny_stack import FILES, Tiny

FUTURE = {"symbols": [{"library": "libc.so.6", "version": "GLIBC_9.99", "of": "tiny 1.0"}]}
OTHER = {"name": "tiny-other", "kind": "engine", "python": ["3.9"], "machines": [], "locked": True}


def arguments(tiny: Tiny, **keys: Any) -> dict[str, Any]:
    other = {**OTHER, "python": tiny.data["python"], "machines": tiny.data["machines"]}
    # Nothing to install from: whoever gets that far fails otherwise.
    found = {"root": str(tiny.root), "wheels": "/nonexistent", "python": sys.executable, "host": "d0", "known": [other]}
    return {**found, "definitions": [tiny.changed(host=FUTURE)], **keys}


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("keys", [{}, {"defer": True}, {"decide": True}])
def test_refused_before_anything_is_done(tiny: Tiny, tmp_path: Path, check: bool, keys: dict[str, Any]) -> None:
    answer = call("stack", tmp_path, check=check, **arguments(tiny, **keys))
    assert answer["failed"] is True
    first, line = answer["msg"].splitlines()
    assert first == "d0 cannot run what it is to run; nothing was downloaded and nothing was changed:"
    assert line.startswith("- d0: stack tiny-stack: stack.library: ")
    assert "; tiny 1.0 needs GLIBC_9.99. Fix: " in line
    assert line.endswith("Works here: tiny-other.")
    (reason,) = answer["refused"]["tiny-stack"]
    assert (reason["rule"], reason["instead"]) == ("stack.library", ["tiny-other"])
    assert not tiny.root.exists()


def test_lookup_of_needs(tmp_path: Path) -> None:
    own = tmp_path / "own"
    for name, text in (("mine", "name: mine\nkind: engine\n"), ("smg-1.13.0", "name: smg-1.13.0\nkind: mine instead\n")):
        (own / name).mkdir(parents=True)
        (own / name / "stack.yml").write_text(text, encoding="utf-8")

    def ask(words: str, path: Path = own) -> str:
        message = f"msg={{{{ query('railyard.sglang.stack_needs', {words} paths=['{path}']) | map(attribute='kind') | sort }}}}"
        command = [sys.executable, "-m", "ansible", "adhoc", "-i", "localhost,", "-c", "local", "localhost"]
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(TREE), "ANSIBLE_HOME": str(tmp_path)}
        environment.pop("PYTHONPATH", None)  # ansible-test's holds half an ansible
        command += ["-m", "ansible.builtin.debug", "-a", message]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        return done.stdout + done.stderr

    everything = ask("")
    assert everything.count("engine") == len(list(FILES.glob("sglang-0*/stack.yml"))) + 1
    assert everything.count("mine instead") == 1
    assert "there is no stack sglang-9. Fix: use one of mine, sglang-0.5.23-ascend" in ask("'sglang-9',")
    (own / "mine" / "stack.yml").write_text("name: mine\nhost: {weather: 1}\n", encoding="utf-8")
    assert "stack mine: host is not a mapping of driver" in ask("'mine',")


def test_waived_and_decided(tiny: Tiny, tmp_path: Path) -> None:
    waive = {"stack.library": "the unit brings its own"}
    decided = call("stack", tmp_path, **arguments(tiny, waive=waive, decide=True))
    assert (decided["changed"], decided.get("failed")) == (False, None)
    assert not tiny.root.exists()
    built = call("stack", tmp_path, **arguments(tiny, waive=waive, wheels=str(tiny.wheels)))
    assert built["stacks"]["tiny-stack"]["action"] == "built"
    wrong = call("stack", tmp_path, **arguments(tiny, waive={"stack.library": ""}))
    assert wrong["msg"].startswith("stack_waive: stack.library has no reason.")
