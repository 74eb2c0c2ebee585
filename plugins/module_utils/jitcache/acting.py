# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Acting as the user that runs the engines: the caches are theirs, and root does not follow the links in them."""

from __future__ import annotations

import contextlib
import os
import pwd
from typing import Callable, Iterator, List, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.jitcache.errors import CacheError
from ansible_collections.railyard.sglang.plugins.module_utils.jitcache.place import existing


def user(name: str) -> Optional[pwd.struct_passwd]:
    """Return a user; None where there is none of that name."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def made(name: str, home: str, run: Callable[[List[str]], Tuple[int, str, str]]) -> pwd.struct_passwd:
    """Return a user, who is created as the engine stage would where there is none. Raises CacheError."""
    found = user(name)
    if found is None:
        code, _out, err = run(["systemd-sysusers", "--inline", f'u {name} - "SGLang engine" {home}'])
        found = user(name)
        if code or found is None:
            raise CacheError(name, f"systemd-sysusers did not create the user: {err.strip()}", "create it yourself")
    return found


@contextlib.contextmanager
def acting(found: Optional[pwd.struct_passwd]) -> Iterator[None]:
    """Be a user for a while, where this process is root; otherwise, and for no user, stay what it is."""
    if found is None or os.geteuid() != 0 or found.pw_uid == 0:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(found.pw_gid)
    os.seteuid(found.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def base(path: str, found: Optional[pwd.struct_passwd]) -> None:
    """Make a directory and those above it, so that a user can write to it. Raises CacheError where it is there and is not theirs.

    What is missing below a directory of the user's is made by the user, so that root makes nothing where they could have put a link.
    """
    above = existing(path)
    while above != path:
        below = os.path.join(above, os.path.relpath(path, above).split(os.sep)[0])
        owned = found is not None and os.lstat(above).st_uid == found.pw_uid
        with acting(found if owned else None):
            os.mkdir(below, 0o755)
        if not owned and found is not None and os.geteuid() == 0:
            os.chown(below, found.pw_uid, found.pw_gid, follow_symlinks=False)
        above = below
    with acting(found):
        writable = os.access(path, os.W_OK | os.X_OK, effective_ids=True)
    if not writable:
        name = found.pw_name if found is not None else "this user"
        raise CacheError(path, f"{name} cannot write to it", f"chown {name}: {path}")
