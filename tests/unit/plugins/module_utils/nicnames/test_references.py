# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of rewriting the files of known structure: what changes, what stays, what is told."""

from __future__ import annotations

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import linkfile, references
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic, Reference

CONNECTIONS = "/etc/NetworkManager/system-connections"
SCRIPTS = "/etc/sysconfig/network-scripts"
NAMES = {"enp1s0": "roce0", "enp2s0": "roce1", "eth2": "eth3", "eth3": "eth2"}

#: File to content before and after; the line numbers and names of what is not understood; the path after, where it is another one.
CASES = {
    "keyfile of a card": (
        f"{CONNECTIONS}/enp1s0.nmconnection",
        "# enp1s0 is rail 0\r\n[connection]\r\n id = enp1s0 \r\ninterface-name=enp1s0\r\nuuid=x\r\n\r\n[ethernet]\r\nmtu=9000",
        "# enp1s0 is rail 0\r\n[connection]\r\n id = roce0 \r\ninterface-name=roce0\r\nuuid=x\r\n\r\n[ethernet]\r\nmtu=9000",
        [],
        f"{CONNECTIONS}/roce0.nmconnection",
    ),
    "keyfile whose id is a label": (
        f"{CONNECTIONS}/rail.nmconnection",
        "[connection]\nid=System enp1s0\ninterface-name=enp1s0\n",
        "[connection]\nid=System enp1s0\ninterface-name=roce0\n",
        [(2, "enp1s0")],
        "",
    ),
    "swap": (
        f"{CONNECTIONS}/eth2.nmconnection",
        "[connection]\nid=eth2\ninterface-name=eth2\n[bond]\nprimary=eth3\n",
        "[connection]\nid=eth3\ninterface-name=eth3\n[bond]\nprimary=eth2\n",
        [],
        f"{CONNECTIONS}/eth3.nmconnection",
    ),
    "keyfile of the old way without a suffix": (
        f"{CONNECTIONS}/enp1s0",
        "[connection]\nid=enp1s0\n",
        "[connection]\nid=roce0\n",
        [],
        f"{CONNECTIONS}/roce0",
    ),
    "keyfile bound by the address": (
        f"{CONNECTIONS}/a.nmconnection",
        "[connection]\nid=enp1s0\n[802-3-ethernet]\nmac-address=02:00:00:00:00:01\n",
        "[connection]\nid=roce0\n[802-3-ethernet]\nmac-address=02:00:00:00:00:01\n",
        [],
        "",
    ),
    "bond": (
        f"{CONNECTIONS}/bond0.nmconnection",
        "[connection]\ninterface-name=bond0\n[bond]\nprimary=enp1s0\nactive_slave=enp2s0\nactive-slave=enp2s0\nmode=active-backup\n"
        "options=mode=active-backup,primary=enp1s0\n[bond-port]\nprio=1\n",
        "[connection]\ninterface-name=bond0\n[bond]\nprimary=roce0\nactive_slave=roce1\nactive-slave=roce1\nmode=active-backup\n"
        "options=mode=active-backup,primary=roce0\n[bond-port]\nprio=1\n",
        [],
        "",
    ),
    "port of a card, by both words": (
        f"{CONNECTIONS}/p.nmconnection",
        "[connection]\nmaster=enp1s0\ncontroller=enp1s0\nslave-type=bridge\n",
        "[connection]\nmaster=roce0\ncontroller=roce0\nslave-type=bridge\n",
        [],
        "",
    ),
    "VLAN keeps a name that is made of the old one": (
        f"{CONNECTIONS}/enp1s0.100.nmconnection",
        "[connection]\nid=v\ntype=vlan\ninterface-name=enp1s0.100\n[vlan]\nid=100\nparent=enp1s0\n",
        "[connection]\nid=v\ntype=vlan\ninterface-name=enp1s0.100\n[vlan]\nid=100\nparent=roce0\n",
        [(0, "enp1s0"), (4, "enp1s0")],
        "",
    ),
    "VLAN without a name is called after its parent": (
        f"{CONNECTIONS}/v.nmconnection",
        "[connection]\ntype=vlan\n[vlan]\nid=100\nparent=enp1s0\n",
        "[connection]\ntype=vlan\n[vlan]\nid=100\nparent=roce0\n",
        [(5, "enp1s0")],
        "",
    ),
    "match": (
        f"{CONNECTIONS}/m.nmconnection",
        "[match]\ninterface-name=enp1s0;!enp2s0;|eth2;&!eth3;eth20;\n",
        "[match]\ninterface-name=roce0;!roce1;|eth3;&!eth2;eth20;\n",
        [],
        "",
    ),
    "match by pattern": (
        f"{CONNECTIONS}/m.nmconnection",
        "[match]\ninterface-name=enp*;eth*;*\n",
        None,
        [(2, "enp1s0"), (2, "enp2s0")],
        "",
    ),
    "match by a pattern that the new name fits": (
        f"{CONNECTIONS}/m.nmconnection",
        "[match]\ninterface-name=ro?e0\n",
        None,
        [(2, "enp1s0")],
        "",
    ),
    "routing rules and options of routes": (
        f"{CONNECTIONS}/r.nmconnection",
        "[ipv4]\nroute1=192.0.2.0/24,198.51.100.1\nroute1_options=table=100,dev=enp1s0\n"
        "routing-rule1=priority 5 iif enp1s0 oif  enp2s0 table 100\n"
        "[ipv6]\nrouting-rule2=priority 6 from ::/0 iif enp1s0.5 table 7\n",
        "[ipv4]\nroute1=192.0.2.0/24,198.51.100.1\nroute1_options=table=100,dev=roce0\n"
        "routing-rule1=priority 5 iif roce0 oif  roce1 table 100\n"
        "[ipv6]\nrouting-rule2=priority 6 from ::/0 iif enp1s0.5 table 7\n",
        [(6, "enp1s0")],
        "",
    ),
    "traffic control": (
        f"{CONNECTIONS}/t.nmconnection",
        "[tc]\ntfilter.parent ffff:=matchall action mirred egress redirect dev enp1s0\n",
        "[tc]\ntfilter.parent ffff:=matchall action mirred egress redirect dev roce0\n",
        [],
        "",
    ),
    "not understood": (
        f"{CONNECTIONS}/u.nmconnection",
        '[team]\nconfig={"ports": {"enp1s0": {}}}\n[user]\norg.x=enp1s0 and enp2s0\n[ipv6]\ndns=fe80::1%enp1s0;\n',
        None,
        [(2, "enp1s0"), (4, "enp1s0"), (4, "enp2s0"), (6, "enp1s0")],
        "",
    ),
    "a key": (f"{CONNECTIONS}/k.nmconnection", "[ovs-external-ids]\ndata.enp1s0=x\n", None, [(2, "enp1s0")], ""),
    "a secret is no reference": (
        f"{CONNECTIONS}/w.nmconnection",
        "[wifi-security]\npsk=enp1s0\n[vpn-secrets]\nx=enp1s0\n",
        None,
        [],
        "",
    ),
    "bytes that are no UTF-8, odd lines and longer names": (
        f"{CONNECTIONS}/o.nmconnection",
        "\xff\xfe;\n[connection]\nid=\xe9enp1s0\ninterface-name=enp1s0np0\nzone=enp1s0\njunk enp1s0\n[ipv4]\n"
        "x=xenp1s0 enp1s0x br-enp1s0 enp1s0-1\n",
        None,
        [(3, "enp1s0"), (6, "enp1s0")],
        "",
    ),
    "ifcfg": (
        f"{SCRIPTS}/ifcfg-enp1s0",
        '# enp1s0\nDEVICE="enp1s0"\nNAME=\'enp1s0\'  # rail\nHWADDR=02:00:00:00:00:01\nTYPE=Ethernet\n'
        'ROUTING_RULE_0="priority 5 iif enp1s0 table 7"',
        '# enp1s0\nDEVICE="roce0"\nNAME=\'roce0\'  # rail\nHWADDR=02:00:00:00:00:01\nTYPE=Ethernet\n'
        'ROUTING_RULE_0="priority 5 iif roce0 table 7"',
        [],
        f"{SCRIPTS}/ifcfg-roce0",
    ),
    "ifcfg of an alias": (f"{SCRIPTS}/ifcfg-enp1s0:1", "DEVICE=enp1s0:1\n", "DEVICE=roce0:1\n", [], f"{SCRIPTS}/ifcfg-roce0:1"),
    "ifcfg of a bond": (
        f"{SCRIPTS}/ifcfg-bond0",
        'DEVICE=bond0\nBONDING_OPTS="mode=1 primary=enp1s0 active_slave=enp2s0"\n',
        'DEVICE=bond0\nBONDING_OPTS="mode=1 primary=roce0 active_slave=roce1"\n',
        [],
        "",
    ),
    "ifcfg of a VLAN": (
        f"{SCRIPTS}/ifcfg-enp1s0.100",
        "DEVICE=enp1s0.100\nPHYSDEV=enp1s0\nVLAN=yes\n",
        "DEVICE=enp1s0.100\nPHYSDEV=roce0\nVLAN=yes\n",
        [(0, "enp1s0"), (1, "enp1s0")],
        "",
    ),
    "ifcfg, not understood": (
        f"{SCRIPTS}/ifcfg-x",
        'ETHTOOL_OPTS="-G enp1s0 rx 8192"\nif test enp1s0; then DEVICE=enp1s0; fi\nKEY1=enp1s0\nNAME="System enp1s0"\n'
        'MATCH_INTERFACE_NAME="enp1s0 !en*"\n',
        'ETHTOOL_OPTS="-G enp1s0 rx 8192"\nif test enp1s0; then DEVICE=enp1s0; fi\nKEY1=enp1s0\nNAME="System enp1s0"\n'
        'MATCH_INTERFACE_NAME="roce0 !en*"\n',
        [(1, "enp1s0"), (2, "enp1s0"), (4, "enp1s0"), (5, "enp1s0"), (5, "enp2s0")],
        "",
    ),
    "routes": (
        f"{SCRIPTS}/route-enp1s0",
        "192.0.2.0/24 via 198.51.100.1 dev enp1s0 table 7\nADDRESS0=192.0.2.0\n",
        "192.0.2.0/24 via 198.51.100.1 dev roce0 table 7\nADDRESS0=192.0.2.0\n",
        [],
        f"{SCRIPTS}/route-roce0",
    ),
    "rules": (f"{SCRIPTS}/rule6-enp1s0", "iif enp1s0 table 7", "iif roce0 table 7", [], f"{SCRIPTS}/rule6-roce0"),
    "keys": (f"{SCRIPTS}/keys-enp1s0", "WPA_PSK=enp1s0\n", None, [], f"{SCRIPTS}/keys-roce0"),
    "link of others": (
        "/etc/systemd/network/10-enp1s0.link",
        "[Match]\nOriginalName=enp1s0\n[Link]\nName = enp1s0\nAlternativeName=enp1s0\n",
        "[Match]\nOriginalName=enp1s0\n[Link]\nName = roce0\nAlternativeName=enp1s0\n",
        [(0, "enp1s0"), (2, "enp1s0"), (5, "enp1s0")],
        "",
    ),
    "udev": (
        "/etc/udev/rules.d/70-persistent-net.rules",
        '# enp1s0\nSUBSYSTEM=="net", ATTR{address}=="02:00:00:00:00:01", \\\n  NAME="enp1s0"\n'
        'KERNEL=="enp1s0", RUN+="/sbin/ethtool -K enp1s0"\nNAME:="eth2"',
        '# enp1s0\nSUBSYSTEM=="net", ATTR{address}=="02:00:00:00:00:01", \\\n  NAME="roce0"\n'
        'KERNEL=="enp1s0", RUN+="/sbin/ethtool -K enp1s0"\nNAME:="eth3"',
        [(4, "enp1s0")],
        "",
    ),
    "sysctl": (
        "/etc/sysctl.d/90-rails.conf",
        "# net.ipv4.conf.enp1s0.rp_filter=2\nnet.ipv4.conf.enp1s0.rp_filter = 2\n-net/ipv6/conf/enp2s0/disable_ipv6=1\n"
        "net.ipv4.neigh.eth2.gc_stale_time=60\n"
        "net.ipv4.conf.enp1s0/100.rp_filter=1\nnet/ipv4/conf/enp1s0.100/rp_filter=1\nnet.ipv4.conf.enp*.arp_ignore=1\n"
        "net.core.x=enp1s0\n-net.ipv4.conf.enp1s0.arp_filter",
        "# net.ipv4.conf.enp1s0.rp_filter=2\nnet.ipv4.conf.roce0.rp_filter = 2\n-net/ipv6/conf/roce1/disable_ipv6=1\n"
        "net.ipv4.neigh.eth3.gc_stale_time=60\n"
        "net.ipv4.conf.enp1s0/100.rp_filter=1\nnet/ipv4/conf/enp1s0.100/rp_filter=1\nnet.ipv4.conf.enp*.arp_ignore=1\n"
        "net.core.x=enp1s0\n-net.ipv4.conf.roce0.arp_filter",
        [(5, "enp1s0"), (6, "enp1s0"), (7, "enp1s0"), (7, "enp2s0"), (8, "enp1s0")],
        "",
    ),
    "zone": (
        "/etc/firewalld/zones/fabric.xml",
        '<zone>\n <!-- <interface name="enp1s0"/> -->\n <short>enp1s0</short>\n <interface name=\'enp1s0\'/><interface  name="enp2s0" />\n'
        ' <interface name="enp1s0.100"/>\n <interface name="enp+"/>\n <interface name="eth2"/>\n</zone>\n',
        '<zone>\n <!-- <interface name="enp1s0"/> -->\n <short>enp1s0</short>\n <interface name=\'roce0\'/><interface  name="roce1" />\n'
        ' <interface name="enp1s0.100"/>\n <interface name="enp+"/>\n <interface name="eth3"/>\n</zone>\n',
        [(3, "enp1s0"), (5, "enp1s0"), (6, "enp1s0"), (6, "enp2s0")],
        "",
    ),
    "comments of keyfiles": (f"{CONNECTIONS}/c.nmconnection", "#[x]\n# was=enp1s0\n", None, [], ""),
    "commands in an ifcfg file": (f"{SCRIPTS}/ifcfg-x", "ip link set dev enp1s0 up\n", None, [(1, "enp1s0")], ""),
    "link of others with a name like ours": ("/etc/systemd/network/70-enp1s0.link", "[Link]\n", None, [(0, "enp1s0")], ""),
    "a copy that NetworkManager loads all the same": (
        f"{CONNECTIONS}/enp1s0.nmconnection.bak",
        "[connection]\nid=enp1s0\n",
        "[connection]\nid=roce0\n",
        [(0, "enp1s0")],
        "",
    ),
    "backup": (f"{CONNECTIONS}/enp1s0.nmconnection~", "[connection]\ninterface-name=enp1s0\n", None, [], ""),
    "another file": ("/etc/nccl.conf", "NCCL_SOCKET_IFNAME=enp1s0\n", None, [], ""),
}


@pytest.mark.parametrize("case", CASES)
def test_rewriting_changes_the_names_alone(case):
    path, before, after, unclear, moved = CASES[case]
    found = references.rewrite(path, before.encode("latin-1"), NAMES)
    assert found.content.decode("latin-1") == (before if after is None else after)
    assert sorted((place.line, place.name) for place in found.unclear) == sorted(unclear)
    assert found.path == (moved or path)
    assert all(place.path == path for place in found.unclear)


def test_a_reference_shows_the_line():
    path = "/etc/udev/rules.d/70-x.rules"
    found = references.rewrite(path, b'# rails\nKERNEL=="enp1s0", RUN+="/bin/x"\r\n', NAMES)
    assert found.unclear == (Reference(path, 2, "enp1s0", 'KERNEL=="enp1s0", RUN+="/bin/x"'),)


def test_a_link_file_of_ours_follows_its_name():
    nic = Nic("enp1s0", permanent_mac="02:00:00:00:00:01", driver="mlx5_core")
    found = references.rewrite(linkfile.path("enp1s0"), linkfile.text("enp1s0", nic, 252), NAMES)
    assert found == references.Rewritten(linkfile.path("roce0"), linkfile.text("roce0", nic, 252))


@pytest.mark.parametrize(
    ("path", "content", "worth"),
    [
        ("/etc/sysctl.conf", b"", True),
        ("/etc/sysctl.d/a.conf", b"", True),
        ("/etc/sysctl.d/.a.conf", b"", False),
        ("/etc/sysctl.d/deep/a.conf", b"", False),
        ("/usr/lib/sysctl.d/a.conf", b"", False),
        (f"{CONNECTIONS}/a.nmconnection", b"", True),
        (f"{CONNECTIONS}/.a.nmconnection.XYZ", b"", False),
        (f"{CONNECTIONS}/a.nmconnection~", b"", False),
        (f"{CONNECTIONS}/a.nmconnection.bak", b"", True),
        (f"{CONNECTIONS}/a.nmconnection.Xy12Zz", b"", False),
        (f"{CONNECTIONS}/a.pem", b"", False),
        (f"{CONNECTIONS}/.a.nmconnection.swp", b"", False),
        (f"{CONNECTIONS}/a.SWP", b"", False),
        (f"{CONNECTIONS}/3c1b7d0a-5b7e-4b3a-9d59-2c4f6a1d9a10.nmmeta", b"", False),
        (f"{CONNECTIONS}/a.unfinished", b"", True),
        (f"{CONNECTIONS}/.a.unfinished", b"", False),
        ("/run/NetworkManager/system-connections/a.nmconnection.bak", b"", False),
        ("/run/NetworkManager/system-connections/a.nmconnection", b"", True),
        (f"{SCRIPTS}/ifcfg-a.rpmsave", b"", False),
        (f"{SCRIPTS}/ifup-eth", b"", False),
        ("/etc/systemd/network/70-a.link.d/b.conf", b"", True),
        ("/etc/udev/rules.d/a.rules", b"", True),
        ("/usr/lib/udev/rules.d/80-net-setup-link.rules", b'NAME=="", ENV{ID_NET_NAME}!="", NAME="$env{ID_NET_NAME}"\n', True),
        ("/usr/lib/udev/rules.d/75-net-description.rules", b'NAME=="x", IMPORT{builtin}="net_id"\n# NAME="eth0"\n', False),
        ("/etc/firewalld/zones/public.xml", b"", True),
        ("/etc/firewalld/zones/public.xml.old", b"", False),
    ],
)
def test_which_files_are_looked_at(path, content, worth):
    assert references.worth(path, content) is worth


def test_which_files_must_not_be_written():
    assert references.shadowed("/run/NetworkManager/system-connections/a.nmconnection")
    assert references.shadowed("/usr/lib/systemd/network/a.link")
    assert not references.shadowed(f"{CONNECTIONS}/a.nmconnection")
