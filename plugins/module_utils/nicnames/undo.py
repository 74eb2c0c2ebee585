# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Goes back to what was before an open transaction. It needs no controller and no Ansible, and can begin anywhere and again.

The timer, the unit of the next boot, and the module itself run it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import sys
import time
from typing import Collection, Dict, List, Optional, Set, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck import runner
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import files, journal, naming, rdmanames, rtnl, rulesets, units
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.healing import Healer
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.journal import Journal, Port
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.locking import LockedError, lock
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.manager import CONNECTED, Device, Manager, ManagerError, Runner
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.naming import Namer, NamingError
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.rtnl import Link

LOCK_SECONDS = 20.0
SETTLE_SECONDS = 60
#: Seconds for commands that are slow on a busy machine, by a word of theirs: systemd reads all units again and runs its generators; it
#: starts a unit once, to see that the program of the undo runs there, and waits for its end.
PATIENCE: Dict[str, float] = {"settle": SETTLE_SECONDS + 10.0, "daemon-reload": 90.0, "start": 60.0}
HEAL_SECONDS = 12.0
#: Attempts after which a transaction whose files and names are as before is closed, whatever else is not.
MOST_TRIES = 4
#: States of a device of NetworkManager that has a link and no profile of a file.
UNBOUND = ("disconnected", "failed", "connected (externally)")
WATCH_SECONDS = 10.0
PROFILES = ("/etc/NetworkManager/system-connections/", "/etc/sysconfig/network-scripts/")
UUID = re.compile(rb"^[ \t]*uuid[ \t]*=[ \t]*[\"']?([0-9a-f-]{36})", re.IGNORECASE | re.MULTILINE)


def names_back(opened: Journal, manager: Manager, devices: Dict[str, Device], failed: Collection[str] = ()) -> List[str]:
    """Give interfaces the former names, and switch on what was on; return what is against it.

    :param devices: what NetworkManager had before the transaction, by the former names.
    :param failed: files that could not be given back. An interface that one of them names keeps its name of now, which the file has, too.
    """
    faults, links, same = [], rtnl.links(), opened.boot == journal.boot_id()
    places = {port: naming.find(port, links, same) for port in opened.ports}
    faults += [f"the interface that was {port.before} has gone" for port, link in places.items() if link is None]
    found = {port: link for port, link in places.items() if link is not None}
    held = _held(opened, found, failed)
    faults += [f"{found[port].name} keeps its name, since files that name it are not as before" for port in held]
    found = {port: link for port, link in found.items() if port not in held}
    known = {link.name: devices[port.before] for port, link in found.items() if port.before in devices}
    try:
        Namer(manager, journal.note, stubborn=True).carry({link.index: port.before for port, link in found.items()}, known)
    except (NamingError, OSError) as error:
        faults.append(str(error))
    for port, link in found.items():
        try:
            if port.up and same:
                rtnl.switch(link.index, True)
            for name in set(port.altnames) - set(link.altnames) - {port.before}:
                rtnl.add_altname(link.index, name)
        except OSError as error:
            journal.note(f"{port.before}: {error.strerror}")
    return faults


def _names(path: str, content: Optional[bytes], names: Collection[str]) -> bool:
    """Whether a file names an interface, in its own name or within."""
    text = path.encode() + b"\n" + (content or b"")
    return any(re.search(rb"(?<![\w.-])" + re.escape(name.encode()) + rb"(?![\w-])", text) for name in names)


def _kept(opened: Journal, path: str, failed: Collection[str]) -> bool:
    """Whether a file that was not there before stays, since it names an interface whose former file could not be given back."""
    content = files.image(path).content
    if content is None:
        return False
    for port in opened.ports:
        both = (port.before, port.after)
        if _names(path, content, both) and any(_names(each, opened.files[each].content, both) for each in failed):
            return True
    return False


def _held(opened: Journal, found: Dict[Port, Link], failed: Collection[str]) -> List[Port]:
    """Return the ports that must keep their names of now: files that name them could not be given back, or their place is not free."""
    held = [port for port in found if any(_names(path, opened.files[path].content, (port.before, port.after)) for path in failed)]
    while True:
        taken = {found[port].name for port in held}
        more = [port for port in found if port not in held and port.before in taken]
        if not more:
            return held
        held += more


def astray(opened: Journal) -> List[str]:
    """Return the interfaces that are there and have not the former name."""
    links, same = rtnl.links(), opened.boot == journal.boot_id()
    found = {port.before: naming.find(port, links, same) for port in opened.ports}
    return [link.name for name, link in found.items() if link is not None and link.name != name]


def misnamed(opened: Journal) -> List[str]:
    """Return the interfaces that are there and did not get their names at this boot, a sentence without an end each."""
    links, same = rtnl.links(), opened.boot == journal.boot_id()
    found = {port: naming.find(port, links, same) for port in opened.ports}
    return [
        f"{link.name} was to be {port.after} from this boot on"
        for port, link in found.items() if link is not None and link.name != port.after
    ]


def lesser_back(opened: Journal) -> List[str]:
    """Give interfaces, and those on them, the former MTUs, and RDMA devices the former names; return what is against it."""
    faults = []
    for link in rtnl.links():
        mtu = opened.situation.mtus.get(link.name)
        if mtu is not None and link.mtu != mtu:
            try:
                rtnl.set_mtu(link.index, mtu)
            except OSError as error:
                faults.append(f"{link.name}: MTU {mtu}: {error.strerror}")
    try:
        rdmanames.carry(opened.rdma_names("before"), journal.note)
    except OSError as error:
        faults.append(f"names of RDMA devices: {error.strerror}")
    return faults


def edited(opened: Journal) -> Set[str]:
    """Return the UUIDs of the profiles that somebody has changed since they were written: NetworkManager may have such a one in force."""
    found = set()
    for path, wanted in opened.written.items():
        if path.startswith(PROFILES):
            with contextlib.suppress(OSError):
                content, before = files.image(path).content, opened.files[path].content
                if content is not None and content != before and hashlib.sha256(content).hexdigest() != wanted:
                    found |= {uuid.decode().lower() for uuid in UUID.findall(content)}
    return found


def manager_back(opened: Journal, manager: Manager, run: Runner, changed: Collection[str] = ()) -> List[str]:
    """Have NetworkManager read the former profiles, and put back what interfaces have lost; return what is not as before at the end.

    :param changed: UUIDs of profiles of which others than the former ones may be in force.
    """
    before = opened.situation
    links, same = rtnl.links(), opened.boot == journal.boot_id()
    places = {port.before: naming.find(port, links, same) for port in opened.ports}
    back = {name: link.name if link is not None else name for name, link in places.items()}
    healer = Healer(run, manager, before, names=back, stale=opened.names, log=journal.note)
    doubtful = journal.doubts({*healer.doubtful(), *(name for name, device in before.devices.items() if device.uuid.lower() in changed)})
    if doubtful:
        journal.note(f"something else may be in force on {', '.join(sorted(doubtful))}")
    # NetworkManager may need long, and the host is to be reached before that.
    healer.mend(doubtful, exact=True)
    try:
        manager.reload()
    except ManagerError as error:
        journal.note(str(error))
        if before.devices:
            manager.restart()
    healer.zones()
    healer.rules()
    healer.primaries()
    if not doubtful and not healer.lacking(2.0):
        return []
    refused = healer.activate(doubtful)
    if any(text.startswith("NetworkManager does not know") for text in healer.lacking(HEAL_SECONDS)):
        journal.note("NetworkManager has lost a device and is restarted")
        manager.restart()
        manager.knows(before.devices, HEAL_SECONDS)
        refused = healer.activate(doubtful)
    healer.mend(doubtful)
    return healer.wrong(HEAL_SECONDS, doubtful) + refused


def _files_back(opened: Journal) -> Tuple[List[str], List[str]]:
    """Put back the files, byte for byte: as one where that can be, else each for itself.

    :returns: the paths that are not as before, and what is against it, a sentence without an end each.
    """
    failed: List[str] = []
    faults: List[str] = []
    try:
        files.sweep(opened.files)
        files.put(opened.files)
    except OSError:
        # Those that go come last, and stay where an interface would be left without any.
        for path in sorted(opened.files, key=lambda each: opened.files[each].content is None):
            try:
                if opened.files[path].content is None and _kept(opened, path, failed):
                    failed.append(path)
                    continue
                files.put({path: opened.files[path]})
            except OSError as error:
                failed.append(path)
                faults.append(f"{path}: {error.strerror or error}")
        for path in failed:
            with contextlib.suppress(OSError):
                files.sweep([path])
    for directory in sorted(opened.made, reverse=True):
        with contextlib.suppress(OSError):
            os.rmdir(directory)
    return failed, faults


def undo(run: Runner, at_boot: bool = False) -> List[str]:
    """Go back to what was before the open transaction, and close it.

    It stays open where it is not as before at the end: then the timer tries again, and the next boot. Where that is about neither files nor
    names, it is closed after some attempts all the same, so that a much later boot does not take back what a person has mended.

    :param at_boot: NetworkManager does not run yet, and udev is still at its work.
    :returns: what is not as it was, a sentence without an end each.
    :raises JournalError: the journal cannot be read; it stays.
    """
    opened = journal.load()
    if opened is None:
        return []
    journal.note("undo")
    tries = journal.tried()
    changed = edited(opened)
    with contextlib.suppress(OSError):
        if not at_boot:
            rulesets.widen(run, list(opened.files), opened.names, f"{journal.PENDING}/both.nft")
    failed, lost = _files_back(opened)
    run(["udevadm", "control", "--reload"])
    if at_boot:
        run(["udevadm", "settle", f"--timeout={SETTLE_SECONDS}"])
    manager = Manager(run)
    if not at_boot:
        now = Healer(run, manager, opened.situation, names={name: name for name in opened.names}, stale=opened.names, log=journal.note)
        now.zones_ahead()
    faults = names_back(opened, manager, {} if at_boot else opened.situation.devices, failed)
    faults += lesser_back(opened)
    faults += rulesets.reload(run, list(opened.files))
    if not at_boot:
        faults += manager_back(opened, manager, run, changed)
    lost += [f"{name} has not its former name" for name in astray(opened)]
    for fault in lost + faults:
        journal.note(fault)
    if not lost and (not faults or tries >= MOST_TRIES):
        journal.end(undone=True)
        units.remove(run)
    return lost + faults


def boot(run: Runner) -> List[str]:
    """Do at a boot what an open transaction asks for: wait for the confirmation of names that were to change at it, else undo.

    Whatever is not as before then is tried again by the timer.
    """
    clean = False
    try:
        faults = _booted(run)
        clean = not faults
    finally:
        if not clean:
            with contextlib.suppress(units.UnitError, OSError):
                units.arm(run, wait=False)
    return faults


def _booted(run: Runner) -> List[str]:
    opened = journal.load()
    if opened is not None and opened.at_boot and journal.phase() == journal.STAGED:
        run(["udevadm", "settle", f"--timeout={SETTLE_SECONDS}"])
        wrong = misnamed(opened)
        if wrong:
            # Waiting for a confirmation would leave the host without these for that time.
            journal.note("; ".join(wrong))
            return undo(run, at_boot=True)
        try:
            journal.reach(journal.BOOTED)
            units.arm(run, wait=False)
            return []
        except (OSError, units.UnitError) as error:
            journal.note(str(error))
    return undo(run, at_boot=True)


def unbound(opened: Journal, manager: Manager) -> List[str]:
    """Return the interfaces that had a profile before the transaction and have a link but no profile now."""
    now = manager.devices()
    had = [name for name, device in opened.situation.devices.items() if device.state == CONNECTED and device.uuid]
    return [name for name in had if name in now and now[name].state in UNBOUND]


def watch(run: Runner) -> List[str]:
    """Undo names of the next boot where it is dangerous to wait for that: the files have names already that no interface has yet.

    So a NetworkManager that is started anew, or a link that was gone for a while, leaves interfaces without their profiles. A module that
    was ended while it wrote the files is undone, too.
    """
    opened = journal.load()
    if opened is None or not opened.at_boot or opened.boot != journal.boot_id():
        return []
    if journal.phase() not in (journal.ARMED, journal.STAGED):
        return []
    if journal.phase() == journal.STAGED:
        manager = Manager(run)
        lost = set(unbound(opened, manager))
        if lost:
            # It may be at its work.
            time.sleep(WATCH_SECONDS)
            lost &= set(unbound(opened, manager))
        if not lost:
            return []
        journal.note(f"{', '.join(sorted(lost))} has lost its profile before the boot that was to rename it")
        journal.doubts(lost)
    return undo(run)


def prepare() -> None:
    """Make a process fit to change the network that its connection comes by."""
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin:" + os.environ.get("PATH", "")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.umask(0o022)


def _end(*_about: object) -> None:
    raise SystemExit(1)


def main(words: List[str]) -> int:
    """Run as a program of the host: C(timer) or C(watch) and the transaction that it is for, C(boot), or C(now).

    :returns: 0 where everything is as it was, or there was nothing to undo.
    """
    prepare()
    # systemd ends a boot's unit that takes too long; then the timer is still started.
    signal.signal(signal.SIGTERM, _end)
    way, wanted = words[0] if words else "now", "".join(words[1:2])

    def mine() -> bool:
        opened = journal.load()
        return opened is not None and wanted in ("", opened.id)

    # Without the lock: whoever begins a transaction tries this program first.
    if not mine():
        return 0
    ways = {"boot": boot, "watch": watch}
    try:
        with lock(0.0 if way == "watch" else LOCK_SECONDS, take=way == "timer"):
            faults = ways.get(way, undo)(bounded) if mine() else []
    except LockedError:
        if way != "watch":
            raise
        # Whoever holds it is at its work; the next time will do.
        return 0
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    return 1 if faults else 0


def bounded(words: List[str]) -> runner.Answer:
    """Run a command of the host that ends by itself or is ended; what waits for others is allowed longer."""
    return runner.run(words, next((seconds for word, seconds in PATIENCE.items() if word in words), runner.SECONDS))
