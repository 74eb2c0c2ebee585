# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that undoes, as one file that a host keeps: it must work when nobody can bring it another."""

from __future__ import annotations

import importlib
import io
import zipfile
from typing import List

PACKAGE = "ansible_collections.railyard.sglang.plugins.module_utils"
MODULES = (
    "hostcheck.runner",
    "hostfacts.netlink",
    "nicnames.extras",
    "nicnames.files",
    "nicnames.healing",
    "nicnames.journal",
    "nicnames.locking",
    "nicnames.manager",
    "nicnames.naming",
    "nicnames.rdmanames",
    "nicnames.replay",
    "nicnames.rtnl",
    "nicnames.rulesets",
    "nicnames.situation",
    "nicnames.turns",
    "nicnames.undo",
    "nicnames.units",
)
_MAIN = f"import sys\n\nfrom {PACKAGE}.nicnames.undo import main\n\nsys.exit(main(sys.argv[1:]))\n"
_TIME = (2026, 1, 1, 0, 0, 0)


def _source(name: str) -> str:
    """Return the text of a module, wherever Python has it from: files, or the archive that Ansible has sent."""
    about = importlib.import_module(name).__spec__
    loader = about.loader if about is not None else None
    text = loader.get_source(name) if loader is not None and hasattr(loader, "get_source") else None
    if text is None:
        raise ImportError(f"no source of {name}")
    # The loader of collections on a controller returns bytes.
    return text.decode("utf-8") if isinstance(text, bytes) else str(text)


def _above(path: str) -> List[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: number + 1]) for number in range(len(parts))]


def program() -> bytes:
    """Return the program, the same bytes for the same sources.

    :raises ImportError: a part of it is lacking.
    """
    rows = {f"{PACKAGE}.{name}".replace(".", "/") + ".py": _source(f"{PACKAGE}.{name}") for name in MODULES}
    packages = sorted({directory for path in rows for directory in _above(path)})
    rows.update({f"{directory}/__init__.py": "" for directory in packages})
    rows["__main__.py"] = _MAIN
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(rows):
            archive.writestr(zipfile.ZipInfo(path, _TIME), rows[path])
    return target.getvalue()
