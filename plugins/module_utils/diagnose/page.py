# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor's answer as text: the first finding first, each with its lines."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

WIDTH = 140
PLACES, LINES, NOTES, MISSED = 6, 3, 12, 8
WORDS = {
    "blocks": "Something keeps the cluster from serving",
    "degrades": "The cluster serves, but worse than it could",
    "clean": "Nothing known was found",
}


def _clean(text: str) -> str:
    """Return a text without control characters: what a log holds is shown, never obeyed by the terminal."""
    return "".join(character if character.isprintable() else "." for character in text)


def _wrapped(label: str, text: str, indent: str) -> list[str]:
    head = f"{indent}{label:<9}"
    return textwrap.wrap(_clean(" ".join(text.split())), WIDTH, initial_indent=head, subsequent_indent=" " * len(head)) if text else []


def _cut(text: str) -> str:
    clean = _clean(text)
    return clean if len(clean) <= 240 else clean[:237] + "..."


def _who(place: Mapping[str, Any]) -> str:
    name = place["instance"] or place["process"] or place["unit"]
    if name and place["rank"] is not None:
        name += f" rank {place['rank']}"
    return _clean(f"{place['host']} ({name})" if place["host"] and name else place["host"] or name or place["file"])


def _evidence(finding: Mapping[str, Any], indent: str, most: int) -> list[str]:
    lines: list[str] = []
    for place in finding["places"][:PLACES]:
        times = place["first"] + (f" to {place['last']}" if place["last"] != place["first"] else "")
        lines.append(f"{indent}{_who(place)}: {place['count']} time{'s' if place['count'] != 1 else ''}{', ' + times if times else ''}")
        lines += [f"{indent}  {_clean(item['file'])}:{item['line']}: {_cut(item['text'])}" for item in place["evidence"][:most]]
    if len(finding["places"]) > PLACES:
        lines.append(f"{indent}and {len(finding['places']) - PLACES} other processes")
    return lines


def _probe(finding: Mapping[str, Any], indent: str) -> list[str]:
    lines = []
    for row in finding.get("confirmed", []):
        told = f"{row['rule']} on {row['host'] or 'the plan'}: {row['state']}{', ' + row['text'] if row['text'] else ''}"
        lines += _wrapped("Checked:", told, indent)
    probe = finding["probe"]
    if probe["command"]:
        lines.append(f"{indent}Look:    {probe['command']}")
    if not lines and probe["rules"]:
        lines += _wrapped("Look:", "rules " + ", ".join(probe["rules"]), indent)
    return lines


def _root(number: int, finding: Mapping[str, Any]) -> list[str]:
    lines = [f"{number}. {finding['id']} {finding['severity']}: {_cut(finding['title'])}"]
    who = finding["guilty"]["name"]
    lines += _wrapped("Where:", f"{who}{', since ' + finding['first'] if finding['first'] else ''}", "   ")
    lines += _wrapped("Cause:", finding["cause"], "   ")
    lines += _wrapped("Fix:", finding["fix"], "   ")
    lines += _probe(finding, "   ")
    return [*lines, "   Seen:", *_evidence(finding, "     ", LINES)]


def _rest(findings: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for finding in findings:
        likely = ", likely" if finding["relation"] == "probable" else ""
        hosts = ", ".join(dict.fromkeys(_who(place) for place in finding["places"][:PLACES]))
        lines.append(f"     {finding['id']} {_cut(finding['title'])}{likely}: {hosts}{', ' + finding['first'] if finding['first'] else ''}")
        place = finding["places"][0]
        if place["evidence"]:
            item = place["evidence"][0]
            lines.append(f"       {_clean(item['file'])}:{item['line']}: {_cut(item['text'])}")
    return lines


def text(document: Mapping[str, Any]) -> str:
    """Return the text.

    :param document: what C(diagnosis.document) returned, perhaps with what was confirmed on the hosts.
    """
    findings = document["findings"]
    counting = [finding for finding in findings if finding["severity"] != "note"]
    lines = [WORDS[document["verdict"]] + "."]
    number = 0
    place = 0
    while place < len(counting):
        root = counting[place]
        behind = place + 1
        while behind < len(counting) and counting[behind]["follows_from"]:
            behind += 1
        number += 1
        lines += ["", *_root(number, root)]
        if behind > place + 1:
            lines += ["   What followed from it:", *_rest(counting[place + 1 : behind])]
        place = behind
    notes = [finding for finding in findings if finding["severity"] == "note"]
    if notes:
        lines += ["", "Notes:"]
        for finding in notes[:NOTES]:
            why = f" ({finding['note']})" if finding["note"] else ""
            lines.append(f"   {finding['id']} {_cut(finding['title'])}{why}: {_who(finding['places'][0])}")
        if len(notes) > NOTES:
            lines.append(f"   and {len(notes) - NOTES} more")
    if document["unknown_errors"]:
        lines += ["", "Lines that look like errors and that no signature knows:"]
        lines += [f"   {_clean(item['file'])}:{item['line']}: {_cut(item['text'])}" for item in document["unknown_errors"]]
    if not counting or counting[0]["kind"] == "symptom":
        lines += _advice(document)
    if document["not_read"]:
        lines += ["", "Not read:"]
        lines += [_clean(f"   {item['file']}: {item['why']}") for item in document["not_read"][:MISSED]]
        if len(document["not_read"]) > MISSED:
            lines.append(f"   and {len(document['not_read']) - MISSED} more")
    size = document["bytes"] / 1e6
    lines += ["", f"{len(document['logs'])} logs, {size:.1f} MB, {document['seconds']:.1f} s"]
    return "\n".join(lines)


def _advice(document: Mapping[str, Any]) -> list[str]:
    if not document["collect_next"]:
        return []
    return ["", "To collect next:", *(f"   {item}" for item in document["collect_next"])]
