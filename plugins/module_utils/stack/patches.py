# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text patches of installed files: exact, idempotent, and an error where the file is not the expected one."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import Patch
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError


def patched(text: str, patch: Patch, subject: str) -> str:
    """Return a text with the replacements of a patch made; the same text if they have all been made.

    What is to be put in may stand elsewhere in the file, too, and may hold what it takes the place of.

    Raises StackError if neither the text before stands exactly once nor the one after at all.
    """
    for number, pair in enumerate(patch.replacements, 1):
        parts = text.split(pair.after)
        found = sum(part.count(pair.before) for part in parts)
        if len(parts) > 1 and not found:
            continue
        if found != 1:
            problem = f"replacement {number} of the patch of {patch.path} fits nowhere: the file is another version's"
            raise StackError(subject, problem, "adapt patches in stack.yml to the locked version of the package")
        text = pair.after.join(part.replace(pair.before, pair.after) for part in parts)
    return text


def apply_patch(site_packages: Path, patch: Patch, subject: str) -> bool:
    """Patch a file below site-packages and return whether that changed it.

    The new text gets a new inode: the old one may be shared with a cache by a hard link.
    """
    path = site_packages / patch.path
    if not path.is_file():
        problem = f"{patch.path}, which is to be patched, is not among the installed files"
        raise StackError(subject, problem, "adapt patches in stack.yml to the locked version of the package")
    before = path.read_text(encoding="utf-8")
    after = patched(before, patch, subject)
    if after == before:
        return False
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(after, encoding="utf-8")
    temporary.chmod(path.stat().st_mode & 0o777)
    os.replace(temporary, path)
    return True
