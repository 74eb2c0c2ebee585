# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a lab keeps what, and what is recorded about a running one.

A lab's files lie in `<cache>/lab/<name>`. What concerns the whole machine, its name and its networks, lies in a
register below /run: it goes when the machine is rebooted, as do the lab's namespaces, mounts and processes.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Optional

from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.subnets import Occupied

REGISTER = Path("/run/railyard-lab")
NAMESPACES = Path("/run/netns")
VERSION = 1


def default_cache(environ: dict[str, str]) -> Path:
    """Return the cache directory for an environment: RAILYARD_CACHE, else the user's cache directory."""
    if environ.get("RAILYARD_CACHE"):
        return Path(environ["RAILYARD_CACHE"])
    base = environ.get("XDG_CACHE_HOME") or f"{environ.get('HOME') or Path('~').expanduser()}/.cache"
    return Path(base) / "railyard-sglang"


@dataclass(frozen=True)
class Paths:
    """All places of one lab."""

    cache: Path
    name: str
    register: Path = REGISTER

    @property
    def images(self) -> Path:
        """Root images, shared by all labs of this cache."""
        return self.cache / "image"

    @property
    def labs(self) -> Path:
        """The state directories of all labs of this cache."""
        return self.cache / "lab"

    @property
    def state(self) -> Path:
        """This lab's state directory."""
        return self.labs / self.name

    @property
    def record(self) -> Path:
        """What is recorded about this lab."""
        return self.state / "lab.json"

    @property
    def ssh_config(self) -> Path:
        """Settings of the ssh client for this lab's hosts."""
        return self.state / "ssh_config"

    @property
    def registered(self) -> Path:
        """This lab's directory in the machine's register."""
        return self.register / self.name

    @property
    def control(self) -> Path:
        """Sockets of ssh's shared connections: their path names are limited to 108 bytes, the cache's are not."""
        return self.registered / "cp"

    def host(self, name: str) -> Path:
        """One host's directory."""
        return self.state / "hosts" / name

    @property
    def switch_namespace(self) -> str:
        """The network namespace that holds the bridges and the controller's address."""
        return f"railyard-{self.name}"

    def host_namespace(self, host: str) -> str:
        """One host's network namespace, and its machine name for systemd-nspawn."""
        return f"railyard-{self.name}-{host}"


@dataclass(frozen=True)
class Bind:
    """A directory of the machine as a host sees it."""

    src: str
    dst: str
    read_only: bool = True


@dataclass(frozen=True)
class HostRecord:
    """One host as it was asked for."""

    name: str
    group: str
    management_address: str
    fabric_address: str
    memory_mb: int = 0
    binds: tuple[Bind, ...] = ()


@dataclass(frozen=True)
class Record:
    """One lab as it was asked for, and with what it runs."""

    name: str
    instance: str
    boot_id: str
    image: str
    owner: int
    management_network: str
    fabric_network: str
    hosts: tuple[HostRecord, ...]
    made_namespace_directory: bool = False
    backend: str = "nspawn"
    distribution: str = "debian"
    version: int = field(default=VERSION)

    def to_json(self) -> str:
        """Return the text that load_record reads."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"


def parse_record(text: str, path: Path) -> Record:
    """Read a record. Raises LabError where it is none of this version."""
    try:
        data: dict[str, Any] = json.loads(text)
        if data.get("version") != VERSION:
            raise ValueError(f"version {data.get('version')}, expected {VERSION}")
        hosts = tuple(HostRecord(**{**host, "binds": tuple(Bind(**bind) for bind in host["binds"])}) for host in data.pop("hosts"))
        return Record(hosts=hosts, **data)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LabError(f"{path} is not a lab's record ({error}): take the lab down (playbooks/lab_down.yml), then up again") from error


def load_record(path: Path) -> Optional[Record]:
    """Return what is recorded, or None where nothing is. Raises LabError for a damaged record."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    return parse_record(text, path)


def difference(recorded: Record, asked: Record) -> list[str]:
    """Say how a recorded lab differs from the one asked for; empty where it does not.

    The image is left out: a running lab keeps the one that it was started with.
    """
    found = [
        f"{name} is {getattr(recorded, name)}, asked {getattr(asked, name)}"
        for name in ("backend", "distribution", "management_network", "fabric_network")
        if getattr(recorded, name) != getattr(asked, name)
    ]
    have, want = ({host.name: host for host in record.hosts} for record in (recorded, asked))
    if list(have) != list(want):
        return [f"hosts are {' '.join(have)}, asked {' '.join(want)}", *found]
    compared = [each.name for each in fields(HostRecord) if each.name != "memory_mb"]
    for host, old in have.items():
        found += [f"{host}: {name} differs" for name in compared if getattr(old, name) != getattr(want[host], name)]
    return found


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace a file so that a reader sees the old or the new text, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
    temporary.replace(path)


def make_directories(directory: Path, owner: int) -> None:
    """Make a directory and those above it that are missing, all for one user, who may be making the same at the same time."""
    for each in reversed([directory, *directory.parents]):
        if not each.exists():
            with suppress(FileExistsError):
                each.mkdir(mode=0o755)
                os.chown(each, owner, -1)


def register_entry(paths: Paths, record: Record) -> str:
    """Return the text of a lab's entry in the machine's register."""
    entry = {
        "state": str(paths.state),
        "management_network": record.management_network,
        "fabric_network": record.fabric_network,
        "made_namespace_directory": record.made_namespace_directory,
    }
    return json.dumps(entry, sort_keys=True) + "\n"


def read_register(register: Path) -> dict[str, dict[str, Any]]:
    """Return all labs that run on this machine, from every cache, by name."""
    found = {}
    for path in sorted(register.glob("*/lab.json")):
        try:
            found[path.parent.name] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
    return found


def networks_of_labs(register: Path, except_for: str) -> list[Occupied]:
    """Return the networks of the other labs of this machine."""
    return [
        Occupied(IPv4Network(entry[option]), f"lab '{name}' ({option}, {entry['state']})")
        for name, entry in read_register(register).items()
        if name != except_for
        for option in ("management_network", "fabric_network")
    ]
