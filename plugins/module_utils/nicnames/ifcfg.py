# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the network as RHEL 8 has them below /etc/sysconfig/network-scripts: ifcfg files and their siblings."""

from __future__ import annotations

import re
from typing import List, Mapping, Optional, Pattern, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import masking, tokens
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Profile, Reference

_VALUE = re.compile(
    r"""[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)="""
    r"""(?:"([^"\n]*)"|'([^'\n]*)'|([^\s"'#;&|<>]*))[ \t]*(?:#[^\n]*)?\r?\n?\Z"""
)
_DEVICE = re.compile(r"^\s*([^\s:]+)(?::[^\s:]+)?\s*$")

#: Key to where the names are in its value. DEVICE of an alias is NAME:ALIAS.
PLACES: Tuple[Tuple[Pattern[str], Pattern[str]], ...] = (
    (re.compile(r"DEVICE"), _DEVICE),
    (re.compile(r"NAME|PHYSDEV|MASTER|TEAM_MASTER|BRIDGE|MACSEC_PARENT|PARENT|GATEWAYDEV|IPV6_DEFAULTDEV"), tokens.WHOLE),
    (re.compile(r"BONDING_OPTS"), re.compile(r"(?<!\S)(?:primary|active_slave)=(\S+)")),
    (re.compile(r"ROUTING_RULE6?_\d+"), tokens.AFTER_WORD),
    (re.compile(r"OPTIONS\d+"), tokens.AFTER_WORD),
    (re.compile(r"IPV6_DEFAULTGW"), re.compile(r"^[^%\s]+%(\S+)$")),
    (re.compile(r"MATCH_INTERFACE_NAME"), re.compile(r"(?<!\S)[|&]?!?([^\s|&!]+)")),
)
TYPES = {"infiniband": "infiniband", "bond": "bond", "team": "team", "bridge": "bridge", "vlan": "vlan", "wireless": "wifi"}


def _value(line: str) -> Optional[Tuple[str, str, int]]:
    """Return key, value and where the value begins; None for other lines."""
    match = _VALUE.match(line)
    if not match:
        return None
    group = next(number for number in (2, 3, 4) if match.group(number) is not None)
    return match.group(1), match.group(group), match.start(group)


def get(content: bytes, key: str) -> Optional[str]:
    """Return a value without its quotes, None where there is none. The last one counts."""
    found = [pair for pair in map(_value, tokens.lines(content.decode("latin-1"))) if pair and pair[0] == key]
    return found[-1][1].encode("latin-1").decode("utf-8", "replace") if found else None


def put(content: bytes, key: str, value: Optional[str]) -> bytes:
    """Return a file with one value set.

    :param value: a plain word; None removes the key.
    :raises ValueError: the value is none that the shell takes without quotes.
    """
    if value is not None and not re.fullmatch(r"[A-Za-z0-9_.:/@%+-]*", value):
        raise ValueError(f"{key}={value} would need quotes")
    lines = tokens.lines(content.decode("latin-1"))
    found = [(number, pair) for number, pair in enumerate(map(_value, lines)) if pair and pair[0] == key]
    if value is None:
        gone = {number for number, _pair in found}
        return "".join(line for number, line in enumerate(lines) if number not in gone).encode("latin-1")
    if found:
        number, (_key, old, begin) = found[-1]
        lines[number] = lines[number][:begin] + value + lines[number][begin + len(old) :]
    else:
        end = "\r\n" if lines and all(line.endswith("\r\n") for line in lines) else "\n"
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += end
        lines.append(f"{key}={value}{end}")
    return "".join(lines).encode("latin-1")


def profile(content: bytes) -> Profile:
    """Return which connection an ifcfg file is: path and device are empty."""
    kind = (get(content, "TYPE") or get(content, "DEVICETYPE") or "").lower()
    if not kind and get(content, "VLAN") == "yes":
        kind = "vlan"
    if not kind and get(content, "BONDING_OPTS") is not None:
        kind = "bond"
    name = get(content, "NAME") or get(content, "DEVICE") or ""
    return Profile(
        uuid=(get(content, "UUID") or "").lower(),
        id=name,
        type=TYPES.get(kind, "ethernet"),
        interface_name=get(content, "DEVICE") or "",
        mac_address=(get(content, "HWADDR") or "").lower().replace("-", ":"),
    )


def _place(key: str) -> Pattern[str]:
    return next((place for keys, place in PLACES if keys.fullmatch(key)), tokens.NOWHERE)


def rewrite(path: str, text: str, names: Mapping[str, str]) -> Tuple[str, List[Reference]]:
    """Return an ifcfg, route or rule file with the new names, and what is not understood.

    :param text: decoded as Latin-1.
    :param names: old name to new name.
    """
    base = path.rsplit("/", 1)[-1]
    if base.startswith("keys-"):
        return text, []
    commands = not base.startswith("ifcfg-")
    lines = tokens.lines(text)
    unclear: List[Reference] = []
    for number, line in enumerate(lines):
        if line.lstrip().startswith("#"):
            continue
        pair = _value(line)
        if pair and masking.secret_key("", pair[0]):
            continue
        if pair:
            key, old, begin = pair
            value, left = tokens.replaced(old, _place(key), names)
            if key == "MATCH_INTERFACE_NAME":
                globs = [glob.lstrip("|&!") for glob in old.split() if tokens.GLOB.search(glob)]
                left = list(dict.fromkeys([*left, *(name for glob in globs for name in tokens.glob_changes(glob, names))]))
            lines[number] = line[:begin] + value + line[begin + len(old) :]
        else:
            # Route and rule files hold arguments of ip route and ip rule, a command a line.
            lines[number], left = tokens.replaced(line, tokens.AFTER_WORD if commands else tokens.NOWHERE, names)
        unclear += tokens.unclear(path, number + 1, masking.excerpt(line), left)
    return "".join(lines), unclear
