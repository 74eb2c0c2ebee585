# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest: every file of a mirror with size and sha256, and what the files are for.

manifest.json                        replaced by a rename, as the last step of a run
signatures/<sha256 of manifest.json>.sig    there before the manifest that it signs, so that one rename publishes both
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Dict, Mapping

from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError

NAME = "manifest.json"
SIGNATURES = "signatures"
FORMAT = 1
FIX = "build the mirror anew (playbooks/mirror.yml)"
DIGEST = re.compile(r"^[0-9a-f]{64}$")
NAME_OF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@=!-]*")
# Models bring names with spaces and the like.
PART = re.compile(r"(?![\s.])[^/\\\x00-\x1f\x7f]+(?<!\s)")


def signature_of(text: str) -> str:
    """Return the path, below the mirror, of the signature of a manifest."""
    return f"{SIGNATURES}/{hashlib.sha256(text.encode()).hexdigest()}.sig"


def is_name(text: str) -> bool:
    """Say whether a text can be the name of a model or of a source."""
    return bool(NAME_OF.fullmatch(text))


def is_safe(path: str) -> bool:
    """Say whether a path stays below the mirror, and is one that file servers give out: nothing in it begins with a dot."""
    return all(PART.fullmatch(part) for part in path.split("/"))


def write(files: Mapping[str, Mapping[str, Any]], parts: Mapping[str, Any]) -> str:
    """Return the text of a manifest, which hosts can read: the same content gives the same bytes. Raises StackError.

    :param files: size and sha256 by path below the mirror.
    :param parts: stacks, models, sources, os_packages, sbom.
    """
    data = {"format": FORMAT, "files": {path: dict(files[path]) for path in sorted(files)}, **parts}
    text = json.dumps(data, indent=1, sort_keys=True) + "\n"
    read(text, "mirror")
    return text


def read(text: str, subject: str) -> Dict[str, Any]:
    """Return a manifest, checked as far as reading files by it needs it. Raises StackError."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise StackError(subject, f"{NAME} is not JSON ({error})", FIX) from error
    if not isinstance(data, dict) or data.get("format") != FORMAT or not isinstance(data.get("files"), dict):
        raise StackError(subject, f"{NAME} is not of format {FORMAT}", "use the collection that wrote it, or " + FIX)
    for path, row in data["files"].items():
        good = isinstance(row, dict) and isinstance(row.get("size"), int) and DIGEST.match(str(row.get("sha256")))
        if not is_safe(path) or not good:
            raise StackError(subject, f"{NAME} has an entry that is not usable: {path}", FIX)
    return data
