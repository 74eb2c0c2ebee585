# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that make names last: .link files, the rules that name RDMA devices; and what others have that beats them."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Dict, List, Sequence, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import linkcarry, linkfile, rdmarules, record, udevrules
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.identify import candidates
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.plan_files import Files
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.plan_names import Names, Port
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic, Seen

REMOVE = "remove"
ADVICE = "Fix: remove it, or set network_stale: remove"
#: The rules that let udev apply .link files; switched off, none is applied.
RULES = ("/etc/udev/rules.d", "/run/udev/rules.d", "/usr/local/lib/udev/rules.d", "/usr/lib/udev/rules.d")
APPLYING = "80-net-setup-link.rules"


def _at_boot(nic: Nic) -> Nic:
    """Return a device as udev meets it: a bond, which gives its ports another address, comes later."""
    return replace(nic, mac=nic.permanent_mac or nic.mac)


def _without_ours(seen: Seen, files: Files) -> Dict[str, bytes]:
    """Return the files that there would be without this collection: without its .link files, with those of others that had to go."""
    own = [path for path, content in seen.files.items() if path.endswith(".link") and linkfile.own(content)]
    gone = {path: record.content(entry) for path, entry in record.removed(seen.record).items()}
    written = {entry["path"]: record.content(entry) for path, entry in record.files(seen.record).items() if path in own and entry["path"]}
    return {**gone, **{path: content for path, content in files.now.items() if path not in own}, **written}


def _link(seen: Seen, port: Port, repeated: linkcarry.Settings) -> bytes:
    """Return the .link file of a port.

    :raises ValueError: nothing tells the device from others.
    """
    before = seen.files.get(linkfile.path(port.spoken), b"")
    if not port.here and linkfile.own(before):
        # The record does not know all that the file was made of.
        names = {port.spoken: port.after}
        return linkfile.rewrite("", before.decode("latin-1"), names)[0].encode("latin-1")
    by_path = bool(port.pair and port.pair.wanted.pci) or not port.nic.permanent_mac
    return linkfile.text(port.after, port.nic, seen.systemd, by_path, repeated)


def _own_links(seen: Seen, names: Names, files: Files, stale: str, faults: List[str]) -> Tuple[List[Port], List[str]]:
    """Write the .link files of the wanted ports, remove those of names that are given no more.

    Return the ports that have one, and what they repeat of others, a sentence each.
    """
    wanted = [port for port in names.ports if port.pair is not None]
    given = [port.after for port in wanted] + [str(entry["name"]) for entry in names.resting.values()]
    kept = [linkfile.path(name) for name in given]
    for path in sorted(files.now):
        if path.endswith(".link") and linkfile.own(files.now[path]) and path not in kept:
            files.drop(path)
    others = _without_ours(seen, files)
    done = []
    repeated: Dict[str, Tuple[str, linkcarry.Settings]] = {}
    for port in wanted:
        path = linkfile.path(port.after)
        # Only names of the kernel count: whatever a device is called now, it is not called so when udev meets it.
        source = linkfile.first(others, replace(_at_boot(port.nic), name=""), seen.systemd)
        settings = linkcarry.settings(linkfile.whole(others, source), port.nic, given) if source else linkcarry.NONE
        try:
            content = _link(seen, port, settings)
        except ValueError as error:
            faults.append(f"network_interfaces: {port.after}: {error}. Fix: leave it out")
            continue
        if path in files.now and not linkfile.own(files.now[path]) and (stale != REMOVE or files.fixed(path)):
            faults.append(f"{path} is there and is not this collection's. {ADVICE}")
            continue
        if content != files.now.get(path):
            repeated[path] = (source, settings)
        files.put(path, content)
        done.append(port)
    return done, linkcarry.told(repeated)


def _beaten(seen: Seen, port: Port, ours: Sequence[Nic], files: Files, winner: str, *, remove: bool) -> str:
    """Return why a .link file that is applied to a port instead of ours stays; empty where it may go."""
    if not winner:
        return f"udev {seen.systemd} would apply no .link file to {port.nic.name}. Fix: network_interfaces: find it by mac or pci"
    content = files.now[winner]
    name = linkfile.name(content)
    if linkfile.own(content):
        return f"{winner} would name {port.nic.name}, too, which has the same address. Fix: network_interfaces: find {name} by pci"
    gives = f"the name {name}" if name else "another setting or policy"
    what = f"{winner} is applied before {linkfile.path(port.after)} and gives {port.nic.name} {gives}"
    if files.fixed(winner):
        return f"{what}; it is not below /etc, or a link. Fix: hide it by an empty file of the same name in {linkfile.DIRECTORY}"
    others = [nic.name for nic in candidates(seen.nics) if nic not in ours and linkfile.matches(content, _at_boot(nic), seen.systemd)]
    if others:
        return f"{what}; it is for {', '.join(others)}, too. Fix: let its [Match] leave {port.nic.name} out"
    return "" if remove else f"{what}. {ADVICE}"


def _links_of_others(seen: Seen, ports: Sequence[Port], files: Files, remove: bool, faults: Dict[str, None]) -> List[str]:
    """Remove the .link files that are applied to ports instead of ours, or tell why that cannot be done; return the removed ones."""
    gone = []
    for port in ports:
        winner = linkfile.first(files.now, _at_boot(port.nic), seen.systemd)
        while winner != linkfile.path(port.after):
            fault = _beaten(seen, port, [other.nic for other in ports], files, winner, remove=remove)
            if fault:
                faults[fault] = None
                break
            files.drop(winner)
            gone.append(winner)
            winner = linkfile.first(files.now, _at_boot(port.nic), seen.systemd)
    return gone


def rule_files(files: Files) -> List[str]:
    """Return the files of udev's rules in the order of their names, without those that others of the same name hide."""
    chosen: Dict[str, str] = {}
    for directory in RULES:
        for path in files.now:
            above, base = os.path.split(path)
            if above == directory and base.endswith(".rules") and path != rdmarules.PATH:
                chosen.setdefault(base, path)
    return [chosen[base] for base in sorted(chosen)]


def _rules_of_others(port: Port, naming: List[str], files: Files, stale: str, faults: Dict[str, None]) -> List[str]:
    """Take other names out of udev's rules, or tell why that cannot be done; return the changed files.

    :param naming: files of rules that give names at all.
    """
    gone = []
    for path in [path for path in naming if path in files.now]:
        given = udevrules.given(files.now[path], port.nic)
        if not given or given == port.after:
            continue
        what = f"{path} gives {port.nic.name} the name {given} at every boot, whatever .link files say"
        if files.fixed(path):
            faults[f"{what}; it is not below /etc or a link. Fix: hide it by a changed copy of the same name in /etc/udev/rules.d"] = None
        elif stale != REMOVE:
            faults[f"{what}. {ADVICE.replace('it', 'that rule', 1)}"] = None
        else:
            left = udevrules.without(files.now[path], port.nic)
            # An empty file may be what hides another one of the same name.
            if left.strip() or any(other != path and os.path.basename(other) == os.path.basename(path) for other in files.now):
                files.put(path, left)
            else:
                files.drop(path)
            gone.append(path)
    return gone


def lasting_names(seen: Seen, names: Names, files: Files, stale: str, faults: List[str]) -> List[str]:
    """Write what gives the ports their names at each boot; return what was stale and goes, and what of others is repeated.

    :param stale: what to do with files of others that would beat ours.
    """
    having, told = _own_links(seen, names, files, stale, faults)
    ports = [port for port in having if port.here]
    found: Dict[str, None] = {}
    for nic in candidates(seen.nics):
        winner = "" if nic in [port.nic for port in ports] else linkfile.first(files.now, _at_boot(nic), seen.systemd)
        if winner in [linkfile.path(port.after) for port in ports]:
            name = linkfile.name(files.now[winner])
            found[f"{winner} would name {nic.name}, too, which has the same address. Fix: network_interfaces: find {name} by pci"] = None
    naming = [path for path in rule_files(files) if udevrules.names_devices(files.now[path])]
    gone = dict.fromkeys(_links_of_others(seen, ports, files, stale == REMOVE, found))
    for port in ports:
        gone.update(dict.fromkeys(_rules_of_others(port, naming, files, stale, found)))
    applying = [path for path in rule_files(files) if path.endswith("/" + APPLYING) and b"net_setup_link" not in files.now[path]]
    if applying and ports:
        found[f"{applying[0]} keeps udev from applying any .link file. Fix: remove it"] = None
    faults.extend(found)
    return told + [f"{path} would be applied, or give other names, at the next boot and is removed or changed" for path in gone]


def lasting_rdma(seen: Seen, names: Names, files: Files, faults: List[str]) -> None:
    """Write the rules that name RDMA devices."""
    now = files.now.get(rdmarules.PATH)
    entry = record.files(seen.record).get(rdmarules.PATH)
    by_pci = dict(rdmarules.names(now)) if now is not None else {}
    for port in names.ports:
        wanted = port.pair.wanted.rdma if port.pair else ""
        if port.pair is None or wanted:
            by_pci = {pci: name for pci, name in by_pci.items() if pci != port.nic.pci and name != wanted}
        if wanted and port.nic.pci and not set(port.nic.rdma) & set(seen.soft):
            by_pci[port.nic.pci] = wanted
    if by_pci and files.fixed(rdmarules.PATH):
        faults.append(f"network_rdma_names: {rdmarules.PATH} is a link to another file, which is not written. Fix: remove that link")
    elif by_pci:
        former = record.content(entry) if entry and entry["path"] else None
        theirs = now if now is not None and not rdmarules.own(now) else former
        try:
            files.put(rdmarules.PATH, rdmarules.text(by_pci, theirs or seen.files.get(rdmarules.VENDOR, b"")))
        except ValueError as error:
            faults.append(f"network_rdma_names: {error}. Fix: names of letters, digits, '_' and '-'")
    elif now is not None and rdmarules.own(now):
        former = record.content(entry) if entry and entry["path"] else None
        if former is None:
            files.drop(rdmarules.PATH)
        else:
            files.put(rdmarules.PATH, former)
