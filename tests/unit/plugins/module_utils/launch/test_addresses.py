# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses and URLs."""

from __future__ import annotations

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import addresses


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("203.0.113.1", "http://203.0.113.1:80"),
        ("2001:db8::1", "http://[2001:db8::1]:80"),
        ("[2001:DB8::1]", "http://[2001:db8::1]:80"),
        ("head01.example.com", "http://head01.example.com:80"),
    ],
)
def test_url(text: str, url: str) -> None:
    assert addresses.url(text, 80) == url


@pytest.mark.parametrize("text", ["", "203.0.113", "1", "203.0.113.1/24", "203.0.113.1:80", "head01", "2001:db8::g"])
def test_not_an_address(text: str) -> None:
    assert addresses.parse(text) is None
    assert addresses.canonical(text) == text


@pytest.mark.parametrize(
    ("text", "good"), [("203.0.113.0/24", True), ("2001:db8::/32", True), ("203.0.113.0", False), ("x/8", False), ("", False)]
)
def test_network(text: str, good: bool) -> None:
    assert (addresses.network(text) is not None) is good


@pytest.mark.parametrize(
    ("text", "one"), [("2001:DB8:0:0::1", "2001:db8::1"), ("[2001:db8::1]", "2001:db8::1"), ("203.0.113.1", "203.0.113.1")]
)
def test_one_spelling(text: str, one: str) -> None:
    assert addresses.canonical(text) == one
