# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applying a list of stacks to one host: what is missing, what a run would do, and doing it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.stack import host, inuse
from ansible_collections.railyard.sglang.plugins.module_utils.stack.build import LOCK_WAIT_SECONDS, Build, Source, build_tree
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import Definition
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.external import (
    DIRECTORY,
    External,
    Found,
    check_versions,
    content_id,
    link_environment,
    look_into,
)
from ansible_collections.railyard.sglang.plugins.module_utils.stack.installed import unplanned
from ansible_collections.railyard.sglang.plugins.module_utils.stack.ospackages import Missing, Table, python_packages
from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import (
    Place,
    complete_trees,
    hold,
    link_target,
    linked,
    read_marker,
    remove_tree,
    surplus,
    switch_link,
    touch,
)


def no_services(_link: Path) -> list[str]:
    """Return the services that run from a link where nobody is asked."""
    return []


@dataclass(frozen=True)
class Options:
    """How the stacks are applied.

    root holds the links, store the trees. builds says whether this host may build: always with local delivery, and
    for the builder of a shared store. builder is that host's name and builder_in_play whether it takes part in this
    run. link are the names of the stacks that this host uses; the others are only built. defer: stop without an error
    where packages or the builder have to come first. check: change nothing. table and system tell the packages of the
    operating system, and installs whether they are installed for the stacks. external are environments that exist, by
    stack. environment is what the import checks get besides the definition's. rebuild: build what this host may build although it is
    complete. services tells which services run from a link: such a link is left to whoever restarts them.
    """

    root: Path
    store: Path
    builds: bool
    builder: str
    builder_in_play: bool
    source: Source
    python: str
    keep: int
    link: frozenset[str]
    defer: bool = False
    check: bool = False
    table: Table = field(default_factory=lambda: Table({}, {}))
    system: str = ""
    installs: bool = True
    external: Mapping[str, External] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    rebuild: bool = False
    services: Callable[[Path], list[str]] = no_services

    def takes(self, name: str) -> bool:
        """Say whether this host has to do with a stack: it runs it, or builds it for others."""
        return name in self.link or (self.builds and name not in self.external)

    def of(self, name: str) -> Options:
        """Return the options of one stack: the small tree of an environment that exists is made on every host by itself."""
        return replace(self, store=self.root / DIRECTORY, builds=True) if name in self.external else self


@dataclass
class Work:
    """What is to be done for one stack: build its tree, switch its link (not while held by services), remove old trees."""

    definition: Definition
    place: Place
    python: str
    version: tuple[int, int, int]
    old: dict[str, Any] | None = None
    build: bool = False
    link: bool = False
    held: list[str] = field(default_factory=list)
    prune: list[Path] = field(default_factory=list)
    lacks: list[Missing] = field(default_factory=list)
    found: Found | None = None

    @property
    def subject(self) -> str:
        """The stack, as errors name it."""
        return f"stack {self.definition.name}"

    @property
    def switch(self) -> bool:
        """Whether the link is switched here and now."""
        return self.link and not self.held


@dataclass
class Outcome:
    """What was done, or would be.

    Reports by stack, what waits for packages or the builder, what is missing, trees of stacks that are not asked for, texts of the diff.
    """

    changed: bool = False
    stacks: dict[str, dict[str, Any]] = field(default_factory=dict)
    deferred: list[str] = field(default_factory=list)
    lacks: list[Missing] = field(default_factory=list)
    unplanned: list[dict[str, Any]] = field(default_factory=list)
    before: str = ""
    after: str = ""


def choose_python(definition: Definition, options: Options, subject: str) -> tuple[str, tuple[int, int, int], list[Missing]]:
    """Return path and version of the Python to build with, and what has to be installed for it. Raises StackError."""
    try:
        return (*host.find_python(definition.pythons, options.python, subject), [])
    except StackError:
        installable = python_packages(options.table, definition.pythons, options.system)
        if options.python or not installable:
            raise
    version, package = next(iter(installable.items()))
    return f"/usr/bin/python{version}", (3, int(version.partition(".")[2]), 0), [Missing(f"python{version}", package)]


def prepare(definition: Definition, options: Options, found: Callable[[str], bool]) -> Work:
    """Return the work of a stack without what is to be done yet: its Python, its place, what the host lacks. Raises StackError."""
    subject = f"stack {definition.name}"
    external = options.external.get(definition.name)
    if external:
        there = look_into(external, options.environment, subject)
        check_versions(definition, external, there, subject)
        place = Place(options.store, definition.name, content_id(definition, external, there))
        # It has shown that it finds its libraries, and the tree is one small file.
        small = replace(definition, libraries=(), disk_mib=1)
        lacks = host.lacking(small, options.table, f"3.{there.python[1]}", found)
        return Work(small, place, external.command[-1], there.python, lacks=lacks, found=there)
    python, version, lacks = choose_python(definition, options, subject)
    place = Place(options.store, definition.name, definition.content_id(version[1]))
    lacks += host.lacking(definition, options.table, f"3.{version[1]}", found)
    return Work(definition, place, python, version, lacks=lacks)


def inspect(definition: Definition, options: Options, machine: str, found: Callable[[str], bool] = host.loads) -> Work:
    """Return what is to be done for a stack, changing nothing. Raises StackError."""
    subject = f"stack {definition.name}"
    if machine not in definition.machines and definition.name not in options.external:
        problem = f"it is locked for {', '.join(definition.machines)} and this host is {machine}"
        raise StackError(subject, problem, "choose a stack for this machine")
    work = prepare(definition, options, found)
    try:
        look_at_tree(work, options)
        if definition.name in options.link:
            look_at_link(work, options)
        work.prune = to_prune(work, options)
    except OSError as error:
        problem = f"{error.filename or options.root} cannot be read: {error.strerror or error}"
        raise StackError(subject, problem, "repair the file system or its mount, then run again; nothing was removed") from error
    return work


def look_at_tree(work: Work, options: Options) -> None:
    """Note whether the tree has to be built. Raises StackError, OSError."""
    complete = read_marker(work.place.tree) is not None
    again = complete and options.rebuild and options.builds
    runs = options.services(options.root / work.definition.name) if again and work.place.tree in linked(options.root) else []
    if runs:
        problem = f"{', '.join(runs)} runs from {work.place.tree}, which is to be built anew"
        raise StackError(work.subject, problem, "stop that first (systemctl stop); stage engine or router starts it again")
    work.build = again or not complete


def look_at_link(work: Work, options: Options) -> None:
    """Note whether the link has to be switched, and what keeps it. Raises StackError, OSError."""
    link, tree = options.root / work.definition.name, work.place.tree
    target = link_target(link)
    work.link = target != tree
    work.old = read_marker(target) if target else None
    if work.link and target and target.is_dir():
        work.held = options.services(link)
    if work.link and not work.build and not (tree / "bin" / "python").exists():
        built_with = (read_marker(tree) or {}).get("python", {}).get("path", "another Python")
        problem = f"{tree} was built with {built_with}, which this host does not have"
        raise StackError(work.subject, problem, "install the same Python here as on the builder")


def to_prune(work: Work, options: Options) -> list[Path]:
    """Return the old trees that go: none that a link will point to, that a service starts from or that a process uses. Raises OSError."""
    if not options.builds or not options.keep:
        return []
    tree = work.place.tree
    kept = {tree} | linked(options.root, work.definition.name if work.switch else "")
    there = [tree, *(other for other in complete_trees(options.store, work.definition.name) if other != tree)]
    found = surplus(there, kept, options.keep)
    leaving = options.root / work.definition.name if work.switch else None
    used = inuse.trees(found) | inuse.unit_trees(found, without=leaving) if found else set()
    return [other for other in found if other not in used]


def lacking_error(work: Work, options: Options) -> StackError:
    """Return the error of a host that lacks packages of its operating system."""
    whats = ", ".join(missing.what for missing in work.lacks)
    packages = sorted({missing.package for missing in work.lacks if missing.package})
    unknown = [missing.what for missing in work.lacks if not missing.package]
    fixes = [f"install {' '.join(packages)}"] if packages else []
    if unknown:
        fixes.append(f"install what brings {', '.join(unknown)}, of which no package is known for {options.system or 'this system'}")
    return StackError(work.subject, f"this host lacks {whats}", " and ".join(fixes))


def check_buildable(work: Work, options: Options) -> None:
    """Raise StackError if this host can see already now that its build would fail."""
    if host.is_read_only(options.store):
        problem = f"{options.store} is mounted read-only on this host, which is to build there"
        fix = "mount it read-write on the builder, or name the host which has it so in stack_builder"
        raise StackError(work.subject, problem, fix)
    host.check_space(options.store, work.definition.disk_mib, work.subject)


def missing_tree(work: Work, options: Options) -> StackError:
    """Return the error of a host that waits for a tree which nobody built."""
    name = work.definition.name
    others = ", ".join(tree.name for tree in complete_trees(options.store, name)) or "none of this stack"
    if not options.builder:
        fix = "name the host that has the store mounted read-write in stack_builder"
    elif options.builder_in_play:
        fix = f"look at what stopped the stack stage on {options.builder}"
    else:
        fix = f"run the stack stage on {options.builder}, which builds it (--limit left it out)"
    problem = f"the store {options.store} holds no complete {work.place.tree.name} (complete there: {others})"
    python = f"3.{work.version[1]}"
    there = [
        other for other in work.definition.pythons
        if other != python and read_marker(replace(work.place, content=work.definition.content_id(int(other[2:]))).tree)
    ]
    if there:
        problem = f"this host takes Python {python} ({work.python}), and {options.store} has the stack for {' and '.join(there)} only"
        fix = f"install python{there[0]} here and name it in stack_python, or have {options.builder or 'the builder'} build it for {python}"
    return StackError(work.subject, problem, fix)


def describe(link: Path, tree: str, packages: Mapping[str, str]) -> str:
    """Return the lines of a diff for one stack: its link and its packages."""
    if not tree:
        return ""
    return "".join([f"{link} -> {tree}\n", *(f"  {name}=={packages[name]}\n" for name in sorted(packages))])


def perform(work: Work, options: Options) -> dict[str, Any]:
    """Do what is to be done for a stack; return the seconds that the steps of a build took. Raises StackError."""
    seconds: dict[str, float] = {}
    if work.build and options.builds:
        build = Build(
            work.definition, work.place, work.python, work.version, options.source, options.environment,
            used=frozenset(linked(options.root)), again=options.rebuild,
        )
        external = options.external.get(work.definition.name)
        if external and work.found:
            link_environment(build, external, work.found)
        else:
            build_tree(build)
        seconds = build.seconds
    try:
        if work.switch:
            switch_link(options.root / work.definition.name, work.place.tree)
            if options.builds:
                touch(work.place.tree)
        if work.prune:
            with hold(work.place.lock, LOCK_WAIT_SECONDS, work.subject):
                for tree in work.prune:
                    remove_tree(tree)
    except OSError as error:
        problem = f"{error.strerror or error} ({error.filename or options.root})"
        raise StackError(work.subject, problem, f"let root write to {options.root} and {options.store}") from error
    return seconds


def packages_of(work: Work) -> Mapping[str, str]:
    """Return the versions of the packages that a stack has, or is to have."""
    return work.found.packages if work.found else work.definition.packages()


def report(work: Work, options: Options, seconds: Mapping[str, float], waits: bool) -> dict[str, Any]:
    """Return the report on one stack."""
    old = (work.old or {}).get("packages", {})
    new = packages_of(work)
    built = work.build and options.builds
    marker = {} if work.build and (options.check or waits) else read_marker(work.place.tree) or {}
    action = "waiting" if waits else "built" if built else "linked" if work.switch else "held" if work.held else "none"
    differing = sorted(name for name in set(old) | set(new) if old.get(name) != new.get(name))
    return {
        "action": action,
        "content": work.place.content,
        "files": marker.get("files"),
        "held": list(work.held),
        "kind": work.definition.kind,
        "mib": marker.get("mib"),
        "path": str(options.root / work.definition.name),
        "pruned": [tree.name for tree in work.prune],
        "python": ".".join(map(str, work.version)),
        "seconds": dict(seconds),
        "tree": str(work.place.tree),
        "packages_changed": differing if old and action != "none" else [],
    }


def apply(
    definitions: Sequence[Definition],
    options: Options,
    machine: str,
    found: Callable[[str], bool] = host.loads,
) -> Outcome:
    """Apply the stacks and return what was done. Raises StackError; what was finished before it stays."""
    outcome = Outcome()
    used = [definition for definition in definitions if options.takes(definition.name)]
    works = [inspect(definition, options.of(definition.name), machine, found) for definition in used]
    outcome.unplanned = unplanned(options.store, (definition.name for definition in definitions)) if options.builds else []
    outcome.lacks = list({missing.what: missing for work in works for missing in work.lacks}.values())
    for work in works:
        name = work.definition.name
        own = options.of(name)
        absent = work.build and not own.builds
        cannot = work.lacks and (not own.installs or not all(missing.package for missing in work.lacks))
        if cannot or (work.lacks and not own.defer and not own.check):
            raise lacking_error(work, own)
        if own.defer and (work.lacks or absent):
            whats = ", ".join(missing.what for missing in work.lacks)
            outcome.deferred.append(f"{name} " + (f"needs {whats}" if whats else f"waits for {own.builder or 'a builder'}"))
            outcome.stacks[name] = report(work, own, {}, waits=True)
            continue
        if absent and not (own.check and own.builder and own.builder_in_play):
            raise missing_tree(work, own)
        if work.build and own.builds:
            check_buildable(work, own)
        changed = (work.build and own.builds) or work.switch or bool(work.prune)
        seconds = perform(work, own) if changed and not own.check else {}
        outcome.changed = outcome.changed or changed
        outcome.stacks[name] = report(work, own, seconds, waits=False)
        if changed:
            link = own.root / name
            old = work.old or {}
            old_tree = f"{name}-{old['id']}" if old else ""
            outcome.before += describe(link, old_tree, old.get("packages", {}))
            outcome.after += describe(link, work.place.tree.name, packages_of(work))
            if work.held:
                outcome.after += f"  switched to when {', '.join(work.held)} restarts\n"
    return outcome
