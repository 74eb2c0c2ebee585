# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applying a list of stacks to one host: what is missing, what a run would do, and doing it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.stack import host
from ansible_collections.railyard.sglang.plugins.module_utils.stack.build import LOCK_WAIT_SECONDS, Build, Source, build_tree
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import Definition, Library
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import (
    Place,
    complete_trees,
    hold,
    link_target,
    read_marker,
    remove_tree,
    surplus,
    switch_link,
    touch,
)


@dataclass(frozen=True)
class Options:
    """How the stacks are applied.

    root holds the links, store the trees. builds says whether this host may build: always with local delivery, and
    for the builder of a shared store. builder is that host's name and builder_in_play whether it takes part in this
    run. link are the names of the stacks that this host uses; the others are only built. defer: stop without an error
    where packages or the builder have to come first. check: change nothing.
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


@dataclass
class Work:
    """What is to be done for one stack: build its tree, switch its link, remove old trees."""

    definition: Definition
    place: Place
    python: str
    version: tuple[int, int, int]
    old: dict[str, Any] | None = None
    build: bool = False
    link: bool = False
    prune: list[Path] = field(default_factory=list)

    @property
    def subject(self) -> str:
        """The stack, as errors name it."""
        return f"stack {self.definition.name}"


@dataclass
class Outcome:
    """What was done, or would be: reports by stack, what waits for packages or the builder, texts of the diff."""

    changed: bool = False
    stacks: dict[str, dict[str, Any]] = field(default_factory=dict)
    deferred: list[str] = field(default_factory=list)
    libraries: list[Library] = field(default_factory=list)
    before: str = ""
    after: str = ""


def inspect(definition: Definition, options: Options, machine: str) -> Work:
    """Return what is to be done for a stack, changing nothing. Raises StackError."""
    subject = f"stack {definition.name}"
    if machine not in definition.machines:
        problem = f"it is locked for {', '.join(definition.machines)} and this host is {machine}"
        raise StackError(subject, problem, "choose a stack for this machine")
    python, version = host.find_python(definition.pythons, options.python, subject)
    place = Place(options.store, definition.name, definition.content_id(version[1]))
    work = Work(definition, place, python, version, build=read_marker(place.tree) is None)
    if definition.name in options.link:
        target = link_target(options.root / definition.name)
        work.link = target != place.tree
        work.old = read_marker(target) if target else None
        if work.link and not work.build and not (place.tree / "bin" / "python").exists():
            built_with = (read_marker(place.tree) or {}).get("python", {}).get("path", "another Python")
            problem = f"{place.tree} was built with {built_with}, which this host does not have"
            raise StackError(subject, problem, "install the same Python here as on the builder")
    if options.builds and options.keep:
        trees = [place.tree, *(tree for tree in complete_trees(options.store, definition.name) if tree != place.tree)]
        work.prune = surplus(trees, {place.tree}, options.keep)
    return work


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
        build = Build(work.definition, work.place, work.python, work.version, options.source)
        build_tree(build)
        seconds = build.seconds
    try:
        if work.link:
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


def report(work: Work, options: Options, seconds: Mapping[str, float], waits: bool) -> dict[str, Any]:
    """Return the report on one stack."""
    old = (work.old or {}).get("packages", {})
    new = work.definition.packages()
    built = work.build and options.builds
    marker = {} if work.build and (options.check or waits) else read_marker(work.place.tree) or {}
    action = "waiting" if waits else "built" if built else "linked" if work.link else "none"
    differing = sorted(name for name in set(old) | set(new) if old.get(name) != new.get(name))
    return {
        "action": action,
        "content": work.place.content,
        "files": marker.get("files"),
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
    used = [definition for definition in definitions if options.builds or definition.name in options.link]
    outcome.libraries = host.missing_libraries([entry for item in used for entry in item.libraries], found)
    works = [inspect(definition, options, machine) for definition in used]
    for work in works:
        name = work.definition.name
        lacking = [library.soname for library in outcome.libraries if library in work.definition.libraries]
        absent = work.build and not options.builds
        if options.defer and (lacking or absent):
            reason = f"needs {', '.join(lacking)}" if lacking else f"waits for {options.builder or 'a builder'}"
            outcome.deferred.append(f"{name} {reason}")
            outcome.stacks[name] = report(work, options, {}, waits=True)
            continue
        if lacking and not options.check:
            libraries = [library for library in outcome.libraries if library in work.definition.libraries]
            fix = f"install {' '.join(host.missing_packages(libraries))}"
            raise StackError(work.subject, f"this host lacks {', '.join(lacking)}", fix)
        if absent and not (options.check and options.builder and options.builder_in_play):
            raise missing_tree(work, options)
        if work.build and options.builds:
            check_buildable(work, options)
        changed = (work.build and options.builds) or work.link or bool(work.prune)
        seconds = perform(work, options) if changed and not options.check else {}
        outcome.changed = outcome.changed or changed
        outcome.stacks[name] = report(work, options, seconds, waits=False)
        if changed:
            link = options.root / name
            old = work.old or {}
            old_tree = f"{name}-{old['id']}" if old else ""
            outcome.before += describe(link, old_tree, old.get("packages", {}))
            outcome.after += describe(link, work.place.tree.name, work.definition.packages())
    return outcome
