# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose line it is: host, program, instance and rank, from the line's own prefix, the journal's fields, the file's name."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import clock
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.catalogue import ENGINE, INSTALLER, KERNEL, OTHER, ROUTER

COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
LEVELS = frozenset({"DEBUG", "INFO", "WARN", "WARNING", "ERROR", "CRITICAL", "FATAL", "TRACE", "NOTICE"})
_HOST = re.compile(r" (?P<host>[A-Za-z0-9][A-Za-z0-9._-]*) (?P<program>[^\s:\[]+)(?:\[(?P<pid>\d+)\])?: ")
_COMPOSE = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*) +\| ")
_POD = re.compile(r"\[pod/(?P<name>[^/\]]+)/[^\]]+\] ")
# pdsh and clush write HOST: before each line.
_PARALLEL = re.compile(r"(?P<name>[A-Za-z][\w.-]{0,62}): (?=\[?\d{4}-|[IWEF]\d{4,8} |\[\d)")
# What systemd says of a unit.
_UNIT = re.compile(r"(?P<unit>[\w@:.\\-]+\.service): ")
# Programs of every host, by what they call themselves in a system log: what they say is not said by the process that a log is named after.
_DAEMON = re.compile(
    r"systemd(?:-\w+)*|\(?s?d?-?pam\)?|init|kubelet|dockerd|containerd|crio|podman|chronyd|ntpd|sshd|cron|crond|CRON|anacron|rsyslogd|auditd|dbus-\w+"
    r"|NetworkManager|firewalld|dhclient|irqbalance|snapd|packagekitd|polkitd|\w+_exporter|nvidia-persistenced|nv-fabricmanager|nv-hostengine|dcgm\S*"
    r"|user|session-\w+|apt-daily\S*|unattended-upgrades|sudo|su|smartd|mcelog|rasdaemon|multipathd|iscsid"
    r"|lldpd|telegraf|fluent-bit|fluentd|promtail|vector|zabbix_agentd|slurmd|node-exporter",
)
_UNIT_SUFFIX = re.compile(r"\.(?:service|scope|slice|socket|mount|timer)$")
_OURS = re.compile(r"(?:^|[^a-z])(?:sglang|engine|prefill|decode|router|smg|mooncake)", re.I)
_INSTANCE = re.compile(
    r"(?P<role>prefill|decode)(?:[-_. ]?(?:worker|node|server|engine))?(?:[-_.]?(?P<number>\d+))?(?:[-_.]*rank[-_.]?(?P<rank>\d+))?", re.I
)
_ROUTER = re.compile(r"(?:^|[^a-z])(?:sglang[-_]?router|router|smg|gateway|minilb)(?:[^a-z]|$)", re.I)
_KERNEL = re.compile(r"(?:^|[^a-z])(?:kern|kernel|dmesg)(?:[^a-z]|$)", re.I)
_INSTALLER = re.compile(r"(?:^|[^a-z])(?:pip3?|install(?:er|ation)?|uv|apt|dnf|dpkg)(?:[^a-z]|$)", re.I)
_ENGINE = re.compile(r"(?:^|[^a-z])(?:engine|sglang|server|worker)(?:[^a-z]|$)", re.I)
_SUFFIX = re.compile(r"(?:\.(?:log|txt|out|err|json|jsonl|export|journal|gz|xz|bz2|tar|tgz|\d{1,8}))+$", re.I)
# Directories and files whose names are nobody's.
_COMMON = re.compile(
    r"(?:logs?|var|tmp|journals?|journald?|hosts?|nodes?|sglang|messages|syslog|output|out|stdout|stderr|engine|server|worker|units?|all|full|"
    r"current|previous|pods?|containers?|home|root|data|bundle|collected|kernel|dmesg|kern|router|variant[-\w]*|\d+|[.]*)",
    re.I,
)


@dataclass(frozen=True)
class Origin:
    """One log of one process.

    :ivar file: path within what was given, with C(!) between an archive and its member.
    :ivar host: empty where the log does not say.
    :ivar unit: systemd unit, container or program.
    :ivar process: V(engine), V(router), V(kernel), V(installer), empty where it is not known.
    :ivar instance: for example V(prefill-0).
    :ivar role: V(prefill) or V(decode).
    """

    file: str
    host: str = ""
    unit: str = ""
    process: str = ""
    instance: str = ""
    role: str = ""
    rank: int | None = None

    @property
    def label(self) -> str:
        """Return what to call it: host and process as far as they are known."""
        name = self.instance or self.role
        if name and self.rank is not None:
            name += f" rank {self.rank}"
        name = name or (self.process if self.process not in ("", ENGINE) else self.unit)
        if self.host and name:
            return f"{self.host} ({name})"
        return self.host or name or self.file


def named(origin: Origin, name: str) -> Origin:
    """Return an origin with what the name of a file, unit or container tells; what it holds already stays."""
    found = _INSTANCE.search(name)
    if found is not None:
        role = found["role"].lower()
        return replace(
            origin,
            process=origin.process or ENGINE,
            role=origin.role or role,
            instance=origin.instance or (f"{role}-{found['number']}" if found["number"] else ""),
            rank=origin.rank if origin.rank is not None or not found["rank"] else int(found["rank"]),
        )
    for pattern, process in ((_KERNEL, KERNEL), (_ROUTER, ROUTER), (_INSTALLER, INSTALLER), (_ENGINE, ENGINE)):
        if pattern.search(name):
            return replace(origin, process=origin.process or process)
    return origin


def foreign(name: str, text: str = "") -> bool:
    """Return whether a line is from a service of the host that has nothing to do with the cluster.

    :param name: the program as a system log has it, or a unit.
    :param text: systemd speaks of units by their descriptions, too.
    """
    stem = _UNIT_SUFFIX.sub("", name)
    known = _DAEMON.fullmatch(stem.partition("@")[0]) is not None
    return known and not (stem == "systemd" and _OURS.search(text))


def of_file(path: str) -> Origin:
    """Return what the path of a log tells, its own name before those of directories.

    :param path: relative to what was given.
    """
    origin = Origin(path)
    parts = [part for part in re.split(r"[/!]+", path) if part not in ("", ".")]
    stems = [_SUFFIX.sub("", part) for part in parts]
    for stem in reversed(stems):
        before = origin
        origin = named(origin, stem)
        # What a directory is called matters only as far as the file's name leaves it open.
        if before.process and origin == before:
            break
    return replace(origin, host=_host_of(stems))


def _host_of(stems: list[str]) -> str:
    """Return the part of a path that looks like a host's name: the directory before the file, then the file."""
    if not stems:
        return ""
    for stem in [*reversed(stems[:-1]), stems[-1]]:
        first = re.split(r"__", stem)[0]
        if _COMMON.fullmatch(first) or any(form.search(first) for form in (_INSTANCE, _ROUTER, _KERNEL, _INSTALLER)):
            continue
        if re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,62}(?:\.[A-Za-z0-9-]+)*", first) and re.search(r"\d", first):
            return first
    return ""


@dataclass(frozen=True)
class Line:
    """One line taken apart.

    :ivar stamp: its outermost time stamp.
    :ivar inner: the time stamp that the program itself wrote, where it is another one.
    :ivar text: what the program wrote, without the prefixes of others, without colours.
    """

    text: str
    stamp: clock.Stamp | None = None
    inner: clock.Stamp | None = None
    host: str = ""
    program: str = ""
    pid: str = ""
    name: str = ""


def take_apart(line: str) -> Line:
    """Return a line's parts; colours are removed first."""
    if "\x1b" in line:
        line = COLOUR.sub("", line)
    name = ""
    for form in (_POD, _COMPOSE, _PARALLEL):
        match = form.match(line)
        if match is not None:
            name, line = match["name"], line[match.end() :]
            break
    stamp = clock.read(line)
    if stamp is None:
        return Line(line, name=name)
    match = _HOST.match(line, stamp.end)
    if match is None or match["host"] in LEVELS:
        return Line(line, stamp, name=name)
    rest = line[match.end() :]
    return Line(rest, stamp, clock.read(rest), match["host"], match["program"], match["pid"] or "", name)


def of_line(base: Origin, line: Line) -> Origin:
    """Return whose line it is: what the line says before what its file does."""
    origin = base
    if line.name:
        origin = named(Origin(base.file, base.host, line.name), line.name)
    if line.host:
        same = line.host == origin.host or not base.host
        origin = replace(origin, host=line.host) if same or base.process else Origin(base.file, line.host)
    if line.program == "kernel":
        return Origin(base.file, line.host, "kernel", KERNEL)
    unit = _UNIT.match(line.text) if line.program == "systemd" else None
    about = unit["unit"] if unit is not None else line.program
    if foreign(about, line.text) or (unit is not None and not _OURS.search(about)):
        return Origin(base.file, origin.host, about, OTHER)
    if unit is not None:
        origin = named(replace(origin, unit=unit["unit"]), unit["unit"])
    elif line.program and not origin.unit:
        origin = named(replace(origin, unit=line.program), line.program) if not origin.process else replace(origin, unit=line.program)
    return origin
