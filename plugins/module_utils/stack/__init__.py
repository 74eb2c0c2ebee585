# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Building, checking and switching stacks: pinned, locked sets of engine packages in versioned directories.

Standard library only, Python 3.9 or newer: everything but the reading of the definitions runs on the hosts.
"""
