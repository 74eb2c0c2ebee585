# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several views read out of a plan."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

Plan = Mapping[str, Any]
MOST_ALIKE = 6
SEVERITIES = ("error", "warning", "note", "waived")


def canonical(value: Any) -> str:
    """Return JSON that has one spelling only: sorted keys, one indent, a line break at the end."""
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def host_of(url: str) -> str:
    """Return the address in a URL, an IPv6 one without brackets."""
    return urlsplit(url).hostname or ""


def port_of(url: str) -> int:
    """Return the port in a URL."""
    return urlsplit(url).port or 80


def ranks(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield every rank, instance by instance."""
    for instance in plan["instances"]:
        yield from instance["ranks"]


def options(argv: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the words of each option of a command line, in its order; an option that comes again adds its words."""
    found: dict[str, tuple[str, ...]] = {}
    name = ""
    for word in argv:
        if word.startswith("--"):
            name = word
            found.setdefault(name, ())
        elif name:
            found[name] = (*found[name], word)
    return found


def arguments(rank: Mapping[str, Any]) -> dict[str, str]:
    """Return every argument of a rank as text, those of the argument file among them."""
    line = {name: " ".join(words) for name, words in options(rank["argv"]).items() if name != "--config"}
    return line | {"--" + name: word(value) for name, value in rank["arguments"].items()}


def word(value: Any) -> str:
    """Return a value as it would be written."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def devices(rank: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the RDMA devices by GPU, or all of them under an empty key where they are not told apart."""
    text = arguments(rank).get("--disaggregation-ib-device", "") or rank["environment"].get("NCCL_IB_HCA", "").lstrip("=")
    if not text or text.startswith("^"):
        return {}
    try:
        given = json.loads(text) if text.startswith("{") else None
    except ValueError:
        given = None
    if isinstance(given, dict):
        return {str(gpu): tuple(str(names).split(",")) for gpu, names in given.items()}
    return {"": tuple(text.split(","))}


def gpus(rank: Mapping[str, Any]) -> list[int]:
    """Return the GPUs (or NPUs) of a rank; on a CPU there are none, though the plan counts places for it."""
    return [] if rank["device"] == "cpu" else list(rank["gpus"])


@dataclass(frozen=True)
class Entry:
    """Findings that are shown as one, with the number by which pictures and lists name them.

    :ivar rows: findings that differ in host and text only.
    """

    number: int
    rows: tuple[Mapping[str, Any], ...]

    @property
    def first(self) -> Mapping[str, Any]:
        """The finding whose words are shown."""
        return self.rows[0]

    @property
    def severity(self) -> str:
        """How bad it is."""
        return str(self.first["severity"])

    @property
    def text(self) -> str:
        """What is wrong."""
        more = f" (and {len(self.rows) - 1} more like this)" if len(self.rows) > 1 else ""
        return f"{self.first['text']}{more}"

    def where(self, several: bool) -> list[str]:
        """Return what it concerns, in words.

        :param several: whether there are several clusters, so that each has to be named.
        """
        hosts = list(dict.fromkeys(row["host"] for row in self.rows if row["host"]))
        places = list(dict.fromkeys(row["place"] for row in self.rows if row["place"]))
        parts = [f"cluster {self.first['cluster']}"] if several and self.first["cluster"] else []
        return parts + ([some(places)] if places else []) + ([f"host {some(hosts)}"] if hosts else [])

    def homes(self, plan: Plan) -> list[str]:
        """Return the instances (or C(router)) beside which it is shown, none for one of a whole cluster."""
        return list(dict.fromkeys(name for row in self.rows for name in _homes(row, plan)))


def _homes(finding: Mapping[str, Any], plan: Plan) -> list[str]:
    if finding["place"]:
        return [finding["place"]]
    row = plan["hosts"].get(finding["host"]) if finding["host"] else None
    if row is None:
        return []
    return [*(rank["instance"] for rank in row["ranks"]), *(["router"] if row["router"] else [])]


def entries(findings: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """Return findings, the worst first, with their numbers; one that comes for more than MOST_ALIKE hosts or instances is one entry."""
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in sorted(findings, key=lambda row: SEVERITIES.index(row["severity"])):
        groups.setdefault(tuple(row[key] for key in ("severity", "rule", "variable", "fix", "cluster")), []).append(row)
    apart = [part for rows in groups.values() for part in ([tuple(rows)] if len(rows) > MOST_ALIKE else [(row,) for row in rows])]
    return [Entry(number, rows) for number, rows in enumerate(apart, 1)]


def count(number: int, what: str) -> str:
    """Return a number with its noun."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def tally(findings: Iterable[Mapping[str, Any]]) -> str:
    """Return how many findings of each severity there are."""
    rows = list(findings)
    numbers = {severity: sum(row["severity"] == severity for row in rows) for severity in SEVERITIES}
    parts = [f"{numbers['waived']} waived" if name == "waived" else count(numbers[name], name) for name in SEVERITIES if numbers[name]]
    return ", ".join(parts) or "no findings"


def some(names: Sequence[str], most: int = 4) -> str:
    """Return names as a list that does not grow with the cluster."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{names[0]}, {names[1]}, ... {names[-1]} ({len(names)})"
