# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a unit opens must be where the unit sees it."""

from __future__ import annotations

from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract

# ProtectHome= and PrivateTmp= of the units hide these.
HIDDEN = ("/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/")


def check(contract: Contract, findings: Findings) -> None:
    """Report a model that the units do not see."""
    path = contract.cluster.model["path"]
    if path.startswith(HIDDEN):
        findings.add(
            "model.path", "sglang_model.path",
            f"{path} is not visible to the units, which see no home directories and a /tmp of their own",
            "put the model elsewhere, for example below /opt/models",
        )
