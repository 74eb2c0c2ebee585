# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing a lab to the state that is asked for: survey, actions, and the actions carried out."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, Iterator, Optional, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.lab import hostfiles, image, limits, mounts, requirements, subnets
from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.layout import (
    BASE_MEMORY_MB,
    CONTROLLER,
    ENGINE_HOST_MEMORY_MB,
    check_name,
)
from ansible_collections.railyard.sglang.plugins.module_utils.lab.processes import (
    Process,
    all_gone,
    identify,
    is_alive,
    read_recorded,
    send,
    wait_until,
)
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import Runner, demand, environment
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import (
    NAMESPACES,
    Bind,
    HostRecord,
    Paths,
    Record,
    difference,
    load_record,
    networks_of_labs,
    read_register,
    register_entry,
    write_atomically,
)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
NSPAWN_RUN = Path("/run/systemd/nspawn")
SYSTEMD_RUN = Path("/run/systemd/system")
BRIDGES = {"mgmt": "management", "fabric": "fabric"}

#: Run inside the switch namespace: prints which of the addresses answered with ssh's greeting within the given seconds.
_GREETING = """
import socket, sys, time
deadline, left = time.monotonic() + float(sys.argv[1]), sys.argv[2:]
while left and time.monotonic() < deadline:
    for address in list(left):
        try:
            with socket.create_connection((address, 22), timeout=0.3) as connection:
                connection.settimeout(2)
                if connection.recv(4) == b"SSH-":
                    # A client that says nothing would leave an error in the host's journal.
                    connection.sendall(b"SSH-2.0-lab\\r\\n")
                    left.remove(address)
                    print(address)
        except OSError:
            pass
    if left:
        time.sleep(0.05)
"""


@dataclass(frozen=True)
class Settings:
    """A lab as an operator asks for it."""

    name: str
    cache: Path
    management_network: IPv4Network
    fabric_network: IPv4Network
    hosts: tuple[HostRecord, ...]
    owner: int = 0
    wait_seconds: int = 60
    extra_disk_mb: int = 0
    extra_packages: tuple[str, ...] = ()
    suite: str = ""
    apt_sources: tuple[Path, ...] = ()


@dataclass
class Outcome:
    """What was done, or would be."""

    actions: list[str] = field(default_factory=list)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    image: str = ""
    instance: str = ""

    @property
    def changed(self) -> bool:
        """Whether anything had to be done."""
        return bool(self.actions)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the duration of a stage."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.monotonic() - started, 3)


@dataclass(frozen=True)
class Survey:
    """What of a lab is there."""

    namespaces: frozenset[str]
    links: frozenset[str]
    mounted: frozenset[str]
    running: frozenset[str]

    def whole(self, paths: Paths, host: str) -> bool:
        """Tell whether a host runs and has its namespace, links and root."""
        return (
            host in self.running
            and paths.host_namespace(host) in self.namespaces
            and {f"m-{host}", f"f-{host}"} <= self.links
            and str(paths.host(host) / "root") in self.mounted
        )


def check_settings(settings: Settings) -> None:
    """Check what the machine has no say in. Raises LabError naming the value, the rule and the fix."""
    check_name(settings.name)
    if not settings.cache.is_absolute() or ":" in str(settings.cache) or '"' in str(settings.cache):
        raise LabError(
            f"cache is '{settings.cache}': it must be an absolute path without ':' and '\"', which overlayfs and ssh give a meaning"
        )
    if settings.management_network.overlaps(settings.fabric_network):
        raise LabError(
            f"management_network {settings.management_network} and fabric_network {settings.fabric_network} overlap: choose two that do not"
        )
    if not settings.hosts:
        raise LabError("hosts is empty, and a lab has at least one: use the inventory plugin railyard.sglang.lab, which lists them")
    seen: dict[str, str] = {}
    for host in settings.hosts:
        for what, address, network in (
            ("management_address", host.management_address, settings.management_network),
            ("fabric_address", host.fabric_address, settings.fabric_network),
        ):
            try:
                taken = IPv4Address(address) in (network[0], network[CONTROLLER], network[-1])
                inside = IPv4Address(address) in network
            except AddressValueError:
                inside = taken = False
            if taken or not inside:
                raise LabError(
                    f"host {host.name}: {what} {address} must be a host address of {network} "
                    f"other than the controller's {network[CONTROLLER]}"
                )
            if address in seen:
                raise LabError(f"host {host.name}: {what} {address} is that of {seen[address]} already")
            seen[address] = host.name
        if [each.name for each in settings.hosts].count(host.name) > 1:
            raise LabError(f"host {host.name} is listed more than once: each host needs a name of its own")
        # m-<name> is the name of an interface, of at most 15 characters.
        if not host.name.isalnum() or not 1 <= len(host.name) <= 12:
            raise LabError(f"host name '{host.name}' must be 1 to 12 letters and digits: it is part of interface names")


def bind_hosts(hosts: Sequence[HostRecord], binds: Sequence[dict[str, Any]]) -> tuple[HostRecord, ...]:
    """Give each host its bind mounts.

    Args:
        hosts: the hosts.
        binds: src, dst, hosts (names; empty: all) and writable_on (names) of each.

    Raises:
        LabError: a bind names a host that does not exist.
    """
    names = {host.name for host in hosts}
    for bind in binds:
        unknown = sorted({*bind["hosts"], *bind["writable_on"]} - names)
        if unknown:
            raise LabError(f"bind {bind['src']} names {', '.join(unknown)}, which the lab does not have: it has {', '.join(sorted(names))}")
    return tuple(
        replace(
            host,
            binds=tuple(
                Bind(bind["src"], bind["dst"], host.name not in bind["writable_on"])
                for bind in binds
                if not bind["hosts"] or host.name in bind["hosts"]
            ),
        )
        for host in hosts
    )


class Lab:
    """One lab on this machine."""

    def __init__(self, paths: Paths, runner: Runner) -> None:
        self.paths = paths
        self.run = runner
        self.hierarchies = mounts.cgroup_hierarchies(mounts.read_mounts())
        self.has_systemd = SYSTEMD_RUN.is_dir()
        self.boot_id = BOOT_ID.read_text(encoding="ascii").strip()

    # --- survey ------------------------------------------------------------------------------------------------------

    def keeper(self, host: str) -> Optional[Process]:
        """Return the recorded process that keeps a host running."""
        return read_recorded(self.paths.host(host) / "keeper.pid")

    def nspawn(self, host: str) -> Optional[Process]:
        """Return the recorded systemd-nspawn of a host."""
        return read_recorded(self.paths.host(host) / "nspawn.pid")

    def has_nspawn(self, host: str) -> bool:
        """Tell whether a host's systemd-nspawn runs."""
        return is_alive(self.nspawn(host))

    def is_running(self, host: str) -> bool:
        """Tell whether a host runs; for a moment of its reboot it has no systemd-nspawn."""
        keeper = self.keeper(host)
        return is_alive(keeper) and wait_until(partial(self.has_nspawn, host), 1) and is_alive(keeper)

    def survey(self, record: Optional[Record]) -> Survey:
        """Look at what is there, without changing anything."""
        now = mounts.read_mounts()
        prefix = self.paths.switch_namespace
        namespaces = {Path(mount.point).name for mount in now if mount.kind == "nsfs" and Path(mount.point).parent == NAMESPACES}
        ours = frozenset(name for name in namespaces if name == prefix or name.startswith(f"{prefix}-"))
        links: set[str] = set()
        if prefix in ours:
            listed = demand(self.run, [*self.inside(), "ip", "-j", "link", "show"], "read the lab's links")
            links = {link["ifname"] for link in json.loads(listed)}
        running = set()
        if record and record.boot_id == self.boot_id:
            running = {host.name for host in record.hosts if self.is_running(host.name)}
        mounted = frozenset(mounts.mounts_below(self.paths.state, now))
        return Survey(ours, frozenset(links), mounted, frozenset(running))

    def inside(self) -> list[str]:
        """Return the beginning of a command that runs in the switch's namespace."""
        return ["nsenter", f"--net={NAMESPACES / self.paths.switch_namespace}", "--"]

    def describe(self, record: Optional[Record], running: Sequence[str]) -> dict[str, Any]:
        """Return what a diff shows of a lab."""
        if record is None:
            return {"lab": self.paths.name, "state": "absent"}
        return {
            "lab": self.paths.name,
            "state": "present",
            "image": record.image,
            "management_network": record.management_network,
            "fabric_network": record.fabric_network,
            "hosts": {
                host.name: " ".join([host.management_address, host.fabric_address, "running" if host.name in running else "dead"])
                for host in record.hosts
            },
        }

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs for labs of this cache away."""
        while True:
            self.paths.labs.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.paths.labs, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Whoever had the lock before may have removed the directory.
            if self.paths.labs.exists() and os.path.samestat(os.fstat(descriptor), self.paths.labs.stat()):
                break
            os.close(descriptor)
        try:
            yield
        finally:
            if not any(self.paths.labs.iterdir()):
                self.paths.labs.rmdir()
            os.close(descriptor)

    # --- present -----------------------------------------------------------------------------------------------------

    def present(self, settings: Settings, check: bool) -> Outcome:
        """Start the lab, or what of it does not run; with check, only say what would be done.

        Raises:
            LabError: the settings are wrong, the machine cannot carry the lab, another lab is in the way, or a host
                does not come up in time.
        """
        check_settings(settings)
        if check:
            return self._present(settings, check)
        with self.locked():
            return self._present(settings, check)

    def _present(self, settings: Settings, check: bool) -> Outcome:
        outcome = Outcome()
        paths = self.paths
        registered = read_register(paths.register).get(paths.name)
        if registered and registered["state"] != str(paths.state):
            raise LabError(
                f"A lab named '{paths.name}' runs on this machine already, from {registered['state']}: take it down "
                f"with RAILYARD_CACHE={Path(registered['state']).parent.parent}, or give this one another name "
                "(RAILYARD_LAB_NAME)"
            )
        recorded = load_record(paths.record)
        asked = Record(
            name=paths.name,
            instance=uuid.uuid4().hex[:8],
            boot_id=self.boot_id,
            image="",
            owner=settings.owner,
            management_network=str(settings.management_network),
            fabric_network=str(settings.fabric_network),
            hosts=settings.hosts,
        )
        if recorded:
            differs = difference(recorded, asked)
            if differs:
                raise LabError(
                    f"The lab '{paths.name}' is up with other settings ({'; '.join(differs)}): take it down first "
                    "(ansible-playbook -i inventory/lab playbooks/lab_down.yml), or ask for what is up"
                )
            asked = replace(recorded, boot_id=self.boot_id)
        survey = self.survey(recorded)
        switch_whole = paths.switch_namespace in survey.namespaces and set(BRIDGES) <= survey.links
        dead = [host for host in asked.hosts if not (switch_whole and survey.whole(paths, host.name))]
        outcome.before = self.describe(recorded, [host.name for host in asked.hosts if host not in dead])
        outcome.after = outcome.before
        outcome.image, outcome.instance = asked.image, asked.instance
        if not dead and recorded:
            self.await_greetings(asked, list(asked.hosts), settings.wait_seconds, outcome)
            return outcome

        recipe = None
        if not asked.image or not (paths.images / asked.image).is_dir():
            recipe = image.make_recipe(settings.extra_packages, settings.suite, settings.apt_sources)
            asked = replace(asked, image=recipe.digest())
        build = image.image_path(recipe, paths.images) is None and recipe is not None
        self.check_machine(settings, dead, build)
        if not switch_whole:
            occupied = [*subnets.read_occupied(self.run), *networks_of_labs(paths.register, paths.name)]
            subnets.check_free(settings.management_network, "management_network", occupied)
            subnets.check_free(settings.fabric_network, "fabric_network", occupied)
        self.check_binds(dead)
        limit = int(limits.LIMIT.read_text(encoding="ascii"))
        wanted = limits.wanted_limit(limit, limits.count_instances(), len(dead))
        if build:
            outcome.actions.append(f"build root image {asked.image}")
        if wanted:
            outcome.actions.append(f"raise fs.inotify.max_user_instances from {limit} to {wanted}")
        if not switch_whole:
            outcome.actions.append(f"make network namespace {paths.switch_namespace}")
        outcome.actions += [f"start host {host.name}" for host in dead]
        outcome.after = self.describe(asked, [host.name for host in asked.hosts])
        outcome.image, outcome.instance = asked.image, asked.instance
        if check:
            return outcome

        if recipe is not None:
            with outcome.timed("image"):
                image.build_image(recipe, paths.images, self.run)
        with outcome.timed("network"):
            if wanted:
                self.raise_limit(wanted)
            self.stop_hosts([host.name for host in dead])
            if not NAMESPACES.exists() or any(entry.get("made_namespace_directory") for entry in read_register(paths.register).values()):
                # Made for the first of the labs, to be removed with the last.
                asked = replace(asked, made_namespace_directory=True)
            self.write_state(asked, settings)
            self.make_network(asked, dead, switch_whole, survey)
        with outcome.timed("start"):
            for host in dead:
                self.start_host(asked, host)
        with outcome.timed("boot"):
            self.await_greetings(asked, dead, settings.wait_seconds, outcome)
            self.await_systemd(dead, settings.wait_seconds, outcome)
        return outcome

    def check_machine(self, settings: Settings, dead: Sequence[HostRecord], build: bool) -> None:
        """Raise LabError with everything that this machine lacks for the hosts that are to be started."""
        place = self.paths.cache
        while not place.exists():
            place = place.parent
        path = environment()["PATH"]
        filesystems = Path("/proc/filesystems").read_text(encoding="ascii").split()
        is_root = os.geteuid() == 0
        machine = requirements.Machine(
            is_root=is_root,
            programs=frozenset(name for name in requirements.PROGRAMS if shutil.which(name, path=path)),
            memory_available_mb=requirements.parse_meminfo(Path("/proc/meminfo").read_text(encoding="ascii")),
            disk_free_mb=shutil.disk_usage(place).free // (1 << 20),
            has_overlayfs="overlay" in filesystems or (is_root and self.run(["modprobe", "overlay"], None).rc == 0),
            has_cgroups=bool(self.hierarchies),
        )
        needs = requirements.Needs(
            hosts=len(dead),
            memory_mb=sum(host.memory_mb for host in dead) + BASE_MEMORY_MB,
            smallest_memory_mb=2 * ENGINE_HOST_MEMORY_MB + BASE_MEMORY_MB,
            disk_mb=requirements.HOST_DISK_MB * len(dead) + settings.extra_disk_mb + (image.BUILD_DISK_MB if build else 0),
            disk_place=str(self.paths.cache),
        )
        lacks = requirements.missing(machine, needs)
        if lacks:
            raise LabError(requirements.message(self.paths.name, lacks))

    def raise_limit(self, value: int) -> None:
        """Raise the limit of inotify instances. Raises LabError where this machine does not allow that."""
        try:
            limits.raise_limit(value, self.paths.register / "max_user_instances")
        except OSError as error:
            raise LabError(
                f"The hosts of the lab '{self.paths.name}' need more inotify instances than this machine allows ({error}): "
                f"sysctl -w fs.inotify.max_user_instances={value}"
            ) from error

    def check_binds(self, hosts: Sequence[HostRecord]) -> None:
        """Raise LabError for a directory to be mounted that is neither there nor in the cache, where it is made."""
        for bind in {bind.src: bind for host in hosts for bind in host.binds}.values():
            source = Path(bind.src)
            if not source.is_dir() and self.paths.cache not in source.parents:
                raise LabError(f"bind {bind.src} -> {bind.dst}: {bind.src} is not a directory; make it, or leave the bind out")

    def write_state(self, record: Record, settings: Settings) -> None:
        """Write the lab's directories, keys and records."""
        paths, owner = self.paths, settings.owner
        wanted = [paths.cache, paths.labs, paths.state, paths.state / "hosts"]
        wanted += sorted({Path(bind.src) for host in record.hosts for bind in host.binds})
        for directory in wanted:
            self.make_directories(directory, owner)
        paths.registered.mkdir(parents=True, exist_ok=True)
        write_atomically(paths.registered / "lab.json", register_entry(paths, record))
        paths.control.mkdir(mode=0o700, exist_ok=True)
        os.chown(paths.control, owner, -1)
        self.make_key(paths.state / "key", f"lab {record.name}", owner)
        host_keys = {}
        for host in record.hosts:
            directory = paths.host(host.name)
            directory.mkdir(exist_ok=True)
            self.make_key(directory / "ssh_host_ed25519_key", host.name, 0)
            host_keys[host.name] = (directory / "ssh_host_ed25519_key.pub").read_text(encoding="ascii")
        write_atomically(paths.state / "known_hosts", hostfiles.known_hosts(record, host_keys))
        write_atomically(paths.ssh_config, hostfiles.ssh_config(paths, record))
        write_atomically(paths.state / "namespace", f"{NAMESPACES / paths.switch_namespace}\n")
        write_atomically(paths.record, record.to_json())

    @staticmethod
    def make_directories(directory: Path, owner: int) -> None:
        """Make a directory and those above it that are missing, all for the lab's owner."""
        for each in reversed([directory, *directory.parents]):
            if not each.exists():
                each.mkdir(mode=0o755)
                os.chown(each, owner, -1)

    def make_key(self, path: Path, comment: str, owner: int) -> None:
        """Make an ssh key pair unless it is there."""
        if not path.exists():
            path.with_suffix(".pub").unlink(missing_ok=True)
            demand(
                self.run,
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)],
                "make an ssh key",
            )
            os.chown(path, owner, -1)

    def make_network(self, record: Record, dead: Sequence[HostRecord], switch_whole: bool, survey: Survey) -> None:
        """Make the namespaces, bridges and links that are missing; a dead host gets all of its anew."""
        switch = self.paths.switch_namespace
        ports = [f"{letter}-{host.name}" for host in dead for letter in "mf"]
        if switch_whole:
            # At once: those of a namespace that is deleted go some time later.
            lines = [f"link delete {port}" for port in ports if port in survey.links]
            demand(
                self.run,
                [*self.inside(), "ip", "-batch", "-"],
                "remove the links of dead hosts",
                "\n".join(lines) + "\n",
            )
        fresh = [*([] if switch_whole else [switch]), *(self.paths.host_namespace(host.name) for host in dead)]
        batch = [f"netns delete {name}" for name in fresh if name in survey.namespaces]
        batch += [f"netns add {name}" for name in fresh]
        demand(self.run, ["ip", "-batch", "-"], "make the lab's network namespaces", "\n".join(batch) + "\n")
        lines = []
        if not switch_whole:
            for bridge in BRIDGES:
                lines += [f"link add {bridge} type bridge stp_state 0 forward_delay 0", f"link set {bridge} up"]
            management = IPv4Network(record.management_network)
            lines += ["link set lo up", f"address add {management[CONTROLLER]}/{management.prefixlen} dev mgmt"]
        for host in dead:
            for letter, bridge, interface, address in (
                ("m", "mgmt", hostfiles.MANAGEMENT_INTERFACE, host.management_address),
                ("f", "fabric", hostfiles.FABRIC_INTERFACE, host.fabric_address),
            ):
                port, mac = f"{letter}-{host.name}", hostfiles.interface_mac(address)
                namespace = self.paths.host_namespace(host.name)
                lines.append(f"link add {port} type veth peer name {interface} address {mac} netns {namespace}")
                lines += [f"link set {port} master {bridge}", f"link set {port} up"]
        demand(self.run, [*self.inside(), "ip", "-batch", "-"], "make the lab's links", "\n".join(lines) + "\n")
        # A host that is booting is asked for again soon, not after a second.
        setting = "/proc/sys/net/ipv4/neigh/mgmt/retrans_time_ms"
        demand(self.run, [*self.inside(), "sh", "-c", f"echo 100 > {setting}"], "set up the lab's bridge")

    def start_host(self, record: Record, host: HostRecord) -> None:
        """Mount a host's root and start the process that keeps it running."""
        directory = self.paths.host(host.name)
        root = directory / "root"
        for name in ("upper", "work", "root"):
            (directory / name).mkdir(exist_ok=True)
        if str(root) not in mounts.mounts_below(directory, mounts.read_mounts()):
            lower = self.paths.images / record.image
            options = f"lowerdir={lower},upperdir={directory}/upper,workdir={directory}/work"
            demand(
                self.run,
                ["mount", "-t", "overlay", f"railyard-{record.name}-{host.name}", "-o", options, str(root)],
                f"mount the root of {host.name} ({self.paths.cache} must be on a file system that overlayfs can write "
                "to, such as ext4 or xfs; RAILYARD_CACHE sets it)",
            )
        if not (directory / "prepared").exists():
            self.prepare_root(record, host, root)
            (directory / "prepared").touch()
        groups = [] if self.has_systemd else [mount / self.group(host.name) for mount in self.hierarchies.values()]
        for group in groups:
            group.mkdir(parents=True, exist_ok=True)
        script = directory / "keep.sh"
        write_atomically(script, hostfiles.keeper_script(self.paths, host, groups, self.hierarchies), 0o755)
        command = [str(script)]
        if self.has_systemd:
            scope = ["systemd-run", "--quiet", "--scope", "--collect", "--property=Delegate=yes"]
            command = [*scope, f"--unit={self.scope(host.name)}", "--", *command]
        with (directory / "console.log").open("ab") as console:
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
                env=environment(),
                cwd="/",
            )

    def prepare_root(self, record: Record, host: HostRecord, root: Path) -> None:
        """Write the files that make a copy of the image this host."""
        public_key = (self.paths.state / "key.pub").read_text(encoding="ascii")
        host_key = (self.paths.host(host.name) / "ssh_host_ed25519_key").read_text(encoding="ascii")
        for name, (text, mode) in hostfiles.root_files(record, host, public_key, host_key).items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(text, encoding="utf-8")
            path.chmod(mode)

    def group(self, host: str) -> Path:
        """Return a host's control group below the hierarchies' mount points, on machines without systemd."""
        return Path("railyard-lab") / self.paths.name / host

    def scope(self, host: str) -> str:
        """Return the name of a host's scope, on machines with systemd."""
        return f"{self.paths.host_namespace(host)}.scope"

    # --- waiting -----------------------------------------------------------------------------------------------------

    def await_greetings(self, record: Record, hosts: Sequence[HostRecord], seconds: int, outcome: Outcome) -> None:
        """Wait until each host's ssh server answers.

        Raises:
            LabError: one has died or does not answer in time; the text names it and has the end of its console.
        """
        with outcome.timed("ssh"):
            left = {host.management_address: host.name for host in hosts}
            deadline = time.monotonic() + seconds
            while left:
                slot = max(0.5, min(2.0, deadline - time.monotonic()))
                probe = [*self.inside(), sys.executable, "-c", _GREETING, f"{slot:.1f}", *left]
                for address in demand(self.run, probe, "reach the lab's hosts").split():
                    del left[address]
                for name in left.values():
                    if not wait_until(partial(self.has_nspawn, name), 1):
                        raise self.failure(name, "has ended while it was starting")
                if left and time.monotonic() >= deadline:
                    name = next(iter(left.values()))
                    others = f" (and so do {', '.join(list(left.values())[1:])})" if len(left) > 1 else ""
                    raise self.failure(name, f"runs, and its ssh server did not answer within {seconds} s{others}")

    def await_systemd(self, hosts: Sequence[HostRecord], seconds: int, outcome: Outcome) -> None:
        """Wait, over ssh, until the service manager of each host has finished booting. Raises LabError as above."""

        def ask(host: HostRecord) -> tuple[str, str]:
            question = "systemctl is-system-running --wait; systemctl list-units --failed --plain --no-legend"
            ssh = ["timeout", str(seconds), "ssh", "-F", str(self.paths.ssh_config), host.name, question]
            done = self.run([*self.inside(), *ssh], None)
            return done.out, done.err

        with outcome.timed("systemd"), ThreadPoolExecutor(max_workers=16) as pool:
            for host, (out, err) in zip(hosts, pool.map(ask, hosts)):
                state, *failed = out.splitlines() or [""]
                if state == "degraded":
                    units = " ".join(line.split()[0] for line in failed if line.strip())
                    outcome.notes.append(f"{host.name}: failed units: {units}")
                elif state != "running":
                    raise self.failure(host.name, f"did not finish booting within {seconds} s (state '{state}', {err.strip()})")

    def failure(self, host: str, what: str) -> LabError:
        """Return the error for a host that does not come up."""
        log = self.paths.host(host) / "console.log"
        tail = hostfiles.console_tail(log.read_text(encoding="utf-8", errors="replace")) if log.exists() else "(none)"
        return LabError(
            f"Host {host} of the lab '{self.paths.name}' {what}. Take the lab down (playbooks/lab_down.yml) and up "
            f"again; the end of its console, {log}:\n{tail}"
        )

    # --- absent ------------------------------------------------------------------------------------------------------

    def absent(self, check: bool) -> Outcome:
        """Remove everything of the lab but the cache's images and shared directories; with check, only say so.

        Raises:
            LabError: something cannot be removed.
        """
        paths, outcome = self.paths, Outcome()
        check_name(paths.name)
        registered = read_register(paths.register).get(paths.name)
        if registered and registered["state"] != str(paths.state):
            raise LabError(
                f"The lab '{paths.name}' that runs on this machine belongs to {registered['state']}: take it down "
                f"with RAILYARD_CACHE={Path(registered['state']).parent.parent}"
            )
        try:
            record = load_record(paths.record)
        except LabError:
            # A damaged record must not keep what is there from being removed.
            record = None
        survey = self.survey(record)
        groups = [mount / "railyard-lab" / paths.name for mount in self.hierarchies.values()]
        remains = [paths.state, paths.registered, *groups]
        outcome.before = self.describe(record, sorted(survey.running))
        outcome.after = self.describe(None, [])
        if not survey.namespaces and not any(each.exists() for each in remains):
            outcome.before = outcome.after
            return outcome
        found = {path.name for path in (paths.state / "hosts").glob("*")}
        hosts = sorted(found | ({host.name for host in record.hosts} if record else set()))
        outcome.actions = [*(f"stop host {name}" for name in hosts), f"remove lab {paths.name}"]
        if check:
            return outcome
        with self.locked():
            with outcome.timed("ssh"):
                self.end_shared_connections(outcome)
            with outcome.timed("stop"):
                self.stop_hosts(hosts)
            with outcome.timed("remove"):
                self.remove(record, hosts, groups)
        return outcome

    def end_shared_connections(self, outcome: Outcome) -> None:
        """End ssh's connections that stay open for the next command, so that nothing stays in the lab's namespace."""
        paths = self.paths
        for control in paths.control.glob("*") if paths.control.is_dir() else []:
            command = ["ssh", "-F", "/dev/null", "-o", f"ControlPath={control}"]
            asked = self.run([*command, "-O", "check", "lab"], None)
            pid = re.search(r"pid=(\d+)", asked.out + asked.err)
            master = identify(int(pid[1])) if pid else None
            self.run([*command, "-O", "exit", "lab"], None)
            if not wait_until(partial(all_gone, [master]), 3):
                outcome.notes.append(f"The ssh process {master} of {control} has not ended")

    def stop_hosts(self, names: Sequence[str]) -> None:
        """End the recorded processes of hosts, and what is left in the control groups that were made for them.

        Raises:
            LabError: something has not ended in time.
        """
        keepers, spawns = [self.keeper(name) for name in names], [self.nspawn(name) for name in names]
        for keeper in keepers:
            send(keeper, signal.SIGKILL)
        wait_until(partial(all_gone, keepers), 5)
        # The first signal asks the host to shut down, the second makes systemd-nspawn end it and clean up after itself.
        for _attempt in range(2):
            for spawn in spawns:
                send(spawn, signal.SIGTERM)
            if wait_until(partial(all_gone, spawns), 0.1):
                break
        if not wait_until(partial(all_gone, spawns), 3):
            for spawn in spawns:
                send(spawn, signal.SIGKILL)
        for name in names:
            if self.has_systemd:
                self.run(["systemctl", "kill", "--signal=SIGKILL", self.scope(name)], None)
            for mount in self.hierarchies.values():
                self.empty_group(mount / self.group(name))
            for file in ("keeper.pid", "nspawn.pid"):
                (self.paths.host(name) / file).unlink(missing_ok=True)
        if not wait_until(partial(all_gone, [*keepers, *spawns]), 5):
            raise LabError(f"Processes of the lab '{self.paths.name}' have not ended: {[*keepers, *spawns]}")

    @staticmethod
    def empty_group(group: Path) -> None:
        """End what is left in a host's control group, which holds nothing but that host's processes, and remove it."""

        def processes() -> list[int]:
            return [int(pid) for file in group.rglob("cgroup.procs") for pid in file.read_text(encoding="ascii").split()]

        def gone() -> bool:
            try:
                return not processes()
            except OSError:
                return False

        if not group.is_dir():
            return
        if not wait_until(gone, 0.3):
            for pid in processes():
                os.kill(pid, signal.SIGKILL)
            wait_until(gone, 3)
        directories = [Path(directory) for directory, *_names in os.walk(group, topdown=False)]
        for directory in directories:
            directory.rmdir()

    def remove(self, record: Optional[Record], hosts: Sequence[str], groups: Sequence[Path]) -> None:
        """Remove mounts, namespaces, control groups and files."""
        paths = self.paths
        roots = [paths.host(host) / "root" for host in hosts]
        # systemd-nspawn names its lock after the root's inode, and leaves it when it is killed.
        inodes = [root.stat() for root in roots if root.is_dir()]
        for point in mounts.mounts_below(paths.state, mounts.read_mounts()):
            demand(self.run, ["umount", point], f"unmount {point}")
        names = sorted(self.survey(None).namespaces)
        if names:
            batch = "".join(f"netns delete {name}\n" for name in names)
            demand(self.run, ["ip", "-batch", "-"], "remove the lab's network namespaces", batch)
        for group in groups:
            if group.is_dir():
                self.empty_group(group)
            if group.parent.is_dir() and not any(each.is_dir() for each in group.parent.iterdir()):
                group.parent.rmdir()
        for host in hosts:
            shutil.rmtree(NSPAWN_RUN / "propagate" / paths.host_namespace(host), ignore_errors=True)
        for inode in inodes:
            (NSPAWN_RUN / "locks" / f"inode-{inode.st_dev}:{inode.st_ino}").unlink(missing_ok=True)
        for directory in (NSPAWN_RUN / "propagate", NSPAWN_RUN / "locks", NSPAWN_RUN):
            if directory.is_dir() and not any(directory.iterdir()):
                directory.rmdir()
        left = mounts.mounts_below(paths.state, mounts.read_mounts())
        if left:
            raise LabError(f"Still mounted below {paths.state}, so its files are kept: {', '.join(left)}")
        for directory in (paths.state, paths.registered):
            if directory.exists():
                shutil.rmtree(directory)
        if not any(each.is_dir() for each in paths.register.glob("*")):
            limits.restore_limit(paths.register / "max_user_instances")
        if paths.register.is_dir() and not any(paths.register.iterdir()):
            paths.register.rmdir()
        if record and record.made_namespace_directory and NAMESPACES.is_dir() and not any(NAMESPACES.iterdir()):
            if str(NAMESPACES) in mounts.mounts_below(NAMESPACES, mounts.read_mounts()):
                demand(self.run, ["umount", str(NAMESPACES)], f"unmount {NAMESPACES}")
            NAMESPACES.rmdir()
