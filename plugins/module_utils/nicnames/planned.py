# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From looking at a host to what would be done, said, and refused there; with a transaction of an earlier run taken into account."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import (
    bindings,
    filterchange,
    former,
    journal,
    look,
    masking,
    plan,
    record,
    scan,
)
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.bindings import Binding
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.manager import Runner
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import FileChange, Nic, Plan, Seen, Wanted

UNDO = "undo the open transaction of an earlier run"


@dataclass
class Prospect:
    """What a call would do.

    :ivar open_transaction: transaction of an earlier run that did just this and waits for its confirmation.
    :ivar wanted: what was asked for, with the names that interfaces have once a transaction is undone.
    :ivar heals: NICs that have their names, and not their profile.
    :ivar superseded: whether a transaction of an earlier run has to be undone first.
    :ivar more: file to the number of places in it that the plan's references leave out.
    :ivar problems: why the call is refused.
    """

    plan: Plan
    nics: Tuple[Nic, ...] = ()
    wanted: Wanted = field(default_factory=Wanted)
    open_transaction: str = ""
    superseded: bool = False
    at_boot: bool = False
    heals: List[Binding] = field(default_factory=list)
    more: Dict[str, int] = field(default_factory=dict)
    problems: List[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether anything would be done."""
        return self.planned or bool(self.heals)

    @property
    def planned(self) -> bool:
        """Whether names, settings or files would change; the names of a next boot are done by files."""
        return bool(self.plan.files) if self.at_boot else self.plan.changed


def _open(found: Prospect) -> Tuple[str, bool]:
    """Return the transaction that waits for its confirmation with the same outcome, and whether there is another one to undo.

    :raises JournalError: the journal cannot be read.
    """
    opened = journal.load()
    if opened is None:
        return "", False
    phase = journal.phase()
    if not found.planned and phase in (journal.APPLIED, journal.BOOTED):
        return opened.id, False
    if not found.planned and phase == journal.STAGED and found.at_boot:
        found.plan.notes.append("The names change at the next boot. Fix: reboot the host, then run again to confirm them")
        return "", False
    return "", True


def _planned(seen: Seen, wanted: Wanted, root: str) -> Prospect:
    """Return what would be done to a host, and what else names what it renames."""
    plan_made = plan.build(seen, wanted)
    found = Prospect(plan_made, seen.nics, wanted=wanted, at_boot=wanted.at_boot)
    if plan_made.names:
        scanned = scan.look(root, plan_made.names, [change.path for change in plan_made.files])
        plan_made.references += scanned.references
        found.more = scanned.more
        plan_made.notes += [*scanned.notes, *scan.initramfs(root, seen.kernel_arguments, plan_made.names)]
    return found


def prospect(root: str, run: Runner, wanted: Wanted, consent: bool) -> Prospect:
    """Look at a host and return what would be done.

    :param consent: whether the operator has agreed to changes.
    :raises JournalError, RecordError, OSError: the host cannot be read.
    """
    seen = look.seen(root, run)
    found = _planned(seen, wanted, root)
    if root == "/":
        found.open_transaction, found.superseded = _open(found)
        opened = journal.load() if found.superseded else None
        if opened is not None:
            # The run undoes that first, and then does what is planned for the host as it was.
            same = opened.boot == journal.boot_id()
            found = _planned(former.seen_of(seen, opened, same), former.wanted_of(wanted, seen, opened, same), root)
            found.superseded = True
    plan_made = found.plan
    found.problems = [*plan_made.faults, *plan_made.consent]
    if root == "/" and not found.planned and journal.load() is None:
        # Names and files are right; that says nothing of NetworkManager.
        bound = bindings.look(seen, run, [row.after for row in plan_made.rows])
        found.heals = bound.heals
        found.problems += bound.faults
        plan_made.notes += bound.notes
    if found.planned or found.superseded:
        found.problems += filterchange.faults(root)
    if (found.changed or found.superseded) and not consent:
        found.problems.append("Interfaces are changed only with consent. Fix: see the dry run, then set network_allow_rename: true")
    return found


def actions(found: Prospect) -> List[str]:
    """Return what is done, a sentence each."""
    when = " at the next boot" if found.at_boot else ""
    rows: List[str] = [UNDO] if found.superseded else []
    rows += [f"rename {rename.before} to {rename.after}{when}" for rename in found.plan.renames]
    rows += [f"set the MTU of {name} to {mtu}{when}" for name, mtu in found.plan.mtus.items()]
    rows += [f"rename RDMA device {before} to {after}{when}" for before, after in found.plan.rdma.items()]
    rows += [f"activate {row.path} on {row.name}" for row in found.heals]
    rows += [f"{'remove' if change.after is None else 'write'} {change.path}" for change in found.plan.files]
    return rows


def _shown(change: FileChange, content: Optional[bytes]) -> str:
    """Return a file as it may be shown. The record holds whole profiles."""
    if content is None:
        return ""
    return "what was before, not shown\n" if change.path == record.PATH else masking.masked(change.path, content)


def differences(found: Prospect) -> List[Dict[str, str]]:
    """Return the plan as Ansible shows differences: each file, secrets masked, then what is live."""
    rows = [
        {"before_header": change.path, "after_header": change.path, "before": _shown(change, change.before),
         "after": _shown(change, change.after)}
        for change in found.plan.files
    ]
    before = after = ""
    for row in found.plan.rows:
        before += f"{row.mac or row.pci}: {row.before} mtu {row.mtu_before} {row.rdma_before}".rstrip() + "\n"
        after += f"{row.mac or row.pci}: {row.after} mtu {row.mtu_after} {row.rdma_after}".rstrip() + "\n"
    return rows + ([{"before_header": "live", "after_header": "live", "before": before, "after": after}] if before != after else [])
