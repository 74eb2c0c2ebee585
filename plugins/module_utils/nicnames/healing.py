# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings interfaces back what they carried: NetworkManager's part first, then what nobody manages."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Collection, List, Mapping, Set

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import extras, situation
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.manager import CONNECTED, Manager, Runner
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.naming import Log
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.situation import FAMILIES, Situation, moved

POLL_SECONDS = 0.3
#: An address that goes may take others with it: those of its network that came after it.
ROUNDS = 4


@dataclass
class Healer:
    """Compares what interfaces carry with what they carried before, and mends.

    :ivar before: what they carried.
    :ivar names: name before to name now.
    :ivar stale: name before to the name that they had until now.
    """

    run: Runner
    manager: Manager
    before: Situation
    names: Mapping[str, str]
    stale: Mapping[str, str]
    log: Log

    def _here(self, name: str) -> str:
        return self.names.get(name, name)

    def now(self, managed: bool = True) -> Situation:
        """Return what they carry now.

        :param managed: whether NetworkManager is asked, too, which may take long.
        """
        names = sorted({*self.names, *self.before.addresses, *self.before.devices, *self.before.mtus})
        return situation.look(self.run, self.manager if managed else None, [self._here(name) for name in names])

    def lacking(self, seconds: float = 0.0) -> List[str]:
        """Return what is lacking at the end of a time in which it may come back by itself."""
        until = time.monotonic() + seconds
        while True:
            found = situation.lacking(self.before, self.now(), self.names)
            if not found or time.monotonic() >= until:
                return found
            time.sleep(POLL_SECONDS)

    def wrong(self, seconds: float, doubtful: Collection[str]) -> List[str]:
        """Return what is lacking, or too much, at the end of a time in which it may come right by itself.

        :param doubtful: interfaces of which also what is too much counts, by their names before.
        """
        until = time.monotonic() + seconds
        while True:
            now = self.now()
            found = situation.lacking(self.before, now, self.names) + extras.find(self.before, now, self.names, doubtful).told()
            if not found or time.monotonic() >= until:
                return found
            time.sleep(POLL_SECONDS)

    def doubtful(self) -> Set[str]:
        """Return the interfaces on which something wrong may be in force, by their names before."""
        return extras.doubtful(self.before, self.now(), self.names)

    def rules(self) -> None:
        """Have routing rules name the interfaces as they are called now: the kernel does not follow a rename there."""
        for family in FAMILIES:
            rows = self.before.rules.get(family, [])
            wanted, stale = ([moved(row, names) for row in rows] for names in (self.names, self.stale))
            for row in wanted:
                if row not in stale:
                    self.run(["ip", f"-{family}", "rule", "add", *row.split()])
            for row in stale:
                if row not in wanted:
                    self.run(["ip", f"-{family}", "rule", "del", *row.split()])

    def zones(self) -> None:
        """Have firewalld know the interfaces by the names of now, in the zones of before."""
        for zone, inside in self.before.zones.items():
            moves = {self.stale.get(name, name): self._here(name) for name in inside}
            stale = [f"--remove-interface={old}" for old, new in moves.items() if old not in moves.values()]
            if all(old == new for old, new in moves.items()):
                continue
            self.log(f"firewalld: zone {zone} has {', '.join(moves.values())}")
            for options in (stale, [f"--change-interface={new}" for new in moves.values()]):
                rc, out, err = self.run(["firewall-cmd", f"--zone={zone}", *options]) if options else (0, "", "")
                if rc != 0:
                    self.log(f"firewall-cmd: {' '.join((err or out).split()) or rc}")

    def zones_ahead(self) -> None:
        """Have firewalld know the interfaces by the names that they are about to get, too, not in the default zone."""
        for zone, inside in self.before.zones.items():
            moves = {self.stale.get(name, name): self._here(name) for name in inside}
            for new in sorted(set(moves.values()) - set(moves)):
                self.run(["firewall-cmd", f"--zone={zone}", f"--add-interface={new}"])

    def outside(self) -> List[str]:
        """Return the interfaces that firewalld does not have in the zone of before, a sentence without an end each."""
        if not self.before.zones:
            return []
        wanted = {self._here(name): zone for zone, inside in self.before.zones.items() for name in inside}
        now = {name: zone for zone, inside in situation.active_zones(self.run, wanted).items() for name in inside}
        return [f"firewalld does not have {name} in zone {zone}" for name, zone in wanted.items() if now.get(name) != zone]

    def primaries_aside(self) -> None:
        """Have bonds forget a primary port whose name another interface is about to get.

        The kernel (6.12, bond_netdev_event) takes whatever gets that name for the primary port: two that change places would cost the
        bond two switches of its active port.
        """
        taken = {after for before, after in self.names.items() if before != after}
        for bond, port in self.before.primaries.items():
            if port in taken:
                self._primary(bond, "")

    def primaries(self) -> None:
        """Give bonds their primary port, which the kernel forgets when that gets another name."""
        for bond, port in self.before.primaries.items():
            self._primary(bond, self._here(port))

    def _primary(self, bond: str, port: str) -> None:
        path = f"/sys/class/net/{bond}/bonding/primary"
        try:
            with open(path, "r+", encoding="ascii") as stream:
                if stream.read().strip() != port:
                    self.log(f"{bond}: primary {port or 'none'}")
                    stream.write(port + "\n")
        except OSError as error:
            self.log(f"{path}: {error.strerror}")

    def activate(self, doubtful: Collection[str] = ()) -> List[str]:
        """Activate the former profiles on devices that have lost theirs, or an address.

        :returns: on which doubtful devices they are not in force, and why.
        :param doubtful: devices on which something else may be in force under the same profile, by their names before.
        """
        faults: List[str] = []
        now = self.now()
        for name, device in self.before.devices.items():
            here = self._here(name)
            seen = now.devices.get(here)
            poor = [row for row in self.before.addresses.get(name, []) if row not in now.addresses.get(here, [])]
            if device.state != CONNECTED or not device.uuid:
                continue
            whole = seen is not None and (seen.state, seen.uuid) == (device.state, device.uuid) and not poor
            if whole and name not in doubtful:
                continue
            # It disturbs less, and is refused where what is in force names another interface.
            if whole and not self.manager.reapply(here):
                self.log(f"{here} has its profile applied anew")
                continue
            fault = self.manager.activate(device.uuid, here)
            self.log(f"activated {device.uuid} on {here}{': ' + fault if fault else ''}")
            faults += [f"NetworkManager has on {here} something else than its former profile in force ({fault})"] if fault and whole else []
        return faults

    def _words(self, name: str, row: str) -> List[str]:
        """Return how an address is added to an interface as it is called now."""
        words = list(self.before.words.get(name, {}).get(row, [row]))
        if "label" in words[:-1]:
            place = words.index("label") + 1
            words[place] = self._here(name) + words[place][len(name) :] if words[place].startswith(f"{name}:") else words[place]
        return words

    def by_hand(self, exact: bool = False) -> None:
        """Bring back addresses, routes and rules without a manager.

        :param exact: whether routes have their former metrics, too.
        """
        now = self.now(managed=False)
        for name, rows in self.before.addresses.items():
            here = self._here(name)
            for row in [*self.before.words.get(name, {}), *rows]:
                if row in rows and row not in now.addresses.get(here, []):
                    self.run(["ip", "address", "add", *self._words(name, row), "dev", here])
                    now.addresses.setdefault(here, []).append(row)
        # Routes may have come with the addresses.
        now = self.now(managed=False)
        for family in FAMILIES:
            have = set(now.routes.get(family, [])) if exact else situation.ways(now.routes.get(family, []))
            for row in self.before.rules.get(family, []):
                wanted = moved(row, self.names)
                if wanted not in now.rules.get(family, []):
                    self.run(["ip", f"-{family}", "rule", "add", *wanted.split()])
            # What others go by comes first.
            for row in sorted(self.before.routes.get(family, []), key=lambda row: " via " in row):
                wanted = moved(row, self.names)
                if not ({wanted} if exact else situation.ways([wanted])) <= have:
                    self.run(["ip", f"-{family}", "route", "append", *wanted.split()])

    def mend(self, doubtful: Collection[str], exact: bool = False) -> None:
        """Bring back what is lacking, then take away what is too much; from an interface that lacks something nothing is taken.

        :param doubtful: the interfaces that something is taken from, by their names before.
        """
        for _round in range(ROUNDS):
            self.by_hand(exact)
            now = self.now(managed=False)
            whole = set(doubtful) - extras.incomplete(self.before, now, self.names)
            found = extras.find(self.before, now, self.names, whole)
            if not found:
                return
            for text in found.told():
                self.log(text)
            for family, row in found.routes:
                self.run(["ip", f"-{family}", "route", "del", *row.split()])
            for family, row in found.rules:
                self.run(["ip", f"-{family}", "rule", "del", *row.split()])
            for here, row in found.addresses:
                words = now.words.get(here, {}).get(row, [row])
                self.run(["ip", "address", "del", *(words[:3] if "peer" in words else [row]), "dev", here])
        self.by_hand(exact)
