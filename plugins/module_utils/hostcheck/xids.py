# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVIDIA's numbers of GPU reports that matter to a serving host, with what they mean.

Numbers: nverror.h of NVIDIA's open kernel modules, and the Xid catalog of NVIDIA's documentation (deploy/xid-errors) for those above 125.
Numbers that are not here are shown as notes.
"""

from __future__ import annotations

from typing import Dict, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import ERROR, NOTE, WARNING

# Errors leave a GPU that must be reset, rebooted or replaced. Warnings are hardware that heals itself or may come back.
# Notes are most often a fault of the program that ran.
XIDS: Dict[int, Tuple[str, str]] = {
    13: (NOTE, "graphics engine exception"),
    31: (NOTE, "GPU memory page fault"),
    32: (WARNING, "corrupted push buffer"),
    38: (WARNING, "driver firmware error"),
    43: (NOTE, "GPU stopped processing for a program"),
    45: (NOTE, "channels of a program that ended were cleaned up"),
    46: (ERROR, "GPU stopped processing"),
    48: (ERROR, "double bit ECC error"),
    61: (WARNING, "internal microcontroller breakpoint"),
    62: (ERROR, "internal microcontroller halt"),
    63: (WARNING, "memory row remapping recorded: a reset of the GPU makes it so"),
    64: (ERROR, "memory row remapping failed"),
    69: (NOTE, "graphics engine class error"),
    74: (WARNING, "NVLink error"),
    79: (ERROR, "GPU has fallen off the bus"),
    92: (WARNING, "high rate of single bit ECC errors"),
    94: (WARNING, "contained ECC error: the program was ended"),
    95: (ERROR, "uncontained ECC error"),
    109: (WARNING, "context switch timeout"),
    110: (ERROR, "security fault"),
    119: (ERROR, "GSP firmware gives no answer"),
    120: (ERROR, "GSP firmware error"),
    121: (WARNING, "C2C link error"),
    122: (WARNING, "SPI read failure"),
    123: (WARNING, "SPI write failure"),
    140: (ERROR, "unrecovered ECC error"),
    143: (ERROR, "GPU initialization failure"),
    144: (WARNING, "NVLink SAW error"),
    145: (WARNING, "NVLink RLW error"),
    146: (WARNING, "NVLink TLW error"),
    147: (WARNING, "NVLink TREX error"),
    148: (WARNING, "NVLink NVLPW error"),
    149: (WARNING, "NVLink NETIR error"),
    150: (WARNING, "NVLink MSE error"),
    154: (ERROR, "the driver asks for a recovery of the GPU"),
}
RECOVERY = 154


def judge(number: int, text: str) -> Tuple[str, str]:
    """Return how bad a report is, and what it means.

    :param text: the rest of the line: a recovery that is no longer asked for ends with (None).
    """
    level, meaning = XIDS.get(number, (NOTE, "a number that is not in our table"))
    if number == RECOVERY and text.rstrip(". ").endswith("(None)"):
        level, meaning = NOTE, "a recovery is no longer asked for"
    return level, meaning
