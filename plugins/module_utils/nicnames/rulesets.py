# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nftables rules of host_firewall that are loaded: under former names of interfaces they would let everything in."""

from __future__ import annotations

import os
import re
from typing import Callable, Dict, Iterable, List, Mapping, Match, Tuple

PATH = "/etc/railyard-sglang.nft"
TABLE = ["inet", "railyard_sglang"]


Runner = Callable[[List[str]], Tuple[int, str, str]]
_NAMES = re.compile(r"(?<=\biifname )(?:\{ [^{}]* \}|\"[^\"]*\")")


def widened(text: str, names: Mapping[str, str]) -> str:
    """Return rules that hold for interfaces by their names before and after a change.

    :param names: name before to name after, of all that change.
    """
    other: Dict[str, List[str]] = {}
    for before, after in names.items():
        other.setdefault(before, []).append(after)
        other.setdefault(after, []).append(before)

    def both(match: Match[str]) -> str:
        held = re.findall(r'"([^"]*)"', match.group())
        found = sorted({*held, *(more for name in held for more in other.get(name, ()))})
        return "{ " + ", ".join(f'"{name}"' for name in found) + " }"

    return _NAMES.sub(both, text)


def widen(run: Runner, changed: Iterable[str], names: Mapping[str, str], place: str) -> List[str]:
    """Before interfaces are renamed one after another, load rules that hold by both names; return what went wrong.

    :param changed: paths of files that are written or given back.
    :param place: where the rules can be written for that.
    :raises OSError: they cannot be written.
    """
    if PATH not in set(changed) or run(["nft", "list", "table", *TABLE])[0] != 0:
        return []
    with open(PATH, encoding="latin-1") as stream:
        text = widened(stream.read(), names)
    with open(place, "w", encoding="latin-1", opener=lambda path, flags: os.open(path, flags, 0o600)) as stream:
        stream.write(text)
    rc, out, err = run(["nft", "-f", place])
    return [f"the rules of {PATH} could not be loaded for both names ({' '.join((err or out).split()) or rc})"] if rc != 0 else []


def reload(run: Runner, changed: Iterable[str]) -> List[str]:
    """Load the rules where their file has changed and they are loaded; return what went wrong, a sentence without an end each.

    The file replaces its own table in one step and touches no other.

    :param run: runs a command: exit status, output, errors.
    :param changed: paths of files that were written or given back.
    """
    if PATH not in set(changed) or run(["nft", "list", "table", *TABLE])[0] != 0:
        return []
    rc, out, err = run(["nft", "-f", PATH])
    return [f"{PATH} could not be loaded ({' '.join((err or out).split()) or rc})"] if rc != 0 else []
