# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules kernel_cache, kernel_compile and kernel_units in this process, with a systemctl that is played by files."""

from __future__ import annotations

import hashlib
import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.jitcache import store
from ansible_collections.railyard.sglang.plugins.modules import kernel_cache, kernel_compile, kernel_units
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.jitcache.kernels import PARTS, kernels
from ansible_collections.railyard.sglang.tests.unit.support.modules import run

OLD, NEW = "0123456789abcdef", "fedcba9876543210"
SYSTEMCTL = """#!/bin/sh
for unit; do :; done
case $1 in
show) echo "ActiveState=$(cat "{root}/state-$unit" 2>/dev/null || echo inactive)" ;;
start) echo active > "{root}/state-$unit" ;;
stop) echo inactive > "{root}/state-$unit" ;;
esac
"""


class Machine:
    """A host with a cache of two keys, the older one in use, and two ranks that share it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        (place / "bin").mkdir()
        (place / "var/log").mkdir(parents=True)
        (place / "bin/systemctl").write_text(SYSTEMCTL.replace("{root}", str(place)))
        (place / "bin/systemctl").chmod(0o755)
        self.cache = store.CacheStore(str(place / "caches/deep_gemm"))
        self.make(OLD)

    def make(self, name: str) -> None:
        with self.cache.lock():
            self.cache.prepare(name, PARTS, fresh=True)
        kernels(Path(self.cache.partial(name)))
        if name == OLD:
            self.cache.finish(name, PARTS)

    def state(self, unit: str, state: str = "") -> str:
        path = self.place / f"state-{unit}"
        if state:
            path.write_text(state)
        return path.read_text().strip() if path.exists() else ""

    def rank(self, number: int, **places: str) -> dict[str, Any]:
        variables = {"SGLANG_DG_CACHE_DIR": self.cache.path, **places}
        return {
            "instance": f"prefill-{number}", "unit": f"sglang-prefill-{number}.service",
            "caches": {"variables": variables, "deepgemm": {"path": self.cache.path}},
        }

    def call(self, state: str, check: bool = False, **more: Any) -> dict[str, Any]:
        user = pwd.getpwuid(os.getuid()).pw_name
        return run(kernel_cache.main, {"state": state, "user": user, "root": str(self.place), "cluster": "c", **more}, check)

    def row(self, **more: Any) -> dict[str, Any]:
        units = ["sglang-prefill-0.service", "sglang-prefill-1.service"]
        return {"path": self.cache.path, "key": NEW, "parts": PARTS, "units": units, **more}


@pytest.fixture(name="machine")
def make_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return Machine(tmp_path)


def test_a_link_waits_for_the_end_of_who_runs_with_it(machine: Machine) -> None:
    machine.make(NEW)
    machine.state("sglang-prefill-1.service", "active")
    assert machine.call("recorded", caches=[machine.row()], keep=1)["changed"]
    assert (machine.cache.current(), machine.cache.state(OLD).state, machine.cache.state(NEW).state) == (OLD, "whole", "kept")
    # The other rank has stopped, this one has not.
    assert not machine.call("current", caches=[machine.row()])["changed"]
    machine.state("sglang-prefill-1.service", "inactive")
    assert machine.call("current", caches=[machine.row()])["changed"]
    assert machine.cache.current() == NEW


def test_nothing_is_removed_where_one_of_the_ranks_runs(machine: Machine) -> None:
    ranks = [machine.rank(0), machine.rank(1)]
    directory = machine.place / "etc/systemd/system"
    directory.mkdir(parents=True)
    old = "# railyard.sglang: unit of cluster c, role engine\n[Unit]\nDescription=SGLang prefill-9, rank 0 of 1 (prefill)\n"
    (directory / "sglang-prefill-9.service").write_text(old)
    for unit in ("sglang-prefill-1.service", "sglang-deepgemm-prefill-1.service", "sglang-prefill-9.service"):
        machine.state(unit, "active")
        found = machine.call("absent", ranks=ranks)
        assert found["failed"]
        assert f"{unit} runs and may use it. Fix: take it out of service, or systemctl stop {unit}" in found["msg"]
        assert machine.cache.state(OLD).state == store.WHOLE
        machine.state(unit, "inactive")
    assert machine.call("absent", ranks=ranks, check=True)["changed"]
    assert machine.call("absent", ranks=ranks)["changed"]
    assert not machine.call("absent", ranks=ranks)["changed"]
    assert not os.path.lexists(machine.cache.path)


def test_directories_elsewhere_are_made(machine: Machine) -> None:
    rank = machine.rank(0, TRITON_CACHE_DIR=str(machine.place / "lssd/triton"), CUDA_CACHE_PATH="/var/cache/sglang/s/p/cuda")
    assert machine.call("places", ranks=[rank], check=True)["changed"]
    assert not (machine.place / "lssd").exists()
    assert machine.call("places", ranks=[rank])["changed"]
    assert (machine.place / "lssd/triton").is_dir()
    assert not machine.call("places", ranks=[rank])["changed"]
    assert not machine.call("places", ranks=[{**rank, "caches": None}])["changed"]


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is become as root")
def test_who_logs_in_must_be_able_to_read_what_is_fetched(machine: Machine) -> None:
    machine.cache.pack(OLD)
    row = {"path": machine.cache.path, "key": OLD}
    assert not machine.call("readable", caches=[row]).get("failed")
    result = machine.place / "result"
    result.touch()
    result.chmod(0o666)
    child = os.fork()
    if child == 0:
        # Real and effective: as a process that somebody else has begun.
        with result.open("w", encoding="utf-8") as stream:
            os.setgroups([])
            os.setuid(pwd.getpwnam("nobody").pw_uid)
            stream.write(machine.call("readable", caches=[row]).get("msg", ""))
        os._exit(0)
    os.waitpid(child, 0)
    text = result.read_text(encoding="utf-8")
    assert "nobody, as whom Ansible logs in, cannot enter it to take kernels to other hosts. Fix: chmod o+x /" in text


def test_room_for_what_is_received(machine: Machine) -> None:
    assert not machine.call("packed", incoming=[machine.row(bytes=1)]).get("failed")
    found = machine.call("packed", incoming=[machine.row(bytes=1 << 60)])
    assert "are needed to receive kernels. Fix: free some" in found["msg"]


def test_what_can_fail_fails_before_anything_is_stopped(machine: Machine) -> None:
    content, path = b"{}", "/etc/sglang/prefill-0/a.json"
    files = [{"path": path, "content": "{}", "encoding": "text", "sha256": hashlib.sha256(content).hexdigest()}]
    job = {
        "instance": "prefill-0", "path": machine.cache.path, "key": NEW, "parts": PARTS, "unit": "[Service]\n", "environment": "",
        "directory": "/etc/sglang/prefill-0", "files": files, "places": [str(machine.place / "lssd/triton")],
    }
    given = {"jobs": [job], "user": pwd.getpwuid(os.getuid()).pw_name, "root": str(machine.place), "reserve_mib": 1}
    full = run(kernel_compile.main, {**given, "state": "prepared", "reserve_mib": 1 << 40})
    assert "lower deepgemm_reserve_mib" in full["msg"]
    assert not run(kernel_compile.main, {**given, "state": "prepared"}, check=True)["changed"]
    prepared = run(kernel_compile.main, {**given, "state": "prepared"})
    assert (prepared["changed"], prepared["jobs"][0]["kernels"]) == (False, 4), "those of the other key"
    assert (machine.place / "run/railyard-deepgemm/prefill-0.files/a.json").read_bytes() == content
    assert (machine.place / "lssd/triton").is_dir()
    assert not machine.state("sglang-deepgemm-prefill-0.service")
    assert run(kernel_compile.main, given)["changed"]
    assert machine.state("sglang-deepgemm-prefill-0.service") == "active"


def test_units_are_noted_and_started_again(machine: Machine) -> None:
    def call(state: str, check: bool = False, **more: Any) -> dict[str, Any]:
        return run(kernel_units.main, {"state": state, "root": str(machine.place), **more}, check)

    names = ["sglang-prefill-0.service", "sglang-prefill-1.service"]
    machine.state(names[0], "active")
    machine.state("sglang-deepgemm-old.service", "active")
    assert call("noted", units=names, check=True)["units"] == names[:1]
    noted = call("noted", units=names, instances=["old"])
    assert (noted["changed"], noted["units"], noted["ended"]) == (True, names[:1], ["old"])
    assert machine.state("sglang-deepgemm-old.service") == "inactive"
    machine.state(names[0], "inactive")
    assert machine.call("looked")["stopped"] == names[:1]
    assert call("restored", units=[names[1]], check=True)["units"] == names
    assert call("restored")["units"] == names[:1]
    assert machine.state(names[0]) == "active"
    assert not call("restored")["changed"]
    call("noted", units=names)
    assert not call("forgotten")["changed"]
    assert machine.call("looked")["stopped"] == []
