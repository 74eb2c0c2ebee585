# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applying stacks to a host: local and shared, check mode, rollback, and what the other hosts say."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.services import units
from ansible_collections.railyard.sglang.plugins.module_utils.stack import inuse
from ansible_collections.railyard.sglang.plugins.module_utils.stack.apply import Options, Outcome, apply
from ansible_collections.railyard.sglang.plugins.module_utils.stack.build import Source
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import parse_definition
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import (
    Place,
    complete_trees,
    link_target,
    read_marker,
    take_into_use,
    write_marker,
)
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.stack.tiny_stack import MINOR, Tiny, mounted, needs_root

MACHINE = os.uname().machine
NAME = "tiny-stack"


def run(tiny: Tiny, options: Options, **keys: Any) -> Outcome:
    return apply([parse_definition(tiny.changed(**keys))], options, MACHINE)


def current(tiny: Tiny) -> str:
    target = link_target(tiny.root / NAME)
    return target.name if target else ""


def test_check_mode_on_a_bare_host_predicts_and_changes_nothing(tiny: Tiny) -> None:
    options = tiny.options(check=True, source=Source(tiny.wheels / "none"))
    outcome = run(tiny, options)
    assert outcome.changed is True
    assert outcome.stacks[NAME]["action"] == "built"
    assert outcome.before == ""
    assert "  tiny==1.0\n" in outcome.after
    assert not tiny.root.exists()


def test_local(tiny: Tiny) -> None:
    first = run(tiny, tiny.options())
    assert first.changed is True
    assert first.stacks[NAME]["action"] == "built"
    assert first.stacks[NAME]["path"] == str(tiny.root / NAME)
    for check in (True, False):
        again = run(tiny, tiny.options(check=check))
        assert (again.changed, again.stacks[NAME]["action"], again.before, again.after) == (False, "none", "", "")


def test_upgrade_keeps_the_old_tree_and_rolls_back_to_it_without_a_build(tiny: Tiny) -> None:
    trees = {}
    for version in ("1.0", "1.1", "1.2"):
        tiny.release(version)
        predicted = run(tiny, tiny.options(check=True))
        outcome = run(tiny, tiny.options())
        for key in ("action", "content", "pruned", "packages_changed"):
            assert predicted.stacks[NAME][key] == outcome.stacks[NAME][key]
        assert (predicted.changed, predicted.before, predicted.after) == (True, outcome.before, outcome.after)
        trees[version] = current(tiny)
    assert outcome.stacks[NAME]["pruned"] == [trees["1.0"]]
    assert outcome.stacks[NAME]["packages_changed"] == ["tiny"]
    assert f"{tiny.root / NAME} -> {trees['1.1']}\n  tiny==1.1\n" == outcome.before
    assert f"{tiny.root / NAME} -> {trees['1.2']}\n  tiny==1.2\n" == outcome.after
    assert [tree.name for tree in complete_trees(tiny.store, NAME)] == [trees["1.2"], trees["1.1"]]

    tiny.release("1.1")
    back = run(tiny, tiny.options(source=Source(tiny.wheels / "none")))
    assert (back.changed, back.stacks[NAME]["action"], current(tiny)) == (True, "linked", trees["1.1"])

    tiny.release("1.3")
    assert run(tiny, tiny.options()).stacks[NAME]["pruned"] == [trees["1.2"]]
    assert trees["1.1"] in {tree.name for tree in complete_trees(tiny.store, NAME)}


def test_failed_upgrade_leaves_the_old_tree_current(tiny: Tiny) -> None:
    run(tiny, tiny.options())
    before = current(tiny)
    tiny.release("1.1", {"tiny/__init__.py": b"VALUE = 'old'\nimport none_such\n"})
    with pytest.raises(StackError, match="none_such"):
        run(tiny, tiny.options())
    assert current(tiny) == before


def shared(tiny: Tiny, root: Path, **keys: Any) -> Options:
    """Return the options of a host which takes its stacks from the store that r0 builds."""
    return replace(tiny.options(root=root, builds=False, builder="r0", builder_in_play=True), **keys)


def test_shared_store(tiny: Tiny, tmp_path: Path) -> None:
    host = tmp_path / "d0"
    deferred = run(tiny, shared(tiny, host, defer=True))
    assert (deferred.changed, deferred.deferred) == (False, ["tiny-stack waits for r0"])
    predicted = run(tiny, shared(tiny, host, check=True))
    assert (predicted.changed, predicted.stacks[NAME]["action"]) == (True, "linked")
    with pytest.raises(StackError, match=r"holds no complete tiny-stack-\w+ .*Fix: look at what stopped .* on r0"):
        run(tiny, shared(tiny, host))
    for check in (True, False):
        with pytest.raises(StackError, match=r"run the stack stage on r0, which builds it \(--limit left it out\)"):
            run(tiny, shared(tiny, host, builder_in_play=False, check=check))
    with pytest.raises(StackError, match="name the host that has the store mounted read-write in stack_builder"):
        run(tiny, shared(tiny, host, builder="", builder_in_play=False))
    assert not host.exists()

    built = run(tiny, tiny.options(builder="r0", builder_in_play=True))
    assert built.stacks[NAME]["action"] == "built"
    linked = run(tiny, shared(tiny, host, defer=True, source=Source(tiny.wheels / "none")))
    assert (linked.changed, linked.deferred, linked.stacks[NAME]["action"]) == (True, [], "linked")
    assert link_target(host / NAME) == link_target(tiny.root / NAME)
    assert run(tiny, shared(tiny, host, defer=True)).changed is False


def test_builder_builds_what_it_does_not_use(tiny: Tiny) -> None:
    outcome = run(tiny, tiny.options(link=frozenset()))
    assert (outcome.changed, outcome.stacks[NAME]["action"]) == (True, "built")
    assert not (tiny.root / NAME).exists()
    assert run(tiny, tiny.options(link=frozenset())).changed is False


@needs_root
def test_read_only_store(tiny: Tiny, tmp_path: Path) -> None:
    run(tiny, tiny.options())
    with mounted(tmp_path / "ro", "-o", "bind,ro", str(tiny.store)) as store:
        linked = run(tiny, shared(tiny, tmp_path / "d0", store=store))
        assert linked.stacks[NAME]["action"] == "linked"
        tiny.release("1.1")
        for check in (True, False):
            with pytest.raises(StackError, match=r"is mounted read-only on this host, which is to build there"):
                run(tiny, tiny.options(store=store, check=check))


def test_missing_library(tiny: Tiny) -> None:
    library = {"soname": "librailyard-none.so.7", "deb": "libnone7", "rpm": "libnone7"}
    keys = {"libraries": [library]}
    outcome = run(tiny, tiny.options(defer=True), **keys)
    assert (outcome.changed, outcome.deferred) == (False, ["tiny-stack needs librailyard-none.so.7"])
    assert [entry.package for entry in outcome.lacks] == ["libnone7"]
    assert run(tiny, tiny.options(check=True), **keys).changed is True
    with pytest.raises(StackError, match=r"lacks librailyard-none.so.7. Fix: install libnone7"):
        run(tiny, tiny.options(), **keys)
    assert not tiny.root.exists()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"disk_mib": 10**9}, r"MiB free and needs 1000000000 MiB"),
        ({"machines": ["riscv64"]}, "it is locked for riscv64"),
        ({"python": ["3.99"]}, "it needs Python 3.99"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_unfit_host_is_named_before_anything_is_done(tiny: Tiny, keys: dict[str, Any], expected: str, check: bool) -> None:
    with pytest.raises(StackError, match=f"stack tiny-stack: .*{expected}"):
        run(tiny, tiny.options(check=check), **keys)
    assert not tiny.root.exists()


def test_a_link_that_services_run_from_is_left_to_their_restart(tiny: Tiny) -> None:
    asked = []

    def runs(link: Path) -> list[str]:
        asked.append(link)
        return ["sglang-prefill-0.service"]

    first = run(tiny, tiny.options(services=runs))
    old = current(tiny)
    assert (first.stacks[NAME]["held"], asked) == ([], []), "nothing can run from a link that was not there"
    assert run(tiny, tiny.options(services=runs)).changed is False
    assert asked == []
    tiny.release("1.1")
    predicted = run(tiny, tiny.options(services=runs, check=True))
    built = run(tiny, tiny.options(services=runs))
    assert current(tiny) == old
    assert (built.changed, built.stacks[NAME]["action"], built.stacks[NAME]["held"]) == (True, "built", ["sglang-prefill-0.service"])
    assert (predicted.changed, predicted.before, predicted.after) == (True, built.before, built.after)
    assert "switched to when sglang-prefill-0.service restarts" in built.after
    for check in (True, False):
        again = run(tiny, tiny.options(services=runs, check=check, keep=1))
        assert (again.changed, again.stacks[NAME]["action"], again.stacks[NAME]["pruned"]) == (False, "held", [])
        assert asked[-1] == tiny.root / NAME
    take_into_use(tiny.root / NAME, Path(built.stacks[NAME]["tree"]))
    after = run(tiny, tiny.options(services=runs))
    assert (after.changed, after.stacks[NAME]["action"], current(tiny) != old) == (False, "none", True)


def test_a_link_to_nothing_is_switched_whatever_runs(tiny: Tiny) -> None:
    (tiny.root).mkdir()
    (tiny.root / NAME).symlink_to(tiny.store / "gone")
    assert run(tiny, tiny.options(services=lambda _link: ["sglang-prefill-0.service"])).stacks[NAME]["held"] == []
    assert current(tiny).startswith(NAME)


UNIT = "# railyard.sglang: unit of cluster {cluster}, role engine\n[Service]\nExecStart={program} -m sglang.launch_server\n"


@pytest.mark.parametrize(
    ("links", "active", "found"),
    [
        (["{link}"], "active", True),
        (["/opt/other", "{link}"], "activating", True),
        (["{link}"], "inactive", False),
        (["{link}-two"], "active", False),
        ([], "active", False),
    ],
)
def test_services_that_record_a_link(tmp_path: Path, links: list[str], active: str, found: bool) -> None:
    link = tmp_path / "sglang" / NAME
    (tmp_path / "sglang-x.service").write_text(UNIT.format(cluster="lab", program="/x/bin/python"), encoding="utf-8")
    script = Path(units.recorder_path("sglang-x.service", str(tmp_path)))
    script.parent.mkdir()
    script.write_text(units.recorder([], [], [text.format(link=link) for text in links]), encoding="utf-8")

    def systemctl(_command: list[str]) -> tuple[int, str, str]:
        return 0, f"LoadState=loaded\nActiveState={active}\nSubState=x\nUnitFileState=enabled\nMainPID=1\nNRestarts=0\n", ""

    assert inuse.recorded(link, systemctl, str(tmp_path)) == (["sglang-x.service"] if found else [])
    script.unlink()
    assert inuse.recorded(link, systemctl, str(tmp_path)) == []


@pytest.mark.parametrize(
    ("program", "active", "found"),
    [
        ("{link}/bin/python", "active", True),
        ('"{link}/bin/python"', "active", True),
        ("{link}/bin/python", "activating", True),
        ("{link}/bin/python", "deactivating", True),
        ("{link}/bin/python", "inactive", False),
        ("{link}/bin/python", "failed", False),
        ("{link}-two/bin/python", "active", False),
        ("/usr/bin/python3", "active", False),
    ],
)
def test_services_of_a_link(tmp_path: Path, program: str, active: str, found: bool) -> None:
    link = tmp_path / "sglang" / NAME
    (tmp_path / "sglang-x.service").write_text(UNIT.format(cluster="lab", program=program.format(link=link)), encoding="utf-8")
    (tmp_path / "other.service").write_text(f"[Service]\nExecStart={link}/bin/python\n", encoding="utf-8")

    def systemctl(_command: list[str]) -> tuple[int, str, str]:
        return 0, f"LoadState=loaded\nActiveState={active}\nSubState=x\nUnitFileState=enabled\nMainPID=1\nNRestarts=0\n", ""

    assert inuse.services(link, systemctl, str(tmp_path)) == (["sglang-x.service"] if found else [])
    assert list(units.marked_by_anyone(str(tmp_path))) == ["sglang-x.service"]
    assert units.marked("lab", str(tmp_path)).keys() == {"sglang-x.service"}
    assert units.marked("other", str(tmp_path)) == {}


def test_a_tree_that_runs_is_not_built_again(tiny: Tiny) -> None:
    run(tiny, tiny.options())
    again = tiny.options(rebuild=True, services=lambda _link: ["sglang-prefill-0.service"])
    for check in (True, False):
        with pytest.raises(StackError, match=r"sglang-prefill-0.service runs from .* to be built anew\. Fix: stop that first"):
            run(tiny, replace(again, check=check))
    inode = (tiny.store / current(tiny)).stat().st_ino
    predicted = run(tiny, tiny.options(rebuild=True, check=True))
    built = run(tiny, tiny.options(rebuild=True))
    assert (predicted.changed, predicted.stacks[NAME]["action"], built.stacks[NAME]["action"]) == (True, "built", "built")
    assert (tiny.store / current(tiny)).stat().st_ino != inode
    assert run(tiny, tiny.options()).changed is False


@contextmanager
def using(tree: Path, how: str) -> Iterator[None]:
    """Have a process that uses a tree in one way."""
    (file,) = tree.glob("lib/python3.*/site-packages/tiny/__init__.py")
    programs = {
        "mapped": f"import mmap; f = open({str(file)!r}, 'rb'); m = mmap.mmap(f.fileno(), 0, prot={mmap.PROT_READ}); f.close(); ",
        "open": f"f = open({str(file)!r}); ",
        "working directory": f"import os; os.chdir({str(tree / 'lib')!r}); ",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", programs[how] + "print(flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout
    process.stdout.readline()
    try:
        yield
    finally:
        process.kill()
        process.communicate()


def test_trees_in_use_are_not_pruned(tiny: Tiny) -> None:
    for version in ("1.0", "1.1"):
        tiny.release(version)
        run(tiny, tiny.options())
    old, new = (tree for tree in complete_trees(tiny.store, NAME)[::-1])
    for how in ("mapped", "open", "working directory"):
        with using(old, how):
            for check in (True, False):
                assert run(tiny, tiny.options(keep=1, check=check)).stacks[NAME]["pruned"] == [], how
    other = tiny.root / "mine"
    other.symlink_to(old)
    assert run(tiny, tiny.options(keep=1)).stacks[NAME]["pruned"] == []
    assert inuse.unit_trees([old, new], str(tiny.root)) == set()
    for number, program in enumerate((f"{other}/bin/python", f"{new}/bin/python")):
        (tiny.root / f"{number}.service").write_text(UNIT.format(cluster="lab", program=program), encoding="utf-8")
    assert inuse.unit_trees([old, new], str(tiny.root)) == {old, new}
    assert inuse.unit_trees([old], str(tiny.root)) == {old}
    assert inuse.unit_trees([old, new], str(tiny.root), without=other) == {new}
    other.unlink()
    assert run(tiny, tiny.options(keep=1)).stacks[NAME]["pruned"] == [old.name]
    assert not old.exists()


def test_trees_of_stacks_that_are_not_planned_are_told(tiny: Tiny) -> None:
    run(tiny, tiny.options())
    other = tiny.store / "older-stack-0123456789ab"
    other.mkdir()
    write_marker(other, {"stack": "older-stack", "id": "0123456789ab", "mib": 7})
    assert run(tiny, tiny.options(keep=1)).unplanned == [{"stack": "older-stack", "tree": str(other), "mib": 7}]
    assert other.is_dir()


def test_a_store_of_another_python_is_told_as_such(tiny: Tiny, tmp_path: Path) -> None:
    keys = {"python": [f"3.{MINOR}", "3.99"]}
    run(tiny, tiny.options(link=frozenset()), **keys)
    (tree,) = complete_trees(tiny.store, NAME)
    definition = parse_definition(tiny.changed(**keys))
    tree.rename(Place(tiny.store, NAME, definition.content_id(99)).tree)
    expected = rf"takes Python 3\.{MINOR} .* has the stack for 3\.99 only\. Fix: install python3\.99 here .*r0 build"
    with pytest.raises(StackError, match=expected):
        run(tiny, shared(tiny, tmp_path / "d0"), **keys)


def test_an_old_tree_that_cannot_be_read_stops_nothing_and_stays(tiny: Tiny) -> None:
    run(tiny, tiny.options())
    marker = tiny.store / current(tiny) / ".stack.json"
    text = marker.read_text(encoding="utf-8")
    marker.write_text(text.replace('"format": 1', '"format": 9'), encoding="utf-8")
    with pytest.raises(StackError, match="a newer version of the collection has made it"):
        run(tiny, tiny.options())
    marker.unlink()
    marker.symlink_to(marker.name)
    with pytest.raises(StackError, match=r"cannot be read: Too many levels.*nothing was removed"):
        run(tiny, tiny.options())
    marker.unlink()
    assert read_marker(marker.parent) is None
    marker.write_text(text, encoding="utf-8")
    assert run(tiny, tiny.options()).changed is False
