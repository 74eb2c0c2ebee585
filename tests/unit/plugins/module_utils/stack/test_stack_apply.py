# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applying stacks to a host: local and shared, check mode, rollback, and what the other hosts say."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.stack.apply import Options, Outcome, apply
from ansible_collections.railyard.sglang.plugins.module_utils.stack.build import Source
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import parse_definition
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import complete_trees, link_target
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.stack.tiny_stack import Tiny, mounted, needs_root

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
    assert [entry.deb for entry in outcome.libraries] == ["libnone7"]
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
