# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles cuda and deepep by Ansible itself, on two hosts of one kind that are directories of this machine, with stand-ins."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.railyard.sglang.tests.unit.support import kernelkit, playbooks

PLAY = """
- hosts: all
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - ansible.builtin.import_role: {name: railyard.sglang.cuda}
    - ansible.builtin.import_role: {name: railyard.sglang.deepep}
    - ansible.builtin.debug:
        msg: "trees {{ ansible_facts.sglang_deepep_trees | default({}) | to_json }}"
      when: deepep_state | default('present') == 'present'
"""
RECAP = re.compile(r"^(\w+) +: ok=(\d+) +changed=(\d+) +unreachable=0 +failed=(\d+) +skipped=(\d+)", re.MULTILINE)


class World:
    """Two hosts, a and b: each has a stack and a root of its own, of the same toolkit."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.recipe = kernelkit.sources(base / "sources")
        kernelkit.write(base / "cuda", kernelkit.toolkit_files("12.9.86"))
        kernelkit.stack(base / "stack")
        (base / "play.yml").write_text(PLAY, encoding="utf-8")
        self.define()
        hosts = {name: {"deepep_root": str(base / name), "cuda_root": str(base / name)} for name in ("a", "b")}
        inventory = {"all": {"hosts": hosts, "vars": {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}}}
        (base / "hosts.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")

    def define(self) -> None:
        """Write the definition of the stack."""
        archives = [{"name": "nvcc.tar.gz", "origin": "https://archive.example/nvcc.tar.gz"}]
        archives[0]["sha256"] = kernelkit.pack(self.base / "sources/nvcc.tar.gz", kernelkit.toolkit_files("12.9.86"))
        definition = {
            "name": "mine", "kind": "engine", "install": "image", "python": ["3.11"], "machines": ["x86_64", "aarch64"], "imports": [],
            "host": {"nvcc": {"least": "12.3", "below": "13", "of": "the test"}},
            "cuda": {"version": "12.9", "packages": {"debian": ["cuda-nvcc-12-9"]}, "archives": {"x86_64": archives}},
            "deepep": self.recipe,
        }
        place = self.base / "definitions/mine/stack.yml"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(yaml.safe_dump(definition), encoding="utf-8")

    def run(self, *words: str, fails: bool = False, **more: Any) -> tuple[dict[str, tuple[int, int, int]], str]:
        """Run the roles and return counts (ok, changed, skipped) by host, and what was printed."""
        python = str(self.base / "stack/bin/python")
        plan = {"stack": "mine", "way": "source", "path": "", "python": python, "gdrcopy": False, "nodes": 1, "handlers": ["auto"]}
        sources = str(self.base / "sources")
        variables = {
            "cuda_plan": {"stack": "mine", "version": "12.9", "home": str(self.base / "cuda"), "install": "no"},
            "deepep_plan": plan | more.pop("plan", {}), "deepep_cuda_home": str(self.base / "cuda"),
            "stack_definition_paths": [str(self.base / "definitions")], "deepep_architectures": ["9.0"],
            "deepep_exchange": str(self.base / "exchange"), "deepep_sources": sources, "cuda_sources": sources, "cuda_host_checks": False,
            "sglang_host": {}, **more,
        }
        done = playbooks.playbook(self.base, "-i", "hosts.yml", "play.yml", "-e", json.dumps(variables), *words, seconds=600)
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        found = {name: (int(ok), int(changed), int(skipped)) for name, ok, changed, _failed, skipped in RECAP.findall(done.stdout)}
        return found, done.stdout

    def tree(self, host: str) -> str:
        """Return where the link of a host leads, empty where there is none."""
        link = self.base / host / "deepep/mine"
        return os.readlink(link) if link.is_symlink() else ""


@pytest.fixture(name="world")
def make_world(tmp_path: Path) -> World:
    return World(tmp_path)


def changed(counts: dict[str, tuple[int, int, int]]) -> dict[str, int]:
    return {host: row[1] for host, row in counts.items()}


def test_one_host_builds_and_the_other_takes_it(world: World) -> None:
    predicted, _text = world.run("--check")
    assert changed(predicted) == {"a": 1, "b": 1}
    assert not (world.base / "a").exists()
    counts, text = world.run()
    assert changed(counts) == {"a": 1, "b": 1}
    assert Path(world.tree("a")).name == Path(world.tree("b")).name
    assert world.tree("b").startswith(str(world.base / "b"))
    assert f'{world.base}/a/deepep/mine' in text
    marker = json.loads(Path(world.tree("b"), ".stack.json").read_text(encoding="utf-8"))
    assert marker["origin"] == "a"
    assert not list(Path("/var/tmp").glob("railyard-deepep-[ab].tar.gz"))
    assert list((world.base / "exchange").iterdir()) == []


@pytest.mark.full
def test_nothing_is_left_to_do_what_is_lost_is_taken_again_and_all_of_it_goes(world: World) -> None:
    world.run()
    again, text = world.run()
    assert changed(again) == {"a": 0, "b": 0}
    # Arguments of two roles, toolkit, look, and the debug of this play.
    assert {row[0] for row in again.values()} == {5}
    assert "Build on one host of each kind" not in text

    subprocess.run(["rm", "-rf", str(world.base / "b")], check=True)
    (world.base / "cuda/wait").write_text("", encoding="utf-8")
    counts, text = world.run()
    assert changed(counts) == {"a": 0, "b": 1}, "a build would have waited"
    assert world.tree("b")

    counts, text = world.run(deepep_state="absent")
    assert changed(counts) == {"a": 1, "b": 1}
    assert not (world.base / "a/deepep").exists()
    counts, text = world.run(deepep_state="absent")
    assert changed(counts) == {"a": 0, "b": 0}


@pytest.mark.full
def test_hosts_build_by_themselves_where_that_is_wanted(world: World) -> None:
    counts, _text = world.run(deepep_distribute=False)
    assert changed(counts) == {"a": 1, "b": 1}
    marker = json.loads(Path(world.tree("b"), ".stack.json").read_text(encoding="utf-8"))
    assert marker["origin"] == "this host"
    assert not (world.base / "exchange").exists()


@pytest.mark.full
def test_what_does_not_fit_is_refused_before_anything_is_built(world: World) -> None:
    kernelkit.write(world.base / "cuda", kernelkit.toolkit_files("13.0.88"))
    _counts, text = world.run(fails=True)
    assert "13.0.88; the test needs one below 13. Fix: set sglang_cuda_home to a toolkit of such a version" in text
    assert not (world.base / "a").exists()
    kernelkit.write(world.base / "cuda", kernelkit.toolkit_files("12.2.140"))
    _counts, text = world.run(fails=True)
    assert "nvcc of" in text
    assert "the test needs 12.3 or newer" in text


@pytest.mark.full
def test_a_toolkit_of_archives(world: World) -> None:
    plan = {"stack": "mine", "version": "12.9", "home": "{{ cuda_root }}/cuda-12.9", "install": "archives"}
    # What builds is what the same run brings: in check mode it is not there yet.
    more = {"cuda_plan": plan, "deepep_cuda_home": "{{ cuda_root }}/cuda-12.9", "deepep_cuda_install": "archives"}
    predicted, _text = world.run("--check", **more)
    counts, _text = world.run(**more)
    assert changed(predicted) == changed(counts) == {"a": 2, "b": 2}
    assert (world.base / "b/cuda-12.9/bin/nvcc").exists()
    again, _text = world.run(**more)
    assert changed(again) == {"a": 0, "b": 0}
    # On a host that has no engine any more, too.
    gone, _text = world.run(cuda_state="absent", deepep_state="absent", cuda_plan={})
    assert changed(gone) == {"a": 2, "b": 2}
    assert not (world.base / "a/cuda-12.9").is_symlink()


@pytest.mark.full
def test_packages_are_named_where_they_would_be_installed(world: World) -> None:
    plan = {"stack": "mine", "version": "12.9", "home": str(world.base / "none"), "install": "packages"}
    _counts, text = world.run("--check", "-vv", cuda_plan=plan, fails=True)
    assert "cuda-nvcc-12-9" in text
    # It is the package manager of this machine that has none of that name; nothing else is in the way.
    assert "railyard.sglang.cuda : Install nvcc and headers" in text
    assert "deepep" not in text.partition("Install nvcc and headers")[2]


def test_hosts_without_engines_are_asked_to_take_toolkits_away(tmp_path: Path) -> None:
    plays = yaml.safe_load((playbooks.ROOT / "playbooks/planned.yml").read_text(encoding="utf-8"))
    (own,) = [play["vars"] for play in plays if play["name"] == "Plan"]
    cases = [
        ({"sglang_host": {"cuda": None, "deepep": None}}, ["False", "False"]),
        ({"sglang_host": {"cuda": None, "deepep": None}, "cuda_state": "absent"}, ["True", "False"]),
        ({"sglang_host": {"cuda": {"home": ""}, "deepep": None}}, ["True", "False"]),
        ({"sglang_host": {}, "cuda_state": "absent", "deepep_state": "absent"}, ["False", "False"]),
    ]
    shown = {"ansible.builtin.debug": {"msg": "found {{ planned_cuda }} {{ planned_deepep }}"}}
    tasks = [{**shown, "vars": {**own, **given}} for given, _wanted in cases]
    (tmp_path / "play.yml").write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    done = playbooks.playbook(tmp_path, "play.yml", seconds=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [words.split() for words in re.findall(r"found (\w+ \w+)", done.stdout)] == [wanted for _given, wanted in cases]


@pytest.mark.full
def test_libgdrapi_wants_its_kernel_module(world: World) -> None:
    if os.path.exists("/sys/module/gdrdrv"):
        pytest.skip("gdrdrv is loaded here")
    _counts, text = world.run(plan={"gdrcopy": True}, fails=True)
    assert "has not loaded gdrdrv" in re.sub(r"\s+", " ", text)
    assert (Path(world.tree("a")) / "lib/libgdrapi.so.2").exists()
