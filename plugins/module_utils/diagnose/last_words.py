# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine that has ended said last of a cause that stays: the next start ends of it, too."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.catalogue import ANY, ENGINE, Catalogue, filled
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.redaction import without_payload

# systemd's words at the end of a start that it follows by another one, and at the beginning of each (systemd 239 to 257).
AGAIN = "Scheduled restart job, restart counter is at"
BEGUN = re.compile(r"systemd\[1\]: (?:Starting|Started) ")
# A line of the engine's logger that is not about its end (SGLang 0.5.8 and 0.5.23). What it only warns of it has lived with: the ends of
# its processes, a traceback each, come after its last ordinary line, or after the last one before the first scheduler that says so.
ORDINARY = re.compile(
    r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[^\]]*\] "
    r"(?!.*(?:exception|Traceback|sigquit|SIGQUIT|scheduler is dead|Exit code:|Dumping requests|terminated with))"
)
FIRST = "hit an exception"


@dataclass(frozen=True)
class Cause:
    """A signature that was found, its texts filled from the line."""

    id: str
    title: str
    fix: str
    line: str


def of_the_last_end(lines: Sequence[str]) -> list[str]:
    """Return what an engine said after its last ordinary line, in the last of its starts that has ended.

    :param lines: of its unit's journal; what follows systemd's last restart is of a start that goes on.
    """
    ends = [index for index, line in enumerate(lines) if AGAIN in line]
    if not ends:
        return []
    begins = [index for index, line in enumerate(lines[: ends[-1]]) if BEGUN.search(line) or AGAIN in line]
    run = lines[begins[-1] + 1 if begins else 0 : ends[-1]]
    first = next((index for index, line in enumerate(run) if FIRST in line), len(run))
    ordinary = [index for index, line in enumerate(run[:first]) if ORDINARY.search(line)]
    return [line for line in run[ordinary[-1] + 1 if ordinary else 0 :] if not ORDINARY.search(line)]


def _causes(catalogue: Catalogue, line: str) -> Iterator[Cause]:
    for signature in catalogue.signatures.values():
        if not signature.stays or not {ENGINE, ANY} & set(signature.processes):
            continue
        for match in signature.matches:
            found = match.search(line) if any(literal in line for literal in match.literals) else None
            if found is not None:
                groups = found.groupdict()
                yield Cause(signature.id, filled(signature.title, groups), filled(signature.fix, groups), line)


def cause(catalogue: Catalogue, lines: Sequence[str]) -> Cause | None:
    """Return the first cause that stays of an engine's last end; what comes after it commonly follows from it.

    :param lines: of its unit's journal.
    """
    return next((found for line in of_the_last_end(lines) for found in _causes(catalogue, without_payload(line))), None)
