# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host as it is once its open transaction is undone: what a run plans from that undoes it first, and check mode as well."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Mapping, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import record
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.journal import Journal, Port
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.look_profiles import file_profile, is_profile
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic, Profile, Seen, Wanted


def _ports(seen: Seen, opened: Journal, same_boot: bool) -> Dict[str, Port]:
    """Return name now to the port of the transaction."""
    found = {}
    for port in opened.ports:
        having = [nic for nic in seen.nics if same_boot and nic.index == port.index]
        having = having or [nic for nic in seen.nics if port.mac and nic.permanent_mac == port.mac and not nic.kind]
        having = having or [nic for nic in seen.nics if not port.mac and port.pci and nic.pci == port.pci and not nic.kind]
        if len(having) == 1:
            found[having[0].name] = port
    return found


def _nic(nic: Nic, ports: Mapping[str, Port], rdma: Mapping[str, str]) -> Nic:
    back = {here: port.before for here, port in ports.items()}
    port = ports.get(nic.name)
    return replace(
        nic,
        name=back.get(nic.name, nic.name),
        mtu=port.mtu if port is not None and port.mtu is not None else nic.mtu,
        altnames=port.altnames if port is not None else nic.altnames,
        master=back.get(nic.master, nic.master),
        lower=tuple(back.get(name, name) for name in nic.lower),
        rdma=tuple(rdma.get(name, name) for name in nic.rdma),
    )


def _profiles(seen: Seen, files: Mapping[str, bytes], back: Mapping[str, str]) -> Tuple[Profile, ...]:
    """Return the profiles by their former files; NetworkManager keeps active ones on their devices."""
    stored = {path: file_profile(path, content) for path, content in files.items() if is_profile(path)}
    by_uuid = {profile.uuid: profile for profile in stored.values() if profile.uuid}
    found = []
    for row in seen.profiles:
        device = back.get(row.device, row.device)
        own = by_uuid.get(row.uuid) or stored.get(row.path)
        if own is not None:
            stored.pop(own.path, None)
            found.append(replace(own, uuid=row.uuid or own.uuid, device=device))
        elif not row.path or (row.path in seen.files and row.path in files):
            found.append(replace(row, device=device))
    return tuple(found) + tuple(row for row in stored.values() if row.type or row.uuid or row.interface_name)


def wanted_of(wanted: Wanted, seen: Seen, opened: Journal, same_boot: bool) -> Wanted:
    """Return what is wanted, with the interfaces as they are called after the undo."""
    back = {here: port.before for here, port in _ports(seen, opened, same_boot).items()}
    carries = None if wanted.carries is None else tuple(back.get(name, name) for name in wanted.carries)
    return replace(wanted, rails={rail: back.get(name, name) for rail, name in wanted.rails.items()}, carries=carries)


def seen_of(seen: Seen, opened: Journal, same_boot: bool) -> Seen:
    """Return a host as it is after the undo of a transaction.

    :param same_boot: whether the transaction began since the host was started.
    :raises record.RecordError: the former record cannot be read.
    """
    ports = _ports(seen, opened, same_boot)
    kept = {path: content for path, content in seen.files.items() if path not in opened.files}
    files = {**kept, **{path: image.content for path, image in opened.files.items() if image.content is not None}}
    modes = {**seen.modes, **{path: image.mode for path, image in opened.files.items() if image.content is not None}}
    known = opened.files.get(record.PATH)
    before, after = opened.rdma_names("before"), opened.rdma_names("after")
    rdma = {after[guid]: before[guid] for guid in before}
    return replace(
        seen,
        nics=tuple(_nic(nic, ports, rdma) for nic in seen.nics),
        profiles=_profiles(seen, files, {here: port.before for here, port in ports.items()}),
        files=files,
        modes={path: mode for path, mode in modes.items() if path in files},
        record=seen.record if known is None else record.load(known.content),
        soft=tuple(rdma.get(name, name) for name in seen.soft),
    )
