# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""New names for hosts and their domains, numbered, with what programs read in a name: that it is a router's, or of which instance.

A name that says nothing but that stays as it is: prefill-0, router, localhost.
"""

from __future__ import annotations

import re
from typing import Dict, Iterable, List, Set

# Words that logs and units hold for other reasons. A host that is called like one of them is not named by it.
GENERAL = frozenset(
    (
        *("localhost", "localdomain", "local", "host", "hosts", "node", "nodes", "gpu", "cpu", "server", "client", "worker", "engine"),
        *("router", "gateway", "prefill", "decode", "sglang", "kernel", "systemd", "python", "python3", "http", "https", "none", "null"),
        *("unknown", "default", "all", "api", "model", "models", "data", "lib", "system", "service", "home", "root", "var", "tmp", "log"),
        *("logs", "smg", "minilb", "pip", "uv", "docker", "nginx", "proxy", "bootstrap", "mooncake", "nccl", "cuda", "rank", "lb"),
    )
)
# What the names of logs, units and containers are read for. What is read from the old name is read from the new one.
_ROLE = re.compile(
    r"(?:prefill|decode)(?:[-_. ]?(?:worker|node|server|engine))?(?:[-_.]?\d+)?(?:[-_.]*rank[-_.]?\d+)?"
    r"|(?<![a-z])(?:sglang[-_]?router|router|smg|gateway|minilb|kern|kernel|dmesg|engine|sglang|server|worker)(?![a-z])",
    re.IGNORECASE,
)
SHORT = 4
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?")
_ENDINGS = ("example", "invalid", "test", "localhost", "local", "localdomain", "internal", "arpa", "lan")
# Everybody's: they tell what was asked for, and not by whom.
PUBLIC = (
    *("huggingface.co", "hf.co", "github.com", "githubusercontent.com", "pypi.org", "pythonhosted.org", "python.org", "pytorch.org"),
    *("nvidia.com", "kernel.org", "modelscope.cn", "example.com", "example.org", "example.net"),
)


def nameable(text: str) -> bool:
    """Return whether a text is a name that a host may be told by: no address, no number, no word that means something else."""
    labels = text.lower().rstrip(".").split(".")
    if not all(_LABEL.fullmatch(label) for label in labels) or len(text) < 2 or re.fullmatch(r"[\d.]+", text):
        return False
    if any(text.lower() == public or text.lower().endswith("." + public) for public in PUBLIC):
        return False
    return not (len(labels) == 1 and (labels[0] in GENERAL or _ROLE.fullmatch(labels[0])))


def _spelled(number: int) -> str:
    """Return a number in letters: a, b, ..., z, aa."""
    text = ""
    while number:
        number, digit = divmod(number - 1, 26)
        text = chr(97 + digit) + text
    return text


def _role(label: str) -> str:
    return "".join("-" + found.group().lower() for found in _ROLE.finditer(label))


def new_names(names: Iterable[str]) -> Dict[str, str]:
    """Return a new name for every old one, in small letters: for its first part, and for the domain behind that.

    :param names: those that C(nameable) takes, in the order in which they are to be numbered.
    """
    old = [name.lower().rstrip(".") for name in names]
    taken: Set[str] = {part for name in old for part in (name, name.partition(".")[0])}
    firsts: Dict[str, str] = {}
    domains: Dict[str, str] = {}
    numbers: Dict[str, int] = {}

    def fresh(kind: str, ending: str, digits: bool) -> str:
        while True:
            numbers[kind] = numbers.get(kind, 0) + 1
            new = kind + (str(numbers[kind]) if digits else _spelled(numbers[kind])) + ending
            if new not in taken:
                taken.add(new)
                return new

    def first(label: str) -> str:
        # Names of roles stay, with any domain.
        if label in GENERAL or _ROLE.fullmatch(label):
            return label
        if label not in firsts:
            digits = re.search(r"\d", label) is not None
            firsts[label] = fresh("host" if digits else "host-", _role(label), digits)
        return firsts[label]

    def domain(text: str) -> str:
        if not text or text in _ENDINGS:
            return text
        if text not in domains:
            domains[text] = fresh("site", ".example", True)
        return domains[text]

    found: Dict[str, str] = {}
    for name in old:
        label, _dot, rest = name.partition(".")
        new = first(label)
        found[name] = f"{new}.{domain(rest)}" if rest else new
        if rest and nameable(label):
            found.setdefault(label, new)
    return found


def domains_of(names: Iterable[str]) -> List[str]:
    """Return the domains that names are in, as far as they tell something."""
    found = {name.lower().rstrip(".").partition(".")[2] for name in names}
    return sorted(text for text in found if "." in text and text not in PUBLIC and text.rpartition(".")[2] not in _ENDINGS)


def pattern(words: Iterable[str]) -> str:
    """Return a regular expression of words that looks at each letter once, however many there are."""
    tree: Dict[str, Dict] = {}
    for word in words:
        node = tree
        for letter in word:
            node = node.setdefault(letter, {})
        node[""] = {}

    def spelled(node: Dict[str, Dict]) -> str:
        ends = "" in node
        parts = [re.escape(letter) + spelled(below) for letter, below in sorted(node.items()) if letter]
        if not parts:
            return ""
        joined = parts[0] if len(parts) == 1 and not ends else f"(?:{'|'.join(parts)})"
        return joined + "?" if ends else joined

    return spelled(tree) if tree else "(?!)"


def unmistakable(name: str) -> bool:
    """Return whether a name means a host in capital letters, too: D0 is a power state, GPU7 a device."""
    return len(name) >= SHORT and re.sub(r"[-_]?\d+$", "", name) not in GENERAL
