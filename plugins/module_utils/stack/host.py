# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has and lacks: system libraries, package names, Pythons, disk space."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import Definition, Library
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.hosts import system_of
from ansible_collections.railyard.sglang.plugins.module_utils.stack.ospackages import Missing, Present, Table, missing, name_of

MIB = 1 << 20
PYTHON_PATHS = ("/usr/bin", "/usr/local/bin", "/bin")


def loads(soname: str) -> bool:
    """Say whether the loader of this host finds a library and all that it needs."""
    try:
        ctypes.CDLL(soname)
    except OSError:
        return False
    return True


def missing_libraries(libraries: Iterable[Library], found: Callable[[str], bool] = loads) -> list[Library]:
    """Return the libraries that this host lacks, each once."""
    return [library for library in dict.fromkeys(libraries) if not found(library.soname)]


def package_family(os_release: str) -> str:
    """Return V(deb) or V(rpm) for the text of /etc/os-release."""
    values = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', os_release, re.M))
    words = {values.get("ID", ""), *values.get("ID_LIKE", "").split()}
    return "deb" if words & {"debian", "ubuntu"} else "rpm"


def lacking(
    definition: Definition, table: Table, python: str, found: Callable[[str], bool] = loads, root: Path = Path("/")
) -> list[Missing]:
    """Return what a host lacks of a stack's system libraries and of the table's rows that it names, each with its package.

    :param python: version of the Python that the stack is built with, like 3.11.
    """
    text = next((path.read_text(encoding="utf-8") for path in (root / "etc/os-release", root / "usr/lib/os-release") if path.exists()), "")
    system, family = system_of(text), package_family(text)
    own = missing_libraries(definition.libraries, found)
    rows = [Missing(row.soname, name_of(table, row.soname, system) or (row.deb if family == "deb" else row.rpm)) for row in own]
    present = Present(found, lambda path: (root / path.lstrip("/")).exists())
    rows += missing(table, definition.needs.features, system, python, present)
    return list({row.what: row for row in rows}.values())


def missing_packages(libraries: Iterable[Library], os_release: Path = Path("/etc/os-release")) -> list[str]:
    """Return the names of the packages, as this host calls them, which bring the libraries."""
    family = package_family(os_release.read_text(encoding="utf-8") if os_release.exists() else "")
    return sorted({library.deb if family == "deb" else library.rpm for library in libraries})


def python_version(executable: str) -> tuple[int, int, int] | None:
    """Return the version of a CPython, None if it does not run."""
    program = "import sys; print(*sys.version_info[:3])"
    try:
        done = subprocess.run(
            [executable, "-I", "-c", program], capture_output=True, text=True, timeout=30, check=False, env={}
        )
    except (OSError, subprocess.SubprocessError):
        return None
    words = done.stdout.split()
    return (int(words[0]), int(words[1]), int(words[2])) if done.returncode == 0 and len(words) == 3 else None


def find_python(versions: tuple[str, ...], explicit: str, subject: str) -> tuple[str, tuple[int, int, int]]:
    """Return the path and version of the Python that a stack is built with.

    versions are the usable ones like "3.11", best first. explicit is the operator's choice, empty for a search.
    Raises StackError which names what was found instead.
    """
    path = os.pathsep.join(PYTHON_PATHS)
    names = [explicit] if explicit else [*(f"python{version}" for version in versions), "python3"]
    seen = []
    for name in names:
        executable = name if os.path.isabs(name) else shutil.which(name, path=path)
        version = python_version(executable) if executable else None
        if executable and version:
            if f"{version[0]}.{version[1]}" in versions:
                return executable, version
            seen.append(f"{executable} is {version[0]}.{version[1]}.{version[2]}")
        elif explicit:
            seen.append(f"{explicit} does not run")
    problem = f"it needs Python {' or '.join(versions)} and found none ({'; '.join(seen) or 'no python3 at all'})"
    raise StackError(subject, problem, f"install python{versions[0]} on the host, or name its path in stack_python")


def existing_parent(path: Path) -> Path:
    """Return the path, or the nearest directory above it that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def free_mib(path: Path) -> int:
    """Return the free space, in MiB, of the file system that holds a path or would hold it."""
    status = os.statvfs(existing_parent(path))
    return status.f_bavail * status.f_frsize // MIB


def is_read_only(path: Path) -> bool:
    """Say whether the file system that holds a path, or would hold it, is mounted read-only."""
    return bool(os.statvfs(existing_parent(path)).f_flag & os.ST_RDONLY)


def check_space(path: Path, needed_mib: int, subject: str) -> None:
    """Raise StackError unless the file system of the path has so much space, in MiB, free."""
    free = free_mib(path)
    if free < needed_mib:
        problem = f"{path} has {free} MiB free and needs {needed_mib} MiB"
        raise StackError(subject, problem, f"free {needed_mib - free} MiB there, or put stack_store on a larger disk")
