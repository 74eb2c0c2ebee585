# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module host_capture: a host's facts as an archive that can be sent to others."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_capture
short_description: Pack what the RDMA facts read from a host into an archive that can be sent to others
version_added: 0.1.0
description:
  - Reads what M(railyard.sglang.rdma_facts) reads, and packs it into a tar with GUIDs, MAC and IP addresses, serial numbers, UUIDs,
    account and host names replaced. The same value is replaced by the same one everywhere in the capture of a host, and what tells a
    vendor's cards or equal networks stays. Of each file only that is kept which the facts take from it, and nothing else of the host.
  - M(railyard.sglang.rdma_facts) with O(railyard.sglang.rdma_facts#module:root) naming the unpacked archive gives the same facts as
    on the host itself, apart from what was replaced.
  - A second file says how many values of each kind were replaced in how many places, and never what they were.
  - The same host gives the same bytes. Run it as root to capture all that the facts can know.
extends_documentation_fragment:
  - railyard.sglang.attributes
attributes:
  diff_mode:
    description: The archive is no text.
    support: none
options:
  dest:
    description: Archive to write on the host, in an existing directory. It is compressed when its name ends with C(gz).
    type: path
    required: true
  report:
    description: File to write on the host that says what was replaced.
    type: path
    required: true
  names:
    description: Names of the host, besides the one that it gives itself, which must not appear in the archive.
    type: list
    elements: str
    default: []
  units:
    description: systemd units whose memlock limit is wanted, for example V(sglang-prefill-0.service).
    type: list
    elements: str
    default: []
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Capture the host
  railyard.sglang.host_capture:
    dest: /var/tmp/railyard-capture.tar.gz
    report: /var/tmp/railyard-capture.json
    names: ["{{ inventory_hostname }}"]
"""

RETURN = r"""
archive:
  description: The archive.
  returned: success
  type: str
replaced:
  description: Number of different values and of places for every kind of thing that was replaced.
  returned: success
  type: dict
left_out:
  description: Files that the facts read and the archive does not hold, since it is not known what is in them.
  returned: success
  type: list
  elements: str
size:
  description: Bytes of the archive.
  returned: success
  type: int
"""

import json
import os
import platform
from typing import Optional

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.capture import capture, zipped
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.replay import Recorder


def content(path: str) -> Optional[bytes]:
    """Return a regular file's content, or None."""
    if os.path.islink(path) or not os.path.isfile(path):
        return None
    with open(path, "rb") as stream:
        return stream.read()


def write(path: str, data: bytes) -> None:
    """Put a file into its place at once; only its owner may read it."""
    beside = f"{path}.{os.getpid()}"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
        os.rename(beside, path)
    except OSError:
        os.unlink(beside)
        raise


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "dest": {"type": "path", "required": True},
            "report": {"type": "path", "required": True},
            "names": {"type": "list", "elements": "str", "default": []},
            "units": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    dest, report = module.params["dest"], module.params["report"]
    found = capture(Recorder("/"), [*module.params["names"], platform.node()], module.params["units"])
    data = zipped(found.archive) if dest.endswith("gz") else found.archive
    wanted = {dest: data, report: (json.dumps(found.report, indent=1, sort_keys=True) + "\n").encode()}
    try:
        stale = [path for path, new in wanted.items() if content(path) != new]
        for path in stale if not module.check_mode else []:
            write(path, wanted[path])
    except OSError as error:
        module.fail_json(msg=f"cannot write {error.filename}: {error.strerror}")
    rows = {key: found.report[key] for key in ("replaced", "left_out")}
    module.exit_json(changed=bool(stale), archive=dest, size=len(data), **rows)


if __name__ == "__main__":
    main()
