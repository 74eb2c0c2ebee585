# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is installed against what is locked, host by host, and what to do where they differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.stack import installed
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import Definition

NOTHING = "nothing"
#: All stages that a change of a stack touches: what DeepEP and DeepGEMM make is for one tree.
RUN = "run site.yml --tags stack,deepep,deepgemm,engine,router"
APPLY = f"{RUN}: it installs the locked set beside this one and switches with the restart"
REBUILD = f"{RUN}, which builds it"
STATES = {
    installed.ABSENT: ("nothing at {link}", APPLY),
    installed.FOREIGN: (
        "something at {link} that is no link of the stack role", f"move it away, then {RUN}",
    ),
    installed.DANGLING: ("a link to {tree}, which is not there", REBUILD),
    installed.INCOMPLETE: ("the tree {tree} without the marker of a finished build", REBUILD),
}


@dataclass(frozen=True)
class Drift:
    """One difference. package is a distribution, a part (tree, python, driver), or a file; found and locked are versions or words."""

    host: str
    stack: str
    package: str
    found: str
    locked: str
    fix: str

    def line(self) -> str:
        """Return it as one line of text."""
        return f"{self.host}: {self.stack}: {self.package}: found {self.found}, locked {self.locked}. Fix: {self.fix}."

    def plain(self) -> dict[str, str]:
        """Return it as plain data."""
        return asdict(self)


def rebuild() -> str:
    """Return how to build a tree anew that was changed after it was finished: the role trusts finished ones."""
    return (
        "find out who changed it, stop the instances that run from it (systemctl stop), run site.yml --tags stack -e stack_rebuild=true "
        "with --limit to their hosts, which builds the tree anew beside this one and exchanges them, then site.yml, which starts them"
    )


def _packages(found: Mapping[str, str], locked: Mapping[str, str]) -> Iterable[tuple[str, str, str]]:
    """Yield name, found and locked version of the packages that differ."""
    for name in sorted({*found, *locked}):
        if found.get(name) != locked.get(name):
            yield name, found.get(name, NOTHING), locked.get(name, NOTHING)


def of_external(host: str, name: str, row: Mapping[str, Any]) -> list[Drift]:
    """Return what has changed in an environment of somebody else's since it was tested.

    Packages outside its own site-packages, as those of the system, cannot be seen from here and are not compared.
    """
    fix = f"find out who changed {row['external']}, then {RUN}, which tests it anew"
    found = [Drift(host, name, *entry, fix) for entry in _packages(row["packages"], row["accepted"])]
    return found + [
        Drift(host, name, path, "missing or altered after the install", "the file of the wheel", fix) for path in row["altered"] or []
    ]


def of_stack(host: str, definition: Definition, row: Mapping[str, Any]) -> list[Drift]:
    """Return how what is installed as a stack differs from its lock.

    :param row: what installed.look_at has returned.
    """
    name, state = definition.name, str(row["state"])
    if state in STATES:
        text, fix = STATES[state]
        return [Drift(host, name, "tree", text.format(**row), f"{len(definition.pins)} packages", fix)]
    if row["external"]:
        return of_external(host, name, row)
    minor = ".".join(str(row["python"]).split(".")[:2])
    if minor not in definition.pythons:
        return [Drift(host, name, "python", str(row["python"]) or "unknown", " or ".join(definition.pythons), APPLY)]
    wanted = definition.content_id(int(minor.partition(".")[2]))
    current = row["id"] == wanted
    fix = rebuild() if current else APPLY
    found = [Drift(host, name, *entry, fix) for entry in _packages(row["packages"], definition.packages())]
    if not current:
        text = "files, patches, imports or the Python of the definition differ" if not found else "packages differ, see there"
        found.insert(0, Drift(host, name, "tree", str(row["id"]) or "no id", f"{wanted} ({text})", APPLY))
    if current:
        own = {patch.path for patch in definition.patches} | set(definition.files)
        changed = [path for path in row["altered"] or [] if path not in own]
        found += [Drift(host, name, path, "missing or altered after the install", "the file of the wheel", fix) for path in changed]
    return found


def of_machine(host: str, machine: Mapping[str, Any]) -> list[Drift]:
    """Return where the parts of a host's NVIDIA driver do not belong together; CUDA then fails at the first call."""
    driver, libraries = machine["nvidia"]["driver"], list(machine["nvidia"]["libraries"])
    if driver is None or not libraries or libraries == [driver]:
        return []
    fix = "install the packages of one driver version, then reboot or reload the driver's kernel modules"
    return [Drift(host, "-", "nvidia driver", f"libcuda {', '.join(libraries)}", f"{driver}, the loaded kernel module", fix)]


@dataclass(frozen=True)
class Compared:
    """All hosts. rows: per host and stack what was found; absent: hosts of the plan that this run did not look at."""

    definitions: Mapping[str, Definition]
    wanted: Mapping[str, Sequence[str]]
    facts: Mapping[str, Mapping[str, Any]]
    drifts: tuple[Drift, ...]
    absent: tuple[str, ...]


def compare(definitions: Sequence[Definition], wanted: Mapping[str, Sequence[str]], facts: Mapping[str, Mapping[str, Any]]) -> Compared:
    """Compare what hosts have with what they should have.

    :param wanted: names of stacks by host.
    :param facts: what the module stack_facts has found by host; hosts without are told as absent.
    """
    known = {definition.name: definition for definition in definitions}
    drifts: list[Drift] = []
    for host, names in wanted.items():
        if host in facts:
            drifts += of_machine(host, facts[host])
            for name in names:
                drifts += of_stack(host, known[name], facts[host]["stacks"][name])
    absent = tuple(host for host in wanted if host not in facts)
    return Compared(known, wanted, facts, tuple(drifts), absent)
