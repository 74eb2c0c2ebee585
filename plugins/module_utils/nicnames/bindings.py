# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether NetworkManager has each named NIC with its own profile, where names and files are right: fast renames can make it lose some.

A NIC without a profile of its own that starts by itself, or that the host's configuration keeps from NetworkManager, is left alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, Iterable, List

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import ifcfg, ownprofile
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.look_profiles import SCRIPTS
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.manager import CONNECTED, Device, Manager, Runner
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic, Seen

#: Of a NIC without a link.
NO_LINK = "unavailable"
CONFIGURED = re.compile(r"^\s*(?:unmanaged-devices\s*=\s*\S|managed\s*=\s*(?:0|no|false|off)\b)", re.IGNORECASE | re.MULTILINE)
UDEV = re.compile(r"^E:NM_UNMANAGED=(?!0$|$)", re.MULTILINE)


@dataclass(frozen=True)
class Binding:
    """A NIC that is to have its own profile.

    :ivar path: the file of the profile.
    """

    name: str
    uuid: str
    path: str


@dataclass
class Bindings:
    """What NetworkManager has not as it is to be.

    :ivar heals: NICs whose profile is to be activated.
    :ivar faults: what a person has to mend.
    """

    heals: List[Binding] = field(default_factory=list)
    faults: List[str] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)


def own(seen: Seen, nic: Nic) -> List[Binding]:
    """Return the profiles of a NIC that start by themselves, the first one first."""
    files = seen.files
    uuids = {profile.path: profile.uuid for profile in seen.profiles if profile.path and profile.uuid}
    found = ownprofile.starting(files, ownprofile.bound(files, nic, nic.name))
    rows = [
        (-priority, Binding(nic.name, uuids[path], path)) for path, priority in found.items()
        if path in uuids and not (path.startswith(SCRIPTS) and (ifcfg.get(files[path], "NM_CONTROLLED") or "").lower() in ownprofile.NO)
    ]
    return [row for _priority, row in sorted(rows, key=lambda each: each[0])]


def configured(run: Runner, nic: Nic) -> bool:
    """Whether the host's configuration may keep a NIC from NetworkManager."""
    try:
        with open(f"/run/udev/data/n{nic.index}", encoding="utf-8", errors="replace") as stream:
            if UDEV.search(stream.read()):
                return True
    except OSError:
        # udev knows nothing of it.
        pass
    rc, out, _err = run(["NetworkManager", "--print-config"])
    return rc == 0 and bool(CONFIGURED.search(out))


def fitting(seen: Seen, nic: Nic) -> List[str]:
    """Return the UUIDs of profiles that may take a NIC by a pattern."""
    return [profile.uuid for profile in seen.profiles if profile.path in ownprofile.matching(seen.files, nic.name)]


def _one(seen: Seen, run: Runner, nic: Nic, device: Dict[str, Device], found: Bindings) -> None:
    rows = own(seen, nic)
    now, path = device.get(nic.name), rows[0].path
    if now is None:
        found.faults.append(
            f"NetworkManager does not know {nic.name}, whose profile is {path}. "
            "Fix: systemctl restart NetworkManager, which keeps addresses"
        )
    elif now.state.startswith("unmanaged"):
        if configured(run, nic):
            found.notes.append(f"NetworkManager does not manage {nic.name}, as the host's configuration says; {path} is not in use")
        else:
            advice = f"Fix: nmcli device set {nic.name} managed yes"
            found.faults.append(f"NetworkManager does not manage {nic.name}, whose profile is {path}. {advice}")
    elif now.state == NO_LINK:
        found.notes.append(f"{nic.name} has no link, so that its profile {path} is not active")
    elif now.state == CONNECTED and now.uuid in [*(row.uuid for row in rows), *fitting(seen, nic)]:
        return
    elif now.state == CONNECTED and now.uuid:
        found.faults.append(
            f"NetworkManager has {nic.name} connected with the profile {now.uuid}, and its own is {path} ({rows[0].uuid}). "
            f"Fix: nmcli connection up uuid {rows[0].uuid} ifname {nic.name}, or remove one of them"
        )
    elif not now.state.startswith("connecting"):
        found.heals.append(rows[0])


def look(seen: Seen, run: Runner, names: Iterable[str]) -> Bindings:
    """Return what NetworkManager has not as it is to be.

    :param names: of the NICs that have their names.
    :raises OSError: NetworkManager runs and does not answer.
    """
    found, wanted = Bindings(), set(names)
    rows = [(nic, own(seen, nic)) for nic in seen.nics if nic.name in wanted] if seen.manager else []
    # What the list of profiles shows is not asked once more: nmcli is what costs here.
    doubtful = [
        nic for nic, mine in rows
        if mine and seen.connected.get(nic.name) not in [*(row.uuid for row in mine), *fitting(seen, nic)]
    ]
    devices = Manager(run).devices(strict=True) if doubtful else {}
    for nic in doubtful:
        _one(seen, run, nic, devices, found)
    return found


def heal(run: Runner, rows: Iterable[Binding]) -> List[str]:
    """Activate profiles on their NICs; return what went wrong, a sentence with its fix each."""
    manager, faults = Manager(run), {}
    wanted = list(rows)
    for row in wanted:
        faults[row.name] = manager.activate(row.uuid, row.name)
    now = manager.devices(strict=True)
    return [
        f"NetworkManager does not activate {row.path} on {row.name} ({faults[row.name] or now.get(row.name, Device('unknown')).state}). "
        f"Fix: nmcli connection up uuid {row.uuid} ifname {row.name}, and see journalctl -u NetworkManager"
        for row in wanted if now.get(row.name) != Device(CONNECTED, row.uuid)
    ]
