# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which name becomes which: in the kernel, and in files, which may call a port by another name than the kernel does.

Files speak of a port by the name that the last run gave it. The kernel does, too, unless that name comes with the next boot only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import record
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.identify import Found, Pair, by_key, candidates
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.record import Entry
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic, Seen


@dataclass(frozen=True)
class Port:
    """A port with the name that it gets.

    :ivar after: the new name.
    :ivar entry: what the record knows of it, None for nothing.
    :ivar pair: how it is wanted; None where it goes back to its former name.
    :ivar here: whether the host has it.
    """

    key: str
    nic: Nic
    after: str
    entry: Optional[Entry] = None
    pair: Optional[Pair] = None
    here: bool = True

    @property
    def spoken(self) -> str:
        """The name by which files call it."""
        return str(self.entry["name"]) if self.entry else self.nic.name


@dataclass
class Names:
    """All ports that get or keep a name by this call.

    :ivar resting: record's key to entry of ports that the call says nothing of; they keep their names.
    """

    ports: List[Port] = field(default_factory=list)
    resting: Dict[str, Entry] = field(default_factory=dict)

    def moves(self) -> List[Tuple[Nic, str]]:
        """Return the devices of the kernel with their new names."""
        return [(port.nic, port.after) for port in self.ports if port.here]

    def in_files(self) -> Dict[str, str]:
        """Return the names in files to the new ones."""
        spoken = {port.spoken: port.after for port in self.ports}
        live = {port.nic.name: port.after for port in self.ports if port.here and port.nic.name not in spoken}
        return {old: new for old, new in {**live, **spoken}.items() if old != new}


def _entry(known: Dict[str, Entry], pair: Pair, replaced: Dict[str, str]) -> Tuple[str, Optional[Entry]]:
    """Return what the record knows of a port, by whichever way it was wanted before.

    :param replaced: PCI address to record's key of cards that are gone: another one in that place takes their part over.
    """
    # A virtual function may have the address of its card, and is not the card.
    others = [] if pair.nic.virtual_function else [pair.nic.identity, pair.nic.pci, replaced.get(pair.nic.pci, "")]
    for key in [pair.key, *others]:
        if key in known:
            return key, known[key]
    return pair.key, None


def present(seen: Seen, found: Found, remap: bool) -> Names:
    """Return the names that a call gives.

    :param remap: whether ports of earlier calls that this one leaves out go back to their former names.
    """
    known = record.nics(seen.record)
    there = by_key(seen.nics)
    gone = {str(entry["pci"]): key for key, entry in known.items() if key not in there and entry["pci"]}
    names = Names()
    used = set()
    for pair in found.pairs:
        key, entry = _entry(known, pair, gone if remap or pair.wanted.pci else {})
        used.add(key)
        names.ports.append(Port(pair.key, pair.nic, pair.wanted.name, entry, pair, pair.here))
    left = {key: entry for key, entry in known.items() if key not in used}
    if remap:
        names.ports += going_back(seen.nics, left, [pair.nic for pair in found.pairs if pair.here])
    else:
        names.resting = left
    return names


def _heirs(nics: Sequence[Nic], entries: Dict[str, Entry], taken: Sequence[Nic]) -> Dict[str, Nic]:
    """Return record's key to the card that is in the place of one that is gone, where no other port is meant by it."""
    there = by_key(nics)
    others = [*taken, *(there[key] for key in entries if key in there)]
    found: Dict[str, Nic] = {}
    for key, entry in entries.items():
        ports = [nic for nic in candidates(tuple(nics)) if entry["pci"] and nic.pci == entry["pci"]]
        free = [nic for nic in ports if nic.virtual_function == bool(entry["vf"]) and nic not in others]
        if key not in there and len(free) == 1:
            found[key] = free[0]
            others.append(free[0])
    return found


def going_back(nics: Sequence[Nic], entries: Dict[str, Entry], taken: Sequence[Nic] = ()) -> List[Port]:
    """Return ports of the record with their former names.

    :param taken: ports that get names by a call.
    """
    there = {**by_key(nics), **_heirs(nics, entries, taken)}
    found = []
    for key, entry in entries.items():
        nic = there.get(key)
        found.append(Port(key, nic or record.absent_port(entry), str(entry["former"]), entry, None, nic is not None))
    return found
