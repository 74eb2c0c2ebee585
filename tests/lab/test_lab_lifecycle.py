# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a lab of its own name beside others: up, up again, a reboot, a death, down, nothing left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Iterator

import pytest

pytestmark = pytest.mark.lab

ROOT = Path(__file__).resolve().parents[2]
NAME = "selftest"
CACHE = Path(os.environ.get("RAILYARD_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser(), "railyard-sglang"))
STATE = CACHE / "lab" / NAME
ENVIRONMENT = {
    **os.environ,
    "RAILYARD_CACHE": str(CACHE),
    "RAILYARD_LAB_NAME": NAME,
    "RAILYARD_LAB_SHAPE": "1p1d",
    "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
    "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
    "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
    "ANSIBLE_FORCE_COLOR": "0",
}


def command(*argv: str, **change: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, cwd=ROOT, env={**ENVIRONMENT, **change}, capture_output=True, text=True, check=False, timeout=600)


def play(playbook: str, *more: str, **change: str) -> dict[str, Any]:
    """Run a playbook and return the module's result; with a failure, its message."""
    done = command("ansible-playbook", "-i", "inventory/lab", f"playbooks/{playbook}.yml", "-v", *more, **change)
    results = re.findall(r"^(?:ok|changed|fatal): \[localhost\].*?=> (\{.*\})$", done.stdout, re.MULTILINE)
    assert results, done.stdout + done.stderr
    result = json.loads(results[-1])
    assert (done.returncode == 0) == (not result.get("failed") and "actions" in result), done.stdout + done.stderr
    return result


def ssh(host: str, *argv: str) -> subprocess.CompletedProcess[str]:
    wrapper = str(ROOT / "roles/lab/files/lab-ssh.sh")
    return command(wrapper, "-F", str(STATE / "ssh_config"), "-o", "ConnectTimeout=1", host, *argv)


def answer(host: str, *argv: str) -> str:
    done = ssh(host, *argv)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def pid_of(host: str, what: str) -> int:
    return int((STATE / "hosts" / host / f"{what}.pid").read_text().split()[0])


def remains() -> dict[str, list[str]]:
    """Return everything of the lab that is on this machine: processes, mounts, namespaces, interfaces, groups, files."""
    processes = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            group = path.with_name("cgroup").read_text()
        except OSError:
            continue
        if not text:
            # Ended, and waiting for the first process of this machine to take note.
            continue
        ours = (f"railyard-{NAME}" in text, f"{STATE}/" in text, f"railyard-lab/{NAME}" in group)
        if any(ours):
            processes.append(f"{path.parent.name} {text}")
    links = json.loads(command("ip", "-j", "link", "show").stdout)
    return {
        "processes": processes,
        "mounts": [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if NAME in line],
        "namespaces": [str(path) for path in Path("/run/netns").glob(f"railyard-{NAME}*")],
        "interfaces": sorted(link["ifname"] for link in links),
        "groups": [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/railyard-lab/{NAME}")],
        "run": [str(path) for path in Path("/run").glob(f"**/*{NAME}*")],
        "cache": [str(path) for path in (*CACHE.glob(f"lab/{NAME}"), *CACHE.glob("image/.building-*"))],
    }


@pytest.fixture(scope="module")
def before() -> Iterator[dict[str, list[str]]]:
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
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
    assert [action for action in result["actions"] if action.startswith("start host")] == [
        "start host p0",
        "start host d0",
        "start host r0",
    ]
    return result


def test_hosts_answer_and_are_booted(lab: dict[str, Any]) -> None:
    done = command("ansible", "-i", "inventory/lab", "all", "-m", "ansible.builtin.ping")
    assert done.stdout.count("SUCCESS") == 3, done.stdout + done.stderr
    for host in ("p0", "d0", "r0"):
        assert answer(host, "systemctl is-system-running") == "running"
        assert answer(host, "hostname") == host


def test_copying_a_file_needs_no_sftp(lab: dict[str, Any]) -> None:
    arguments = f"src={ROOT}/galaxy.yml dest=/tmp/galaxy.yml mode=0600"
    done = command("ansible", "-i", "inventory/lab", "p0", "-m", "ansible.builtin.copy", "-a", arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert answer("p0", "cat /tmp/galaxy.yml") == (ROOT / "galaxy.yml").read_text().strip()


def test_hosts_have_two_networks_and_no_way_out(lab: dict[str, Any]) -> None:
    links = {link["ifname"]: link for link in json.loads(answer("p0", "ip -j -4 address show"))}
    assert set(links) == {"lo", "mgmt0", "fab0"}
    for destination in ("d0", "d0-fabric", "controller"):
        assert answer("p0", f"getent hosts {destination}")
    assert answer("p0", "timeout 3 bash -c ': < /dev/tcp/d0-fabric/22' && echo reached") == "reached"
    assert answer("p0", "ip route show default") == ""
    assert ssh("p0", "timeout 3 bash -c ': < /dev/tcp/192.0.2.1/53'").returncode != 0
    switch = command("nsenter", f"--net=/run/netns/railyard-{NAME}", "ip", "-j", "-4", "route", "show", "table", "main")
    assert [route["dev"] for route in json.loads(switch.stdout)] == ["mgmt"]


def test_directories_are_shared_and_only_the_router_writes(lab: dict[str, Any]) -> None:
    answer("r0", "touch /opt/sglang/store/.selftest")
    assert answer("p0", "ls /opt/sglang/store/.selftest") == "/opt/sglang/store/.selftest"
    assert "Read-only" in ssh("p0", "rm /opt/sglang/store/.selftest").stderr
    assert "Read-only" in ssh("r0", "touch /srv/wheels/.selftest").stderr
    answer("r0", "rm /opt/sglang/store/.selftest")


def test_shared_memory_and_locked_memory(lab: dict[str, Any]) -> None:
    answer("p0", "dd if=/dev/zero of=/dev/shm/x bs=1M count=64 status=none && rm /dev/shm/x")
    can_raise = int(re.findall(r"CapEff:\s*(\w+)", Path("/proc/self/status").read_text())[0], 16) >> 24 & 1
    limit = answer("p0", "systemd-run --quiet --pipe --wait -p LimitMEMLOCK=infinity sh -c 'ulimit -l'")
    assert limit == "unlimited" or not can_raise


def test_lab_that_is_up_is_left_alone(lab: dict[str, Any]) -> None:
    pids = {host: pid_of(host, "nspawn") for host in ("p0", "d0", "r0")}
    result = play("lab_up")
    assert (result["changed"], result["actions"], result["instance"]) == (False, [], lab["instance"])
    assert {host: pid_of(host, "nspawn") for host in pids} == pids
    assert play("lab_up", "--check")["changed"] is False


def test_other_shape_is_refused_with_the_fix(lab: dict[str, Any]) -> None:
    message = play("lab_up", RAILYARD_LAB_SHAPE="2p1d")["msg"]
    assert "hosts are p0 d0 r0, asked p0 p1 d0 r0" in message
    assert "lab_down.yml" in message


def test_name_is_taken_for_other_caches(lab: dict[str, Any], tmp_path: Path) -> None:
    message = play("lab_up", RAILYARD_CACHE=str(tmp_path / "cache"))["msg"]
    assert str(STATE) in message
    assert "RAILYARD_LAB_NAME" in message
    assert not (tmp_path / "cache").exists() or not any((tmp_path / "cache").iterdir())


def test_host_comes_back_from_a_reboot(lab: dict[str, Any]) -> None:
    before = answer("p0", "touch /var/tmp/kept; cat /proc/sys/kernel/random/boot_id")
    started = time.monotonic()
    ssh("p0", "systemctl reboot")
    after = ""
    while after in ("", before) and time.monotonic() < started + 30:
        done = ssh("p0", "systemctl is-system-running --wait > /dev/null; cat /proc/sys/kernel/random/boot_id")
        after = done.stdout.strip() if done.returncode == 0 else ""
    print(f"reboot: {time.monotonic() - started:.1f} s")
    assert after not in ("", before)
    assert answer("p0", "nmcli -t -f DEVICE,STATE device | grep -v '^lo:' | sort") == "fab0:connected\nmgmt0:connected"
    assert len(json.loads(answer("p0", "ip -j -4 address show scope global"))) == 2
    answer("p0", "test -e /var/tmp/kept")
    assert play("lab_up")["changed"] is False


@pytest.mark.parametrize("what", ["nspawn", "keeper"])
def test_dead_host_is_started_again_and_only_that(what: str, lab: dict[str, Any]) -> None:
    answer("p0", "touch /var/tmp/written; sync /var/tmp/written")
    others = {host: pid_of(host, "nspawn") for host in ("d0", "r0")}
    os.kill(pid_of("p0", what), signal.SIGKILL)
    time.sleep(0.3)
    result = play("lab_up")
    assert result["actions"] == ["start host p0"]
    assert {host: pid_of(host, "nspawn") for host in others} == others
    answer("p0", "test -e /var/tmp/written")
    assert play("lab_up")["changed"] is False


def test_host_that_was_powered_off_is_started_again(lab: dict[str, Any]) -> None:
    keeper = pid_of("d0", "keeper")
    ssh("d0", "systemctl poweroff")
    deadline = time.monotonic() + 20
    while Path("/proc", str(keeper), "cmdline").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert play("lab_up")["actions"] == ["start host d0"]


def test_down_leaves_nothing(lab: dict[str, Any], before: dict[str, list[str]]) -> None:
    command("ansible", "-i", "inventory/lab", "all", "-m", "ansible.builtin.ping")
    assert list(Path("/run/railyard-lab", NAME, "cp").iterdir()), "connections stay open for the next command"
    roots = [(STATE / "hosts" / host / "root").stat() for host in ("p0", "d0", "r0")]
    assert play("lab_down", "--check")["changed"]
    assert play("lab_down")["changed"]
    assert remains() == before
    locks = [Path(f"/run/systemd/nspawn/locks/inode-{root.st_dev}:{root.st_ino}") for root in roots]
    assert [path for path in locks if path.exists()] == []
    assert play("lab_down")["changed"] is False
    done = command("ansible", "-i", "inventory/lab", "p0", "-m", "ansible.builtin.ping")
    assert "The lab is not up" in done.stdout + done.stderr
