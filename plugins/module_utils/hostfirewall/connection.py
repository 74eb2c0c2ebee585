# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's connection over SSH, as a filter sees it."""

from __future__ import annotations

from typing import Optional

from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.wanted import Connection
from ansible_collections.railyard.sglang.plugins.module_utils.onhost.sshconnection import connections


def find(process: str = "/proc", pid: int = 0) -> Optional[Connection]:
    """Return the connection, None where there is none.

    :param process: where the process table is.
    :param pid: where to begin, by default this process.
    """
    for client, _client_port, local, port in connections(process, pid):
        if port.isdecimal():
            return Connection(client, local, int(port))
    return None
