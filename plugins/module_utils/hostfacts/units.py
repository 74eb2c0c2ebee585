# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a systemd unit's processes may lock into memory, read from unit files, and what login sessions may.

The limit of the session that Ansible runs in says nothing about a service's.
"""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root

# Highest precedence first, as systemd looks for units.
UNIT_DIRECTORIES = (
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
MANAGER_DIRECTORIES = ("/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd", "/lib/systemd")
SIZE = re.compile(r"([0-9]{1,15})([KMGTPE]?)", re.IGNORECASE)
UNIT = re.compile(r"[A-Za-z0-9:_.@\\-]{1,255}\.service")

Limit = Union[int, str, None]


def limit(text: str) -> Limit:
    """Return a limit as systemd reads it: bytes, V(infinity), or None when it is neither. Of soft:hard the soft one counts."""
    value = text.partition(":")[0].strip()
    if value.lower() == "infinity":
        return "infinity"
    match = SIZE.fullmatch(value)
    return int(match.group(1)) << 10 * " KMGTPE".index(match.group(2).upper() or " ") if match else None


def assignments(text: str) -> Iterator[Tuple[str, str, str]]:
    """Give section, name and value of a unit file's assignments in turn."""
    section = ""
    for line in text.replace("\\\n", " ").splitlines():
        words = line.strip()
        if words.startswith("[") and words.endswith("]"):
            section = words[1:-1]
        elif "=" in words and words[0] not in "#;":
            name, _sign, value = words.partition("=")
            yield section, name.strip(), value.strip()


def _names(unit: str) -> List[str]:
    """Return the names that a unit's drop-ins may have, most general first, for example service, a-, a-b@, a-b@1."""
    stem, _dot, kind = unit.rpartition(".")
    template, at, _instance = stem.partition("@")
    found = [kind]
    found += [f"{template[: place + 1]}.{kind}" for place, letter in enumerate(template) if letter == "-" and place + 1 < len(template)]
    if at:
        found.append(f"{template}@.{kind}")
    return [*found, unit]


def _fragment(root: Root, unit: str) -> Optional[str]:
    template, at, _rest = unit.partition("@")
    for name in [unit, *([f"{template}@.{unit.rpartition('.')[2]}"] if at else [])]:
        for directory in UNIT_DIRECTORIES:
            if root.exists(f"{directory}/{name}"):
                return f"{directory}/{name}"
    return None


def _drop_ins(root: Root, unit: str) -> List[str]:
    """Return a unit's drop-in files in the order of their names; of equal names the most special directory's, and there /etc's, counts."""
    found: Dict[str, str] = {}
    for name in _names(unit):
        for directory in reversed(UNIT_DIRECTORIES):
            for entry in root.list(f"{directory}/{name}.d"):
                if entry.endswith(".conf"):
                    found[entry] = f"{directory}/{name}.d/{entry}"
    return [found[entry] for entry in sorted(found)]


def _last(root: Root, paths: List[str], section: str, option: str) -> Tuple[Limit, Optional[str]]:
    """Return the value that the last of some files gives to an option, and that file."""
    value: Limit = None
    source = None
    for path in paths:
        for where, name, text in assignments(root.read(path, 1 << 20) or ""):
            if (where, name) == (section, option):
                value, source = (limit(text), path) if text else (None, None)
    return value, source


def memlock(root: Root, unit: str) -> Dict[str, Any]:
    """Return what a unit may lock (C(value), bytes or infinity), and the file that says so; value None is systemd's own default.

    :param unit: for example sglang-prefill-0.service.
    """
    if "." not in unit:
        unit += ".service"
    if not UNIT.fullmatch(unit):
        return {"unit": unit, "installed": False, "value": None, "source": None}
    fragment = _fragment(root, unit)
    value, source = _last(root, [*([fragment] if fragment else []), *_drop_ins(root, unit)], "Service", "LimitMEMLOCK")
    if source is None:
        value, source = manager_default(root)
    return {"unit": unit, "installed": fragment is not None, "value": value, "source": source}


def manager_default(root: Root) -> Tuple[Limit, Optional[str]]:
    """Return the limit that systemd gives to units that name none, and the file that says so."""
    main = [f"{directory}/system.conf" for directory in MANAGER_DIRECTORIES if root.exists(f"{directory}/system.conf")][:1]
    found: Dict[str, str] = {}
    for directory in reversed(MANAGER_DIRECTORIES):
        found.update({entry: f"{directory}/system.conf.d/{entry}" for entry in root.list(f"{directory}/system.conf.d")})
    drop_ins = [found[entry] for entry in sorted(found) if entry.endswith(".conf")]
    return _last(root, [*main, *drop_ins], "Manager", "DefaultLimitMEMLOCK")


def login_limits(root: Root) -> List[Dict[str, str]]:
    """Return the memlock lines of C(/etc/security): who, soft or hard, value, file."""
    paths = ["/etc/security/limits.conf"]
    paths += [f"/etc/security/limits.d/{name}" for name in sorted(root.list("/etc/security/limits.d")) if name.endswith(".conf")]
    found = []
    for path in paths:
        for line in (root.read(path, 1 << 20) or "").splitlines():
            words = line.partition("#")[0].split()
            if len(words) == 4 and words[2] == "memlock":
                found.append({"domain": words[0], "type": words[1], "value": words[3], "source": path})
    return found


def session(root: Root) -> Limit:
    """Return what the reading process itself may lock: bytes, V(infinity), or None."""
    for line in (root.read("/proc/self/limits") or "").splitlines():
        if line.startswith("Max locked memory"):
            words = line[len("Max locked memory") :].split()
            return None if not words else "infinity" if words[0] == "unlimited" else limit(words[0])
    return None
