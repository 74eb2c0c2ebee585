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
      comments:
        description: Whether lines that begin with C(#) are comments, whose change asks for no restart.
        type: bool
        default: false
      encoding:
        description: Whether O(files[].content) is the text itself or Base64 of the bytes.
        type: str
        choices: [text, base64]
        default: text
      sha256:
        description: SHA-256 that the content must have, so that every rank holds the bytes that the plan has seen.
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
  user:
    description: User that the service runs as; one of O(files) below C(/etc/sysusers.d) creates it when it is not there.
    type: str
    default: ''
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Install the service of one rank
  railyard.sglang.service_unit:
    name: sglang-prefill-0.service
    files:
      - path: /etc/systemd/system/sglang-prefill-0.service
        content: "{{ lookup('ansible.builtin.template', 'unit.service.j2') }}"
"""

RETURN = r"""
unit:
  description: Name of the unit.
  returned: always
  type: str
needed:
  description: Whether anything differs from what is wanted; equal to C(changed), but not touched by C(changed_when).
  returned: always
  type: bool
up:
  description: Whether a main process runs.
  returned: always
  type: bool
action:
  description: What the service needs, V(none), V(start) or V(restart).
  returned: always
  type: str
  sample: restart
reason:
  description: Why.
  returned: always
  type: str
config_id:
  description: Identity of everything that the service reads when it starts.
  returned: always
  type: str
"""

import base64
import hashlib
import os
import pwd
import re
import shutil
import tempfile
from typing import Any, Dict, List, Tuple

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.services import filesets, units

PROGRAM = re.compile(r"^(ExecStart(?:Post)?=-?|ExecSt(?:artPre|opPost)=-)\S+ ?", re.MULTILINE)
FILE = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str", "required": True},
    "mode": {"type": "str", "default": "0644"},
    "restart": {"type": "bool", "default": True},
    "comments": {"type": "bool", "default": False},
    "encoding": {"type": "str", "choices": ["text", "base64"], "default": "text"},
    "sha256": {"type": "str", "default": ""},
    "reload": {"type": "str", "default": ""},
}


def content(row: Dict[str, Any]) -> bytes:
    """Return the bytes of one file of the parameters."""
    text: str = row["content"]
    return base64.b64decode(text) if row["encoding"] == "base64" else text.encode()


def wanted_files(params: Any) -> Tuple[List[filesets.File], str]:
    """Return the files that the parameters name, with those that identify the configuration, and that identity."""
    files = [
        filesets.File(row["path"], content(row), int(row["mode"], 8), row["restart"], row["comments"], row["reload"])
        for row in params["files"]
    ]
    name = params["name"]
    path = f"{units.DIRECTORY}/{name}.d/50-railyard.conf"
    files.append(filesets.File(path, units.drop_in(name).encode(), comments=True))
    read = [file for file in files if file.restart]
    # The order of the digest: what has comments first, as the script has it.
    read = [file for file in read if file.comments] + [file for file in read if not file.comments]
    exact, commented = ([file.path for file in read if file.comments is flag] for flag in (False, True))
    script = units.recorder(exact, commented, params["links"])
    files.append(filesets.File(units.recorder_path(name), script.encode(), restart=False))
    return files, filesets.identity(read, params["links"], params["link_targets"])


def check_sums(module: AnsibleModule) -> None:
    """Fail when a file is not the one that was planned."""
    for row in module.params["files"]:
        found = hashlib.sha256(content(row)).hexdigest()
        if row["sha256"] and row["sha256"] != found:
            module.fail_json(msg=f"{row['path']} has SHA-256 {found}, planned is {row['sha256']}. Fix: run the plan again")


def check_owner(module: AnsibleModule, unit: bytes) -> None:
    """Fail when a unit of that name belongs to somebody else."""
    path = os.path.join(units.DIRECTORY, module.params["name"])
    mine = units.MARK.search(unit.decode("utf-8", "replace"))
    if mine is None or not os.path.exists(path):
        return
    with open(path, encoding="utf-8", errors="replace") as stream:
        theirs = units.MARK.search(stream.read())
    if theirs is None or theirs.group("cluster") != mine.group("cluster"):
        whose = f"cluster {theirs.group('cluster')}" if theirs else "somebody else"
        module.fail_json(
            msg=f"{path} belongs to {whose}, not to cluster {mine.group('cluster')}. Nothing was changed on this host. "
            "Fix: correct the inventory's addresses or sglang_cluster, name the instance otherwise, or remove that unit"
        )


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
        stream.write(PROGRAM.sub(r"\1/bin/true ", unit.content.decode()))
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
    if os.path.isdir(change.path):
        shutil.rmtree(change.path)
    os.makedirs(os.path.dirname(change.path), mode=0o755, exist_ok=True)
    handle, path = tempfile.mkstemp(dir=module.tmpdir)
    with os.fdopen(handle, "wb") as stream:
        stream.write(change.after)
        stream.flush()
        os.fsync(stream.fileno())
    os.chmod(path, change.mode)
    module.atomic_move(path, change.path, unsafe_writes=False)
    os.chmod(change.path, change.mode)


def lacks_user(name: str) -> bool:
    """Whether a user is still to be created."""
    try:
        return bool(name) and pwd.getpwnam(name) is None
    except KeyError:
        return True


def apply(module: AnsibleModule, files: List[filesets.File], changes: List[filesets.Change], unit: units.Unit) -> None:
    """Write what differs and let systemd know. What an interrupted run left undone is asked of the system, not of the changes."""
    by_path = {file.path: file for file in files}
    for change in changes:
        write(module, change)
    if lacks_user(module.params["user"]):
        rc, _out, err = module.run_command(["systemd-sysusers"])
        if rc != 0 or lacks_user(module.params["user"]):
            raise units.UnitError(f"systemd-sysusers did not create user {module.params['user']}: {err.strip()}")
    if unit.stale or any(change.path.startswith(units.DIRECTORY) for change in changes):
        units.systemctl(module.run_command, "daemon-reload")
    if not unit.enabled:
        units.systemctl(module.run_command, "enable", unit.name)
    for name in sorted({by_path[change.path].reload for change in changes if change.path in by_path} - {""}):
        units.systemctl(module.run_command, "try-restart", name)


def moves(params: Any) -> bool:
    """Whether a link that the service starts from is yet to be switched."""
    targets = {link: params["link_targets"].get(link) for link in params["links"]}
    return any(target and os.path.realpath(link) != os.path.realpath(target) for link, target in targets.items())


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "files": {"type": "list", "elements": "dict", "required": True, "options": FILE},
            "directories": {"type": "list", "elements": "path", "default": []},
            "links": {"type": "list", "elements": "path", "default": []},
            "link_targets": {"type": "dict", "default": {}},
            "user": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    # Services read these files as users of their own, whatever root's umask is.
    os.umask(0o022)
    params = module.params
    check_sums(module)
    files, identity = wanted_files(params)
    check_owner(module, next((file.content for file in files if os.path.basename(file.path) == params["name"]), b""))
    try:
        changes = filesets.differences(files, params["directories"])
        unit = units.show(module.run_command, params["name"])
        reading = {file.path for file in files if file.restart}
        action, reason = units.decide(unit, identity, any(change.path in reading for change in changes) or moves(params))
        result = {
            "needed": bool(changes) or not unit.enabled or unit.stale or lacks_user(params["user"]),
            "unit": unit.name,
            "up": unit.up,
            "action": action,
            "reason": reason,
            "config_id": identity,
        }
        if module._diff:
            result["diff"] = [change.diff() for change in changes]
        result["changed"] = result["needed"]
        if result["changed"]:
            verify(module, params["name"], files)
            if not module.check_mode:
                apply(module, files, changes, unit)
    except (units.UnitError, OSError) as error:
        module.fail_json(msg=f"{params['name']}: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
