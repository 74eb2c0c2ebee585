# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a host decides which stacks it can run, read from files below a root path; nothing is run and nothing is changed."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import elf, gpu, pci, system
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.plugins.module_utils.stack import architectures, machine

# Where the loader looks last: Debian's and Ubuntu's directories of an architecture, then those of RHEL.
LOADER = [f"{place}/{kind}-linux-gnu" for kind in ("x86_64", "aarch64") for place in ("/usr/lib", "/lib")]
LOADER += ["/usr/lib64", "/lib64", "/usr/lib", "/lib"]
LOADER_FILES = "/etc/ld.so.conf.d"
LIBRARY_LIMIT = 1 << 26
PROGRAMS = ("/usr/bin", "/usr/local/bin")
PYTHON = re.compile(r"^python(3\.\d{1,2})$")
# Systems with RHEL's packages: their own ids, for those that do not say ID_LIKE=rhel.
RHEL = frozenset({"rhel", "rocky", "almalinux", "centos", "ol", "circle", "virtuozzo"})
HUAWEI = "0x19e5"
# Where programs look that are told no toolkit: the first nvcc on the path of a unit, then NVIDIA's directory without a version.
PATH_NVCC = ("/usr/local/bin/nvcc", "/usr/bin/nvcc")
DEFAULT_TOOLKIT = "/usr/local/cuda"
TOOLKIT = re.compile(r"/cuda-(\d+\.\d+)$")
USUAL_TOOLKITS = "/usr/local/bin, /usr/bin and /usr/local/cuda, where programs look by themselves"


@dataclass(frozen=True)
class LibraryFacts:
    """A library of the host: its path, and the symbol versions that it defines (None: it cannot be read)."""

    path: str
    versions: tuple[str, ...] | None


@dataclass(frozen=True)
class Gpu:
    """A GPU: vendor, architecture (9.0, gfx942; None: not known), model (None: the driver is not there to say)."""

    vendor: str
    architecture: str | None
    model: str | None = None


@dataclass(frozen=True)
class Compiler:
    """An nvcc: the directory of its toolkit, and its version (None: not known)."""

    path: str
    version: str | None


@dataclass(frozen=True)
class HostFacts:
    """Everything that decides.

    :ivar system: like rhel-9, ubuntu-22.04, debian-12; empty for others.
    :ivar title: the operating system's name for a person.
    :ivar libraries: by soname, those that were asked for and found.
    :ivar driver: version of NVIDIA's loaded kernel driver.
    :ivar amdgpu: whether AMD's driver is loaded.
    :ivar compilers: the one that programs find: that of the toolkit they are told to use, or the default one.
    :ivar others: compilers that are there and that no program finds by itself.
    :ivar pythons: version like 3.11 to path.
    :ivar toolkits: where compilers were looked for.
    """

    machine: str
    system: str
    title: str
    libraries: Mapping[str, LibraryFacts] = field(default_factory=dict)
    gpus: tuple[Gpu, ...] = ()
    driver: str | None = None
    amdgpu: bool = False
    compilers: tuple[Compiler, ...] = ()
    others: tuple[Compiler, ...] = ()
    pythons: Mapping[str, str] = field(default_factory=dict)
    toolkits: str = USUAL_TOOLKITS


def system_of(os_release: str) -> str:
    """Return the system that an os-release text is of: like rhel-9, ubuntu-22.04, debian-12; empty for others."""
    rows = dict(re.findall(r"""^(\w+)=["']?([^"'\n]*)["']?$""", os_release, re.MULTILINE))
    name, version = rows.get("ID", ""), rows.get("VERSION_ID", "")
    if name in RHEL or "rhel" in rows.get("ID_LIKE", "").split():
        return f"rhel-{version.partition('.')[0]}" if version else ""
    if name == "ubuntu":
        return f"ubuntu-{version}" if version else ""
    # A release under test has no version.
    return f"debian-{version.partition('.')[0]}" if name == "debian" and version else ""


def loader_directories(root: Root, first: Sequence[str]) -> list[str]:
    """Return the directories that the loader of the host searches, in its order: first, those of ld.so.conf.d, its own."""
    configured = []
    for name in root.list(LOADER_FILES):
        if name.endswith(".conf"):
            lines = (root.read(f"{LOADER_FILES}/{name}") or "").splitlines()
            configured += [line.strip() for line in lines if line.strip().startswith("/")]
    return list(dict.fromkeys([*first, *configured, *LOADER]))


def find_library(root: Root, soname: str, directories: Iterable[str]) -> str | None:
    """Return the path of a library, None if it is in none of the directories."""
    return next((f"{place}/{soname}" for place in directories if root.exists(f"{place}/{soname}")), None)


def library(root: Root, soname: str, directories: Iterable[str]) -> LibraryFacts | None:
    """Return what is known of a library, None if it is in none of the directories."""
    path = find_library(root, soname, directories)
    if path is None:
        return None
    data = root.data(path, LIBRARY_LIMIT)
    versions = elf.defined_versions(data) if data else None
    return LibraryFacts(path, None if versions is None else tuple(versions))


def gpus(root: Root) -> tuple[Gpu, ...]:
    """Return the GPUs and NPUs of the host."""
    computing = gpu.kfd_nodes(root)
    found = []
    for row in gpu.gpus(root):
        if row["vendor"] == "nvidia":
            architecture = architectures.compute_capability(row["device"])
        else:
            architecture = architectures.llvm_target(computing.get(row["pci"], {}).get("gfx_target_version"))
        found.append(Gpu(row["vendor"], architecture, row["model"]))
    for address in root.list(pci.DEVICES):
        kind = root.read(f"{pci.DEVICES}/{address}/class") or ""
        if (root.read(f"{pci.DEVICES}/{address}/vendor") or "") == HUAWEI and kind.startswith("0x12"):
            found.append(Gpu("huawei", root.read(f"{pci.DEVICES}/{address}/device")))
    return tuple(found)


def toolkits(root: Root) -> dict[str, Compiler]:
    """Return the compilers of the toolkits in the usual directories, by the toolkit's own directory."""
    rows = {row["path"]: row["nvcc"] for row in machine.toolkits(root) if row["nvcc"] != ""}
    # The packages of nvcc alone bring no version.json; their directory is named after the version.
    named = {path: match[1] for path in rows for match in [TOOLKIT.search(path)] if match}
    return {path: Compiler(path, version or named.get(path)) for path, version in rows.items()}


def compilers(root: Root, cuda_home: str) -> tuple[Compiler, ...]:
    """Return the nvcc that programs find: that of cuda_home if it is given, otherwise the default one; none if it is not there."""
    there = toolkits(root)
    homes = [cuda_home] if cuda_home else [*(nvcc[: -len("/bin/nvcc")] for nvcc in PATH_NVCC), DEFAULT_TOOLKIT]
    for home in homes:
        program = root.real(f"{home}/bin/nvcc")
        if program:
            own = program[: -len("/bin/nvcc")] if program.endswith("/bin/nvcc") else ""
            return (there.get(own) or there.get(root.real(home) or home) or Compiler(home, None),)
    return ()


def pythons(root: Root) -> dict[str, str]:
    """Return the Pythons in the usual places: version like 3.11 to path."""
    found: dict[str, str] = {}
    for place in PROGRAMS:
        for name in root.list(place):
            match = PYTHON.match(name)
            if match and root.exists(f"{place}/{name}"):
                found.setdefault(match[1], f"{place}/{name}")
    return found


def look(root: Root, sonames: Iterable[str], library_path: Sequence[str] = (), cuda_home: str = "", kind: str = "") -> HostFacts:
    """Return the facts of a host.

    :param sonames: libraries that matter.
    :param library_path: directories that the loader is told to search first.
    :param cuda_home: the toolkit that the engine is told to use.
    :param kind: machine of a captured host, as uname says it; empty: that of this one.
    """
    text = root.read("/etc/os-release") or root.read("/usr/lib/os-release") or ""
    title = re.search(r"""^PRETTY_NAME=["']?([^"'\n]*)""", text, re.MULTILINE)
    directories = loader_directories(root, library_path)
    wanted = {soname: library(root, soname, directories) for soname in dict.fromkeys(sonames)}
    usable = compilers(root, cuda_home)
    return HostFacts(
        machine=kind or platform.machine(),
        system=system_of(text),
        title=title[1] if title else "an unknown operating system",
        libraries={soname: facts for soname, facts in wanted.items() if facts is not None},
        gpus=gpus(root),
        driver=system.nvidia(root)["version"],
        amdgpu=root.exists("/sys/module/amdgpu"),
        compilers=usable,
        others=tuple(compiler for compiler in toolkits(root).values() if compiler not in usable),
        pythons=pythons(root),
        toolkits=cuda_home or USUAL_TOOLKITS,
    )
