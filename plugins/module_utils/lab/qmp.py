# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking a virtual machine's emulator, over the socket of its monitor."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any, Mapping, Optional

from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError


def execute(monitor: Path, command: str, arguments: Optional[Mapping[str, Any]] = None, seconds: float = 10) -> Any:
    """Run one command of QEMU's machine protocol and return what it returns.

    Args:
        monitor: the socket; its name must have fewer than 108 bytes.
        command: name of the command, such as set_link.
        arguments: its arguments.
        seconds: within which each answer must come.

    Raises:
        LabError: nothing listens, no answer came in time, or the command failed.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(seconds)
            connection.connect(str(monitor))
            with connection.makefile("rwb") as stream:
                stream.readline()
                for question in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": dict(arguments or {})}):
                    stream.write(json.dumps(question).encode() + b"\n")
                    stream.flush()
                    reply = _reply(stream)
                    if "error" in reply:
                        raise LabError(f"QEMU at {monitor} refused {question['execute']}: {reply['error'].get('desc', reply['error'])}")
    except (OSError, ValueError) as error:
        raise LabError(f"Cannot run {command} at {monitor}: {error}") from error
    return reply["return"]


def _reply(stream: Any) -> dict[str, Any]:
    """Read until an answer comes; events come in between."""
    while True:
        line = stream.readline()
        if not line:
            raise OSError("QEMU has closed the connection")
        message: dict[str, Any] = json.loads(line)
        if "return" in message or "error" in message:
            return message


def set_link(monitor: Path, rail: int, up: bool) -> None:
    """Connect or cut the cable of a host's card on a rail. Raises LabError as above."""
    execute(monitor, "set_link", {"name": f"card{rail}", "up": up})
