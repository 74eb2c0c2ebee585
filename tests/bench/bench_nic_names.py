# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What eight interface names cost: the module nic_names with its confirmation, against a loop of tasks over ip and nmcli.

On one host of a running lab of virtual machines, in the same run and in turns, with pipelining for both. Counted are the seconds from
the beginning of the first task to the last result; what Ansible needs to begin and to end is left out on both sides. The module may take
at most a fifth of the loop for the change, and at most a tenth for a run that finds nothing to do. Names and files are in the end what
they were. Only virtual machines of the lab are measured, and only such that have no names of the collection's: its record is removed.

    python tests/bench/bench_nic_names.py -i inventory/lab --host p0 [--runs 1] [--out result.json]
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOOP = "tests/bench/nic_names_loop.yml"
LIMITS = {"change": 1 / 5, "nothing to do": 1 / 10}
MODULE = [
    {
        "name": "Names",
        "railyard.sglang.nic_names": {"nics": "{{ names_wanted }}", "allow_rename": True, "confirm_seconds": 600},
        "register": "named",
    },
    {"name": "Let go of the connection", "ansible.builtin.meta": "reset_connection"},
    {"name": "Reach the host again", "ansible.builtin.wait_for_connection": {"timeout": 120}, "when": "named.transaction != ''"},
    {
        "name": "Confirm",
        "railyard.sglang.nic_names_confirm": {"transaction": "{{ named.transaction }}"},
        "when": "named.transaction != ''",
    },
]


STATE = "/var/lib/railyard.sglang/nic-names"


def rails_of(variables: dict[str, Any], host: str) -> list[dict[str, Any]]:
    """Return the rails of a virtual machine of the lab.

    :param variables: of the host, by the inventory.
    :raises SystemExit: it is something else.
    """
    if variables.get("lab_backend") != "qemu" or not variables.get("lab_rails") or not variables.get("lab_name"):
        sys.exit(f"{host} is no virtual machine of the lab (lab_backend: qemu, lab_rails). Nothing was changed. Fix: -i inventory/lab")
    rails: list[dict[str, Any]] = variables["lab_rails"]
    return rails


def links(names: list[str]) -> str:
    """Return the files that name interfaces at a boot, as words of the shell."""
    return shlex.join(f"/etc/systemd/network/70-{name}.link" for name in names)


class Bench:
    """Runs playbooks on one host and takes their time."""

    def __init__(self, inventory: str, host: str, directory: Path) -> None:
        self.inventory, self.host, self.directory = inventory, host, directory
        self.module = directory / "module.yml"
        tasks = [dict(task) for task in MODULE]
        self.module.write_text(json.dumps([{"name": "Names", "hosts": "all", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
        variables = self.command("ansible-inventory", "-i", inventory, "--host", host)
        self.rails = rails_of(json.loads(variables), host)
        self.new = [f"roce{rail['rail']}" for rail in self.rails]
        self.old = [str(rail["interface"]) for rail in self.rails]
        # What is there is somebody's.
        self.on_host(f"! ls -d {STATE} {links([*self.new, *self.old])} 2> /dev/null")

    def command(self, *words: str, **more: str) -> str:
        """Run a command and return its output.

        Raises:
            SystemExit: if the command fails.
        """
        done = subprocess.run(words, cwd=ROOT, env={**os.environ, **more}, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(words)} failed:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def on_host(self, command: str) -> None:
        """Run a shell command on the host."""
        self.command("ansible", "-i", self.inventory, self.host, "-m", "ansible.builtin.shell", "-a", command)

    def timed(self, playbook: str, names: list[dict[str, str]], changes: bool) -> float:
        """Run a playbook and return the seconds from its first task to its last result.

        Raises:
            SystemExit: if it fails, or changes something, or nothing, against what is said of it.
        """
        log = self.directory / f"{time.monotonic()}.jsonl"
        self.command(
            "ansible-playbook", "-i", self.inventory, "--limit", self.host, playbook, "-e", json.dumps({"names_wanted": names}),
            ANSIBLE_CALLBACK_PLUGINS=str(ROOT / "tests/plugins/callback"), ANSIBLE_CALLBACKS_ENABLED="result_lines",
            RAILYARD_RESULT_LINES=str(log),
        )  # fmt: skip
        events = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        if any(event.get("changed") for event in events) != changes:
            sys.exit(f"{playbook} has {'not ' if changes else ''}changed something")
        begin = next(event["time"] for event in events if event["event"] == "task")
        return float(max(event["time"] for event in events if event["event"] == "result") - begin)

    def turn(self) -> dict[str, dict[str, float]]:
        """Measure both once; names are what they were afterwards."""
        wanted = [{"mac": rail["mac"], "name": name} for rail, name in zip(self.rails, self.new)]
        former = [{"mac": rail["mac"], "name": name} for rail, name in zip(self.rails, self.old)]
        found: dict[str, dict[str, float]] = {what: {} for what in LIMITS}
        found["change"]["module"] = self.timed(str(self.module), wanted, True)
        found["nothing to do"]["module"] = self.timed(str(self.module), wanted, False)
        self.on_host(f"rm -f {links(self.new)}; rm -rf {STATE}")
        self.timed(LOOP, former, True)
        self.on_host(f"rm -f {links(self.old)}")
        found["change"]["loop"] = self.timed(LOOP, wanted, True)
        found["nothing to do"]["loop"] = self.timed(LOOP, wanted, False)
        self.timed(LOOP, former, True)
        self.on_host(f"rm -f {links([*self.new, *self.old])}")
        return found


def main() -> int:
    """Measure, print, and say by the exit status whether the limits hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-i", "--inventory", default="inventory/lab")
    parser.add_argument("--host", default="p0")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(given.inventory, given.host, Path(directory))
        turns = [bench.turn() for _turn in range(given.runs)]
    rows, good = {}, True
    for what, limit in LIMITS.items():
        seconds = {side: statistics.median(turn[what][side] for turn in turns) for side in ("module", "loop")}
        share = seconds["module"] / seconds["loop"]
        good = good and share <= limit
        rows[what] = {**{side: round(value, 2) for side, value in seconds.items()}, "share": round(share, 3), "limit": limit}
        told = f"module {seconds['module']:.1f} s, loop {seconds['loop']:.1f} s"
        print(f"{what}: {told}, that is 1/{1 / share:.1f} (limit 1/{1 / limit:.0f})")
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps({"rows": rows, "turns": turns}, indent=1) + "\n", encoding="utf-8")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
