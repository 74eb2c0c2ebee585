# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of masking secrets in what people see."""

from __future__ import annotations

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import masking

KEYFILE = "/etc/NetworkManager/system-connections/a.nmconnection"
SCRIPTS = "/etc/sysconfig/network-scripts"
MARK = masking.MARK

SECRETS = [
    ("wifi-security", "psk"),
    ("802-11-wireless-security", "wep-key0"),
    ("wifi-security", "leap-password"),
    ("802-1x", "password"),
    ("802-1x", "password-raw"),
    ("802-1x", "private-key"),
    ("802-1x", "private-key-password"),
    ("802-1x", "phase2-private-key-password"),
    ("802-1x", "ca-cert-password"),
    ("802-1x", "pin"),
    ("gsm", "pin"),
    ("gsm", "password"),
    ("pppoe", "password"),
    ("macsec", "mka-cak"),
    ("wireguard", "private-key"),
    ("wireguard-peer.abc=", "preshared-key"),
    ("vpn", "password"),
    ("vpn-secrets", "anything"),
]
OPEN = [
    ("connection", "id"),
    ("wifi-security", "key-mgmt"),
    ("wifi-security", "psk-flags"),
    ("wifi", "ssid"),
    ("802-1x", "identity"),
    ("802-1x", "private-key-password-flags"),
    ("802-1x", "password-flags"),
    ("wireguard", "private-key-flags"),
    ("wireguard", "listen-port"),
    ("macsec", "mka-ckn"),
    ("ip-tunnel", "input-key"),
    ("ethernet", "mtu"),
    ("match", "interface-name"),
    ("infiniband", "p-key"),
]


@pytest.mark.parametrize(("section", "key"), SECRETS)
def test_secrets_of_keyfiles_do_not_show_even_where_they_change(section, key):
    shown = [
        masking.masked(KEYFILE, f"[{section}]\r\n {key} = {value}\r\n#{key}={value}\n[ipv4]\n".encode())
        for value in ("s1", "Geheim=2 #x")
    ]
    assert shown == [f"[{section}]\r\n {key} = {MARK}\r\n#{key}={MARK}\n[ipv4]\n"] * 2


@pytest.mark.parametrize(("section", "key"), OPEN)
def test_everything_else_of_keyfiles_shows(section, key):
    text = f"[{section}]\n{key}=value\n"
    assert masking.masked(KEYFILE, text.encode()) == text


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        (f"{SCRIPTS}/ifcfg-a", "DEVICE=a\nKEY=\"s1\"\nWPA_PSK='a b'\nMTU=9000\n", f"DEVICE=a\nKEY={MARK}\nWPA_PSK={MARK}\nMTU=9000\n"),
        (
            f"{SCRIPTS}/ifcfg-a",
            'IEEE_8021X_PASSWORD="a\nb"\n#KEY1=c\nKEY_MGMT=WPA-PSK',
            f"IEEE_8021X_PASSWORD={MARK}\n#KEY1={MARK}\nKEY_MGMT=WPA-PSK",
        ),
        (f"{SCRIPTS}/ifcfg-a", "MACSEC_MKA_CAK=0011\n", f"MACSEC_MKA_CAK={MARK}\n"),
        (f"{SCRIPTS}/keys-a", "ANY=x\r\nodd\n\nB='c\nd'", f"ANY={MARK}\r\n{MARK}\n\nB={MARK}"),
        ("/etc/systemd/network/a.link", "[Link]\nName=a\nWakeOnLanPassword=00:11\n", f"[Link]\nName=a\nWakeOnLanPassword={MARK}\n"),
        (
            "/etc/sysctl.d/a.conf",
            "net.ipv6.conf.a.stable_secret = ::1\nnet.ipv4.ip_forward=1",
            f"net.ipv6.conf.a.stable_secret = {MARK}\nnet.ipv4.ip_forward=1",
        ),
        ("/etc/firewalld/zones/a.xml", '<interface name="a"/>\n', '<interface name="a"/>\n'),
        (KEYFILE, "[wifi-security]\npsk=", "[wifi-security]\npsk="),
        (KEYFILE, "", ""),
    ],
)
def test_other_files(path, before, after):
    assert masking.masked(path, before.encode()) == after


def test_bytes_that_are_no_text_do_not_stop_it():
    assert masking.masked(KEYFILE, b"[wifi-security]\npsk=\xff\nx=\xfe\n") == f"[wifi-security]\npsk={MARK}\nx=\ufffd\n"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("iface=eth0 password=s1", f"iface=eth0 password={MARK}"),
        ('{"iface": "eth0", "token": "s1"}', f'{{"iface": "eth0", "token": {MARK}}}'),
        ("API_TOKEN='a b' tool eth0", f"API_TOKEN={MARK} tool eth0"),
        ("psk: s1 # eth0", f"psk: {MARK} # eth0"),
        ("tool --dev eth0", "tool --dev eth0"),
        ("wpa --iface eth0 --psk hunter2 -v", f"wpa --iface eth0 --psk {MARK} -v"),
        ("wpa --psk=hunter2 eth0", f"wpa --psk={MARK} eth0"),
        ("curl -u admin:s3cret --interface eth0 x", f"curl -u {MARK} --interface eth0 x"),
        ("curl --user 'admin:s3 cret' eth0", f"curl --user {MARK} eth0"),
        ("curl --interface eth0 http://admin:s3cret@192.0.2.1/x", f"curl --interface eth0 http://{MARK}@192.0.2.1/x"),
        ("curl http://admin:s3@cret@192.0.2.1/x", f"curl http://{MARK}@192.0.2.1/x"),
        ("curl -H 'Authorization: Bearer s3cret.s1' eth0", f"curl -H 'Authorization: {MARK}' eth0"),
        ("Authorization: Basic s3cret eth0", f"Authorization: {MARK}"),
        ("x bearer s3cret eth0", f"x bearer {MARK} eth0"),
        ("dev=eth0 api_key=s3cret", f"dev=eth0 api_key={MARK}"),
        ("x?apikey=s3cret&dev=eth0", f"x?apikey={MARK}&dev=eth0"),
        ("PrivateKey = s3cret", f"PrivateKey = {MARK}"),
        ("dbPassword: s3cret phrase of three # eth0", f"dbPassword: {MARK} # eth0"),
        ("password: s3cret phrase", f"password: {MARK}"),
        ("password = s3cret phrase", f"password = {MARK}"),
        ("neighbor eth0 password s3cret", f"neighbor eth0 password {MARK}"),
        ("{dev: eth0, secret: s3 cret, mtu: 9000}", f"{{dev: eth0, secret: {MARK}, mtu: 9000}}"),
        (f"wg eth0 {'s3cretAB' * 5}abc=", f"wg eth0 {MARK}"),
        (f"wg eth0 {'0a1b' * 8}", f"wg eth0 {MARK}"),
        ("passive: yes, bypass=1 dev eth0", "passive: yes, bypass=1 dev eth0"),
        ("a=b=c NCCL_SOCKET_IFNAME=eth0,eth1", "a=b=c NCCL_SOCKET_IFNAME=eth0,eth1"),
    ],
)
def test_an_excerpt_of_any_file(line, shown):
    found = masking.excerpt(line, ["eth0", "eth1"])
    assert found == shown
    assert "s3" not in found
    assert "cret" not in found.replace("secret", "")
    assert "cret" not in masking.excerpt(line).replace("secret", "")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("eth0", "eth0"),
        ("  ip link set dev eth0 up  \n", "...link set dev eth0 up"),
        ('[ "$1" = eth0 ] && logger up and more', '[ "$1" = eth0 ] && logger...'),
        ("a b c d eth0 e f g h i j k eth1 l m n o", "...b c d eth0 e f g ... i j k eth1 l m n..."),
        ("API_TOKEN=s3cret tool eth0", f"API_TOKEN={MARK} eth0"),
        ("password: one two eth0 three", f"password: {MARK} eth0 three"),
        # A secret that has the name in it is one all the same.
        ("password='eth0'", MARK),
        ("x" * 200 + "=eth0," + "y" * 200, "..." + "x" * 59 + "=eth0," + "y" * 59 + "..."),
    ],
)
def test_what_is_shown_of_a_line_is_what_is_around_the_names(line, shown):
    assert masking.around(line, ["eth0", "eth1"]) == shown
