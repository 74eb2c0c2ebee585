# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: doctor
short_description: Say from logs what went wrong first, and what followed from it
version_added: 0.1.0
description:
  - Reads logs of engines, routers, kernels and installers on the controller, also of clusters that this collection did not build, and
    names the first cause, its host, the guilty side, the fix, and what followed from it. Writes C(doctor.txt) and C(doctor.json).
  - Fails, after it has written, when something was found that is as bad as O(fail_on).
options:
  path:
    description:
      - A log, a directory, a tar archive (gzip, bzip2 and xz too), or what C(journalctl) wrote with C(--output=export) or C(--output=json).
      - It is read as a stream and never unpacked.
      - Of a bundle of C(playbooks/collect.yml) its logs; what it says besides takes the place of O(findings), O(checks), O(compared),
        O(journals) and O(unreachable).
    type: path
    required: true
  directory:
    description: Directory on the controller for C(doctor.txt) and C(doctor.json). It is created. Without it nothing is written.
    type: path
  findings:
    description: What the contract of the plan found, as M(railyard.sglang.plan) returns it, to confirm findings with.
    type: list
    elements: dict
    default: []
  checks:
    description: Of each host the checks that M(railyard.sglang.host_check) returned, to confirm findings with.
    type: dict
    default: {}
  compared:
    description:
      - What M(railyard.sglang.host_compare) found. Clocks that are apart are findings, and all of it confirms findings.
    type: list
    elements: dict
    default: []
  journals:
    description:
      - Of each host, by the inventory's name, what M(railyard.sglang.unit_journal) returned. Units that do not run are findings, hosts get
        the inventory's names, and a journal that is not complete is told.
    type: dict
    default: {}
  failed:
    description: Of hosts why their journals are not there. They are named among what was not read.
    type: dict
    default: {}
  unreachable:
    description: Hosts of the plan that were not reached, which are findings.
    type: list
    elements: str
    default: []
  fail_on:
    description: What makes the task fail.
    type: str
    choices: [blocks, degrades, never]
    default: blocks
  show:
    description: Whether the text is shown.
    type: bool
    default: true
extends_documentation_fragment:
  - railyard.sglang.attributes
  - railyard.sglang.attributes.read_only
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Look at logs from elsewhere
  railyard.sglang.doctor:
    path: cluster-logs.tar.gz
    directory: doctor
  delegate_to: localhost
"""

RETURN = r"""
verdict:
  description: V(blocks), V(degrades) or V(clean), the worst that was found.
  returned: always
  type: str
first:
  description: Id of the first finding, empty where there is none above a note.
  returned: always
  type: str
findings:
  description:
    - The findings in their order, each with C(id), C(severity), C(title), C(host), C(guilty_host) and C(follows_from). Everything else is
      in C(doctor.json), which docs/doctor.md describes.
  returned: always
  type: list
  elements: dict
files:
  description: Names of the files in O(directory).
  returned: always
  type: list
  elements: str
"""
