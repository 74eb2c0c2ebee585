# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The root image that all hosts of a lab share, kept under the hash of everything that makes it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, Iterator, Mapping, Optional, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import Runner, demand

#: To be raised when build_image itself changes what it makes; files, masks and packages below are hashed anyway.
RECIPE = 1

PACKAGES = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "libcurl4",
    "libgomp1",
    "libibverbs1",
    "libnuma1",
    "network-manager",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "python3-venv",
    "systemd-sysv",
    "udev",
)

#: These have no purpose in a host without uplink and console, or would reach into the machine's kernel.
MASKED_UNITS = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dev-hugepages.mount",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "modprobe@.service",
    "motd-news.timer",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-pstore.service",
)

FILES = {
    # Hosts know each other by /etc/hosts: a lookup must not wait for a server that cannot answer.
    "etc/resolv.conf": "# No name server: nothing leaves the lab.\n",
    "etc/locale.conf": "LANG=C.UTF-8\n",
    "etc/default/locale": "LANG=C.UTF-8\n",
    # Made at the first boot of each host; the file must exist.
    "etc/machine-id": "",
    "etc/NetworkManager/conf.d/10-lab.conf": (
        "# The lab's interfaces are veth pairs, which NetworkManager leaves alone unless told otherwise.\n"
        "[main]\ndns=none\nno-auto-default=*\n\n[device-veth]\nmatch-device=type:veth\nmanaged=1\n"
    ),
    "etc/ssh/sshd_config.d/10-lab.conf": (
        "HostKey /etc/ssh/ssh_host_ed25519_key\nPasswordAuthentication no\nUseDNS no\nMaxStartups 200\nMaxSessions 200\n"
    ),
    # Kept over a host's reboot, so that the journal of a fault can be read after it.
    "etc/systemd/journald.conf.d/10-lab.conf": "[Journal]\nStorage=persistent\nSystemMaxUse=128M\n",
}

#: Left by packages: identity, the machine's package sources, which may hold credentials, and a hook for ifupdown, which
#: is not installed and without which the hook fails.
REMOVED = (
    "etc/NetworkManager/dispatcher.d/01-ifupdown",
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/apt/sources.list",
    "etc/apt/sources.list.d",
    "etc/hostname",
    "etc/ssh/ssh_host_*",
    "var/cache/apt/*",
    "var/lib/apt/lists/*",
    "var/lib/dbus/machine-id",
)

#: An image takes 0.4 GB, and its packages and lists take as much again while it is built.
BUILD_DISK_MB = 1200


#: Releases of Debian whose package sources differ in their code names only: one of them is built with the sources of another.
DEBIAN_RELEASES = ("bullseye", "bookworm", "trixie", "forky")


@dataclass(frozen=True)
class Distribution:
    """What os-release says: the identifier and the code name of the release."""

    identifier: str
    codename: str


def parse_os_release(text: str) -> Distribution:
    """Read os-release."""
    pairs = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    values = {key.strip(): value.strip().strip("\"'") for key, value in pairs.items()}
    return Distribution(values.get("ID", ""), values.get("VERSION_CODENAME", ""))


# --- package sources -------------------------------------------------------------------------------------------------


def _stanzas(text: str) -> Iterable[dict[str, str]]:
    """Yield the stanzas of a deb822 file; field names in lower case, comments left out, continuation lines kept."""
    for block in re.split(r"\n[ \t]*\n", "\n".join(line for line in text.splitlines() if not line.startswith("#"))):
        stanza: dict[str, str] = {}
        name = ""
        for line in block.splitlines():
            if line[:1] in " \t" and name:
                stanza[name] += "\n" + line.rstrip()
            elif ":" in line:
                name, value = line.split(":", 1)
                name = name.strip().lower()
                stanza[name] = value.strip()
        if stanza:
            yield stanza


def _one_line_stanzas(text: str) -> Iterable[dict[str, str]]:
    """Yield the entries of a sources.list as deb822 stanzas."""
    renamed = {"arch": "architectures", "lang": "languages", "target": "targets"}
    for line in text.splitlines():
        match = re.fullmatch(r"\s*(deb)\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*?)\s*(?:#.*)?", line)
        if match:
            options = dict(option.split("=", 1) for option in (match[2] or "").split() if "=" in option)
            fields = {renamed.get(key.lower(), key.lower()): value.replace(",", " ") for key, value in options.items()}
            yield {"types": match[1], "uris": match[3], "suites": match[4], "components": match[5], **fields}


def select_sources(files: Sequence[tuple[str, str]], suite: str) -> str:
    """Return, as one deb822 text, those package sources that make up a distribution's release.

    Args:
        files: names and texts of sources.list and of the files in sources.list.d, in the order to keep.
        suite: code name of the release; its updates and security suites are taken along.

    Sources of others (their suites are named otherwise or they have no component main) are left out: hosts need nothing
    of them, and each is one more thing that can fail.
    """
    wanted = {suite, f"{suite}-updates", f"{suite}-security", f"{suite}/updates"}
    chosen = []
    for name, text in files:
        for stanza in _stanzas(text) if name.endswith(".sources") else _one_line_stanzas(text):
            suites = [each for each in stanza.get("suites", "").split() if each in wanted]
            enabled = stanza.get("enabled", "yes").lower() not in {"no", "false", "0"}
            binary = "deb" in stanza.get("types", "").split()
            if not (suites and enabled and binary and "main" in stanza.get("components", "").split()):
                continue
            kept = {**stanza, "types": "deb", "suites": " ".join(suites)}
            kept.pop("enabled", None)
            lines = [f"{'-'.join(word.capitalize() for word in key.split('-'))}: {value}" for key, value in kept.items()]
            chosen.append("\n".join(line.replace("Uris:", "URIs:", 1) for line in lines))
    return "\n\n".join(chosen) + "\n" if chosen else ""


def sources_of_another_release(sources: str, codename: str, suite: str) -> str:
    """Return package sources of a release of Debian as those of another one.

    Args:
        sources: what select_sources has returned.
        codename: the release that they are of.
        suite: the release that they are to be of.

    Both must be known ones; otherwise the text is empty, since nobody else promises to keep two releases side by side.
    """
    if codename not in DEBIAN_RELEASES or suite not in DEBIAN_RELEASES:
        return ""
    return re.sub(r"^Suites: .*$", lambda match: match[0].replace(codename, suite), sources, flags=re.MULTILINE)


def read_source_files(paths: Sequence[Path]) -> list[tuple[str, str]]:
    """Read package source files; those that are not there are skipped."""
    return [(path.name, path.read_text(encoding="utf-8", errors="replace")) for path in paths if path.is_file()]


def machine_source_paths(root: Path = Path("/")) -> list[Path]:
    """Return where this machine's package manager reads its sources."""
    directory = root / "etc/apt/sources.list.d"
    return [root / "etc/apt/sources.list", *sorted(directory.glob("*.list")), *sorted(directory.glob("*.sources"))]


_KEPT_APT_OPTIONS = re.compile(r"Acquire::(?:https?|Check-|Retries|ForceIPv4|Max-ValidTime)")


def select_apt_options(dump: str) -> str:
    """Return those settings of `apt-config dump` that say how this machine reaches its package sources."""
    return "".join(f"{line}\n" for line in dump.splitlines() if _KEPT_APT_OPTIONS.match(line) and not line.endswith('"";'))


# --- what makes an image ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """Everything that an image depends on."""

    suite: str
    architecture: str
    packages: tuple[str, ...]
    sources: str

    def digest(self) -> str:
        """Return the name of the image: 12 hexadecimal digits over the content of the recipe."""
        content = {
            "recipe": RECIPE,
            "suite": self.suite,
            "architecture": self.architecture,
            "packages": sorted(set(self.packages)),
            "sources": self.sources,
            "files": FILES,
            "masked": MASKED_UNITS,
            "removed": REMOVED,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def make_recipe(extra_packages: Sequence[str], suite: str = "", source_paths: Sequence[Path] = (), root: Path = Path("/")) -> Recipe:
    """Return the recipe for this machine.

    Args:
        extra_packages: packages besides those of this collection.
        suite: code name of the release; empty: that of this machine.
        source_paths: files with package sources; empty: those of this machine, and where it has none for another release of Debian, its
            own release's with the code name replaced.
        root: where this machine's files are.

    Raises:
        LabError: no release is named, or no package source is found for it.
    """
    release = parse_os_release((root / "etc/os-release").read_text(encoding="utf-8"))
    suite = suite or release.codename
    paths = list(source_paths) or machine_source_paths(root)
    files = read_source_files(paths)
    sources = select_sources(files, suite) if suite else ""
    if not sources and not source_paths:
        sources = sources_of_another_release(select_sources(files, release.codename), release.codename, suite)
    if not sources:
        looked = ", ".join(str(path) for path in paths)
        raise LabError(
            f"No package source for the release '{suite or '(unknown)'}' was found in {looked}: set lab_suite to a "
            "Debian or Ubuntu release and lab_apt_sources to a file with its package sources (sources.list or .sources "
            "format)"
        )
    return Recipe(suite, platform.machine(), (*PACKAGES, *extra_packages), sources)


# --- building --------------------------------------------------------------------------------------------------------


def _remove_stale_builds(images: Path) -> None:
    for stale in images.glob(".building-*"):
        pid = stale.name.rpartition("-")[2]
        if not (Path("/proc") / pid).exists():
            shutil.rmtree(stale)


def customise(
    root: Path,
    files: Optional[Mapping[str, str]] = None,
    masked: Optional[Sequence[str]] = None,
) -> None:
    """Turn a fresh root into the image: the lab's files, no identity, no useless units.

    Args:
        root: the root.
        files: texts of files by their path below the root; None: those of systemd-nspawn hosts. Scripts are executable.
        masked: units; None: those that systemd-nspawn hosts have no use for.
    """
    for pattern in REMOVED:
        for path in list(root.glob(pattern)):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    for name, text in (FILES if files is None else files).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            path.unlink()
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    for unit in MASKED_UNITS if masked is None else masked:
        path = root / "etc/systemd/system" / unit
        if path.is_symlink() or path.exists():
            path.unlink()
        path.symlink_to("/dev/null")
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)


@contextmanager
def build_directory(images: Path, digest: str) -> Iterator[Path]:
    """Make a directory for a build, beside where the image will be, and remove it at the end."""
    images.mkdir(parents=True, exist_ok=True)
    _remove_stale_builds(images)
    build = images / f".building-{digest}-{os.getpid()}"
    build.mkdir(mode=0o700)
    try:
        yield build
    finally:
        shutil.rmtree(build)


def install_packages(recipe: Recipe, build: Path, runner: Runner, options: Sequence[str] = ()) -> Path:
    """Install a recipe's packages into a root of their own below a directory, and return that root.

    Raises:
        LabError: mmdebstrap failed; the text has the end of its output.
    """
    sources, apt, root = build / "lab.sources", build / "apt.conf", build / "root"
    sources.write_text(recipe.sources, encoding="utf-8")
    apt.write_text(select_apt_options(runner(["apt-config", "dump"], None).out) or "# none\n", encoding="utf-8")
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", f"--aptopt={apt}"]
    command += ['--aptopt=Acquire::Languages "none"', "--dpkgopt=path-exclude=/usr/share/doc/*"]
    command += ["--dpkgopt=path-exclude=/usr/share/man/*", *options, f"--include={','.join(sorted(set(recipe.packages)))}"]
    demand(runner, [*command, recipe.suite, str(root), str(sources)], f"build the root image {recipe.digest()}")
    return root


def build_image(recipe: Recipe, images: Path, runner: Runner) -> Path:
    """Build the image unless it is there, beside its place, and move it there when it is whole.

    Raises:
        LabError: the build failed; the text has the end of its output.
    """
    final = images / recipe.digest()
    if final.is_dir():
        return final
    with build_directory(images, recipe.digest()) as build:
        root = install_packages(recipe, build, runner)
        customise(root)
        # A power cut must not leave an image in place whose files were never written.
        demand(runner, ["sync", "--file-system", str(root)], "write the root image to the disk")
        root.rename(final)
    return final


def image_path(recipe: Optional[Recipe], images: Path) -> Optional[Path]:
    """Return the finished image of a recipe, or None."""
    path = images / recipe.digest() if recipe else None
    return path if path and path.is_dir() else None
