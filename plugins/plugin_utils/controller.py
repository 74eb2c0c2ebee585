# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What actions that stay on the controller have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.railyard.sglang.plugins.plugin_utils.plain import plain


class ControllerAction(ActionBase):
    """An action that opens no connection to a host, and tells in check mode what it would do."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def begin(
        self,
        tmp: str | None,
        task_vars: dict[str, Any] | None,
        spec: Mapping[str, Mapping[str, Any]],
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the result that C(run) adds to, and the task's options, checked and as plain data.

        :param spec: the options, as a module's argument_spec.
        :raises AnsibleError: an option is not as it should be.
        """
        result: dict[str, Any] = super().run(tmp, task_vars)
        _checked, options = self.validate_argument_spec(argument_spec=spec)
        return result, plain(options)
