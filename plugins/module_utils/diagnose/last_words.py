# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the log of an engine that has just ended says of a cause that stays: the next start ends of it, too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.catalogue import ANY, ENGINE, Catalogue, filled
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.redaction import without_payload


@dataclass(frozen=True)
class Cause:
    """A signature that was found, its texts filled from the line."""

    id: str
    title: str
    fix: str


def _causes(catalogue: Catalogue, line: str) -> Iterator[Cause]:
    for signature in catalogue.signatures.values():
        if not signature.stays or not {ENGINE, ANY} & set(signature.processes):
            continue
        for match in signature.matches:
            found = match.search(line) if match.known(line) else None
            if found is not None:
                groups = found.groupdict()
                yield Cause(signature.id, filled(signature.title, groups), filled(signature.fix, groups))


def cause(catalogue: Catalogue, lines: Iterable[str]) -> Cause | None:
    """Return the first cause that stays; what comes after it in a log commonly follows from it.

    :param lines: of one engine's log, as systemd's journal prints them.
    """
    return next((found for line in lines for found in _causes(catalogue, without_payload(line))), None)
