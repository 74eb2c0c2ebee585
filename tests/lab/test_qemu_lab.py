# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab of two virtual machines: up, RDMA devices, a link that is cut, a reboot, a power cut, down, nothing left, resumed."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, Iterator

import pytest
from labkit import ROOT, cache
from qemukit import HOSTS, INTERFACES, QemuLab, able

from ansible_collections.railyard.sglang.plugins.module_utils.lab import qmp

pytestmark = [pytest.mark.lab, pytest.mark.full]

NAME = "qemutest"
LAB = QemuLab(NAME)
command, play, ssh, answer, becomes = LAB.command, LAB.module, LAB.question, LAB.answer, LAB.becomes
pid_of, remains, set_link = LAB.pid_of, LAB.remains, LAB.set_link


@pytest.fixture(scope="module")
def before() -> Iterator[dict[str, list[str]]]:
    able()
    play("lab_down")
    yield remains()
    play("lab_down")


@pytest.fixture(scope="module")
def lab(before: dict[str, list[str]]) -> dict[str, Any]:
    predicted = play("lab_up", "--check")
    assert predicted["changed"]
    assert remains() == before
    result = play("lab_up")
    assert result["actions"] == predicted["actions"]
    assert [action.partition(" host ")[2] for action in result["actions"] if " host " in action] == list(HOSTS)
    print(f"up: {result['seconds']}")
    return result


def test_hosts_answer_and_are_booted(lab: dict[str, Any]) -> None:
    done = command("ansible", "-i", "inventory/lab", "all", "-m", "ansible.builtin.ping")
    assert done.stdout.count("SUCCESS") == 2, done.stdout + done.stderr
    for host in HOSTS:
        assert answer(host, "systemctl is-system-running") == "running"
        assert answer(host, "hostname") == host
        assert abs(int(answer(host, "date +%s")) - time.time()) < 10


@pytest.mark.parametrize("host", HOSTS)
def test_every_rail_has_its_interface_and_device(host: str, lab: dict[str, Any]) -> None:
    files = "parent ports/1/state ports/1/gids/1 ports/1/gid_attrs/types/1"
    lines = answer(host, f"for n in 0 1 2 3 4 5 6 7; do cd /sys/class/infiniband/mlx5_$n && cat {files}; done").splitlines()
    rails = LAB.inventory(host)["lab_rails"]
    assert [rail["interface"] for rail in rails] == INTERFACES[host]
    assert lines[0::4] == INTERFACES[host]
    assert set(lines[1::4]) == {"4: ACTIVE"}
    expected = ["".join(f"{int(part):02x}" for part in rail["address"].split(".")) for rail in rails]
    assert [line.replace(":", "")[-12:] for line in lines[2::4]] == [f"ffff{address}" for address in expected]
    assert set(lines[3::4]) == {"RoCE v2"}
    assert answer(host, "ibv_devinfo -d mlx5_7 | grep -c 'active_mtu:.*4096'") == "1"


@pytest.mark.parametrize("host", HOSTS)
def test_two_numa_nodes(host: str, lab: dict[str, Any]) -> None:
    assert answer(host, "cat /sys/devices/system/node/online /sys/devices/system/node/has_memory") == "0-1\n0-1"
    nodes = [answer(host, f"cat /sys/class/net/{name}/device/numa_node") for name in (INTERFACES[host][0], INTERFACES[host][-1])]
    assert nodes == ["0", "1"]


def test_rails_are_separate_and_nothing_leaves(lab: dict[str, Any]) -> None:
    for rail in (0, 7):
        answer("p0", f"ping -c 3 -w 10 -s 4100 -M do d0-rail{rail}")
    # By the kernel's default a host answers on every rail for all of its addresses.
    answer("d0", "sysctl -q -w net.ipv4.conf.all.arp_ignore=1")
    try:
        answer("p0", "ip neigh flush all")
        assert ssh("p0", f"ping -c 1 -W 2 -I {INTERFACES['p0'][1]} d0-rail0").returncode != 0
        answer("p0", f"ping -c 3 -w 10 -I {INTERFACES['p0'][1]} d0-rail1")
    finally:
        answer("d0", "sysctl -q -w net.ipv4.conf.all.arp_ignore=0")
    assert answer("p0", "ip route show default") == ""
    namespace = command("nsenter", f"--net=/run/netns/railyard-{NAME}", "ip", "-j", "-4", "route", "show", "table", "main")
    assert [route["dev"] for route in json.loads(namespace.stdout)] == ["mgmt"]


def test_verbs_move_data_between_hosts(lab: dict[str, Any]) -> None:
    pingpong = "timeout 60 ibv_rc_pingpong -d mlx5_3 -g 1 -n 50"
    sent = "cat /sys/class/infiniband/mlx5_3/ports/1/hw_counters/sent_pkts"
    packets = int(answer("p0", sent))
    answer("d0", f"nohup {pingpong} > /tmp/pingpong 2>&1 < /dev/null & sleep 2")
    assert "50 iters" in answer("p0", f"{pingpong} d0-rail3")
    assert int(answer("p0", sent)) > packets


def test_directories_are_shared(lab: dict[str, Any]) -> None:
    (cache() / "wheels" / ".qemutest").write_text("seen\n")
    try:
        assert answer("p0", "cat /srv/wheels/.qemutest") == "seen"
        assert "Read-only" in ssh("p0", "rm /srv/wheels/.qemutest").stderr
    finally:
        (cache() / "wheels" / ".qemutest").unlink()


def test_lab_that_is_up_is_left_alone(lab: dict[str, Any]) -> None:
    pids = {host: pid_of(host) for host in HOSTS}
    result = play("lab_up")
    assert (result["changed"], result["actions"], result["instance"]) == (False, [], lab["instance"])
    assert {host: pid_of(host) for host in HOSTS} == pids
    assert play("lab_up", "--check")["changed"] is False


def test_other_backend_is_refused_with_the_fix(lab: dict[str, Any]) -> None:
    message = play("lab_up", RAILYARD_LAB_BACKEND="nspawn", RAILYARD_LAB_ROUTER="false")["msg"]
    assert "backend is qemu, asked nspawn" in message
    assert "lab_down.yml" in message


def test_cut_link_is_noticed(lab: dict[str, Any]) -> None:
    state = "cat /sys/class/infiniband/mlx5_2/ports/1/state"
    tool = str(ROOT / "roles/lab/files/lab-link.py")
    assert command(sys.executable, tool, NAME, "p0", "2", "down").returncode == 0
    try:
        assert becomes("p0", state, "1: DOWN", 5)
        assert answer("d0", state) == "4: ACTIVE"
    finally:
        set_link("p0", 2, up=True)
    assert becomes("p0", state, "4: ACTIVE", 10)


def test_halted_host_goes_on(lab: dict[str, Any]) -> None:
    qmp.execute(LAB.monitors / "d0.qmp", "stop")
    assert ssh("d0", "true").returncode != 0
    assert play("lab_up", "--check")["actions"] == ["let host d0 go on"]
    assert play("lab_up")["actions"] == ["let host d0 go on"]
    assert abs(int(answer("d0", "date +%s")) - time.time()) < 10
    assert play("lab_up")["changed"] is False


def test_host_comes_back_from_a_reboot_with_what_was_changed(lab: dict[str, Any]) -> None:
    profile = "/etc/NetworkManager/system-connections/enp12s0.nmconnection"
    boot = answer("p0", f"touch /var/tmp/kept; echo '# ours' >> {profile}; cat /proc/sys/kernel/random/boot_id")
    pid, started, after = pid_of("p0"), time.monotonic(), ""
    ssh("p0", "systemctl reboot")
    while after in ("", boot) and time.monotonic() < started + 400:
        done = ssh("p0", "systemctl is-system-running --wait > /dev/null; cat /proc/sys/kernel/random/boot_id")
        after = done.stdout.strip() if done.returncode == 0 else ""
    print(f"reboot: {time.monotonic() - started:.1f} s")
    assert after not in ("", boot)
    assert pid_of("p0") == pid
    answer("p0", f"test -e /var/tmp/kept && tail -n 1 {profile} | grep -q ours")
    assert answer("p0", "rdma link show | grep -c 'state ACTIVE'") == "8"
    assert answer("p0", "cat /sys/class/infiniband/mlx5_0/ports/1/gids/1").startswith("0000:0000:0000:0000:0000:ffff:")
    assert play("lab_up")["changed"] is False


def test_host_whose_power_was_cut_is_booted_again_and_only_that(lab: dict[str, Any]) -> None:
    answer("d0", "touch /var/tmp/written; sync")
    other = pid_of("p0")
    os.kill(pid_of("d0"), signal.SIGKILL)
    time.sleep(0.3)
    result = play("lab_up")
    assert result["actions"] == ["start host d0"]
    assert pid_of("p0") == other
    answer("d0", "test -e /var/tmp/written")
    assert answer("d0", "rdma link show | grep -c 'state ACTIVE'") == "8"
    assert play("lab_up")["changed"] is False


def test_down_leaves_nothing_and_the_next_start_resumes(lab: dict[str, Any], before: dict[str, list[str]]) -> None:
    assert play("lab_down", "--check")["changed"]
    assert play("lab_down")["changed"]
    assert remains() == before
    assert play("lab_down")["changed"] is False
    result = play("lab_up")
    assert [action for action in result["actions"] if " host " in action] == ["resume host p0", "resume host d0"]
    assert result["notes"] == []
    print(f"resumed: {result['seconds']}")
    assert result["instance"] != lab["instance"]
    for host in HOSTS:
        assert answer(host, "systemctl is-system-running") == "running"
        assert abs(int(answer(host, "date +%s")) - time.time()) < 10
        assert answer(host, "rdma link show | grep -c 'state ACTIVE'") == "8"
        answer(host, "test ! -e /var/tmp/kept && test ! -e /var/tmp/written")
    answer("p0", "ping -c 3 -w 10 d0-rail6")
    assert play("lab_up")["changed"] is False
    assert play("lab_down")["changed"]
    assert remains() == before


def test_damaged_saved_state_is_replaced_by_a_boot(lab: dict[str, Any], before: dict[str, list[str]]) -> None:
    play("lab_down")
    predicted = play("lab_up", "--check")["actions"]
    assert "resume host p0" in predicted, "the lab that ran before has left its state"
    states = sorted((cache() / "image/saved").glob("*/d0/state.zst"), key=lambda path: path.parents[1].stat().st_mtime)
    os.truncate(states[-1], 100_000)
    result = play("lab_up")
    (note,) = result["notes"]
    assert "was of no use, so that the hosts were booted" in note
    for host in HOSTS:
        assert answer(host, "systemctl is-system-running") == "running"
    assert play("lab_up")["changed"] is False
    assert play("lab_down")["changed"]
    assert "resume host p0" in play("lab_up", "--check")["actions"], "the boot was saved anew"
    assert remains() == before


def test_look_alike_takes_the_paths_of_rhel_under_selinux(before: dict[str, list[str]]) -> None:
    play("lab_down")
    change = {"RAILYARD_LAB_DISTRIBUTION": "rhel_like"}
    result = play("lab_up", **change)
    print(f"look-alike up: {result['seconds']}")
    try:
        assert "distribution is rhel_like, asked debian" in play("lab_up")["msg"]
        assert answer("p0", "getenforce") == "Enforcing"
        assert answer("p0", "systemctl is-system-running") == "running"
        assert answer("p0", "rdma link show | grep -c 'state ACTIVE'") == "8"
        # The parts of the lab itself live within the policy.
        denied = answer("p0", "journalctl -b --no-pager -t kernel -t audit | grep 'avc:  denied' || true").splitlines()
        assert [line for line in denied if "railyard" in line or "NetworkManager" in line or "sshd" in line] == []
        subset = "gather_subset=!all,min,pkg_mgr,selinux"
        done = command("ansible", "-i", "inventory/lab", "p0", "-m", "ansible.builtin.setup", "-a", subset, **change)
        for fact in ('"ansible_os_family": "RedHat"', '"ansible_pkg_mgr": "dnf"', '"mode": "enforcing"'):
            assert fact in done.stdout
        prepare = "mkdir -p /srv/repository && createrepo_c -q /srv/repository"
        answer("p0", f"{prepare} && dnf -q --disablerepo='*' --repofrompath=lab,/srv/repository repoquery")
    finally:
        play("lab_down", **change)
    assert remains() == before


def test_what_is_missing_is_told_with_the_way_to_get_it(before: dict[str, list[str]], tmp_path: Path) -> None:
    message = play("lab_up", RAILYARD_LAB_MACHINE_MEMORY_MB="9000000")["msg"]
    assert "2 hosts need" in message
    assert "MiB are available" in message
    assert remains() == before
