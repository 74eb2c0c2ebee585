# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at a host for the renaming of its NICs: trees of files, and this machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import look, look_files, record
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic, Seen
from ansible_collections.railyard.sglang.tests.unit.support.nichosts import CONNECTIONS, keyfile, mac
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import Host

SWITCH = "10:01.0 11:00.0"


def forbidden(argv: list[str]) -> tuple[int, str, str]:
    raise AssertionError(f"{argv} was run for a tree")


def seen(root: Path) -> Seen:
    return look.seen(str(root), forbidden)


class OnlyFiles(Root):
    """This machine as if it were a tree."""

    live = False


def named(found: Seen) -> dict[str, Nic]:
    return {nic.name: nic for nic in found.nics}


def test_a_tree(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.nic("mlx5_0", f"{SWITCH} 12:00.0", netdev="ens0np0", mtu=4200)
    host.files("/sys/class/net/ens0np0", {"ifindex": "7", "address": mac(0).upper(), "phys_port_name": "p0", "operstate": "up"})
    host.file("/run/udev/data/n7", "I:1\nE:ID_PATH=pci-0000:12:00.0\nE:ID_NET_LINK_FILE=/usr/lib/systemd/network/99-default.link\nG:x")
    host.netdev("lo", mtu=65536, ifindex="1", address="00:00:00:00:00:00", state="unknown")
    host.file(
        "/proc/net/route", "Iface Destination Gateway Flags RefCnt Use Metric Mask\nens0np0 00000000 010200C0 0003 0 0 0 00000000 0 0 0\n"
    )
    found = seen(tmp_path)
    assert named(found) == {
        "lo": Nic("lo", 1, kind="virtual", mtu=65536),
        "ens0np0": Nic(
            name="ens0np0",
            index=7,
            mac=mac(0),
            permanent_mac=mac(0),
            driver="mlx5_core",
            pci="0000:12:00.0",
            id_path="pci-0000:12:00.0",
            port_name="p0",
            up=True,
            mtu=4200,
            link_file="/usr/lib/systemd/network/99-default.link",
            rdma=("mlx5_0",),
            management=True,
        ),
    }
    assert [nic.name for nic in found.nics] == ["lo", "ens0np0"]
    assert (found.systemd, found.manager, found.serving, found.record) == (252, True, (), {})


def test_bonds_virtual_functions_and_what_shares_a_function(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.nic("mlx5_0", f"{SWITCH} 12:00.0", netdev="ens0")
    host.nic("mlx5_1", f"{SWITCH} 12:00.1", netdev="ens1")
    host.nic("mlx5_2", f"{SWITCH} 12:00.2", netdev="ens0v0", virtual_of=f"{SWITCH} 12:00.0")
    host.netdev("eth2", f"{SWITCH} 12:00.0", phys_port_name="pf0vf0")
    host.bond("bond0", ["ens0", "ens1"])
    for name in ("ens0", "ens1"):
        host.files(f"/sys/class/net/{name}", {"address": mac(0)})
    host.file(
        "/proc/net/bonding/bond0",
        f"Bonding Mode: active-backup\n\nSlave Interface: ens0\nMII Status: up\nPermanent HW addr: {mac(0)}\nSlave queue ID: 0\n\n"
        f"Slave Interface: ens1\nMII Status: up\nPermanent HW addr: {mac(1)}\n",
    )
    host.files("/sys/class/net/bond0", {"uevent": "DEVTYPE=bond\nINTERFACE=bond0"})
    host.soft("rxe0", "bond0")
    nics = named(seen(tmp_path))
    assert [(nics[name].mac, nics[name].permanent_mac, nics[name].master) for name in ("ens0", "ens1")] == [
        (mac(0), mac(0), "bond0"),
        (mac(0), mac(1), "bond0"),
    ]
    assert (nics["bond0"].kind, sorted(nics["bond0"].lower), nics["bond0"].permanent_mac) == ("bond", ["ens0", "ens1"], "")
    assert [nics[name].virtual_function for name in ("ens0", "ens0v0", "eth2")] == [False, True, False]
    assert [nics[name].rdma for name in ("ens0", "ens1", "ens0v0", "eth2")] == [("mlx5_0",), ("mlx5_1",), ("mlx5_2",), ()]
    assert nics["bond0"].rdma == ("rxe0",)
    assert seen(tmp_path).soft == ("rxe0",)


def test_infiniband_has_no_address_that_lasts(tmp_path: Path) -> None:
    Host(tmp_path).netdev("ib0", f"{SWITCH} 12:00.0", address=":".join(["a0"] * 20))
    assert (named(seen(tmp_path))["ib0"].permanent_mac, named(seen(tmp_path))["ib0"].identity) == ("", "0000:12:00.0")


def test_a_sub_function_is_not_its_parent(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.nic("mlx5_0", f"{SWITCH} 12:00.0", netdev="ens0")
    function = "/sys/devices/pci0000:10/0000:10:01.0/0000:11:00.0/0000:12:00.0"
    part = f"{function}/mlx5_core.sf.4"
    host.files(f"{part}/net/sf0", {"address": mac(9)})
    host.link(f"{part}/net/sf0/device", part)
    host.link("/sys/class/net/sf0", f"{part}/net/sf0")
    nics = named(seen(tmp_path))
    assert (nics["sf0"].pci, nics["sf0"].virtual_function, nics["sf0"].rdma) == ("0000:12:00.0", True, ())
    assert nics["ens0"].rdma == ("mlx5_0",)


@pytest.mark.parametrize(
    ("text", "systemd"),
    [
        ('ID="rhel"\nID_LIKE="fedora"\nVERSION_ID="8.10"', 239),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"', 252),
        ('ID="almalinux"\nID_LIKE="rhel centos fedora"\nVERSION_ID="10.0"', 257),
        ('ID=debian\nVERSION_ID="8"', 252),
        ('ID="centos"\nVERSION_ID="8"', 239),
        ("", 252),
    ],
)
def test_the_systemd_of_a_tree(tmp_path: Path, text: str, systemd: int) -> None:
    Host(tmp_path).file("/etc/os-release", text)
    assert seen(tmp_path).systemd == systemd


@pytest.mark.parametrize(
    ("output", "version"), [("252\n", 252), ("239 (239-82.el8)\n", 239), ("systemd 257 (257.9)", 257), ("", 0), ("x", 0)]
)
def test_the_version_of_udev(output: str, version: int) -> None:
    assert look.systemd_version(output) == version


def test_files(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.file(f"{CONNECTIONS}/ens0.nmconnection", keyfile("ens0"))
    host.file(f"{CONNECTIONS}/.hidden.nmconnection", "x")
    host.file(f"{CONNECTIONS}/ens0.nmconnection~", "x")
    host.file("/run/NetworkManager/system-connections/r.nmconnection", keyfile("r"))
    host.file("/etc/sysctl.conf", "a=1")
    host.link("/etc/sysctl.d/99-sysctl.conf", "/etc/sysctl.conf")
    host.file("/opt/site.conf", "b=1")
    host.link("/etc/sysctl.d/50-site.conf", "/opt/site.conf")
    host.link("/etc/sysctl.d/60-nowhere.conf", "/opt/gone.conf")
    (tmp_path / "etc/systemd/network").mkdir(parents=True)
    (tmp_path / "etc/systemd/network/99-default.link").symlink_to("/dev/null")
    host.file("/usr/lib/systemd/network/99-default.link", "[Match]\nOriginalName=*")
    host.file("/usr/lib/udev/rules.d/50-other.rules", 'KERNEL=="sda", SYMLINK+="x"')
    host.file("/usr/lib/udev/rules.d/70-name.rules", 'SUBSYSTEM=="net", NAME="x"')
    host.file("/usr/lib/udev/rules.d/60-rdma-persistent-naming.rules", "# vendor")
    host.file("/etc/systemd/network/10-a.link.d/x.conf", "[Link]\nMTUBytes=9000")
    (tmp_path / f"{CONNECTIONS}/ens0.nmconnection".lstrip("/")).chmod(0o600)
    found = seen(tmp_path)
    assert sorted(found.files) == [
        f"{CONNECTIONS}/ens0.nmconnection",
        "/etc/sysctl.conf",
        "/etc/sysctl.d/50-site.conf",
        "/etc/systemd/network/10-a.link.d/x.conf",
        "/etc/systemd/network/99-default.link",
        "/run/NetworkManager/system-connections/r.nmconnection",
        "/usr/lib/systemd/network/99-default.link",
        "/usr/lib/udev/rules.d/60-rdma-persistent-naming.rules",
        "/usr/lib/udev/rules.d/70-name.rules",
    ]
    assert found.files["/etc/systemd/network/99-default.link"] == b""
    assert sorted(found.shadowed) == [
        "/etc/sysctl.d/50-site.conf",
        "/etc/systemd/network/99-default.link",
        "/run/NetworkManager/system-connections/r.nmconnection",
        "/usr/lib/systemd/network/99-default.link",
        "/usr/lib/udev/rules.d/60-rdma-persistent-naming.rules",
        "/usr/lib/udev/rules.d/70-name.rules",
    ]
    assert found.modes[f"{CONNECTIONS}/ens0.nmconnection"] == 0o600
    assert [(row.id, row.path, row.interface_name) for row in found.profiles] == [
        ("ens0", f"{CONNECTIONS}/ens0.nmconnection", "ens0"),
        ("r", "/run/NetworkManager/system-connections/r.nmconnection", "r"),
    ]


def test_expand_takes_whole_names_only(tmp_path: Path) -> None:
    host = Host(tmp_path)
    for path in ("/a/x.link.d/1.conf", "/a/y.link.d/2.conf", "/a/y/3.conf", "/a/x.link.d/4.txt"):
        host.file(path, "")
    assert look_files.expand(Root(str(tmp_path)), "/a/*.link.d/*.conf") == ["/a/x.link.d/1.conf", "/a/y.link.d/2.conf"]


def test_the_record_and_what_it_names(tmp_path: Path) -> None:
    host = Host(tmp_path)
    kept = {"version": 1, "nics": {}, "files": {"/opt/other": {}}, "removed": {"/opt/gone": {}}}
    host.file(record.PATH, record.dump(kept))
    host.file("/opt/other", b"y")
    found = seen(tmp_path)
    assert found.record == kept
    assert found.files == {record.PATH: record.dump(kept), "/opt/other": b"y"}


def test_a_broken_record_is_refused(tmp_path: Path) -> None:
    Host(tmp_path).file(record.PATH, "{")
    with pytest.raises(record.RecordError):
        seen(tmp_path)


def answering(status: int, text: str) -> look.Runner:
    """Return what runs a command that fails."""
    return lambda argv: (status, text, "no answer in 20 s")


def test_serving() -> None:
    rows = {"sglang-prefill-0.service": "active", "sglang-decode-0.service": "inactive", "sglang-router.service": "active"}
    text = "\n\n".join(f"Id={name}\nActiveState={state}" for name, state in rows.items())
    assert look.serving(lambda argv: (0, text, "")) == (("sglang-prefill-0.service",), "")
    assert look.serving(lambda argv: (0, "", "")) == ((), "")
    for status in (1, 124, 127):
        units, fault = look.serving(answering(status, text))
        assert (units, "no answer in 20 s" in fault, "Fix: " in fault) == ((), True, True)


RHEL8 = 'ID="rhel"\nVERSION_ID="8.10"\n'


@pytest.mark.parametrize(
    ("answers", "release", "version"),
    [
        ({"udevadm": (0, "252\n")}, "", 252),
        ({"udevadm": (124, "252\n"), "systemctl": (0, "systemd 239 (239-82.el8)\n+PAM")}, "", 239),
        ({"udevadm": (0, ""), "systemctl": (1, "systemd 257")}, RHEL8, 239),
        ({}, RHEL8, 239),
        ({}, 'ID=debian\nVERSION_ID="12"\n', 0),
    ],
)
def test_the_version_of_udev_is_never_assumed(answers: dict[str, tuple[int, str]], release: str, version: int) -> None:
    found, fault = look.live_systemd(lambda argv: (*answers.get(argv[0], (127, "")), ""), release)
    assert found == version
    assert ("Fix: " in fault) == (not version)


def test_this_machine() -> None:
    ran: list[str] = []

    def run(argv: list[str]) -> tuple[int, str, str]:
        ran.append(argv[0])
        try:
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
        except FileNotFoundError:
            return 127, "", ""
        return done.returncode, done.stdout, done.stderr

    found = look.seen("/", run)
    names = sorted(os.listdir("/sys/class/net"))
    assert sorted(nic.name for nic in found.nics) == [name for name in names if name != "bonding_masters"]
    for nic in found.nics:
        assert nic.mtu == int(Path(f"/sys/class/net/{nic.name}/mtu").read_text())
        assert nic.index == int(Path(f"/sys/class/net/{nic.name}/ifindex").read_text())
    assert len(ran) <= 4
    assert ran.count("nmcli") <= 2
    # The same by files alone, as far as they tell.
    by_files = {nic.name: nic for nic in look.look(OnlyFiles("/"), forbidden).nics}
    for nic in found.nics:
        other = by_files[nic.name]
        assert (other.index, other.pci, other.driver, other.mtu) == (nic.index, nic.pci, nic.driver, nic.mtu)
