# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wheels in a directory: which of them a Python can use, and whether they are the locked ones."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import stat
import zipfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.locks import Pin, normalise

NAMED = 5
LEGACY_MANYLINUX = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}


@dataclass(frozen=True)
class Target:
    """What a wheel has to fit: CPython 3.<minor>, the machine as uname says it, and the version of glibc."""

    minor: int
    machine: str
    glibc: tuple[int, int]


@dataclass(frozen=True)
class Wheel:
    """A wheel's file name, taken apart."""

    filename: str
    name: str
    version: str
    pythons: tuple[str, ...]
    abis: tuple[str, ...]
    platforms: tuple[str, ...]


def local_glibc() -> tuple[int, int]:
    """Return the glibc version of this machine, (0, 0) where there is none."""
    match = re.match(r"glibc (\d+)\.(\d+)", os.confstr("CS_GNU_LIBC_VERSION") or "")
    return (int(match[1]), int(match[2])) if match else (0, 0)


def local_target(minor: int) -> Target:
    """Return the target of a CPython 3.<minor> on this machine."""
    return Target(minor, platform.machine(), local_glibc())


def parse_wheel(filename: str) -> Wheel | None:
    """Return the parts of a wheel's file name, None if it is not a wheel's."""
    if not filename.endswith(".whl"):
        return None
    parts = filename[: -len(".whl")].split("-")
    if len(parts) not in (5, 6):
        return None
    pythons, abis, platforms = (tuple(part.split(".")) for part in parts[-3:])
    return Wheel(filename, normalise(parts[0]), parts[1].replace("_", "-"), pythons, abis, platforms)


def platform_fits(tag: str, target: Target) -> bool:
    """Say whether a platform tag of a wheel runs on the target."""
    if tag == "any":
        return True
    if not tag.endswith("_" + target.machine):
        return False
    stem = tag[: -len("_" + target.machine)]
    if stem == "linux":
        return True
    match = re.match(r"manylinux_(\d+)_(\d+)$", stem)
    needed = (int(match[1]), int(match[2])) if match else LEGACY_MANYLINUX.get(stem)
    return needed is not None and needed <= target.glibc


def python_fits(python: str, abi: str, target: Target) -> bool:
    """Say whether a Python tag with an ABI tag of a wheel runs on the target."""
    match = re.match(r"(py|cp)3(\d*)$", python)
    if not match:
        return False
    minor = int(match[2] or 0)
    if abi == "none":
        return minor <= target.minor if match[1] == "py" else minor == target.minor
    if abi == "abi3":
        return match[1] == "cp" and minor <= target.minor
    return python == abi == f"cp3{target.minor}"


def fits(wheel: Wheel, target: Target) -> bool:
    """Say whether a wheel can be installed on the target."""
    return any(platform_fits(tag, target) for tag in wheel.platforms) and any(
        python_fits(python, abi, target) for python in wheel.pythons for abi in wheel.abis
    )


def is_pinned(wheel: Wheel, pin: Pin) -> bool:
    """Say whether a wheel's name is that of a pin: the same distribution and version."""
    return wheel.name == pin.name and wheel.version == pin.version.replace("_", "-")


def sha256(path: Path) -> str:
    """Return the hexadecimal sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def sha256_all(paths: Iterable[Path]) -> dict[str, str]:
    """Return the sha256 of files by file name, on all cores: hashlib lets other threads run."""
    files = list(paths)
    with ThreadPoolExecutor(max_workers=max(1, min(8, os.cpu_count() or 1))) as pool:
        return {path.name: digest for path, digest in zip(files, pool.map(sha256, files))}


def listed(names: Iterable[str]) -> str:
    """Return names for a message: the first ones, and how many more."""
    ordered = sorted(names)
    more = len(ordered) - NAMED
    return ", ".join(ordered[:NAMED]) + (f" and {more} more" if more > 0 else "")


def candidates(filenames: Iterable[str], pins: Mapping[str, Pin], target: Target) -> dict[str, list[Wheel]]:
    """Return for every pin the wheels, among these file names, which carry its name and version and fit the target."""
    found: dict[str, list[Wheel]] = {name: [] for name in pins}
    for filename in sorted(filenames):
        wheel = parse_wheel(filename)
        if wheel and wheel.name in pins and is_pinned(wheel, pins[wheel.name]) and fits(wheel, target):
            found[wheel.name].append(wheel)
    return found


def check_wheels(directory: Path, pins: Mapping[str, Pin], target: Target, subject: str) -> dict[str, Path]:
    """Return for every pin a wheel of the directory whose content is the locked one.

    Raises StackError naming every wheel which is missing or whose content is not the locked one.
    """
    if not directory.is_dir():
        fix = "fill it on a connected machine (playbooks/wheels.yml) and mount or copy it, or set the source to index"
        raise StackError(subject, f"the wheel directory {directory} is not on this host", fix)
    found = candidates(os.listdir(directory), pins, target)
    missing = [f"{pins[name].name}=={pins[name].version}" for name, wheels in found.items() if not wheels]
    if missing:
        what = f"Python 3.{target.minor} on {target.machine} with glibc {target.glibc[0]}.{target.glibc[1]}"
        problem = f"{directory} lacks a wheel that fits {what} for: {listed(missing)}"
        raise StackError(subject, problem, "fill the directory anew on a connected machine (playbooks/wheels.yml)")
    digests = sha256_all(directory / wheel.filename for wheels in found.values() for wheel in wheels)
    good: dict[str, Path] = {}
    for name, wheels in found.items():
        for wheel in wheels:
            if digests[wheel.filename] in pins[name].hashes:
                good[name] = directory / wheel.filename
    bad = [wheel.filename for name, wheels in found.items() if name not in good for wheel in wheels]
    if bad:
        problem = f"the sha256 is not the locked one of {listed(bad)} in {directory}: corrupted or exchanged"
        fix = "fetch it again: playbooks/wheels.yml with wheels_verify=true replaces such files"
        raise StackError(subject, problem, fix)
    return good


def extract_program(wheel: Path, program: str, destination: Path) -> Path:
    """Write the program that a wheel carries in its scripts to a path and make it executable.

    Raises StackError if the wheel has no such program.
    """
    with zipfile.ZipFile(wheel) as archive:
        members = [name for name in archive.namelist() if name.endswith(f".data/scripts/{program}")]
        if len(members) != 1:
            problem = f"{wheel.name} does not carry the program {program}"
            raise StackError(program, problem, "lock a version of it which does (roles/stack/files/installer.txt)")
        with archive.open(members[0]) as source, destination.open("wb") as target:
            for block in iter(lambda: source.read(1 << 20), b""):
                target.write(block)
    destination.chmod(stat.S_IRWXU)
    return destination
