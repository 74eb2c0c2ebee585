# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CUDA toolkits and DeepEP: checking, building once on a host of each kind, carrying to the others, taking back.

Standard library only, Python 3.9 or newer: it runs on the hosts.
"""
