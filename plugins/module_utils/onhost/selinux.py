# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SELinux contexts of files that a module writes."""

from __future__ import annotations

from typing import Callable

from ansible.module_utils.basic import AnsibleModule


def labeller(module: AnsibleModule) -> Callable[[str, str], None]:
    """Return what gives an unfinished file (its path, its final path) the SELinux context of its final place."""

    def label(unfinished: str, final: str) -> None:
        if module.selinux_enabled():
            module.set_context_if_different(unfinished, module.selinux_default_context(final), False)

    return label
