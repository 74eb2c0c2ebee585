# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module model_fanout: one host's part of the distribution of a model from one host to many."""

from __future__ import annotations

DOCUMENTATION = r"""
module: model_fanout
short_description: Pass a model from one host on to many
version_added: 0.1.0
description:
  - The hosts form a chain in which each passes a piece on as soon as it has it, so many hosts take about as long as one, and the source
    sends the model once. libtorrent moves the pieces; each is verified by its hash, and every file by its SHA-256 when it is whole.
  - With O(state=looked) it says what the host lacks of the source's version, and has O(path) name it where it lacks nothing.
  - With O(state=shared) it is the source, or receives until all have the model. All hosts must run it at the same time, as an asynchronous
    task. What was interrupted goes on in the next run.
  - Only hosts of O(hosts) are spoken with, at their addresses, and only those that have O(token); it all ends with the distribution.
  - The bytes are not encrypted on their way. The network between the hosts is trusted as much as it is for the KV cache.
extends_documentation_fragment:
  - railyard.sglang.attributes
requirements:
  - the Python package of libtorrent 1.2 or 2.0 for O(python) - C(python3-libtorrent) in Debian and Ubuntu, C(rb_libtorrent-python3) in EPEL
attributes:
  diff_mode:
    support: none
options:
  state:
    description: What to do.
    type: str
    choices: [looked, shared]
    required: true
  path:
    description: The model on this host, as M(railyard.sglang.model) has it.
    type: path
    required: true
  version:
    description: RV(railyard.sglang.model#module:version) of the source. Empty in check mode where the source cannot say it yet.
    type: str
    required: true
  files:
    description: RV(railyard.sglang.model#module:files) of the source.
    type: dict
    required: true
  checksum:
    description:
      - The checksum that the model has to have, as for M(railyard.sglang.model). A host takes no version of another one, and none becomes
        current there. Empty compares nothing.
    type: str
    default: ''
  hosts:
    description: The hosts in the order of the chain, each a map of C(name) and C(address), the source first.
    type: list
    elements: dict
    default: []
  host:
    description: Name of this host.
    type: str
    default: ''
  token:
    description: A secret of this distribution.
    type: str
    default: ''
  port:
    description: TCP port of the source's board on its address. The pieces go over the one above it, on every host.
    type: int
    default: 18720
  limit_mib:
    description: MiB per second that a host sends at most, and receives at most. V(0) for no limit.
    type: int
    default: 0
  stall_seconds:
    description: Seconds without a byte after which a host gives up.
    type: int
    default: 300
  seconds:
    description: Seconds after which all give up.
    type: int
    default: 86400
  program:
    description: Text of the program that moves the pieces.
    type: str
    default: ''
  python:
    description: Python that has libtorrent.
    type: str
    default: /usr/bin/python3
  verify:
    description: With O(state=looked), read every byte of what is there.
    type: bool
    default: false
  keep:
    description: Versions to keep, the current one included. V(0) removes none.
    type: int
    default: 2
  parallel:
    description: Files that are read at the same time.
    type: int
    default: 4
  reserve_gib:
    description: What has to stay free on the disk, in GiB.
    type: int
    default: 10
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: See what this host lacks
  railyard.sglang.model_fanout:
    state: looked
    path: /lssd/models/DeepSeek-R1
    version: "{{ provided.version }}"
    files: "{{ provided.files }}"
"""

RETURN = r"""
needed:
  description: Whether the host has to receive something.
  returned: with O(state=looked)
  type: bool
problems:
  description: What the host lacks.
  returned: always
  type: list
  elements: str
seconds:
  description: Seconds that it took to receive and pass on.
  returned: on a receiver
  type: float
sent_bytes:
  description: Bytes that this host sent.
  returned: with O(state=shared)
  type: int
hosts:
  description: State and bytes of every receiver.
  returned: on the source
  type: dict
late:
  description: Receivers that neither have the model nor said why not, among them those that never came.
  returned: on the source
  type: list
  elements: str
pruned:
  description: Versions that were removed.
  returned: with O(state=looked)
  type: list
  elements: str
"""

import os
from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.model import fanout, provide, swarm
from ansible_collections.railyard.sglang.plugins.module_utils.model.errors import ModelError

SPEC: Dict[str, Any] = {
    "state": {"type": "str", "choices": ["looked", "shared"], "required": True},
    "path": {"type": "path", "required": True},
    "version": {"type": "str", "required": True},
    "files": {"type": "dict", "required": True},
    "checksum": {"type": "str", "default": ""},
    "hosts": {"type": "list", "elements": "dict", "default": []},
    "host": {"type": "str", "default": ""},
    "token": {"type": "str", "default": "", "no_log": True},
    "port": {"type": "int", "default": 18720},
    "limit_mib": {"type": "int", "default": 0},
    "stall_seconds": {"type": "int", "default": 300},
    "seconds": {"type": "int", "default": 86400},
    "program": {"type": "str", "default": ""},
    "python": {"type": "str", "default": "/usr/bin/python3"},
    "verify": {"type": "bool", "default": False},
    "keep": {"type": "int", "default": 2},
    "parallel": {"type": "int", "default": 4},
    "reserve_gib": {"type": "int", "default": 10},
}


def looked(host: fanout.Host) -> Dict[str, Any]:
    """Return what the host lacks."""
    if host.lacks():
        # Check mode on the source's behalf: it will be received.
        return {"changed": host.options.check, "needed": True, "problems": host.problems, "pruned": []}
    changed, pruned = host.settle()
    return {"changed": changed, "needed": False, "problems": [], "pruned": pruned}


def shared(host: fanout.Host, given: Dict[str, Any]) -> Dict[str, Any]:
    """Take part and return the result. Raises ModelError."""
    addresses = {str(row["name"]): str(row["address"]) for row in given["hosts"]}
    name = given["host"]
    if name not in addresses or not all(addresses.values()) or len(given["token"]) < 16:
        raise ModelError("hosts", f"no address of {name}, or no token", "give every host its name and fabric address")
    plan = swarm.Plan(
        addresses, given["token"], given["port"], limit=given["limit_mib"] << 20, stall=given["stall_seconds"], seconds=given["seconds"],
    )
    command = [given["python"], "-c", given["program"]]
    if name == plan.source:
        ended = host.send(plan, name, command)
        return {"changed": False, "problems": [], "hosts": ended["hosts"], "sent_bytes": ended["sent"], "late": ended["late"]}
    state = host.receive(plan, name, command)
    return {"changed": True, "problems": host.problems, "seconds": round(state["seconds"], 1), "sent_bytes": state["sent"]}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    given = module.params
    os.umask(0o022)
    options = provide.Options(
        path=os.path.normpath(given["path"]), request={"from": "another host", "version": given["version"]},
        checksum=given["checksum"], full=given["verify"], keep=given["keep"], threads=max(1, given["parallel"]),
        reserve=given["reserve_gib"] * provide.GIB, check=module.check_mode,
    )
    if module.check_mode and not given["version"]:
        # The source itself cannot say yet what it will fetch.
        module.exit_json(changed=True, needed=True, problems=["what the source will have is not known yet"], pruned=[])
    try:
        host = fanout.Host(fanout.offer(given["version"], given["files"]), options)
        if given["state"] == "shared" and module.check_mode:
            module.exit_json(changed=True, problems=[])
        result = looked(host) if given["state"] == "looked" else shared(host, given)
    except ModelError as error:
        module.fail_json(msg=str(error), problems=[str(error)])
    except OSError as error:
        where = error.filename or given["path"]
        module.fail_json(msg=f"{where}: {error.strerror or error}. Fix: see the message, then run again", problems=[])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
