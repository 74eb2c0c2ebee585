# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries a plan out on the host as one transaction, which stays open until it is confirmed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import uuid
from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import (
    bundle,
    files,
    journal,
    naming,
    rdmanames,
    rtnl,
    rulesets,
    situation,
    undo,
    units,
)
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.files import Image, Label
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.healing import Healer
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.journal import Journal, JournalError, Port
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.manager import Manager, ManagerError, Runner
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.naming import Namer, NamingError
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.rtnl import Link
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import FileChange, Nic, Plan

HEAL_SECONDS = 10.0
UNDONE = "Everything was undone."
#: The part of the time until the undo that the change itself may take.
SHARE = 0.7


class ApplyError(Exception):
    """The change failed and was undone; the text says why, and what is not as before."""


@dataclass
class Work:
    """What a change works with.

    :ivar python: the interpreter that runs the undo; it needs the standard library only.
    :ivar seconds: time from the first change to the confirmation.
    """

    run: Runner
    label: Label
    python: str
    seconds: int
    at_boot: bool = False


def wanted_image(change: FileChange) -> Image:
    """Return the file that a change asks for, with mode, owner and context of the file that it takes the place of."""
    if change.after is None:
        return Image()
    model = files.image(change.like or change.path)
    if model.content is None:
        return Image(change.after, change.mode)
    return Image(change.after, model.mode, model.owner, model.group, 0, model.context)


def upper(links: Sequence[Link], touched: Sequence[str]) -> List[str]:
    """Return the interfaces that lie on some others: bonds, bridges, VLANs, in turn."""
    by_index = {link.index: link.name for link in links}
    found = list(touched)
    for name in found:
        for link in links:
            master = by_index.get(link.master) if link.name == name else None
            above = link.name if by_index.get(link.below) == name and link.kind not in ("", "veth") else None
            found += [each for each in (master, above) if each and each not in found]
    return found[len(touched) :]


@dataclass
class Meant:
    """What a change is to bring about, now or at the next boot.

    :ivar names: interface to its name after, of every one that gets another name or MTU.
    :ivar mtus: name after to MTU.
    :ivar rdma: RDMA device to its name after.
    """

    names: Dict[str, str]
    mtus: Dict[str, int]
    rdma: Dict[str, str]

    @classmethod
    def of(cls, plan: Plan, at_boot: bool) -> Meant:
        """Return it from a plan, which at a boot has no renames of its own."""
        if at_boot:
            mtus = {row.after: row.mtu_after for row in plan.rows if row.mtu_after != row.mtu_before}
            rdma = {row.rdma_before: row.rdma_after for row in plan.rows if row.rdma_after != row.rdma_before}
            return cls({row.before: row.after for row in plan.rows if row.before != row.after or row.after in mtus}, mtus, rdma)
        names = {rename.before: rename.after for rename in plan.renames}
        back = {after: before for before, after in names.items()}
        others = {back.get(name, name): name for name in plan.mtus}
        return cls({**others, **names}, dict(plan.mtus), dict(plan.rdma))


def ports(meant: Meant, nics: Sequence[Nic], links: Sequence[Link]) -> List[Port]:
    """Return the interfaces that a change touches, with all that finds them again.

    :raises ApplyError: one has gone since the plan was made.
    """
    live, known = {link.name: link for link in links}, {nic.name: nic for nic in nics}
    gone = sorted(name for name in meant.names if name not in live)
    if gone:
        raise ApplyError(f"{', '.join(gone)} has gone since the plan was made. Nothing was changed. Fix: run again")
    return [
        Port(
            live[before].index, live[before].permanent_mac or known[before].permanent_mac, known[before].pci, before, after,
            live[before].altnames, live[before].mtu if after in meant.mtus else None, meant.mtus.get(after), live[before].up,
        )
        for before, after in meant.names.items()
    ]


def begin(plan: Plan, nics: Sequence[Nic], work: Work) -> Journal:
    """Write the journal, and arm what undoes when nobody confirms.

    :raises ApplyError, OSError, UnitError: nothing of the host's network was changed.
    """
    links = rtnl.links()
    meant = Meant.of(plan, work.at_boot)
    touched = ports(meant, nics, links)
    manager = Manager(work.run)
    around = [port.before for port in touched]
    changed = [change.path for change in plan.files]
    opened = Journal(
        id=uuid.uuid4().hex[:12],
        boot=journal.boot_id(),
        seconds=work.seconds,
        at_boot=work.at_boot,
        ports=touched,
        files={path: files.image(path) for path in changed},
        written={change.path: "" if change.after is None else hashlib.sha256(change.after).hexdigest() for change in plan.files},
        made=files.missing_directories(change.path for change in plan.files if change.after is not None),
        rdma=rdmanames.guids(meant.rdma),
        situation=situation.look(work.run, manager, around + upper(links, around), first=True),
    )
    files.put({units.PROGRAM: Image(bundle.program())}, work.label)
    units.install(work.run, work.python, opened, work.label)
    journal.begin(opened)
    units.arm(work.run, timer=units.WATCH_TIMER if work.at_boot else units.TIMER)
    journal.note("armed")
    return opened


class Clock:
    """The time that a change may take; past it, it is undone rather than finished."""

    def __init__(self, seconds: float):
        self._until = time.monotonic() + seconds

    def check(self) -> None:
        """Stop a change that takes too long.

        :raises ApplyError: the time is over.
        """
        if time.monotonic() > self._until:
            raise ApplyError("it took longer than the time until the undo allows (network_confirm_seconds)")


def _names(opened: Journal, manager: Manager) -> List[str]:
    """Give the interfaces their names; return those that were switched off."""
    namer = Namer(manager, journal.note)
    namer.carry({port.index: port.after for port in opened.ports}, opened.situation.devices)
    return namer.dropped


def _lesser(opened: Journal) -> None:
    """Set MTUs and names of RDMA devices."""
    by_name = {link.name: link for link in rtnl.links()}
    for port in opened.ports:
        link = by_name.get(port.after)
        if link is not None and port.mtu_after is not None and link.mtu != port.mtu_after:
            journal.note(f"{port.after}: MTU {port.mtu_after}")
            rtnl.set_mtu(link.index, port.mtu_after)
    rdmanames.carry(opened.rdma_names("after"), journal.note)


def differences(opened: Journal, run: Runner, seconds: float) -> List[str]:
    """Return what is not as the transaction wants it, a sentence without an end each.

    :param seconds: time in which it may come by itself.
    """
    found = []
    links, same = rtnl.links(), opened.boot == journal.boot_id()
    for port in opened.ports:
        link = naming.find(port, links, same)
        if link is None:
            found.append(f"the interface that was {port.before} has gone")
        elif link.name != port.after:
            found.append(f"{link.name} is not called {port.after}")
        elif port.mtu_after is not None and link.mtu != port.mtu_after:
            found.append(f"{port.after} has MTU {link.mtu} and not {port.mtu_after}")
    found += rdmanames.differences(opened.rdma_names("after"))
    if found:
        return found
    healer = Healer(run, Manager(run), opened.situation, opened.names, stale={}, log=journal.note)
    return healer.lacking(seconds) + healer.outside()


def _live(opened: Journal, work: Work, clock: Clock) -> None:
    """Change what is live, in the order that loses least."""
    manager = Manager(work.run)
    before = opened.situation
    former = {name: name for name in opened.names}
    healer = Healer(work.run, manager, before, opened.names, stale=former, log=journal.note)
    # No interface is without its filter between its name and the others'.
    open_ports = rulesets.widen(work.run, list(opened.files), opened.names, f"{journal.PENDING}/both.nft")
    if open_ports:
        raise ApplyError("; ".join(open_ports))
    healer.zones_ahead()
    healer.primaries_aside()
    dropped = _names(opened, manager)
    open_ports = rulesets.reload(work.run, list(opened.files))
    if open_ports:
        raise ApplyError("; ".join(open_ports))
    clock.check()
    healer.rules()
    clock.check()
    if before.devices:
        journal.note("reload")
        manager.reload()
    healer.zones()
    healer.primaries()
    _lesser(opened)
    if healer.lacking(2.0 if dropped else 0.5):
        clock.check()
        healer.activate()
        if healer.lacking(HEAL_SECONDS):
            healer.by_hand()
    clock.check()


def back(run: Runner) -> str:
    """Undo the open transaction, and return what there is to say of it, a sentence or two."""
    try:
        left = undo.undo(run)
    except (JournalError, OSError) as error:
        left = [str(error)]
    if not left and not journal.phase() and units.there():
        # It failed before there was anything to undo, and what was to undo it is left.
        try:
            left = units.remove(run)
        except OSError as error:
            left = [str(error)]
    if not left:
        return UNDONE
    more = " The host tries again by itself." if journal.phase() else ""
    advice = f"Fix: see journalctl -u 'railyard-nic-names*' and {journal.UNDONE} on the host"
    return f"It was undone, but this is not as it was: {'; '.join(left)}.{more} {advice}"


@contextlib.contextmanager
def _or_undo(work: Work) -> Iterator[None]:
    """Undo everything when something fails.

    :raises ApplyError: something failed, and what.
    """
    fault: Optional[str] = None
    try:
        yield
    except (ApplyError, NamingError, ManagerError, units.UnitError, ImportError, OSError) as error:
        fault = str(error)
    except SystemExit:
        # Ansible's own code has said what is wrong, and ends the module.
        back(work.run)
        raise
    if fault is not None:
        journal.note(fault)
        raise ApplyError(f"{fault}. {back(work.run)}")


def carry_out(plan: Plan, nics: Sequence[Nic], work: Work) -> str:
    """Carry a plan out, and return the identifier of the transaction that waits for its confirmation; empty where that is after a boot.

    :raises ApplyError: it failed; nothing was changed, or everything was undone.
    """
    clock = Clock(work.seconds * SHARE)
    with _or_undo(work):
        opened = begin(plan, nics, work)
        files.put({change.path: wanted_image(change) for change in plan.files}, work.label)
        journal.note("files")
        rc, out, err = work.run(["udevadm", "control", "--reload"])
        if rc not in (0, 127):
            raise ApplyError(f"udevadm control --reload: {' '.join((err or out).split()) or rc}")
        if work.at_boot:
            journal.reach(journal.STAGED)
            journal.note("staged")
            return ""
        _live(opened, work, clock)
        left = differences(opened, work.run, 5.0)
        if left:
            raise ApplyError("after the change this was not right: " + "; ".join(left))
        journal.reach(journal.APPLIED)
        journal.note("applied")
    return opened.id


def is_open(transaction: str) -> bool:
    """Return whether a transaction is open.

    :raises JournalError: the journal cannot be read.
    """
    opened = journal.load()
    return opened is not None and opened.id == transaction


def confirm(transaction: str, run: Runner) -> bool:
    """Close a transaction whose outcome is right; return whether it was open.

    :raises ApplyError: it was undone, or has to be.
    :raises JournalError: the journal cannot be read.
    """
    opened = journal.load()
    if opened is None or opened.id != transaction:
        if journal.confirmed() == transaction:
            if opened is None and units.there():
                # The one before was cut off in its last step.
                units.remove(run)
            return False
        if journal.undone() == transaction:
            raise ApplyError(
                f"there is no open transaction {transaction}: it was undone, because nobody confirmed it in time. What it did is in "
                f"{journal.UNDONE} on the host. Fix: run again; network_confirm_seconds gives more time"
            )
        raise ApplyError(
            f"there is no open transaction {transaction}, and the host knows no more whether it was kept or undone. "
            "Fix: run again, which shows it"
        )
    if opened.at_boot and journal.phase() != journal.BOOTED:
        raise ApplyError("the names change at the next boot, and the host has not booted since. Fix: reboot it, then run again")
    left = differences(opened, run, 5.0)
    if left:
        journal.note("not confirmed: " + "; ".join(left))
        raise ApplyError(f"not confirmed, because {'; '.join(left)}. {back(run)}")
    # Cut off between the two, it is confirmed again, or undone by the timer; never kept and taken for undone.
    journal.confirm(transaction)
    journal.end()
    units.remove(run)
    for directory in (journal.DIRECTORY, journal.STATE):
        # Of a host that has its former names back nothing is left.
        with contextlib.suppress(OSError):
            os.rmdir(directory)
    return True


def take_back(transaction: str, run: Runner) -> bool:
    """Undo a transaction now; return whether it was open.

    :raises ApplyError: something is not as it was.
    :raises JournalError: the journal cannot be read.
    """
    opened = journal.load()
    if opened is None or opened.id != transaction:
        return False
    left = back(run)
    if left != UNDONE:
        raise ApplyError(left)
    return True
