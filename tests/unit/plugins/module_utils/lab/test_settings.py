# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.settings import Settings, bind_hosts, check_settings
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import Bind, HostRecord

P0 = HostRecord("p0", "prefill", "198.51.100.10", "203.0.113.10")
R0 = HostRecord("r0", "router", "198.51.100.210", "203.0.113.210")
GOOD = Settings("lab", Path("/c"), IPv4Network("198.51.100.0/24"), IPv4Network("203.0.113.0/24"), (P0, R0))


def test_good_settings() -> None:
    check_settings(GOOD)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"name": "my-lab"}, "name is 'my-lab'"),
        ({"cache": Path("c")}, "cache is 'c': it must be an absolute path"),
        ({"cache": Path("/a:b")}, "cache is '/a:b'"),
        ({"fabric_network": IPv4Network("198.51.0.0/16")}, "overlap"),
        ({"hosts": ()}, "hosts is empty"),
        ({"hosts": (P0, replace(P0, name="p1"))}, "host p1: management_address 198.51.100.10 is that of p0 already"),
        ({"hosts": (P0, replace(R0, name="p0"))}, "host p0 is listed more than once"),
        (
            {"hosts": (replace(P0, fabric_address="198.51.100.9"),)},
            "host p0: fabric_address 198.51.100.9 must be a host address",
        ),
        ({"hosts": (replace(P0, management_address="198.51.100.1"),)}, "other than the controller's 198.51.100.1"),
        ({"hosts": (replace(P0, management_address="198.51.100.255"),)}, "host p0: management_address"),
        ({"hosts": (replace(P0, management_address="p0"),)}, "host p0: management_address p0 must be"),
        (
            {"hosts": (replace(P0, name="prefill-host-0"),)},
            "host name 'prefill-host-0' must be 1 to 12 letters and digits",
        ),
    ],
)
def test_wrong_settings_name_value_and_rule(change: dict[str, Any], text: str) -> None:
    with pytest.raises(LabError) as raised:
        check_settings(replace(GOOD, **change))
    assert text in str(raised.value)


def test_binds_per_host() -> None:
    binds = [
        {"src": "/c/wheels", "dst": "/srv/wheels", "hosts": [], "writable_on": []},
        {"src": "/c/store", "dst": "/opt/store", "hosts": [], "writable_on": ["r0"]},
        {"src": "/data", "dst": "/data", "hosts": ["p0"], "writable_on": []},
    ]
    p0, r0 = bind_hosts([P0, R0], binds)
    assert p0.binds == (Bind("/c/wheels", "/srv/wheels"), Bind("/c/store", "/opt/store"), Bind("/data", "/data"))
    assert r0.binds == (Bind("/c/wheels", "/srv/wheels"), Bind("/c/store", "/opt/store", read_only=False))


@pytest.mark.parametrize("field", ["hosts", "writable_on"])
def test_bind_for_an_unknown_host(field: str) -> None:
    bind = {"src": "/s", "dst": "/s", "hosts": [], "writable_on": [], field: ["x9"]}
    with pytest.raises(LabError, match="bind /s names x9, which the lab does not have: it has p0, r0"):
        bind_hosts([P0, R0], [bind])
