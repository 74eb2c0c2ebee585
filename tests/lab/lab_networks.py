# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints a management and a fabric network for each of several labs that run side by side.

What "auto" chooses for a lab it would choose for another one, too, until the first has started.
"""

from __future__ import annotations

import sys

from ansible_collections.railyard.sglang.plugins.module_utils.lab.rails import FABRIC_PREFIX
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import run_command
from ansible_collections.railyard.sglang.plugins.module_utils.lab.subnets import Occupied, choose_networks, read_occupied


def main() -> None:
    """Print one line for each lab."""
    occupied = read_occupied(run_command)
    for _lab in range(int(sys.argv[1])):
        chosen = choose_networks(None, None, occupied, FABRIC_PREFIX)
        occupied += [Occupied(network, "another lab") for network in chosen]
        print(*chosen)


if __name__ == "__main__":
    main()
