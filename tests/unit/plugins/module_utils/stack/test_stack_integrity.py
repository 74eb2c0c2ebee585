# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real processes killed (SIGKILL) at every step of an upgrade and of fetching wheels, then the same again; wheels with one bit flipped."""

from __future__ import annotations

import functools
import http.server
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.stack.apply import apply
from ansible_collections.railyard.sglang.plugins.module_utils.stack.build import Source, build_tree
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import parse_definition
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.fetch import Fetch, fetch, inspect_all
from ansible_collections.railyard.sglang.plugins.module_utils.stack.locks import parse_lock
from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import complete_trees, hold, read_marker
from ansible_collections.railyard.sglang.plugins.module_utils.stack.wheels import local_target, sha256
from ansible_collections.railyard.sglang.plugins.modules import stack as stack_module
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.stack.tiny_stack import (
    MINOR,
    Tiny,
    make_wheel,
    mounted,
    needs_root,
)
from ansible_collections.railyard.sglang.tests.unit.support.modules import run

MACHINE = os.uname().machine
# Ends itself by SIGKILL when a function is called for the nth time, before or after the function has done its work.
KILLED = """
import importlib, os, pickle, signal, sys
module, name, when, number = sys.argv[2:6]
place = importlib.import_module("ansible_collections.railyard.sglang.plugins.module_utils.stack." + module)
whole, calls = getattr(place, name), []

def killing(*arguments, **keywords):
    calls.append(None)
    if len(calls) < int(number):
        return whole(*arguments, **keywords)
    if when == "after":
        whole(*arguments, **keywords)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(place, name, killing)
from ansible_collections.railyard.sglang.plugins.module_utils.stack.apply import apply
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import parse_definition
data, options, machine = pickle.load(open(sys.argv[1], "rb"))
apply([parse_definition(data)], options, machine)
"""
# module, function, and what has been done by then
POINTS = [
    ("build", "write_synced", "after"),
    ("build", "extract_program", "after"),
    ("build", "install", "after"),
    ("build", "add_files", "after"),
    ("build", "compile_bytecode", "after"),
    ("build", "check_imports", "after"),
    ("build", "settle", "after"),
    ("build", "write_marker", "before"),
    ("build", "write_marker", "after"),
    ("build", "settle_in", "before"),
    ("build", "settle_in", "after"),
    ("apply", "switch_link", "before"),
    ("apply", "touch", "before"),
    ("apply", "remove_tree", "before"),
]


def killed(place: Path, work: Any, *words: str) -> int:
    """Run an upgrade that ends itself; return its status."""
    (place / "work").write_bytes(pickle.dumps(work))
    command = [sys.executable, "-c", KILLED, str(place / "work"), *words]
    return subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}).returncode


def current(tiny: Tiny) -> str:
    """Return what the package of the current tree says of itself."""
    link = tiny.root / "tiny-stack"
    assert read_marker(link.resolve()) is not None
    command = [str(link / "bin/python"), "-c", "import tiny; print(tiny.VALUE, tiny.VERSION)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    ("module", "name", "when"), [pytest.param(*point, marks=pytest.mark.full if number % 4 else ()) for number, point in enumerate(POINTS)]
)
def test_upgrade_that_is_killed(tiny: Tiny, tmp_path: Path, module: str, name: str, when: str) -> None:
    options = tiny.options(keep=1)
    apply([parse_definition(tiny.data)], options, MACHINE)
    tiny.release("2.0")
    assert killed(tmp_path, (tiny.data, options, MACHINE), module, name, when, "1") == -signal.SIGKILL
    assert current(tiny) == ("new 1.0" if (module, name) not in (("apply", "touch"), ("apply", "remove_tree")) else "new 2.0")
    apply([parse_definition(tiny.data)], options, MACHINE)
    assert current(tiny) == "new 2.0"
    assert [tree.name for tree in complete_trees(tiny.store, "tiny-stack")] == [(tiny.root / "tiny-stack").resolve().name]
    # The journal of a build that was killed after its last step is a line of text; the next build removes it.
    left = [entry.name for entry in tiny.store.iterdir() if read_marker(entry) is None and not entry.name.endswith(".lock")]
    assert left == ([f".{(tiny.root / 'tiny-stack').resolve().name}.building"] if (name, when) == ("settle_in", "after") else [])
    assert apply([parse_definition(tiny.data)], options, MACHINE).changed is False


@pytest.mark.parametrize(
    ("name", "when"), [("install", "after"), ("write_marker", "after"), ("settle_in", "after"), ("discard", "before")]
)
def test_a_tree_in_use_that_is_built_anew_by_a_run_that_is_killed(tiny: Tiny, tmp_path: Path, name: str, when: str) -> None:
    apply([parse_definition(tiny.data)], tiny.options(), MACHINE)
    tree = (tiny.root / "tiny-stack").resolve()
    (site,) = tree.glob("lib/python3.*/site-packages")
    (site / "tiny/__init__.py").write_text("VALUE, VERSION = 'broken', 0\n", encoding="utf-8")
    again = tiny.options(rebuild=True)
    assert killed(tmp_path, (tiny.data, again, MACHINE), "build", name, when, "1") == -signal.SIGKILL
    assert current(tiny) == ("new 1.0" if name == "settle_in" else "broken 0")
    assert apply([parse_definition(tiny.data)], again, MACHINE).stacks["tiny-stack"]["action"] == "built"
    assert current(tiny) == "new 1.0"
    assert (tiny.root / "tiny-stack").resolve() == tree
    assert sorted(entry.name for entry in tiny.store.iterdir()) == [".tiny-stack.lock", tree.name]


@pytest.mark.full
@pytest.mark.parametrize("share", [number / 16 for number in range(16)])
def test_install_that_is_killed_at_any_time(tiny: Tiny, tmp_path: Path, share: float) -> None:
    options = tiny.options(store=tiny.root / "measured")
    begin = time.monotonic()
    apply([parse_definition(tiny.data)], options, MACHINE)
    whole = time.monotonic() - begin
    options = tiny.options()
    (tmp_path / "work").write_bytes(pickle.dumps((tiny.data, options, MACHINE)))
    command = [sys.executable, "-c", KILLED, str(tmp_path / "work"), "apply", "report", "after", "99"]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    time.sleep(share * whole)
    process.kill()
    process.wait()
    apply([parse_definition(tiny.data)], options, MACHINE)
    assert current(tiny) == "new 1.0"


def test_one_flipped_bit_is_refused_by_the_module(tiny: Tiny) -> None:
    wheel = tiny.wheels / "tiny-1.0-py3-none-any.whl"
    good = wheel.read_bytes()
    arguments = {"definitions": [tiny.data], "root": str(tiny.root), "wheels": str(tiny.wheels), "python": sys.executable}
    for place in (10, len(good) // 2, len(good) - 10):
        bad = bytearray(good)
        bad[place] ^= 1
        wheel.write_bytes(bad)
        answer = run(stack_module.main, arguments)
        assert answer["failed"], place
        assert f"the sha256 is not the locked one of {wheel.name} in {tiny.wheels}: corrupted or exchanged" in answer["msg"]
        assert not (tiny.root / "tiny-stack").is_symlink()
        assert complete_trees(tiny.store, "tiny-stack") == []
    wheel.write_bytes(good)
    assert run(stack_module.main, arguments)["changed"] is True
    assert current(tiny) == "new 1.0"


class Slow(http.server.SimpleHTTPRequestHandler):
    """A package index that is slow where it gives out wheels, and says when it has begun to."""

    begun: threading.Event
    pace: dict[str, float]

    def log_request(self, *_words: object) -> None:
        """Say nothing of what is asked for."""

    def copyfile(self, source: Any, outputfile: Any) -> None:
        content = source.read()
        for place in range(0, len(content), 1 << 14):
            outputfile.write(content[place : place + (1 << 14)])
            if self.path.endswith(".whl") and place:
                self.begun.set()
                time.sleep(self.pace["seconds"])


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[str, type[Slow], dict[str, str]]]:
    """An index with two packages, one of them large; its address, its handler, and sha256 by name."""
    digests = {}
    for name, size in (("small", 10), ("large", 4 << 20)):
        directory = tmp_path / "index" / name
        directory.mkdir(parents=True)
        wheel = make_wheel(directory, name, "1.0", {f"{name}.bin": os.urandom(size)})
        digests[name] = sha256(wheel)
        (directory / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>', encoding="utf-8")
    handler = type("Own", (Slow,), {"begun": threading.Event(), "pace": {"seconds": 0.1}})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(tmp_path / "index"))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler, digests
        server.shutdown()
        thread.join()


FETCHED = """
import pickle, sys
from ansible_collections.railyard.sglang.plugins.module_utils.stack.fetch import fetch
fetch(pickle.load(open(sys.argv[1], "rb")), "test")
"""


def test_fetching_that_is_killed(
    tmp_path: Path, index: tuple[str, type[Slow], dict[str, str]], pip_configuration: Callable[..., None]
) -> None:
    address, handler, digests = index
    pip_configuration(index_url=address, trusted_host="127.0.0.1")
    lock = "".join(f"{name}==1.0 --hash=sha256:{digest}\n" for name, digest in digests.items())
    request = Fetch(tmp_path / "wheels", parse_lock(lock, "test"), local_target(MINOR), parallel=2)
    (tmp_path / "request").write_bytes(pickle.dumps(request))
    command = [sys.executable, "-c", FETCHED, str(tmp_path / "request")]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert handler.begun.wait(60)
    process.kill()
    process.wait()
    assert not (tmp_path / "wheels/large-1.0-py3-none-any.whl").exists()
    assert inspect_all([request]).leftover
    # The pip of the killed run still fetches: the next run waits for it instead of taking its files away.
    handler.pace["seconds"] = 0
    fetched = fetch(request, "test")
    assert "large-1.0-py3-none-any.whl" in fetched
    for name, digest in digests.items():
        assert sha256(tmp_path / f"wheels/{name}-1.0-py3-none-any.whl") == digest
    found = inspect_all([request])
    assert (found.missing, found.leftover) == ([], False)


@needs_root
def test_wheel_directory_that_cannot_be_written(tmp_path: Path, tiny: Tiny, pip_configuration: Callable[..., None]) -> None:
    pip_configuration(no_index="true", find_links=tiny.wheels)
    pins = parse_lock(tiny.data["lock"], "test")
    with (
        mounted(tmp_path / "fixed", "-t", "tmpfs", "-o", "ro", "tmpfs") as place,
        pytest.raises(StackError, match=r"wheel directory x: Read-only file system .*Fix: let this user write there"),
    ):
        fetch(Fetch(place, pins, local_target(MINOR)), "wheel directory x")


BUILT = """
import pickle, sys
from ansible_collections.railyard.sglang.plugins.module_utils.stack.build import build_tree
build_tree(pickle.load(open(sys.argv[1], "rb")))
"""


def test_a_build_from_an_index_that_is_killed_while_pip_fetches(
    tiny: Tiny, tmp_path: Path, index: tuple[str, type[Slow], dict[str, str]], pip_configuration: Callable[..., None]
) -> None:
    address, handler, _digests = index
    wheel = tiny.release("1.0", {"tiny/large.bin": os.urandom(4 << 20)})
    (uv,) = tiny.wheels.glob("uv-*.whl")
    for file in (wheel, uv):
        place = tmp_path / "index" / file.name.partition("-")[0]
        place.mkdir()
        (place / file.name).symlink_to(file.resolve())
        (place / "index.html").write_text(f'<a href="{file.name}">{file.name}</a>', encoding="utf-8")
    pip_configuration(index_url=address, trusted_host="127.0.0.1")
    build = replace(tiny.build(), source=Source(None))
    (tmp_path / "build").write_bytes(pickle.dumps(build))
    command = [sys.executable, "-c", BUILT, str(tmp_path / "build")]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert handler.begun.wait(120)
    process.kill()
    process.wait()
    with pytest.raises(StackError, match=r"another run holds .*lock"), hold(build.place.lock, 0, "stack x"):
        pass
    handler.pace["seconds"] = 0
    assert build_tree(build) is True
    assert sorted(entry.name for entry in tiny.store.iterdir()) == [".tiny-stack.lock", build.place.tree.name]
