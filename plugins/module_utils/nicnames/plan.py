# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole plan for a host: from what is there and what is wanted to what would be done, pure of any effect."""

from __future__ import annotations

import ipaddress
from typing import Dict, List, Optional, Set, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import (
    identify,
    linkfile,
    plan_back,
    plan_checks,
    plan_links,
    plan_names,
    plan_settings,
    record,
)
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.plan_files import Files
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.plan_names import Names, Port
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.record import Entry
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import FileChange, Plan, Record, Rename, Row, Seen, Wanted


def networks(addresses: Tuple[str, ...]) -> Tuple[str, ...]:
    """Return the networks of some addresses, without those of the link."""
    found: Dict[str, None] = {}
    for address in addresses:
        try:
            interface = ipaddress.ip_interface(address)
        except ValueError:
            continue
        if not interface.is_link_local:
            found[str(interface.network)] = None
    return tuple(found)


def _row(seen: Seen, port: Port) -> Row:
    """Return the row of a port; the addresses of a bond's port are those of the bond."""
    nic = port.nic
    wearer = next((other for other in seen.nics if nic.master and other.name == nic.master), nic)
    mtu: Optional[int] = port.pair.wanted.mtu if port.pair else (port.entry or {}).get("mtu")
    rdma = (port.pair.wanted.rdma if port.pair else str((port.entry or {}).get("rdma", ""))) or (nic.rdma[0] if nic.rdma else "")
    rail = port.pair.wanted.rail if port.pair and port.pair.wanted.rail is not None else (port.entry or {}).get("rail")
    return Row(
        before=nic.name,
        after=port.after,
        pci=nic.pci,
        mac=nic.permanent_mac or nic.mac,
        rail=rail,
        networks=networks(nic.addresses or wearer.addresses),
        management=nic.management,
        mtu_before=nic.mtu,
        mtu_after=nic.mtu if mtu is None else mtu,
        rdma_before=nic.rdma[0] if nic.rdma else "",
        rdma_after=rdma,
    )


def _ports(names: Names) -> Dict[str, Entry]:
    """Return what the record keeps of the ports."""
    found = dict(names.resting)
    for port in names.ports:
        if port.pair is None:
            continue
        entry = record.port(port.nic, port.after, port.pair.wanted.rail, port.entry)
        if port.here and port.pair.wanted.mtu is not None and entry["mtu"] is None:
            entry["mtu"] = port.nic.mtu
        if port.here and port.pair.wanted.rdma and not entry["rdma"] and port.nic.rdma:
            entry["rdma"] = port.nic.rdma[0]
        found[port.key] = entry
    # A rail that the map of today gives to another port is no more that of the former one.
    owner = {port.pair.wanted.rail: port.key for port in names.ports if port.pair and port.pair.wanted.rail is not None}
    return {key: {**entry, "rail": None} if owner.get(entry["rail"], key) != key else entry for key, entry in found.items()}


def _record_change(seen: Seen, after: Record) -> List[FileChange]:
    before = seen.files.get(record.PATH)
    content = record.dump(after) if after else None
    if before == content or (after and after == seen.record):
        return []
    like = record.PATH if before is not None and content is not None else ""
    return [FileChange(record.PATH, before, content, record.MODE, like, True)]


def _touched(names: Names, plan: Plan) -> Set[str]:
    """Return the devices, by their names of today, that get another name or setting."""
    return {
        port.nic.name
        for port in names.ports
        if port.here and (port.nic.name != port.after or port.after in plan.mtus or set(port.nic.rdma) & set(plan.rdma))
    }


def _finish(seen: Seen, wanted: Wanted, names: Names, files: Files, plan: Plan) -> Plan:
    """Add what follows from names and files, whichever way they go."""
    plan.names = {**names.in_files(), **plan.rdma}
    plan.faults += plan_checks.taken(seen, names) + plan_checks.readable(seen) + plan_checks.profiles(seen, names, files)
    plan.faults += plan_settings.rdma_faults(seen, plan)
    touched = _touched(names, plan)
    if wanted.at_boot:
        plan.mtus, plan.rdma = {}, {}
    else:
        plan.renames = [Rename(nic.identity, nic.name, name) for nic, name in names.moves() if nic.name != name]
    plan.files = files.changes() + _record_change(seen, plan.record)
    plan.faults += files.faults
    plan.references = list(dict.fromkeys(files.references))
    if plan.renames or plan.files or plan.mtus or plan.rdma:
        plan.faults += seen.unknown
    if plan.renames and not seen.manager:
        plan.faults.append("NetworkManager does not run, and names are changed through it. Fix: start it, or network_apply: boot")
    plan.faults += plan_checks.network_root(seen, wanted, {rename.before for rename in plan.renames})
    plan.consent = plan_checks.consent(seen, wanted, plan, touched)
    plan.rows = [_row(seen, port) for port in names.ports if port.here]
    plan.notes += plan_checks.notes(seen, names.in_files(), [change.path for change in plan.files])
    plan.faults = list(dict.fromkeys(plan.faults))
    plan.notes = list(dict.fromkeys(plan.notes))
    return plan


def _present(seen: Seen, wanted: Wanted) -> Plan:
    found = identify.resolve(seen, wanted)
    plan = Plan(faults=list(found.faults), notes=list(found.notes))
    names = plan_names.present(seen, found, wanted.remap)
    if names.resting:
        left = ", ".join(f"{entry['name']} ({key})" for key, entry in names.resting.items())
        plan.notes.append(f"{left}: named by an earlier run and not here; kept. Fix: name it, or {identify.MAP} gives former names back")
    files = Files(seen)
    files.rewrite(names.in_files())
    plan_settings.former_mtus(seen, names, files)
    plan_settings.mtus(seen, names, files, plan)
    plan.notes += plan_links.lasting_names(seen, names, files, wanted.stale, plan.faults)
    plan_links.lasting_rdma(seen, names, files, plan.faults)
    plan_settings.live(seen, names, plan)
    ports = _ports(names)
    written, removed = files.kept(seen.record)
    plan.record = {"version": record.VERSION, "nics": ports, "files": written, "removed": removed} if ports else {}
    return _finish(seen, wanted, names, files, plan)


def _absent(seen: Seen, wanted: Wanted) -> Plan:
    plan = Plan()
    if not seen.record:
        own = [path for path, content in seen.files.items() if path.endswith(".link") and linkfile.own(content)]
        if own:
            plan.faults.append(
                f"{record.PATH} is gone, so the former names are not known, and {', '.join(own)} still give names. "
                "Fix: remove these files by hand; the names follow with the next boot"
            )
        return plan
    names = plan_back.names(seen)
    files = Files(seen)
    plan_back.restore(seen, names, files, plan)
    plan_settings.live(seen, names, plan)
    return _finish(seen, wanted, names, files, plan)


def build(seen: Seen, wanted: Wanted) -> Plan:
    """Return what would be done to a host.

    :param seen: the host as it is.
    :param wanted: what is asked for.
    """
    nothing_left = wanted.remap and not wanted.nics
    return _absent(seen, wanted) if nothing_left or not wanted.present else _present(seen, wanted)
