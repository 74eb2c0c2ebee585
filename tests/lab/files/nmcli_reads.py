# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has a program read each file of a directory, and prints exit status, output and errors of each by name, as one JSON object.

nmcli_reads.py DIRECTORY PROGRAM WORD...: runs on a host of the lab.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys


def read(path: pathlib.Path, words: list[str]) -> tuple[int, str, str]:
    """Return what the program makes of a file."""
    with path.open("rb") as stream:
        done = subprocess.run(words, stdin=stream, capture_output=True, text=True, errors="replace", check=False, timeout=120)
    return done.returncode, done.stdout, done.stderr


print(json.dumps({path.name: read(path, sys.argv[2:]) for path in sorted(pathlib.Path(sys.argv[1]).iterdir())}))
