# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the router has the planned workers and the planned model."""

from __future__ import annotations

import re
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.serving.http import Answer

# What router 0.3.2 calls the model of a worker that has not said it.
UNKNOWN = "unknown"
# What spaces the looks of a router at a worker that it waits for: 0.3.2 begins with a second and goes up to five, smg takes its option (30
# s where nothing is said), after a delay. So many looks are enough to list one that answers.
CHECK = re.compile(r"--worker-startup-check-interval[ =](\d+)")
DELAY = re.compile(r"--worker-startup-delay[ =](\d+)")
CHECK_SECONDS, LEAST_SECONDS, ENOUGH_CHECKS, LIST_MARGIN = 30, 5, 3, 15.0
GIVEN_UP = (
    "what it does not list answers, and was not listed for {:.0f} s: the router has given up on it, or was started without it. "
    "Fix: --tags router where its command line is not the planned one, else systemctl restart of its unit"
)


def worker_problems(planned: List[Dict[str, Any]], answer: Answer) -> List[str]:
    """Return how the router's worker list differs from the plan (sglang-router 0.3.2, GET /workers)."""
    rows = _rows(answer)
    if rows is None:
        return [f"/workers answered {answer.error or answer.status}"]
    listed = _by_url(rows)
    found = []
    for worker in planned:
        row = listed.pop(worker["url"], None)
        name = f"{worker['role']} {worker['instance']} {worker['url']}"
        if row is None:
            found.append(f"{name} is not listed")
        elif row.get("worker_type") != worker["role"]:
            found.append(f"{name} is listed as {row.get('worker_type')}")
        elif row.get("bootstrap_port", worker.get("bootstrap_port")) != worker.get("bootstrap_port") and worker["role"] == "prefill":
            found.append(f"{name} is listed with bootstrap port {row['bootstrap_port']}, planned is {worker['bootstrap_port']}")
        elif row.get("model_id") == UNKNOWN and row.get("is_healthy"):
            found.append(f"{name} is listed with an unknown model: it has not said what it serves")
        elif not row.get("is_healthy"):
            found.append(f"{name} is not healthy")
    found += [f"{url} is listed, but not planned" for url in sorted(listed)]
    return found


def _rows(answer: Answer) -> Optional[List[Any]]:
    data = answer.json() if answer.status == 200 else None
    rows = data.get("workers") if isinstance(data, dict) else None
    return rows if isinstance(rows, list) else None


def _by_url(rows: Sequence[Any]) -> Dict[str, Dict[str, Any]]:
    return {str(row.get("url", "")): row for row in rows if isinstance(row, dict)}


def unlisted(planned: Sequence[Mapping[str, Any]], answer: Answer) -> FrozenSet[str]:
    """Return the planned workers that a router leaves out of its list; none where it gives no list."""
    rows = _rows(answer)
    return frozenset() if rows is None else frozenset(str(worker["url"]) for worker in planned) - set(_by_url(rows))


def patience(argv: Sequence[str]) -> float:
    """Return the seconds after which a router has listed every worker that answers, unless it looks at it no more.

    :param argv: the router's command line.
    """
    words = " ".join(argv)
    interval, delay = CHECK.search(words), DELAY.search(words)
    between = max(LEAST_SECONDS, int(interval[1]) if interval else CHECK_SECONDS)
    return ENOUGH_CHECKS * between + LIST_MARGIN + (int(delay[1]) if delay else 0)


def lasting_problems(planned: List[Dict[str, Any]], answer: Answer) -> List[str]:
    """Return the differences among them that no waiting mends: what is listed and should not be, or otherwise than planned."""
    return [
        text
        for text in worker_problems(planned, answer)
        if "not listed" not in text and "not healthy" not in text and "answered" not in text
    ]


def model_problems(model: str, answer: Answer) -> List[str]:
    """Return how the router's models differ from the planned one (GET /v1/models)."""
    data = answer.json() if answer.status == 200 else None
    rows = data.get("data") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        return [f"/v1/models answered {answer.error or answer.status}"]
    names = sorted({str(row.get("id")) for row in rows if isinstance(row, dict)})
    if names == [model]:
        return []
    unknown = ": a worker did not say what it serves, as a rank above 0 does not" if UNKNOWN in names else ""
    return [f"/v1/models names {', '.join(names) or 'no model'}, planned is {model}{unknown}"]
