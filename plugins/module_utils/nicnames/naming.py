# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives a set of interfaces their names: live where the kernel can, else switched off for it, in two turns where names go round.

It starts from whatever names there are, so it goes forward, back, and on from where an earlier attempt was cut off.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from typing import Callable, Dict, List, Mapping, Optional, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import replay, rtnl
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.journal import Port
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.manager import Device, Manager
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.rtnl import Link
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.turns import turns

CLASS = "/sys/class/net"
#: Seconds within which NetworkManager must have noticed a name.
NOTICE_SECONDS = 20.0
#: A card of 400 Gb/s that was switched off needs many seconds until it has a link again.
LINK_SECONDS = 60.0
LOWER_UP = 0x10000
ATTEMPTS = 5

Log = Callable[[str], None]


class NamingError(Exception):
    """A name could not be given; the text says which and why."""


def pci_of(name: str) -> str:
    """Return the PCI address of an interface's function, empty where there is none."""
    parts = os.path.realpath(f"{CLASS}/{name}/device").split("/")
    # A virtio device has a directory of its own below its PCI function's.
    return next((part for part in reversed(parts) if len(part) == 12 and part[4] == part[7] == ":" and part[10] == "."), "")


def _only(found: List[Link]) -> Optional[Link]:
    return found[0] if len(found) == 1 else None


def find(port: Port, links: Sequence[Link], same_boot: bool) -> Optional[Link]:
    """Return the link of a port, None where it is gone.

    In the same boot the kernel's index tells, unless the driver was loaded again since; then and later the permanent address, and the PCI
    address where that is not enough.
    """
    for link in links:
        if same_boot and link.index == port.index and (not port.mac or link.permanent_mac in ("", port.mac)):
            return link
    cards = [link for link in links if not link.kind]
    having = [link for link in cards if port.mac and link.permanent_mac == port.mac]
    placed = [link for link in having or cards if port.pci and pci_of(link.name) == port.pci]
    if having or placed:
        return _only(having) or _only(placed)
    return None if port.mac or port.pci else _only([link for link in links if link.name in (port.before, port.after)])


class Namer:
    """Renames interfaces of this host.

    :param stubborn: whether it goes on after a fault, as an undo must, which has nothing to go back to.
    """

    def __init__(self, manager: Manager, log: Log, stubborn: bool = False):
        self._manager = manager
        self._log = log
        self._stubborn = stubborn
        #: Names now of those that were switched off for it, which costs them addresses.
        self.dropped: List[str] = []
        self._linked: Dict[int, str] = {}

    def carry(self, wanted: Mapping[int, str], devices: Mapping[str, Device]) -> None:
        """Give interfaces their names.

        :param wanted: index to name.
        :param devices: what NetworkManager had, by the names of now; empty where it does not run.
        :raises NamingError: one could not have its name; where it is stubborn, after all others have had theirs.
        """
        faults: List[str] = []
        links = {link.index: link for link in rtnl.links()}
        current = {index: links[index].name for index in wanted if index in links}
        first, late = turns(current, {index: wanted[index] for index in current})
        known = {index: devices[name] for index, name in current.items() if name in devices}
        for turn in (first, late):
            for index, name in turn.items():
                try:
                    self._rename(index, name)
                except (NamingError, OSError) as error:
                    faults.append(str(error))
                    if not self._stubborn:
                        raise
            self._trained()
            self._noticed({name: known[index] for index, name in turn.items() if index in known})
        if faults:
            raise NamingError("; ".join(faults))

    def _fault(self, text: str) -> None:
        if not self._stubborn:
            raise NamingError(text)
        self._log(text)

    def _trained(self) -> None:
        """Wait until those that were switched off have a link again, if they had one."""
        until = time.monotonic() + LINK_SECONDS
        while self._linked:
            up = {link.index for link in rtnl.links() if link.flags & LOWER_UP}
            self._linked = {index: name for index, name in self._linked.items() if index not in up}
            if self._linked and time.monotonic() > until:
                late, self._linked = ", ".join(self._linked.values()), {}
                self._fault(f"{late} had a link and has none {LINK_SECONDS:g} s after it was switched on again")
            elif self._linked:
                time.sleep(0.1)

    def _noticed(self, names: Dict[str, Device]) -> None:
        missing = self._manager.knows(names, NOTICE_SECONDS) if names else []
        if missing:
            self._fault("; ".join(missing))

    def _free(self, name: str, links: Sequence[Link]) -> None:
        """Take a name from whatever has it as an altname: udev gives a device the name that it had."""
        for link in links:
            if name in link.altnames:
                with contextlib.suppress(OSError):
                    rtnl.delete_altname(link.index, name)

    def _rename(self, index: int, name: str) -> None:
        for attempt in range(ATTEMPTS):
            links = rtnl.links()
            link = next((each for each in links if each.index == index), None)
            if link is None:
                raise NamingError(f"an interface that was to be {name} has gone")
            self._free(name, links)
            try:
                self._log(f"{link.name} becomes {name}")
                rtnl.rename(index, name)
                return
            except OSError as error:
                if error.errno == errno.EBUSY:
                    self._down_and_up(link, name)
                    return
                # udev may have given the name back as an altname in between.
                if error.errno != errno.EEXIST or attempt == ATTEMPTS - 1:
                    raise NamingError(f"{link.name} cannot become {name}: {error.strerror}") from error
                time.sleep(0.1)

    def _down_and_up(self, link: Link, name: str) -> None:
        """Rename on a kernel that does it only while the interface is off."""
        self._log(f"{link.name} is switched off for it")
        fault: Optional[OSError] = None
        links = rtnl.links()
        if any(each.index == link.master and each.kind == "team" for each in links):
            raise NamingError(f"{link.name} is a port of a team and would be off for a moment. Fix: network_apply: boot")
        kept = replay.keep(links, link.index)
        try:
            rtnl.switch(link.index, False)
            for _attempt in range(ATTEMPTS):
                try:
                    rtnl.rename(link.index, name)
                    fault = None
                    break
                except OSError as error:
                    fault = error
                    self._free(name, rtnl.links())
                    # Something, as a bond or NetworkManager, has switched it on again.
                    rtnl.switch(link.index, False)
        finally:
            rtnl.switch(link.index, True)
            replay.bring_back(kept)
        if fault is not None:
            raise NamingError(f"{link.name} cannot become {name}: {fault.strerror}") from fault
        self.dropped.append(name)
        if link.flags & LOWER_UP:
            self._linked[link.index] = name
            if link.master:
                self._bonded(name, next((each.name for each in links if each.index == link.master), ""))

    def _bonded(self, name: str, bond: str) -> None:
        """Wait until a bond uses its port again, before the next port is switched off.

        With LACP a port that is up carries nothing until it is in the active aggregator.
        """
        until = time.monotonic() + LINK_SECONDS
        while time.monotonic() < until:
            status, own = (_read(f"{CLASS}/{name}/bonding_slave/{key}") for key in ("mii_status", "ad_aggregator_id"))
            active = _read(f"{CLASS}/{bond}/bonding/ad_aggregator")
            if status is None or (status == "up" and (not active or own == active)):
                return
            time.sleep(0.05)
        self._fault(f"{bond} does not use {name} again {LINK_SECONDS:g} s after that was switched on")


def _read(path: str) -> Optional[str]:
    try:
        with open(path, encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return None
