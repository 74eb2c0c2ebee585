# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor: reads logs, and says what went wrong first, where, and what followed from it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import clock, cluster, derived
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.catalogue import (
    ENGINE,
    KERNEL,
    NOTE,
    OTHER,
    ROUTER,
    Catalogue,
    Marker,
    Match,
    Signature,
)
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.evidence import Evidence
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.judging import Finding, Judge, Place, marker
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.ordering import Ordering, verdict
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.scanning import LIGHT, Hit, Scanner, Span, Watch
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.sources import Reading, Skipped, read

# Version of the document that is written; it grows when a field changes its meaning or goes.
FORMAT = 1
# Lines that say themselves that something is wrong: shown where nothing known was found.
UNKNOWN = "unknown"
ERRORS = Match(
    (
        "Traceback (most recent call last)",
        "Error:",
        "Error(",
        "Exception",
        " ERROR",
        "CRITICAL",
        "FATAL",
        "Segmentation fault",
        "Failed to",
        "Cannot",
        "code=exited, status=",
    ),
    re.compile(
        r"Traceback \(most recent call last\)|\b\w+(?:Error|Exception)\b[:(]|\b(?:ERROR|CRITICAL|FATAL)\b|\bException\b"
        r"|Segmentation fault|Fatal Python error"
        # What glog marks as an error, and a process that says by its exit code that it failed.
        r"|(?:^|[\s=\]])[EF](?:\d{4})?\d{4} \d\d:\d\d:\d\d\.\d"
        r"|code=exited, status=(?!0/|143/)\d"
    ),
)
SHOWN_ERRORS = 5
SPANS = 2000


@dataclass
class Diagnosis:
    """What came out.

    :ivar findings: each root, then what follows from it, then the next root; notes last.
    :ivar verdict: V(blocks), V(degrades) or V(clean).
    :ivar errors: lines that look like errors and that no signature knows; only where nothing known was found.
    :ivar advice: what to collect next.
    :ivar seconds: that reading took.
    """

    findings: list[Finding]
    verdict: str
    spans: list[Span]
    skipped: list[Skipped]
    errors: list[Hit] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    bytes: int = 0
    seconds: float = 0.0
    dropped: int = 0
    cluster: cluster.Cluster = field(default_factory=cluster.Cluster)

    @property
    def first(self) -> Finding | None:
        """Return the first finding, None where there is none above a note."""
        return self.findings[0] if self.findings and self.findings[0].severity != NOTE else None


def watches(catalogue: Catalogue) -> list[Watch]:
    """Return all that is looked for."""
    found = [Watch(item.id, match) for item in catalogue.signatures.values() for match in item.matches]
    found += [Watch(marker(item.id), match, most=1) for item in catalogue.markers.values() for match in item.matches]
    return [*found, *cluster.WATCHES, Watch(UNKNOWN, ERRORS, most=LIGHT)]


def suits(processes: Sequence[str], process: str) -> bool:
    """Return whether what is looked for in some kinds of processes is looked for in one; in all, where it is not known which it is."""
    return not process or "any" in processes or process in processes


def diagnose(
    path: str,
    catalogue: Catalogue,
    progress: Callable[[float, int], None] | None = None,
    standing: Sequence[derived.Derived] = (),
    names: Mapping[str, str] | None = None,
    *,
    begins: Mapping[str, float] | None = None,
) -> Diagnosis:
    """Return what logs say.

    :param path: a file, an archive or a directory.
    :param progress: called with the share of the stored bytes that was read, 0 to 1, and the bytes of lines.
    :param standing: what is known besides the logs, of units and hosts.
    :param names: other names for hosts of the logs, for example the inventory's.
    :param begins: of hosts, by those names, since when their logs are whole; before that are beginnings of units alone. Seconds since 1970.
    :raises OSError: where the path itself cannot be read.
    """
    begun = time.monotonic()
    reading = Reading()
    evidence, seen = Evidence(), cluster.Cluster(names=dict(names or {}))
    scanner = Scanner(
        watches(catalogue),
        None if progress is None else lambda size: progress(reading.share, size),
        frozenset(item.id for item in catalogue.signatures.values() if item.then_silence),
    )
    processes: Mapping[str, tuple[str, ...]] = {
        **{item.id: item.processes for item in catalogue.signatures.values()},
        **{marker(item.id): item.processes for item in catalogue.markers.values()},
    }
    spans: list[Span] = []
    errors: list[Hit] = []
    for source in read(path, reading):
        for found_item in scanner.scan(source):
            item = _renamed(found_item, seen.names)
            if isinstance(item, Span):
                if len(spans) < SPANS:
                    spans.append(item)
                if item.problem:
                    reading.skipped.append(Skipped(source.name, item.problem))
            elif item.owner.startswith("fact:"):
                seen.take(item)
            elif item.owner == UNKNOWN:
                # What services of the host complain of is their business; how a unit ended may be the cluster's, whatever it is called.
                if len(errors) < 200 and (item.origin.process != OTHER or "code=exited" in item.text):
                    errors.append(item)
            elif suits(processes[item.owner], item.origin.process):
                evidence.add(item)
    findings = Judge(catalogue, evidence, seen, spans, scanner.followed, begins=begins).findings([*derived.derive(seen), *standing])
    ordered = Ordering(findings, evidence, seen).ordered()
    found = verdict(ordered)
    known = {(line.origin.file, line.number) for finding in findings for place in finding.places for line in place.lines}
    # The line that ends a traceback is shown with the one that begins it.
    known |= {(hit.origin.file, hit.ends[0]) for hit in errors if hit.ends is not None}
    return Diagnosis(
        ordered,
        found,
        spans,
        reading.skipped,
        [hit for hit in errors if (hit.origin.file, hit.number) not in known and not _known(hit, catalogue)][:SHOWN_ERRORS]
        if found == "clean"
        else [],
        _advice(seen, spans, ordered, evidence),
        scanner.read,
        time.monotonic() - begun,
        evidence.dropped,
        seen,
    )


def _known(hit: Hit, catalogue: Catalogue) -> bool:
    """Return whether some signature or marker knows a line: of many only a few are kept as evidence."""
    items: list[Signature | Marker] = [*catalogue.signatures.values(), *catalogue.markers.values()]
    known = (match for item in items if suits(item.processes, hit.origin.process) for match in item.matches)
    return any(match.known(hit.text) for match in known)


def _renamed(item: Hit | Span, names: Mapping[str, str]) -> Hit | Span:
    """Return a hit or a span with the name by which its host is known elsewhere."""
    name = names.get(item.origin.host, item.origin.host)
    return item if name == item.origin.host else replace(item, origin=replace(item.origin, host=name))


def _advice(seen: cluster.Cluster, spans: Sequence[Span], findings: Sequence[Finding], evidence: Evidence) -> list[str]:
    """Return what is missing among the logs."""
    advice = []
    origins = [seen.named(span.origin) for span in spans]
    roles = {origin.role for origin in origins} | {engine.role for engine in seen.engines.values()}
    processes = {origin.process for origin in origins} | ({ROUTER} if seen.routers else set())
    processes |= {origin.process for _owner, origin in evidence.tallies}
    if not spans:
        return ["There is no log here that could be read."]
    advice += [
        f"Logs of {role} engines, of every rank and host: journalctl -u 'sglang-*' --output=export"
        for role in ("prefill", "decode")
        if role not in roles
    ]
    if ROUTER not in processes:
        advice.append("The router's log: journalctl -u sglang-router --output=export")
    if KERNEL not in processes:
        advice.append("The kernel's log of each engine host: journalctl --dmesg --output=export")
    started = [engine for engine in seen.engines.values() if engine.arguments]
    if ENGINE in processes and not started:
        advice.append("The engines' logs from their start on: the line server_args=... is not in them")
    advice += [
        f"The log of rank {finding.groups.get('value', '?')} of the instance of {finding.head.origin.label}"
        for finding in findings
        if finding.id == "L11"
    ]
    if spans and all(span.first is None for span in spans):
        advice.append("Logs with times, for example journalctl --output=export: without them no order across hosts is known")
    return advice


# What commands of probes name without knowing it, and what stands there where the logs do not say.
_PLACES = {"engine_address": ("port", "30000"), "bootstrap_address": ("disaggregation_bootstrap_port", "8998")}


def command(finding: Finding, seen: cluster.Cluster) -> str:
    """Return the command of a finding's probe, with the addresses at which the programs listen: engines do not listen on the loopback."""
    text = finding.signature.probe.command
    engine = None
    for place in finding.places:
        peers = [name for key in ("peer", "url") for name in place.values.get(key, [])] if finding.signature.guilty == "peer" else []
        engine = next((found for name in peers if (found := seen.at(name)) is not None), None) or seen.engines.get(place.origin)
        same = [item for item in seen.engines.values() if item.origin.file == place.origin.file and item.arguments]
        engine = engine or (same[0] if len(same) == 1 else None)
        if engine is not None:
            break
    for name, (port, default) in _PLACES.items():
        host = cluster.address(engine.value("host")) if engine is not None else ""
        if engine is not None and engine.api is not None:
            host = cluster.split(engine.api.groups["url"])[0] or host
        host = "127.0.0.1" if host and cluster.wildcard(host) else host
        shown = f"[{host}]" if ":" in host else host or "ADDRESS"
        text = text.replace("{" + name + "}", f"{shown}:{(engine.value(port) if engine is not None else '') or default}")
    listens = [router.listens for router in seen.routers.values() if router.listens]
    return text.replace("{router_address}", listens[0] if len(set(listens)) == 1 else "ADDRESS:8000")


def _lines(place: Place) -> list[dict[str, Any]]:
    """Return the evidence of a place; what ends a traceback stands behind the line that begins it."""
    rows: list[dict[str, Any]] = []
    for hit in place.lines:
        rows.append({"file": hit.origin.file, "line": hit.number, "time": clock.text(hit.seconds), "text": hit.text})
        if hit.ends is not None:
            rows.append({"file": hit.origin.file, "line": hit.ends[0], "time": clock.text(hit.seconds), "text": hit.ends[1]})
    return rows


def _finding(finding: Finding, order: Sequence[Finding], seen: cluster.Cluster) -> dict[str, Any]:
    signature = finding.signature
    return {
        "id": finding.id,
        "title": finding.text("title"),
        "kind": signature.kind,
        "stage": signature.stage,
        "severity": finding.severity,
        "note": finding.note,
        "host": finding.host,
        "guilty": {"side": signature.guilty, "name": finding.guilty, "host": finding.guilty_host},
        "first": clock.text(finding.first.seconds),
        "follows_from": finding.parent,
        "relation": finding.relation,
        "consequences": [other.id for other in order if other.parent == finding.id],
        "cause": finding.text("cause"),
        "fix": finding.text("fix"),
        "variables": list(signature.variables),
        "probe": {"rules": list(signature.probe.rules), "command": command(finding, seen), "none": signature.probe.none},
        "values": finding.groups,
        "sources": list(signature.sources),
        "places": [
            {
                "host": place.origin.host,
                "process": place.origin.process,
                "instance": place.origin.instance or place.origin.role,
                "rank": place.origin.rank,
                "unit": place.origin.unit,
                "file": place.origin.file,
                "count": place.count,
                "first": clock.text(place.first.seconds),
                "last": clock.text(place.last.seconds),
                "evidence": _lines(place),
            }
            for place in finding.places
        ],
    }


def document(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return it as plain data; docs/doctor.md describes every field."""
    return {
        "format": FORMAT,
        "verdict": diagnosis.verdict,
        "first": diagnosis.first.id if diagnosis.first else "",
        "findings": [_finding(finding, diagnosis.findings, diagnosis.cluster) for finding in diagnosis.findings],
        "unknown_errors": [
            {"file": hit.origin.file, "line": number, "time": clock.text(hit.seconds), "text": text}
            for hit in diagnosis.errors
            for number, text in [(hit.number, hit.text), *([hit.ends] if hit.ends is not None else [])]
        ],
        "collect_next": diagnosis.advice,
        "logs": [
            {
                "file": span.origin.file,
                "host": span.origin.host,
                "process": span.origin.process,
                "lines": span.lines,
                "bytes": span.bytes,
                "first": clock.text(span.first),
                "last": clock.text(span.last),
                "problem": span.problem,
            }
            for span in diagnosis.spans
        ],
        "not_read": [{"file": item.name, "why": item.why} for item in diagnosis.skipped],
        "bytes": diagnosis.bytes,
        "seconds": round(diagnosis.seconds, 3),
        "hits_dropped": diagnosis.dropped,
    }
