# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of NVIDIA's driver that IBGDA needs: a file of its own in modprobe.d, and whether the loaded driver has them.

modprobe reads its files in the order of their names and passes every option on; the kernel takes the last value of a parameter. So the
file comes last, and what others say of the same parameter is kept in it.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.checks.registration import PARAMS, SWITCHES
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.tree import Tree

MODULE = "nvidia"
DIRECTORIES = ("/etc/modprobe.d", "/run/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d")
FILE = "/etc/modprobe.d/zz-railyard-deepep.conf"
MARK = "# Managed by railyard.sglang, role deepep. deepep_state: absent takes it away."
REASON = "# GPUs ring the doorbells of NICs (IBGDA of NVSHMEM, failure D28). In effect when the driver is loaded the next time."
WORDS, STREAM = "NVreg_RegistryDwords", "NVreg_EnableStreamMemOPs"
KEY, VALUE = "PeerMappingOverride", "1"
# As the driver reads a number.
ONE = re.compile(r"^(0[xX])?0*1$")
# An image with every driver of a distribution takes minutes to make on a busy host: seconds.
IMAGE_SECONDS = {"dracut": 900.0, "update-initramfs": 900.0}
IMAGES = ("/boot/initrd.img-{kernel}", "/boot/initramfs-{kernel}.img")


@dataclass(frozen=True)
class Host:
    """What was seen.

    :ivar files: texts of modprobe.d in the order in which they are applied, without ours.
    :ivar own: text of our file, None where there is none.
    :ivar alien: whether a file of our name is not ours.
    :ivar params: what the loaded driver says, None where none is loaded.
    :ivar image: initial RAM disk of the running kernel, empty where none is known; stale: it is older than our file.
    """

    files: tuple[tuple[str, str], ...] = ()
    own: str | None = None
    alien: bool = False
    params: str | None = None
    image: str = ""
    stale: bool = False
    command_line: str = ""


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    :ivar text: of our file; None where it is to go, or stays away.
    :ivar changed: whether that is not so yet.
    :ivar missing: what the loaded driver lacks.
    """

    text: str | None
    changed: bool
    missing: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)


def options(text: str, module: str = MODULE) -> list[tuple[str, str]]:
    """Return the parameters that a file of modprobe.d sets for a module, in order."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        words = line.split(None, 2)
        if len(words) < 3 or words[0] != "options" or words[1].replace("-", "_") != module:
            continue
        try:
            parts = shlex.split(words[2], comments=True)
        except ValueError:
            parts = words[2].split()
        found += [(name, value) for name, _equals, value in (part.partition("=") for part in parts)]
    return found


def merged(values: Sequence[str]) -> str:
    """Return registry words with ours: those of the last value that there is, and of ours the value that is needed."""
    last = values[-1] if values else ""
    rows = [word.partition("=") for word in last.split(";") if word.strip()]
    kept = [f"{name.strip()}={value.strip()}" for name, _equals, value in rows if name.strip() != KEY]
    return "".join(f"{word};" for word in [*kept, f"{KEY}={VALUE}"])


def overridden(command_line: str) -> dict[str, str]:
    """Return what the kernel command line says of our parameters: the last value of each counts, and modprobe passes it on last."""
    try:
        words = shlex.split(command_line)
    except ValueError:
        words = command_line.split()
    pairs = (word.partition("=") for word in words)
    names = {f"nvidia.{name}": name for name in (STREAM, WORDS)}
    return {names[name.replace("-", "_")]: value.strip("\"'") for name, _equals, value in pairs if name.replace("-", "_") in names}


def is_set(name: str, value: str) -> bool:
    """Return whether a value of one of our parameters is what is needed."""
    if name == STREAM:
        return ONE.match(value.strip()) is not None
    words = {key.strip(): given.strip() for key, _equals, given in (word.partition("=") for word in value.split(";"))}
    return ONE.match(words.get(KEY, "")) is not None


def wanted_text(host: Host) -> str:
    """Return the file."""
    others = [value for _path, text in host.files for name, value in options(text) if name == WORDS]
    return "\n".join([MARK, REASON, f'options {MODULE} {STREAM}=1 {WORDS}="{merged(others)}"', ""])


def lacking(params: str | None) -> tuple[str, ...]:
    """Return what a loaded driver lacks; nothing where none is loaded."""
    if params is None:
        return ()
    return tuple(name for name, pattern in SWITCHES.items() if not re.search(pattern, params, re.MULTILINE))


def plan(host: Host, present: bool) -> Plan:
    """Return what is to be done.

    :param present: whether the parameters are wanted; otherwise our file goes.
    """
    if host.alien:
        return Plan(None, False, faults=(f"{FILE} is there and is not this role's. Fix: move it away, or call yours by another name",))
    if not present:
        kept = bool(host.own and host.params and not lacking(host.params))
        gone = f"{FILE} goes; the loaded driver keeps its parameters until it is loaded again"
        return Plan(None, host.own is not None, notes=(gone,) if kept else ())
    text = wanted_text(host)
    faults: list[str] = []
    notes: list[str] = []
    for path, other in host.files:
        names = sorted({name for name, _value in options(other)} & {WORDS, STREAM})
        if names and os.path.basename(path) > os.path.basename(FILE):
            faults.append(f"{path} sets {' and '.join(names)} after {FILE}. Fix: give it a name that comes before, or remove it")
        elif names:
            notes.append(f"{path} sets {' and '.join(names)}, too; {FILE} is read later and holds its registry words as well")
    for name, value in overridden(host.command_line).items():
        if not is_set(name, value):
            fix = f"take nvidia.{name} out of it, or have it say {STREAM + '=1' if name == STREAM else KEY + '=1'}, and reboot"
            faults.append(f"the kernel command line sets nvidia.{name}={value}, which wins over {FILE}. Fix: {fix}")
        else:
            notes.append(f"the kernel command line sets nvidia.{name}, too, which wins over {FILE}")
    return Plan(text, host.own != text, lacking(host.params), tuple(faults), tuple(notes))


def look(tree: Tree, kernel: str) -> Host:
    """Return what there is."""
    names: dict[str, str] = {}
    for directory in DIRECTORIES:
        for path in tree.find(f"{directory}/*.conf"):
            # A file hides one of the same name in a later directory.
            names.setdefault(os.path.basename(path), path)
    files = [(names[name], tree.text(names[name]) or "") for name in sorted(names) if names[name] != FILE]
    data = tree.read(FILE)
    own = None if data is None else data.decode("utf-8", "replace")
    image = next((path for path in (form.format(kernel=kernel) for form in IMAGES) if tree.exists(path)), "")
    stale = bool(image and own is not None and os.stat(tree.real(image)).st_mtime < os.stat(tree.real(FILE)).st_mtime)
    return Host(
        tuple(files), own, tree.exists(FILE) and not (own or "").startswith(MARK), tree.text(PARAMS), image, stale,
        tree.text("/proc/cmdline") or "",
    )


def image_command(image: str, kernel: str) -> list[str]:
    """Return what makes the initial RAM disk anew: it may hold the driver, with the parameters of the time when it was made."""
    if not image:
        return []
    return ["update-initramfs", "-u", "-k", kernel] if "initrd.img" in image else ["dracut", "--force", image, kernel]


def shown(host: Host, made: Plan) -> Mapping[str, str]:
    """Return the change of the file as Ansible shows it."""
    return {"before_header": FILE, "after_header": FILE, "before": host.own or "", "after": made.text or ""}
