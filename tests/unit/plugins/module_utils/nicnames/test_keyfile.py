# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of reading and editing keyfiles and ifcfg files by the line."""

from __future__ import annotations

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import ifcfg, keyfile
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Profile

UUID = "3c1b7d0a-5b7e-4b3a-9d59-2c4f6a1d9a10"

KEYFILE = b"""# of ours
[connection]
id=one
  uuid = %s
id = two words
#id=three
type=802-3-ethernet

[802-3-ethernet]
mtu=1500

# leads to the next one
[ipv4]
method=auto

[ethernet]
mtu=9000
mac-address=AA-BB-CC-00-00-01
""" % UUID.upper().encode()


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("connection", "id", "two words"),
        ("connection", "uuid", UUID.upper()),
        ("ethernet", "mtu", "1500"),
        ("802-3-ethernet", "mtu", "1500"),
        ("ethernet", "mac-address", None),
        ("ipv4", "method", "auto"),
        ("ipv4", "mtu", None),
        ("ipv6", "method", None),
    ],
)
def test_the_value_that_network_manager_takes(section, key, value):
    assert keyfile.get(KEYFILE, section, key) == value


@pytest.mark.parametrize("value", ["a=b", " led", "é"])
def test_values_with_odd_signs(value):
    written = keyfile.put(b"[a]\nx=1\n", "a", "x", value)
    assert keyfile.get(written, "a", "x") == value.strip()
    assert written == f"[a]\nx={value}\n".encode()


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        (b"[ethernet]\n mtu =  1500\n", "9000", b"[ethernet]\n mtu =  9000\n"),
        (b"[ethernet]\r\nmtu=1500\r\nx=1", "9000", b"[ethernet]\r\nmtu=9000\r\nx=1"),
        (b"[ethernet]\nmtu=1\nmtu=2", "9000", b"[ethernet]\nmtu=1\nmtu=9000"),
        (b"[802-3-ethernet]\nmtu=1", "9000", b"[802-3-ethernet]\nmtu=9000"),
        (b"[802-3-ethernet]\n[ipv4]\n", "9000", b"[802-3-ethernet]\nmtu=9000\n[ipv4]\n"),
        (b"[ethernet]\nx=1\n\n# of ipv4\n[ipv4]\n", "9000", b"[ethernet]\nx=1\nmtu=9000\n\n# of ipv4\n[ipv4]\n"),
        (b"[ethernet]\nx=1", "9000", b"[ethernet]\nx=1\nmtu=9000\n"),
        (b"[ipv4]\r\nmethod=auto\r\n", "9000", b"[ipv4]\r\nmethod=auto\r\n\r\n[ethernet]\r\nmtu=9000\r\n"),
        (b"[ipv4]", "9000", b"[ipv4]\n\n[ethernet]\nmtu=9000\n"),
        (b"", "9000", b"[ethernet]\nmtu=9000\n"),
        (b"# [ethernet]\n[ethernet]\nmtu=9000", "9000", b"# [ethernet]\n[ethernet]\nmtu=9000"),
        (b"[802-3-ethernet]\nmtu=1\n#mtu=2\nmtu=3\n[ethernet]\nmtu=4", None, b"[802-3-ethernet]\n#mtu=2\n[ethernet]\nmtu=4"),
        (b"[ipv4]\nmtu=1\n", None, b"[ipv4]\nmtu=1\n"),
        # What NetworkManager 1.42 and 1.52 do: beside a section of the full name, one of the short name is ignored.
        (b"[ethernet]\nmtu=1\n[802-3-ethernet]\n[ipv4]\n", "2", b"[ethernet]\nmtu=1\n[802-3-ethernet]\nmtu=2\n[ipv4]\n"),
        (b"[802-3-ethernet]\nmtu=1\n[ethernet]\nmtu=3\n", "2", b"[802-3-ethernet]\nmtu=2\n[ethernet]\nmtu=3\n"),
        (b"\xff\n[ethernet]\nmtu=1\n\xfe=\xfd\n", "2", b"\xff\n[ethernet]\nmtu=2\n\xfe=\xfd\n"),
    ],
)
def test_one_value_is_set_and_nothing_else_changes(before, value, after):
    assert keyfile.put(before, "ethernet", "mtu", value) == after
    assert keyfile.get(after, "ethernet", "mtu") == value


def test_a_value_of_several_lines_is_refused():
    with pytest.raises(ValueError, match="line break"):
        keyfile.put(b"", "ethernet", "mtu", "1\n[x]")


@pytest.mark.parametrize(
    ("content", "profile"),
    [
        (KEYFILE, Profile(UUID, "two words", "ethernet")),
        (b"[connection]\nid=e\n[ethernet]\nmac-address=AA-BB-CC-00-00-01\n", Profile("", "e", mac_address="aa:bb:cc:00:00:01")),
        (
            f"[connection]\nid=a\nuuid={UUID}\ntype=infiniband\ninterface-name=ib0\n[infiniband]\nmac-address=80:00".encode(),
            Profile(UUID, "a", "infiniband", interface_name="ib0", mac_address="80:00"),
        ),
        (b"[connection]\nid=b\ntype=bond\n[bond]\ninterface-name=bond0\n", Profile("", "b", "bond", interface_name="bond0")),
        (
            b"[connection]\nid=c\ntype=ethernet\n[ethernet]\nmac-address=0;17;34;51;68;255;\n",
            Profile("", "c", "ethernet", mac_address="00:11:22:33:44:ff"),
        ),
        (b"", Profile("", "")),
    ],
)
def test_which_connection_a_keyfile_is(content, profile):
    assert keyfile.profile(content) == profile


IFCFG = b"# DEVICE=x\nDEVICE=\"enp1s0\"\nUUID='%s'\nMTU=1500  # small\nexport HWADDR=AA:BB:CC:00:00:01\nTYPE=Ethernet\n" % UUID.encode()


@pytest.mark.parametrize(
    ("key", "value"), [("DEVICE", "enp1s0"), ("UUID", UUID), ("MTU", "1500"), ("HWADDR", "AA:BB:CC:00:00:01"), ("NAME", None)]
)
def test_values_of_ifcfg(key, value):
    assert ifcfg.get(IFCFG, key) == value


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        (b"MTU=1500 # small\n", "9000", b"MTU=9000 # small\n"),
        (b'MTU="1500"\r\nX=1\r\n', "9000", b'MTU="9000"\r\nX=1\r\n'),
        (b"MTU=1\nMTU='2'", "9000", b"MTU=1\nMTU='9000'"),
        (b"#MTU=1\nX=1", "9000", b"#MTU=1\nX=1\nMTU=9000\n"),
        (b"X=1\r\n", "9000", b"X=1\r\nMTU=9000\r\n"),
        (b"", "9000", b"MTU=9000\n"),
        (b"MTU=1\nX=1\nMTU=2", None, b"X=1\n"),
    ],
)
def test_one_value_of_ifcfg_is_set_and_nothing_else_changes(before, value, after):
    assert ifcfg.put(before, "MTU", value) == after
    assert ifcfg.get(after, "MTU") == value


@pytest.mark.parametrize("value", ["a b", "$(x)", "1\n2", "'"])
def test_a_value_of_ifcfg_that_needs_quotes_is_refused(value):
    with pytest.raises(ValueError, match="quotes"):
        ifcfg.put(b"", "MTU", value)


@pytest.mark.parametrize(
    ("content", "profile"),
    [
        (IFCFG, Profile(UUID, "enp1s0", "ethernet", interface_name="enp1s0", mac_address="aa:bb:cc:00:00:01")),
        (b'NAME="a b"\nDEVICE=ib0\nTYPE=InfiniBand\n', Profile("", "a b", "infiniband", interface_name="ib0")),
        (b"DEVICE=bond0\nBONDING_OPTS=mode=1\n", Profile("", "bond0", "bond", interface_name="bond0")),
        (b"DEVICE=a.5\nVLAN=yes\n", Profile("", "a.5", "vlan", interface_name="a.5")),
        (b"DEVICE=t\nDEVICETYPE=Team\n", Profile("", "t", "team", interface_name="t")),
    ],
)
def test_which_connection_an_ifcfg_file_is(content, profile):
    assert ifcfg.profile(content) == profile
