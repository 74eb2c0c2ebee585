# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a module refuses."""

from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence

from ansible.module_utils.basic import AnsibleModule

UNCHANGED = "Nothing was changed on this host."


def refuse(module: AnsibleModule, faults: Sequence[str], result: Optional[Mapping[str, Any]] = None, end: str = UNCHANGED) -> None:
    """Fail with everything that is wrong, each fault once, when something is.

    :param result: what else the module returns then.
    :param end: last line of the message.
    """
    if faults:
        module.fail_json(msg="\n".join([*dict.fromkeys(faults), end]), **(result or {}))
