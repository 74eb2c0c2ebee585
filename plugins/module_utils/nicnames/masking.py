# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets in files of network settings, masked for what people see. The mark is always the same: a changed secret does not show either."""

from __future__ import annotations

import re
from typing import Iterable, List

MARK = "********"

#: Keys of keyfiles, ifcfg files, .link files and sysctl.d that hold secrets, in whichever section.
_KEYS = re.compile(
    r"(?:[\w.-]*[._-])?(?:password(?:-raw)?|passphrase|passwd|psk|secrets?|preshared[-_]?key|private[-_]?key|pin|cak|token"
    r"|wep-key\d*|stable_secret|wakeonlanpassword)|key(?:_passphrase)?\d*",
    re.IGNORECASE,
)
#: Sections of keyfiles in which everything is secret.
_SECTIONS = re.compile(r"vpn-secrets")
_SECTION = re.compile(r"\s*\[([^\[\]]*)\]\s*\Z")
_LINE = re.compile(r"(\s*[#;]*\s*-?(?:export\s+)?([^=\s#;][^=\n]*?)\s*=[ \t]*)([^\r\n]*)(\r?\n?)\Z")
#: A value of the shell may go over lines.
_SHELL = re.compile(
    r"""(?ms)^([ \t#]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)=)"""
    r"""(\$?"(?:[^"\\]|\\.)*"|\$?'(?:[^'\\]|\\.)*'|[^\r\n]*)([^\r\n]*)"""
)
#: What files of no known structure call a secret: with anything before it, or only with a word before it.
_LONG = (
    r"pass(?:word|wd|phrase|code)(?:[-_.]?raw)?|secrets?|tokens?|api[-_.]?keys?|access[-_.]?keys?|private[-_.]?key|(?:pre)?[-_.]?shared[-_.]?key"
    r"|encryption[-_.]?key|credentials?|authorization|auth[-_.]?key|cookie|psk"
)
_CALLED = re.compile(rf"[\w.-]*?(?:{_LONG})\d*|(?:[\w.-]*[._-])?(?:pass|pwd|pin|cak|auth|community)\d*", re.IGNORECASE)
_QUOTED = r"""\"(?:[^"\\]|\\.)*"?|'[^']*'?"""
_PAIR = re.compile(rf"""([\w.-]+)(["']?)([ \t]*[=:][ \t]*)({_QUOTED}|[^\s"']\S*)""")
#: Where a secret of several words ends: at another key, an option, a comment, the next command, or where something closes.
_END = re.compile(r"""[ \t]+(?:[\w.-]+["']?[ \t]*[=:]|--?[A-Za-z]|\#)|[,;|&}\])]|["']""")
#: Words of a command line that a secret follows, and users with their passwords.
_OPTION = re.compile(
    rf"(?<![\w.-])(--?(?:[\w.-]*[-_.])?(?:{_LONG}|pass|pwd|pin)[ \t]+|(?:{_LONG})[ \t]+(?![=:])|sshpass[ \t]+-p[ \t]*|bearer[ \t]+)"
    rf"({_QUOTED}|[^\s\"'=:]\S*)", re.IGNORECASE,
)
_USER = re.compile(rf"""((?:^|(?<=\s))(?:-[uU]|--(?:proxy-)?user)(?:[ \t]+|=)?)(?:(?=["'][^"':]*:)(?:{_QUOTED})|[^\s:"'=]+:\S+)""")
_ADDRESS = re.compile(r"""(?<=://)[^\s"'<>@]*(?:@[^\s"'<>@/]*)*@""")
_HEADER = re.compile(
    r"""((?:proxy-)?authorization["']?[ \t]*[:=][ \t]*["']?|(?:set-)?cookie["']?[ \t]*:[ \t]*["']?)[^"'\r\n]+""", re.IGNORECASE
)
#: Keys as such.
_KEY = re.compile(r"(?<![\w/+])(?:[A-Za-z0-9+/]{42,}={1,2}|[0-9A-Fa-f]{32,})(?![\w/+=])")
#: What is shown of a line of a file of no known structure: the words before a name and after it, and no more characters than these.
WORDS, CHARACTERS, CUT = 3, 60, "..."


def secret_key(section: str, key: str) -> bool:
    """Return whether a key holds a secret.

    :param section: of a keyfile; empty for files without sections.
    """
    return _SECTIONS.fullmatch(section) is not None or _KEYS.fullmatch(key) is not None


def _plain(text: str) -> str:
    """Mask a file of sections and values."""
    section, found = "", []
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        head = _SECTION.match(line)
        if head:
            section = head.group(1)
        match = None if head else _LINE.match(line)
        if match and match.group(3) and secret_key(section, match.group(2)):
            found.append(match.group(1) + MARK + match.group(4))
        else:
            found.append(line)
    return "".join(found)


def _shell(text: str, everything: bool) -> str:
    def mask(match: re.Match[str]) -> str:
        hidden = match.group(3) and (everything or secret_key("", match.group(2)))
        return match.group(1) + MARK if hidden else match.group(0)

    masked = _SHELL.sub(mask, text)
    if everything:
        masked = "".join(
            line if not line.strip() or line.rstrip().endswith("=" + MARK) else MARK + line[len(line.rstrip("\r\n")) :]
            for line in re.findall(r"[^\n]*\n|[^\n]+", masked)
        )
    return masked


def masked(path: str, content: bytes) -> str:
    """Return a file as people may see it.

    :param path: on the host; the kind of file follows from it.
    """
    text = content.decode("utf-8", "replace")
    name = path.rsplit("/", 1)[-1]
    if "/network-scripts/" in path:
        return _shell(text, everything=name.startswith("keys-"))
    return _plain(text)


def _phrases(text: str, names: Iterable[str]) -> str:
    """Mask what stands after keys that are called like secrets; a word with a name in it is none."""
    parts: List[str] = []
    done = 0
    while True:
        match = _PAIR.search(text, done)
        if match is None:
            return "".join([*parts, text[done:]])
        if not (secret_key("", match.group(1)) or _CALLED.fullmatch(match.group(1))):
            # What it is set to may itself be a key.
            end = match.start(4)
            parts.append(text[done:end])
            done = end
            continue
        end = match.end()
        if match.group(4)[0] not in "\"'":
            limit = _END.search(text, match.start(4) + 1)
            end = max(limit.start() if limit else len(text.rstrip("\r\n")), match.start(4) + 1)
            words = re.finditer(r"[ \t]+\S+", text[match.start(4) : end])
            stops = [word.start() for word in words if any(name in word.group() for name in names)]
            end = match.start(4) + stops[0] if stops else end
        parts += [text[done : match.start(4)], MARK]
        done = end


def excerpt(text: str, names: Iterable[str] = ()) -> str:
    """Return a line of any file without what is called like a secret, or has the place of one.

    :param names: of which a secret consists in no case.
    """
    text = _HEADER.sub(rf"\g<1>{MARK}", text)
    text = _ADDRESS.sub(f"{MARK}@", text)
    text = _USER.sub(rf"\g<1>{MARK}", text)
    text = _phrases(text, names)
    text = _OPTION.sub(rf"\g<1>{MARK}", text)
    return _KEY.sub(MARK, text)


def around(text: str, names: Iterable[str]) -> str:
    """Return of a line of any file the names in it and the words around them; what else is in the line is nobody's concern.

    :param names: that the line has.
    """
    listed = sorted(names, key=len, reverse=True)
    shown = excerpt(text, listed).strip()
    spans: List[List[int]] = []
    for match in re.finditer("|".join(map(re.escape, listed)), shown):
        words = [word.span() for word in re.finditer(r"\S+", shown)]
        here = next(number for number, (_begin, end) in enumerate(words) if end >= match.end())
        begin = max(words[max(here - WORDS, 0)][0], match.start() - CHARACTERS)
        end = min(words[min(here + WORDS, len(words) - 1)][1], match.end() + CHARACTERS)
        if spans and begin <= spans[-1][1] + 1:
            spans[-1][1] = max(spans[-1][1], end)
        else:
            spans.append([begin, end])
    if not spans:
        return MARK
    parts = [shown[begin:end] for begin, end in spans]
    return (CUT if spans[0][0] else "") + f" {CUT} ".join(parts) + (CUT if spans[-1][1] < len(shown) else "")
