# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Order by cause: which finding follows from which, and which one comes first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.catalogue import BLOCKS, CAUSE, NOTE, ROUTER, SEVERITIES, SYMPTOM
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.cluster import Cluster
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.evidence import Evidence
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.judging import Finding

# Clocks of hosts differ by so many seconds at most where nothing else is known.
SLACK = 5.0
# A symptom more than so many seconds after the last sign of a cause is not taken for its consequence without a word of its signature.
WINDOW = 1800.0
KNOWN, PROBABLE = "known", "probable"


def _key(finding: Finding) -> tuple[bool, float, str]:
    return finding.first.seconds is None, finding.first.seconds or 0.0, finding.id


def _hosts(finding: Finding) -> set[str]:
    return {place.origin.host for place in finding.places if place.origin.host} | ({finding.guilty_host} if finding.guilty_host else set())


class Ordering:
    """Links findings and puts them in order."""

    def __init__(self, findings: Sequence[Finding], evidence: Evidence, cluster: Cluster) -> None:
        self.findings, self.cluster = list(findings), cluster
        self.by_id = {finding.id: finding for finding in findings}
        self._on_host: dict[str, set[str]] = {}
        for engine in cluster.engines.values():
            instance = cluster.named(engine.origin).instance
            if instance and engine.origin.host:
                self._on_host.setdefault(engine.origin.host, set()).add(instance)
        self._rooms: dict[str, set[str]] = {}
        for room, keys in evidence.rooms.items():
            for owner, _origin in keys:
                self._rooms.setdefault(owner, set()).add(room)

    def ordered(self) -> list[Finding]:
        """Return the findings: each root, what follows from it behind it, notes last."""
        counting = [finding for finding in self.findings if finding.severity != NOTE]
        for finding in sorted(counting, key=_key):
            parent = self._known(finding, counting)
            if parent is not None:
                finding.parent, finding.relation = parent.id, KNOWN
        for finding in sorted(counting, key=_key):
            if not finding.parent and finding.signature.kind == SYMPTOM:
                parent = self._probable(finding, counting)
                if parent is not None:
                    finding.parent, finding.relation = parent.id, PROBABLE
        roots = [finding for finding in counting if not finding.parent]
        trees = {root.id: [finding for finding in counting if self.root(finding) is root] for root in roots}

        def rank(root: Finding) -> tuple[int, bool, bool, float, str]:
            worst = min(SEVERITIES.index(finding.severity) for finding in trees[root.id])
            return worst, root.signature.kind != CAUSE, *_key(root)

        ordered = []
        for root in sorted(roots, key=rank):
            ordered += [root, *sorted((finding for finding in trees[root.id] if finding is not root), key=_key)]
        return ordered + sorted((finding for finding in self.findings if finding.severity == NOTE), key=_key)

    def root(self, finding: Finding) -> Finding:
        """Return what a finding follows from in the end."""
        while finding.parent:
            finding = self.by_id[finding.parent]
        return finding

    def _known(self, finding: Finding, others: Sequence[Finding]) -> Finding | None:
        wanted = set(finding.signature.follows)
        found = [
            other
            for other in others
            if other is not finding
            and wanted & {other.id, *other.signature.tags}
            and (other.signature.derived or other.first.before(finding.first, self._slack(other, finding)) is not False)
            and self.root(other) is not finding
            and not (other.signature.announces and other.first.beside(finding.first, SLACK))
        ]

        def worth(other: Finding) -> tuple[bool, bool, bool, bool, bool, float, str]:
            last = other.signature.announces
            return not self._related(other, finding), last, other.signature.kind != CAUSE, bool(other.parent), *_key(other)

        return min(found, key=worth, default=None)

    @staticmethod
    def _slack(other: Finding, finding: Finding) -> float:
        """Return by how much the first may be later: not at all where a cause would follow from a symptom, or each from the other.

        A line that only says that a traceback follows stands above its cause.
        """
        if finding.signature.announces and other.first.beside(finding.first, SLACK):
            return SLACK
        mutual = set(other.signature.follows) & {finding.id, *finding.signature.tags}
        return 0.0 if mutual or (other.signature.kind == SYMPTOM and finding.signature.kind == CAUSE) else SLACK

    def _probable(self, finding: Finding, others: Sequence[Finding]) -> Finding | None:
        found = [
            other
            for other in others
            if other is not finding
            and other.signature.kind == CAUSE
            and other.severity == BLOCKS
            and self._precedes(other, finding)
            and self.root(other) is not finding
            and (self._related(other, finding) or finding.head.origin.process == ROUTER)
        ]
        return min(found, key=_key, default=None)

    @staticmethod
    def _precedes(cause: Finding, finding: Finding) -> bool:
        if cause.signature.derived:
            return True
        if cause.first.before(finding.first, SLACK) is not True:
            return False
        last = max((place.last.seconds or 0.0 for place in cause.places), default=0.0)
        return finding.first.seconds is None or finding.first.seconds - last <= WINDOW

    def _related(self, one: Finding, other: Finding) -> bool:
        """Return whether two findings share a host, an instance or a request, or one names the other's host."""
        if _hosts(one) & _hosts(other) or self._instances(one) & self._instances(other):
            return True
        if self._rooms.get(one.id, set()) & self._rooms.get(other.id, set()):
            return True
        return bool(self._named(one) & _hosts(other) or self._named(other) & _hosts(one))

    def _instances(self, finding: Finding) -> set[str]:
        found = {place.origin.instance for place in finding.places if place.origin.instance}
        return found.union(*(self._on_host.get(place.origin.host, set()) for place in finding.places))

    def _named(self, finding: Finding) -> set[str]:
        found = set()
        for place in finding.places:
            for name in ("peer", "url", "address"):
                for value in place.values.get(name, []):
                    engine = self.cluster.at(value)
                    if engine is not None and engine.origin.host:
                        found.add(engine.origin.host)
        return found


def verdict(findings: Sequence[Finding]) -> str:
    """Return the worst severity among findings, V(clean) where there is none above a note."""
    severities: Mapping[str, int] = {name: number for number, name in enumerate(SEVERITIES)}
    worst = min((severities[finding.severity] for finding in findings), default=len(SEVERITIES))
    return SEVERITIES[worst] if worst < severities[NOTE] else "clean"
