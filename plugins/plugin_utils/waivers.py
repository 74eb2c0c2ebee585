# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operator of each cluster accepts, of the rules that compare hosts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare import catalogue
from ansible_collections.railyard.sglang.plugins.plugin_utils.plain import plain


def settings(hosts: Mapping[str, str], task_vars: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each cluster with the variables of one of its hosts: those of a cluster are the same on all of them.

    :param hosts: host to its cluster.
    """
    hostvars = task_vars.get("hostvars") or {}
    for cluster in dict.fromkeys(hosts.values()):
        host = next((host for host, own in hosts.items() if own == cluster and host in hostvars), None)
        yield cluster, {} if host is None else hostvars[host]


def waived(hosts: Mapping[str, str], task_vars: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return cluster to rule to the reason for which its violation is accepted."""
    return {cluster: catalogue.waivers(plain(row.get("sglang_waive"))) for cluster, row in settings(hosts, task_vars)}
