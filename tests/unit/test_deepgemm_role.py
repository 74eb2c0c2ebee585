# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the role deepgemm on this machine under several names, each with directories, GPUs as files, nvcc and systemctl of its own.

What is played: systemctl, and the compilation that it would start. What is real: the plan, the role, the modules, the files.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.railyard.sglang.tests.unit.support import playbooks
from ansible_collections.railyard.sglang.tests.unit.support.clusters import gpu_cluster
from ansible_collections.railyard.sglang.tests.unit.support.described import Described

HOSTS = ("p0", "p1", "p2", "p3", "d0", "d1")
CONFIG = {"hidden_size": 7168, "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}
# One line of the inventory in, one word of a verb: what a host's systemctl does with a unit of this role, and with an engine's.
SYSTEMCTL = r"""#!{python}
import os, re, subprocess, sys, time
root, words = "{root}", sys.argv[1:]
unit = words[-1]
state = root + "/state-" + unit
with open(root + "/calls", "a") as stream:
    stream.write(" ".join(words) + "\n")
if words[0] == "show":
    print("ActiveState=" + (open(state).read() if os.path.exists(state) else "inactive"))
elif words[0] == "stop":
    for name in words[1:]:
        open(root + "/state-" + name, "w").write("inactive")
        # Like the real one it comes back when the process has ended.
        while os.path.exists(root + "/state-" + name + ".runs"):
            time.sleep(0.1)
elif words[0] == "start" and "deepgemm" not in unit:
    for name in words[1:]:
        open(root + "/state-" + name, "w").write("active")
elif words[0] == "start":
    text = open(root + "/run/systemd/system/" + unit).read()
    instance = re.search(r"deepgemm-(.*)\.service", unit).group(1)
    place = re.search(r'SGLANG_DG_CACHE_DIR="(.*)"', open(root + "/run/railyard-deepgemm/" + instance + ".environment").read()).group(1)
    assert "ReadWritePaths=" + place in text and "sglang.compile_deep_gemm" in text
    # The tree of the key compiles, not what the link still points to, and reads files that are there.
    python = re.search(r"^ExecStart=(\S+)", text, re.MULTILINE).group(1)
    assert "/store/sglang-0.5.8-cu12-0f3a5c1d2e4b/" in python and os.access(python, os.X_OK), python
    assert "/etc/sglang" not in text
    named = re.search(r"--deepep-config (\S+)", text).group(1)
    assert open(root + named).read().startswith("{"), named
    open(state, "w").write("active")
    open(state + ".runs", "w")
    subprocess.Popen([sys.executable, root + "/compile.py", place, instance, state], start_new_session=True,
                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
"""
COMPILE = r"""
import os, sys, time
root = os.path.dirname(os.path.abspath(__file__))
place, instance, state = sys.argv[1:]
mode = open(root + "/mode").read() if os.path.exists(root + "/mode") else ""
log = open(root + "/var/log/sglang-deepgemm-" + instance + ".log", "w")
def end(result):
    log.flush()
    with open(root + "/run/railyard-deepgemm/" + instance + ".result", "w") as stream:
        stream.write(result)
    open(state, "w").write("inactive")
    os.remove(state + ".runs")
    sys.exit()
for number in range(6):
    print("DeepGEMM warmup", number, file=log, flush=True)
    if mode == "fail" and number == 3:
        print("RuntimeError: CUDA out of memory", file=log)
        end("exit-code exited 1")
    name = "kernel.gemm.%032x" % number
    if not os.path.isdir(os.path.join(place, "cache", name)):
        making = os.path.join(place, "tmp", "%d" % os.getpid())
        os.makedirs(making)
        for file in ("kernel.cu", "kernel.cubin"):
            with open(os.path.join(making, file), "w") as stream:
                stream.write(name + file)
        os.makedirs(os.path.join(place, "cache"), exist_ok=True)
        os.rename(making, os.path.join(place, "cache", name))
    while mode == "hang" and number == 2 and open(state).read() == "active":
        time.sleep(0.1)
    if open(state).read() != "active":
        end("success killed TERM")
print("DeepGEMM Kernels compilation finished successfully.", file=log)
end("success exited 0")
"""


class Cluster:
    """Six hosts that are this machine."""

    def __init__(self, place: Path) -> None:
        self.place = place
        inventory = gpu_cluster(4, 2)
        for name in ("0f3a5c1d2e4b", "000000000000"):
            tree = place / f"opt/store/sglang-0.5.8-cu12-{name}"
            (tree / "bin").mkdir(parents=True)
            (tree / "bin/python").symlink_to(sys.executable)
            (tree / ".stack.json").write_text('{"format": 1}')
        # Held by an engine that runs: the stage stack has left it.
        (place / "opt/sglang-0.5.8-cu12").symlink_to("store/sglang-0.5.8-cu12-000000000000")
        trees = {str(place / "opt/sglang-0.5.8-cu12"): str(place / "opt/store/sglang-0.5.8-cu12-0f3a5c1d2e4b")}
        inventory = inventory.change({"sglang_root": str(place / "opt"), "sglang_files": {"deepep_config.json": {"content": {"n": 1}}}})
        inventory = inventory.change({"sglang_args.deepep-config": {"file": "deepep_config.json"}})
        for host in HOSTS:
            self._host(inventory.hostvars[host], host)
        groups = {
            name: {"hosts": {host: inventory.hostvars[host] for host in hosts}} for name, hosts in inventory.groups.items() if name != "all"
        }
        (place / "hosts.yml").write_text(json.dumps({"all": {"children": groups}}), encoding="utf-8")
        options = {"root": "{{ own_root }}"}
        modules = {f"railyard.sglang.{name}": options for name in ("kernel_cache", "kernel_compile", "kernel_progress", "kernel_units")}
        play = {
            "hosts": "prefill:decode", "gather_facts": False, "any_errors_fatal": True,
            "environment": {"PATH": "{{ own_root }}/bin:" + os.environ["PATH"]}, "module_defaults": modules,
        }
        planned = [
            {"railyard.sglang.plan": {"converge": False}, "run_once": True, "register": "planned"},
            {"ansible.builtin.set_fact": {"sglang_host": "{{ planned.plan.hosts[inventory_hostname] }}"}},
            {"ansible.builtin.set_fact": {"sglang_stack_trees": trees, "cacheable": True}},
        ]
        role = {"ansible.builtin.import_role": {"name": "railyard.sglang.deepgemm"}}
        gate = {"ansible.builtin.import_role": {"name": "railyard.sglang.deepgemm", "tasks_from": "gate"}}
        (place / "deepgemm.yml").write_text(yaml.safe_dump([{**play, "tasks": [*planned, role]}]), encoding="utf-8")
        (place / "gate.yml").write_text(yaml.safe_dump([{**play, "tasks": [*planned, gate]}]), encoding="utf-8")

    def _host(self, variables: dict[str, Any], host: str) -> None:
        root = self.place / host
        Described("ubuntu-22.04", ("H100",) * 8, "570.124.06").write(root)
        for name in ("bin", "run", "var/log", "cuda/bin", "model"):
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "model/config.json").write_text(json.dumps(CONFIG))
        (root / "compile.py").write_text(COMPILE)
        programs = {
            "bin/systemctl": SYSTEMCTL.replace("{python}", sys.executable).replace("{root}", str(root)),
            "cuda/bin/nvcc": "#!/bin/sh\necho 'Cuda compilation tools, release 12.9, V12.9.86'\n",
        }
        for name, text in programs.items():
            (root / name).write_text(text)
            (root / name).chmod(0o755)
        variables |= {
            "ansible_connection": "local", "ansible_python_interpreter": sys.executable, "own_root": str(root),
            "sglang_host_env": {"SGLANG_DG_CACHE_DIR": str(root / "kernels/deep_gemm"), "CUDA_HOME": str(root / "cuda")},
            "deepgemm_user": pwd.getpwuid(os.getuid()).pw_name, "deepgemm_model": str(root / "model"), "deepgemm_poll_seconds": 1,
            "deepgemm_reserve_mib": 1, "deepgemm_seconds": "300",
        }

    def play(self, name: str = "deepgemm.yml", *words: str) -> subprocess.CompletedProcess[str]:
        """Run a playbook."""
        return playbooks.playbook(self.place, "-i", str(self.place / "hosts.yml"), name, *words, seconds=600)

    def mode(self, host: str, mode: str) -> None:
        """Set how the compilation of a host goes."""
        (self.place / host / "mode").write_text(mode)

    def state(self, host: str, unit: str, state: str = "") -> str:
        """Set or return the state of a unit."""
        path = self.place / host / f"state-{unit}"
        if state:
            path.write_text(state)
        return path.read_text() if path.exists() else ""

    def started(self, host: str) -> int:
        """Return how many compilations were started on a host."""
        calls = self.place / host / "calls"
        return len(re.findall(r"^start sglang-deepgemm-", calls.read_text(), re.MULTILINE)) if calls.exists() else 0

    def kernels(self, host: str) -> dict[str, bytes]:
        """Return the kernels in use on a host."""
        path = self.place / host / "kernels/deep_gemm"
        return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("cache/*/*"))} if path.is_symlink() else {}


def changed(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """Return the changed tasks of each host."""
    return {host: int(count) for host, count in re.findall(r"^(\w+) +: .*changed=(\d+)", done.stdout, re.MULTILINE)}


@pytest.fixture(scope="module", name="compiled")
def compile_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cluster, list[subprocess.CompletedProcess[str]]]:
    """Return a cluster after check mode, a run whose controller is killed, one that ends, and one more."""
    cluster = Cluster(tmp_path_factory.mktemp("compiled"))
    refused = cluster.play("gate.yml")
    predicted = cluster.play("deepgemm.yml", "--check", "--diff")
    assert not any(cluster.kernels(host) or cluster.started(host) for host in HOSTS)
    for host in ("p0", "p1", "d0", "d1"):
        cluster.mode(host, "hang")
    program = [
        sys.executable, "-c",
        "import sys, pathlib\nfrom ansible_collections.railyard.sglang.tests.unit.support import playbooks\n"
        "playbooks.playbook(pathlib.Path(sys.argv[1]), *sys.argv[2:], seconds=600)",
        str(cluster.place), "-i", str(cluster.place / "hosts.yml"), "deepgemm.yml",
    ]
    with subprocess.Popen(program, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as controller:
        until = time.monotonic() + 300
        while not list(cluster.place.glob("p1/kernels/.versions/deep_gemm/.partial/*/cache/kernel*1")) and time.monotonic() < until:
            time.sleep(0.2)
        os.killpg(controller.pid, signal.SIGKILL)
    assert cluster.started("p1") == 1
    assert not any(cluster.kernels(host) for host in HOSTS)
    for host in HOSTS:
        cluster.mode(host, "")
    first = cluster.play("deepgemm.yml", "--diff")
    second = cluster.play()
    gate = cluster.play("gate.yml")
    return cluster, [refused, predicted, first, second, gate]


def test_the_gate_refuses_a_bare_cluster(compiled: tuple[Cluster, list[subprocess.CompletedProcess[str]]]) -> None:
    refused = compiled[1][0]
    assert refused.returncode == 2, refused.stdout + refused.stderr
    for host in HOSTS:
        text = rf"{host}: \w+-\d: its DeepGEMM kernels at \S+ are missing\. Fix: site\.yml --tags deepgemm; deepgemm_compile_at_start"
        assert re.search(text, refused.stdout)
    assert "No engine was started or changed" in refused.stdout


def test_a_killed_run_is_ended_by_the_same_command(compiled: tuple[Cluster, list[subprocess.CompletedProcess[str]]]) -> None:
    cluster, (_refused, _predicted, first, _second, _gate) = compiled
    assert first.returncode == 0, first.stdout + first.stderr
    kernels = [cluster.kernels(host) for host in HOSTS]
    assert len(kernels[0]) == 12
    assert all(row == kernels[0] for row in kernels)
    # One instance of the two of a pool has compiled, all its hosts; the others have received.
    assert {host: cluster.started(host) for host in HOSTS} == {"p0": 2, "p1": 2, "p2": 0, "p3": 0, "d0": 2, "d1": 2}
    for host in HOSTS:
        record = json.loads((cluster.place / host / "kernels/deep_gemm/.railyard.json").read_text())
        assert record["whole"] is True
        assert set(record["files"]) == set(cluster.kernels(host))
        assert record["request"]["nvcc"] == "12.9"
        assert sorted(os.listdir(cluster.place / host / "kernels/.versions/deep_gemm")) == [
            ".lock", ".partial", (cluster.place / host / "kernels/deep_gemm").readlink().name,
        ]


def test_progress_is_seen(compiled: tuple[Cluster, list[subprocess.CompletedProcess[str]]]) -> None:
    first = compiled[1][2]
    assert re.search(r"^ +p0: prefill-0 (running|done), \d kernels, \d+ lines: DeepGEMM ", first.stdout, re.MULTILINE), first.stdout


def test_check_mode_predicts_what_changes(compiled: tuple[Cluster, list[subprocess.CompletedProcess[str]]]) -> None:
    _refused, predicted, first, _second, _gate = compiled[1]
    assert predicted.returncode == 0, predicted.stdout + predicted.stderr
    assert changed(predicted) == changed(first) == {"p0": 2, "p1": 2, "p2": 1, "p3": 1, "d0": 2, "d1": 2}


def test_a_second_run_changes_nothing_and_the_gate_is_open(compiled: tuple[Cluster, list[subprocess.CompletedProcess[str]]]) -> None:
    _cluster, (_refused, _predicted, _first, second, gate) = compiled
    assert (second.returncode, gate.returncode) == (0, 0), second.stdout + gate.stdout
    assert set(changed(second).values()) == {0}
    assert "Compile and pass on" in second.stdout
    assert "Start the compilation" not in second.stdout


@pytest.mark.full
def test_what_is_damaged_comes_from_another_host(compiled: tuple[Cluster, list[subprocess.CompletedProcess[str]]]) -> None:
    cluster = compiled[0]
    before = {host: cluster.started(host) for host in HOSTS}
    whole = cluster.kernels("p0")
    (cluster.place / "p0/kernels/deep_gemm/cache" / "kernel.gemm.00000000000000000000000000000000/kernel.cubin").unlink()
    refused = cluster.play("gate.yml")
    assert refused.returncode == 2
    assert "are partial (cache/kernel.gemm.00000000000000000000000000000000/kernel.cubin is missing)" in refused.stdout
    done = cluster.play()
    assert done.returncode == 0, done.stdout
    assert changed(done)["p0"] == 1
    assert sum(changed(done).values()) == 1
    assert cluster.kernels("p0") == whole
    assert {host: cluster.started(host) for host in HOSTS} == before


def test_the_report(compiled: tuple[Cluster, list[subprocess.CompletedProcess[str]]], tmp_path: Path) -> None:
    cluster = compiled[0]
    play = yaml.safe_load((playbooks.ROOT / "playbooks/caches.yml").read_text(encoding="utf-8"))
    # The GPUs of these hosts are files.
    play[1]["module_defaults"] = {"railyard.sglang.kernel_cache": {"root": "{{ own_root }}"}}
    play[1]["environment"] = {"PATH": "{{ own_root | default('') }}/bin:" + os.environ["PATH"]}
    play[1]["hosts"] = "prefill:decode"
    # What the stage engine does when it starts the ranks.
    link = cluster.place / "opt/sglang-0.5.8-cu12"
    link.unlink()
    link.symlink_to("store/sglang-0.5.8-cu12-0f3a5c1d2e4b")
    (cluster.place / "caches.yml").write_text(yaml.safe_dump(play), encoding="utf-8")
    options = {"caches_directory": str(tmp_path), "sglang_become": False, "caches_verify": True, "caches_fail": True}
    done = cluster.play("caches.yml", "-e", json.dumps(options))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "caches.json").read_text())["hosts"]
    assert [(row["state"], row["kernels"]) for host in HOSTS for row in rows[host]["caches"]] == [("whole", 6)] * len(HOSTS)
    assert len({row["key"] for host in HOSTS for row in rows[host]["caches"]}) == 2
    text = (tmp_path / "caches.txt").read_text()
    assert re.search(r"^p0 +prefill-0 +[0-9a-f]{16} +whole +6 +0\.0 +9\.0 nvcc 12\.9$", text, re.MULTILINE), text
    assert re.search(r"^p0 +prefill-0 SGLANG_DG_CACHE_DIR +\d", text, re.MULTILINE), text


@pytest.mark.full
def test_a_rank_that_fails_ends_the_others_and_nothing_is_put_in_use(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.mode("p0", "hang")
    cluster.mode("p1", "fail")
    for host in ("p0", "p1"):
        cluster.state(host, "sglang-prefill-0.service", "active")
    # The word false is no consent.
    refused = cluster.play("deepgemm.yml", "-e", "sglang_allow_restart=false")
    assert refused.returncode == 2
    assert "prefill-0 runs on p0, p1, and its GPUs are needed" in refused.stdout
    assert not any(cluster.started(host) for host in HOSTS)
    done = cluster.play("deepgemm.yml", "-e", "sglang_allow_restart=true", "-f", "1")
    assert done.returncode == 2, done.stdout
    assert "p1: prefill-0: it ended with exit-code exited 1" in done.stdout
    assert "RuntimeError: CUDA out of memory" in done.stdout
    assert "p0: prefill-0: p1 has failed, and its ranks compile together" in done.stdout
    # The other pool has compiled, and is in use.
    assert {host for host in HOSTS if cluster.kernels(host)} == {"d0", "d1"}
    # What was stopped for it runs again.
    assert [cluster.state(host, "sglang-prefill-0.service") for host in ("p0", "p1")] == ["active", "active"]
    # A wrong template fails before anything is stopped; what a killed run has stopped is started, whatever there is to do.
    calls = {host: (cluster.place / host / "calls").read_text() for host in HOSTS}
    (cluster.place / "own.j2").write_text("{{ nothing_of_this_name }}")
    done = cluster.play("deepgemm.yml", "-e", f"sglang_allow_restart=true deepgemm_unit_template={cluster.place}/own.j2")
    assert done.returncode == 2, done.stdout
    assert "nothing_of_this_name" in done.stdout
    assert "stop sglang-prefill-0" not in "".join((cluster.place / host / "calls").read_text()[len(text):] for host, text in calls.items())
    for host in ("p0", "p1"):
        (cluster.place / host / "run/railyard-deepgemm/stopped").write_text("sglang-prefill-0.service\n")
        cluster.state(host, "sglang-prefill-0.service", "inactive")
    cluster.state("p2", "sglang-deepgemm-prefill-1.service", "active")
    gate = cluster.play("gate.yml")
    assert "p2: prefill-1: its kernels are being compiled by sglang-deepgemm-prefill-1.service" in gate.stdout
    done = cluster.play("deepgemm.yml", "-e", "deepgemm_compile_at_start=true")
    assert (done.returncode, changed(done)) == (0, {**dict.fromkeys(HOSTS, 0), "p0": 1, "p1": 1, "p2": 1}), done.stdout
    assert [cluster.state(host, "sglang-prefill-0.service") for host in ("p0", "p1")] == ["active", "active"]
    assert cluster.state("p2", "sglang-deepgemm-prefill-1.service") == "inactive"
    assert not (cluster.place / "p0/run/railyard-deepgemm/stopped").exists()


@pytest.mark.full
def test_at_start_and_absent(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    own = ("-e", "deepgemm_compile_at_start=true")
    for name in ("deepgemm.yml", "gate.yml"):
        done = cluster.play(name, *own)
        assert (done.returncode, set(changed(done).values())) == (0, {0}), done.stdout
    (cluster.place / "p2/kernels/deep_gemm/cache/x").mkdir(parents=True)
    absent = ("-e", "deepgemm_state=absent")
    for words, count in (((*absent, "--check"), 1), (absent, 1), (absent, 0)):
        done = cluster.play("deepgemm.yml", *words)
        assert done.returncode == 0, done.stdout
        assert changed(done) == {**dict.fromkeys(HOSTS, 0), "p2": count}
    assert not (cluster.place / "p2/kernels/deep_gemm").exists()
