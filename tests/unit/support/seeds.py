# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The launch lines and variables in the text of the source documents, which are not in the repository.

Lines are found by what starts a program, so that one that is added to a document is found, too.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

# What every launch line begins with, after variables of its own.
PROGRAM = re.compile(r"(?:^|\s)(?:python3? +-m +(?P<module>sglang[\w.]*)|(?P<other>vllm serve))\s+(?P<rest>\S.*)$")
VARIABLE = re.compile(r"([A-Z][A-Z0-9_]+)=(\S+)")
EXPORT = re.compile(r"\bexport +([A-Z][A-Z0-9_]+)=([^\s`#]+)")
PRIVATE = re.compile(r"\b(?:10|192\.168|172\.(?:1[6-9]|2\d|3[01]))(?:\.\d+){1,3}\b")
FENCE = re.compile(r"```yaml\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Start:
    """One launch line as the document has it."""

    document: str
    program: str
    words: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict, hash=False)


def public(text: str) -> str:
    """Return a text with private addresses and one path replaced, as the repository has them."""
    return PRIVATE.sub(lambda match: "203.0.113." + match[0].rpartition(".")[2], text).replace("/wor" + "k/models", "/models")


def _joined(document: str, text: str) -> list[str]:
    """Return the lines of a document, each with its continuation."""
    lines = [line for line in text.splitlines() if line.strip() != "|"]
    if document.startswith("field"):  # Continued by a blank, in prose.
        return re.sub(r"\n ", " ", "\n".join(lines)).splitlines()
    return re.sub(r"\\[ \t]*(?:#[^\n]*)?\n\s*", " ", "\n".join(lines)).splitlines()


def _shell(document: str, text: str) -> list[Start]:
    found = []
    for line in _joined(document, text):
        match = PROGRAM.search(line.strip())
        before = line.strip()[: match.start()] if match else ""
        if match is None or re.sub(VARIABLE, "", before.removeprefix("router:")).strip():
            continue
        rest = re.split(r"\s+(?:2>&1|\||#)", match["rest"])[0]
        environment = dict(VARIABLE.findall(before))
        found.append(Start(document, match["module"] or match["other"], tuple(shlex.split(public(rest))), environment))
    return found


def _containers(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, dict):
        own = [node] if "command" in node else []
        return own + [row for value in node.values() for row in _containers(value)]
    return [row for value in node for row in _containers(value)] if isinstance(node, list) else []


def _manifests(document: str, text: str) -> list[Start]:
    found = []
    for block in FENCE.findall(text):
        for manifest in yaml.safe_load_all(block):
            for row in _containers(manifest):
                _python, _m, program, *words = row["command"]
                environment = {entry["name"]: entry["value"] for entry in row.get("env", ()) if "value" in entry}
                found.append(Start(document, program, tuple(public(str(word)) for word in words), environment))
    return found


def starts(path: Path) -> list[Start]:
    """Return every launch line of a document."""
    text = path.read_text(encoding="utf-8")
    return _shell(path.name, text) + _manifests(path.name, text)


def exports(path: Path) -> set[tuple[str, str]]:
    """Return every variable that a document exports, with its value."""
    return {(name, value.strip('"')) for name, value in EXPORT.findall(public(path.read_text(encoding="utf-8")))}
