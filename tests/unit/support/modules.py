# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module as Ansible does, in this process."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from typing import Any

from ansible.module_utils.common import warnings
from ansible.module_utils.testing import patch_module_args


def run(main: Callable[[], None], arguments: dict[str, Any], check: bool = False) -> dict[str, Any]:
    """Return the result of a module; a failure has C(failed).

    :param check: whether to run in check mode.
    """
    # Ansible starts each module in a process of its own: what an earlier one warned of is no part of this one's result.
    warnings._global_warnings.clear()
    output = io.StringIO()
    special = {"_ansible_check_mode": check, "_ansible_diff": True, "_ansible_remote_tmp": "/tmp", "_ansible_keep_remote_files": False}
    with patch_module_args({**arguments, **special}), contextlib.redirect_stdout(output):
        try:
            main()
        except SystemExit:
            pass
        else:
            raise AssertionError("the module ended without a result")
    result: dict[str, Any] = json.loads(output.getvalue())
    result.pop("invocation", None)
    return result
