# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NetworkManager through nmcli: which device has which profile, and what makes it look again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Tuple

#: Runs a command: exit status, output, errors. It ends by itself: 124 where the command did not in time, 127 where there is none.
Runner = Callable[[List[str]], Tuple[int, str, str]]

CONNECTED = "connected"
#: Of nmcli, and of a shell that finds none.
NOT_RUNNING, NO_PROGRAM = 8, 127
POLL_SECONDS = 0.2
RESTART_SECONDS = 30.0


@dataclass(frozen=True)
class Device:
    """A device as NetworkManager has it.

    :ivar state: for example C(connected), C(disconnected), C(unmanaged), C(connecting (getting IP configuration)).
    :ivar uuid: of the active profile, empty without one.
    """

    state: str
    uuid: str = ""


class ManagerError(Exception):
    """NetworkManager did not do what it was asked for."""


def parse(output: str) -> Dict[str, Device]:
    """Return the devices of C(nmcli -t -e no -f DEVICE,STATE,CON-UUID device)."""
    found = {}
    for line in output.splitlines():
        name, _colon, rest = line.partition(":")
        state, _colon, uuid = rest.rpartition(":")
        if name and state:
            found[name] = Device(state, "" if uuid == "--" else uuid)
    return found


class Manager:
    """The NetworkManager of this host, which may not run."""

    def __init__(self, run: Runner):
        self._run = run

    def devices(self, strict: bool = False) -> Dict[str, Device]:
        """Return the devices by name; none where NetworkManager does not run.

        :param strict: whether no answer is an error.
        :raises OSError: it runs and does not answer.
        """
        rc, out, err = self._run(["nmcli", "-t", "-e", "no", "-f", "DEVICE,STATE,CON-UUID", "device"])
        if strict and rc not in (0, NOT_RUNNING, NO_PROGRAM):
            raise OSError(0, f"nmcli device: {' '.join((err or out).split()) or rc}")
        return parse(out) if rc == 0 else {}

    def _do(self, *words: str) -> str:
        """Run nmcli and return what it says against it; empty where it did it."""
        rc, out, err = self._run(["nmcli", *words])
        return "" if rc == 0 else " ".join((err or out).split()) or f"nmcli {' '.join(words)} ended with {rc}"

    def reload(self) -> None:
        """Let it read its profiles again, which changes no active connection.

        :raises ManagerError: it refused.
        """
        fault = self._do("connection", "reload")
        if fault:
            raise ManagerError(f"nmcli connection reload: {fault}")

    def activate(self, uuid: str, device: str) -> str:
        """Activate a profile on a device; return what is against it."""
        return self._do("--wait", "15", "connection", "up", "uuid", uuid, "ifname", device)

    def reapply(self, device: str) -> str:
        """Apply the profile of a device anew, as it is stored now; return what is against it."""
        return self._do("--wait", "15", "device", "reapply", device)

    def restart(self) -> str:
        """Restart it, which keeps addresses, and wait until it answers; return what is against it."""
        rc, out, err = self._run(["systemctl", "restart", "NetworkManager.service"])
        until = time.monotonic() + RESTART_SECONDS
        while not self.devices() and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
        return "" if rc == 0 else " ".join((err or out).split())

    def knows(self, names: Dict[str, Device], seconds: float) -> List[str]:
        """Wait until devices are there, and connected where they were, with whatever profile.

        :param names: name to the state before.
        :returns: what is missing at the end of the time, a sentence without an end each.
        """
        until = time.monotonic() + seconds
        while True:
            now = self.devices()
            missing = [text for name, before in names.items() for text in [lost(name, before, now.get(name))] if text]
            if not missing or time.monotonic() > until:
                return missing
            time.sleep(POLL_SECONDS)


def lost(name: str, before: Device, now: Optional[Device]) -> str:
    """Return what NetworkManager has lost of a device, whatever profile it has; empty where nothing."""
    if now is None:
        return f"NetworkManager does not know {name}"
    if before.state == CONNECTED and now.state != CONNECTED:
        return f"NetworkManager has {name} {now.state}; before it was connected"
    return ""


def difference(name: str, before: Device, now: Optional[Device]) -> str:
    """Return what NetworkManager has lost of a device or its profile; empty where nothing."""
    found = lost(name, before, now)
    if not found and now is not None and before.state == CONNECTED and now.uuid != before.uuid:
        return f"NetworkManager has {name} connected with another profile"
    return found
