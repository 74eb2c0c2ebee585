# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of udev: which name they give to a network device, and the same files without that."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from typing import List, Mapping, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import rdmarules, tokens
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic, Reference

_PART = re.compile(r"""([A-Z_]+)(\{[^}"]*\})?\s*(==|!=|\+=|-=|:=|=)\s*([ei]?)"((?:[^"\\]|\\.)*)\"""")
_KERNEL_NAMES = tuple(f"{stem}{number}" for stem in ("eth", "ib") for number in range(64))
#: Keys that say nothing of which card is meant.
_GENERAL = ("ACTION", "SUBSYSTEM", "SUBSYSTEMS", "NAME", "ATTR{type}", "ATTR{dev_id}", "ATTR{dev_port}")
_ASSIGNED = ("=", ":=", "+=", "-=")


@dataclass(frozen=True)
class Part:
    """A condition or an assignment; its place in the rule's text is from begin to end, that of its value begins at value_begin."""

    key: str
    operator: str
    flag: str
    value: str
    begin: int
    value_begin: int
    end: int


@dataclass(frozen=True)
class Rule:
    """A rule with its continued lines as they are written; line counts from 0."""

    line: int
    text: str
    parts: Tuple[Part, ...]


def pieces(text: str) -> List[Rule]:
    """Return all rules of a file, and its comments and empty lines as rules without parts."""
    found, held, first = [], "", 0
    for number, line in enumerate(tokens.lines(text)):
        if not held:
            first = number
        held += line
        comment = held.lstrip().startswith("#")
        if line.rstrip("\r\n").endswith("\\") and not comment:
            continue
        found.append(_rule(first, held, comment))
        held = ""
    return found + ([_rule(first, held, False)] if held else [])


def _rule(line: int, text: str, comment: bool) -> Rule:
    parts = []
    for match in [] if comment else _PART.finditer(text):
        key, operator, flag, value = match.group(1) + (match.group(2) or ""), match.group(3), match.group(4), match.group(5)
        parts.append(Part(key, operator, flag, value, match.start(), match.start(5), match.end()))
    return Rule(line, text, tuple(parts))


def _is_name(part: Part) -> bool:
    # udev takes '+=' for '=', since there is one name only.
    return part.key == "NAME" and part.operator in ("=", ":=", "+=")


def names_devices(content: bytes) -> bool:
    """Return whether a file has a rule that gives a name to a device."""
    return any(_is_name(part) for rule in pieces(content.decode("latin-1")) for part in rule.parts)


def _known(key: str, nic: Nic, name: str = "") -> Optional[Tuple[str, ...]]:
    """Return the values of a key for a device when it appears at boot, None where they cannot be known.

    :param name: that earlier rules gave to it.
    """
    address = (nic.permanent_mac or nic.mac).lower()
    # The kernel's name at boot is not known: any that it gives to such cards.
    kernel = (nic.name,) if nic.kind else (nic.name, *_KERNEL_NAMES)
    known = {
        "ACTION": ("add",),
        "SUBSYSTEM": ("net",),
        "ATTR{address}": (address,),
        "ATTRS{address}": (address,),
        "KERNEL": kernel,
        "ENV{INTERFACE}": kernel,
        "KERNELS": (nic.pci,),
        "DRIVERS": (nic.driver,),
        "ENV{ID_NET_DRIVER}": (nic.driver,),
        "ENV{ID_PATH}": (nic.id_path or (f"pci-{nic.pci}" if nic.pci else ""),),
        "ATTR{phys_port_name}": (nic.port_name,),
        "ATTR{type}": ("32" if len(nic.mac) > len("00:00:00:00:00:00") else "1",),
        "NAME": (name,),
    }
    if re.fullmatch(r"ENV\{ID_NET_NAME(?:_PATH|_SLOT|_ONBOARD|_MAC|)\}", key):
        return (nic.name, *nic.altnames)
    return known.get(key)


def _fits(part: Part, nic: Nic, name: str) -> bool:
    known = _known(part.key, nic, name)
    if known is None:
        return True
    patterns, values = part.value.split("|"), known
    if part.flag == "i":
        patterns, values = [pattern.lower() for pattern in patterns], tuple(value.lower() for value in known)
    hit = any(fnmatch.fnmatchcase(value, pattern) for value in values for pattern in patterns)
    # Of several possible names the wanted one may be another than the excluded one.
    return hit if part.operator == "==" else not hit or len(values) > 1


def _gives(rule: Rule, nic: Nic, name: str = "") -> Optional[Part]:
    """Return the part of a rule that gives a name of its own to a device.

    :param name: that earlier rules gave to it.
    """
    given = [part for part in rule.parts if _is_name(part) and part.value and not re.search(r"[$%]", part.value)]
    tests = [part for part in rule.parts if part.operator in ("==", "!=")]
    chosen = [part for part in tests if part.operator == "==" and part.key not in _GENERAL and _known(part.key, nic)]
    if not given or not chosen or not all(_fits(part, nic, name) for part in tests):
        return None
    return given[-1]


def given(content: bytes, nic: Nic) -> str:
    """Return the name that a file gives to a device at boot, empty where it gives none.

    Each rule counts for itself: jumps (C(GOTO)) are not followed, conditions that cannot be known count as met. A name that another
    program finds (C(%c), C($env{...})) is none that the file gives.
    """
    found = ""
    for rule in pieces(content.decode("latin-1")):
        part = _gives(rule, nic, found)
        if part:
            found = part.value
            if part.operator == ":=":
                break
    return found


def without(content: bytes, nic: Nic) -> bytes:
    """Return a file that gives no name to a device: a rule that does only that goes, another one loses the name alone."""
    kept = []
    for rule in pieces(content.decode("latin-1")):
        if _gives(rule, nic) is None:
            kept.append(rule.text)
            continue
        if all(_is_name(part) for part in rule.parts if part.operator in _ASSIGNED and part.key not in ("GOTO", "PROGRAM")):
            continue
        text = rule.text
        for part in reversed(rule.parts):
            if _is_name(part):
                # With the comma before it, or with the one after it where it comes first.
                before = re.search(r"[,\s]*\Z", text[: part.begin])
                begin = before.start() if before else part.begin
                text = text[:begin] + text[part.end :] if begin else re.sub(r"\A[,\s]*", "", text[part.end :])
        kept.append(text)
    return "".join(kept).encode("latin-1")


def rewrite(path: str, text: str, names: Mapping[str, str]) -> Tuple[str, List[Reference]]:
    """Return a rules file with the new names where it gives names, and what is not understood.

    :param text: decoded as Latin-1.
    :param names: old name to new name.
    """
    parts: List[str] = []
    unclear: List[Reference] = []
    for rule in pieces(text):
        if not rule.parts:
            parts.append(rule.text)
            if not rule.text.lstrip().startswith("#"):
                unclear += tokens.unclear(path, rule.line + 1, rule.text, tokens.words(rule.text, names))
            continue
        done, rest = 0, ""
        for part in rule.parts:
            if _is_name(part) and part.value in names:
                parts += [rule.text[done : part.value_begin], names[part.value]]
                rest += rule.text[done : part.value_begin]
                done = part.value_begin + len(part.value)
        parts.append(rule.text[done:])
        unclear += tokens.unclear(path, rule.line + 1, rule.text, tokens.words(rest + rule.text[done:], names))
    return "".join(parts), unclear


def rdma_text(by_pci: Mapping[str, str], vendor: bytes = b"") -> bytes:
    """Return the rules that give lasting names to RDMA devices, the content of C(rdmarules.PATH).

    :param by_pci: PCI address of the function to the name of its RDMA device.
    :param vendor: rdma-core's own rules, which stay in force for all other devices.
    :raises ValueError: an address or a name that would not be safe in a rule.
    """
    return rdmarules.text(by_pci, vendor)
