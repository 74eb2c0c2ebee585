# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a lab's host: module nic_names is killed at each of many steps, undone as its timer would, and the host looked at.

kill_matrix.py takes {"arguments": the module's, "steps": as journal_watch.py names them} as JSON from standard input, and writes one
line of JSON for each step: step (at which it was killed, empty where it did not come so far), rc (of the module), wrong (part of the
look to what differs, empty where all is as before), seconds. It stands in a directory with ansible, ansible_collections, host_look.py
and journal_watch.py: without a controller and a way in for each step a matrix takes a third of the time.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import host_look

HERE = Path(__file__).resolve().parent
WATCH = HERE / "watch"
UNDO = "railyard-nic-names-undo"
STATE = "/var/lib/railyard.sglang/nic-names"
MODULE = "ansible_collections.railyard.sglang.plugins.modules.nic_names"
SETTLE_SECONDS = 90


def is_own(path: str) -> bool:
    """Whether a file belongs to an open transaction."""
    return path.startswith((f"{STATE}/undo.pyz", f"{STATE}/.undo.pyz", f"{STATE}/pending")) or (
        path.startswith("/etc/systemd/system/") and "railyard-nic-names" in path
    )


def without_own(present: dict[str, Any]) -> dict[str, Any]:
    """Return a look without the files and units of a transaction, which may be left by one that did not come far enough for a timer."""
    return {**present, "files": {path: value for path, value in present["files"].items() if not is_own(path)}, "units": []}


def differences(before: dict[str, Any]) -> dict[str, Any]:
    """Wait for the host to be as before, and return what is not: part to its former and its present value."""
    until = time.monotonic() + SETTLE_SECONDS
    while True:
        now = without_own(host_look.look())
        wrong = {part: [before[part], now[part]] for part in before if now[part] != before[part]}
        if not wrong or time.monotonic() > until:
            return wrong
        time.sleep(1)


def killed_at(step: str, arguments: Path) -> tuple[str, int]:
    """Run the module, kill it at a step; return the step, empty where it did not come to it, and the module's status."""
    shutil.rmtree(WATCH, ignore_errors=True)
    WATCH.mkdir()
    watch = subprocess.Popen([sys.executable, str(HERE / "journal_watch.py"), str(WATCH), "kill", step])
    until = time.monotonic() + 60
    while not (WATCH / "ready").exists():
        if time.monotonic() > until:
            raise SystemExit("the watch does not start")
        time.sleep(0.1)
    module = subprocess.run([sys.executable, "-m", MODULE, str(arguments)], cwd=HERE, check=False, stdout=subprocess.DEVNULL)
    (WATCH / "stop").touch()
    watch.wait(timeout=60)
    steps = (WATCH / "steps").read_text().splitlines()
    return (steps[-2] if steps[-1:] == ["killed"] else ""), module.returncode


def undone() -> None:
    """Do what the timer does when its time has come; nothing where the transaction had not come so far."""
    if subprocess.run(["systemctl", "is-active", "--quiet", UNDO + ".timer"], check=False).returncode == 0:
        subprocess.run(["systemctl", "start", UNDO + ".service"], check=True)


def main() -> None:
    """Go through the matrix."""
    asked = json.load(sys.stdin)
    arguments = HERE / "arguments.json"
    arguments.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": asked["arguments"]}))
    before = without_own(host_look.look())
    for step in asked["steps"]:
        begin = time.monotonic()
        reached, status = killed_at(step, arguments)
        undone()
        wrong = differences(before)
        row = {"step": reached, "rc": status, "wrong": wrong, "seconds": round(time.monotonic() - begin, 1)}
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
