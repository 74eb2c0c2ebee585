# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory that holds all that hosts without a route out install from, and a signed list of what is in it.

Standard library only, Python 3.9: it is read on managed hosts.
"""
