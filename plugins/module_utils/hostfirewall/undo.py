# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The undo of a change that needs no controller: copies of the files, a script, a timer, and a unit for the next boot.

The change is open from the moment at which C(pending) is there to that at which it is renamed: by the confirmation, or by the script. Only
one of both can rename it, so that a late confirmation and an early timer never meet.

The timer tries several times, nothing that it waits for may hang, and where a try fails SSH is let in for as long as the filter of then
runs: a host that nobody reaches is worse.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
from typing import Dict, Iterator, List, Mapping, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall import nft
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.look import PENDING, STATE, Runner
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.wanted import Plan, Seen
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import files
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.files import Image, Label
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.units import AGAIN

UNDOING, CONFIRMED, UNDONE = f"{STATE}/undoing", f"{STATE}/confirmed", f"{STATE}/undone"
SCRIPT = f"{STATE}/undo.sh"
#: Held while a change or an undo is carried out: a timer that fires in the middle of a change waits for its end. In it is the holder's
#: number.
LOCK = "/run/railyard-firewall.lock"
#: How long it waits, before it ends the holder.
LOCK_SECONDS = 60
#: How long each program of the undo may take; each after one that hung, since they may all wait for the same; and a try as a whole.
STEP_SECONDS, LATER_SECONDS, TRY_SECONDS = 120, 10, 600
#: The change that was confirmed last, for a controller that did not hear so; until the next boot.
KEPT = "/run/railyard-firewall.confirmed"
SSH = 22
TIMER = "railyard-firewall-undo"
SERVICE_PATH, TIMER_PATH = f"/etc/systemd/system/{TIMER}.service", f"/etc/systemd/system/{TIMER}.timer"
# Where a try was cut off, what it would have done at its end is done.
SERVICE_UNIT = f"""\
# {nft.MARK}
[Unit]
Description=Undo a change of the firewall that nobody has confirmed
ConditionPathExists={SCRIPT}

[Service]
Type=oneshot
ExecStart=/bin/sh {SCRIPT} timer
ExecStopPost=-/bin/sh -c 'if [ -e {SCRIPT} ]; then exec /bin/sh {SCRIPT} open; fi'
TimeoutStartSec={TRY_SECONDS}
TimeoutStopSec=120
"""
TIMER_UNIT = f"""\
# {nft.MARK}
[Unit]
Description=Undo a change of the firewall that nobody confirms

[Timer]
@TIMES@
AccuracySec=100ms
Unit={TIMER}.service
"""
BOOT = "railyard-firewall-undo-boot.service"
BOOT_PATH, BOOT_LINK = f"/etc/systemd/system/{BOOT}", f"/etc/systemd/system/sysinit.target.wants/{BOOT}"
BOOT_UNIT = f"""\
# {nft.MARK}
[Unit]
Description=Undo a change of the firewall that nobody has confirmed
DefaultDependencies=no
After=local-fs.target
Before=network-pre.target firewalld.service nftables.service {nft.UNIT} NetworkManager.service shutdown.target
Conflicts=shutdown.target
RequiresMountsFor={STATE}
ConditionPathExists=|{PENDING}
ConditionPathExists=|{UNDOING}

[Service]
Type=oneshot
ExecStart=/bin/sh {SCRIPT} boot

[Install]
WantedBy=sysinit.target
"""
#: Whatever goes wrong, the rest is done all the same, and the timer and the unit of the next boot try again.
HEAD = f"""\
#!/bin/sh
# {nft.MARK}
# Gives a host back the filter that it had: nobody has confirmed that it can still be reached.
# timer: who is in the way is ended; boot: files alone; open: what is left to do where a try was cut off.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mode=${{1:-now}} state=@BASE@{STATE} lock=@BASE@{LOCK} failed=0 limit={STEP_SECONDS}
give() {{ mkdir -p "$(dirname "$2")" && cp -a "$1" "$2.railyard-undo" && mv -f "$2.railyard-undo" "$2" || failed=1; }}
take() {{ rm -f "$1" || failed=1; }}
# What hangs is ended, and what cannot be ended does not keep the lock.
bounded() {{
  timeout -k 5 "$limit" "$@" 9>&-
  set -- $?
  case $1 in 124 | 137) limit={LATER_SECONDS} ;; esac
  return "$1"
}}
update() {{
  path=$(bounded nmcli -t -f UUID,DBUS-PATH connection show | sed -n "s/^$1://p")
  # A profile that is not there has no interface to be moved.
  [ -z "$path" ] || bounded busctl call org.freedesktop.NetworkManager "$path" \\
    org.freedesktop.NetworkManager.Settings.Connection Update2 'a{{sa{{sv}}}}ua{{sv}}' 0 0 0 || failed=1
}}
# In the rules themselves, since who manages them may be what hangs; by firewalld where it keeps them elsewhere.
let_in() {{
  for chain in 'inet {nft.TABLE} input' 'inet firewalld filter_INPUT'; do
    # One word each.
    rules=$(bounded nft list chain $chain 2>/dev/null) || continue
    case $rules in
      *railyard-last-resort*) ;;
      *) bounded nft insert rule $chain tcp dport @PORT@ accept comment '"railyard-last-resort"' ;;
    esac
  done
  bounded nft list table inet firewalld >/dev/null 2>&1 || for zone in $(bounded firewall-cmd --get-zones 2>/dev/null); do
    bounded firewall-cmd --zone="$zone" --add-port=@PORT@/tcp
  done
}}
holder() {{
  number=$(cat "$lock")
  case $number in '' | *[!0-9]*) return ;; esac
  for open in "/proc/$number/fd"/*; do
    if [ "$open" -ef "$lock" ]; then kill -9 "$number"; return; fi
  done
}}
if [ "$mode" = open ]; then
  if [ -d "$state/pending" ] || [ -d "$state/undoing" ]; then let_in; fi
  exit 0
fi
mkdir -p @BASE@/run && exec 9>> "$lock"
if ! flock -w {LOCK_SECONDS} 9; then
  if [ "$mode" = now ]; then echo "another process changes the filter, or undoes that" >&2; exit 1; fi
  # It has had its time, and so has what it may have left behind.
  holder
  flock -w 10 9
fi
echo $$ > "$lock"
[ -d "$state/undoing" ] || mv "$state/pending" "$state/undoing" 2>/dev/null || exit 0
cd "$state/undoing" || exit 1
. ./files.sh
bounded sync
if [ "$mode" != boot ]; then . ./live.sh; fi
if [ "$failed" != 0 ]; then
  if [ "$mode" = boot ]; then bounded systemctl --no-block start {TIMER}.timer; else let_in; fi
  exit 1
fi
cp id "$state/undone"
cd / && rm -rf "$state/undoing"
rm -f @BASE@{BOOT_LINK} @BASE@{BOOT_PATH} @BASE@{SERVICE_PATH} @BASE@{TIMER_PATH} @BASE@{SCRIPT}
if [ "$mode" = timer ]; then
  bounded systemctl stop {TIMER}.timer
  bounded systemctl daemon-reload
fi
exit 0
"""


class UndoError(Exception):
    """The undo cannot be had ready, or did not work; the text says why, and what to do."""


def _save(base: str, paths: List[str], label: Label) -> str:
    """Keep copies of files, and return the script's part that gives them back."""
    lines = []
    for number, path in enumerate(paths):
        lines.append(f"rm -f {shlex.quote(files.unfinished(base + path))}")
        held = files.image(base + path)
        if held.content is None:
            lines.append(f"take {shlex.quote(base + path)}")
            continue
        files.put({f"{base}{PENDING}.new/{number}": held}, label)
        lines.append(f"give {number} {shlex.quote(base + path)}")
    return "\n".join([*lines, ""])


def _live(base: str, seen: Seen, plan: Plan) -> str:
    """Return the script's part that makes the services follow the files."""
    lines = []
    if plan.manager:
        lines.append("bounded nmcli connection reload || failed=1")
        lines += [f"update {shlex.quote(uuid)}" for uuid in plan.touched.values()]
        # The update has written them in NetworkManager's own way.
        lines += [". ./files.sh", "bounded nmcli connection reload || failed=1"] if plan.touched else []
    if plan.reload or plan.moves:
        lines.append("bounded firewall-cmd --reload || failed=1")
        for name in plan.moves:
            former = next((zone for zone, row in (seen.runtime or {}).items() if name in row.interfaces), "")
            if former:
                lines.append(f"bounded firewall-cmd --zone={shlex.quote(former)} --change-interface={shlex.quote(name)} || failed=1")
    if plan.load is not None:
        table = f"{nft.FAMILY} {nft.TABLE}"
        loaded = nft.there(seen.ruleset or [])
        if loaded:
            lines.append(f"bounded nft -f {shlex.quote(base + nft.PATH)} || failed=1")
        else:
            lines.append(f"bounded systemctl stop {nft.UNIT} 2>/dev/null; bounded nft delete table {table} 2>/dev/null")
    if plan.linked is not None or nft.UNIT_PATH in plan.files:
        lines.append("bounded systemctl daemon-reload")
    return "\n".join([*lines, ""])


def prepare(base: str, seen: Seen, plan: Plan, identity: str, label: Label) -> None:
    """Have the undo ready on the disk, before the first change.

    :param identity: of the change.
    :raises OSError: the file system refused.
    """
    forming = f"{base}{PENDING}.new"
    shutil.rmtree(forming, ignore_errors=True)
    shutil.rmtree(base + CONFIRMED, ignore_errors=True)
    os.makedirs(forming, mode=0o700)
    os.chmod(base + STATE, 0o700)
    link = f"ln -sf {shlex.quote(nft.UNIT_PATH)} {shlex.quote(base + nft.LINK)}" if seen.linked else f"take {shlex.quote(base + nft.LINK)}"
    restored = _save(base, [*plan.files, f"{STATE}/record.json"], label) + (f"{link}\n" if plan.linked is not None else "")
    rows = {"files.sh": restored, "live.sh": _live(base, seen, plan), "id": identity + "\n"}
    files.put({f"{forming}/{name}": Image(text.encode(), 0o600) for name, text in rows.items()}, label)
    port = seen.host.connection.port if seen.host.connection else SSH
    files.put({
        base + SCRIPT: Image(HEAD.replace("@BASE@", base).replace("@PORT@", str(port)).encode(), 0o700),
        base + BOOT_PATH: Image(BOOT_UNIT.encode()),
    }, label)
    if not os.path.islink(base + BOOT_LINK):
        os.makedirs(os.path.dirname(base + BOOT_LINK), exist_ok=True)
        os.symlink(BOOT_PATH, base + BOOT_LINK)
        files.settle(os.path.dirname(base + BOOT_LINK))
    os.rename(forming, base + PENDING)
    files.settle(base + STATE)


@contextlib.contextmanager
def alone(base: str) -> Iterator[None]:
    """Keep undos and other changes away for as long as this lasts.

    :raises UndoError: another change is carried out.
    """
    os.makedirs(f"{base}/run", exist_ok=True)
    with open(base + LOCK, "a", encoding="ascii") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UndoError("Another change of this host's filter is being carried out. Fix: run again when it has ended") from error
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def arm(base: str, run: Runner, seconds: int, label: Label) -> None:
    """Start the timer.

    :param seconds: after which it undoes; it tries again some times after that.
    :raises UndoError: it does not run.
    """
    run(["systemctl", "stop", f"{TIMER}.timer"])
    run(["systemctl", "reset-failed", f"{TIMER}.service"])
    times = "\n".join(f"OnActiveSec={seconds + later}s" for later in AGAIN)
    files.put({
        base + SERVICE_PATH: Image(SERVICE_UNIT.encode()),
        base + TIMER_PATH: Image(TIMER_UNIT.replace("@TIMES@", times).encode()),
    }, label)
    for words in (["daemon-reload"], ["restart", f"{TIMER}.timer"], ["is-active", "--quiet", f"{TIMER}.timer"]):
        rc, out, err = run(["systemctl", *words])
        if rc != 0:
            said = " ".join((err or out).split()) or f"exit status {rc}"
            raise UndoError(
                f"The timer that undoes the change did not start ({said}). Nothing was changed. Fix: systemd must run this host"
            )


def disarm(base: str, run: Runner) -> None:
    """Stop the timer, and remove what has undone or would undo."""
    run(["systemctl", "stop", f"{TIMER}.timer"])
    for path in (BOOT_LINK, BOOT_PATH, SERVICE_PATH, TIMER_PATH, SCRIPT):
        if os.path.lexists(base + path):
            os.unlink(base + path)
    run(["systemctl", "daemon-reload"])


def now(base: str, run: Runner) -> None:
    """Undo at once.

    :raises UndoError: something could not be given back; the timer tries again, and the unit of the next boot.
    """
    rc, out, err = run(["/bin/sh", base + SCRIPT])
    if rc != 0:
        raise UndoError(
            f"The filter that was there could not be given back wholly: {' '.join((err or out).split()) or f'exit status {rc}'}. SSH is "
            f"let in, and the timer {TIMER} tries again. Fix: see {UNDOING}, and journalctl -u {TIMER}"
        )
    disarm(base, run)


def open_change(base: str) -> str:
    """Return the identity of a change that is not confirmed, empty where there is none."""
    for path in (PENDING, UNDOING):
        identity = _identity(f"{base}{path}/id")
        if identity:
            return identity
    return ""


def _identity(path: str) -> str:
    try:
        with open(path, encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def confirm(base: str, run: Runner, identity: str, last: Optional[str]) -> Tuple[bool, str]:
    """Close a change, and return whether that changed something, and a fault.

    :param last: the change that was confirmed last, by the record.
    """
    if _identity(f"{base}{PENDING}/id") != identity:
        if _identity(base + UNDONE) == identity or _identity(f"{base}{UNDOING}/id") == identity:
            return False, (
                f"Change {identity} was undone: it was not confirmed in time. The host has its former filter. "
                "Fix: find out why the host could not be reached, or raise network_firewall_confirm_seconds"
            )
        known = identity in (last, _identity(base + KEPT))
        return False, "" if known else f"There is no change {identity} on this host. Fix: run the stage again"
    try:
        os.rename(base + PENDING, base + CONFIRMED)
    except FileNotFoundError:
        return False, f"Change {identity} is being undone at this moment. Fix: run the stage again"
    files.settle(base + STATE)
    disarm(base, run)
    shutil.rmtree(base + CONFIRMED, ignore_errors=True)
    # The record may go with what was confirmed.
    files.put({base + KEPT: Image(f"{identity}\n".encode(), 0o600)})
    return True, ""


def kept(base: str) -> Mapping[str, Optional[bytes]]:
    """Return what the undo would give back, by path: content, or None for a file that goes."""
    found: Dict[str, Optional[bytes]] = {}
    try:
        with open(f"{base}{PENDING}/files.sh", encoding="utf-8") as stream:
            rows = [shlex.split(line) for line in stream]
    except OSError:
        return {}
    for row in rows:
        if row and row[0] == "take":
            found[row[1][len(base) :]] = None
        elif row and row[0] == "give":
            found[row[2][len(base) :]] = files.image(f"{base}{PENDING}/{row[1]}").content
    return found
