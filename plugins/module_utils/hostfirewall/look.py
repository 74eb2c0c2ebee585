# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at a host: everything that the planner asks, and nothing that changes it. Few programs are started, since that is what costs."""

from __future__ import annotations

import glob
import json
import os
import socket
from typing import Any, Callable, Dict, List, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.sockets import listening_sockets
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import netlink
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall import connection, firewalld, nft
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.wanted import FIREWALLD, Host, Profile, Runtime, Seen, Wanted
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import ifcfg, keyfile
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.look_profiles import FIELDS, SCRIPTS, shown_profiles

#: Runs a command: exit status, output, errors; a program that is not there gives 127.
Runner = Callable[[List[str]], Tuple[int, str, str]]
STATE = "/var/lib/railyard.sglang/firewall"
RECORD, PENDING = f"{STATE}/record.json", f"{STATE}/pending"
VERSION = 1
STORED = "/etc/NetworkManager/system-connections/"
PATTERNS = (f"{firewalld.ZONES}/*.xml", f"{firewalld.IPSETS}/railyard-*.xml", nft.PATH, nft.UNIT_PATH)


class LookError(Exception):
    """A host cannot be looked at; the text says why, and what to do."""


def read(base: str, path: str) -> Optional[bytes]:
    """Return a file's content, None where there is none."""
    try:
        with open(base + path, "rb") as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def record(base: str) -> Dict[str, Any]:
    """Return what earlier runs have left to be remembered, empty where there were none.

    :raises LookError: the file is no such record.
    """
    content = read(base, RECORD)
    if content is None:
        return {}
    try:
        found = json.loads(content)
        if found["version"] != VERSION:
            raise ValueError(f"version {found['version']}")
    except (ValueError, KeyError, TypeError) as error:
        raise LookError(f"{RECORD} does not say what was before ({error}). Nothing was changed. Fix: restore it, or remove it") from error
    return dict(found)


def _zone(path: str, content: bytes) -> Optional[str]:
    text = ifcfg.get(content, "ZONE") if path.startswith(SCRIPTS) else keyfile.get(content, "connection", "zone")
    return text or None


def profiles(base: str, run: Runner) -> Tuple[Profile, ...]:
    """Return the profiles that are active on an interface; none where no NetworkManager runs.

    One that NetworkManager has made up for an interface that others have set up is none: it leaves the zone of such an interface alone.
    """
    rc, out, _err = run(["nmcli", "-t", "-f", ",".join(FIELDS), "connection", "show"])
    found = []
    for row in shown_profiles(out) if rc == 0 else []:
        if row.device and row.device != "lo":
            content = read(base, row.path) if row.path else None
            if content is not None and keyfile.get(content, ".nmmeta", "external") == "true":
                continue
            stored = row.path.startswith((STORED, SCRIPTS)) and content is not None
            zone = _zone(row.path, content) if content is not None else None
            found.append(Profile(row.uuid, row.device, row.id, row.path if stored else "", content or b"", zone))
    return tuple(found)


def runtime(run: Runner, stored: bool = False) -> Optional[Dict[str, Runtime]]:
    """Return the zones of the firewalld that runs, None where none does.

    :param stored: as its files have them.
    """
    rc, out, _err = run(["firewall-cmd", *(["--permanent"] if stored else []), "--list-all-zones"])
    return firewalld.listed(out) if rc == 0 else None


def ruleset(run: Runner) -> Optional[List[Any]]:
    """Return the rules that the kernel has, None where they cannot be listed."""
    rc, out, _err = run(["nft", "-j", "list", "ruleset"])
    try:
        return nft.ruleset(out) if rc == 0 else None
    except ValueError:
        return None


def listening() -> Tuple[Tuple[str, int], ...]:
    """Return address and port of the TCP sockets of this machine that listen."""
    texts = (read("", f"/proc/net/{table}") or b"" for table in ("tcp", "tcp6"))
    return tuple(sorted({row for text in texts for row in listening_sockets(text.decode("ascii", "replace")).values()}))


def host() -> Host:
    """Return the interfaces of this machine, and who asks."""
    rows = netlink.addresses()
    parents = glob.glob("/sys/class/infiniband/*/parent")
    return Host(
        addresses={address.partition("/")[0]: name for name, found in rows.items() for address in found},
        interfaces=tuple(sorted(name for _index, name in socket.if_nameindex())),
        connection=connection.find(),
        soft_roce=tuple(sorted(path.split("/")[-2] for path in parents)),
        listening=listening(),
    )


def look(base: str, run: Runner, wanted: Wanted, machine: Host) -> Seen:
    """Return a host as it is.

    :param base: where its files are, empty for the root.
    :param machine: its interfaces.
    :raises LookError: the record cannot be read.
    """
    paths = [path[len(base) :] for pattern in PATTERNS for path in glob.glob(glob.escape(base) + pattern)]
    files = {path: content for path in sorted(paths) for content in [read(base, path)] if content is not None}
    firewall = wanted.provider == FIREWALLD
    ours = nft.PATH in files
    return Seen(
        host=machine,
        files=files,
        linked=os.path.islink(base + nft.LINK),
        profiles=profiles(base, run) if firewall or any(firewalld.own(content) for content in files.values()) else (),
        runtime=runtime(run) if firewall or any(path in files for path in firewalld.OWN_ZONES.values()) else None,
        default_zone=firewalld.default_zone(read(base, firewalld.CONFIGURATION)),
        ruleset=ruleset(run) if not firewall or ours else None,
        record=record(base),
        pending=os.path.isdir(base + PENDING),
    )
