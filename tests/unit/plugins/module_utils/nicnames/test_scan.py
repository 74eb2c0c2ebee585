# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the search for names in files that no program may rewrite."""

from __future__ import annotations

import os

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import masking, scan

NAMES = {"enp1s0": "roce0", "mlx5_0": "mlx5_rail0"}

FILES = {
    "/etc/NetworkManager/dispatcher.d/50-enp1s0": "#!/bin/sh\nethtool -K ${1:-enp1s0} gro on\n",
    "/etc/NetworkManager/system-connections/enp1s0.nmconnection": "[connection]\nid=enp1s0\n",
    "/etc/default/grub": 'GRUB_CMDLINE_LINUX="ifname=enp1s0:02:00:00:00:00:01"\n',
    "/etc/kernel/cmdline": "ip=enp1s0.100:dhcp\n",
    "/etc/nccl.conf": "NCCL_SOCKET_IFNAME==enp1s0\nNCCL_IB_HCA=mlx5_0:1,mlx5_10\n# of enp1s0np0 and br-enp1s0, xenp1s0\n",
    "/etc/nmstate/rails.yml": "interfaces:\n- name: enp1s0\n",
    "/etc/app.conf": "psk=enp1s0 iface=enp1s0\n",
    "/etc/old.conf.bak": "enp1s0\n",
    "/etc/old.conf.rpmsave": "nothing\n",
    "/etc/shadow": "enp1s0\n",
    "/etc/pki/tls/a.pem": "enp1s0\n",
    "/etc/mine": "enp1s0\n",
    "/boot/loader/entries/a.conf": "options root=/dev/sda1 ifname=enp1s0:02:00:00:00:00:01\n",
    "/root/.bashrc": "enp1s0\n",
    "/opt/tool.service": "ExecStart=/bin/tool --dev=enp1s0\n",
}


@pytest.fixture
def host(tmp_path):
    for path, content in FILES.items():
        file = tmp_path / "host" / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    root = tmp_path / "host"
    (root / "etc/binary").write_bytes(b"enp1s0\0")
    (root / "etc/large").write_bytes(b"enp1s0\n" * 200_000)
    (root / "etc/odd").write_bytes(b"\xff enp1s0\n")
    (root / "etc/systemd/system").mkdir(parents=True)
    os.symlink("../../../opt/tool.service", root / "etc/systemd/system/tool@enp1s0.service")
    (tmp_path / "outside").write_text("enp1s0\n")
    os.symlink(tmp_path / "outside", root / "etc/link-out")
    os.symlink("nccl.conf", root / "etc/zz-the-same")
    os.symlink("missing", root / "etc/dangling")
    os.mkfifo(root / "etc/fifo")
    return root


def test_what_is_found_and_what_is_passed_over(host):
    found = scan.free_text(str(host), NAMES, ["/etc/mine"])
    assert [(place.path, place.line, place.name) for place in found] == [
        ("/etc/app.conf", 1, "enp1s0"),
        ("/etc/nccl.conf", 1, "enp1s0"),
        ("/etc/nccl.conf", 2, "mlx5_0"),
        ("/etc/odd", 1, "enp1s0"),
        ("/etc/NetworkManager/dispatcher.d/50-enp1s0", 0, "enp1s0"),
        ("/etc/NetworkManager/dispatcher.d/50-enp1s0", 2, "enp1s0"),
        ("/etc/default/grub", 1, "enp1s0"),
        ("/etc/kernel/cmdline", 1, "enp1s0"),
        ("/etc/nmstate/rails.yml", 2, "enp1s0"),
        ("/etc/systemd/system/tool@enp1s0.service", 0, "enp1s0"),
        ("/etc/systemd/system/tool@enp1s0.service", 1, "enp1s0"),
        ("/boot/loader/entries/a.conf", 1, "enp1s0"),
    ]


def test_directories_that_are_links_are_searched_once_and_last(host):
    """An operator's settings often lie elsewhere; a link may lead back, out of the root, or to what holds secrets."""
    site = host / "srv/site"
    (site / "deep").mkdir(parents=True)
    (site / "deep/nccl.sh").write_text("export NCCL_SOCKET_IFNAME==enp1s0\n")
    (host / "run/net").mkdir(parents=True)
    (host / "run/net/state").write_text("enp1s0\n")
    (host.parent / "elsewhere").mkdir()
    (host.parent / "elsewhere/conf").write_text("enp1s0\n")
    before = scan.free_text(str(host), NAMES)
    for name, target in {
        "aa-site": "../srv/site",
        "again": "../srv/site/deep",
        "back": ".",
        "keys": "pki",
        "volatile": "../run/net",
        "out": str(host.parent / "elsewhere"),
    }.items():
        os.symlink(target, host / "etc" / name)
    os.symlink("..", site / "deep/up")
    found = scan.free_text(str(host), NAMES)
    assert [(place.path, place.line) for place in found if place not in before] == [("/etc/aa-site/deep/nccl.sh", 1)]
    assert found[-1].path == "/etc/aa-site/deep/nccl.sh"


def test_the_excerpt_is_the_line_without_secrets(host):
    texts = {place.path: place.text for place in scan.free_text(str(host), NAMES)}
    assert texts["/etc/app.conf"] == f"psk={masking.MARK} iface=enp1s0"
    assert texts["/etc/nmstate/rails.yml"] == "- name: enp1s0"
    assert texts["/etc/odd"] == "\ufffd enp1s0"


def test_what_is_not_listed_is_counted(host):
    assert sorted(scan.look(str(host), NAMES).notes) == [
        "1 files below /etc and /boot/loader/entries are not listed: backup copies that name an interface",
        "1 files below /etc and /boot/loader/entries are not listed: larger than 1 MiB",
    ]


def test_nothing_is_searched_without_names(host):
    assert scan.look(str(host), {}) == scan.Scanned()


def test_every_place_is_listed_or_counted_by_its_file(host, monkeypatch):
    before = scan.look(str(host), NAMES)
    assert (before.more, [note for note in before.notes if "places" in note]) == ({}, [])
    (host / "etc/rails.conf").write_text("dev enp1s0\n" * 300)
    every = len(before.references) + 300
    whole = scan.look(str(host), NAMES)
    assert (len(whole.references), sum(whole.more.values())) == (scan.MAX_FOUND, every - scan.MAX_FOUND)
    assert "/etc/rails.conf" in whole.more
    first = whole.references[:3]
    monkeypatch.setattr(scan, "MAX_FOUND", 3)
    cut = scan.look(str(host), NAMES)
    assert cut.references == first
    assert len(cut.references) + sum(cut.more.values()) == every
    assert cut.more["/etc/rails.conf"] == 300
    (note,) = [note for note in cut.notes if "places" in note]
    assert note.startswith(f"{every - 3} places that name an interface are not listed one by one, after 3 that are. Fix: look for the")
    assert all(path in note for path in cut.more)


def test_one_file_may_be_listed_in_part(host, monkeypatch):
    monkeypatch.setattr(scan, "MAX_FOUND", 2)
    scanned = scan.look(str(host), {"mlx5_0": "", "enp1s0": ""})
    assert [place.path for place in scanned.references] == ["/etc/app.conf", "/etc/mine"]
    assert scanned.more["/etc/nccl.conf"] == 2
    (host / "etc/app.conf").write_text("enp1s0\nenp1s0\nenp1s0\n")
    scanned = scan.look(str(host), NAMES)
    assert ([place.line for place in scanned.references], scanned.more["/etc/app.conf"]) == ([1, 2], 1)


def test_a_search_that_ends_says_where_and_how_much_is_left(host, monkeypatch):
    assert not [note for note in scan.look(str(host), NAMES).notes if "ended" in note]
    entries = sum(1 for _path in scan._entries(str(host), scan.PLACES))
    monkeypatch.setattr(scan, "MAX_FILES", 2)
    scanned = scan.look(str(host), NAMES)
    assert len(scanned.references) <= 2
    (note,) = [note for note in scanned.notes if "ended" in note]
    assert f", after 2: {entries - 2} were not looked through. Fix: grep -rwE 'enp1s0|mlx5_0' /etc /boot/loader/entries" in note


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        ("root=/dev/sda1 quiet", []),
        ("ifname=enp1s0:02:00:00:00:00:01 quiet", ["--remove-args=ifname=enp1s0:02:00:00:00:00:01", "brings up the network (ifname="]),
        ("ip=192.0.2.1::192.0.2.254:24:h:enp1s0:none", ["--remove-args=ip=", "brings up the network (ip="]),
        ("rd.neednet=1 ifname=other:02:00:00:00:00:09", ["brings up the network (rd.neednet=1 ifname=other"]),
        ("x=enp1s0np0", []),
    ],
)
def test_what_the_initramfs_is_told(tmp_path, arguments, texts):
    notes = scan.initramfs(str(tmp_path), arguments, ["enp1s0"])
    assert len(notes) == len(texts)
    assert all(text in note and "Fix: " in note for text, note in zip(texts, notes))


def test_the_tool_that_lists_the_initramfs_is_named_where_it_is(tmp_path):
    assert "lsinitrd" not in scan.initramfs(str(tmp_path), "ip=dhcp", ["enp1s0"])[0]
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/lsinitrd").write_text("")
    assert "lsinitrd" in scan.initramfs(str(tmp_path), "ip=dhcp", ["enp1s0"])[0]
