# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a decode host reaches the bootstrap servers that it looks prefill up at.

Decode asks a server for the addresses of prefill's ranks at its first request to it, and keeps them, and its connection, until two
heartbeats were missed (sglang 0.5.8, disaggregation/mooncake/conn.py). A port that a firewall has closed meanwhile therefore shows in
requests much later than here.
"""

from __future__ import annotations

import functools
from typing import Any, Dict, List, Mapping, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.serving import http
from ansible_collections.railyard.sglang.plugins.module_utils.serving.steps import together

# The engine's own heartbeat gives up after 2 s without a connection, and 3 s without an answer.
SECONDS, TRIES, AT_ONCE = 5.0, 2, 16


def wanted(ranks: Sequence[Mapping[str, Any]]) -> Dict[str, str]:
    """Return the bootstrap servers of a host's ranks, each with its instance."""
    return {row["url"]: row["instance"] for rank in ranks for row in rank.get("bootstraps") or []}


def _problem(opener: http.Opener, url: str) -> str:
    """Return why a server does not answer, empty when it does."""
    answer = http.Answer(0)
    for _try in range(TRIES):
        answer = http.request(opener, f"{url}/health", SECONDS)
        if answer.status == 200:
            return ""
    return answer.error or f"it answers {answer.status}"


def look(opener: http.Opener, ranks: Sequence[Mapping[str, Any]]) -> List[Dict[str, str]]:
    """Ask the bootstrap servers of a host's ranks over new connections, and return what stands against each, empty for nothing.

    :param opener: C(open_url) of C(ansible.module_utils.urls).
    """
    servers = wanted(ranks)
    problems = together([functools.partial(_problem, opener, url) for url in servers], AT_ONCE)
    return [{"url": url, "instance": name, "problem": text} for (url, name), text in zip(servers.items(), problems)]
