# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cut or plug in the cable of a virtual machine's card: lab-link.py LAB HOST RAIL down|up   (as root, on the lab's machine)."""

from __future__ import annotations

import json
import socket
import sys


def main(arguments: list[str]) -> str:
    """Do what the arguments say, and return what is wrong with them or with the lab; empty where nothing is."""
    if len(arguments) != 4 or not arguments[2].isdigit() or arguments[3] not in {"down", "up"}:
        return str(__doc__)
    lab, host, rail, state = arguments
    link = {"name": f"card{rail}", "up": state == "up"}
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(10)
            connection.connect(f"/run/railyard-lab/{lab}/{host}.qmp")
            with connection.makefile("rw") as stream:
                stream.readline()
                for question in ({"execute": "qmp_capabilities"}, {"execute": "set_link", "arguments": link}):
                    stream.write(json.dumps(question) + "\n")
                    stream.flush()
                    answer = json.loads(stream.readline())
                    while "event" in answer:
                        answer = json.loads(stream.readline())
                    if "error" in answer:
                        return f"QEMU of {host}: {answer['error']['desc']}"
    except (OSError, ValueError) as error:
        return f"{host} of the lab '{lab}' does not answer: {error}"
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) or 0)
