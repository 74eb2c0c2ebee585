# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drift of real small environments from their lock: changed by the real uv and by hand, and then seen."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.stack import versions_view
from ansible_collections.railyard.sglang.plugins.module_utils.stack.apply import apply
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import Definition, parse_definition
from ansible_collections.railyard.sglang.plugins.module_utils.stack.drift import Drift, compare, of_machine, of_stack
from ansible_collections.railyard.sglang.plugins.module_utils.stack.installed import look_at, packages_of, unplanned
from ansible_collections.railyard.sglang.plugins.module_utils.stack.wheels import extract_program
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.stack.tiny_stack import MINOR, Tiny, make_wheel

MACHINE = {
    "os": {"id": "x", "version": "1", "name": "X 1"}, "kernel": "6.1", "glibc": "2.36", "bios": None,
    "nvidia": {"driver": None, "kind": None, "libraries": []}, "amd": {"driver": None, "rocm": None}, "cuda": [], "gpus": [], "nics": [],
}  # fmt: skip


def installed(tiny: Tiny) -> Path:
    """Install the tiny stack and return its tree."""
    apply([parse_definition(tiny.data)], tiny.options(), os.uname().machine)
    return (tiny.root / "tiny-stack").resolve()


def differences(tiny: Tiny, data: dict[str, Any] | None = None, verify: bool = False) -> list[tuple[str, str, str]]:
    """Return package, found and locked of what differs."""
    return [(row.package, row.found, row.locked) for row in found(tiny, data, verify)]


def found(tiny: Tiny, data: dict[str, Any] | None = None, verify: bool = False) -> list[Drift]:
    return of_stack("p0", parse_definition(data or tiny.data), look_at(tiny.root, "tiny-stack", verify))


def uv(tiny: Tiny, tree: Path, *words: str) -> None:
    """Have the real uv change an environment, as somebody with root rights would."""
    (wheel,) = tiny.wheels.glob("uv-*.whl")
    program = extract_program(wheel, "uv", tiny.root / "uv")
    command = [str(program), "pip", *words, "--python", str(tree / "bin" / "python")]
    environment = {**os.environ, "UV_NO_CONFIG": "1", "UV_OFFLINE": "1", "UV_CACHE_DIR": str(tiny.root / "cache")}
    subprocess.run(command, check=True, capture_output=True, env=environment)


def test_fresh_install_has_no_drift(tiny: Tiny) -> None:
    tree = installed(tiny)
    row = look_at(tiny.root, "tiny-stack", verify=True)
    assert (row["state"], row["tree"], row["packages"]) == ("complete", str(tree), {"tiny": "1.0"})
    assert row["python"].startswith(f"3.{MINOR}")
    assert row["altered"] == ["tiny/__init__.py"]  # the patch of the definition
    assert differences(tiny, verify=True) == []


def test_packages_that_somebody_changed(tiny: Tiny) -> None:
    tree = installed(tiny)
    make_wheel(tiny.wheels, "tiny", "2.0", {"tiny/__init__.py": b""})
    make_wheel(tiny.wheels, "extra_one", "0.1", {"extra_one.py": b""})
    uv(tiny, tree, "install", "--no-index", "--find-links", str(tiny.wheels), "tiny==2.0", "extra_one")
    rows = found(tiny)
    assert [(row.package, row.found, row.locked) for row in rows] == [("extra-one", "0.1", "nothing"), ("tiny", "2.0", "1.0")]
    assert {row.host for row in rows} == {"p0"}
    assert "site.yml --tags stack -e stack_rebuild=true" in rows[0].fix
    uv(tiny, tree, "uninstall", "tiny", "extra_one")
    assert differences(tiny) == [("tiny", "nothing", "1.0")]


def test_the_fix_brings_the_locked_set_back(tiny: Tiny) -> None:
    tree = installed(tiny)
    uv(tiny, tree, "uninstall", "tiny")
    assert differences(tiny) == [("tiny", "nothing", "1.0")]
    assert apply([parse_definition(tiny.data)], tiny.options(), os.uname().machine).changed is False
    apply([parse_definition(tiny.data)], tiny.options(rebuild=True), os.uname().machine)
    assert differences(tiny, verify=True) == []
    (tree / ".stack.json").unlink()
    assert [row.fix for row in found(tiny)] == ["run site.yml --tags stack,deepep,deepgemm,engine,router, which builds it"]
    installed(tiny)
    assert differences(tiny, verify=True) == []


def test_two_versions_of_a_package(tiny: Tiny) -> None:
    tree = installed(tiny)
    (site,) = tree.glob("lib/python3.*/site-packages")
    shutil.copytree(site / "tiny-1.0.dist-info", site / "tiny-0.9.dist-info")
    assert packages_of(tree) == {"tiny": "0.9, 1.0"}
    assert differences(tiny) == [("tiny", "0.9, 1.0", "1.0")]


def test_a_file_that_somebody_changed_is_seen_by_verify_only(tiny: Tiny) -> None:
    tiny.release("1.0", {"tiny/kernel.so": b"abc" * 100, "tiny/gone.py": b"x = 1\n"})
    tree = installed(tiny)
    (site,) = tree.glob("lib/python3.*/site-packages")
    content = bytearray((site / "tiny/kernel.so").read_bytes())
    content[7] ^= 1
    (site / "tiny/kernel.so").write_bytes(content)
    (site / "tiny/gone.py").unlink()
    assert differences(tiny) == []
    assert [row[0] for row in differences(tiny, verify=True)] == ["tiny/gone.py", "tiny/kernel.so"]


def test_an_older_lock_is_installed(tiny: Tiny) -> None:
    installed(tiny)
    tiny.release("1.1")
    rows = differences(tiny)
    assert [row[0] for row in rows] == ["tree", "tiny"]
    assert rows[1] == ("tiny", "1.0", "1.1")
    assert "installs the locked set beside this one" in found(tiny)[1].fix
    installed(tiny)
    assert differences(tiny) == []
    changed = tiny.changed(environment={"TINY": "2"})
    ((package, _found, locked),) = differences(tiny, changed)
    assert package == "tree"
    assert locked.endswith("(files, patches, imports or the Python of the definition differ)")


@pytest.mark.parametrize("state", ["absent", "foreign", "dangling", "incomplete"])
def test_what_is_no_stack_at_all(tiny: Tiny, state: str) -> None:
    if state != "absent":
        tree = installed(tiny)
        if state == "incomplete":
            (tree / ".stack.json").unlink()
        elif state == "dangling":
            shutil.rmtree(tree)
        else:
            (tiny.root / "tiny-stack").unlink()
            (tiny.root / "tiny-stack").mkdir()
    assert look_at(tiny.root, "tiny-stack", verify=True)["state"] == state
    (row,) = found(tiny)
    assert (row.package, row.locked) == ("tree", "1 packages")
    assert "site.yml --tags stack,deepep,deepgemm,engine,router" in row.fix


def test_another_python(tiny: Tiny) -> None:
    tree = installed(tiny)
    text = (tree / "pyvenv.cfg").read_text(encoding="utf-8")
    (tree / "pyvenv.cfg").write_text(text.replace(f"3.{MINOR}", "3.99"), encoding="utf-8")
    ((package, version, locked),) = differences(tiny)
    assert (package, version.startswith("3.99"), locked) == ("python", True, f"3.{MINOR}")


def test_driver_that_is_half_updated() -> None:
    machine: dict[str, Any] = {**MACHINE, "nvidia": {"driver": "580.65.06", "kind": "open", "libraries": ["580.65.06"]}}
    assert of_machine("p0", machine) == []
    machine["nvidia"]["libraries"] = ["580.82.07"]
    (row,) = of_machine("p0", machine)
    assert row.line().startswith("p0: -: nvidia driver: found libcuda 580.82.07, locked 580.65.06, the loaded kernel module. Fix: ")


def test_views(tiny: Tiny) -> None:
    definition: Definition = parse_definition(tiny.data)
    before = {**MACHINE, "stacks": {"tiny-stack": look_at(tiny.root, "tiny-stack")}}
    tree = installed(tiny)
    good = {**MACHINE, "gpus": [{"index": i, "model": "G", "firmware": "1", "bios": None} for i in range(8)]}
    good["stacks"] = {"tiny-stack": look_at(tiny.root, "tiny-stack")}
    wanted = {"p0": ["tiny-stack"], "p1": ["tiny-stack"], "d0": ["tiny-stack"]}
    seen = compare([definition], wanted, {"p0": good, "p1": before})
    assert seen.absent == ("d0",)
    text = versions_view.summary(seen).splitlines()
    assert text[0] == "2 hosts against the locks: 1 difference"
    rows = {line.split()[0]: line.split()[1:] for line in text[4:7]}
    assert rows["p0"] == ["tiny-stack", tree.name.rpartition("-")[2], good["stacks"]["tiny-stack"]["python"], "1/1", "none"]
    assert rows["p1"] == ["tiny-stack", "(absent)", "0/1", "1"]
    assert rows["d0"] == ["tiny-stack", "not", "in", "this", "run"]
    assert any("8 x G" in line and "8 x 1" in line for line in text)
    assert "p1: tiny-stack: tree: found nothing at" in text[-1]
    packages = versions_view.packages(seen)
    assert packages.splitlines()[-1].split() == ["tiny", "1.0", "1/2", "p1", "nothing"]
    data = versions_view.data(seen)
    assert data["locked"]["tiny-stack"]["packages"] == {"tiny": "1.0"}
    assert [row["host"] for row in data["drift"]] == ["p1"]


def test_an_environment_of_somebody_elses(tiny: Tiny, tmp_path: Path) -> None:
    environment = installed(tiny)
    (site,) = environment.glob("lib/python3.*/site-packages")
    tree = tmp_path / "external" / "tiny-stack-0123456789ab"
    tree.mkdir(parents=True)
    marker = {"format": 1, "id": "0123456789ab", "external": {"path": str(environment)}, "packages": {"tiny": "1.0", "system-wide": "3"}}
    (tree / ".stack.json").write_text(json.dumps(marker), encoding="utf-8")
    (tiny.root / "tiny-stack").unlink()
    (tiny.root / "tiny-stack").symlink_to(tree)
    assert differences(tiny) == []
    (site / "tiny-1.0.dist-info").rename(site / "tiny-1.5.dist-info")
    (row,) = found(tiny)
    assert (row.package, row.found, row.locked) == ("tiny", "1.5", "1.0")
    assert row.fix.startswith(f"find out who changed {environment}, then run site.yml --tags stack,deepep,deepgemm,engine,router")


def test_trees_that_nobody_plans_are_told_and_are_no_drift(tiny: Tiny) -> None:
    tree = installed(tiny)
    there = {**MACHINE, "stacks": {}, "unplanned": unplanned(tiny.store, ["another"])}
    assert there["unplanned"] == [{"stack": "tiny-stack", "tree": str(tree), "mib": 0}]
    assert unplanned(tiny.store, ["tiny-stack"]) == []
    seen = compare([], {"p0": [], "p1": []}, {"p0": there, "p1": there})
    assert seen.drifts == ()
    assert versions_view.summary(seen).splitlines()[-1] == f"{tree} (0 MiB) on p0, p1"
