# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
""".link files of systemd-udevd: ours, and what those of others do to a network device."""

from __future__ import annotations

import os
import re
from typing import Dict, List, Mapping, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import linkcarry, linkmatch, tokens, unitfile
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic, Reference

DIRECTORY = "/etc/systemd/network"
#: The first directory counts where files of the same name are in several.
DIRECTORIES = (DIRECTORY, "/run/systemd/network", "/usr/local/lib/systemd/network", "/usr/lib/systemd/network", "/lib/systemd/network")
#: Where files of ours are; the name is in the group.
PATH = re.compile(re.escape(DIRECTORY) + r"/70-([^/]+)\.link")
MARK = "# Written by railyard.sglang (nic_names): a change by hand is lost with its next run."


def path(name: str) -> str:
    """Return where the file is that gives a name."""
    return f"{DIRECTORY}/70-{name}.link"


def _conditions(nic: Nic, systemd: int, by_path: bool) -> List[str]:
    place = nic.id_path or (f"pci-{nic.pci}" if nic.pci else "")
    driver = [f"Driver={nic.driver}"] if nic.driver else []
    if linkmatch.infiniband(nic):
        # What a driver calls itself for IPoIB (mlx5_core[ib_ipoib], ib_ipoib) depends on its options, and the address on the boot.
        return [f"Path={place}"] if place else []
    if by_path or nic.virtual_function:
        # A virtual function may have a new address at each boot.
        return [f"Path={place}", *driver] if place else []
    if nic.permanent_mac and systemd >= linkmatch.STRICT:
        # The driver keeps devices out that have the address of the card below them.
        return [f"PermanentMACAddress={nic.permanent_mac}", *driver]
    address = nic.permanent_mac or nic.mac
    if address and driver:
        return [f"MACAddress={address}", *driver]
    return [f"Path={place}", *driver] if place else []


def text(name: str, nic: Nic, systemd: int, by_path: bool = False, repeated: linkcarry.Settings = linkcarry.NONE) -> bytes:
    """Return the file that gives a name to a device at every boot.

    :param systemd: version of udev, since one that does not know a condition takes the file for every device.
    :param by_path: bind the place of the card, not the card.
    :param repeated: settings of the file that udev would apply without this one; as Latin-1.
    :raises ValueError: nothing tells the device from others.
    """
    conditions = _conditions(nic, systemd, by_path)
    if not conditions:
        raise ValueError(f"{nic.name} has no permanent address, no driver and no place on a bus that a .link file could name")
    # The file takes the place of 99-default.link, which sets these.
    alternatives = repeated.alternatives or "database onboard slot path"
    policy = [f"AlternativeNamesPolicy={alternatives}"] if systemd >= linkmatch.STRICT else []
    rows = [MARK, "[Match]", *conditions, "", "[Link]", f"Name={name}", *policy, *repeated.link, *repeated.more, ""]
    return "\n".join(rows).encode("latin-1")


def own(content: bytes) -> bool:
    """Return whether a file is one of ours."""
    return content.startswith(MARK.encode() + b"\n")


def _values(content: bytes) -> List[unitfile.Value]:
    return unitfile.values(tokens.lines(content.decode("latin-1")))


def name(content: bytes) -> str:
    """Return the name that a file gives, empty where it gives none. C(NamePolicy=) in the same file may go before it."""
    found = [value.value for value in _values(content) if (value.section, value.key) == ("Link", "Name")]
    return found[-1].strip() if found else ""


def matches(content: bytes, nic: Nic, systemd: int) -> bool:
    """Return whether udev of a version would apply a file to a device. An empty file masks and is applied to none."""
    return bool(content.strip()) and linkmatch.fits(unitfile.lists(_values(content), "Match"), nic, systemd)


def _rank(file: str) -> Tuple[int, str]:
    above = os.path.dirname(file)
    return (DIRECTORIES.index(above) if above in DIRECTORIES else len(DIRECTORIES), file)


def whole(files: Mapping[str, bytes], file: str) -> bytes:
    """Return a .link file with its drop-ins (C(NAME.link.d/*.conf)). An empty one has none."""
    content = files[file]
    if not content.strip():
        return content
    more: Dict[str, bytes] = {}
    for other in sorted(files, key=_rank):
        above, drop = os.path.split(other)
        if os.path.basename(above) == f"{os.path.basename(file)}.d" and os.path.dirname(above) in DIRECTORIES and drop.endswith(".conf"):
            more.setdefault(drop, files[other])
    return b"\n".join([content, *(more[drop] for drop in sorted(more))])


def first(files: Mapping[str, bytes], nic: Nic, systemd: int) -> str:
    """Return the path of the .link file that udev would apply to a device, empty for none.

    :param files: path to content; others than .link files and their drop-ins are passed over.
    """
    chosen: Dict[str, str] = {}
    for file in sorted(files, key=_rank):
        above, base = os.path.split(file)
        if above in DIRECTORIES and base.endswith(".link"):
            chosen.setdefault(base, file)
    return next((file for _base, file in sorted(chosen.items()) if matches(whole(files, file), nic, systemd)), "")


def rewrite(path_of: str, text_of: str, names: Mapping[str, str]) -> Tuple[str, List[Reference]]:
    """Return a .link file with the new names, and what is not understood.

    C(OriginalName=) is the kernel's name at boot, before anybody renames: it stays and is told.

    :param text_of: decoded as Latin-1.
    :param names: old name to new name.
    """
    lines = tokens.lines(text_of)
    unclear: List[Reference] = []
    for value in unitfile.values(lines):
        line = lines[value.line]
        pattern = tokens.WHOLE if (value.section, value.key) == ("Link", "Name") else tokens.NOWHERE
        new, left = tokens.replaced(value.value, pattern, names)
        unclear += tokens.unclear(path_of, value.line + 1, line, left)
        if new != value.value:
            lines[value.line] = line[: value.begin] + new + line[value.begin + len(value.value) :]
    return "".join(lines), unclear
