# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of which names an interface may get."""

from __future__ import annotations

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import names

GOOD = ("roce0", "roce10", "r", "rail_0", "rail-0", "gpu0", "ethernet", "ib", "ibrail", "fabric0", "a23456789012345", "mlx5_0", "loop")
BAD = {
    "": "empty",
    "a234567890123456": "15 characters",
    "0roce": "begin with a letter",
    "-x": "begin with a letter",
    "_nn4": "begin with a letter",
    "Roce0": "15 characters",
    "roce.0": "15 characters",
    "roce:0": "15 characters",
    "roce 0": "15 characters",
    "roce/0": "15 characters",
    "roce0\n": "15 characters",
    "rocé0": "15 characters",
    "eth%d": "15 characters",
    "roce٣": "15 characters",
    "eth0": "the kernel itself",
    "eth10x": "the kernel itself",
    "ib9": "the kernel itself",
    "ibp1s0": "the kernel itself",
    "ibs3": "the kernel itself",
    "usb": "the kernel itself",
    "usb0": "the kernel itself",
    "enp1s0": "udev itself",
    "eno1": "udev itself",
    "wlan0": "udev itself",
    "wwan0": "udev itself",
    "slip0": "udev itself",
    "bond0": "bonds and bridges",
    "bond_a": "bonds and bridges",
    "br0": "bonds and bridges",
    "br-lan": "bonds and bridges",
    "lo": "loopback",
    "all": "settings for all",
    "default": "settings for all",
}


@pytest.mark.parametrize("name", GOOD)
def test_names_that_an_interface_may_have(name):
    assert names.wrong(name) == ""


@pytest.mark.parametrize("name", BAD)
def test_names_that_are_refused_with_the_reason_and_the_way_out(name):
    assert BAD[name] in names.wrong(name)
    assert "Fix: " in names.wrong(name)
