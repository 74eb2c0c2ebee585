# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator may not write yet: secrets, which would end in files and logs, and parallelism that the plan does not know."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings

SECRET_ARGUMENTS = frozenset(
    {
        "api_key", "admin_api_key", "control_plane_api_keys", "oracle_password", "postgres_db_url", "redis_url",
        # sglang 0.5.23 takes the last one out of the command line that it logs, for the key in it.
        "tenant_api_key", "ssl_keyfile_password", "watermark_config",
    }
)
SECRET_NAME = re.compile(
    r"(^|_)(TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY)(_|$)|PASS(WORD|WD|PHRASE)?$",
    re.IGNORECASE,
)
# A URL with a password in it: scheme://user:password@host.
SECRET_VALUE = re.compile(r"://[^/@\s:]*:[^/@\s]+@")


def argument(dest: str, value: Any, variable: str, findings: Findings) -> None:
    """Report an argument that cannot be carried out safely or proven in this version."""
    where = f"{variable}.{dest.replace('_', '-')}"
    if dest in SECRET_ARGUMENTS and value:
        findings.add(
            "argument.secret", where, "is a secret, and arguments are readable in files, in process lists and in logs",
            "leave it out: this version carries no secrets; keep the engines on a closed network",
        )


def variable(name: str, value: Any, where: str, findings: Findings) -> bool:
    """Report an environment variable that is a secret by its name or its value; return whether it is."""
    if SECRET_NAME.search(name):
        what = "is a secret by its name"
    elif isinstance(value, str) and SECRET_VALUE.search(value):
        what = "holds a password in a URL"
    else:
        return False
    findings.add(
        "environment.secret", where, f"{what}, and the environment is readable in files and in the plan",
        "leave it out: this version carries no secrets",
    )
    return True
