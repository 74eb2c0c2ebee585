# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bundle
short_description: Pack what a run has gathered of a cluster into one archive for others
version_added: 0.1.0
description:
  - Packs journals, plan, facts, host checks, versions, unit states and the last proof, as C(playbooks/collect.yml) has gathered
    them, into one archive on the controller. M(railyard.sglang.doctor) reads it as it is.
  - Secrets are masked in every file. Addresses, host names, GUIDs, MAC addresses and serial numbers are replaced by others of the
    same form, the same by the same in every file and in the names of files; what they were is in O(map) alone.
  - Archive and map are written as wholes, and are for their owner alone (mode 0600).
options:
  source:
    description: Directory on the controller with the files that were fetched, as they shall be in the archive. Empty where there are none.
    type: str
    default: ""
  dest:
    description: The archive, in a directory that is there.
    type: path
    required: true
  map:
    description: File for what was replaced by what. It is removed where nothing is replaced.
    type: path
    required: true
  plan:
    description: The plan, or what there is of it.
    type: dict
    default: {}
  findings:
    description: What the contract of the plan found.
    type: list
    elements: dict
    default: []
  hosts:
    description: Hosts that were to be looked at, in the order of the inventory.
    type: list
    elements: str
    required: true
  proof:
    description: Directory on the controller in which a proof was kept. It need not be there.
    type: path
  replace:
    description: Whether addresses and names are replaced. Secrets are masked in any case.
    type: bool
    default: true
  checks:
    description: Whether the host checks were asked for. Where they were not, none is missing.
    type: bool
    default: true
  versions:
    description: Likewise whether it was looked at what is installed.
    type: bool
    default: true
extends_documentation_fragment:
  - railyard.sglang.attributes
attributes:
  diff_mode:
    description: The archive is no text.
    support: none
seealso:
  - module: railyard.sglang.doctor
  - module: railyard.sglang.host_capture
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Pack what was gathered
  railyard.sglang.bundle:
    source: /tmp/gathered
    dest: collect/bundle.tar.gz
    map: collect/bundle-map.json
    plan: "{{ planned.plan }}"
    hosts: "{{ groups['all'] }}"
  delegate_to: localhost
"""

RETURN = r"""
archive:
  description: The archive.
  returned: success
  type: str
map:
  description: The file with what was replaced by what, empty where nothing was.
  returned: success
  type: str
size:
  description: Bytes of the archive.
  returned: when it was written
  type: int
sha256:
  description: Digest of the archive.
  returned: when it was written
  type: str
files:
  description: Names of the files in it.
  returned: success
  type: list
  elements: str
missing:
  description: Host to what is not in the archive of it, and why.
  returned: success
  type: dict
replaced:
  description: Kind to the number of different values that were replaced.
  returned: success
  type: dict
"""
