# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a host runs from which trees: services by their units, processes by what they have mapped or open."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from ansible_collections.railyard.sglang.plugins.module_utils.services import units

PROC = Path("/proc")
MAPPED = re.compile(r"^\S+ \S+ \S+ \S+ \d+ +(/.*?)(?: \(deleted\))?$", re.MULTILINE)
PROGRAM = re.compile(r'^ExecStart="?(/[^\s"]+)', re.MULTILINE)
# A unit in another state has no process and gets none by itself.
AT_REST = ("inactive", "failed", "")


def services(link: Path, run: units.Runner, directory: str = units.DIRECTORY) -> list[str]:
    """Return the services of this collection which start from a link and run, or are about to run again.

    :param run: what runs systemctl; it is not asked where no unit names the link.
    :raises units.UnitError: systemctl failed.
    """
    named = re.compile(rf'^ExecStart="?{re.escape(str(link))}/', re.MULTILINE)
    found = [name for name, text in units.marked_by_anyone(directory).items() if named.search(text)]
    return [name for name in found if units.show(run, name).active not in AT_REST]


def recorded(link: Path, run: units.Runner, directory: str = units.DIRECTORY) -> list[str]:
    """Return the services of this collection which run with what a link leads to: its target is part of what they record at a start.

    :param run: what runs systemctl; it is not asked where no service records the link.
    :raises units.UnitError: systemctl failed.
    """
    line = f"readlink -f {shlex.quote(str(link))}"
    found: list[str] = []
    for name in units.marked_by_anyone(directory):
        with contextlib.suppress(OSError):
            text = Path(units.recorder_path(name, directory)).read_text(encoding="utf-8", errors="replace")
            found += [name] if line in (row.strip() for row in text.splitlines()) else []
    return [name for name in found if units.show(run, name).active not in AT_REST]


def _paths(process: Path) -> Iterator[str]:
    """Yield the files and directories that a process has as program, working directory or open, and those that it has mapped."""
    for name in ("exe", "cwd"):
        with contextlib.suppress(OSError):
            yield os.readlink(process / name)
    with contextlib.suppress(OSError):
        for entry in os.listdir(process / "fd"):
            with contextlib.suppress(OSError):
                yield os.readlink(process / "fd" / entry)
    with contextlib.suppress(OSError):
        yield from MAPPED.findall((process / "maps").read_text(encoding="utf-8", errors="surrogateescape"))


def _inside(paths: Iterable[str], places: Collection[str]) -> set[str]:
    """Return those of the places that one of the paths is in; places end with a slash."""
    return {place for path in set(paths) for place in places if f"{path}/".startswith(place)}


def trees(candidates: Collection[Path], proc: Path = PROC) -> set[Path]:
    """Return those of the trees that processes of this host use.

    Processes that may not be looked at do not count: run it as root.
    """
    places = {f"{os.path.realpath(tree)}/": tree for tree in candidates}
    found: set[str] = set()
    for process in proc.iterdir() if places else []:
        if process.name.isdigit() and len(found) < len(places):
            found |= _inside(_paths(process), places)
    return {places[place] for place in found}


def unit_trees(candidates: Collection[Path], directory: str = units.DIRECTORY, without: Path | None = None) -> set[Path]:
    """Return those of the trees that the program of an installed service is in, through links or not.

    :param without: a link that is about to point to another tree.
    """
    places = {f"{os.path.realpath(tree)}/": tree for tree in candidates}
    programs = [word for text in units.marked_by_anyone(directory).values() for word in PROGRAM.findall(text)]
    # The program itself is a link to an interpreter outside.
    homes = [os.path.dirname(os.path.dirname(program)) for program in programs]
    roots = [os.path.realpath(home) for home in homes if home != str(without)]
    return {places[place] for place in _inside(roots, places)}
