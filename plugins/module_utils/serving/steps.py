# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps of the proof: what was to be shown, whether it was, in what time, by what evidence, and what stands against it."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, TypeVar

PROVEN = "proven"
FAILED = "failed"
NOT_TRIED = "not tried"

T = TypeVar("T")


@dataclass
class Step:
    """One step.

    :ivar evidence: what was seen, in one sentence.
    :ivar problems: why it is not proven.
    :ivar notes: what an operator should know although it is.
    """

    name: str
    state: str = PROVEN
    seconds: float = 0.0
    evidence: str = ""
    problems: List[str] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)

    def settled(self, seconds: float = 0.0) -> Step:
        """Return itself with its state and time."""
        if self.state != NOT_TRIED:
            self.state = FAILED if self.problems else PROVEN
        self.seconds = round(self.seconds + seconds, 2)
        return self

    def plain(self) -> Dict[str, Any]:
        """Return it as data."""
        return {
            "step": self.name,
            "state": self.state,
            "seconds": self.seconds,
            "evidence": self.evidence,
            "problems": list(self.problems),
            "notes": list(self.notes),
        }


def not_tried(name: str, why: str) -> Step:
    """Return a step that did not come to pass."""
    return Step(name, NOT_TRIED, evidence=why)


def timed(work: Callable[[], Step]) -> Step:
    """Do a step and take its time."""
    began = time.monotonic()
    return work().settled(time.monotonic() - began)


def together(jobs: Sequence[Callable[[], T]], width: int) -> List[T]:
    """Do jobs at the same time, so many at once, and return their results in the order of the jobs.

    Each job must end by itself; what it raises is raised here. The threads do not keep the process when it ends.
    """
    waiting: queue.Queue[Tuple[int, Callable[[], T]]] = queue.Queue()
    done: queue.Queue[Tuple[int, List[T], Optional[BaseException]]] = queue.Queue()
    for row in enumerate(jobs):
        waiting.put(row)

    def work() -> None:
        while True:
            try:
                index, job = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((index, [job()], None))
            except BaseException as error:  # a thread's exception would be lost, and its job be waited for
                done.put((index, [], error))

    for _thread in range(min(width, len(jobs))):
        threading.Thread(target=work, daemon=True).start()
    found: Dict[int, T] = {}
    for _job in jobs:
        index, results, error = done.get()
        if error is not None:
            raise error
        found[index] = results[0]
    return [found[index] for index in range(len(jobs))]
