# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.lab import hostfiles
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import Bind, HostRecord, Paths, Record

P0 = HostRecord(
    "p0",
    "prefill",
    "198.51.100.10",
    "203.0.113.10",
    900,
    (Bind("/c/wheels", "/srv/wheels"), Bind("/c/a:b", "/s", False)),
)
R0 = HostRecord("r0", "router", "198.51.100.210", "203.0.113.210")
RECORD = Record("lab", "0a1b2c3d", "boot", "abc", 0, "198.51.100.0/24", "203.0.113.0/24", (P0, R0))
PATHS = Paths(Path("/c"), "lab")
HIERARCHIES = {"": Path("/sys/fs/cgroup/unified"), "name=systemd": Path("/sys/fs/cgroup/systemd")}


def test_hosts_know_each_other_and_nobody_else() -> None:
    text = hostfiles.hosts_file(RECORD, P0)
    assert text.splitlines()[1:] == [
        "127.0.0.1 localhost",
        "::1 localhost ip6-localhost",
        "198.51.100.1 controller",
        "198.51.100.10 p0",
        "203.0.113.10 p0-fabric",
        "198.51.100.210 r0",
        "203.0.113.210 r0-fabric",
    ]


def test_profiles_have_an_address_and_no_way_out() -> None:
    files = hostfiles.root_files(RECORD, P0, "ssh-ed25519 AAA operator\n", "PRIVATE\n")
    for interface, address in (("mgmt0", "198.51.100.10/24"), ("fab0", "203.0.113.10/24")):
        text, mode = files[f"etc/NetworkManager/system-connections/{interface}.nmconnection"]
        assert mode == 0o600
        assert f"interface-name={interface}\n" in text
        assert f"address1={address}\n" in text
        assert "never-default=true\n" in text
        assert "gateway" not in text
    assert files["etc/ssh/ssh_host_ed25519_key"] == ("PRIVATE\n", 0o600)
    assert files["etc/hostname"] == ("p0\n", 0o644)


def test_ssh_trusts_the_labs_keys_only() -> None:
    text = hostfiles.ssh_config(PATHS, RECORD)
    assert "StrictHostKeyChecking yes" in text
    assert 'UserKnownHostsFile "/c/lab/lab/known_hosts"' in text
    assert "Host p0\n  HostName 198.51.100.10\n" in text
    keys = {"p0": "ssh-ed25519 AAAp p0\n", "r0": "ssh-ed25519 AAAr r0\n"}
    assert hostfiles.known_hosts(RECORD, keys).splitlines() == [
        "p0,198.51.100.10,203.0.113.10 ssh-ed25519 AAAp",
        "r0,198.51.100.210,203.0.113.210 ssh-ed25519 AAAr",
    ]


def test_binds_are_read_only_unless_asked() -> None:
    command = hostfiles.nspawn_command(PATHS, P0)
    assert "--bind-ro=/c/wheels:/srv/wheels" in command
    assert "--bind=/c/a\\:b:/s" in command
    assert "--network-namespace-path=/run/netns/railyard-lab-p0" in command


def test_hardware_addresses_are_local_and_unique() -> None:
    addresses = {hostfiles.interface_mac(each) for host in RECORD.hosts for each in (host.management_address, host.fabric_address)}
    assert len(addresses) == 4
    assert hostfiles.interface_mac("198.51.100.10") == "02:00:c6:33:64:0a"


@pytest.mark.parametrize("groups", [[], [Path("/sys/fs/cgroup/systemd/railyard-lab/lab/p0")]])
def test_keeper_is_a_script_with_nothing_left_to_fill_in(groups: list[Path], tmp_path: Path) -> None:
    script = tmp_path / "keep.sh"
    script.write_text(hostfiles.keeper_script(PATHS, P0, groups, HIERARCHIES))
    checked = subprocess.run(["sh", "-n", str(script)], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    for placeholder in ("HOST", "LAB", "GROUPS", "CASES", "DIRECTORY", "COMMAND"):
        assert f"@{placeholder}@" not in script.read_text()


def keeper_with(nspawn: str, tmp_path: Path) -> Path:
    """Return a keeper of a host in tmp_path that runs another program instead of systemd-nspawn."""
    paths = Paths(tmp_path, "lab")
    paths.host("p0").mkdir(parents=True)
    program = tmp_path / "nspawn"
    program.write_text(f"#!/bin/sh\n{nspawn}\n")
    program.chmod(0o755)
    group = tmp_path / "group"
    text = hostfiles.keeper_script(paths, P0, [group], HIERARCHIES).replace(" systemd-nspawn --quiet", f" {program} --quiet")
    script = tmp_path / "keep.sh"
    script.write_text(text)
    script.chmod(0o755)
    return script


def test_keeper_starts_again_after_a_reboot_and_ends_with_the_host(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    script = keeper_with(f'echo x >> {counter}; [ "$(wc -l < {counter})" -ge 3 ] || exit 133; exit 0', tmp_path)
    done = subprocess.run([str(script)], capture_output=True, text=True, check=False, timeout=20)
    assert counter.read_text().split() == ["x", "x", "x"]
    assert [line for line in done.stdout.splitlines() if "ended" in line] == [
        "systemd-nspawn ended with status 133",
        "systemd-nspawn ended with status 133",
        "systemd-nspawn ended with status 0",
    ]


def test_keeper_records_itself_and_its_child(tmp_path: Path) -> None:
    script = keeper_with("sleep 0.2; exit 1", tmp_path)
    subprocess.run([str(script)], capture_output=True, check=False, timeout=20)
    directory = Paths(tmp_path, "lab").host("p0")
    for name in ("keeper.pid", "nspawn.pid"):
        pid, start = (directory / name).read_text().split()
        assert int(pid) > 1
        assert int(start) > 1


def test_console_tail_is_plain_text() -> None:
    text = "one\r\n\n\x1b[0;32m  OK  \x1b[0m] two\x1b[K\nthree\n"
    assert hostfiles.console_tail(text, 2) == "  OK  ] two\nthree"
