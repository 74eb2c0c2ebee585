# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environments that exist already: checked like a stack, linked by a script, never changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.stack.apply import Outcome, apply
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import parse_definition
from ansible_collections.railyard.sglang.plugins.module_utils.stack.drift import of_stack
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.external import External, parse_external
from ansible_collections.railyard.sglang.plugins.module_utils.stack.installed import look_at
from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import link_target
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.stack.tiny_stack import MINOR, Tiny

NAME = "tiny-stack"
MACHINE = os.uname().machine


class Environment:
    """A real virtual environment with one package in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(path)], check=True)
        self.packages = path / "lib" / f"python3.{MINOR}" / "site-packages"
        self.put("1.0")

    def put(self, version: str, body: str = "") -> None:
        """Have a version of the package there, with this code."""
        for old in self.packages.glob("tiny-*.dist-info"):
            (old / "METADATA").unlink()
            old.rmdir()
        info = self.packages / f"tiny-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n", encoding="utf-8")
        (self.packages / "tiny.py").write_text(body, encoding="utf-8")

    def wrapper(self, line: str) -> tuple[str, ...]:
        """Write a wrapper which does something and then starts what it is given."""
        path = self.path.parent / "run with it.sh"
        path.write_text(f'#!/bin/sh\n{line}\nexec "$@"\n', encoding="utf-8")
        path.chmod(0o755)
        return (str(path),)

    def content(self) -> dict[str, tuple[float, int]]:
        """Return time and size of everything in it."""
        paths = [*self.path.rglob("*")]
        return {str(path): (path.lstat().st_mtime, path.lstat().st_size) for path in paths}


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "an environment")


def run(tiny: Tiny, external: External, check: bool = False, **keys: Any) -> Outcome:
    data = tiny.changed(imports=[["tiny", "tiny"]], libraries=[], **keys)
    options = tiny.options(external={NAME: external}, check=check, builds=False, builder="r0")
    return apply([parse_definition(data)], options, MACHINE)


def current(tiny: Tiny) -> str:
    target = link_target(tiny.root / NAME)
    return target.name if target else ""


def test_it_is_linked_by_a_script_and_not_touched(tiny: Tiny, environment: Environment) -> None:
    external = External(environment.path, environment.wrapper("export TINY_WRAPPED=yes"))
    environment.put("1.0", "import os\nassert os.environ['TINY_WRAPPED'] == 'yes' and os.environ['TINY'] == '1'\n")
    before = environment.content()
    predicted = run(tiny, external, check=True)
    assert not tiny.root.exists()
    first = run(tiny, external)
    again = run(tiny, external)
    assert environment.content() == before
    assert (predicted.changed, first.changed, again.changed) == (True, True, False)
    assert (predicted.before, predicted.after) == (first.before, first.after)
    assert first.after == f"{tiny.root / NAME} -> {current(tiny)}\n  tiny==1.0\n"
    assert not tiny.store.exists()
    python = tiny.root / NAME / "bin" / "python"
    program = "import os, sys, tiny; print(sys.prefix, os.getpid())"
    process = subprocess.Popen(
        [str(python), "-c", program], stdout=subprocess.PIPE, text=True, env={"TINY": "1", "PATH": os.environ["PATH"]}
    )
    assert process.communicate()[0].split() == [*str(environment.path).split(), str(process.pid)]


def test_the_machine_that_the_lock_is_for_does_not_matter(tiny: Tiny, environment: Environment) -> None:
    assert run(tiny, External(environment.path), machines=["riscv64"]).changed is True


def test_every_package_of_the_environment_itself_is_looked_after(tiny: Tiny, environment: Environment) -> None:
    info = environment.packages / "helper-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: helper\nVersion: 2.0\n", encoding="utf-8")
    data = tiny.changed(imports=[["tiny", "tiny"]], libraries=[])
    run(tiny, External(environment.path))

    def drift() -> list[tuple[str, str, str]]:
        return [(row.package, row.found, row.locked) for row in of_stack("p0", parse_definition(data), look_at(tiny.root, NAME))]

    assert drift() == []
    (info / "METADATA").unlink()
    info.rmdir()
    assert drift() == [("helper", "nothing", "2.0")]
    (environment.packages / "added-1.dist-info").mkdir()
    assert drift() == [("added", "1", "nothing"), ("helper", "nothing", "2.0")]


def test_another_version_is_refused_unless_it_is_said_to_be_right(tiny: Tiny, environment: Environment) -> None:
    environment.put("0.9")
    for check in (True, False):
        with pytest.raises(StackError, match=r"does not hold what the stack needs: tiny 0\.9 instead of 1\.0\. Fix: .*stack_external"):
            run(tiny, External(environment.path), check)
    assert run(tiny, External(environment.path, (), {"tiny": "0.9"})).changed is True
    with pytest.raises(StackError, match=r"other missing instead of 3"):
        run(tiny, External(environment.path, (), {"tiny": "0.9", "other": "3"}))


def test_one_that_was_changed_is_checked_anew_and_a_broken_one_is_never_current(tiny: Tiny, environment: Environment) -> None:
    run(tiny, External(environment.path))
    first = current(tiny)
    environment.put("1.1", "import none_such\n")
    newer = External(environment.path, (), {"tiny": "1.1"})
    with pytest.raises(StackError, match=r"tiny does not import .*none_such"):
        run(tiny, newer)
    assert current(tiny) == first
    assert [path.name for path in (tiny.root / "external").iterdir() if path.is_dir()] == [first]
    environment.put("1.1")
    outcome = run(tiny, newer)
    assert outcome.stacks[NAME]["packages_changed"] == ["tiny"]
    assert current(tiny) not in ("", first)


def test_one_that_does_not_run_is_named(tiny: Tiny, environment: Environment) -> None:
    with pytest.raises(StackError, match=r"/none/bin/python cannot be used: .*Fix: correct stack_external"):
        run(tiny, External(Path("/none")))
    with pytest.raises(StackError, match=r"does not run \(status 3\): no such library"):
        run(tiny, External(environment.path, environment.wrapper("echo no such library >&2; exit 3")))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("/opt/venv", "not a mapping of path"),
        ({"path": "/opt/venv", "colour": 1}, "not a mapping of path"),
        ({"path": "venv"}, "venv is no absolute path"),
        ({"path": "/opt/venv", "wrapper": "run.sh"}, "wrapper is not a list"),
        ({"path": "/opt/venv", "wrapper": ["run.sh"]}, "run.sh is no absolute path"),
    ],
)
def test_bad_entries_are_named(row: Any, words: str) -> None:
    with pytest.raises(StackError, match=rf"^stack_external\.mine: .*{words}"):
        parse_external({"mine": row})
    good = parse_external({"mine": {"path": "/opt/venv", "wrapper": ["/opt/run.sh", "-x"], "versions": {"Some_Thing": 1}}})["mine"]
    assert good.command == ("/opt/run.sh", "-x", "/opt/venv/bin/python")
    assert good.versions == {"some-thing": "1"}
