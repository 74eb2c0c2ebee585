# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is replaced in a text, by what, and what stays: equal ones stay equal, networks networks, roles roles."""

from __future__ import annotations

import ipaddress
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.railyard.sglang.plugins.module_utils.bundle import hostnames, replacing
from ansible_collections.railyard.sglang.plugins.module_utils.bundle.replacing import Replacing

FUZZ = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
ULA = "fd12" + ":3456:789a:1::"
TEN, HOME = "10.", "/home"


def replaced(texts: list[str], names: list[str] | None = None, versions: list[str] | None = None) -> list[str]:
    """Return the new ones of some texts."""
    made = Replacing(names or [], versions or [])
    for text in texts:
        assert made.text(text) == text
    made.settle()
    return [made.text(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "new"),
    [
        (f"host='{TEN}0.0.5', http://{TEN}0.0.5:30000", "host='203.0.113.5', http://203.0.113.5:30000"),
        (f"{TEN}0.0.5/24 in {TEN}0.0.0/24, not {TEN}0.1.5.", "203.0.113.5/24 in 203.0.113.0/24, not 198.51.100.5."),
        (f"::ffff:{TEN}0.0.5", "::ffff:203.0.113.5"),
        (f"ip-{TEN.replace('.', '-')}0-0-5 is {TEN}0.0.5", "ip-203-0-113-5 is 203.0.113.5"),
        (f"[{ULA}5]:80 {ULA}6, addr:{ULA}5: x", "[2001:db8:0:1::1]:80 2001:db8:0:1::2, addr:2001:db8:0:1::1: x"),
        ("fe80::ba59:9fff:fe65:4321%eth0", "fe80::ba59:9fff:fe00:1%eth0"),
        ("b8:59:9f:65:43:21 B8:59:9F:65:43:21 b8-59-9f-65-43-21", "b8:59:9f:00:00:01 b8:59:9f:00:00:01 b8-59-9f-00-00-01"),
        ("MAC:b8:59:9f:65:43:21,", "MAC:b8:59:9f:00:00:01,"),
        ("b859:9f03:0065:4321 0xb8599f0300654321 b8599f0300654321", "b859:9f03:0000:0001 0xb8599f0300000001 b8599f0300000001"),
        ("fe80:0000:0000:0000:ba59:9fff:fe65:4321", "fe80:0000:0000:0000:ba59:9fff:fe00:0001"),
        ("00:00:00:00:00:00:00:00:00:00:ff:ff:c0:00:02:05 192.0.2.5",
         "00:00:00:00:00:00:00:00:00:00:ff:ff:cb:00:71:05 203.0.113.5"),
        ("enxb8599f654321: renamed from eth0", "enxb8599f000001: renamed from eth0"),
        ("GPU-5fd4f087-86f3-7a43-b711-4771313afc50", "GPU-00000000-0000-4000-8000-000000000001"),
        ('"serial_number": "MT2231X09999" of MT2231X09999', '"serial_number": "000000000001" of 000000000001'),
        ("Serial Number: 0321521012345", "Serial Number: 0100000000001"),
        (f"{HOME}/ann/.cache and {HOME}/bob", f"{HOME}/account1/.cache and {HOME}/account2"),
    ],
)  # fmt: skip
def test_forms(text: str, new: str) -> None:
    assert replaced([text]) == [new]


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0:8000 127.0.0.1 ::1 [::]:30000 :: 255.255.255.0 224.0.0.1 8.8.8.8 2001:4860:4860::8888",
        "2026-03-02T08:01:03.498897 08:01:03 [TP0] 12:34:56:789 0000:9a:00.1 0000:d0:00 PCI:0000:9a:00.1 00000000:9A:00.0",
        "smg::core::worker std::bad_alloc c10::Error a::b torch::detail::add::face",
        "nvidia-curand-cu12==10.3.9.90 torch-2.9.1.0-cp312-linux.whl cuDNN version 9.24.0.43 v1.2.3.4 release: 4.18.0.553",
        "0x7f3c20000000 0x00007f3c20000000 d41d8cd98f00b204e9800998ecf8427e 9f2c1e77a0b34c5d 256.1.1.1 1.2.3.4.5 1.2.3",
        "uuid: none, serial: 8 ports, http://huggingface.co/x https://pypi.org/simple http://router:8000 http://localhost",
        "sglang-prefill-0.service TP13 EP13 D0 D3cold",
    ],
)
def test_what_stays(text: str) -> None:
    assert replaced([text], ["prefill-0", "router", "203.0.113.1", "d0", "localhost"]) == [text]


def test_versions_that_are_known_stay_and_addresses_that_look_like_them_go() -> None:
    text = '"curand": "VERSION", "host": "ADDRESS"'.replace("VERSION", f"{TEN}3.9.90")
    new = replaced([text.replace("ADDRESS", f"{TEN}3.9.91")], versions=[f"{TEN}3.9.90"])
    assert new == [text.replace("ADDRESS", "203.0.113.91")]


@pytest.mark.parametrize(
    ("names", "text", "new"),
    [
        (["gpu7", "GPU8"], "gpu7:30000 GPU8 GPU7 gpu78 xgpu7 gpu7-br http://gpu7/ gpu8.log",
         "host1:30000 host2 GPU7 gpu78 xgpu7 host1-br http://host1/ host2.log"),
        (["kea7"], "KEA7 Kea7 kea7_x", "host1 host1 host1_x"),
        (["p0", "d0"], "p0:512:512 P0 TP0 p0. 0000:d0:00.1 d0 b8:3f:d2:e3:d0:2a",
         "host1:512:512 P0 TP0 host1. 0000:d0:00.1 host2 b8:3f:d2:00:00:01"),
        # A qualified name and its first part; a host of the same domain; a name without digits has none later either.
        (["kea7.dc.acme.io"], "kea7 kea7.dc.acme.io filer.dc.acme.io", "host1 host1.site1.example host-a.site1.example"),
        (["kea.dc.acme.io", "kea"], "kea kea.dc.acme.io", "host-a host-a.site1.example"),
        # What is read from a name is read from the new one.
        (["acme-prefill-03", "acme-router"], "acme-prefill-03 acme-router", "host1-prefill-03 host-a-router"),
        (["prefill-0", "decode1", "router"], "prefill-0 decode1 router", "prefill-0 decode1 router"),
        (["prefill-0.dc.acme.io"], "prefill-0.dc.acme.io prefill-0", "prefill-0.site1.example prefill-0"),
        # New names are no old ones.
        (["host1", "host2"], "host1 host2", "host3 host4"),
        # Names in links are learned.
        ([], "s3://wal7/x http://ann@orca.acme.io:9000/y then orca.acme.io",
         "s3://host1/x http://ann@host-a.site1.example:9000/y then host-a.site1.example"),
        (["kea.local", "moa.localdomain"], "kea.local moa.localdomain", "host-a.local host-b.localdomain"),
    ],
)  # fmt: skip
def test_host_names(names: list[str], text: str, new: str) -> None:
    assert replaced([text], names) == [new]


@pytest.mark.parametrize("name", ["kea7", "kea-p0", "kea", "7kea"])
@pytest.mark.parametrize("escape", ["\\n", "\\t", "%20", "%3D", "\\u0020", "\\x20", "\x1b[0m", "\x1b[1;31m", "\\u001b[32m", "\x1b[K"])
def test_host_names_beside_an_escape(name: str, escape: str) -> None:
    found = replaced([f"of{escape}{name}{escape} x"], [name])[0]
    assert name not in found
    assert found.startswith(f"of{escape}host")
    assert found.endswith(f"{escape} x")


def test_the_pairs_are_told() -> None:
    made = Replacing(["gpu7"])
    text = f"gpu7 {TEN}0.0.5 b8:59:9f:65:43:21 {TEN}0.0.5"
    made.text(text)
    made.settle()
    made.text(text)
    assert made.pairs == {
        "host names": {"gpu7": "host1"},
        "addresses": {f"{TEN}0.0.5": "203.0.113.5"},
        "hardware addresses": {"b8:59:9f:65:43:21": "b8:59:9f:00:00:01"},
    }
    assert made.places["addresses"] == 2


def test_what_was_not_learned_is_not_told() -> None:
    made = Replacing()
    made.settle()
    assert made.text(f"a {TEN}0.0.5 b b8:59:9f:65:43:21 c") == "a ? b ? c"


def test_many_clients_keep_their_networks() -> None:
    rows = [f"{TEN}{number >> 8}.{number & 255}.{host}" for number in range(1000) for host in (1, 9)]
    new = replaced(rows)
    assert len(set(new)) == len(rows)
    assert not set(rows) & set(new)
    assert all(one.rpartition(".")[0] == other.rpartition(".")[0] for one, other in zip(new[::2], new[1::2], strict=True))
    assert len({text.rpartition(".")[0] for text in new}) == 1000


ADDRESS = st.ip_addresses().filter(lambda value: not (value.is_loopback or value.is_multicast or value.is_unspecified))


@FUZZ
@given(st.lists(ADDRESS, min_size=1, max_size=20))
def test_one_for_each_and_networks_of_hosts_stay_networks(addresses: list[ipaddress.IPv4Address | ipaddress.IPv6Address]) -> None:
    rows = [str(address) for address in dict.fromkeys(addresses)]
    new = replaced([f"<{row}>" for row in rows])
    assert len(set(new)) == len(rows)

    def network(text: str) -> str:
        address = ipaddress.ip_address(text.strip("<>"))
        return str(ipaddress.ip_network((address, 24 if address.version == 4 else 64), strict=False))

    pairs = {(network(row), network(text)) for row, text in zip(rows, new, strict=True)}
    plain = [(old, text) for old, text in pairs if not old.startswith(("0.", "169.254.", "::", "fe80", *map(str, range(240, 256))))]
    assert len({old for old, _new in plain}) == len({text for _old, text in plain}) == len(plain)


@FUZZ
@given(st.lists(st.text("ab01.-", min_size=1, max_size=8), max_size=8), st.text("ab01.- :/", max_size=60))
def test_names_in_any_text(names: list[str], text: str) -> None:
    made = Replacing(names)
    made.text(text)
    made.settle()
    new = made.text(text)
    for name in filter(hostnames.nameable, names):
        if not replacing._is_address(name) and "." not in name:
            assert not re.search(rf"(?<![A-Za-z0-9.:-]){re.escape(name)}(?![A-Za-z0-9.:-])", new), (name, text, new)


@pytest.mark.parametrize("words", [[], ["a"], ["a", "ab", "abc", "b.c"], ["x1", "x2", "y"]])
def test_a_pattern_of_words(words: list[str]) -> None:
    form = re.compile(hostnames.pattern(words))
    assert [word for word in [*words, "zz", ""] if form.fullmatch(word)] == words
