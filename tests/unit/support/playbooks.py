# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of real playbooks on this machine, and what the roles would hand to service_unit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
MODULE = "railyard.sglang.service_unit"


def playbook(directory: Path, *words: str, cwd: Path | None = None, seconds: float = 120) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook with this checkout as the collection and everything else below a directory.

    :param seconds: how long it may take.
    """
    link = directory / "collections" / "ansible_collections" / "railyard" / "sglang"
    if not link.is_symlink():
        link.parent.mkdir(parents=True)
        link.symlink_to(ROOT)
    config = directory / "ansible.cfg"
    config.write_text("[defaults]\n", encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_") and name != "PYTHONPATH"}
    env |= {
        "ANSIBLE_COLLECTIONS_PATH": str(directory / "collections"),
        "ANSIBLE_HOME": str(directory / "home"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_CONFIG": str(config),
    }
    program = shutil.which("ansible-playbook", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert program, "ansible-playbook is not on the PATH: tools/unit.sh puts it there"
    return subprocess.run([program, *words], cwd=cwd or directory, env=env, capture_output=True, text=True, check=False, timeout=seconds)


def _recorded_role(directory: Path, name: str) -> None:
    """Make a role with the variables and templates of a real one, whose only task writes down what service_unit would get."""
    role = directory / "roles" / name
    role.mkdir(parents=True)
    for part in ("defaults", "vars", "templates", "files"):
        if (ROOT / "roles" / name / part).exists():
            (role / part).symlink_to(ROOT / "roles" / name / part)
    tasks = yaml.safe_load((ROOT / "roles" / name / "tasks/main.yml").read_text(encoding="utf-8"))
    task = next(task for task in tasks if MODULE in task)
    arguments = task.pop(MODULE)
    for keyword in ("register", "check_mode", "diff", "changed_when"):
        task.pop(keyword, None)
    task["vars"] = {**task.get("vars", {}), "recorded": arguments}
    target = f"{directory}/out/{{{{ record }}}}-{{{{ inventory_hostname }}}}-{{{{ recorded.name }}}}.json"
    task["ansible.builtin.copy"] = {"dest": target, "content": "{{ recorded | to_json }}", "mode": "0600"}
    (role / "tasks").mkdir()
    (role / "tasks/main.yml").write_text(yaml.safe_dump([task]), encoding="utf-8")


@dataclass(frozen=True)
class Rendered:
    """What a run has rendered.

    :ivar plan: the plan as the action has returned it.
    :ivar calls: arguments of service_unit by record, host and unit.
    """

    plan: dict[str, Any]
    calls: dict[tuple[str, str, str], dict[str, Any]]

    def files(self, host: str, record: str = "role") -> dict[str, str]:
        """Return text by path of the services of a host."""
        rows = [row for (kind, name, _unit), call in self.calls.items() if (kind, name) == (record, host) for row in call["files"]]
        return {row["path"]: row["content"] for row in rows}


def render(directory: Path, inventory: Path) -> Rendered:
    """Render all services of an inventory as the roles engine and router do: by Ansible, from their own task, variables and templates."""
    for name in ("engine", "router"):
        _recorded_role(directory, name)
    (directory / "out").mkdir()
    (directory / "own.j2").write_text("# own template of {{ rank.unit }}\n", encoding="utf-8")
    own = {f"engine_{kind}_template": str(directory / "own.j2") for kind in ("unit", "environment", "arguments")}
    tasks = [
        {"railyard.sglang.plan": None, "run_once": True, "register": "planned"},
        {"ansible.builtin.set_fact": {"sglang_host": "{{ planned.plan.hosts[inventory_hostname] }}"}},
        {
            "ansible.builtin.copy": {"dest": f"{directory}/out/plan.json", "content": "{{ planned.plan | to_json }}", "mode": "0600"},
            "run_once": True,
        },
        {"ansible.builtin.import_role": {"name": "engine"}, "vars": {"record": "role"}, "when": "sglang_host.ranks | length > 0"},
        {"ansible.builtin.import_role": {"name": "router"}, "vars": {"record": "role"}, "when": "sglang_host.router is not none"},
        {
            "ansible.builtin.import_role": {"name": "engine"},
            "vars": {"record": "own", **own},
            "when": "inventory_hostname == groups['prefill'][0]",
        },
        {
            "ansible.builtin.import_role": {"name": "engine"},
            "vars": {"record": "alone", "engine_watch_peers": False, "engine_stay_away": False},
            "when": "inventory_hostname == groups['prefill'][0]",
        },
    ]
    (directory / "render.yml").write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    extra = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    done = playbook(directory, "-i", str(inventory), "-e", json.dumps(extra), "render.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    calls = {}
    for path in sorted((directory / "out").glob("*-*-*.json")):
        record, host, unit = path.stem.split("-", 2)
        calls[record, host, unit] = json.loads(path.read_text(encoding="utf-8"))
    return Rendered(json.loads((directory / "out/plan.json").read_text(encoding="utf-8")), calls)
