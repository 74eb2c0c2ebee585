# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules, the lookup, the stand-in for the kernels and the tool that writes locks, each as it is called."""

from __future__ import annotations

import functools
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.stack.tiny_stack import FILES, ROOT, Tiny, make_wheel

TREE = ROOT / ".tree" if (ROOT / ".tree").is_dir() else ROOT.parents[2]  # the latter in a copy of ansible-test


def call(module: str, tmp_path: Path, check: bool = False, umask: int = 0o022, **arguments: Any) -> dict[str, Any]:
    """Run a module in a process of its own, as a host does; return what it answers."""
    path = tmp_path / "arguments.json"
    path.write_text(
        json.dumps({"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_check_mode": check, "_ansible_tmpdir": str(tmp_path)}}),
        encoding="utf-8",
    )
    command = [sys.executable, "-m", f"ansible_collections.railyard.sglang.plugins.modules.{module}", str(path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [TREE, *sys.path]))}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, umask=umask)
    assert done.stdout, done.stderr
    return dict(json.loads(done.stdout))


def stack_arguments(tiny: Tiny, **keys: Any) -> dict[str, Any]:
    arguments = {"definitions": [tiny.data], "root": str(tiny.root), "wheels": str(tiny.wheels), "python": sys.executable}
    return {**arguments, **keys}


def test_module_stack(tiny: Tiny, tmp_path: Path) -> None:
    predicted = call("stack", tmp_path, check=True, **stack_arguments(tiny))
    first = call("stack", tmp_path, **stack_arguments(tiny))
    again = call("stack", tmp_path, **stack_arguments(tiny))
    assert (predicted["changed"], first["changed"], again["changed"]) == (True, True, False)
    assert predicted["diff"] == first["diff"]
    assert first["stacks"]["tiny-stack"]["action"] == "built"
    assert again["stacks"]["tiny-stack"]["action"] == "none"
    assert again["missing_packages"] == []


def private(place: Path) -> list[str]:
    """Return what is below a directory that others may not read, the directory included; locks and configuration aside."""
    found = []
    for path in [place, *place.rglob("*")]:
        if not path.is_symlink() and not path.name.endswith(".lock"):
            wanted = 0o555 if path.is_dir() else 0o444
            if path.stat().st_mode & wanted != wanted:
                found.append(str(path))
    return found


def test_others_read_what_a_root_with_a_narrow_umask_installs(
    tiny: Tiny, tmp_path: Path, pip_configuration: Callable[..., None]
) -> None:
    pip_configuration(no_index="true", find_links=tiny.wheels)
    built = call("stack", tmp_path, umask=0o077, **stack_arguments(tiny))
    assert built["stacks"]["tiny-stack"]["action"] == "built"
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    external = {"tiny-stack": {"path": str(environment)}}
    own = tiny.changed(imports=[["json", None]], libraries=[])
    arguments = stack_arguments(tiny, definitions=[own], external=external, root=str(tmp_path / "other"))
    linked = call("stack", tmp_path, umask=0o077, **arguments)
    assert linked["stacks"]["tiny-stack"]["action"] == "built"
    filled = call("wheel_directory", tmp_path, umask=0o077, path=str(tmp_path / "filled"), definitions=[tiny.data])
    assert filled["wheels"] == 2
    assert [private(place) for place in (tiny.root, tmp_path / "other", tmp_path / "filled")] == [[], [], []]


@pytest.mark.parametrize("module", ["stack", "wheel_directory"])
def test_a_password_of_the_index_is_not_told(tiny: Tiny, tmp_path: Path, pip_configuration: Callable[..., None], module: str) -> None:
    pip_configuration(no_index="true", find_links=tiny.wheels)
    index = "http://someone:qX7-secret@127.0.0.1:9/simple"
    own = {"path": str(tmp_path / "filled"), "definitions": [tiny.data]}
    answer = call(module, tmp_path, index=index, **(own if module == "wheel_directory" else stack_arguments(tiny, source="index")))
    assert "qX7-secret" not in json.dumps(answer)
    assert answer["invocation"]["module_args"]["index"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"keep": -1}, "keep: -1 trees cannot be kept with delivery local. Fix: set it to 0, which removes none, or to 2 or more."),
        ({"keep": 1, "delivery": "store"}, "Fix: set it to 0, which removes none, or to 2 or more."),
        ({"names": ["other"]}, "names: no definition was given for other."),
        ({"wheels": "/nonexistent"}, "stack tiny-stack: the wheel directory /nonexistent is not on this host."),
        ({"delivery": "store", "builder_name": "r0"}, "run the stack stage on r0"),
    ],
)
def test_module_stack_says_what_is_wrong(tiny: Tiny, tmp_path: Path, keys: dict[str, Any], expected: str) -> None:
    answer = call("stack", tmp_path, **stack_arguments(tiny, **keys))
    assert answer["failed"] is True
    assert expected in answer["msg"]


def test_module_stack_from_an_index(tiny: Tiny, tmp_path: Path, pip_configuration: Callable[..., None]) -> None:
    pip_configuration(no_index="true", find_links=tiny.wheels)
    answer = call("stack", tmp_path, **stack_arguments(tiny, source="index", wheels="/nonexistent"))
    assert answer.get("msg") is None
    assert answer["stacks"]["tiny-stack"]["action"] == "built"
    assert sorted(path.name for path in tiny.store.iterdir() if not path.name.endswith(".lock")) == [
        Path(answer["stacks"]["tiny-stack"]["tree"]).name
    ]


def test_module_wheel_directory(tiny: Tiny, tmp_path: Path, pip_configuration: Callable[..., None]) -> None:
    pip_configuration(no_index="true", find_links=tiny.wheels)
    arguments = {"path": str(tmp_path / "filled"), "definitions": [tiny.data]}
    predicted = call("wheel_directory", tmp_path, check=True, **arguments)
    assert (predicted["changed"], [line.partition("==")[0] for line in predicted["fetched"]]) == (True, ["tiny", "uv"])
    assert not (tmp_path / "filled").exists()
    first = call("wheel_directory", tmp_path, **arguments)
    assert (first["changed"], first["wheels"], len(first["fetched"])) == (True, 2, 2)
    again = call("wheel_directory", tmp_path, **arguments)
    assert (again["changed"], again["fetched"]) == (False, [])
    other = call("wheel_directory", tmp_path, **arguments, python_version="3.99")
    assert "it is locked for Python" in other["msg"]


def test_lookup(tmp_path: Path) -> None:
    own = tmp_path / "own"
    (own / "mine").mkdir(parents=True)
    (own / "mine" / "stack.yml").write_text("name: mine\n", encoding="utf-8")

    def ask(*names: str) -> subprocess.CompletedProcess[str]:
        words = ", ".join(repr(name) for name in names)
        message = f"msg={{{{ query('railyard.sglang.stack_definition', {words}, paths=['{own}']) | map(attribute='kind') }}}}"
        command = [sys.executable, "-m", "ansible", "adhoc", "-i", "localhost,", "-c", "local", "localhost"]
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(TREE), "ANSIBLE_HOME": str(tmp_path)}
        environment.pop("PYTHONPATH", None)  # ansible-test's holds half an ansible
        command += ["-m", "ansible.builtin.debug", "-a", message]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    good = ask("sglang-0.5.8-cpu", "sglang-router-0.3.2")
    assert good.returncode == 0, good.stderr
    assert re.findall(r"\w+", good.stdout)[-2:] == ["engine", "router"]
    unknown = ask("sglang-9")
    assert "there is no such stack. Fix: use one of mine, sglang-0.5" in unknown.stdout + unknown.stderr
    assert "sglang-0.5.8-cpu" in unknown.stdout + unknown.stderr
    broken = ask("mine")
    assert "cannot read" in broken.stdout + broken.stderr


def test_stand_in_for_the_kernels(tmp_path: Path) -> None:
    program = """
import importlib
import sgl_kernel
from sgl_kernel import anything
from sgl_kernel.deeply.nested import name
for absent in (anything, name):
    try:
        absent(1, x=2)
    except NotImplementedError as error:
        assert "CUDA kernel" in str(error), error
    else:
        raise AssertionError(absent)
for module in (sgl_kernel, importlib.import_module("sgl_kernel.deeply")):
    assert not hasattr(module, "__none__")
try:
    import sgl_kernel.scalar_type
except ImportError:
    print("good")
"""
    environment = {**os.environ, "PYTHONPATH": str(FILES / "sglang-0.5.8-cpu")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.strip() == "good", done.stderr


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """A package index with two projects, served over HTTP."""
    pages = tmp_path / "index"
    page = '<a href="../files/{0}#sha256={1}" data-requires-python="&gt;=3.9">{0}</a>\n'
    x86 = "manylinux_2_28_x86_64"
    projects = {
        "alpha": [
            (f"alpha-1.0-cp311-cp311-{x86}.whl", "1" * 64),
            ("alpha-1.0.tar.gz", "2" * 64),
            (f"alpha-1.0-cp312-cp312-{x86}.whl", "3" * 64),
            ("alpha-1.0-cp311-cp311-win_amd64.whl", "4" * 64),
            ("alpha-1.1-py3-none-any.whl", "5" * 64),
        ],
        "beta-two": [("beta_two-2.0-py3-none-any.whl", "6" * 64)],
    }
    for name, lines in projects.items():
        (pages / name).mkdir(parents=True)
        text = "".join(page.format(*line) for line in lines)
        (pages / name / "index.html").write_text(text, encoding="utf-8")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(pages))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


def test_tool_writes_a_lock(tmp_path: Path, index: str) -> None:
    stack = tmp_path / "stack"
    stack.mkdir()
    (stack / "packages.in").write_text("# pins\nBeta_Two==2.0\nalpha==1.0\nlocal==1.0+cpu\n", encoding="utf-8")
    (stack / "stack.yml").write_text('name: x\npython: ["3.11"]\nmachines: [x86_64]\npackages: 0\n', encoding="utf-8")
    command = [sys.executable, str(ROOT / "tools" / "lock_stack.py"), str(stack), "--index", index]
    environment = {**os.environ, "PYTHONPATH": str(TREE)}
    missing = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert missing.returncode == 1
    assert "no usable wheel" in missing.stderr
    assert missing.stderr.strip().endswith("local==1.0+cpu (Python 3.11 on x86_64)")
    assert not (stack / "requirements.txt").exists()

    make_wheel(tmp_path, "local", "1.0+cpu", {"local.py": b""})
    subprocess.run([*command, "--wheels", str(tmp_path)], check=True, env=environment)
    lines = (stack / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")][:4] == [
        "alpha==1.0 \\",
        f"    --hash=sha256:{'1' * 64}",
        "beta-two==2.0 \\",
        f"    --hash=sha256:{'6' * 64}",
    ]
    assert "packages: 3\n" in (stack / "stack.yml").read_text(encoding="utf-8")
