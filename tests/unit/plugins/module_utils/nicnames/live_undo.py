# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transactions on this machine's kernel, in a network and mount namespace of their own:

    unshare --net --mount python live_undo.py DIRECTORY SCENARIO

Addresses, routes, names and files are real. NetworkManager cannot run there: StandIn stands in for it. It has profiles in files, reads them
when it is told to, and puts their settings in force when one is activated or applied anew, as the real one does.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import apply, files, journal, rtnl, undo, units
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import FileChange, Nic, Plan, Rename, Row

OLD = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
RIGHT = """[connection]
uuid={uuid}
interface-name={name}
[stand-in]
address add 192.0.2.10/24 brd + noprefixroute
-6 address add 2001:db8::10/64 noprefixroute nodad
route append 192.0.2.0/24 proto kernel scope link src 192.0.2.10 metric 101
route append default via 192.0.2.1 proto static metric 101
-6 route append 2001:db8::/64 proto kernel metric 101
-6 route append default via 2001:db8::1 proto static metric 101
"""
WRONG = """[connection]
uuid={uuid}
interface-name={name}
[stand-in]
address add 192.0.2.77/24 brd + noprefixroute
-6 address add 2001:db8:bad::77/64 noprefixroute nodad
route append 192.0.2.0/24 proto kernel scope link src 192.0.2.77 metric 101
route append default via 192.0.2.254 proto static metric 101
-6 route append 2001:db8:bad::/64 proto kernel metric 101
-6 route append default via 2001:db8:bad::1 proto static metric 101
"""


def sh(command: str) -> str:
    """Run a command of the shell, which must succeed."""
    return subprocess.run(["sh", "-ec", command], check=True, capture_output=True, text=True).stdout


class StandIn:
    """Stands in for NetworkManager and systemd."""

    def __init__(self, profiles: Path) -> None:
        self.profiles = profiles
        #: UUID to text, as last read; device to UUID and text in force.
        self.read: dict[str, str] = {}
        self.force: dict[int, tuple[str, str]] = {}
        self.asked: list[str] = []
        self.failing: tuple[str, ...] = ()
        self.external = False

    def reload(self) -> None:
        self.read = {}
        for path in sorted(self.profiles.glob("*.nmconnection")):
            text = path.read_text()
            match = re.search(r"uuid=(\S+)", text)
            if match:
                self.read[match.group(1)] = text

    @staticmethod
    def name(text: str) -> str:
        match = re.search(r"interface-name=(\S+)", text)
        return match.group(1) if match else ""

    @staticmethod
    def settings(text: str) -> list[str]:
        return [line for line in text.partition("[stand-in]\n")[2].splitlines() if line]

    def up(self, uuid: str, device: str) -> tuple[int, str, str]:
        index = next((link.index for link in rtnl.links() if link.name == device), 0)
        text = self.read.get(uuid, "")
        if not index or self.name(text) != device:
            return 4, "", "Error: Connection activation failed: No suitable device found"
        sh(f"ip address flush dev {device} scope global; ip -6 address flush dev {device} scope global; ip route flush dev {device}")
        sh(f"ip -6 route show dev {device} | grep -v ^fe80 | while read row; do ip -6 route del $row dev {device} || true; done")
        for line in self.settings(text):
            sh(f"ip {line} dev {device}")
        self.force[index] = (uuid, text)
        return 0, "", ""

    def reapply(self, device: str) -> tuple[int, str, str]:
        index = next((link.index for link in rtnl.links() if link.name == device), 0)
        if index not in self.force:
            return 4, "", "Error: not found"
        uuid, text = self.force[index]
        if self.name(text) != self.name(self.read.get(uuid, "")):
            return 4, "", "Error: Can't reapply changes to 'connection.interface-name' setting"
        return self.up(uuid, device)

    def nmcli(self, words: list[str]) -> tuple[int, str, str]:
        if words[-1] == "device":
            rows = []
            for link in rtnl.links():
                if link.kind == "veth" and not link.name.startswith("peer"):
                    uuid = self.force.get(link.index, ("", ""))[0]
                    rows.append(f"{link.name}:connected:{uuid}" if uuid else f"{link.name}:disconnected:--")
            return 0, "\n".join(rows), ""
        if words[:2] == ["connection", "reload"]:
            self.reload()
            return 0, "", ""
        if "up" in words:
            return self.up(words[words.index("uuid") + 1], words[-1])
        if "reapply" in words:
            return self.reapply(words[-1])
        return 1, "", f"what is {words}?"

    def run(self, words: list[str]) -> tuple[int, str, str]:
        """Run a command of the host."""
        line = " ".join(words)
        self.asked.append(line)
        if any(line.startswith(start) for start in self.failing):
            return 1, "", "it fails"
        if words[0] == "nmcli":
            return self.nmcli(words[1:])
        if words[0] in ("systemctl", "udevadm"):
            return 0, "", ""
        if words[0] == "ip":
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            return done.returncode, done.stdout, done.stderr
        return 127, "", ""


class Host:
    """Two NICs with a profile each, in a namespace."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.etc = directory / "etc"
        self.etc.mkdir()
        state = directory / "state"
        journal.STATE, journal.DIRECTORY, journal.PENDING = str(state), f"{state}/names", f"{state}/names/pending"
        journal.UNDONE, journal.CONFIRMED = f"{state}/names/undone.log", str(directory / "confirmed")
        units.UNITS, units.PROGRAM = str(directory / "units"), f"{state}/names/undo.pyz"
        units.LINK = f"{units.UNITS}/sysinit.target.wants/{units.BOOT}"
        undo.PROFILES = (f"{self.etc}/",)
        undo.HEAL_SECONDS = apply.HEAL_SECONDS = 1.0
        sh("mount -t sysfs none /sys; ip link set lo up")
        for number, (name, uuid) in enumerate((("v0", OLD), ("v1", OTHER))):
            sh(f"ip link add {name} type veth peer name peer{number}; ip link set {name} addrgenmode none; ip link set peer{number} up")
            sh(f"ip link set {name} up; ip address add fe80::{number + 1}/64 dev {name} noprefixroute nodad")
            text = RIGHT if not number else "[connection]\nuuid={uuid}\ninterface-name={name}\n[stand-in]\naddress add 198.51.100.9/24\n"
            self.file(name, text.format(uuid=uuid, name=name))
        self.manager = StandIn(self.etc)
        self.manager.reload()
        for name, uuid in (("v0", OLD), ("v1", OTHER)):
            assert self.manager.up(uuid, name)[0] == 0
        self.before = self.look()

    def file(self, name: str, text: str) -> Path:
        path = self.etc / f"{name}.nmconnection"
        path.write_text(text)
        path.chmod(0o600)
        return path

    def text(self, name: str) -> str:
        return (self.etc / f"{name}.nmconnection").read_text()

    def look(self) -> dict[str, Any]:
        """Return all that is to be as it was."""
        words = ["ip -o -4 route show table all", "ip -o -6 route show table all"]
        # An address that is added anew is not checked for being a duplicate, which the kernel remembers.
        rows = [" ".join(row.replace(" nodad", "").split()) for word in words for row in sh(word).splitlines()]
        addresses = [re.sub(r"^\d+: | nodad|\\\s+", " ", row) for row in sh("ip -o address show").splitlines()]
        return {
            "routes": sorted(row for row in rows if "peer" not in row),
            "addresses": sorted(" ".join(row.split()) for row in addresses if "peer" not in row),
            "rules": sh("ip rule; ip -6 rule").splitlines(),
            "files": {path.name: path.read_text() for path in sorted(self.etc.rglob("*")) if path.is_file()},
            "up": [link.name for link in rtnl.links() if link.up],
        }

    def plan(self, names: dict[str, str]) -> tuple[Plan, list[Nic]]:
        """Return the plan of names."""
        found, nics = Plan(), []
        for link in rtnl.links():
            if link.name in names:
                after = names[link.name]
                nics.append(Nic(link.name, link.index, link.mac))
                found.renames.append(Rename(link.name, link.name, after))
                old, new = f"{self.etc}/{link.name}.nmconnection", f"{self.etc}/{after}.nmconnection"
                content = self.text(link.name).encode()
                changed = content.replace(f"interface-name={link.name}".encode(), f"interface-name={after}".encode())
                row = next((each for each in found.files if each.path == new), None)
                found.files = [each for each in found.files if each is not row]
                found.files.append(FileChange(new, self.text(after).encode() if os.path.exists(new) else None, changed, 0o600, old))
                if not any(each.path == old for each in found.files):
                    found.files.append(FileChange(old, content, None))
        return found, nics

    def apply(self, names: dict[str, str], **more: Any) -> str:
        """Carry names out."""
        plan, nics = self.plan(names)
        return apply.carry_out(plan, nics, apply.Work(self.manager.run, files.no_label, sys.executable, 60, **more))

    def undo(self, at_boot: bool = False) -> dict[str, Any]:
        """Undo, and return what became of it."""
        self.manager.asked = []
        left = (undo.boot if at_boot else undo.undo)(self.manager.run)
        return self.result(left)

    def result(self, left: list[str]) -> dict[str, Any]:
        names = {link.index: link.name for link in rtnl.links()}
        return {
            "left": left, "open": journal.phase(), "before": self.before, "after": self.look(), "asked": self.manager.asked,
            "force": {names[index]: text for index, (_uuid, text) in self.manager.force.items()},
            "log": Path(journal.UNDONE).read_text() if os.path.exists(journal.UNDONE) else "",
        }


def wrong_profile(host: Host) -> dict[str, Any]:
    """A profile with the same UUID and a wrong address and gateway is in force."""
    host.apply({"v0": "r0"})
    host.file("r0", WRONG.format(uuid=OLD, name="r0"))
    host.manager.reload()
    assert host.manager.up(OLD, "r0")[0] == 0
    return host.undo()


def wrong_profile_applied(host: Host) -> dict[str, Any]:
    """As before, but NetworkManager does not even answer: all is done by hand."""
    host.apply({"v0": "r0"})
    host.file("r0", WRONG.format(uuid=OLD, name="r0"))
    host.manager.reload()
    host.manager.up(OLD, "r0")
    host.manager.failing = ("nmcli --wait",)
    return host.undo()


def first_route(host: Host) -> dict[str, Any]:
    """Nothing is lacking, and a wrong default route of the same metric comes first."""
    host.apply({"v0": "r0"})
    sh("ip route prepend default via 192.0.2.254 dev r0 proto static metric 101")
    sh("ip -6 route append default via 2001:db8::bad dev r0 proto static metric 101")
    return host.undo()


def of_others(host: Host) -> dict[str, Any]:
    """What somebody else has brought meanwhile is not taken away."""
    host.apply({"v0": "r0"})
    sh("ip address add 192.0.2.200/32 dev r0; ip route add 203.0.113.0/24 via 192.0.2.7 dev r0 proto static")
    sh("ip -6 address add 2001:db8:5::5/64 dev r0 nodad valid_lft 1000 preferred_lft 1000")
    return host.undo()


def of_others_in_doubt(host: Host) -> dict[str, Any]:
    """Also where an interface is in doubt: what passes by itself, or is of the link."""
    host.apply({"v0": "r0"})
    sh("ip address del 192.0.2.10/24 dev r0")
    sh("ip -6 address add 2001:db8:5::5/64 dev r0 nodad valid_lft 1000 preferred_lft 1000; ip address add fe80::77/64 dev r0 nodad")
    sh("ip -6 route add 2001:db8:6::/64 via fe80::9 dev r0 proto ra")
    return host.undo()


def leased(host: Host) -> dict[str, Any]:
    """An address by DHCP changes meanwhile."""
    sh("ip address flush dev v1; ip address add 198.51.100.20/24 dev v1 valid_lft 1000 preferred_lft 1000")
    host.before = host.look()
    host.apply({"v0": "r0", "v1": "r1"})
    sh("ip address del 198.51.100.20/24 dev r1; ip address add 198.51.100.21/24 dev r1 valid_lft 1000 preferred_lft 1000")
    return host.undo()


def by_dhcp_now(host: Host) -> dict[str, Any]:
    """A wrong profile takes an address by DHCP in the place of a fixed one, and the manager does not help."""
    host.apply({"v0": "r0"})
    sh("ip address flush dev r0 scope global; ip address add 192.0.2.99/24 dev r0 noprefixroute valid_lft 1000 preferred_lft 1000")
    sh("ip route add 192.0.2.0/24 dev r0 proto kernel scope link src 192.0.2.99 metric 101")
    sh("ip route add default via 192.0.2.254 dev r0 proto dhcp metric 101")
    host.manager.failing = ("nmcli --wait", "nmcli connection")
    return host.undo()


def unharmed(host: Host) -> dict[str, Any]:
    """Nothing is wrong: profiles are not activated."""
    host.apply({"v0": "v1", "v1": "v0"})
    return host.undo()


def cannot_be_right(host: Host) -> dict[str, Any]:
    """Something wrong stays: the transaction stays open for some attempts."""
    host.apply({"v0": "r0"})
    sh("ip route del default via 192.0.2.1 dev r0")
    host.manager.failing = ("ip -4 route append default", "nmcli --wait")
    first = host.undo()
    rows = [(first["left"], first["open"])]
    undo.HEAL_SECONDS = 0.0
    for _attempt in range(4):
        row = host.undo()
        rows.append((row["left"], row["open"]))
    return {"rows": rows}


def failing_file(host: Host, at_boot: bool = False) -> dict[str, Any]:
    """The file of one profile cannot be given back: its NIC keeps its name, the other one gets its former."""
    host.apply({"v0": "r0", "v1": "r1"})
    put = files.lay

    def lay(path: str, wanted: files.Image, label: files.Label = files.no_label) -> None:
        if path.endswith("/v0.nmconnection"):
            raise OSError(28, "No space left on device", path)
        put(path, wanted, label)

    files.lay = lay
    if at_boot:
        journal.BOOT = str(host.directory / "boot")
        Path(journal.BOOT).write_text("another boot\n")
    found = host.undo(at_boot)
    files.lay = put
    found["again"] = host.undo(at_boot)
    return found


def failing_file_at_boot(host: Host) -> dict[str, Any]:
    """As before, at a boot."""
    return failing_file(host, at_boot=True)


def unreadable_at_boot(host: Host) -> dict[str, Any]:
    """The journal cannot be read at a boot."""
    host.apply({"v0": "r0"})
    Path(journal.PENDING, "1").unlink()
    host.manager.asked = []
    try:
        undo.boot(host.manager.run)
    except journal.JournalError as error:
        return host.result([str(error)])
    return host.result([])


def stage(host: Host) -> None:
    """Write the files of names that change at the next boot."""
    plan, nics = host.plan({"v0": "r0", "v1": "r1"})
    plan.rows = [Row(rename.before, rename.after, "", "", None, ()) for rename in plan.renames]
    plan.renames = []
    apply.carry_out(plan, nics, apply.Work(host.manager.run, files.no_label, sys.executable, 600, at_boot=True))
    host.manager.asked = []


def staged(host: Host, names: dict[str, str]) -> dict[str, Any]:
    """Names that change at the next boot, which gives some of them."""
    stage(host)
    journal.BOOT = str(host.directory / "boot")
    Path(journal.BOOT).write_text("another boot\n")
    for old, new in names.items():
        sh(f"ip link set {old} down; ip link set {old} name {new}; ip link set {new} up")
    host.manager.asked = []
    return host.result(undo.boot(host.manager.run))


def watched(host: Host) -> dict[str, Any]:
    """Before the boot NetworkManager is started anew, and finds no profile for one interface."""
    undo.WATCH_SECONDS = 0.1
    stage(host)
    quiet = [undo.watch(host.manager.run), journal.phase()]
    asked = list(host.manager.asked)
    host.manager.reload()
    sh("ip address flush dev v0 scope global")
    index = next(link.index for link in rtnl.links() if link.name == "v0")
    del host.manager.force[index]
    return {**host.result(undo.watch(host.manager.run)), "quiet": quiet, "asked before": asked}


def ended_while_it_staged(host: Host) -> dict[str, Any]:
    """The module is ended before it has written all files."""
    reach = journal.reach

    def end(name: str) -> None:
        raise KeyboardInterrupt

    journal.reach = end
    try:
        stage(host)
    except KeyboardInterrupt:
        journal.reach = reach
    return host.result(undo.watch(host.manager.run))


def names_of_a_boot(host: Host) -> dict[str, Any]:
    """The boot gives the names."""
    return staged(host, {"v0": "r0", "v1": "r1"})


def names_that_a_boot_does_not_give(host: Host) -> dict[str, Any]:
    """The boot gives one of them only."""
    return staged(host, {"v0": "r0"})


def confirmed_twice(host: Host) -> dict[str, Any]:
    """Confirmed, but cut off before the journal was closed; then confirmed again, and again."""
    transaction = host.apply({"v0": "r0"})
    end = journal.end

    def cut(undone: bool = False) -> None:
        raise KeyboardInterrupt

    journal.end = cut
    rows: list[Any] = []
    try:
        apply.confirm(transaction, host.manager.run)
    except KeyboardInterrupt:
        rows.append([journal.phase(), journal.confirmed() == transaction])
    journal.end = end
    rows += [apply.confirm(transaction, host.manager.run), apply.confirm(transaction, host.manager.run)]
    os.unlink(journal.CONFIRMED)
    try:
        apply.confirm(transaction, host.manager.run)
    except apply.ApplyError as error:
        rows.append(str(error))
    other = host.apply({"r0": "v0"})
    host.undo()
    try:
        apply.confirm(other, host.manager.run)
    except apply.ApplyError as error:
        rows.append(str(error))
    return {"rows": rows}


def no_units(host: Host) -> dict[str, Any]:
    """systemd does not run the undo."""
    host.manager.failing = ("systemctl start",)
    left = []
    try:
        host.apply({"v0": "r0"})
    except apply.ApplyError as error:
        left = [str(error)]
    found = host.result(left)
    found["there"] = [str(path) for path in host.directory.rglob("*") if "railyard-nic" in path.name or path.name == "undo.pyz"]
    return found


SCENARIOS: dict[str, Callable[[Host], dict[str, Any]]] = {
    function.__name__: function
    for function in (
        wrong_profile, wrong_profile_applied, first_route, of_others, of_others_in_doubt, leased, by_dhcp_now, unharmed, cannot_be_right,
        failing_file, failing_file_at_boot, unreadable_at_boot, confirmed_twice, no_units,
        watched, ended_while_it_staged, names_of_a_boot, names_that_a_boot_does_not_give,
    )
}

if __name__ == "__main__":
    print(json.dumps(SCENARIOS[sys.argv[2]](Host(Path(sys.argv[1])))))
