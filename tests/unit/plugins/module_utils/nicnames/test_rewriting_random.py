# SPDX-License-Identifier: GPL-3.0-or-later
"""Rewriting with random names and texts: there and back is where it began, and names that do not occur change nothing."""

from __future__ import annotations

import itertools
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import keyfile, masking, references, tokens, udevrules
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic

CORPUS = os.path.join(os.path.dirname(__file__), "corpus")
POOL = ("enp1s0", "enp2s0", "enp108s0f1np1", "eth0", "eth1", "eth10", "roce0", "roce1", "roce-1", "r", "a_b")

#: A path of each kind of file, and pieces that such files are made of.
PIECES = {
    "/etc/NetworkManager/system-connections/NAME.nmconnection": (
        "[connection]",
        "id=NAME",
        "interface-name=NAME",
        " master = NAME ",
        "controller=NAME",
        "[bond]",
        "primary=NAME",
        "options=mode=1,primary=NAME,active_slave=NAME",
        "[match]",
        "interface-name=NAME;!NAME;|NAME.5;&NAME*",
        "[ipv4]",
        "routing-rule1=priority 5 iif NAME oif NAME table 1",
        "route1_options=dev=NAME,mtu=9000",
        "[vlan]",
        "parent=NAME",
        "id=5",
        "interface-name=NAME.5",
        "[wifi-security]",
        "psk=NAME",
        "# NAME",
        "NAME",
        "xNAME=NAMEx",
    ),
    "/etc/sysconfig/network-scripts/ifcfg-NAME": (
        "DEVICE=NAME",
        'DEVICE="NAME:1"',
        "NAME='NAME'",
        "PHYSDEV=NAME # NAME",
        'BONDING_OPTS="mode=1 primary=NAME"',
        "KEY=NAME",
        'X="NAME',
        "if NAME",
    ),
    "/etc/sysconfig/network-scripts/route-NAME": (
        "192.0.2.0/24 dev NAME",
        "192.0.2.0/24 via 192.0.2.1 dev NAME table 5 dev NAMEx",
        "# dev NAME",
    ),
    "/etc/systemd/network/70-NAME.link": (
        "[Match]",
        "OriginalName=NAME",
        "[Link]",
        "Name=NAME",
        "Name = NAME \\",
        "AlternativeName=NAME",
        "; NAME",
    ),
    "/etc/udev/rules.d/70-NAME.rules": ('KERNEL=="NAME", NAME="NAME"', 'NAME:="NAME", \\', ' ATTR{address}=="NAME"', "# NAME", "NAME"),
    "/etc/sysctl.d/NAME.conf": (
        "net.ipv4.conf.NAME.rp_filter = 1",
        "-net/ipv6/conf/NAME/mtu=9000",
        "net.ipv4.conf.NAME/5.x=1",
        "NAME",
        "#NAME",
        "x=NAME",
    ),
    "/etc/firewalld/zones/NAME.xml": (
        '<interface name="NAME"/>',
        "<interface name='NAME' />",
        "<!-- NAME",
        "-->",
        "NAME",
        '<interface name="NAME+"/>',
    ),
}

names = st.sampled_from(POOL)
filler = st.text(st.characters(max_codepoint=255), max_size=8)
ends = st.sampled_from(("\n", "\r\n", "\n\n", "", " \n", "\t\n"))


@st.composite
def files(draw):
    path = draw(st.sampled_from(sorted(PIECES)))
    text = ""
    for _number in range(draw(st.integers(0, 8))):
        piece = draw(st.one_of(st.sampled_from(PIECES[path]), filler))
        text += piece.replace("NAME", draw(names)) + draw(ends)
    return path.replace("NAME", draw(names)), text.encode("latin-1")


@st.composite
def permutations(draw):
    chosen = draw(st.lists(names, unique=True, min_size=1))
    return dict(zip(chosen, draw(st.permutations(chosen)), strict=True))


@settings(max_examples=400, deadline=None)
@given(files(), permutations())
def test_a_permutation_and_its_inverse_give_the_same_bytes(file, names):
    path, content = file
    there = references.rewrite(path, content, names)
    back = references.rewrite(there.path, there.content, {new: old for old, new in names.items()})
    assert (back.path, back.content) == file


@settings(max_examples=200, deadline=None)
@given(files())
def test_names_that_do_not_occur_change_nothing(file):
    found = references.rewrite(*file, {"zz0": "zz1", "zz1": "zz0", "zz2": "q"})
    assert (found.path, found.content, found.unclear) == (*file, ())


FRESH = {name: f"z{number}" for number, name in enumerate(POOL)}
BY_THE_LINE = tuple(path for path in PIECES if not path.endswith((".xml", ".rules", ".link")))


@settings(max_examples=400, deadline=None)
@given(files().filter(lambda file: any(os.path.dirname(file[0]) == os.path.dirname(path) for path in BY_THE_LINE)))
def test_an_old_name_that_is_left_is_told(file):
    """A name that is neither rewritten nor told would be lost at the next boot."""
    found = references.rewrite(*file, FRESH)
    told = {place.line for place in found.unclear}
    for number, line in enumerate(found.content.decode("latin-1").split("\n"), 1):
        text = line.strip()
        silent = text.startswith(("#", ";")) or masking.excerpt(text) != text
        if tokens.words(line.partition("#")[0], FRESH) and not silent:
            assert number in told, (number, line, found)


@settings(max_examples=200, deadline=None)
@given(files(), st.sampled_from(("68", "1500", "9000")))
def test_setting_one_value_leaves_the_others(file, value):
    def others(text):
        found = keyfile.entries(tokens.lines(text.decode("latin-1")))
        return [(entry.section, entry.key, entry.value) for entry in found if (entry.section, entry.key) != ("ethernet", "mtu")]

    content = file[1]
    written = keyfile.put(content, "ethernet", "mtu", value)
    assert keyfile.get(written, "ethernet", "mtu") == value
    assert keyfile.put(written, "ethernet", "mtu", value) == written
    assert others(written) == others(content)
    removed = keyfile.put(written, "ethernet", "mtu", None)
    assert keyfile.get(removed, "ethernet", "mtu") is None
    assert others(removed) == others(content)


@settings(max_examples=200, deadline=None)
@given(files())
def test_masking_twice_is_masking_once(file):
    path, content = file
    shown = masking.masked(path, content)
    assert masking.masked(path, shown.encode()) == shown
    assert shown.count("\n") <= content.count(b"\n")


@settings(max_examples=200, deadline=None)
@given(files())
def test_a_rules_file_without_the_names_of_a_device_gives_it_none(file):
    _path, content = file
    nic = Nic("enp1s0", permanent_mac="eth0", driver="x")
    assert udevrules.given(udevrules.without(content, nic), nic) == ""


@pytest.mark.parametrize("name", sorted(os.listdir(CORPUS)))
def test_real_keyfiles_through_many_permutations(name):
    with open(os.path.join(CORPUS, name), "rb") as stream:
        content = stream.read()
    path = "/etc/NetworkManager/system-connections/enp1s0.nmconnection"
    pool = ("enp1s0", "enp2s0", "bond0", "roce0")
    for mixed in itertools.permutations(pool):
        there = references.rewrite(path, content, dict(zip(pool, mixed, strict=True)))
        back = references.rewrite(there.path, there.content, dict(zip(mixed, pool, strict=True)))
        assert (back.path, back.content) == (path, content)
