# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab: systemd-nspawn hosts, or virtual machines, on bridges in network namespaces of their own, on one machine.

Pure functions decide, and a runner that is passed in carries commands out. Only the standard library is used.
"""
