# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What logs say, compared with what the plan's contract and the host checks say of the same hosts."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

# States of rows of the host checks and severities of the plan that confirm a finding.
BAD = ("error", "warning")


def confirm(
    document: MutableMapping[str, Any], findings: Sequence[Mapping[str, Any]], checks: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    """Add to every finding what rules of its probe say: C(confirmed), a list of rule, host, state and text.

    :param document: what C(diagnosis.document) returned.
    :param findings: of the plan's contract: rule, severity, host, text.
    :param checks: of each host the rows of the host checks: rule, state, text.
    """
    for finding in document["findings"]:
        wanted = set(finding["probe"]["rules"])
        hosts = {finding["host"], finding["guilty"]["host"], *(place["host"] for place in finding["places"])} - {""}
        rows = [
            {"rule": row.get("rule", ""), "host": row.get("host") or "", "state": row.get("severity", ""), "text": row.get("text", "")}
            for row in findings
            if row.get("rule") in wanted and (not row.get("host") or not hosts or row.get("host") in hosts)
        ]
        rows += [
            {"rule": row.get("rule", ""), "host": host, "state": row.get("state", ""), "text": row.get("text", "")}
            for host, table in checks.items()
            for row in table
            if row.get("rule") in wanted and (not hosts or host in hosts)
        ]
        finding["confirmed"] = sorted(rows, key=lambda row: (row["state"] not in BAD, row["host"], row["rule"]))
