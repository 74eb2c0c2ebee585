# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpacks archives without what would lead outside of their place, on every Python of a controller."""

from __future__ import annotations

import tarfile
from pathlib import Path


def unpack_into(archive: tarfile.TarFile, place: Path) -> None:
    """Unpack an archive; Pythons before 3.11.4, as Debian 12's, take no filter by name."""
    archive.extraction_filter = getattr(tarfile, "data_filter", None)
    for member in archive.getmembers():
        archive.extract(member, place)
