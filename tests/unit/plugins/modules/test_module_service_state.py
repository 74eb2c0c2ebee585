# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What service_state does with the links of stacks, and which ones the roles give it; the lab's tests do the rest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import write_marker
from ansible_collections.railyard.sglang.plugins.modules import service_state
from ansible_collections.railyard.sglang.tests.unit.support import playbooks

ROOT = Path(__file__).resolve().parents[4]


def tree(place: Path, name: str, complete: bool = True) -> Path:
    """Return a tree of a stack."""
    (place / name).mkdir()
    if complete:
        write_marker(place / name, {"stack": "tiny", "id": name})
    return place / name


def test_links_are_switched_to_complete_trees(tmp_path: Path) -> None:
    old, new, broken = tree(tmp_path, "old"), tree(tmp_path, "new"), tree(tmp_path, "broken", complete=False)
    link = tmp_path / "link"
    link.symlink_to(old)
    os.utime(new / ".stack.json", (1, 1))
    service_state.switch({})
    service_state.switch({str(link): str(old)})
    assert link.readlink() == old
    service_state.switch({str(link): str(new)})
    assert link.readlink() == new
    assert (new / ".stack.json").stat().st_mtime > 1, "the order in which trees were in use decides which of them are kept"
    with pytest.raises(StackError, match="is not complete"):
        service_state.switch({str(link): str(broken)})
    assert link.readlink() == new


@pytest.mark.parametrize(
    ("role", "given"),
    [
        (
            "engine",
            {
                "engine_ranks": [
                    {
                        "unit": "a.service", "rank": 0, "stack_link": "/opt/sglang/engine",
                        "links": ["/opt/sglang/engine", "/opt/sglang/deepep/engine"],
                    },
                ],
            },
        ),
        ("router", {"router_plan": {"unit": "a.service", "stack_link": "/opt/sglang/router"}}),
    ],
)
def test_roles_switch_the_links_of_what_they_start(role: str, given: dict[str, object], tmp_path: Path) -> None:
    files = sorted((ROOT / "roles" / role / "tasks").glob("*.yml"))
    tasks = [task for file in files for task in yaml.safe_load(file.read_text(encoding="utf-8"))]
    (links,) = [
        task["railyard.sglang.service_state"]["links"] for task in tasks if "links" in task.get("railyard.sglang.service_state", {})
    ]
    trees = {f"/opt/sglang/{name}": f"/opt/sglang/store/{name}-0123456789ab" for name in ("engine", "router", "another")}
    built = {f"/opt/sglang/deepep/{name}": f"/opt/sglang/deepep/store/{name}-0123456789ab" for name in ("engine", "another")}
    steps = [
        {"ansible.builtin.copy": {"dest": str(tmp_path / "before"), "content": "{{ found | to_json }}", "mode": "0600"}},
        {"ansible.builtin.set_fact": {"sglang_stack_trees": trees, "sglang_deepep_trees": built, "cacheable": True}},
        {"ansible.builtin.copy": {"dest": str(tmp_path / "after"), "content": "{{ found | to_json }}", "mode": "0600"}},
    ]
    play = {"hosts": "localhost", "gather_facts": False, "vars": {**given, "found": links}, "tasks": steps}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
    extra = json.dumps({"ansible_connection": "local", "ansible_python_interpreter": sys.executable})
    done: subprocess.CompletedProcess[str] = playbooks.playbook(tmp_path, "-e", extra, str(tmp_path / "play.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "before").read_text(encoding="utf-8")) == {}
    wanted = {f"/opt/sglang/{role}": f"/opt/sglang/store/{role}-0123456789ab"}
    if role == "engine":
        wanted["/opt/sglang/deepep/engine"] = "/opt/sglang/deepep/store/engine-0123456789ab"
    assert json.loads((tmp_path / "after").read_text(encoding="utf-8")) == wanted
