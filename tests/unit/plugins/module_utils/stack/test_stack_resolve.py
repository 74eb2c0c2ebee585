# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks that are resolved: by the real uv from an index of the test; the shipped ones from the ordinary index, in full runs."""

from __future__ import annotations

import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.stack.wheels import extract_program, sha256
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.stack.tiny_stack import FILES, MINOR, ROOT, make_wheel

TREE = ROOT / ".tree" if (ROOT / ".tree").is_dir() else ROOT.parents[2]
MACHINE = os.uname().machine
RESOLVED = sorted(path.parent.name for path in FILES.glob("*/resolve.yml"))
# Their lock has versions that were chosen before their resolve.yml was written and that still fit.
KEPT = {"sglang-0.5.8-cpu", "sglang-router-0.3.2"}
WRITTEN = ("packages.in", "requirements.txt", "stack.yml")
# name, version, requirements; top asks for a kernel and a tool, and for another base than its kernel does
WHEELS = (
    ("top", "1.0", ("base==1.0", "kernel", "tool")),
    ("kernel", "1.0", ("base==2.0",)),
    ("base", "1.0", ()),
    ("base", "2.0", ()),
    ("base", "3.0", ()),
    ("tool", "1.0", ()),
    ("tool", "1.1", ()),
)


def require(wheel: Path, requirements: tuple[str, ...]) -> None:
    """Write requirements into a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in content.items():
            more = "".join(f"Requires-Dist: {line}\n" for line in requirements) if name.endswith("/METADATA") else ""
            archive.writestr(name, data + more.encode())


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A package index served over HTTP, and its directory."""
    place = tmp_path_factory.mktemp("index")
    for name, version, requirements in WHEELS:
        directory = place / name
        directory.mkdir(exist_ok=True)
        require(make_wheel(directory, name, version, {f"{name}.py": version.encode()}), requirements)
        lines = [f'<a href="{path.name}#sha256={sha256(path)}">{path.name}</a>\n' for path in sorted(directory.glob("*.whl"))]
        (directory / "index.html").write_text("".join(lines), encoding="utf-8")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(place))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", place
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, uv_wheel: Path) -> Path:
    """The locked uv."""
    return extract_program(uv_wheel, "uv", tmp_path_factory.mktemp("uv") / "uv")


def stack(place: Path, text: str) -> Path:
    """Write a stack that is to be resolved; return its directory."""
    place.mkdir()
    (place / "resolve.yml").write_text(text, encoding="utf-8")
    words = f'name: x\npython: ["3.{MINOR}"]\nmachines: [{MACHINE}]\npackages: 0\n'
    (place / "stack.yml").write_text(words, encoding="utf-8")
    return place


def lock(directory: Path, uv: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the tool."""
    command = [sys.executable, str(ROOT / "tools" / "lock_stack.py"), str(directory), "--uv", str(uv), *words]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [TREE, *sys.path]))}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def pins(directory: Path) -> list[str]:
    lines = (directory / "packages.in").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_overrides_and_excludes_in_one_go(tmp_path: Path, index: tuple[str, Path], program: Path) -> None:
    url, place = index
    plain = lock(stack(tmp_path / "plain", "packages: [top]\n"), program, "--index", url, "--wheels", str(tmp_path))
    assert plain.returncode == 1
    assert "uv finds no set of packages" in plain.stderr
    assert sorted(path.name for path in (tmp_path / "plain").iterdir()) == ["resolve.yml", "stack.yml"], "nothing is half written"

    own = stack(tmp_path / "own", "packages: [top]\noverrides: [base==3.0]\nexcludes: [tool]\n")
    done = lock(own, program, "--index", url, "--wheels", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert pins(own) == ["base==3.0", "kernel==1.0", "top==1.0"]
    text = (own / "requirements.txt").read_text(encoding="utf-8")
    assert f"base==3.0 \\\n    --hash=sha256:{sha256(place / 'base' / 'base-3.0-py3-none-any.whl')}\n" in text
    assert "packages: 3\n" in (own / "stack.yml").read_text(encoding="utf-8")


def test_pins_stay_until_they_are_upgraded(tmp_path: Path, index: tuple[str, Path], program: Path) -> None:
    own = stack(tmp_path / "own", "packages: [tool]\n")
    (own / "packages.in").write_text("tool==1.0\n", encoding="utf-8")
    words = ("--index", index[0], "--wheels", str(tmp_path))
    assert lock(own, program, *words).returncode == 0
    assert pins(own) == ["tool==1.0"]
    before = {name: (own / name).read_bytes() for name in WRITTEN}
    assert lock(own, program, *words).returncode == 0
    assert {name: (own / name).read_bytes() for name in WRITTEN} == before
    assert lock(own, program, *words, "--upgrade").returncode == 0
    assert pins(own) == ["tool==1.1"]


def test_a_local_version_comes_from_a_directory(tmp_path: Path, index: tuple[str, Path], program: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel = make_wheel(wheels, "base", "1.0+cpu", {"base.py": b""})
    own = stack(tmp_path / "own", "packages: [top]\noverrides: [base==1.0+cpu]\nexcludes: [tool, kernel]\n")
    done = lock(own, program, "--index", index[0], "--wheels", str(wheels))
    assert done.returncode == 0, done.stderr
    assert pins(own) == ["base==1.0+cpu", "top==1.0"]
    assert sha256(wheel) in (own / "requirements.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("overrides: [a]\n", "packages is missing"),
        ("packages: [a]\nexclude: [b]\n", "there is no key exclude; there are packages, overrides, excludes"),
        ("packages: [a]\nuntil: 2026-02-15\n", "until is a date and not a str; dates and versions are quoted"),
    ],
)
def test_what_is_wrong_with_a_resolve_yml(tmp_path: Path, program: Path, text: str, expected: str) -> None:
    done = lock(stack(tmp_path / "own", text), program, "--wheels", str(tmp_path))
    assert done.returncode == 1
    assert expected in done.stderr


def test_pythons_that_need_different_versions(tmp_path: Path) -> None:
    code = "from resolve_stack import merge; merge({'A': {'x': '1', 'y': '1'}, 'B': {'x': '2'}})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [ROOT / "tools", TREE, *sys.path]))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "x: 1 for A, 2 for B"


def test_stacks_that_are_resolved_name_a_day() -> None:
    assert RESOLVED
    for name in RESOLVED:
        assert re.search(r'^until: "20\d\d-\d\d-\d\d"$', (FILES / name / "resolve.yml").read_text(encoding="utf-8"), re.MULTILINE), name


@pytest.mark.full
@pytest.mark.parametrize("name", RESOLVED)
def test_shipped_lock_comes_out_of_the_index_again(tmp_path: Path, program: Path, name: str) -> None:
    copied = tmp_path / name
    shutil.copytree(FILES / name, copied)
    for path in ("packages.in", "requirements.txt"):
        (copied / path).unlink()
    # What a list of pins has fixed beyond its inputs is part of the inputs.
    shutil.copy(FILES / name / "packages.in", copied)
    done = lock(copied, program)
    assert done.returncode == 0, done.stderr
    for path in WRITTEN:
        assert (copied / path).read_text(encoding="utf-8") == (FILES / name / path).read_text(encoding="utf-8"), path


@pytest.mark.full
@pytest.mark.parametrize("name", RESOLVED)
def test_shipped_lock_is_chosen_anew_with_nothing_later_than_its_day(tmp_path: Path, program: Path, name: str) -> None:
    """Without the pins of before, which uv takes as preferences: the index and resolve.yml alone decide."""
    copied = tmp_path / name
    shutil.copytree(FILES / name, copied)
    done = lock(copied, program, "--upgrade")
    assert done.returncode == 0, done.stderr
    differing = sorted(set(pins(copied)) ^ set(pins(FILES / name)))
    assert bool(differing) is (name in KEPT), differing
