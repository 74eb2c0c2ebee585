# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What undoes an open transaction when nobody else does: a timer while the host runs, a unit at its next boot."""

from __future__ import annotations

import os
import shlex
from typing import Dict, List

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import files, journal
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.files import Image, Label
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.journal import Journal
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.manager import Runner

UNITS = "/etc/systemd/system"
UNDO, BOOT, TIMER = "railyard-nic-names-undo.service", "railyard-nic-names-boot.service", "railyard-nic-names-undo.timer"
WATCH, WATCH_TIMER = "railyard-nic-names-watch.service", "railyard-nic-names-watch.timer"
LINK = f"{UNITS}/sysinit.target.wants/{BOOT}"
PROGRAM = f"{journal.DIRECTORY}/undo.pyz"
#: Seconds after the first time at which the timer tries again, where the undo could not be finished.
AGAIN = (0, 300, 900, 1800)
WATCH_SECONDS = 60

#: Of systemctl, for a unit that systemd does not know.
NOT_LOADED = 5

_MARK = "# Made by railyard.sglang, module nic_names, for an open transaction; it goes with that."
_UNDO = """{mark}
[Unit]
Description=Give network interfaces back their former names

[Service]
Type=oneshot
ExecStart={python} {program} timer {id}
TimeoutStartSec=600
"""
# Before the network is configured, after the devices and the directories are there.
_BOOT = """{mark}
[Unit]
Description=Finish or undo a renaming of network interfaces that was open at the shutdown
DefaultDependencies=no
Conflicts=shutdown.target
Wants=network-pre.target systemd-udevd.service
After=local-fs.target systemd-udevd.service systemd-udev-trigger.service
Before=network-pre.target NetworkManager.service shutdown.target
RequiresMountsFor={directory} {python} /etc /usr
ConditionPathExists={pending}/journal.json

[Service]
Type=oneshot
ExecStart={python} {program} boot
TimeoutStartSec=300
"""
_TIMER = """{mark}
[Unit]
Description=Undo a renaming of network interfaces that nobody confirms

[Timer]
{times}
AccuracySec=100ms
Unit={undo}
"""


# Between the writing of the files and the boot that gives the names.
_WATCH = """{mark}
[Unit]
Description=Undo a renaming of network interfaces at the next boot, where they lose their profiles before it

[Service]
Type=oneshot
ExecStart={python} {program} watch {id}
TimeoutStartSec=600
"""
_WATCH_TIMER = """{mark}
[Unit]
Description=See whether network interfaces that are renamed at the next boot have their profiles

[Timer]
OnActiveSec={watch}s
OnUnitActiveSec={watch}s
AccuracySec=1s
Unit={watcher}
"""


class UnitError(Exception):
    """systemd did not take the timer."""


def texts(python: str, seconds: int, transaction: str, at_boot: bool = True) -> Dict[str, str]:
    """Return path to text of the unit files.

    :param python: the interpreter that runs the program.
    :param seconds: time until the timer undoes.
    :param transaction: its identifier; the timer leaves any other alone.
    :param at_boot: whether the names change at the next boot, which takes what watches over the host until then.
    """
    times = "\n".join(f"OnActiveSec={seconds + later}s" for later in AGAIN)
    values = {"mark": _MARK, "python": shlex.quote(python), "program": PROGRAM, "directory": journal.DIRECTORY,
              "pending": journal.PENDING, "times": times, "undo": UNDO, "id": transaction,
              "watch": str(WATCH_SECONDS), "watcher": WATCH}
    rows = {UNDO: _UNDO, BOOT: _BOOT, TIMER: _TIMER, **({WATCH: _WATCH, WATCH_TIMER: _WATCH_TIMER} if at_boot else {})}
    return {f"{UNITS}/{name}": text.format(**values) for name, text in rows.items()}


def _systemctl(run: Runner, *words: str) -> None:
    rc, out, err = run(["systemctl", *words])
    if rc != 0:
        raise UnitError(f"systemctl {' '.join(words)}: {' '.join((err or out).split()) or rc}")


def install(run: Runner, python: str, opened: Journal, label: Label) -> None:
    """Enable the unit of the next boot, have systemd read all three, and try the undo once, while there is nothing to undo.

    :raises UnitError: systemd refused, or cannot run the undo.
    :raises OSError: the file system refused.
    """
    files.put({path: Image(text.encode()) for path, text in texts(python, opened.seconds, opened.id, opened.at_boot).items()}, label)
    os.makedirs(os.path.dirname(LINK), exist_ok=True)
    if not os.path.islink(LINK):
        os.symlink(f"{UNITS}/{BOOT}", LINK)
    files.settle(os.path.dirname(LINK))
    _systemctl(run, "daemon-reload")
    try:
        _systemctl(run, "start", UNDO)
    except UnitError as error:
        raise UnitError(
            f"systemd cannot run {python}, which would undo a failed change ({error}). "
            "Fix: set ansible_python_interpreter to a Python of the system, for example /usr/bin/python3"
        ) from error


def arm(run: Runner, wait: bool = True, timer: str = TIMER) -> None:
    """Start the timer.

    :param wait: whether to wait until it runs; at an early boot that could be for ever.
    :param timer: another one than that of the undo.
    :raises UnitError: it does not run.
    """
    _systemctl(run, *([] if wait else ["--no-block"]), "restart", timer)
    if wait:
        _systemctl(run, "is-active", "--quiet", timer)


def there() -> bool:
    """Whether anything of it is on the host."""
    return any(os.path.lexists(path) for path in [*texts("", 0, ""), LINK, PROGRAM])


def remove(run: Runner) -> List[str]:
    """Stop the timer and remove everything; return what is against it.

    The service is not stopped: it may be what runs this.
    """
    faults = []
    timers = [TIMER, *([WATCH_TIMER] if os.path.exists(f"{UNITS}/{WATCH_TIMER}") else [])]
    rc, out, err = run(["systemctl", "stop", *timers])
    if rc not in (0, NOT_LOADED):
        faults.append(" ".join((err or out).split()))
    if os.path.islink(LINK):
        os.unlink(LINK)
    # A running program goes on without its file.
    files.put({path: Image() for path in [*texts("", 0, ""), PROGRAM]})
    rc, out, err = run(["systemctl", "daemon-reload"])
    if rc != 0:
        faults.append(" ".join((err or out).split()))
    return faults
