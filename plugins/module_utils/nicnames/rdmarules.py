# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The udev rules that give lasting names to RDMA devices, through rdma-core's own helper."""

from __future__ import annotations

import re
from typing import Mapping

#: The file takes the place of rdma-core's own of the same name below /usr/lib/udev/rules.d.
PATH = "/etc/udev/rules.d/60-rdma-persistent-naming.rules"
#: rdma-core's own file, whose rules go on for all other devices.
VENDOR = "/usr/lib/udev/rules.d/60-rdma-persistent-naming.rules"
MARK = "# Written by railyard.sglang (nic_names): a change by hand is lost with its next run."
END = "railyard_rdma_naming_end"
#: What rdma-core does where it is not told otherwise.
FALLBACK = 'ACTION=="add", SUBSYSTEM=="infiniband", PROGRAM="rdma_rename %k NAME_FALLBACK"\n'

_PCI = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")


def own(content: bytes) -> bool:
    """Return whether a file is one of ours."""
    return content.startswith(MARK.encode() + b"\n")


def text(by_pci: Mapping[str, str], vendor: bytes = b"") -> bytes:
    """Return the rules.

    :param by_pci: PCI address of the function to the name of its RDMA device.
    :param vendor: rdma-core's own rules, which stay in force for all other devices.
    :raises ValueError: an address or a name that would not be safe in a rule.
    """
    lines = [MARK]
    for pci, name in sorted(by_pci.items()):
        if not _PCI.fullmatch(pci) or not _NAME.fullmatch(name):
            raise ValueError(f"no rule can name the RDMA device of {pci} {name}")
        # A sub-function lies on the same PCI function and has an RDMA device of its own. Where the helper fails, the rules below go on.
        lines.append(
            f'ACTION=="add", SUBSYSTEM=="infiniband", KERNELS=="{pci}", DEVPATH!="*.sf.*", '
            f'PROGRAM="rdma_rename %k NAME_FIXED {name}", GOTO="{END}"'
        )
    rest = vendor if vendor.strip() else FALLBACK.encode()
    return "\n".join([*lines, ""]).encode() + rest + (b"" if rest.endswith(b"\n") else b"\n") + f'LABEL="{END}"\n'.encode()


def names(content: bytes) -> Mapping[str, str]:
    """Return PCI address to name of a file of ours."""
    return dict(re.findall(r'KERNELS=="([^"]+)".*NAME_FIXED ([^" ]+)"', content.decode("latin-1"))) if own(content) else {}
