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
# Of values of many lines those that are known by themselves.
LONG_LINE = 16

# What may stand before a word without being a part of it, besides what is no letter or digit: an escape of JSON, the code of a character
# in a URL or an escape, and the end of a colour.
BEFORE = (
    r"(?:(?<![A-Za-z0-9])|(?<=\\[abefnrtv])|(?<=%[0-9A-Fa-f]{2})|(?<=\\x[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4})|(?<=[\[;0-9]m)|(?<=\[K))"
)
BEHIND = r"(?![A-Za-z0-9])"
# Purely of letters and digits, a value of fewer than that may be a part of some other word.
SURE = 12

#: Names of variables whose values are secrets, whatever they are.
SECRET_NAME = re.compile(
    r"(?:(?:^|[_.-])(?:tokens?|secrets?|passwords?|passwd|passphrase|pass|credentials?|api[_-]?keys?|access[_-]?keys?|private[_-]?keys?|"
    r"secret[_-]?keys?)|[_.-](?:pwd|pat|auth)|(?-i:[A-Z0-9]_KEYS?))(?:_?\d+)?$",
    re.IGNORECASE,
)
_HARD = (
    r"secret|passw(?:or)?d|passphrase|(?<=[_-])pwd|api[_-]?keys?|access[_-]?key(?:[_-]?id)?|private[_-]?key|secret[_-]?key"
    r"|(?-i:(?<=[A-Z0-9]_)KEY)"
)
_SOFT = r"token|credentials?|authorization|(?:set-)?cookie|(?<=[_-])(?:pat|auth)"
_COLOUR = r"(?:(?:\x1b|\\x1b|\\u001b|\\033|#033)\[[0-9;]*m)*"
_NARROW = r"(?:(?:bearer|basic|digest|token|negotiate)[ \t]+)?[^\s,;&\"'()\[\]{}<>\\|\x1b]+"
# What a password or key holds that nobody has quoted; a word for none, and what is masked already, end as words do.
_WIDE = (
    r"(?!\*{8}|(?:none|null|nil|true|false)[,;&)\]}])(?:(?<==)|(?=[^,;&()\[\]{}<>|]))"
    r"(?:[^\s\"'\\\x1b]|\\(?![\\\"'nrtux]))+"
)
# A name, what parts it from its value, and the value: in quotes, also escaped ones, or up to what ends a word.
_NAMED = re.compile(
    rf"(?P<word>(?P<hard>{_HARD})|{_SOFT})(?:_\d+)?"
    rf"(?P<sep>{_COLOUR}\\*[\"']?{_COLOUR}[ \t]{{0,3}}{_COLOUR}(?:=>?|:){_COLOUR}[ \t]{{0,3}}{_COLOUR}"
    rf"|\\*[\"'][ \t]{{0,3}},[ \t]{{0,3}}(?=b?\\*[\"'])(?!\\*[\"'][\w.-]*\\*[\"'][ \t]*:)|(?P<blank>[ \t]+))"
    r"(?P<open>(?:Some\(|b)?(?:(?P<quote>[\"'])|(?P<escaped>\\+[\"']))|)"
    r"(?P<value>(?(quote)(?:\\[^\n]|(?!(?P=quote))[^\\\n])*|(?(escaped)(?:(?!(?<!\\)(?P=escaped))[^\n])*"
    rf"|(?(hard)(?:{_WIDE}|{_NARROW})|{_NARROW}))))",
    re.IGNORECASE,
)
# What ends a list or a call behind an unquoted value.
_CLOSING = ",;)]}>|"
# A cookie's header holds many values: it ends where the text around it does.
_COOKIE = re.compile(
    r"(?P<around>(?<![A-Za-z0-9])\\*[\"'])?(?P<head>\b(?:set-)?cookie:[ \t]*)"
    r"(?P<value>(?=[^\s=;,\"']+=)(?(around)(?:(?!(?P=around))[^\n])+|[^\n]+))",
    re.IGNORECASE,
)
# A variable that is told as a name and a value.
_PAIR = re.compile(
    r"(?P<head>\b(?:name|key)\\*[\"']?[ \t]{0,3}[:=][ \t]{0,3}\\*[\"']?(?P<name>[\w.-]{1,128})\\*[\"']?[,;]?[ \t]{0,3}"
    r"\\*[\"']?value\\*[\"']?[ \t]{0,3}[:=][ \t]{0,3})(?:(?P<quote>[\"'])|(?P<escaped>\\+[\"'])|)"
    r"(?P<value>(?(quote)(?:\\[^\n]|(?!(?P=quote))[^\\\n])*|(?(escaped)(?:(?!(?<!\\)(?P=escaped))[^\n])*|[^\s,;\"'{}\[\]\\]+)))",
    re.IGNORECASE,
)
# Without any of these there is none of those names.
_GATES = ("token", "secret", "passw", "passphrase", "key", "credential", "auth", "cookie", "pwd", "_pat", "-pat")
_NAME_BEFORE = re.compile(r"(?:(?<=[\[;0-9])m)?(?P<name>(?<!\[)[\w.-]*)\Z")
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
_PLACEHOLDER = re.compile(r"<[\w .-]*>?")
_NUMBER = re.compile(r"[-+#]?\d+(?:\.\d+)?%?")
_SCHEME = re.compile(r"(?P<scheme>\b(?:bearer|basic)[ \t]+)(?P<value>[A-Za-z0-9._~+/=-]{8,})", re.IGNORECASE)
# Of links that carry their own permission.
_QUERY = re.compile(
    r"(?P<name>(?:[?&;]|&amp;|\\u0026)(?:x-(?:amz|goog|oss|cos|obs|ms)-[\w-]+|awsaccesskeyid|ossaccesskeyid|googleaccessid|signature|sig"
    r"|[\w-]*token|auth|api_?key|key|secret|passw(?:or)?d|policy|key-pair-id|sks?|ske|skt|skv|skoid|sktid|sv|se|sp|sr|st|q-[\w-]+)=)"
    r"[^&\s\"'<>\\#]+",
    re.IGNORECASE,
)
# Up to the last @ of what comes before a slash; behind one only where what stands before it is no port.
_USER = re.compile(r"(?<=://)(?:[^\s/\"'<>]{1,512}@|[^\s/@\"'<>:\[]{0,256}:(?!\d{1,5}(?![\w@%+.~-]))[^\s\"'<>]{1,512}@)")
_SHAPES = re.compile(
    r"(?<![A-Za-z0-9_])(?:hf_[A-Za-z0-9]{16,}|sk-(?=[\w-]*\d)[\w-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
    r"|xox[abeoprs]-[\w-]{10,}|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[\w-]{30,}|nvapi-[\w-]{20,}|eyJ[\w-]{8,}\.[\w-]{6,}\.[\w-]*"
    r"|ms-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
)
_HEADS = ("hf_", "sk-", "gh", "github_pat_", "glpat-", "xox", "AKIA", "ASIA", "AIza", "nvapi-", "eyJ", "ms-")
_PRIVATE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:(?:\s|\\n)*[A-Za-z0-9+/=]{16,})*(?:(?:\s|\\n)*[A-Za-z0-9+/=]+(?=(?:\s|\\n)*-----END))?"
    r"(?:(?:\s|\\n)*-----END [A-Z ]*PRIVATE KEY-----)?"
)
# A private key that is logged line by line: nothing else is a line of nothing but base64.
_LINE = re.compile(r"^(?P<head>MESSAGE=|)[A-Za-z0-9+/]{60,76}={0,2}$", re.MULTILINE)


def _named(match: Match[str]) -> str:
    """Mask a value by the name before it."""
    word, value = match["word"].lower(), match["value"]
    quoted = match["quote"] is not None or match["escaped"] is not None
    place = match.start("word")
    before = match.string[max(0, place - LONGEST_NAME) : place]
    prefix = _NAME_BEFORE.search(before)
    name = prefix["name"] if prefix else ""
    if match["blank"] is not None and not name.startswith("--"):
        # A blank parts name and value on command lines only.
        return match.group()
    tail = ""
    if not quoted and match["hard"] is not None:
        bare = value.rstrip(_CLOSING)
        value, tail = bare, value[len(bare) :]
    if not value.strip("*") or _NOTHING.fullmatch(value):
        return match.group()
    if word == "token" and re.split("[_.-]", name.lower().rstrip("_.-"))[-1] in _VOCABULARY:
        return match.group()
    if not word.startswith("pass"):
        # Of tokens it is told how many there are, as in #cached-token.
        counted = word == "token" and (not name or before[: len(before) - len(name)].endswith("#"))
        if (counted and _NUMBER.fullmatch(value)) or _PLACEHOLDER.fullmatch(value):
            return match.group()
        prose = word in _PROSE and not name and not quoted and match["sep"][-1:] in " \t:"
        if prose and word != "authorization" and not (len(value) >= 16 or re.search(r"\d", value)):
            return match.group()
    return match.group()[: match.start("value") - match.start()] + MARK + tail


def _pair(match: Match[str]) -> str:
    """Mask the value of a variable that is told as a name and a value."""
    if not SECRET_NAME.search(match["name"]) or not match["value"].strip("*") or _NOTHING.fullmatch(match["value"]):
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
        given = {part for value in values for part in (value, *_lines_of(value))}
        forms = {form for value in given if len(value) >= SHORTEST for form in spellings(value)}
        known = sorted(forms, key=lambda form: (-len(form), form))
        sure = [form for form in known if len(form) >= SURE or not (form.isascii() and form.isalnum())]
        words = [form for form in known if form not in set(sure)]
        # What is sure holds no other one that is not in front of it here: the longest come first.
        self._known = [re.compile("|".join(map(re.escape, sure)))] if sure else []
        if words:
            self._known.append(re.compile(f"{BEFORE}(?:{'|'.join(map(re.escape, words))}){BEHIND}"))
        self._quiet = Kinds()

    def mask(self, text: str) -> str:
        """Return a text without secrets; its lines stay lines."""
        for known in self._known:
            text = known.sub(MARK, text)
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
        if "cookie" in lowered:
            line = _COOKIE.sub(lambda match: (match["around"] or "") + match["head"] + MARK, line)
        line = _NAMED.sub(_named, line)
    if "value" in lowered:
        line = _PAIR.sub(_pair, line)
    if any(head in line for head in _HEADS):
        line = _SHAPES.sub(MARK, line)
    if "bearer" in lowered or "basic" in lowered:
        line = _SCHEME.sub(_scheme, line)
    if len(line) >= 60 and " " not in line:
        line = _LINE.sub(lambda match: match["head"] + MARK, line)
    return line


def _lines_of(value: str) -> List[str]:
    """Return the lines of a value of more than one that are told from other text by their length."""
    return [line for line in value.splitlines() if len(line) >= LONG_LINE] if "\n" in value else []


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
