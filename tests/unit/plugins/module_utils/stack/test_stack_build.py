# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real builds of a tiny stack by the real uv, and what stops them."""

from __future__ import annotations

import os
import pickle
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.stack import build as building
from ansible_collections.railyard.sglang.plugins.module_utils.stack import store
from ansible_collections.railyard.sglang.plugins.module_utils.stack.build import build_tree
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import (
    Place,
    complete_trees,
    hold,
    interrupted,
    link_target,
    read_marker,
    surplus,
    switch_link,
)
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.stack.tiny_stack import MINOR, Tiny, mounted, needs_root


def output(place: Place, program: str) -> str:
    """Return what a program prints in the Python of a tree."""
    command = [str(place.tree / "bin" / "python"), "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def remains(store: Path) -> list[str]:
    """Return what is in a store besides finished trees and locks."""
    return sorted(e.name for e in store.iterdir() if read_marker(e) is None and not e.name.endswith(".lock"))


def test_build(tiny: Tiny) -> None:
    build = tiny.build()
    assert build_tree(build) is True
    assert build_tree(tiny.build()) is False
    marker = read_marker(build.place.tree)
    assert marker is not None
    assert marker["packages"] == {"tiny": "1.0"}
    assert marker["imports"] == {"tiny": "1.0", "tiny_stub.any": ""}
    assert {"hash", "install", "bytecode", "import"} <= set(marker["seconds"])
    assert output(build.place, "import tiny, tiny_stub; print(tiny.VALUE, tiny.VERSION)") == "new 1.0"
    assert remains(tiny.store) == []


def test_tree_can_be_read_by_others_and_has_its_bytecode(tiny: Tiny) -> None:
    old = os.umask(0o077)
    try:
        build = tiny.build()
        build_tree(build)
    finally:
        os.umask(old)
    for path in [build.place.tree, *build.place.tree.rglob("*")]:
        status = path.lstat()
        wanted = 0o555 if stat.S_ISDIR(status.st_mode) else 0o444
        assert stat.S_ISLNK(status.st_mode) or stat.S_IMODE(status.st_mode) & wanted == wanted, path
        assert status.st_uid == os.geteuid()
    tag = sys.implementation.cache_tag
    packages = build.place.tree / "lib" / f"python3.{MINOR}" / "site-packages"
    assert (packages / "tiny" / "__pycache__" / f"__init__.{tag}.pyc").is_file()
    assert (packages / "tiny_stub" / "__pycache__" / f"any.{tag}.pyc").is_file()


def test_nothing_in_a_tree_names_the_place_where_it_was_built(tiny: Tiny) -> None:
    build = tiny.build()
    build_tree(build)
    told = [path for path in build.place.tree.rglob("*") if path.is_file() and build.place.new.name.encode() in path.read_bytes()]
    assert told == []


def flip(wheel: Path) -> None:
    content = bytearray(wheel.read_bytes())
    content[len(content) // 2] ^= 1
    wheel.write_bytes(content)


def test_corrupted_wheel_stops_the_build_before_it_begins(tiny: Tiny) -> None:
    flip(tiny.wheels / "tiny-1.0-py3-none-any.whl")
    with pytest.raises(StackError, match=r"stack tiny-stack: the sha256 .* tiny-1.0-py3-none-any.whl"):
        build_tree(tiny.build())
    assert remains(tiny.store) == []
    assert complete_trees(tiny.store, "tiny-stack") == []


def test_corrupted_uv_is_not_run(tiny: Tiny, uv_wheel: Path) -> None:
    link = tiny.wheels / uv_wheel.name
    link.unlink()
    link.write_bytes(uv_wheel.read_bytes()[:-1])
    with pytest.raises(StackError, match=rf"sha256 .* {uv_wheel.name}"):
        build_tree(tiny.build())


@pytest.mark.parametrize(
    ("module", "text", "expected"),
    [
        ("none_such", None, r"none_such does not import .*No module named 'none_such'"),
        ("broken", "import ctypes\nctypes.CDLL('libnone.so.7')\n", r"libnone.so.7.*Fix: install the package of that lib"),
        ("dies", "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", r"dies does not import \(status -11\)"),
        ("exits", "import os\nos._exit(0)\n", r"exits imports as tiny unknown, the lock says 1.0"),
    ],
)
def test_failed_import_leaves_nothing(tiny: Tiny, module: str, text: str | None, expected: str) -> None:
    files = {} if text is None else {f"{module}.py": text}
    build = tiny.build(tiny.changed(imports=[[module, "tiny"]], files={**tiny.data["files"], **files}))
    with pytest.raises(StackError, match=expected):
        build_tree(build)
    assert remains(tiny.store) == []
    assert not build.place.tree.exists()


def test_import_that_hangs_is_ended(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "IMPORT_SECONDS", 0.5)
    data = tiny.changed(imports=[["hangs", None]], files={"hangs.py": "import time\ntime.sleep(600)\n"})
    with pytest.raises(StackError, match=r"hangs is still importing after 0.5 s"):
        build_tree(tiny.build(data))
    assert remains(tiny.store) == []


# A run in the background of a script is born with SIGINT ignored.
KILLED = """
import pickle, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from ansible_collections.railyard.sglang.plugins.module_utils.stack.build import build_tree
build_tree(pickle.load(open(sys.argv[1], "rb")))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_interrupted_build_was_never_current_and_is_begun_again(tiny: Tiny, tmp_path: Path, number: int) -> None:
    started = tmp_path / "started"
    go = tmp_path / "go"
    text = f"import os, pathlib, time\npathlib.Path({str(started)!r}).touch()\n"
    text += f"while not os.path.exists({str(go)!r}):\n    time.sleep(0.05)\n"
    build = tiny.build(tiny.changed(imports=[["waits", None]], files={"waits.py": text}))
    (tmp_path / "build").write_bytes(pickle.dumps(build))
    command = [sys.executable, "-c", KILLED, str(tmp_path / "build")]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    while not started.exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    process.wait()
    assert read_marker(build.place.tree) is None
    assert not build.place.tree.exists()
    if number == signal.SIGKILL:
        assert build.place.new.is_dir()
        assert build.place.journal.exists()
        with pytest.raises(StackError, match=r"another run holds .*lock"), hold(build.place.lock, 0, "stack x"):
            pass
    else:
        assert remains(tiny.store) == []
    go.touch()
    assert build_tree(build) is True
    assert read_marker(build.place.tree) is not None
    assert remains(tiny.store) == []


def test_remains_of_another_content_are_removed_too(tiny: Tiny) -> None:
    other = Place(tiny.store, "tiny-stack", "0123456789ab")
    (other.tree / "lib").mkdir(parents=True)
    other.work.mkdir()
    other.journal.touch()
    unrelated = Place(tiny.store, "tiny-stack-two", "0123456789ab")
    unrelated.journal.touch()
    build = tiny.build()
    assert interrupted(build.place) == [other]
    build_tree(build)
    assert remains(tiny.store) == [unrelated.journal.name]


@needs_root
@pytest.mark.parametrize(("mib", "step"), [(20, "installer"), (90, "install")])
def test_full_disk(tiny: Tiny, tmp_path: Path, mib: int, step: str) -> None:
    tiny.release("1.0", {"tiny/large.bin": bytes(120 << 20)})
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs") as store:
        with pytest.raises(StackError, match=rf"stack tiny-stack: {store} became full in the step {step}.*MiB free"):
            build_tree(tiny.build(store=store))
        assert remains(store) == []
        subprocess.run(["mount", "-o", "remount,size=400m", str(store)], check=True)
        build = tiny.build(store=store)
        assert build_tree(build) is True
        assert output(build.place, "import tiny; print(tiny.VALUE)") == "new"


@needs_root
def test_store_that_cannot_be_written(tiny: Tiny, tmp_path: Path) -> None:
    with (
        mounted(tmp_path / "fixed", "-t", "tmpfs", "-o", "ro", "tmpfs") as store,
        pytest.raises(StackError, match=r"stack tiny-stack: Read-only file system"),
    ):
        build_tree(tiny.build(store=store))


def test_link_is_switched_to_complete_trees_only(tiny: Tiny, tmp_path: Path) -> None:
    build = tiny.build()
    build_tree(build)
    link = tmp_path / "links" / "tiny-stack"
    assert link_target(link) is None
    switch_link(link, build.place.tree)
    assert link_target(link) == build.place.tree
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    with pytest.raises(StackError, match="is not complete"):
        switch_link(link, unfinished)
    assert link_target(link) == build.place.tree
    link.unlink()
    link.mkdir()
    with pytest.raises(StackError, match="it is no link but somebody else's"):
        link_target(link)


@pytest.mark.parametrize(
    ("trees", "protected", "keep", "expected"),
    [
        ("a b c", "a", 2, "c"),
        ("a b c", "c", 2, "b"),
        ("a b c", "c", 1, "a b"),
        ("a b", "a", 2, ""),
        ("a b c d", "a", 3, "d"),
        ("", "a", 1, ""),
    ],
)
def test_surplus(trees: str, protected: str, keep: int, expected: str) -> None:
    found = surplus([Path(name) for name in trees.split()], {Path(name) for name in protected.split()}, keep)
    assert [path.name for path in found] == expected.split()


def test_damaged_marker_means_not_complete(tiny: Tiny) -> None:
    build = tiny.build()
    build_tree(build)
    marker = build.place.tree / ".stack.json"
    marker.write_text(marker.read_text(encoding="utf-8")[:-5], encoding="utf-8")
    assert read_marker(build.place.tree) is None
    assert build_tree(tiny.build()) is True
    assert read_marker(build.place.tree) is not None


def unreadable(marker: Path, how: str) -> None:
    """Have a marker that says nothing of its tree."""
    text = marker.read_text(encoding="utf-8")
    marker.unlink()
    if how == "newer":
        marker.write_text(text.replace('"format": 1', '"format": 2'), encoding="utf-8")
    elif how == "a loop of links":
        marker.symlink_to(marker.name)
    else:
        marker.mkdir()


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("newer", r"a newer version of the collection has made it \(format 2 .*this version knows 1\)"),
        ("a loop of links", "Too many levels of symbolic links"),
        ("a directory", "Is a directory"),
    ],
)
def test_a_marker_that_cannot_be_read_is_no_reason_to_remove_a_tree(tiny: Tiny, how: str, expected: str) -> None:
    build = tiny.build()
    build_tree(build)
    unreadable(build.place.tree / ".stack.json", how)
    before = sorted(build.place.tree.rglob("*"))
    with pytest.raises((OSError, StackError), match=expected):
        read_marker(build.place.tree)
    for again in (False, True):
        with pytest.raises(StackError, match=expected):
            build_tree(replace(tiny.build(), again=again))
    assert sorted(build.place.tree.rglob("*")) == before
    assert complete_trees(tiny.store, "tiny-stack") == []


@pytest.mark.parametrize("exchanging", [True, False])
def test_a_tree_that_is_built_again_is_there_all_the_time(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, exchanging: bool) -> None:
    build = tiny.build()
    build_tree(build)
    changed = build.place.tree / "lib" / f"python3.{MINOR}" / "site-packages" / "tiny" / "__init__.py"
    changed.write_text("VALUE = 'broken'\n", encoding="utf-8")
    inode = build.place.tree.stat().st_ino
    if not exchanging:
        monkeypatch.setattr(store, "exchange", lambda one, other: False)
    assert build_tree(tiny.build()) is False
    bad = tiny.build(tiny.changed(imports=[["none_such", None]]))
    with pytest.raises(StackError, match="none_such"):
        build_tree(replace(bad, place=build.place, again=True))
    assert build.place.tree.stat().st_ino == inode
    assert build_tree(replace(tiny.build(), again=True)) is True
    assert output(build.place, "import tiny; print(tiny.VALUE)") == "new"
    assert build.place.tree.stat().st_ino != inode
    assert remains(tiny.store) == []


def test_a_tree_that_a_link_names_stays_until_another_takes_its_place(tiny: Tiny) -> None:
    build = tiny.build()
    build_tree(build)
    (build.place.tree / ".stack.json").unlink()
    used = frozenset({build.place.tree})
    (tiny.wheels / "tiny-1.0-py3-none-any.whl").rename(tiny.wheels / "away")
    with pytest.raises(StackError, match="lacks a wheel"):
        build_tree(replace(tiny.build(), used=used))
    assert output(build.place, "import tiny; print(tiny.VALUE)") == "new"
    (tiny.wheels / "away").rename(tiny.wheels / "tiny-1.0-py3-none-any.whl")
    assert build_tree(replace(tiny.build(), used=used)) is True
    assert read_marker(build.place.tree) is not None
    assert remains(tiny.store) == []
