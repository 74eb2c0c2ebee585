# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPU architectures without a driver's help: compute capability by PCI device, LLVM target by KFD."""

from __future__ import annotations

NVIDIA = {
    # First byte of the PCI device id of a chip: compute capability. Names of the chips: pci.ids; capabilities: CUDA C++ programming guide.
    0x15: "6.0",  # GP100
    0x1B: "6.1", 0x1C: "6.1",  # GP10x
    0x1D: "7.0",  # GV100
    0x1E: "7.5", 0x1F: "7.5", 0x21: "7.5",  # TU1xx
    0x20: "8.0",  # GA100
    0x22: "8.6", 0x24: "8.6", 0x25: "8.6",  # GA10x
    0x23: "9.0",  # GH100
    0x26: "8.9", 0x27: "8.9", 0x28: "8.9",  # AD10x
    0x29: "10.0",  # GB100: B200, GB200
    0x2B: "12.0", 0x2C: "12.0", 0x2D: "12.0", 0x2F: "12.0",  # GB20x
    0x2E: "12.1",  # GB10
    0x31: "10.3",  # GB110: B300, GB300
}
# NVIDIA GPU driver branch: newest CUDA that it runs. CUDA Toolkit release notes, table of driver versions.
CUDA_OF_BRANCH = {
    525: "12.0", 530: "12.1", 535: "12.2", 545: "12.3", 550: "12.4", 555: "12.5", 560: "12.6", 565: "12.7", 570: "12.8", 575: "12.9",
    580: "13.0", 590: "13.1",
}
NAMES = {
    "6.0": "Pascal", "6.1": "Pascal", "7.0": "Volta", "7.5": "Turing", "8.0": "Ampere", "8.6": "Ampere", "8.9": "Ada", "9.0": "Hopper",
    "10.0": "Blackwell", "10.3": "Blackwell Ultra", "12.0": "Blackwell", "12.1": "Blackwell",
}


def compute_capability(device: str | None) -> str | None:
    """Return the compute capability of an NVIDIA GPU by its PCI device id like 0x2330, None if the chip is not known here."""
    try:
        return NVIDIA.get(int(device or "", 16) >> 8)
    except ValueError:
        return None


def llvm_target(version: int | None) -> str | None:
    """Return the LLVM target (gfx942) for the gfx_target_version of KFD (90402), None for 0, which CPUs have."""
    if not version:
        return None
    major, minor, stepping = version // 10000, version // 100 % 100, version % 100
    return f"gfx{major}{minor:x}{stepping:x}"


def cuda_of(driver: str | None) -> str | None:
    """Return the newest CUDA that a driver like 570.124.06 runs, None if its branch is not known here."""
    branch = (driver or "").partition(".")[0]
    known = [number for number in CUDA_OF_BRANCH if branch.isdigit() and number <= int(branch)]
    return CUDA_OF_BRANCH[max(known)] if known else None


def title(architecture: str) -> str:
    """Return an architecture for a person."""
    return f"{architecture} ({NAMES[architecture]})" if architecture in NAMES else architecture
