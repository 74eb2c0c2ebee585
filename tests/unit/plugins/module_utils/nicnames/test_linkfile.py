# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of .link files: ours per version of systemd, and which one each version would apply."""

from __future__ import annotations

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import linkfile
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic

MAC = "02:00:00:00:00:01"
OTHER = "02:00:00:00:00:02"
NIC = Nic("enp1s0", mac=MAC, permanent_mac=MAC, driver="mlx5_core", pci="0000:01:00.0", id_path="pci-0000:01:00.0")
PORT = Nic("enp1s0", mac=OTHER, permanent_mac=MAC, driver="mlx5_core", pci="0000:01:00.0", id_path="pci-0000:01:00.0", master="bond0")
BOND = Nic("bond0", mac=MAC, driver="bonding", kind="bond")
FUNCTION = Nic("enp1s0v0", mac=MAC, permanent_mac=MAC, driver="mlx5_core", pci="0000:01:00.2", virtual_function=True)
LONG = "80:00:00:00:fe:80:00:00:00:00:00:00:00:00:00:00:00:00:00:01"
IPOIB = Nic("ib0", mac=LONG, driver="mlx5_core", pci="0000:0c:00.0", id_path="pci-0000:0c:00.0")

HEAD = f"{linkfile.MARK}\n[Match]\n"
POLICY = "AlternativeNamesPolicy=database onboard slot path\n"

#: Version of systemd, device, whether by its place, the conditions.
OURS = [
    (239, NIC, False, f"MACAddress={MAC}\nDriver=mlx5_core\n"),
    (244, NIC, False, f"MACAddress={MAC}\nDriver=mlx5_core\n"),
    (245, NIC, False, f"PermanentMACAddress={MAC}\nDriver=mlx5_core\n"),
    (252, NIC, False, f"PermanentMACAddress={MAC}\nDriver=mlx5_core\n"),
    (257, NIC, False, f"PermanentMACAddress={MAC}\nDriver=mlx5_core\n"),
    (239, PORT, False, f"MACAddress={MAC}\nDriver=mlx5_core\n"),
    (252, PORT, False, f"PermanentMACAddress={MAC}\nDriver=mlx5_core\n"),
    (252, NIC, True, "Path=pci-0000:01:00.0\nDriver=mlx5_core\n"),
    (239, FUNCTION, False, "Path=pci-0000:01:00.2\nDriver=mlx5_core\n"),
    (252, FUNCTION, False, "Path=pci-0000:01:00.2\nDriver=mlx5_core\n"),
    (252, BOND, False, f"MACAddress={MAC}\nDriver=bonding\n"),
    # udev meets mlx5_core[ib_ipoib], and brackets mean something in a pattern.
    (239, IPOIB, False, "Path=pci-0000:0c:00.0\n"),
    (245, IPOIB, True, "Path=pci-0000:0c:00.0\n"),
    (252, IPOIB, False, "Path=pci-0000:0c:00.0\n"),
    (257, IPOIB, True, "Path=pci-0000:0c:00.0\n"),
    (252, Nic("x", mac=MAC, pci="0000:01:00.0"), False, "Path=pci-0000:01:00.0\n"),
    (252, Nic("x", permanent_mac=MAC), False, f"PermanentMACAddress={MAC}\n"),
]


@pytest.mark.parametrize(("systemd", "nic", "by_path", "conditions"), OURS)
def test_our_file_per_version(systemd, nic, by_path, conditions):
    content = linkfile.text("roce0", nic, systemd, by_path)
    assert content.decode() == f"{HEAD}{conditions}\n[Link]\nName=roce0\n{POLICY if systemd >= 245 else ''}"
    assert linkfile.own(content)
    assert linkfile.name(content) == "roce0"


@pytest.mark.parametrize("systemd", [239, 244, 245, 252, 257])
def test_our_file_fits_its_card_and_no_other(systemd):
    content = linkfile.text("roce0", NIC, systemd)
    assert linkfile.matches(content, NIC, systemd)
    # Its own virtual function with the same address is bound by its place.
    assert not linkfile.matches(linkfile.text("roce0", FUNCTION, systemd), NIC, systemd)
    others = [
        Nic("enp2s0", mac=OTHER, permanent_mac=OTHER, driver="mlx5_core"),
        Nic("ipvl0", mac=MAC, permanent_mac=MAC, driver="ipvlan", kind="ipvlan"),
        BOND,
        Nic("lo"),
    ]
    assert [nic.name for nic in others if linkfile.matches(content, nic, systemd)] == []


@pytest.mark.parametrize("systemd", [239, 244, 245, 252, 257])
def test_a_file_of_ours_is_applied_to_a_card_of_infiniband(systemd):
    assert linkfile.matches(linkfile.text("rail0", IPOIB, systemd, True), IPOIB, systemd)


def test_a_port_keeps_its_name_while_the_bond_has_its_address():
    assert linkfile.matches(linkfile.text("roce0", PORT, 252), PORT, 252)


@pytest.mark.parametrize(
    ("systemd", "nic"), [(252, Nic("x")), (252, Nic("x", mac=MAC)), (239, Nic("x", permanent_mac=MAC)), (252, Nic("x", driver="y"))]
)
def test_a_device_that_nothing_tells_from_others_is_refused(systemd, nic):
    with pytest.raises(ValueError, match="x has no permanent address"):
        linkfile.text("roce0", nic, systemd)


#: [Match] section, device, and on which of 239, 245, 252 and 257 it fits.
ALL, NONE, NEW = (239, 245, 252, 257), (), (245, 252, 257)
FITS = [
    ("", NIC, (239,)),
    ("NoSuchKey=1\n", NIC, (239,)),
    (f"PermanentMACAddress={MAC}\n", NIC, ALL),
    (f"PermanentMACAddress={OTHER}\n", NIC, (239,)),
    (f"PermanentMACAddress={OTHER}\nDriver=mlx5_core\n", NIC, (239,)),
    (f"PermanentMACAddress={OTHER}\nDriver=virtio_net\n", NIC, NONE),
    (f"MACAddress={MAC.upper()}\n", NIC, ALL),
    ("MACAddress=02-00-00-00-00-01\n", NIC, ALL),
    ("MACAddress=0200.0000.0001\n", NIC, ALL),
    (f"MACAddress={OTHER} {MAC}\n", NIC, ALL),
    (f"MACAddress={OTHER}\nMACAddress={MAC}\n", NIC, ALL),
    (f"MACAddress={MAC}\nMACAddress=\nMACAddress={OTHER}\n", NIC, NONE),
    ("MACAddress=junk\n", NIC, (239,)),
    (f"MACAddress={OTHER}\n", PORT, ALL),
    (f"MACAddress={MAC}\n", PORT, NONE),
    (f"MACAddress={MAC}\n", BOND, ALL),
    (f"# PermanentMACAddress={MAC}\n; x=1\nDriver=mlx*\n", NIC, ALL),
    ("Driver=virtio_net mlx5_*\n", NIC, ALL),
    ("Driver=virtio_net \\\n# no\n  mlx5_core\n", NIC, ALL),
    ("Driver=!mlx5_core\n", NIC, NONE),
    ("Driver=!virtio_net\n", NIC, ALL),
    ("Path=pci-0000:01:00.0\n", NIC, ALL),
    ("Path=pci-0000:01:*\n", NIC, ALL),
    ("Path=pci-0000:02:*\n", NIC, NONE),
    ("Path=pci-*\n", BOND, NONE),
    ("Type=ether\n", NIC, NEW),
    ("Type=ether\n", IPOIB, NONE),
    ("Type=infiniband\n", IPOIB, NEW),
    ("Driver=mlx5_core\n", IPOIB, (239,)),
    ("Driver=mlx5_core[ib_ipoib]\n", IPOIB, NONE),
    ("Driver=mlx5_core*\n", IPOIB, ALL),
    ("Driver=*ib_ipoib*\n", IPOIB, ALL),
    ("Driver=virtio_net\n", IPOIB, NONE),
    ("Type=bond\n", BOND, ALL),
    ("Type=ether\n", Nic("veth0", mac=MAC, kind="veth"), NEW),
    ("Type=veth\n", Nic("veth0", mac=MAC, kind="veth"), NONE),
    ("Kind=bond\n", BOND, (239, 252, 257)),
    ("Kind=bond\n", NIC, (239,)),
    ("OriginalName=*\n", NIC, ALL),
    ("OriginalName=eth*\n", NIC, ALL),
    ("OriginalName=eth3\n", NIC, ALL),
    ("OriginalName=!eth*\n", NIC, ALL),
    ("OriginalName=enp1s0\n", NIC, ALL),
    ("OriginalName=enp2s0\n", NIC, NONE),
    ("OriginalName=eth*\n", BOND, NONE),
    ("OriginalName=* \nDriver=virtio_net\n", NIC, NONE),
    ("Host=other\n", NIC, ALL),
    ("Property=ID_PATH=pci-0000:01:00.0\n", NIC, ALL),
    ("Property=ID_PATH=pci-0000:02:00.0\n", NIC, (239,)),
    ("Property=ID_NET_DRIVER=mlx5_core ID_PATH=x\n", NIC, (239,)),
    ('Property="ID_VENDOR_ID=0x15b3"\n', NIC, ALL),
]


@pytest.mark.parametrize("systemd", ALL)
@pytest.mark.parametrize(("conditions", "nic", "versions"), FITS)
def test_which_version_applies_a_file_to_a_device(conditions, nic, versions, systemd):
    content = f"[Match]\n{conditions}[Link]\nName=x\n".encode()
    assert linkfile.matches(content, nic, systemd) is (systemd in versions)


@pytest.mark.parametrize("systemd", ALL)
def test_an_empty_file_is_applied_to_no_device_whatever_lies_beside_it(systemd):
    assert not linkfile.matches(b"", NIC, systemd)
    assert not linkfile.matches(b"\n", NIC, systemd)
    drop = f"{linkfile.DIRECTORY}/10-x.link.d/a.conf"
    assert linkfile.first({f"{linkfile.DIRECTORY}/10-x.link": b"", drop: b"[Match]\nDriver=mlx5_core\n"}, NIC, systemd) == ""


def test_a_name_is_the_last_one_of_its_section():
    assert linkfile.name(b"[Match]\nName=a\n[Link]\nName=b\n#Name=c\n[Link]\n Name = d \n[X]\nName=e\n") == "d"
    assert linkfile.name(b"[Match]\nDriver=x\n[Link]\nNamePolicy=path\n") == ""


ETC, RUN, USR = linkfile.DIRECTORIES[0], linkfile.DIRECTORIES[1], "/usr/lib/systemd/network"
OURS_FILE = {linkfile.path("roce0"): linkfile.text("roce0", NIC, 252)}
ANY = b"[Match]\nOriginalName=*\n[Link]\nNamePolicy=path\n"
MINE = f"[Match]\nMACAddress={MAC}\n[Link]\nName=x\n".encode()

FIRST = [
    ({}, ""),
    ({f"{USR}/99-default.link": ANY}, f"{USR}/99-default.link"),
    ({**OURS_FILE, f"{USR}/99-default.link": ANY}, linkfile.path("roce0")),
    ({**OURS_FILE, f"{USR}/10-x.link": MINE}, f"{USR}/10-x.link"),
    ({**OURS_FILE, f"{RUN}/70-aaa.link": MINE}, f"{RUN}/70-aaa.link"),
    ({**OURS_FILE, f"{ETC}/98-nmstate.link": MINE}, linkfile.path("roce0")),
    ({**OURS_FILE, f"{ETC}/10-x.link": MINE.replace(MAC.encode(), OTHER.encode())}, linkfile.path("roce0")),
    ({f"{USR}/10-x.link": MINE, f"{RUN}/10-x.link": MINE, f"{ETC}/10-x.link": MINE}, f"{ETC}/10-x.link"),
    ({**OURS_FILE, f"{USR}/10-x.link": MINE, f"{ETC}/10-x.link": b""}, linkfile.path("roce0")),
    ({f"{USR}/10-x.link": MINE, f"{RUN}/10-x.link": f"[Match]\nMACAddress={OTHER}\n".encode()}, ""),
    ({f"{ETC}/10-x.link": MINE, f"{ETC}/10-x.link.d/a.conf": b"[Match]\nDriver=virtio_net\n"}, ""),
    ({f"{ETC}/10-x.link": MINE, f"{ETC}/10-x.link.d/a.conf": b"[Link]\nName=y\n"}, f"{ETC}/10-x.link"),
    ({"/etc/udev/rules.d/a.rules": b"", f"{ETC}/10-x.network": MINE, "/opt/10-x.link": MINE}, ""),
]


@pytest.mark.parametrize(("files", "first"), FIRST)
def test_the_first_file_that_fits_wins(files, first):
    assert linkfile.first(files, NIC, 252) == first


def test_our_files_of_a_newer_way_would_take_every_device_on_an_old_system():
    assert linkfile.first(OURS_FILE, Nic("enp9s0", mac=OTHER, driver="mlx5_core"), 239) == linkfile.path("roce0")
    assert linkfile.first(OURS_FILE, Nic("enp9s0", mac=OTHER, driver="mlx5_core"), 252) == ""
