# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every rule of the host checks broken, kept, unknown and not needed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck import look
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import ERROR, NEEDLESS, NOTE, OK, STATES, UNKNOWN, WARNING
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rules import RULES
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostcheck import world as worlds
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostcheck.cases_gpus import GPUS
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostcheck.cases_host import HOST, filtered
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostcheck.cases_rdma import RDMA
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostcheck.cases_software import SOFTWARE
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostcheck.changes import OWN, Case

CASES = {"preflight." + name: rows for table in (HOST, GPUS, RDMA, SOFTWARE) for name, rows in table.items()}
ROWS = [(rule, case) for rule, cases in CASES.items() for case in cases]
# Where a violation cannot be a file: the free space of a file system, a fault of a check.
ELSEWHERE = {"preflight.shm", "preflight.internal"}
# Absence of what they look for is an answer: they are never unknown.
SURE = {
    "systemd", "address", "interface", "memlock", "python-path", "site-packages", "library-path", "preload", "nccl-file", "internal",
}
ALWAYS = {"systemd", "internal"}


@pytest.mark.parametrize(("rule", "case"), ROWS, ids=[f"{rule[10:]}-{index}-{case.state}" for index, (rule, case) in enumerate(ROWS)])
def test_rule(rule: str, case: Case, tmp_path: Path) -> None:
    world = case.make(tmp_path)
    case.change(world)
    everything = world.rows()
    rows = [row for row in everything if row.rule == rule]
    found = [row for row in rows if row.state == case.state and case.text in row.text]
    assert found, rows
    assert min(STATES.index(row.state) for row in rows) == STATES.index(case.state), rows
    for row in found:
        if case.state in (ERROR, WARNING, NOTE):
            assert all((row.text, row.fix, row.found)), row
    internal = [row for row in everything if row.rule == "preflight.internal"]
    assert [row.state for row in internal] == [OK], internal


@pytest.mark.parametrize(
    ("make", "state"),
    [
        (worlds.cpu_world, {OK, NEEDLESS}), (worlds.router_world, {OK, NEEDLESS}), (worlds.gpu_world, {OK, NEEDLESS}),
        (worlds.amd_world, {OK, NEEDLESS, UNKNOWN}),
    ],
)
def test_a_good_host(make: Callable[[Path], worlds.World], state: set[str], tmp_path: Path) -> None:
    rows = make(tmp_path).rows()
    assert {row.state for row in rows} == state
    assert [rule for rule in RULES if rule not in {row.rule for row in rows}] == []
    assert [row.rule for row in rows] == sorted((row.rule for row in rows), key=list(RULES).index)


def test_a_host_of_cpu_ranks_is_asked_nothing_about_gpus(tmp_path: Path) -> None:
    world = worlds.cpu_world(tmp_path)
    asked: list[str] = []

    def run(words: list[str]) -> tuple[int, str, str]:
        asked.append(words[0])
        return worlds.World.run(world, words)

    context = world.context()
    context.run = run
    assert look.summary(look.rows(context)) == "15 ok, 28 n/a"
    assert asked == ["systemctl", "nft", "iptables", "ip6tables", "firewall-cmd"]


def test_a_port_that_stage_network_opens_is_a_note(tmp_path: Path) -> None:
    world = worlds.cpu_world(tmp_path)
    filtered("firewalld_public")(world)
    context = world.context()
    context.opens = True
    rows = [row for row in look.rows(context) if row.rule == "preflight.firewall"]
    assert {row.state for row in rows} == {NOTE}
    assert {row.fix for row in rows} == {"nothing: stage network opens it"}
    assert "tcp 22" not in " ".join(row.text for row in rows)


def test_soft_roce_needs_its_port(tmp_path: Path) -> None:
    world = worlds.gpu_world(tmp_path)
    filtered("firewalld_open")(world)
    assert any(flow["port"] == "4791" for flow in world.plan["firewall"]["flows"])
    world.host.file("/sys/class/infiniband/rxe0/parent", "fab0")
    (row,) = [row for row in world.rows() if row.rule == "preflight.firewall"]
    assert (row.state, row.found) == (ERROR, "udp 4791 closed")


def test_every_rule_is_broken_kept_unknown_and_not_needed() -> None:
    for rule, row in RULES.items():
        states = {case.state for case in CASES.get(rule, [])}
        name = rule[len("preflight.") :]
        assert rule in ELSEWHERE or row.severity in states, rule
        assert name in SURE or UNKNOWN in states, rule
        assert name in ALWAYS or NEEDLESS in states, rule


@pytest.mark.parametrize(("make", "mib"), [(worlds.cpu_world, 64), (worlds.gpu_world, 1024)])
def test_shared_memory(make: Callable[[Path], worlds.World], mib: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make(tmp_path)
    for free, state in ((mib, OK), (mib - 1, ERROR)):
        status = SimpleNamespace(f_bavail=free << 8, f_bfree=free << 8, f_blocks=3 << 18, f_frsize=4096)
        monkeypatch.setattr(os, "statvfs", lambda path, status=status: status)
        (row,) = [row for row in world.rows() if row.rule == "preflight.shm"]
        assert row.state == state
    assert row.text == f"/dev/shm has {mib - 1} MiB free, the ranks need {mib}"


@pytest.mark.parametrize(("place", "own", "state"), [
    ("/sys/fs/cgroup", 1023, OK), ("/sys/fs/cgroup/memory", 1023, OK), ("/sys/fs/cgroup", 1022, ERROR), ("/sys/fs/cgroup", 0, ERROR),
])
def test_shared_memory_that_its_own_units_use(place: str, own: int, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = worlds.gpu_world(tmp_path)
    world.host.file(f"{place}/system.slice/{OWN}/memory.stat", f"anon 5\nshmem {own << 20}\n")
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=1 << 8, f_bfree=1 << 8, f_blocks=1 << 20, f_frsize=4096))
    (row,) = [row for row in world.rows() if row.rule == "preflight.shm"]
    assert row.state == state


def test_a_plain_user_does_not_know_who_has_a_gpu_open(tmp_path: Path) -> None:
    world = worlds.amd_world(tmp_path)
    context = world.context()
    context.open.partial = True
    (row,) = [row for row in look.rows(context) if row.rule == "preflight.gpu-process"]
    assert (row.state, row.text) == (UNKNOWN, "some processes cannot be looked at (not root?)")


def test_units_that_a_plain_user_may_not_read_and_those_outside_of_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = "# railyard.sglang: unit of cluster lab, role engine\n"
    world = worlds.cpu_world(tmp_path / "host")
    for name in ("a", "private"):
        world.host.file(f"/etc/systemd/system/{name}.service", mark)
    (tmp_path / "outside.service").write_text(mark, encoding="utf-8")
    (world.host.root / "etc/systemd/system/link.service").symlink_to(tmp_path / "outside.service")
    really = os.open

    def guarded(path: str, *words: Any, **more: Any) -> int:
        if str(path).endswith("private.service"):
            raise PermissionError(13, "Permission denied", path)
        return really(path, *words, **more)

    monkeypatch.setattr(os, "open", guarded)
    assert world.context().own_units == ["a.service", OWN]


def test_a_value_of_a_proxy_is_never_shown(tmp_path: Path) -> None:
    world = worlds.cpu_world(tmp_path)
    world.answers["systemctl show-environment"] = (0, "http_proxy=http://user:hunter2@192.0.2.1:3128\n", "")
    assert "hunter2" not in str(world.rows())


def test_a_check_that_ends_early_is_not_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(context: object) -> None:
        raise KeyError("pci")

    monkeypatch.setattr(look.gpus, "check", broken)
    rows = {row.rule: row for row in worlds.gpu_world(tmp_path).rows()}
    assert rows["preflight.internal"].state == WARNING
    assert rows["preflight.internal"].text == "the checks of gpus ended with KeyError: 'pci'"
    assert {rows[rule].state for rule in look.gpus.RULES} == {UNKNOWN}
    assert rows["preflight.xid"].state == OK
