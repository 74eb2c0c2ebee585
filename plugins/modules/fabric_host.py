# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module fabric_host: what a host brings to the fabric test."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fabric_host
short_description: Say what a host brings to the fabric test
version_added: 0.1.0
description:
  - Looks for the programs of perftest, for the text of the engine's unit where it is installed, for its user, and for units of this
    collection that run. Changes nothing.
extends_documentation_fragment:
  - railyard.sglang.attributes
  - railyard.sglang.attributes.read_only
options:
  units:
    description: Names of the engine's units that the plan puts on this host. The text of the first that is installed is returned.
    type: list
    elements: str
    default: []
  tests:
    description: Tests of perftest that are wanted, without C(ib_) in front.
    type: list
    elements: str
    default: [write_bw, write_lat]
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Look at what the host brings
  railyard.sglang.fabric_host:
    units: "{{ sglang_host.ranks | map(attribute='unit') }}"
  register: looked
"""

RETURN = r"""
perftest:
  description: Version of perftest, as it calls itself, empty where a program of it is missing.
  returned: success
  type: str
lacking:
  description: Programs that are missing.
  returned: success
  type: list
  elements: str
unit:
  description: Name of the unit whose text is returned, empty where none is installed.
  returned: success
  type: str
unit_text:
  description: Its text with its drop-ins.
  returned: success
  type: str
serving:
  description: Units of this collection that run.
  returned: success
  type: list
  elements: str
"""

import shutil

from ansible.module_utils.basic import AnsibleModule


def installed(module: AnsibleModule, names: list) -> tuple:
    """Return name and text of the first unit that is installed."""
    for name in names:
        rc, out, _err = module.run_command(["systemctl", "cat", "--no-pager", name])
        if rc == 0 and "[Service]" in out:
            return name, out
    return "", ""


def serving(module: AnsibleModule) -> list:
    """Return the units of this collection that run or are about to."""
    states = "active,activating,reloading"
    command = ["systemctl", "list-units", "--no-legend", "--no-pager", "--plain", f"--state={states}", "sglang-*.service"]
    rc, out, err = module.run_command(command)
    if rc != 0:
        module.fail_json(msg=f"systemctl list-units: {err.strip()}. Fix: a host that systemd runs")
    return sorted(line.split()[0] for line in out.splitlines() if line.strip())


def version(module: AnsibleModule, program: str) -> str:
    """Return what a program of perftest says of its version."""
    _rc, out, err = module.run_command([program, "--version"])
    words = (out or err).strip().splitlines()
    return "perftest " + words[0].split()[-1] if words else "perftest"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "units": {"type": "list", "elements": "str", "default": []},
            "tests": {"type": "list", "elements": "str", "default": ["write_bw", "write_lat"]},
        },
        supports_check_mode=True,
    )
    programs = ["ib_" + test for test in module.params["tests"]]
    lacking = [name for name in programs if shutil.which(name) is None]
    name, text = installed(module, module.params["units"])
    module.exit_json(
        changed=False, perftest="" if lacking or not programs else version(module, programs[0]), lacking=lacking,
        unit=name, unit_text=text, serving=serving(module),
    )


if __name__ == "__main__":
    main()
