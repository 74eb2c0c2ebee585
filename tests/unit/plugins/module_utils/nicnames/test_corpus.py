# SPDX-License-Identifier: GPL-3.0-or-later
"""Keyfiles of every type of connection: rewriting changes what it means to, and nothing else."""

from __future__ import annotations

import os
import re

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import references
from ansible_collections.railyard.sglang.tests.unit.support import keyfiles
from ansible_collections.railyard.sglang.tests.unit.support.keyfiles import BACK, CHANGED, CORPUS, NAMES, PLACE, read

#: File to the settings that are told, since only a person can say what they mean.
TOLD = {
    "ethernet-label": {"connection.id"},
    "ethernet-match": set(),
    "802-1x": {"802-1x.identity"},
    "team": {"team.config"},
    "vlan": {"connection.interface-name"},
    "vlan-unnamed": {"vlan.parent"},
    "wifi": {"wifi.ssid"},
    "gsm": {"gsm.apn"},
    "cdma": {"cdma.username"},
    "vpn": {"vpn.interface"},
    "wimax": {"wimax.network-name"},
    "ovs-bridge": {"ovs-external-ids.data.rail"},
}
VARIANTS = {
    "as it is": lambda content: content,
    "ends of lines of Windows": lambda content: content.replace(b"\n", b"\r\n"),
    "no end of the last line": lambda content: content.rstrip(b"\n"),
    "white space around the signs": lambda content: re.sub(rb"(?m)^([a-z0-9_-]+)=(?=.)", rb"  \1  =  ", content),
}


def keys(content: bytes) -> list[str]:
    """The setting of each line, empty for lines without one."""
    found, section = [], ""
    for line in content.split(b"\n"):
        text = line.decode().strip()
        if text.startswith("["):
            section = text.strip("[]").replace("802-3-ethernet", "ethernet")
        found.append(f"{section}.{text.split('=')[0].strip()}" if "=" in text and not text.startswith("#") else "")
    return found


def test_every_file_has_its_expectation():
    assert {f"{name}.nmconnection" for name in CHANGED} == set(os.listdir(CORPUS))
    assert set(TOLD) <= set(CHANGED)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", CHANGED)
def test_the_names_change_and_nothing_else(name, variant):
    before = VARIANTS[variant](read(name))
    found = references.rewrite(f"{PLACE}/{name}.nmconnection", before, NAMES)
    settings = keys(before)
    pairs = list(zip(before.split(b"\n"), found.content.split(b"\n"), settings, strict=True))
    assert {setting for old, new, setting in pairs if old != new} == CHANGED[name]
    for old, new, _setting in pairs:
        expected = re.sub(rb"enp([12])s0", lambda match: b"roce%d" % (int(match.group(1)) - 1), old)
        assert new in (old, expected)
    assert {settings[place.line - 1] for place in found.unclear} == TOLD.get(name, set())
    assert found.path == f"{PLACE}/{name}.nmconnection"


@pytest.mark.parametrize("name", CHANGED)
def test_there_and_back_gives_the_same_bytes(name):
    before = read(name)
    there = references.rewrite(f"{PLACE}/enp1s0.nmconnection", before, NAMES)
    assert there.path == f"{PLACE}/roce0.nmconnection"
    back = references.rewrite(there.path, there.content, BACK)
    assert (back.path, back.content) == (f"{PLACE}/enp1s0.nmconnection", before)


BEFORE = "[connection]\nid=enp1s0\ntype=ethernet\n[802-3-ethernet]\nmtu=9000\n"


@pytest.mark.parametrize(
    ("after", "fault"),
    [
        (BEFORE.replace("enp1s0", "roce0"), ""),
        (BEFORE, "ethernet-by-mac: [] differ, and ['connection.id'] should"),
        (BEFORE.replace("enp1s0", "roce1"), "ethernet-by-mac: connection.id is roce1, and should be roce0"),
        (BEFORE.replace("enp1s0", "roce0").replace("9000", "1500"), "ethernet-by-mac: ['connection.id', 'ethernet.mtu'] differ, and"),
        (BEFORE + "gone=1\n", "ethernet-by-mac: other settings: ['ethernet.gone']"),
    ],
)
def test_what_network_manager_reads_otherwise_is_told(after, fault):
    """The reading itself is that of virtual machines, tests/lab/test_qemu_nic_corpus.py."""
    found = keyfiles.wrong("ethernet-by-mac", keyfiles.settings_of(BEFORE), keyfiles.settings_of(after))
    assert found.startswith(fault)
    assert bool(found) is bool(fault)
