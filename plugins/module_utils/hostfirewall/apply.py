# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying a change out: the undo first, then files, then what runs; at the end a look whether it is so."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from dataclasses import replace
from typing import Callable, Dict, List, Optional

from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall import firewalld, nft, planning, planning_table, undo
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.look import RECORD, Runner, look, ruleset, runtime
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.wanted import Host, Plan, Seen, Wanted
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import files
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.files import Image, Label, no_label

SECONDS = 10.0
# An update of nothing: the zone is taken over at once, addresses are not touched.
UPDATE = ("busctl", "call", "org.freedesktop.NetworkManager")
UPDATED = ("org.freedesktop.NetworkManager.Settings.Connection", "Update2", "a{sa{sv}}ua{sv}", "0", "0", "0")


class FirewallError(Exception):
    """A change failed; the text says which, why, and what to do."""


def _run(run: Runner, *argv: str) -> str:
    rc, out, err = run(list(argv))
    if rc != 0:
        raise FirewallError(f"'{' '.join(argv)}' ended with {rc}: {' '.join((err or out).split()) or 'no words'}")
    return out


def prepare(base: str, run: Runner, wanted: Wanted, machine: Host) -> Plan:
    """Look at a host and plan.

    :raises look.LookError: the record cannot be read.
    """
    return plan_of(wanted, seen_of(base, run, wanted, machine), run)


def seen_of(base: str, run: Runner, wanted: Wanted, machine: Host) -> Seen:
    """Return a host as it is; where a change is not confirmed, as it is after its undo.

    :raises look.LookError: the record cannot be read.
    """
    seen = look(base, run, wanted, machine)
    if not seen.pending:
        return seen
    held = undo.kept(base)
    rows: Dict[str, Optional[bytes]] = {**seen.files, **{path: content for path, content in held.items() if path != RECORD}}
    profiles = tuple(replace(row, content=held.get(row.path) or row.content) for row in seen.profiles)
    return replace(seen, files={path: content for path, content in rows.items() if content is not None}, profiles=profiles)


def plan_of(wanted: Wanted, seen: Seen, run: Runner) -> Plan:
    """Return the change, after a look whether a reload of firewalld would take something away."""
    plan = planning.build(wanted, seen)
    if plan.reload:
        plan.faults += planning.lost(runtime(run, stored=True) or {}, seen)
    return plan


def _store(base: str, plan: Plan, label: Label) -> None:
    """Write the files, those that are there with the mode and owner that they have."""
    rows = {}
    for path, content in plan.files.items():
        if content is None:
            rows[base + path] = Image()
            continue
        held = files.image(base + path)
        rows[base + path] = replace(held, content=content, modified_ns=0) if held.content is not None else Image(content)
    files.put(rows, label)


def _stored(plan: Plan, profiles: bool) -> Plan:
    """Return the part of a change about the profiles of NetworkManager, or about everything else."""
    filters = (firewalld.DIRECTORY, nft.PATH, nft.UNIT_PATH)
    return replace(plan, files={path: content for path, content in plan.files.items() if profiles != path.startswith(filters)})


def _link(base: str, wanted: bool) -> None:
    path = base + nft.LINK
    if wanted:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(nft.UNIT_PATH, path)
    else:
        os.unlink(path)


def _nft(base: str, run: Runner, plan: Plan) -> None:
    if plan.linked is not None:
        _link(base, plan.linked)
    if plan.linked is not None or nft.UNIT_PATH in plan.files:
        _run(run, "systemctl", "daemon-reload")
    if plan.load is True:
        _run(run, "nft", "-c", "-f", base + nft.PATH)
        _run(run, "systemctl", "reload-or-restart", nft.UNIT)
    elif plan.load is False:
        # A unit that is gone cannot be stopped by what it says.
        run(["systemctl", "stop", nft.UNIT])
        run(["nft", "delete", "table", nft.FAMILY, nft.TABLE])


def _until(true: Callable[[], bool], seconds: float = SECONDS) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def _moved(run: Runner, plan: Plan) -> bool:
    now = runtime(run) or {}
    return all(firewalld.zone_of(now, name) == zone for name, zone in plan.moves.items())


def _firewalld(run: Runner, plan: Plan) -> None:
    """Let firewalld and NetworkManager follow the files. The zones come first: NetworkManager names them."""
    if plan.reload:
        _run(run, "firewall-cmd", "--check-config")
        _run(run, "firewall-cmd", "--reload")
    for zone in sorted(set(plan.leaves.values())):
        gone = [f"--remove-interface={name}" for name, home in plan.leaves.items() if home == zone]
        # The reload may have done it.
        run(["firewall-cmd", f"--zone={zone}", *gone])


def _touch(base: str, run: Runner, plan: Plan, label: Label) -> None:
    """Have NetworkManager take the zones of profiles over on interfaces that are active.

    Reading the files anew does not do that, and at the next reload of firewalld it would put the interfaces back. An update does, but it
    writes the files in its own way: they get their bytes back.
    """
    _run(run, "nmcli", "connection", "reload")
    shown = _run(run, "nmcli", "-t", "-f", "UUID,DBUS-PATH", "connection", "show") if plan.touched else ""
    paths = dict(line.split(":", 1) for line in shown.splitlines() if ":" in line)
    written = {base + path: files.image(base + path) for path in plan.touched}
    for path, uuid in plan.touched.items():
        if uuid not in paths:
            raise FirewallError(f"NetworkManager does not take {path}. Fix: see journalctl -u NetworkManager")
        _run(run, *UPDATE, paths[uuid], *UPDATED)
    if files.put(written, label):
        _run(run, "nmcli", "connection", "reload")


def _moves(base: str, run: Runner, plan: Plan, label: Label) -> None:
    if plan.manager:
        _touch(base, run, plan, label)
    for zone in sorted(set(plan.moves.values())):
        _run(run, "firewall-cmd", f"--zone={zone}", *(f"--change-interface={name}" for name, home in plan.moves.items() if home == zone))
    if plan.moves and not _until(lambda: _moved(run, plan)):
        names = ", ".join(plan.moves)
        raise FirewallError(f"{names} did not stay in their zones. Fix: see what else assigns them, firewall-cmd --list-all-zones")


def _remember(base: str, plan: Plan, identity: str, label: Label) -> None:
    if plan.record:
        text = json.dumps(dict(plan.record, change=identity), indent=1, sort_keys=True) + "\n"
        files.put({base + RECORD: Image(text.encode(), 0o600)}, label)
    else:
        files.put({base + RECORD: Image()}, label)


def _steps(base: str, run: Runner, plan: Plan, label: Label) -> None:
    profiles, others = _stored(plan, True), _stored(plan, False)
    # Towards zones of ours the zones come first; away from them the profiles, which must never name a zone that is not there.
    for part in (others, profiles) if plan.record else (profiles, others):
        _store(base, part, label)
        if part is others:
            _firewalld(run, plan)
            _nft(base, run, plan)
        else:
            _moves(base, run, plan, label)


def carry_out(base: str, run: Runner, seen: Seen, plan: Plan, *, seconds: int, label: Label = no_label) -> str:
    """Carry a change out and return its identity, by which it has to be confirmed.

    :param seconds: after which it is undone otherwise.
    :raises FirewallError: it failed, and was undone.
    :raises undo.UndoError: another change is being carried out, and nothing was changed; or a change that failed could not be undone.
    :raises OSError: the undo could not be had ready, and nothing was changed.
    """
    identity = secrets.token_hex(8)
    try:
        with undo.alone(base):
            undo.prepare(base, seen, plan, identity, label)
            undo.arm(base, run, seconds, label)
            _steps(base, run, plan, label)
            _remember(base, plan, identity, label)
    except (FirewallError, undo.UndoError, OSError) as error:
        if undo.open_change(base) != identity:
            raise
        try:
            undo.now(base, run)
        except undo.UndoError as worse:
            raise undo.UndoError(f"{error}. {worse}") from error
        raise FirewallError(f"{error}. The host has its former filter") from error
    return identity


def remaining(base: str, run: Runner, wanted: Wanted, machine: Host) -> List[str]:
    """Return what differs still, after a change."""
    again = planning.build(wanted, replace(look(base, run, wanted, machine), pending=False))
    # Zones by source, policies and other tables may still be in the way of what the zones let in.
    return again.faults + again.actions() + (planning_table.closed(wanted, machine, ruleset(run) or []) if wanted.present else [])


def forget(base: str) -> None:
    """Remove what is left of our own where nothing has to be remembered any more."""
    for path in (undo.SCRIPT, undo.UNDONE):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(base + path)
    for path in (os.path.dirname(RECORD), os.path.dirname(os.path.dirname(RECORD))):
        with contextlib.suppress(OSError):
            os.rmdir(base + path)
