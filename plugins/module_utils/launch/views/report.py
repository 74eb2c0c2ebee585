# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All views of a plan as the files of one directory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import porttable
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import (
    difference,
    firewalld,
    nftables,
    page,
    reading,
    text,
)
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views.reading import Plan

PLAN = "plan.json"
# Names of an inventory's file that say nothing: its directory's name is better.
NAMELESS = ("hosts", "inventory", "main", "all")


def files(plan: Plan, outside: Mapping[str, Iterable[str]], ssh_port: int, zone: str) -> dict[str, str]:
    """Return the text of each file by name; the same plan gives the same bytes."""
    flows, groups = porttable.flows(plan, ssh_port), porttable.groups(plan)
    return {
        PLAN: reading.canonical(plan),
        "plan.txt": text.view(plan, flows),
        "plan.html": page.view(plan, flows),
        "firewall.nft": nftables.text(flows, groups, outside),
        "firewall.json": reading.canonical(firewalld.data(flows, groups, outside, zone)),
    }


def refused(findings: Sequence[Mapping[str, Any]], draft: Plan | None = None) -> dict[str, str]:
    """Return what can be written of an inventory without a plan. The other files of the directory stay as they are.

    :param draft: what was planned all the same, for the picture.
    """
    return {"plan.txt": text.refusal(findings), "plan.html": page.refusal(findings, draft)}


def compare(previous: str, plan: Plan) -> tuple[list[difference.Change], str]:
    """Return what would change against a plan.json, and that in words.

    :param previous: text of the file, empty where there is none.
    """
    if not previous:
        return [], "There is no earlier plan to compare with.\n"
    try:
        old = json.loads(previous)
    except ValueError:
        return [], "The earlier plan is not JSON: nothing to compare with.\n"
    if not isinstance(old, dict) or not difference.comparable(old, plan):
        given = old.get("schema") if isinstance(old, dict) else None
        if given == plan["schema"]:
            return [], "The earlier plan is not whole: nothing to compare with.\n"
        return [], f"The earlier plan has schema {given}, this one {plan['schema']}: nothing to compare with.\n"
    found = difference.changes(old, plan)
    return found, difference.text(found)


def failures(findings: Iterable[Mapping[str, Any]], level: str) -> list[Mapping[str, Any]]:
    """Return the findings that are reason to fail.

    :param level: the least severity that is: C(error), C(warning) or C(note).
    """
    return [row for row in findings if reading.SEVERITIES.index(row["severity"]) <= reading.SEVERITIES.index(level)]


def verdict(findings: Sequence[Mapping[str, Any]]) -> str:
    """Return one sentence that says why a run fails."""
    refusing = any(row["severity"] == "error" for row in findings)
    return f"The inventory {'cannot be planned' if refusing else 'is planned'}: {reading.tally(findings)}. No host was contacted."


def name_of(sources: Sequence[str]) -> str:
    """Return what an inventory is called, after the first of its sources."""
    source = sources[0].rstrip("/") if sources else ""
    if not source or "," in source:
        return "hosts"
    parts = [part for part in source.split("/") if part not in ("", ".", "..")]
    stem = parts[-1].removesuffix(".yml").removesuffix(".yaml").removesuffix(".ini").removesuffix(".json") if parts else "hosts"
    return parts[-2] if stem in NAMELESS and len(parts) > 1 else stem
