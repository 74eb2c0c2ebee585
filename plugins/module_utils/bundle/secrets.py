# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets in any text, masked: values that are known, values by the names that stand before them, and what looks like nothing else.

What is masked keeps its place, so that a program still reads around it. The mark is always the same: it does not tell how long the
secret was, nor whether two are the same.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Iterable, Iterator, List, Mapping, Match, Set, Tuple
from urllib.parse import quote

from ansible_collections.railyard.sglang.plugins.module_utils.bundle.kinds import Kinds, kind_of

MARK = "********"
# Shorter values of variables are masked by their names only: as a piece of text they would be anything.
SHORTEST = 6
LONGEST_NAME = 64

#: Names of variables whose values are secrets, whatever they are.
SECRET_NAME = re.compile(
    r"(?:^|[_.-])(?:tokens?|secrets?|passwords?|passwd|passphrase|pass|credentials?|api[_-]?keys?|access[_-]?keys?|private[_-]?keys?|"
    r"secret[_-]?keys?)$",
    re.IGNORECASE,
)
_WORD = (
    r"token|secret|passw(?:or)?d|passphrase|api[_-]?keys?|access[_-]?key(?:[_-]?id)?|private[_-]?key|secret[_-]?key|credentials?"
    r"|authorization|(?:set-)?cookie"
)
# A name, what parts it from its value, and the value: in quotes, also escaped ones, or up to what ends a word.
_NAMED = re.compile(
    rf"(?P<word>{_WORD})(?P<sep>\\*[\"']?[ \t]{{0,3}}(?:=>?|:)[ \t]{{0,3}}|(?P<blank>[ \t]+))(?P<open>(?:Some\(|b)?(?P<quote>\\*[\"'])|)"
    r"(?P<value>(?(quote)(?:(?!(?P=quote))[^\n])*|(?:(?:bearer|basic|digest|token|negotiate)[ \t]+)?[^\s,;&\"'()\[\]{}<>\\|]+))",
    re.IGNORECASE,
)
# Without any of these there is none of those names.
_GATES = ("token", "secret", "passw", "passphrase", "key", "credential", "authorization", "cookie")
_NAME_BEFORE = re.compile(r"[\w.-]*\Z")
# Words of a model's vocabulary are no secrets, nor are counts of them.
_VOCABULARY = frozenset(
    (
        *("eos", "bos", "pad", "unk", "mask", "sep", "cls", "image", "video", "audio", "stop", "special", "start", "end", "begin"),
        *("accept", "next", "new", "last", "first", "draft", "bonus", "prompt", "sampled", "input", "output", "grammar", "current"),
        *("num", "per", "max", "min", "total", "target", "thinking", "think", "tool", "placeholder", "context", "speculative"),
    )
)
_PROSE = ("token", "secret", "credential", "credentials", "cookie", "authorization")
_NOTHING = re.compile(r"(?i:none|null|nil|true|false|yes|no|unset|empty|missing|invalid|expired)?[.!]?")
_NUMBER = re.compile(r"[-+#]?\d+(?:\.\d+)?%?")
_SCHEME = re.compile(r"(?P<scheme>\b(?:bearer|basic)[ \t]+)(?P<value>[A-Za-z0-9._~+/=-]{8,})", re.IGNORECASE)
# Of links that carry their own permission.
_QUERY = re.compile(
    r"(?P<name>(?:[?&;]|&amp;|\\u0026)(?:x-(?:amz|goog|oss|cos|obs|ms)-[\w-]+|awsaccesskeyid|ossaccesskeyid|googleaccessid|signature|sig"
    r"|[\w-]*token|auth|api_?key|key|secret|passw(?:or)?d|policy|key-pair-id|sks?|ske|skt|skv|skoid|sktid|sv|se|sp|sr|st|q-[\w-]+)=)"
    r"[^&\s\"'<>\\#]+",
    re.IGNORECASE,
)
_USER = re.compile(r"(?<=://)[^\s/@\"'<>]{1,512}@")
_SHAPES = re.compile(
    r"(?<![A-Za-z0-9_])(?:hf_[A-Za-z0-9]{16,}|sk-(?=[\w-]*\d)[\w-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
    r"|xox[abeoprs]-[\w-]{10,}|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[\w-]{30,}|nvapi-[\w-]{20,}|eyJ[\w-]{8,}\.[\w-]{6,}\.[\w-]*)"
)
_HEADS = ("hf_", "sk-", "gh", "github_pat_", "glpat-", "xox", "AKIA", "ASIA", "AIza", "nvapi-", "eyJ")
_PRIVATE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:(?:\s|\\n)*[A-Za-z0-9+/=]{16,})*(?:(?:\s|\\n)*[A-Za-z0-9+/=]+(?=(?:\s|\\n)*-----END))?"
    r"(?:(?:\s|\\n)*-----END [A-Z ]*PRIVATE KEY-----)?"
)
# A private key that is logged line by line: nothing else is a line of nothing but base64.
_LINE = re.compile(r"^(?P<head>MESSAGE=|)[A-Za-z0-9+/]{60,76}={0,2}$", re.MULTILINE)


def _named(match: Match[str]) -> str:
    """Mask a value by the name before it."""
    word, value, quoted = match["word"].lower(), match["value"], match["quote"] is not None
    place = match.start("word")
    before = match.string[max(0, place - LONGEST_NAME) : place]
    prefix = _NAME_BEFORE.search(before)
    name = prefix.group() if prefix else ""
    if match["blank"] is not None and not name.startswith("--"):
        # A blank parts name and value on command lines only.
        return match.group()
    if value.startswith(MARK) or _NOTHING.fullmatch(value):
        return match.group()
    if word == "token" and re.split("[_.-]", name.lower().rstrip("_.-"))[-1] in _VOCABULARY:
        return match.group()
    if not word.startswith("pass"):
        if _NUMBER.fullmatch(value) or value.startswith("<"):
            return match.group()
        prose = word in _PROSE and not name and not quoted and match["sep"][-1:] in " \t:"
        if prose and word != "authorization" and not (len(value) >= 16 or re.search(r"\d", value)):
            return match.group()
    return match.group()[: match.start("value") - match.start()] + MARK


def _scheme(match: Match[str]) -> str:
    value = match["value"]
    told = len(value) >= 16 or re.search(r"\d", value)
    return match["scheme"] + MARK if told and value.strip("*") else match.group()


class Secrets:
    """What masks.

    :param values: secrets that are known, for example those of variables.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        forms = {form for value in values if len(value) >= SHORTEST for form in spellings(value)}
        known = sorted(forms, key=lambda form: (-len(form), form))
        self._known = re.compile("|".join(f"(?<![A-Za-z0-9]){re.escape(form)}(?![A-Za-z0-9])" for form in known)) if known else None
        self._quiet = Kinds()

    def mask(self, text: str) -> str:
        """Return a text without secrets; its lines stay lines."""
        if self._known is not None:
            text = self._known.sub(MARK, text)
        if "PRIVATE KEY" in text:
            # Of a text of many lines each stays where it is.
            text = _PRIVATE.sub(lambda match: MARK + "\n" * match.group().count("\n"), text)
        return "\n".join(map(self._line, text.split("\n")))

    def _line(self, line: str) -> str:
        kind = kind_of(line)
        if kind in self._quiet:
            return line
        new = _masked(line)
        if new == line:
            self._quiet.add(kind)
        return new


def _masked(line: str) -> str:
    """Return a line without what is told by itself."""
    lowered = line.lower()
    if "://" in line:
        line = _USER.sub(MARK + "@", line)
    if "=" in line and ("?" in line or "&" in line or ";" in line):
        line = _QUERY.sub(lambda match: match["name"] + MARK, line)
    if any(word in lowered for word in _GATES):
        line = _NAMED.sub(_named, line)
    if any(head in line for head in _HEADS):
        line = _SHAPES.sub(MARK, line)
    if "bearer" in lowered or "basic" in lowered:
        line = _SCHEME.sub(_scheme, line)
    if len(line) >= 60 and " " not in line:
        line = _LINE.sub(lambda match: match["head"] + MARK, line)
    return line


def spellings(value: str) -> Set[str]:
    """Return a value as it is, and as it stands in JSON, in URLs and in base64."""
    encoded = base64.b64encode(value.encode("utf-8", "surrogateescape")).decode()
    return {value, json.dumps(value)[1:-1], quote(value, safe=""), quote(value), encoded, encoded.rstrip("=")}


def texts(value: Any) -> Iterator[str]:
    """Yield all texts and numbers that a value holds."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            yield from texts(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def values(variables: Mapping[str, Any]) -> List[str]:
    """Return the secrets among variables, and those in their values, by their names."""
    found: List[str] = []
    rows: List[Tuple[str, Any]] = list(variables.items())
    while rows:
        name, value = rows.pop()
        if SECRET_NAME.search(str(name)):
            found += texts(value)
        elif isinstance(value, Mapping):
            rows += value.items()
        elif isinstance(value, (list, tuple)):
            rows += [(name, item) for item in value if isinstance(item, (Mapping, list, tuple))]
    return sorted(set(found))
