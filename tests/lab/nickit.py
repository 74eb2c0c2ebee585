# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of interface names have in common: one virtual machine of each generation, renamings, looks, losses, cut-offs.

A test takes the fixture C(host), which is a machine as it was installed, whatever the test before did to it.
"""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from labkit import OUTPUT, ROOT, Run, wait_until
from qemukit import QemuLab, able

from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.image import make_recipe

HOST = "p0"
MANAGEMENT = "enp0s3"
RAILS = ("enp12s0", "enp27s0", "enp59s0", "enp76s0", "enp108s0f1", "enp141s0f1", "enp172s0f1", "enp204s0f1")
ROCE = tuple(f"roce{rail}" for rail in range(len(RAILS)))
PROFILES = "/etc/NetworkManager/system-connections"
LINKS = "/etc/systemd/network"
STATE = "/var/lib/railyard.sglang/nic-names"
UNDO = "railyard-nic-names-undo"
WATCH = "/run/railyard-watch"
#: A renaming is a few seconds' work on real hosts, and a minute's on an emulated processor that shares its machine.
CONFIRM_SECONDS = 300
PING_SECONDS = 0.05
#: Eight at a time are enough for an emulated processor at half of that.
PING_SECONDS_OF_MANY = 0.1


@dataclass(frozen=True)
class Generation:
    """A release of Debian that stands for what RHEL has in the same years.

    :ivar renames_up: whether its kernel renames an interface that is up.
    """

    suite: str
    kernel: str
    systemd: int
    renames_up: bool


GENERATIONS = {
    "bookworm": Generation("bookworm", "6.1.", 252, renames_up=False),
    "trixie": Generation("trixie", "6.12.", 257, renames_up=True),
}


@dataclass
class Losses:
    """What a ping of an address has lost.

    :ivar lost: numbers of the packets without an answer.
    :ivar slowest: seconds that the slowest answer took; a busy machine is slow and loses nothing by that.
    :ivar interval: seconds between two packets.
    """

    sent: int = 0
    lost: list[int] = field(default_factory=list)
    slowest: float = 0.0
    interval: float = PING_SECONDS

    @property
    def seconds(self) -> float:
        """How long nothing went through, all gaps together."""
        return len(self.lost) * self.interval


def able_to_build(generation: Generation) -> None:
    """Skip the test where virtual machines cannot be had, or this machine's package sources lack a generation."""
    able()
    try:
        make_recipe([], generation.suite)
    except LabError as error:
        pytest.skip(str(error))


def play_text(arguments: Mapping[str, Any], confirm: bool, between: Sequence[Mapping[str, Any]]) -> str:
    """Return a playbook that gives names and, unless it is told not to, confirms them over a fresh connection."""
    first = {"name": "Names", "railyard.sglang.nic_names": dict(arguments), "register": "named"}
    tasks: list[dict[str, Any]] = [first, *map(dict, between)]
    if confirm:
        tasks += [
            {"name": "Let go of the connection", "ansible.builtin.meta": "reset_connection"},
            {
                "name": "Reach the host again",
                "ansible.builtin.wait_for_connection": {"timeout": 60},
                "when": "named.transaction != ''",
            },
            {
                "name": "Confirm",
                "railyard.sglang.nic_names_confirm": {"transaction": "{{ named.transaction }}"},
                "when": ["named.transaction != ''", "not ansible_check_mode"],
            },
        ]
    return json.dumps([{"name": "Names", "hosts": HOST, "gather_facts": False, "tasks": tasks}], indent=1)


class NicLab(QemuLab):
    """A lab of one virtual machine of a generation."""

    def __init__(self, generation: Generation, scratch: Path = OUTPUT, name: str = "") -> None:
        super().__init__(name or f"nic{generation.suite}", scratch)
        self.generation = generation
        self.pristine: dict[str, Any] = {}
        self.losses: dict[str, Losses] = {}
        #: Addresses in VLANs, to what tells the VLAN and this end of it.
        self.tagged: dict[str, list[str]] = {}
        self.plays = 0

    # --- the machine

    def up(self) -> None:
        """Start the machine, or boot it again; its image may have to be built."""
        hosts = [row for row in self.inventory("localhost")["lab_hosts"] if row["name"] == HOST]
        variables = {"lab_hosts": hosts, "lab_binds": [], "lab_suite": self.generation.suite}
        self.play(playbook="playbooks/lab_up.yml", seconds=1500, variables=variables).succeeded()
        # Beside ssh itself the longest of a short question is the way in.
        assert self.ask("uname -r").startswith(self.generation.kernel)

    def down(self) -> None:
        """Remove the lab, which may take a while on a busy machine."""
        self.play(playbook="playbooks/lab_down.yml", seconds=400).succeeded()

    def fresh(self) -> None:
        """Have the machine as it was installed: keep it where it is so, else let it go on from its saved state."""
        if self.pristine and self.reachable(10) and self.look() == self.pristine:
            return
        self.down()
        self.up()
        self.pristine = self.look()

    def ask(self, command: str, seconds: float = 120) -> str:
        """Run a shell command on the host, which may be too busy to let anybody in at once, and return its output."""
        for _attempt in range(10):
            done = self.run(HOST, command, seconds=seconds)
            if done.returncode != 255:
                break
            time.sleep(1)
        assert done.returncode == 0, f"{done.stderr}\n{done.stdout}\n{command}"
        return done.stdout.strip()

    def reachable(self, seconds: float) -> bool:
        """Whether the host lets somebody in within some seconds.

        An attempt is given its time: each costs an emulated processor more than most of what is waited for.
        """
        wrapper, config = str(ROOT / "roles/lab/files/lab-ssh.sh"), str(self.state_directory / "ssh_config")
        until = time.monotonic() + seconds
        while True:
            if self.command(wrapper, "-F", config, "-o", "ConnectTimeout=60", HOST, "true").returncode == 0:
                return True
            if time.monotonic() > until:
                return False
            time.sleep(2)

    def boot_id(self) -> str:
        """Return what tells this boot of the host from others; empty when it does not answer."""
        try:
            done = self.run(HOST, "cat /proc/sys/kernel/random/boot_id", seconds=30)
        except subprocess.TimeoutExpired:
            # The machine died while somebody was on the way in.
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    def booted(self, before: str, seconds: float = 400) -> None:
        """Wait for the end of the next boot."""
        wait_until(lambda: self.boot_id() not in ("", before), seconds, f"{HOST} is up again")
        state = self.run(HOST, "systemctl is-system-running --wait", seconds=seconds).stdout.strip()
        assert state == "running", self.ask("systemctl --failed --no-legend; journalctl -b -p warning --no-pager | tail -n 40")

    def reboot(self) -> None:
        """Reboot the host as an administrator does."""
        before = self.boot_id()
        self.question(HOST, "systemctl reboot")
        self.booted(before)

    def cut_power(self) -> None:
        """End the machine without a word to it, and boot it again."""
        before = self.boot_id()
        subprocess.run(["kill", "-9", str(self.pid_of(HOST))], check=True)
        self.up()
        self.booted(before)

    def program(self, name: str) -> str:
        """Return the text of a program for hosts."""
        return (ROOT / "tests/lab/files" / name).read_text(encoding="utf-8")

    # --- what it is

    def look(self) -> dict[str, Any]:
        """Return everything that a renaming could change; see files/host_look.py."""
        found: dict[str, Any] = json.loads(self.ask("python3 - <<'END'\n" + self.program("host_look.py") + "\nEND", seconds=180))
        return found

    def settled(self, wanted: Mapping[str, Any], seconds: float = 60, without: Sequence[str] = ()) -> None:
        """See that the host becomes what it is to be, part by part."""
        parts = [part for part in wanted if part not in without]
        until = time.monotonic() + seconds
        now = self.look()
        while any(now[part] != wanted[part] for part in parts) and time.monotonic() < until:
            time.sleep(2)
            now = self.look()
        for part in parts:
            assert now[part] == wanted[part], f"{part}: {difference(wanted[part], now[part])}"

    def nics(self) -> list[dict[str, Any]]:
        """Return the rails as the inventory has them: rail, interface (as installed), address, mac, pci."""
        found: list[dict[str, Any]] = self.inventory(HOST)["lab_rails"]
        return found

    def wanted(self, names: Sequence[str], rails: Sequence[int] = range(len(RAILS))) -> list[dict[str, Any]]:
        """Return the names for some rails, found by their permanent addresses."""
        rows = self.nics()
        return [{"name": name, "mac": rows[rail]["mac"]} for name, rail in zip(names, rails)]

    def management_mac(self) -> str:
        """Return the permanent address of the management's interface, as installed."""
        return next(mac for mac, name in self.pristine["names"].items() if name == MANAGEMENT)

    def managed(self, names: Sequence[str], present: Mapping[str, Any]) -> None:
        """See that NetworkManager has all of some interfaces, each with an active profile that bears its name."""
        for name in names:
            state, _colon, uuid = present["devices"].get(name, "").rpartition(":")
            assert state == "connected", f"{name}: {present['devices'].get(name, 'NetworkManager does not know it')}"
            assert present["profiles"][uuid] == f"{name}:{PROFILES}/{name}.nmconnection"

    # --- renamings

    def playbook(self, confirm: bool = True, between: Sequence[Mapping[str, Any]] = (), **arguments: Any) -> str:
        """Write a playbook of the module and what belongs to it, and return its path.

        :param between: tasks after the module and before the confirmation.
        :param arguments: the module's, with consent unless they say otherwise.
        """
        given = {"allow_rename": True, "confirm_seconds": CONFIRM_SECONDS, **arguments}
        self.plays += 1
        path = self.scratch / f"names-{self.plays:03d}.yml"
        path.write_text(play_text(given, confirm, between), encoding="utf-8")
        return str(path)

    def named(self, *words: str, seconds: float = 900, **more: Any) -> Run:
        """Run such a playbook.

        :param words: more of ansible-playbook's arguments.
        :param more: the playbook's.
        """
        return self.play(*words, playbook=self.playbook(**more), seconds=seconds, variables={})

    def confirmation(self, transaction: str) -> str:
        """Write a playbook of the confirmation alone, and return its path."""
        path = self.scratch / "confirm.yml"
        task = {"name": "Confirm", "railyard.sglang.nic_names_confirm": {"transaction": transaction}}
        path.write_text(json.dumps([{"name": "Confirm", "hosts": HOST, "gather_facts": False, "tasks": [task]}]), encoding="utf-8")
        return str(path)

    def confirmed(self, transaction: str) -> Run:
        """Run the confirmation alone."""
        return self.play(playbook=self.confirmation(transaction), variables={})

    def done(self, *words: str, **more: Any) -> dict[str, Any]:
        """Run it, which must succeed, and return the module's result."""
        return result(self.named(*words, **more).succeeded())

    def predicted_and_done(self, *ping: str, **arguments: Any) -> dict[str, Any]:
        """Run it in check mode, for real, and once more; see that they say the same, and that nothing is left to do. Return its result.

        :param ping: addresses of the host whose losses during the real run are kept.
        """
        before = self.look()
        predicted = self.done("--check", "--diff", **arguments)
        assert self.look() == before, "check mode has changed something"
        with self.pinged(*ping) if ping else nullcontext({}) as self.losses:
            done = self.done("--diff", **arguments)
        for key in ("changed", "actions", "rows", "references", "diff"):
            assert done[key] == predicted[key], key
        after = self.look()
        again = self.done(**arguments)
        assert (again["changed"], again["actions"], again["transaction"]) == (False, [], "")
        assert self.look() == after
        if ping:
            self.record("losses", {
                address: {"lost": len(found.lost), "sent": found.sent, "slowest": round(found.slowest, 2)}
                for address, found in self.losses.items()
            })
        return done

    def nothing_lost(self) -> None:
        """See that the last run has lost as little as its kernel allows, of each address: nothing, or at most a second's packets."""
        assert self.losses, "nothing was measured"
        allowed = 0.0 if self.generation.renames_up else 1.0
        too_many = {
            address: f"{len(found.lost)} of {found.sent} lost, the first {found.lost[:3]}, the last {found.lost[-3:]}; "
            f"slowest answer {found.slowest:.1f} s"
            for address, found in self.losses.items()
            if found.seconds > allowed
        }
        assert not too_many, json.dumps(too_many, indent=1)

    def taken_back(self, **arguments: Any) -> None:
        """Give the former names back, and see that everything is as it was installed, or as something else says."""
        wanted = arguments.pop("wanted", self.pristine)
        self.done(state="absent", **arguments)
        self.settled(wanted)

    # --- losses

    def inside(self, *words: str) -> None:
        """Run `ip` in the network of the lab's bridges."""
        subprocess.run(["ip", "-n", f"railyard-{self.name}", *words], check=True, capture_output=True)

    def on_rail(self, rail: int) -> str:
        """Let this machine take part in a rail's network, as its first host; return the host's address there."""
        return self.on_rails(rail)[0]

    def on_rails(self, *rails: int) -> list[str]:
        """Let this machine take part in the networks of rails, of all where none is named; return the host's addresses there."""
        rows = self.nics()
        chosen = rails or range(len(rows))
        found = [str(rows[rail]["address"]) for rail in chosen]
        for rail, address in zip(chosen, found):
            self.inside("address", "replace", f"{address.rpartition('.')[0]}.1/24", "dev", f"rail{rail}")
        return found

    @contextmanager
    def on_vlan(self, rail: int, number: int, own: str, address: str) -> Iterator[str]:
        """Let this machine take part in a VLAN on a rail's network by an address of its own; return the host's one there, to be pinged."""
        self.tagged[address] = [f"rail{rail}", str(number), own]
        try:
            yield address
        finally:
            del self.tagged[address]

    @contextmanager
    def joined(self, first: int, second: int) -> Iterator[None]:
        """Make one network of two rails, as the two switches of a bond are one."""
        self.inside("link", "add", "join0", "type", "veth", "peer", "name", "join1")
        for end, rail in (("join0", first), ("join1", second)):
            self.inside("link", "set", end, "mtu", "9000", "master", f"rail{rail}", "up")
        yield
        self.inside("link", "delete", "join0")

    # --- files

    def write(self, path: str, content: str, mode: str = "644") -> None:
        """Write a file of the host."""
        self.ask(f"mkdir -p $(dirname {path}) && cat > {path} <<'END-OF-FILE'\n{content}END-OF-FILE\nchmod {mode} {path}")

    def read(self, path: str) -> str:
        """Return the content of a file of the host."""
        return self.ask(f"cat {path}; echo .")[:-1]

    def profile(self, name: str, content: str) -> None:
        """Write a profile in the place of the one that an interface has, and activate it."""
        self.write(f"{PROFILES}/{name}.nmconnection", content, "600")
        self.ask(f"nmcli connection reload && nmcli --wait 60 connection up filename {PROFILES}/{name}.nmconnection")

    def _pinger(self, program: str, interval: float, *words: str) -> subprocess.Popen[str]:
        path = str(ROOT / "tests/lab/files" / program)
        argv = ["nsenter", f"--net=/run/netns/railyard-{self.name}", sys.executable, path, str(interval), *words]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    @contextmanager
    def pinged(self, *addresses: str) -> Iterator[dict[str, Losses]]:
        """Ping the host from this machine, which is at the other end of its networks, and count what is lost meanwhile, by address."""
        interval = PING_SECONDS if len(addresses) < 3 else PING_SECONDS_OF_MANY
        plain = [address for address in addresses if address not in self.tagged]
        processes = [self._pinger("echo_losses.py", interval, *plain)] if plain else []
        tagged = [address for address in addresses if address in self.tagged]
        processes += [self._pinger("tagged_echo.py", interval, *self.tagged[address], address) for address in tagged]
        losses = {address: Losses(interval=interval) for address in addresses}
        answers = []
        try:
            time.sleep(2)
            yield losses
            time.sleep(2)
        finally:
            for process in processes:
                process.send_signal(signal.SIGINT)
            answers = [(process, *process.communicate(timeout=30)) for process in processes]
        for process, output, errors in answers:
            assert process.returncode == 0, errors
            for address, found in json.loads(output).items():
                own = losses[address]
                own.sent, own.lost, own.slowest = found["sent"], found["lost"], found["slowest"]
        assert all(own.sent > 20 for own in losses.values()), "too few to tell"

    # --- cut-offs

    @contextmanager
    def watched(self, action: str = "list", step: str = "") -> Iterator[list[str]]:
        """See the steps of a transaction on the host, and cut it off at one; see files/journal_watch.py. The list has them afterwards."""
        self.ask(f"rm -rf {WATCH}; mkdir {WATCH}; cat > {WATCH}/watch.py <<'END'\n{self.program('journal_watch.py')}\nEND")
        command = ["python3", f"{WATCH}/watch.py", WATCH, action, step]
        self.ask(f"systemd-run --quiet --collect --property=Type=exec {shlex.join(command)}")
        self.ask(f"for _ in $(seq 300); do [ -e {WATCH}/ready ] && exit 0; sleep 0.1; done; exit 1")
        steps: list[str] = []
        yield steps
        if action != "reset":
            steps += self.ask(f"touch {WATCH}/stop; sleep 0.5; cat {WATCH}/steps").splitlines()

    def open_transaction(self) -> str:
        """Return how far the open transaction is; empty where there is none."""
        return self.ask(f"cat {STATE}/pending/phase 2> /dev/null || true")

    def undo_now(self) -> None:
        """Do what the timer does when its time has come; nothing where the transaction had not come so far."""
        timers = f"{UNDO}.timer railyard-nic-names-watch.timer"
        self.ask(f"if systemctl is-active --quiet {timers}; then systemctl start {UNDO}.service; fi", seconds=300)


def result(run: Run) -> dict[str, Any]:
    """Return the result of the module in a run."""
    found = [row["data"] for row in run.results if row["action"] == "railyard.sglang.nic_names"]
    assert found, run.output[-3000:]
    data: dict[str, Any] = found[-1]
    return data


def difference(wanted: Any, now: Any) -> str:
    """Return what differs in two parts of looks."""
    if isinstance(wanted, dict) and isinstance(now, dict):
        keys = [key for key in sorted({*wanted, *now}) if wanted.get(key) != now.get(key)]
        return "; ".join(f"{key}: wanted {wanted.get(key)!r}, is {now.get(key)!r}" for key in keys)
    if isinstance(wanted, list) and isinstance(now, list):
        return f"lacks {[row for row in wanted if row not in now]}, has {[row for row in now if row not in wanted]}"
    return f"wanted {wanted!r}, is {now!r}"


def renamed(present: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the parts of a look that are to be the same but for the names of interfaces."""

    def moved(text: str) -> str:
        return " ".join(names.get(word, word) for word in text.split(" "))

    alike = ("addresses", "devices")
    parts: dict[str, Any] = {part: {names.get(name, name): value for name, value in present[part].items()} for part in alike}
    parts["links"] = {
        names.get(name, name): [mtu, names.get(master, master), names.get(below, below), up]
        for name, (mtu, master, below, up) in present["links"].items()
    }
    parts["names"] = {mac: names.get(name, name) for mac, name in present["names"].items()}
    parts["rdma"] = {device: names.get(name, name) for device, name in present["rdma"].items()}
    parts["bonds"] = {
        names.get(name, name): {key: sorted(names.get(port, port) for port in ports) for key, ports in values.items()}
        for name, values in present["bonds"].items()
    }
    return {**parts, **{part: sorted(map(moved, present[part])) for part in ("routes", "rules")}}
