# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running commands, in one place, so that everything else can be tested without running any."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import Callable, Optional, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError

#: Administrators' programs are not on every user's path.
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Completed:
    """What a command left: exit status, standard output, standard error."""

    rc: int
    out: str
    err: str


#: Takes a command and the text for its standard input.
Runner = Callable[[Sequence[str], Optional[str]], Completed]


def environment() -> dict[str, str]:
    """Return the environment of every command: the caller's, in the C.UTF-8 locale, with system directories."""
    path = ":".join(part for part in (os.environ.get("PATH", ""), SEARCH_PATH) if part)
    return {**os.environ, "LC_ALL": "C.UTF-8", "PATH": path}


def run_command(argv: Sequence[str], stdin: Optional[str] = None) -> Completed:
    """Run a command to its end; a program that does not exist gives exit status 127, as in a shell."""
    try:
        done = subprocess.run(
            list(argv),
            input=stdin or "",
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env=environment(),
        )
    except FileNotFoundError as error:
        return Completed(127, "", str(error))
    return Completed(done.returncode, done.stdout, done.stderr)


def demand(runner: Runner, argv: Sequence[str], purpose: str, stdin: Optional[str] = None) -> str:
    """Run a command and return its output.

    Raises:
        LabError: the command failed; the text has the purpose, the command and its own words.
    """
    done = runner(argv, stdin)
    if done.rc != 0:
        words = (done.err.strip() or done.out.strip() or "no output")[-2000:]
        raise LabError(f"Cannot {purpose}: '{' '.join(argv)}' ended with status {done.rc}: {words}")
    return done.out
