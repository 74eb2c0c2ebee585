# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories of kernels for tests, as DeepGEMM makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PARTS: dict[str, Any] = {
    "format": 2, "stack": "sglang-0.5.8-cu12-0f3a5c1d2e4b", "architectures": ["9.0"], "devices": ["0x2330"],
    "nvcc": "12.9", "models": ["m"],
    "arguments": {"tensor_parallel_size": 16}, "environment": {},
}
NAMES = tuple(f"kernel.fp8_gemm_nt.{number:032x}" for number in range(4))


def kernel(root: Path, name: str, committed: bool = False, cubin: bytes = b"\x7fELF cubin") -> Path:
    """Make one kernel."""
    place = root / "cache" / name
    place.mkdir(parents=True)
    (place / "kernel.cu").write_text(f"// {name}\n", encoding="utf-8")
    (place / "kernel.cubin").write_bytes(cubin + name.encode() if cubin else b"")
    if committed:
        (place / ".committed").write_bytes(b"")
    return place


def kernels(root: Path, names: tuple[str, ...] = NAMES, committed: bool = False) -> Path:
    """Make a directory of kernels."""
    for name in names:
        kernel(root, name, committed)
    (root / "tmp").mkdir(exist_ok=True)
    return root


def tree(path: Path) -> dict[str, Any]:
    """Return everything below a path: bytes of files, targets of links."""
    found: dict[str, Any] = {}
    for entry in sorted(path.rglob("*")):
        name = str(entry.relative_to(path))
        if entry.is_symlink():
            found[name] = ("link", entry.readlink())
        elif entry.is_file():
            found[name] = entry.read_bytes()
    return found
