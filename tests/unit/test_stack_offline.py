# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/mirror.yml and the role stack with stack_offline on this machine, with a tiny stack and a real file server."""

from __future__ import annotations

import functools
import http.server
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.mirror.test_mirror import flip, make_key
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.stack.conftest import pip_configuration, uv_wheel
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.stack.tiny_stack import Tiny
from ansible_collections.railyard.sglang.tests.unit.support import playbooks

__all__ = ["pip_configuration", "uv_wheel"]
PLAY = """
- hosts: localhost
  gather_facts: false
  roles:
    - role: railyard.sglang.stack
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A file server that says nothing of what it is asked for."""

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@pytest.fixture
def world(tmp_path: Path, uv_wheel: Path) -> Path:
    """A definition, the wheels that pip finds, and a key."""
    tiny = Tiny(tmp_path, uv_wheel)
    stack = tmp_path / "definitions" / "tiny-stack"
    data = {**tiny.data, "files": {path: path.replace("/", "-") for path in tiny.data["files"]}}
    stack.mkdir(parents=True)
    for path, text in tiny.data["files"].items():
        (stack / path.replace("/", "-")).write_text(text, encoding="utf-8")
    (stack / "requirements.txt").write_text(data.pop("lock"), encoding="utf-8")
    data.pop("installer")
    (stack / "stack.yml").write_text(yaml.safe_dump(data), encoding="utf-8")
    (tmp_path / "play.yml").write_text(PLAY, encoding="utf-8")
    make_key(tmp_path / "key")
    return tmp_path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The mirror's directory over HTTP."""
    (tmp_path / "mirror").mkdir()
    handler = functools.partial(Quiet, directory=str(tmp_path / "mirror"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as own:
        thread = threading.Thread(target=own.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{own.server_port}"
        own.shutdown()
        thread.join()


def mirror(world: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Build the mirror."""
    extra = {
        "mirror_directory": str(world / "mirror"), "mirror_key": str(world / "key"), "mirror_stacks": ["tiny-stack"],
        "mirror_definition_paths": [str(world / "definitions")],
    }  # fmt: skip
    return playbooks.playbook(world, "railyard.sglang.mirror", "-e", json.dumps(extra), *words, seconds=600)


def stack(world: Path, source: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the role."""
    extra = {
        "ansible_connection": "local", "ansible_python_interpreter": sys.executable, "stack_names": ["tiny-stack"], "stack_offline": True,
        "stack_definition_paths": [str(world / "definitions")], "stack_root": str(world / "host/sglang"), "stack_python": sys.executable,
        "stack_mirror": source, "stack_mirror_path": str(world / "host/mirror"), "stack_source": "index",
        "stack_mirror_signers": [(world / "key.pub").read_text(encoding="utf-8")],
    }  # fmt: skip
    return playbooks.playbook(world, str(world / "play.yml"), "-e", json.dumps(extra), *words, seconds=600)


def changed(done: subprocess.CompletedProcess[str]) -> int:
    """Return the number of changed tasks of a run that ended well."""
    found = re.search(r"^localhost .*changed=(\d+) .*failed=0", done.stdout, re.MULTILINE)
    assert found, done.stdout + done.stderr
    return int(found[1])


@pytest.mark.full
def test_from_an_index_by_a_mirror_to_a_host(world: Path, server: str, pip_configuration: Callable[..., None]) -> None:
    pip_configuration(no_index="true", find_links=world / "wheels")
    assert changed(mirror(world)) == 2
    assert changed(mirror(world)) == 0
    # The host has no index: what pip would find is gone.
    pip_configuration(no_index="true")
    assert changed(stack(world, server, "--check")) == 2
    assert not (world / "host").exists()
    wheel = world / "mirror/wheels/tiny-1.0-py3-none-any.whl"
    flip(wheel)
    done = stack(world, server)
    assert done.returncode != 0
    assert "tiny-1.0-py3-none-any.whl was corrupted or exchanged" in " ".join((done.stdout + done.stderr).split())
    assert not (world / "host/sglang/tiny-stack").exists()
    flip(wheel)
    assert changed(stack(world, server)) == 2
    assert (world / "host/sglang/tiny-stack/bin/python").exists()
    assert changed(stack(world, server)) == 0
