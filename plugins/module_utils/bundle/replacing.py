# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses and names in any text replaced: logs, JSON, pages. What an address becomes is for C(hostfacts.disguise) to say.

Everything is shown twice, as there: the first time it is learned, then C(settle), then each text is given again and its new one is
returned. Equal ones stay equal and different ones different, over all texts.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from typing import Callable, Dict, FrozenSet, Iterable, List, Match, Optional, Pattern, Set

from ansible_collections.railyard.sglang.plugins.module_utils.bundle import hostnames
from ansible_collections.railyard.sglang.plugins.module_utils.bundle.kinds import Kinds, kind_of
from ansible_collections.railyard.sglang.plugins.module_utils.bundle.secrets import BEFORE, BEHIND
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.disguise import KEPT_IPV4, Disguise
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.identifiers import UNMISTAKABLE

# In place of what was not there when everything was learned.
BLOT = "?"
USUAL = 24
# Networks of 256 addresses that keep their places in others. Those of more clients than that are numbered in a range that nobody has.
MOST = 256
BEYOND = int(ipaddress.IPv4Address("248.0.0.0"))
SHORTEST_SERIAL = 6
MOST_REMEMBERED = 200000

ADDRESS, NETWORK, HARDWARE = "addresses", "networks", "hardware addresses"
NAME, IDENTIFIER, ACCOUNT = "host names", "identifiers", "accounts"

# Resolvers that everybody asks, and that programs try to find their own address by.
PUBLIC = frozenset(
    (
        *("8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "114.114.114.114", "223.5.5.5"),
        *("2001:4860:4860::8888", "2001:4860:4860::8844", "2606:4700:4700::1111"),
    )
)

_HEX = "0-9a-fA-F"
_FORM = (
    # Devices on PCI look like beginnings of addresses.
    rf"(?P<pci>(?<![0-9A-Za-z])(?:[{_HEX}]{{8}}|[{_HEX}]{{4}}):[{_HEX}]{{2}}:[{_HEX}]{{2}}(?:\.[0-7])?(?![{_HEX}:]))"
    rf"|(?<![{_HEX}:])(?P<octets>(?:[{_HEX}]{{2}}:){{15}}[{_HEX}]{{2}})(?![{_HEX}:])"
    rf"|{UNMISTAKABLE.pattern}"
    # The last four bytes of an IPv6 address may be written like an IPv4 one.
    rf"|(?P<before>(?<![{_HEX}:])[{_HEX}:]*:)(?P<mapped>\d{{1,3}}(?:\.\d{{1,3}}){{3}})(?!\.?\d)"
    rf"|(?P<run>(?<![{_HEX}:])[{_HEX}:]*(?:::|(?::[{_HEX}]{{1,4}}){{5}})[{_HEX}:]*)"
    r"|(?<![\d.])(?P<ipv4>\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2}(?![\w/.]))?)(?!\.?\d)"
    rf"|(?P<dashed>(?<![\w-])(?:[{_HEX}]{{2}}-){{5}}[{_HEX}]{{2}}(?![\w-])|(?<![A-Za-z0-9])ip(?:-\d{{1,3}}){{4}}(?!\w))"
    r"|(?P<named>(?<![0-9A-Za-z])(?:en|wl|ib|roce|iw)[a-z]{0,2}x[0-9a-f]{12,16}(?![0-9a-f]))"
    r"|(?P<hexadecimal>(?<![0-9A-Za-z])(?:0x)?[0-9a-f]{16}(?![0-9A-Za-z]))"
    r"|(?P<numbered>(?i:serial(?:[ _-]?(?:number|num|no))?|unique_id|uuid)\\{0,4}[\"']?[ \t]{0,3}[:=][ \t]{0,3}\\{0,4}[\"']?)"
    r"(?P<serial>[A-Za-z0-9-]{4,40})(?![\w-])"
    r"|(?P<home>(?<=/home/)[A-Za-z_][A-Za-z0-9._-]*)"
)
# No form begins within a word: the rest of one that is none need not be tried letter by letter.
_REST = r"|[0-9A-Za-z]+(?![\w:.-])"
_FORMS = re.compile(_FORM + _REST, re.ASCII)
# A name may begin behind an escape or a colour, whose letters are no part of a word.
_ESCAPE = re.compile(r"\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\\[abefnrtv]|%[0-9a-f]{2}|[\[;][0-9]*m|\[k")
_ESCAPED = ("\\", "%", "[", ";")
_REST_OF_WORD = (
    r"|(?<![\\%\[;])(?<!%[0-9A-Fa-f])(?<!\\[xu])(?<!\\[xu][0-9A-Fa-f])(?<!\\u[0-9A-Fa-f]{2})(?<!\\u[0-9A-Fa-f]{3})"
    r"(?<![\[;]\d)(?<![\[;]\d\d)[0-9A-Za-z]+(?![\w:.-])"
)
_IPV4 = re.compile(r"(?<![\d.])(?P<ipv4>\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2}(?![\w/.]))?)(?!\.?\d)", re.ASCII)
# What lines hold that hold one of the forms, quick to look for; of digits only their places matter.
_DOTTED = re.compile(r"\d\.\d{1,3}\.\d{1,3}\.\d", re.ASCII)
_OTHERS = (
    re.compile(rf":(?:[{_HEX}]{{0,4}}:){{2}}"),
    re.compile(rf"-[{_HEX}]{{4}}-|(?:-[{_HEX}]{{2}}){{5}}|ip-\d", re.ASCII),
    re.compile(r"x[0-9a-f]{12}|[0-9a-f]{16}"),
)
_PCI = re.compile(rf"[{_HEX}]{{4}}:[{_HEX}]{{2}}:[{_HEX}]{{2}}")
_WORDS = ("serial", "unique_id", "uuid", "/home/", "::")
_PIECES = re.compile("[a-z0-9]+")
# The host of a URL. A link's first part behind the scheme may hold a user.
_URL = re.compile(
    r"\b(?:https?|grpcs?|ftps?|tcp|ssh|rediss?|nfs|s3|postgres(?:ql)?|mysql|amqps?|wss?)://(?:[^\s/@\"'<>]{1,512}@)?"
    r"([A-Za-z0-9][A-Za-z0-9._-]{0,252})",
    re.ASCII,
)
# What stands before a number of four parts that is a version.
_VERSION_BEFORE = re.compile(r"(?:[=<>~!]=|(?<![A-Za-z])[vV]|(?:version|release)[\"']?[ \t]*[:=]?[ \t]*[\"']?)\Z", re.IGNORECASE)
_VERSION_AFTER = re.compile(r"-(?:\d+[-.]|py\d|cp\d|linux|manylinux)|\.(?:whl|tar|rpm|deb|el\d)|(?:\+|[.-]?(?:post|rc|dev))\d")
_BETWEEN = re.compile(r"[-_]\Z")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


class Replacing:
    """Old texts and their new ones.

    :param names: names of hosts, in the order in which they are to be numbered; what is no name is passed over.
    :param versions: numbers of four parts that are versions of programs.
    :ivar pairs: kind to old to new, of all that was replaced since C(settle).
    :ivar places: kind to the number of places.
    """

    def __init__(self, names: Iterable[str] = (), versions: Iterable[str] = ()) -> None:
        self._disguise = Disguise()
        self._names: Dict[str, None] = {}
        self._versions = set(versions)
        self._ends: List[str] = []
        self._spelled: Set[str] = set()
        self._domain = re.compile("(?!)")
        self._new: Dict[str, str] = {}
        self._words = self._few = re.compile("(?!)")
        # The first letters and digits of every name and serial number.
        self._heads: FrozenSet[str] = frozenset()
        self._quiet, self._dotted = Kinds(), Kinds()
        self._serials: Set[str] = set()
        self._identifiers: Set[int] = set()
        self._networks: Set[int] = set()
        self._beyond: Dict[int, int] = {}
        self._learning = True
        self._memo: Dict[str, str] = {}
        self.pairs: Dict[str, Dict[str, str]] = {}
        self.places: Counter[str] = Counter()
        for name in names:
            self.host(name)
        self._ends = hostnames.domains_of(self._names)
        if self._ends:
            joined = hostnames.pattern(self._ends)
            self._domain = re.compile(rf"(?<![\w-])(?:[A-Za-z0-9-]{{1,63}}\.){{1,8}}(?i:{joined})(?![\w-])", re.ASCII)

    def host(self, name: str) -> None:
        """Take in a host's name."""
        name = name.strip().rstrip(".")
        if self._learning and name not in self._spelled and not _is_address(name) and hostnames.nameable(name):
            self._names.setdefault(name.lower())
            self._spelled.update((name, name.partition(".")[0]))

    def settle(self) -> None:
        """Give everything that was learned its new value."""
        self._learning = False
        self._memo = {}
        self._disguise.settle()
        self._new = hostnames.new_names(self._names)
        any_case = [name for name in self._new if hostnames.unmistakable(name)]
        # As they were written, and in small letters.
        as_written = {name for name in {*self._new, *self._spelled} if name.lower() in self._new} - set(any_case)
        serials = sorted(self._serials - set(self._new))
        parts = [f"(?i:{hostnames.pattern(any_case)})", hostnames.pattern(as_written), hostnames.pattern(serials)]
        words = "|".join(part for part in parts if "(?!)" not in part) or "(?!)"
        names = rf"(?P<word>{BEFORE}(?:{words}){BEHIND})"
        self._heads = frozenset(found.group() for text in [*self._new, *serials] for found in [_PIECES.search(text.lower())] if found)
        self._words = re.compile(f"{_FORM}|{names}{_REST_OF_WORD}", re.ASCII)
        self._few = re.compile(f"{_IPV4.pattern}|{names}", re.ASCII)
        self.pairs, self.places = {}, Counter()

    def text(self, text: str) -> str:
        """Return the new text; while learning, the old one."""
        return "\n".join(map(self._line, text.split("\n")))

    def _line(self, line: str) -> str:
        kind = kind_of(line)
        lowered = line.lower()
        forms = None if kind in self._quiet else _IPV4 if kind in self._dotted else self._forms_of(line, lowered, kind)
        if self._learning:
            for match in forms.finditer(line) if forms else ():
                self._found(match)
            if "://" in line:
                for match in _URL.finditer(line):
                    self.host(match.group(1))
            if any(end in lowered for end in self._ends):
                for match in self._domain.finditer(line):
                    self.host(match.group())
            return line
        if self._may_name(lowered):
            # What is called like a host may be a part of an address: both are looked for at once.
            forms = self._words if forms is _FORMS or _PCI.search(line) else self._few
        return forms.sub(self._found, line) if forms else line

    def _may_name(self, lowered: str) -> bool:
        """Return whether a line has a word with which a name begins."""
        if not self._heads.isdisjoint(_PIECES.findall(lowered)):
            return True
        escaped = any(sign in lowered for sign in _ESCAPED)
        return escaped and not self._heads.isdisjoint(_PIECES.findall(_ESCAPE.sub(" ", lowered)))

    def _forms_of(self, line: str, lowered: str, kind: str) -> Optional[Pattern[str]]:
        """Return what to look for in lines of a kind, and remember it."""
        if any(word in lowered for word in _WORDS) or any(form.search(line) for form in _OTHERS):
            return _FORMS
        if _DOTTED.search(line):
            self._dotted.add(kind)
            return _IPV4
        self._quiet.add(kind)
        return None

    def identifier(self, text: str) -> str:
        """Return the new one of 32 hexadecimal digits that name a machine, a boot or a file of a journal."""
        new = self._told(IDENTIFIER, text, lambda: self._disguise.scan(str_of_uuid(text)).replace("-", ""))
        return new if len(new) == len(text) else "0" * len(text)

    def _told(self, kind: str, old: str, make: Callable[[], str]) -> str:
        new = self._memo.get(old)
        if new is None:
            try:
                new = make()
            except (KeyError, ValueError):
                # Nothing is told of what was not learned.
                new = BLOT
            if len(self._memo) < MOST_REMEMBERED:
                self._memo[old] = new
        if not self._learning and new != old:
            self.places[kind] += 1
            self.pairs.setdefault(kind, {})[old] = new
        return new

    def _found(self, match: Match[str]) -> str:
        text, kind = match.group(), match.lastgroup
        if kind is None:
            return text
        if kind == "ipv4":
            return self._ipv4(text, match.string, match.start(), match.end())
        if kind == "mapped":
            return match["before"] + self._ipv4(match["mapped"], match.string, match.start("mapped"), match.end())
        if kind == "word":
            return self._word(text)
        if kind in ("gid", "guid", "hardware", "octets"):
            return self._hardware(kind, text)
        if kind == "run":
            return self._run(match)
        if kind == "uuid":
            return self._told(IDENTIFIER, text, lambda: self._disguise.scan(text))
        if kind == "dashed":
            return self._dashed(text)
        if kind == "named":
            return self._told(HARDWARE, text, lambda: self._disguise.name(text))
        if kind == "hexadecimal":
            return self._hexadecimal(text)
        if kind == "serial":
            return match["numbered"] + self._serial(match["serial"])
        if kind == "home":
            return self._told(ACCOUNT, text, lambda: self._disguise.account(text))
        return text

    def _word(self, text: str) -> str:
        new = self._new.get(text.lower())
        if new is not None:
            return self._told(NAME, text, lambda: new)
        return self._serial(text)

    def _hardware(self, kind: str, text: str) -> str:
        def make() -> str:
            if kind == "gid":
                return self._disguise.gid(text)
            return self._disguise.guid(text) if kind == "guid" else self._disguise.hardware(text)

        if self._learning and kind in ("gid", "guid"):
            self._identifiers.add(int(text.replace(":", ""), 16) & (1 << 64) - 1)
        return self._told(ADDRESS if kind in ("gid", "octets") else HARDWARE, text, make)

    def _run(self, match: Match[str]) -> str:
        """An IPv6 address, or another one behind a word and a colon; most of what has two colons is neither."""
        text, whole = match.group(), match.string
        begin, end = 0, len(text)
        if match.start() and re.match(r"\w", whole[match.start() - 1], re.ASCII):
            begin = text.find(":") + 1
        if re.match(r"\w", whole[match.end() : match.end() + 1], re.ASCII) or re.match(r"\.\d", whole[match.end() : match.end() + 2]):
            end = text.rfind(":")
        core = text[begin:end] if begin < end else ""
        # A colon may stand before and behind an address.
        if core.startswith(":") and not core.startswith("::"):
            core, begin = core[1:], begin + 1
        if core.endswith(":") and not core.endswith("::"):
            core = core[:-1]
        form = UNMISTAKABLE.fullmatch(core)
        if form is not None and form.lastgroup != "uuid":
            new = self._hardware(str(form.lastgroup), core)
        elif core.count(":") > 1 and re.search(r"\d", core) and core not in PUBLIC and _is_address(core):
            new = self._told(ADDRESS, core, lambda: self._disguise.address(core))
        else:
            return text
        return text[:begin] + new + text[begin + len(core) :]

    def _ipv4(self, text: str, whole: str, start: int, end: int) -> str:
        bare, _slash, length = text.partition("/")
        before, behind = whole[max(0, start - 24) : start], whole[end : end + 12]
        version = bare in PUBLIC or bare in self._versions or _VERSION_BEFORE.search(before)
        if version or (_BETWEEN.search(before) and _VERSION_AFTER.match(behind)):
            return text
        if text not in self._memo and (not _is_address(bare) or int(length or 0) > 32):
            return text
        return self._told(NETWORK if length else ADDRESS, text, lambda: self._moved(bare, length))

    def _moved(self, bare: str, length: str) -> str:
        value = int(ipaddress.IPv4Address(bare))
        base = value >> 8 << 8
        if self._learning and base not in self._networks and base not in self._beyond:
            own = ipaddress.IPv4Address(bare)
            if own.is_link_local or any(own in kept for kept in KEPT_IPV4):
                pass
            elif len(self._networks) < MOST:
                self._networks.add(base)
                # Hosts whose addresses differ in the last part only still do.
                self._disguise.network(base, USUAL)
            else:
                self._beyond[base] = BEYOND + (len(self._beyond) << 8)
        if base in self._beyond:
            new = str(ipaddress.IPv4Address(self._beyond[base] | value & 0xFF))
            return f"{new}/{length}" if length else new
        if length and value & ((1 << 32 - int(length)) - 1) == 0:
            first, new_length = self._disguise.network(value, int(length))
            return f"{ipaddress.IPv4Address(first)}/{new_length}"
        return self._disguise.address(f"{bare}/{length}" if length else bare)

    def _dashed(self, text: str) -> str:
        if not text.startswith("ip-"):
            return self._told(HARDWARE, text, lambda: self._disguise.hardware(text.replace("-", ":")).replace(":", "-"))
        bare = text[3:].replace("-", ".")
        if not _is_address(bare):
            return text
        return self._told(ADDRESS, text, lambda: "ip-" + self._moved(bare, "").replace(".", "-"))

    def _hexadecimal(self, text: str) -> str:
        """A GUID in one word: only one that was seen in its own form, since anything may have 16 digits."""
        digits = text[-16:]
        if self._learning or int(digits, 16) not in self._identifiers:
            return self._serial(text) if not self._learning and text in self._serials else text
        head = text[:-16]
        return self._told(HARDWARE, text, lambda: f"{head}{self._disguise.identifier(int(digits, 16), True):016x}")

    def _serial(self, text: str) -> str:
        if UNMISTAKABLE.search(text):
            return self._told(IDENTIFIER, text, lambda: self._disguise.scan(text))
        if self._learning and len(text) >= SHORTEST_SERIAL and re.search(r"\d", text):
            self._serials.add(text)
        return self._told(IDENTIFIER, text, lambda: self._disguise.serial(text)) if re.search(r"\d", text) else text


def str_of_uuid(digits: str) -> str:
    """Return 32 hexadecimal digits as a UUID."""
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def versions_of(texts: Iterable[str]) -> List[str]:
    """Return what of some texts, taken as wholes, is a number of four parts."""
    return sorted({text for text in texts if re.fullmatch(r"\d+(?:\.\d+){3}", text)})
