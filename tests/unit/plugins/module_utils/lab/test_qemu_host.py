# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import configparser
from dataclasses import replace
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.lab.qemu_files import mounts, own_archive, own_files, soft_roce
from ansible_collections.railyard.sglang.plugins.module_utils.lab.qemu_network import (
    BRIDGES,
    host_is_whole,
    network_batch,
    ports,
    switch_is_whole,
)
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import Bind, HostRecord, Paths, Record
from ansible_collections.railyard.sglang.plugins.module_utils.lab.survey import Survey

P0 = HostRecord("p0", "prefill", "198.51.100.10", "198.18.8.10", 768, (Bind("/c/w", "/srv/w"), Bind("/c/s", "/opt/s", read_only=False)))
D0 = HostRecord("d0", "decode", "198.51.100.110", "198.18.8.110", 768)
R0 = HostRecord("r0", "router", "198.51.100.210", "198.18.8.210", 768)
RECORD = Record("lab", "0011aabb", "boot", "image", 0, "198.51.100.0/24", "198.18.8.0/21", (P0, D0, R0), backend="qemu")
PROFILES = "etc/NetworkManager/system-connections"


def profiles(host: HostRecord) -> dict[str, configparser.ConfigParser]:
    found = {}
    for path, (text, mode) in own_files(RECORD, host, "", "").items():
        if path.startswith(PROFILES):
            assert mode == 0o600, path
            found[Path(path).stem] = configparser.ConfigParser()
            found[Path(path).stem].read_string(text)
    return found


@pytest.mark.parametrize(("host", "last"), [(P0, 10), (D0, 110)])
def test_each_interface_has_its_profile(host: HostRecord, last: int) -> None:
    found = profiles(host)
    assert len(found) == 9
    assert all(profile["connection"]["interface-name"] == name for name, profile in found.items())
    management = found.pop("enp0s3")
    assert management["ipv4"]["address1"] == f"{host.management_address}/24"
    assert "ethernet" not in management
    addresses = [IPv4Interface(profile["ipv4"]["address1"]) for profile in found.values()]
    assert [str(each) for each in sorted(addresses)] == [f"198.18.{8 + rail}.{last}/24" for rail in range(8)]
    assert {profile["ethernet"]["mtu"] for profile in found.values()} == {"4200"}
    # Else a second link-local address would take the place of the IPv4 one in the GID table.
    assert {profile["ipv6"]["addr-gen-mode"] for profile in found.values()} == {"eui64"}


def test_devices_are_told_by_hardware_address() -> None:
    lines = soft_roce(P0, RECORD.fabric_network).splitlines()
    assert lines[0] == "mlx5_0 02:00:c6:12:08:0a"
    assert lines[7] == "mlx5_7 02:00:c6:12:0f:0a"
    assert len(lines) == 8
    assert soft_roce(R0, RECORD.fabric_network) == ""
    assert "etc/railyard-lab/rxe.conf" not in own_files(RECORD, R0, "", "")


def test_names_on_all_rails_are_known() -> None:
    text = own_files(RECORD, P0, "", "")["etc/hosts"][0].splitlines()
    for line in ("198.51.100.110 d0", "198.18.8.110 d0-fabric", "198.18.8.110 d0-rail0", "198.18.15.110 d0-rail7", "198.18.8.210 r0-rail0"):
        assert line in text


def test_directories_are_mounted_on_use() -> None:
    disk, first, second = mounts(P0.binds).splitlines()
    assert disk.split()[:3] == ["/dev/vda", "/", "ext4"]
    assert first.split()[:3] == ["share0", "/srv/w", "9p"]
    assert {"ro", "noauto", "x-systemd.automount"} <= set(first.split()[3].split(","))
    assert "rw" in second.split()[3].split(",")


def test_own_archive_has_keys_that_only_root_reads() -> None:
    data = own_archive(RECORD, P0, "ssh-ed25519 public\n", "private key\n")
    for name, mode in (
        ("seed/root/.ssh/authorized_keys", 0o100600),
        ("seed/etc/ssh/ssh_host_ed25519_key", 0o100600),
        ("seed/root", 0o40700),
    ):
        at = data.index(name.encode() + b"\0") - 110
        assert int(data[at + 14 : at + 22], 16) == mode
    assert b"private key\n" in data


# --- network


NOTHING = Survey(frozenset(), frozenset(), frozenset(), frozenset())


def test_new_network() -> None:
    lines = network_batch(RECORD, [P0, R0], False, frozenset())
    for line in (
        "link add mgmt type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
        "link add rail7 mtu 9000 type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
        "address add 198.51.100.1/24 dev mgmt",
        "tuntap add dev 7-p0 mode tap vnet_hdr",
        "link set 7-p0 mtu 9000 master rail7 up",
        "link set m-p0 master mgmt up",
        "link set 0-r0 mtu 9000 master rail0 up",
    ):
        assert line in lines
    assert [line for line in lines if line.startswith("address")] == ["address add 198.51.100.1/24 dev mgmt"], (
        "the controller is on no rail"
    )
    assert [line for line in lines if "1-r0" in line] == []


def test_ports_of_a_dead_host_are_kept() -> None:
    there = frozenset({*BRIDGES, *ports(P0), *ports(D0)} - {"3-p0"})
    lines = network_batch(RECORD, [P0], True, there)
    assert [line for line in lines if "add" in line] == ["tuntap add dev 3-p0 mode tap vnet_hdr"]
    assert [line for line in lines if "-d0" in line] == []


def test_what_is_whole() -> None:
    paths = Paths(Path("/c"), "lab")
    up = Survey(frozenset({"railyard-lab"}), frozenset({*BRIDGES, *ports(P0), *ports(D0)}), frozenset(), frozenset({"p0", "r0"}))
    assert switch_is_whole(paths, up)
    assert [host_is_whole(up, host) for host in (P0, D0, R0)] == [True, False, False]
    assert not switch_is_whole(paths, NOTHING)
    assert not switch_is_whole(paths, replace(up, links=up.links - {"rail7"}))
