# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether systemd-udevd of a version would apply a .link file to a network device."""

from __future__ import annotations

import fnmatch
import re
from typing import Callable, Dict, Mapping, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic

Words = Tuple[str, ...]

#: From here on PermanentMACAddress= is known, and a file without a valid condition is ignored; before, it matches every device.
STRICT = 245
#: Key to the version that brought it. An unknown key is ignored, as if it were not there.
SINCE = {
    "MACAddress": 0,
    "OriginalName": 0,
    "Path": 0,
    "Driver": 0,
    "Type": 0,
    "Host": 0,
    "Virtualization": 0,
    "KernelCommandLine": 0,
    "KernelVersion": 0,
    "Architecture": 0,
    "Property": 243,
    "PermanentMACAddress": STRICT,
    "Firmware": 249,
    "Kind": 251,
    "Credential": 252,
    "Version": 257,
}
#: Kinds of virtual devices whose type is their kind; the others are like a card.
DEVTYPES = ("bond", "bridge", "team", "vlan", "vxlan", "macvlan", "macsec", "geneve", "wlan", "wwan")
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2})+")
_ETHERNET = len("00:00:00:00:00:00")
_KERNEL_NAMES = tuple(f"{stem}{number}" for stem in ("eth", "ib") for number in range(64))


def mac(text: str) -> str:
    """Return an address as the kernel writes it, empty where the text is none."""
    plain = re.sub(r"[.:-]", "", text.strip().lower())
    joined = ":".join(plain[index : index + 2] for index in range(0, len(plain), 2))
    return joined if _MAC.fullmatch(joined) else ""


def _globs(words: Words, values: Words) -> bool:
    """Return whether one of the values fits one of the patterns; a '!' before the first one turns it round."""
    negative = bool(words) and words[0].startswith("!")
    patterns = (words[0][1:], *words[1:]) if negative else words
    fits = any(fnmatch.fnmatchcase(value, pattern) for value in values if value for pattern in patterns if pattern)
    return fits != negative


def infiniband(nic: Nic) -> bool:
    """Return whether a device is one of IPoIB, whose address is a longer one."""
    return len(nic.mac) > _ETHERNET


def _drivers(nic: Nic, systemd: int) -> Words:
    """Return what a driver may call itself where udev asks (by ethtool). For IPoIB that is not the name of its module."""
    if not infiniband(nic):
        return (nic.driver,)
    # Version 239 compares the driver of the card, too.
    return (f"{nic.driver}[ib_ipoib]", "ib_ipoib", *((nic.driver,) if systemd < STRICT else ()))


def _type(nic: Nic, systemd: int) -> Words:
    # Version 239 compares DEVTYPE, and a plain card has none.
    if nic.kind in DEVTYPES:
        return (nic.kind,)
    if systemd < STRICT:
        return ()
    return ("infiniband" if infiniband(nic) else "ether",)


def _property(words: Words, nic: Nic) -> bool:
    known = {"ID_PATH": nic.id_path, "ID_NET_DRIVER": nic.driver}
    pairs = [word.partition("=") for word in words]
    return all(fnmatch.fnmatchcase(known[key], value) for key, _equals, value in pairs if key in known)


def conditions(match: Mapping[str, Words], systemd: int) -> Dict[str, Words]:
    """Return the conditions of a [Match] section that a version takes as such."""
    taken = {key: words for key, words in match.items() if words and SINCE.get(key, 10**6) <= systemd}
    for key in ("MACAddress", "PermanentMACAddress"):
        if key in taken:
            taken[key] = tuple(filter(None, map(mac, taken[key])))
    return {key: words for key, words in taken.items() if words}


def fits(match: Mapping[str, Words], nic: Nic, systemd: int) -> bool:
    """Return whether a [Match] section fits a device.

    What cannot be known counts as fitting: properties of others, conditions on the host, and the name that the kernel will give
    to the device at the next boot (C(OriginalName=)), which is taken to be any of its names for such cards.

    :param match: key to words.
    """
    taken = conditions(match, systemd)
    if not taken:
        return systemd < STRICT
    kernel = (nic.name,) if nic.kind else (nic.name, *_KERNEL_NAMES)
    tests: Dict[str, Callable[[Words], bool]] = {
        "MACAddress": lambda words: nic.mac.lower() in words,
        "PermanentMACAddress": lambda words: nic.permanent_mac.lower() in words,
        "Path": lambda words: _globs(words, (nic.id_path or (f"pci-{nic.pci}" if nic.pci else ""),)),
        "Driver": lambda words: _globs(words, _drivers(nic, systemd)),
        "Type": lambda words: _globs(words, _type(nic, systemd)),
        "Kind": lambda words: _globs(words, (nic.kind,)),
        "OriginalName": lambda words: words[0].startswith("!") or _globs(words, kernel),
        "Property": lambda words: _property(words, nic),
    }
    return all(tests[key](words) for key, words in taken.items() if key in tests)
