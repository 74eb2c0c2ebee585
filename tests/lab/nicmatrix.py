# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many kills of module nic_names on one host by one program there; see files/kill_matrix.py."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ansible
from labkit import ROOT
from nickit import CONFIRM_SECONDS, HOST, NicLab

PLACE = "/run/railyard-matrix"
COLLECTION = "ansible_collections/railyard/sglang/plugins"
#: For one step; an emulated processor that shares its machine needs a third of it.
STEP_SECONDS = 120


def package() -> bytes:
    """Return the program with the module and all that it imports, as a packed tar; Ansible puts the same files into one archive."""
    buffer = io.BytesIO()
    core = Path(ansible.__file__).parent
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        places = [(core / "module_utils", "ansible/module_utils"), (core / "release.py", "ansible/release.py")]
        places += [(ROOT / "plugins" / name, f"{COLLECTION}/{name}") for name in ("module_utils", "modules/nic_names.py")]
        places += [(ROOT / "tests/lab/files" / name, name) for name in ("kill_matrix.py", "host_look.py", "journal_watch.py")]
        for path, name in places:
            tar.add(path, name, filter=lambda each: None if each.name.endswith((".pyc", "__pycache__", "/data")) else each)
        tar.addfile(tarfile.TarInfo("ansible/__init__.py"))
    return buffer.getvalue()


def killed(host: NicLab, steps: Sequence[str], arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Kill the module at some steps, and return the rows of kill_matrix.py."""
    host.run(HOST, f"rm -rf {PLACE} && mkdir {PLACE} && base64 -d | tar -xz -C {PLACE}", base64.b64encode(package()).decode(), 120)
    asked = {"arguments": {"allow_rename": True, "confirm_seconds": CONFIRM_SECONDS, **arguments}, "steps": list(steps)}
    seconds = STEP_SECONDS * (1 + len(steps))
    done = host.run(HOST, f"cd {PLACE} && python3 kill_matrix.py", json.dumps(asked), seconds)
    host.ask(f"rm -rf {PLACE}")
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
