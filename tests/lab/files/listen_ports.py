# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a lab's host: lets everybody connect to some TCP ports, on all addresses, and makes a file as soon as it does.

listen_ports.py FILE PORT...
"""

from __future__ import annotations

import select
import socket
import sys
from pathlib import Path


def main(ready: str, ports: list[int]) -> None:
    """Listen until the end."""
    held = [socket.create_server(("0.0.0.0", port), backlog=64) for port in ports]
    Path(ready).touch()
    while True:
        for listener in select.select(held, [], [])[0]:
            listener.accept()[0].close()


main(sys.argv[1], [int(word) for word in sys.argv[2:]])
