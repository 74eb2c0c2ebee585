# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a host's interfaces must not be renamed: what is in the way, and what needs consent; and what the operator should know."""

from __future__ import annotations

import contextlib
import fnmatch
import ipaddress
import os
import re
from typing import Dict, Iterable, List, Mapping, Set

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import linkfile, management, ownprofile, record, references
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.identify import MAP
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.plan_files import Files
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.plan_names import Names, Port
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Plan, Seen, Wanted

IFNAME = re.compile(r"(?:^|\s)ifname=([^:\s]+):(\S+)")
#: Arguments of the kernel by which the root file system comes over the network: NFS, iSCSI, NBD, FCoE, NVMe over fabrics.
NETWORK_ROOT = re.compile(
    r"netroot=|nfsroot=|root=(?:/dev/nfs\b|(?:nfs4?|iscsi|nbd|fcoe|dhcp6?)\b)|rd\.(?:iscsi|nvmf|fcoe)\.|(?:rd\.)?iscsi_"
)
ADDRESS = re.compile(r"\[[0-9A-Fa-f:.]+\]|(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")
#: systemd of the releases whose NetworkManager migrates ifcfg files.
MIGRATES = 250
#: Directories and pipes among profiles and rules are read by nobody.
NO_FILES = ("EISDIR", "ENODEV", "ELOOP")


def taken(seen: Seen, names: Names) -> List[str]:
    """Return names that are given and that something else has."""
    moves = names.moves()
    moving = {nic.name for nic, _name in moves}
    found = []
    reserved = {str(entry["name"]): key for key, entry in names.resting.items()}
    for port in names.ports:
        name = port.after
        holder = [nic.name for nic in seen.nics if nic.name == name and name not in moving]
        others = [nic for nic in seen.nics if name in nic.altnames and nic.name not in moving]
        if holder and port.pair is None:
            found.append(
                f"{name} is the former name of the NIC {port.key} ({port.spoken}), and another device of this host has it now. "
                f"Fix: give {name} another name first (network_interfaces, with network_state: present), then go back"
            )
        elif holder:
            found.append(f"{name} is the name of another device of this host. Fix: choose another name, or rename that one, too")
        elif name in reserved:
            found.append(f"{name} is by the record the name of the NIC {reserved[name]}. Fix: choose another name; {MAP} frees names")
        found += [
            f"{name} is an alternative name of {nic.name}. Fix: take it away (ip link property del dev {nic.name} altname {name}), "
            "or choose another name"
            for nic in others
        ]
    after = [port.after for port in names.ports]
    twice = [name for name in dict.fromkeys(after) if after.count(name) > 1]
    return found + [f"{name} would be the name of {after.count(name)} NICs. Fix: choose another name for one of them" for name in twice]


def readable(seen: Seen) -> List[str]:
    """Return the files that would have to be looked at and cannot be read."""
    known = [*references.PATTERNS, *map(os.path.dirname, references.PATTERNS), record.PATH]
    failed = [path for path, error in seen.errors.items() if error not in NO_FILES]
    closed = [path for path in failed if any(fnmatch.fnmatchcase(path, pattern) for pattern in known)]
    return [f"{path} cannot be read ({seen.errors[path]}). Fix: become: true (sglang_become)" for path in closed]


def _left_out(seen: Seen, port: Port, files: Files) -> List[str]:
    """Return the profiles that a NIC has by a pattern of its name of today, and that would not take it under the new one: a fault each."""
    active = [profile.path for profile in seen.profiles if profile.device == port.nic.name]
    if ownprofile.starting(files.now, ownprofile.bound(files.now, port.nic, port.after)):
        return []
    found = []
    for before in ownprofile.matching(seen.files, port.nic.name):
        path = next((path for path in files.now if files.origin(path) == before), "")
        if path and (before in active or not active) and not ownprofile.fits(path, files.now[path], port.after):
            found.append(
                f"{before} takes {port.nic.name} by a pattern of names that does not fit {port.after}, which would be without it from the "
                f"next boot on. Fix: let its match.interface-name fit {port.after}, too, or bind a profile by name or MAC address"
            )
    return found


def profiles(seen: Seen, names: Names, files: Files) -> List[str]:
    """Return the NICs of which it is not clear which profile they get under their new name, and those that would get none."""
    found = []
    for port in names.ports:
        found += _left_out(seen, port, files) if port.here and port.after != port.nic.name else []
        paths = ownprofile.rivals(files.now, ownprofile.bound(files.now, port.nic, port.after))
        if paths and port.here and port.after != port.nic.name:
            found.append(
                f"{port.nic.name} would have several profiles that start by themselves as {port.after}: {', '.join(paths)}. "
                "Fix: remove all but one, or set connection.autoconnect: no in the others"
            )
    return found


def consent(seen: Seen, wanted: Wanted, plan: Plan, touched: Set[str]) -> List[str]:
    """Return what may only be done with consent.

    :param touched: devices that get another name or setting.
    """
    found = []
    carriers = sorted(nic.name for nic in seen.nics if nic.management and nic.name in touched)
    if carriers and not wanted.allow_management:
        found.append(
            f"{', '.join(carriers)} carries the connection of the controller to this host. Fix: network_allow_management: true to consent, "
            "or leave it out"
        )
    reached = management.above(seen.nics, sorted(touched))
    used = reached if wanted.carries is None else reached & set(wanted.carries)
    live = bool(plan.renames or plan.mtus or plan.rdma)
    if live and seen.serving and used and not wanted.allow_disruption:
        found.append(
            f"{', '.join(seen.serving)} runs and uses {', '.join(sorted(used))}. "
            "Fix: network_drain: true stops it before and starts it after; or stop it first"
        )
    return found


def network_root(seen: Seen, wanted: Wanted, renamed: Set[str]) -> List[str]:
    """Return why interfaces must not be renamed while the host runs: its root file system is reached by one, and would be cut off.

    Which one that is tell the addresses of the server and of the interfaces; where these do not, the routes of the host do.

    :param renamed: devices that get another name now.
    """
    arguments = [word for word in seen.kernel_arguments.split() if NETWORK_ROOT.match(word)]
    if wanted.at_boot or not (arguments or seen.root_mount):
        return []
    servers = []
    for text in ADDRESS.findall(" ".join([*arguments, seen.root_mount])):
        with contextlib.suppress(ValueError):
            servers.append(ipaddress.ip_address(text.strip("[]")))
    near = [
        nic.name for nic in seen.nics
        if any(server in ipaddress.ip_interface(address).network for server in servers for address in nic.addresses)
    ]
    carriers = near or [nic.name for nic in seen.nics if nic.management] or [nic.name for nic in seen.nics if nic.up and nic.addresses]
    used = management.beneath(seen.nics, carriers) & renamed
    if not used:
        return []
    return [
        f"the root file system comes over {', '.join(sorted(used))} ({' '.join(arguments) or seen.root_mount.split()[0]}), which may have "
        "to be switched off for it. Fix: leave it out, or network_apply: boot with an initramfs that is built after it"
    ]


def _of_files(seen: Seen, changed: Iterable[str]) -> List[str]:
    bases: Dict[str, str] = {os.path.basename(path): path for path in seen.files}
    found = []
    if "82-net-setup-link.rules" in bases:
        found.append(f"{bases['82-net-setup-link.rules']}: DOCA-OFED names network devices by rules of its own; see what a boot does")
    pinned = [path for base, path in sorted(bases.items()) if base.startswith("98-nmstate") and base.endswith(".link")]
    if pinned:
        found.append(f"{', '.join(pinned)}: nmstate pins names; its files are applied after this collection's, and may go")
    if seen.systemd >= MIGRATES and any(path.startswith("/etc/sysconfig/network-scripts/ifcfg-") for path in changed):
        found.append("profiles in ifcfg files are rewritten as they are. Fix: nmcli connection migrate makes keyfiles of them, which stay")
    return found


def notes(seen: Seen, names: Mapping[str, str], changed: Iterable[str]) -> List[str]:
    """Return what the operator should know.

    :param names: old names to new ones.
    :param changed: paths of files that change.
    """
    found = _of_files(seen, changed)
    words = seen.kernel_arguments.split()
    if "biosdevname=1" in words:
        found.append("the kernel command line has biosdevname=1: that names NICs before .link files do. Fix: take it out")
    if "net.ifnames=0" in words:
        found.append("the kernel command line has net.ifnames=0: the names given here last all the same, others are those of the kernel")
    for name, address in IFNAME.findall(seen.kernel_arguments):
        if name in names or name in names.values() or any(address.lower() == nic.permanent_mac for nic in seen.nics):
            found.append(f"the kernel command line names {address} {name} (ifname=) in the initramfs. Fix: change it, or take it out")
    own = [path for path, content in seen.files.items() if path.endswith(".link") and linkfile.own(content)]
    if own and not seen.record:
        found.append(f"{', '.join(own)}: written by an earlier run whose record is gone. The names of today count as the former ones")
    return found
