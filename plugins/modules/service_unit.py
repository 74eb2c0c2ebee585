# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module service_unit: one systemd service with all its files."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_unit
short_description: Install a systemd service with all its files and say whether it must be restarted
version_added: 0.1.0
description:
  - Writes the unit and every file that belongs to it, verified by C(systemd-analyze verify) first, enables it, and removes what the
    directories of the service hold besides.
  - Compares what the running process was started with to what is wanted, and returns in RV(action) whether it has to be started or
    restarted. That comparison needs no memory of an earlier run, so an interrupted run is finished by the next one.
  - Does not start or stop anything itself, see M(railyard.sglang.service_state).
extends_documentation_fragment:
  - railyard.sglang.attributes
attributes:
  diff_mode:
    support: full
options:
  name:
    description: Name of the unit, with its suffix.
    type: str
    required: true
  files:
    description: Files of the service; the unit itself is one of them.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      content:
        description: Text of the file.
        type: str
        required: true
      mode:
        description: Permission bits as an octal text.
        type: str
        default: '0644'
      restart:
        description: Whether the service reads the file only when it starts.
        type: bool
        default: true
      sha256:
        description: SHA-256 that the text must have, so that every rank holds the bytes that the plan has seen.
        type: str
        default: ''
      reload:
        description: Unit to restart when the file changes, for a file that configures another service.
        type: str
        default: ''
  directories:
    description: Directories that hold files of this service and nothing else.
    type: list
    elements: path
    default: []
  links:
    description: Links whose target decides a restart, for example the stack's.
    type: list
    elements: path
    default: []
  link_targets:
    description: Targets of O(links) that are known already, by link. Makes check mode exact when the stack would change in the same run.
    type: dict
    default: {}
  cluster:
    description: Name of the cluster, found in the unit's mark.
    type: str
    required: true
  role:
    description: What kind of service it is, found in the unit's mark.
    type: str
    choices: [engine, router]
    required: true
  planned:
    description: All units of this cluster and role on this host. Others that carry the mark are returned in RV(stale).
    type: list
    elements: str
    default: []
  allow_restart:
    description:
      - Whether a unit that runs may be restarted. Without it the module fails before it changes anything when a restart would be needed.
    type: bool
    default: false
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Install the service of one rank
  railyard.sglang.service_unit:
    name: sglang-prefill-0.service
    cluster: lab
    role: engine
    files:
      - path: /etc/systemd/system/sglang-prefill-0.service
        content: "{{ lookup('ansible.builtin.template', 'unit.service.j2') }}"
"""

RETURN = r"""
unit:
  description: Name of the unit.
  returned: always
  type: str
action:
  description: What the service needs.
  returned: always
  type: str
  sample: restart
reason:
  description: Why.
  returned: always
  type: str
stale:
  description: Units of an earlier plan that the present one does not hold.
  returned: always
  type: list
  elements: str
config_id:
  description: Identity of everything that the service reads when it starts.
  returned: always
  type: str
"""

import hashlib
import os
import re
import shutil
import tempfile
from typing import Any, List, Tuple

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.services import filesets, units

PROGRAM = re.compile(r"^(ExecStart=)\S+ ?", re.MULTILINE)
FILE = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str", "required": True},
    "mode": {"type": "str", "default": "0644"},
    "restart": {"type": "bool", "default": True},
    "sha256": {"type": "str", "default": ""},
    "reload": {"type": "str", "default": ""},
}


def wanted_files(params: Any) -> Tuple[List[filesets.File], str]:
    """Return the files that the parameters name, with the drop-in that identifies the configuration, and that identity."""
    files = [filesets.File(row["path"], row["content"], int(row["mode"], 8), row["restart"], row["reload"]) for row in params["files"]]
    identity = filesets.identity(files, params["links"], params["link_targets"])
    path = f"{units.DIRECTORY}/{params['name']}.d/50-railyard.conf"
    return [*files, filesets.File(path, units.drop_in(params["name"], identity))], identity


def check_sums(module: AnsibleModule) -> None:
    """Fail when a text is not the one that was planned."""
    for row in module.params["files"]:
        found = hashlib.sha256(row["content"].encode()).hexdigest()
        if row["sha256"] and row["sha256"] != found:
            module.fail_json(msg=f"{row['path']} has SHA-256 {found}, planned is {row['sha256']}. Fix: run the plan again")


def verify(module: AnsibleModule, name: str, files: List[filesets.File]) -> None:
    """Fail when systemd would not accept the unit."""
    held = [file for file in files if os.path.basename(file.path) == name]
    if not held:
        module.fail_json(msg=f"files does not hold the unit {name}. Fix: add its file to files")
    unit = held[0]
    directory = tempfile.mkdtemp(prefix="railyard-", dir=module.tmpdir)
    path = os.path.join(directory, name)
    # What the unit starts may come later in the same run: the program is checked by the stage that installs it.
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(PROGRAM.sub(r"\1/bin/true ", unit.content))
    rc, _out, err = module.run_command(["systemd-analyze", "verify", "--man=no", path])
    shutil.rmtree(directory)
    mine = [line.replace(path, unit.path) for line in err.splitlines() if name in line]
    if rc != 0 or mine:
        module.fail_json(msg=f"systemd refuses {name}: {'; '.join(mine) or err.strip()}. Fix: correct the unit's template")


def write(module: AnsibleModule, change: filesets.Change) -> None:
    """Make one file what it should be, by a rename, so that no reader sees half of it."""
    if change.after is None:
        os.unlink(change.path)
        return
    os.makedirs(os.path.dirname(change.path), mode=0o755, exist_ok=True)
    handle, path = tempfile.mkstemp(dir=module.tmpdir)
    with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as stream:
        stream.write(change.after)
        stream.flush()
        os.fsync(stream.fileno())
    os.chmod(path, change.mode)
    module.atomic_move(path, change.path, unsafe_writes=False)
    os.chmod(change.path, change.mode)


def apply(module: AnsibleModule, files: List[filesets.File], changes: List[filesets.Change], unit: units.Unit) -> None:
    """Write what differs and let systemd know."""
    by_path = {file.path: file for file in files}
    for change in changes:
        write(module, change)
    for change in changes:
        if change.path.startswith("/etc/sysusers.d/"):
            rc, _out, err = module.run_command(["systemd-sysusers", change.path])
            if rc != 0:
                raise units.UnitError(f"systemd-sysusers {change.path}: {err.strip()}")
    if any(change.path.startswith(units.DIRECTORY) for change in changes):
        units.systemctl(module.run_command, "daemon-reload")
    if not unit.enabled:
        units.systemctl(module.run_command, "enable", unit.name)
    for name in sorted({by_path[change.path].reload for change in changes if change.path in by_path} - {""}):
        units.systemctl(module.run_command, "try-restart", name)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "files": {"type": "list", "elements": "dict", "required": True, "options": FILE},
            "directories": {"type": "list", "elements": "path", "default": []},
            "links": {"type": "list", "elements": "path", "default": []},
            "link_targets": {"type": "dict", "default": {}},
            "cluster": {"type": "str", "required": True},
            "role": {"type": "str", "choices": ["engine", "router"], "required": True},
            "planned": {"type": "list", "elements": "str", "default": []},
            "allow_restart": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    # Services read these files as users of their own, whatever root's umask is.
    os.umask(0o022)
    params = module.params
    check_sums(module)
    files, identity = wanted_files(params)
    try:
        changes = filesets.differences(files, params["directories"])
        unit = units.show(module.run_command, params["name"])
        restarting = {file.path for file in files if file.restart} | {change.path for change in changes if change.after is None}
        drifted = any(change.path in restarting and change.before != change.after for change in changes)
        action, reason = units.decide(unit, identity, drifted)
        result = {
            "changed": bool(changes) or not unit.enabled,
            "unit": unit.name,
            "action": action,
            "reason": reason,
            "config_id": identity,
            "stale": units.stale(params["cluster"], params["role"], params["planned"]),
        }
        if module._diff:
            result["diff"] = [change.diff() for change in changes]
        if action == "restart" and unit.up and not params["allow_restart"]:
            paths = ", ".join(change.path for change in changes) or "what the stack's link names"
            module.fail_json(
                msg=f"{unit.name} is running and would be restarted: {reason} ({paths}). Nothing was changed on this host. "
                "Fix: set sglang_allow_restart: true to consent to the interruption",
                **result,
            )
        if result["changed"]:
            verify(module, params["name"], files)
            if not module.check_mode:
                apply(module, files, changes, unit)
    except (units.UnitError, OSError) as error:
        module.fail_json(msg=f"{params['name']}: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
