# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resolve what a stack is made of into one version of every package: the part of tools/lock_stack.py that asks uv.

resolve.yml of a stack's directory says what is wanted:

    packages:   requirements of the stack itself
    overrides:  requirements that stand in for whatever anything else asks for: what would otherwise be installed over it afterwards
    excludes:   names of packages that are left out, although something asks for them
    until:      day (YYYY-MM-DD); nothing that was uploaded later is taken. The same day gives the same versions, on any later day
    until_packages: the same for single packages by name
    glibc:      of the oldest host, like "2.34"
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.railyard.sglang.plugins.module_utils.stack.fetch import find_pip, pip_minor, requirements, target_arguments
from ansible_collections.railyard.sglang.plugins.module_utils.stack.wheels import Target

KEYS = {"packages": list, "overrides": list, "excludes": list, "until": str, "until_packages": dict, "glibc": str}
LOCAL = re.compile(r"^([A-Za-z0-9._-]+)==([A-Za-z0-9.]+\+[A-Za-z0-9.]+)$")
UV_SECONDS = 900


@dataclass(frozen=True)
class Wanted:
    """What resolve.yml says."""

    packages: list[str]
    overrides: list[str] = field(default_factory=list)
    excludes: list[str] = field(default_factory=list)
    until: str = ""
    until_packages: dict[str, str] = field(default_factory=dict)
    glibc: str = "2.34"

    def local(self) -> list[str]:
        """Return the pins with a local version (+cpu), which the ordinary index does not have."""
        return [line for line in (*self.packages, *self.overrides) if LOCAL.match(line)]


def read_wanted(path: Path) -> Wanted:
    """Return what a resolve.yml says; end the program, naming the key, if it is not usable."""
    data: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict) or not data.get("packages"):
        raise SystemExit(f"{path}: packages is missing")
    for key, value in data.items():
        if key not in KEYS:
            raise SystemExit(f"{path}: there is no key {key}; there are {', '.join(KEYS)}")
        if not isinstance(value, KEYS[key]):
            raise SystemExit(f"{path}: {key} is a {type(value).__name__} and not a {KEYS[key].__name__}; dates and versions are quoted")
    return Wanted(**data)


def fetch_local(wanted: Wanted, targets: Sequence[Target], directory: Path, index: str) -> None:
    """Have pip, with its own configuration, fetch the wheels of local versions: uv is not told where pip finds them.

    :param index: one more index, empty for none.
    """
    if not wanted.local():
        return
    pip = find_pip("", "the lock")
    for number, pin in enumerate(wanted.local()):
        # The address of an index may hold a password, and command lines are public.
        asked = requirements(directory / f".local-{number}.txt", [pin], index)
        for target in targets:
            chosen = target_arguments(target, pip_minor(pip))
            command = [*pip, "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", *chosen]
            command += ["--dest", str(directory), "--requirement", str(asked)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                fix = "name PyTorch's index in RAILYARD_TORCH_INDEX, or the directory that has the wheel with --wheels"
                what = f"Python 3.{target.minor} on {target.machine}"
                raise SystemExit(f"pip finds no wheel of {pin} for {what}; {fix}\n{done.stderr[-800:]}")


@dataclass(frozen=True)
class Places:
    """The program uv, the package index, a directory with wheels that the index does not have, and one for files of uv."""

    uv: str
    index: str
    wheels: Path
    work: Path


def compile_once(wanted: Wanted, target: Target, places: Places) -> dict[str, str]:
    """Return version by name for one Python and machine. What pins.txt in the work directory holds is kept where it still fits."""
    work = places.work
    for name in ("packages", "overrides", "excludes"):
        (work / name).write_text("".join(f"{line}\n" for line in getattr(wanted, name)), encoding="utf-8")
    command = [places.uv, "pip", "compile", "--no-config", "--quiet", "--no-header", "--no-annotate", "--only-binary", ":all:"]
    platform = f"{target.machine}-manylinux_{wanted.glibc.replace('.', '_')}"
    command += ["--python-version", f"3.{target.minor}", "--python-platform", platform]
    command += ["--overrides", str(work / "overrides"), "--excludes", str(work / "excludes"), "--find-links", str(places.wheels)]
    if wanted.until:
        command += ["--exclude-newer", wanted.until]
    for name, day in wanted.until_packages.items():
        command += ["--exclude-newer-package", f"{name}={day}"]
    pins = work / "pins.txt"
    command += ["--output-file", str(pins), str(work / "packages")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=UV_SECONDS, env=environment(places.index))
    if done.returncode != 0:
        raise SystemExit(f"uv finds no set of packages for Python 3.{target.minor} on {target.machine}:\n{done.stderr[-3000:]}")
    lines = [line.partition("#")[0].strip() for line in pins.read_text(encoding="utf-8").splitlines()]
    return dict(line.split("==", 1) for line in lines if line)


def environment(index: str) -> dict[str, str]:
    """Return the environment without settings of uv other than its cache: the result is the same everywhere.

    The index is in it, since its address may hold a password, and command lines are public.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("UV_") or name == "UV_CACHE_DIR"}
    return {**kept, "UV_DEFAULT_INDEX": index}


def merge(found: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the pins of all targets as lines; end the program if two of them need different versions of a package.

    :param found: versions by name, by target.
    """
    versions: dict[str, dict[str, str]] = {}
    for target, pins in found.items():
        for name, version in pins.items():
            versions.setdefault(name, {})[target] = version
    apart = [
        f"{name}: " + ", ".join(f"{version} for {target}" for target, version in row.items())
        for name, row in versions.items()
        if len(set(row.values())) > 1
    ]
    if apart:
        fix = "one lock has one version: override these with one that fits all, or lock the stack for one Python"
        raise SystemExit("\n".join([f"the Pythons or machines of the stack need different versions; {fix}:", *apart]))
    return [f"{name}=={next(iter(versions[name].values()))}" for name in sorted(versions)]


def resolve(wanted: Wanted, targets: Sequence[Target], places: Places, old: str) -> list[str]:
    """Return the pins as lines name==version; the oldest Python chooses first, and the others follow it where they can.

    :param old: text of the pins of the last time, empty to choose all anew.
    """
    (places.work / "pins.txt").write_text(old, encoding="utf-8")
    found = {}
    for target in sorted(targets, key=lambda row: (row.machine != targets[0].machine, row.minor)):
        found[f"Python 3.{target.minor} on {target.machine}"] = compile_once(wanted, target, places)
    return merge(found)
