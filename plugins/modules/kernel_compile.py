# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module kernel_compile: starts the compilation of a rank's DeepGEMM kernels."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_compile
short_description: Start the compilation of DeepGEMM kernels on a host
version_added: 0.1.0
description:
  - Starts one unit of systemd for each of O(jobs), and does not wait for it, see M(railyard.sglang.kernel_progress). It goes on when the
    controller is lost. One that is still at work from an earlier run is ended first; kernels that it has made are gone on with.
  - Kernels are made in a directory that no engine uses.
  - With O(state=prepared) everything is done that may fail without a GPU - room, owners, directories, files - and nothing is started,
    so that no engine is stopped for what cannot be.
extends_documentation_fragment:
  - railyard.sglang.attributes
attributes:
  diff_mode:
    support: none
options:
  state:
    description: V(prepared) before engines are stopped, V(started) after it.
    type: str
    choices: [prepared, started]
    default: started
  jobs:
    description: Compilations.
    type: list
    elements: dict
    required: true
    suboptions:
      instance:
        description: Name of the instance.
        type: str
        required: true
      path:
        description: Path of the cache.
        type: path
        required: true
      key:
        description: Key of the kernels.
        type: str
        required: true
      parts:
        description: What the key is made of.
        type: dict
        required: true
      unit:
        description: Text of the unit.
        type: str
        required: true
      environment:
        description: Text of its environment file.
        type: str
        required: true
      directory:
        description: Directory that the engine has O(jobs[].files) in.
        type: path
        default: ''
      files:
        description: The operator's files that arguments name - C(path), C(content), C(encoding), C(sha256), as the plan has them.
        type: list
        elements: dict
        default: []
      places:
        description: Directories of other caches, which are made where they are missing.
        type: list
        elements: path
        default: []
  user:
    description: User that runs the engines. Created when it is not there.
    type: str
    default: sglang
  home:
    description: Home of a user that is created.
    type: path
    default: /var/lib/sglang
  fresh:
    description: Whether to begin with no kernel, instead of those that are there already.
    type: bool
    default: false
  root:
    description: Directory that stands for the root of the host's file system where the files of compilations are written.
    type: path
    default: /
  reserve_mib:
    description: What has to be free on the disk, in MiB.
    type: int
    default: 2048
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Prepare it
  railyard.sglang.kernel_compile:
    state: prepared
    jobs: "{{ jobs }}"

- name: Start it
  railyard.sglang.kernel_compile:
    jobs: "{{ jobs }}"
"""

RETURN = r"""
jobs:
  description: C(instance), C(unit), C(log), and with O(state=prepared) the number of C(kernels) that each begins with.
  returned: always
  type: list
  elements: dict
"""

import os
from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.jitcache import acting, compiling, store
from ansible_collections.railyard.sglang.plugins.module_utils.jitcache.errors import CacheError
from ansible_collections.railyard.sglang.plugins.module_utils.model.errors import ModelError
from ansible_collections.railyard.sglang.plugins.module_utils.services import units

JOB: Dict[str, Any] = {
    "instance": {"type": "str", "required": True},
    "path": {"type": "path", "required": True},
    "key": {"type": "str", "required": True, "no_log": False},
    "parts": {"type": "dict", "required": True},
    "unit": {"type": "str", "required": True},
    "environment": {"type": "str", "required": True},
    "directory": {"type": "path", "default": ""},
    "files": {"type": "list", "elements": "dict", "default": []},
    "places": {"type": "list", "elements": "path", "default": []},
}
SPEC: Dict[str, Any] = {
    "state": {"type": "str", "choices": ["prepared", "started"], "default": "started"},
    "jobs": {"type": "list", "elements": "dict", "required": True, "options": JOB},
    "user": {"type": "str", "default": "sglang"},
    "home": {"type": "path", "default": "/var/lib/sglang"},
    "fresh": {"type": "bool", "default": False},
    "root": {"type": "path", "default": "/"},
    "reserve_mib": {"type": "int", "default": 2048},
}


def prepare(module: AnsibleModule) -> List[Dict[str, Any]]:
    """Do everything that needs no GPU. Raises ModelError or UnitError."""
    given = module.params
    user = acting.made(given["user"], given["home"], module.run_command)
    prepared: List[Dict[str, Any]] = []
    for row in given["jobs"]:
        job = compiling.Job(row["instance"], given["root"].rstrip("/"))
        compiling.stop(job, module.run_command)
        place = os.path.dirname(row["path"])
        acting.base(place, user)
        status = os.statvfs(place)
        free = status.f_bavail * status.f_frsize // store.MIB
        if free < given["reserve_mib"]:
            fix = "free some, or lower deepgemm_reserve_mib"
            raise CacheError(place, f"has {free} MiB free, and {given['reserve_mib']} are asked for", fix)
        with acting.acting(user):
            cache = store.CacheStore(row["path"])
            with cache.lock():
                kernels = cache.prepare(row["key"], row["parts"], given["fresh"])
        for path in row["places"]:
            acting.base(path, user)
        compiling.provide(job, row["directory"], row["files"])
        prepared.append({"instance": row["instance"], "unit": job.unit, "log": job.log, "kernels": kernels})
    return prepared


def start(module: AnsibleModule) -> List[Dict[str, Any]]:
    """Start everything that was prepared. Raises ModelError or UnitError."""
    found = []
    for row in module.params["jobs"]:
        job = compiling.Job(row["instance"], module.params["root"].rstrip("/"))
        compiling.begin(job, module.run_command, row["unit"], row["environment"])
        found.append({"instance": row["instance"], "unit": job.unit, "log": job.log, "kernels": 0})
    return found


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    os.umask(0o022)
    starts = module.params["state"] == "started"
    if module.check_mode:
        module.exit_json(changed=starts and bool(module.params["jobs"]), jobs=[])
    try:
        jobs = start(module) if starts else prepare(module)
    except (ModelError, units.UnitError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'kernel cache'}: {error.strerror or error}. Fix: see the message, then run again")
    module.exit_json(changed=starts and bool(jobs), jobs=jobs)


if __name__ == "__main__":
    main()
