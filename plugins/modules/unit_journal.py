# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what the journal holds of some units, and of the kernel, into one file of bounded size."""

from __future__ import annotations

DOCUMENTATION = r"""
module: unit_journal
short_description: Write the journal of some units into a file
version_added: 0.1.0
description:
  - Writes what the journal holds of units and of the kernel as a compressed export, with the newest messages only where there are too many,
    and with the first ones since each unit was started last, since its arguments stand there.
  - The file is for the owner of its directory alone (mode 0600), since logs may hold what clients asked for.
options:
  units:
    description: Names of systemd units.
    type: list
    elements: str
    required: true
  dest:
    description: File on the host, in a directory that is there. It is replaced as a whole.
    type: path
    required: true
  since:
    description: From when on, as C(journalctl --since) takes it.
    type: str
    default: -2h
  lines:
    description: Newest messages of the units that are kept; of the kernel's a tenth of it.
    type: int
    default: 300000
  max_mib:
    description: MiB of the export before compression that are kept, the newest; a tenth of it is for the kernel.
    type: int
    default: 512
  timeout:
    description: Seconds that reading may take.
    type: int
    default: 120
extends_documentation_fragment:
  - railyard.sglang.attributes
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Keep what the engine said
  railyard.sglang.unit_journal:
    units: [sglang-prefill-0.service]
    dest: /var/tmp/journal.export.gz
"""

RETURN = r"""
size:
  description: Bytes of the file.
  returned: when it was written
  type: int
entries:
  description: Messages in it.
  returned: when it was written
  type: int
cut:
  description: Whether messages are missing because there was too much, or it took too long.
  returned: when it was written
  type: bool
begins:
  description: Seconds since 1970 of the oldest message of the time that was asked for, of the units or the kernel; older ones are there
    because a unit was started then. V(none) where there is none, or where some of them are missing.
  returned: when it was written
  type: float
hostname:
  description: What the host calls itself, as in the journal.
  returned: when it was written
  type: str
units:
  description: Of each unit what C(systemctl show) says of it - C(Id), C(LoadState), C(ActiveState), C(SubState), C(Result), C(NRestarts),
    C(ExecMainStatus), C(InvocationID) and C(ControlGroup), and as C(Halted) which of its processes are stopped by a signal or a debugger.
  returned: when it was written
  type: list
  elements: dict
"""

import contextlib
import os
import platform
import tempfile
from typing import Dict, List, Optional, Tuple

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.onhost.journalcopy import (
    Copied,
    commands,
    copy,
    head,
    head_command,
    parse_states,
    shares,
    show_command,
)
from ansible_collections.railyard.sglang.plugins.module_utils.services.halted import HALTED, halted


def states(module: AnsibleModule, units: List[str]) -> List[Dict[str, str]]:
    """Return the states of units; none where there is no systemd to ask."""
    code, out, _err = module.run_command(show_command(units))
    rows = parse_states(out) if code == 0 else []
    return [{**row, HALTED: ", ".join(halted(row.get("ControlGroup", "")))} for row in rows]


def begins(copies: List[Copied]) -> Optional[float]:
    """Return since when the journal is whole; where some of what was asked for is left out that cannot be told."""
    if any(copied.cut for copied in copies):
        return None
    known = [moment for moment in (copied.first() for copied in copies) if moment is not None]
    return min(known) / 1e6 if known else None


def collected(module: AnsibleModule, units: List[Dict[str, str]]) -> Tuple[List[Copied], List[Copied]]:
    """Return what is to be written: the beginning of each unit, then what was asked for of the units and of the kernel."""
    given = module.params
    room = given["max_mib"] << 20
    copies = []
    rooms = (room - room // 10, max(room // 10, 1 << 20))
    for command, share, lines in zip(commands(given["units"], given["since"], given["lines"]), rooms, shares(given["lines"])):
        copies.append(copy(command, share, given["timeout"], lines))
        if copies[-1].told:
            fix = f"since is {given['since']}, and must be as journalctl --since takes it; journalctl of the host says the rest"
            module.fail_json(msg=f"journalctl: {copies[-1].told} [rule journal.read] Fix: {fix}")
    begun = [unit["InvocationID"] for unit in units if unit.get("InvocationID")]
    return [head(head_command(invocation), copies[0].first(), given["timeout"]) for invocation in begun], copies


def main() -> None:
    """Write the journal and tell how much it is."""
    module = AnsibleModule(
        argument_spec={
            "units": {"type": "list", "elements": "str", "required": True},
            "dest": {"type": "path", "required": True},
            "since": {"type": "str", "default": "-2h"},
            "lines": {"type": "int", "default": 300000},
            "max_mib": {"type": "int", "default": 512},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    given = module.params
    if not given["units"]:
        module.fail_json(msg="units is empty [rule journal.units] Fix: name the units of the host's slice of the plan")
    for name in ("lines", "max_mib", "timeout"):
        if given[name] < 1:
            module.fail_json(msg=f"{name} is {given[name]}, less than 1 [rule journal.limits] Fix: leave it out, or give a number above 0")
    if module.check_mode:
        module.exit_json(changed=True)
    units = states(module, given["units"])
    name = ""
    try:
        heads, asked = collected(module, units)
        copies = [*heads, *asked]
        handle, name = tempfile.mkstemp(dir=os.path.dirname(given["dest"]), prefix=".journal")
        with os.fdopen(handle, "wb") as out:
            # Who has made the directory reads it: root writes it for the user who logs in.
            place = os.stat(os.path.dirname(given["dest"]))
            if os.geteuid() == 0 and place.st_uid:
                os.fchown(handle, place.st_uid, place.st_gid)
            for copied in copies:
                copied.write(out)
        os.replace(name, given["dest"])
    except OSError as error:
        fix = "give dest a directory of the host that is there and has room, and journalctl on the PATH"
        module.fail_json(msg=f"{error.filename or given['dest']}: {error.strerror} [rule journal.write] Fix: {fix}")
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
    module.exit_json(
        changed=True,
        size=os.path.getsize(given["dest"]),
        entries=sum(copied.entries for copied in copies),
        cut=any(copied.cut for copied in copies),
        begins=begins(asked),
        hostname=platform.node(),
        units=units,
    )


if __name__ == "__main__":
    main()
