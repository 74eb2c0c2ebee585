# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of files: those of a host's root, those of the ssh client, and the script that keeps a host running."""

from __future__ import annotations

import re
import shlex
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Mapping, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.lab.layout import CONTROLLER
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import HostRecord, Paths, Record

#: Interfaces of a host, by the two networks.
MANAGEMENT_INTERFACE, FABRIC_INTERFACE = "mgmt0", "fab0"


def interface_mac(address: str) -> str:
    """Return a locally administered hardware address made of an IPv4 address, so that it is the same each time."""
    return "02:00:" + ":".join(f"{byte:02x}" for byte in IPv4Address(address).packed)


def connection_profile(interface: str, address: str, network: str, mtu: int = 0, uuid: str = "") -> str:
    """Return a NetworkManager keyfile: a fixed address, and no route beyond the network.

    Args:
        interface: name of the interface.
        address: its IPv4 address.
        network: that address's network.
        mtu: its MTU where that is not the usual one. Such an interface carries RDMA, and its link-local address is then made
            of its hardware address, as the kernel does for the RDMA device's first GID: they are one.
        uuid: identifies it; without one NetworkManager takes what it makes of the file's name.
    """
    identity = f"uuid={uuid}\n" if uuid else ""
    fabric = f"addr-gen-mode=eui64\n\n[ethernet]\nmtu={mtu}\n" if mtu else ""
    return (
        f"[connection]\nid={interface}\n{identity}type=ethernet\ninterface-name={interface}\n\n"
        f"[ipv4]\nmethod=manual\naddress1={address}/{IPv4Network(network).prefixlen}\nnever-default=true\n\n"
        f"[ipv6]\nmethod=link-local\n{fabric}"
    )


def hosts_file(record: Record, host: HostRecord) -> str:
    """Return /etc/hosts with all hosts of the lab by their management and fabric names."""
    controller = IPv4Network(record.management_network)[CONTROLLER]
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost", f"{controller} controller"]
    for each in record.hosts:
        lines += [f"{each.management_address} {each.name}", f"{each.fabric_address} {each.name}-fabric"]
    return f"# Hosts of the lab '{record.name}', as {host.name} sees them.\n" + "\n".join(lines) + "\n"


def root_files(record: Record, host: HostRecord, public_key: str, host_key: str) -> dict[str, tuple[str, int]]:
    """Return the files that make a copy of the image this host: path below its root, text and mode."""
    profiles = "etc/NetworkManager/system-connections"
    management = connection_profile(MANAGEMENT_INTERFACE, host.management_address, record.management_network)
    fabric = connection_profile(FABRIC_INTERFACE, host.fabric_address, record.fabric_network)
    return {
        "etc/hostname": (f"{host.name}\n", 0o644),
        "etc/hosts": (hosts_file(record, host), 0o644),
        f"{profiles}/{MANAGEMENT_INTERFACE}.nmconnection": (management, 0o600),
        f"{profiles}/{FABRIC_INTERFACE}.nmconnection": (fabric, 0o600),
        "root/.ssh/authorized_keys": (public_key, 0o600),
        "etc/ssh/ssh_host_ed25519_key": (host_key, 0o600),
    }


def ssh_config(paths: Paths, record: Record) -> str:
    """Return the ssh client's settings: the lab's own key and its own known hosts, nothing of the user's."""
    lines = [
        f"# Hosts of the lab '{record.name}'; used inside its network namespace {paths.switch_namespace}.",
        *(f"Host {host.name}\n  HostName {host.management_address}" for host in record.hosts),
        "Host *",
        "  User root",
        f'  IdentityFile "{paths.state}/key"',
        "  IdentitiesOnly yes",
        f'  UserKnownHostsFile "{paths.state}/known_hosts"',
        "  GlobalKnownHostsFile /dev/null",
        "  StrictHostKeyChecking yes",
        "  PasswordAuthentication no",
        "  ConnectTimeout 10",
    ]
    return "\n".join(lines) + "\n"


def known_hosts(record: Record, host_keys: Mapping[str, str]) -> str:
    """Return the known hosts: each host's name and both addresses with its public key."""
    lines = []
    for host in record.hosts:
        kind, key = host_keys[host.name].split()[:2]
        lines.append(f"{host.name},{host.management_address},{host.fabric_address} {kind} {key}")
    return "\n".join(lines) + "\n"


def nspawn_command(paths: Paths, host: HostRecord) -> list[str]:
    """Return the command that boots a host from its root, in its network namespace.

    The host's interfaces are in that namespace before and after: they outlive the host's reboot.
    """
    machine = paths.host_namespace(host.name)
    command = [
        "systemd-nspawn",
        "--quiet",
        "--boot",
        f"--directory={paths.host(host.name)}/root",
        f"--machine={machine}",
    ]
    command += [f"--hostname={host.name}", f"--network-namespace-path=/run/netns/{machine}"]
    # Without a machine manager; in the control group that it is started in.
    command += ["--register=no", "--keep-unit", "--settings=no", "--capability=all"]
    command += ["--link-journal=no", "--resolv-conf=off", "--timezone=off"]
    for bind in host.binds:
        source, destination = (text.replace("\\", "\\\\").replace(":", "\\:") for text in (bind.src, bind.dst))
        command.append(f"--bind{'-ro' if bind.read_only else ''}={source}:{destination}")
    return command


_KEEPER = """#!/bin/sh
# Keeps @HOST@ of the lab '@LAB@' running; started and ended by the module nspawn_lab.
# systemd-nspawn ends with status 133 when the host reboots, and is then started again, as a service manager would do.
# Every other end is the host's end.
set -u
cd /
record() { # file, process id: that and its start time
  stat=$(cat "/proc/$2/stat") || return
  # The fields after the command name in its brackets; the start time is the 20th of them.
  set -- "$1" "$2" ${stat##*) }
  printf '%s %s\\n' "$2" "${22}" > "$1.new" && mv "$1.new" "$1"
}
groups=@GROUPS@
if [ -z "$groups" ]; then # in a scope of systemd's, which has its own control groups
  while IFS=: read -r _ controllers path; do
    case $controllers in @CASES@ esac
  done < /proc/self/cgroup
fi
# A group of the unified hierarchy that has processes cannot pass its controllers on: they are in groups below it.
for group in $groups; do
  mkdir -p "$group/keeper" && echo $$ > "$group/keeper/cgroup.procs"
  [ -f "$group/cgroup.controllers" ] || continue
  for controller in $(cat "$group/cgroup.controllers"); do echo "+$controller" > "$group/cgroup.subtree_control"; done
done
record @DIRECTORY@/keeper.pid $$
# /tmp on the disk as in the field, and settings of the network writable as in any host.
export SYSTEMD_NSPAWN_TMPFS_TMP=0 SYSTEMD_NSPAWN_API_VFS_WRITABLE=network
export groups boot=0
while :; do
  boot=$((boot + 1))
  sh -c 'for group in $groups; do
    mkdir "$group/boot-$boot" && echo $$ > "$group/boot-$boot/cgroup.procs"
  done; exec "$@"' sh @COMMAND@ &
  record @DIRECTORY@/nspawn.pid $!
  wait $!
  status=$?
  echo "systemd-nspawn ended with status $status"
  [ $status -eq 133 ] || exit 0
  for group in $groups; do find "$group/boot-$boot" -depth -type d -exec rmdir {} ';'; done
done
"""


def keeper_script(paths: Paths, host: HostRecord, groups: Sequence[Path], hierarchies: Mapping[str, Path]) -> str:
    """Return the script that keeps a host running.

    Args:
        paths: the lab's places.
        host: the host.
        groups: the control groups to run it in; empty where systemd makes them.
        hierarchies: where the control group hierarchies are mounted.
    """
    cases = " ".join(f"'{key}') groups=\"$groups {mount}$path\" ;;" for key, mount in sorted(hierarchies.items()))
    values = {
        "HOST": host.name,
        "LAB": paths.name,
        "GROUPS": shlex.quote(" ".join(str(group) for group in groups)),
        "CASES": cases,
        "DIRECTORY": shlex.quote(str(paths.host(host.name))),
        "COMMAND": " ".join(shlex.quote(word) for word in nspawn_command(paths, host)),
    }
    text = _KEEPER
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def console_tail(text: str, lines: int = 15) -> str:
    """Return the last lines of a console without its control sequences."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")
    return "\n".join([line.rstrip() for line in plain.splitlines() if line.strip()][-lines:])
