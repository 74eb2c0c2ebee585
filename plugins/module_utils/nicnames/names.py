# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which names an interface may get. The kernel takes nearly everything, programs on top of it do not."""

from __future__ import annotations

import re

#: The kernel's limit is 15 bytes. A dot breaks the paths of sysctl, a colon is an alias, capitals look like systemd's own names.
GOOD = re.compile(r"[a-z][a-z0-9_-]{0,14}")

#: Pattern to who uses such names.
RESERVED = (
    (re.compile(r"lo"), "it is the loopback device"),
    (re.compile(r"all|default"), "the kernel keeps its settings for all interfaces under that name"),
    (re.compile(r"eth[0-9].*|ib[a-z]*[0-9].*|usb.*"), "the kernel itself gives out such names and may give this one to another card"),
    (re.compile(r"(?:en|wl|ww|sl).*"), "udev itself gives out such names and may give this one to another card"),
    (re.compile(r"(?:bond|br).*"), "bonds and bridges have such names"),
)


def wrong(name: str) -> str:
    """Return why an interface must not have a name, with the way out; empty where it may."""
    if not GOOD.fullmatch(name):
        return (
            "it is not 1 to 15 characters of a-z, 0-9, '_' and '-' that begin with a letter. Fix: choose a name like roce0"
            if name
            else "it is empty. Fix: choose a name like roce0"
        )
    for pattern, reason in RESERVED:
        if pattern.fullmatch(name):
            return f"{reason}. Fix: choose a name like roce0"
    return ""
