# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Of an engine that has ended, the cause is named by which it ends again; over the doctor's corpus, and of none that is well."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import catalogue, last_words
from ansible_collections.railyard.sglang.tests.unit.support import doctorlogs

LOGS = sorted(doctorlogs.CORPUS.glob("*/**/*rank*.log")) if doctorlogs.CORPUS.is_dir() else []
LOADED = catalogue.load()
AGAIN = "2026-11-28T12:28:14+0000 d0 systemd[1]: sglang-decode-0.service: Scheduled restart job, restart counter is at 1."
BEGUN = "2026-11-28T12:28:02+0000 d0 python[372]: [2026-11-28 12:28:02] server_args=ServerArgs(model_path='/opt/models/tiny')"
CUT_OFF = "2026-11-28T12:28:12+0000 d0 python[372]: safetensors_rust.SafetensorError: Error while deserializing header: incomplete metadata"
KILLED = "2026-11-28T12:28:13+0000 d0 python[372]: [2026-11-28 12:28:13] Received sigquit from a child process."
FULL = "2026-11-28T12:28:13+0000 d0 python[372]: OSError: [Errno 28] No space left on device"
WARNED = (
    "2026-11-28T12:28:01+0000 d0 python[372]: [2026-11-28 12:28:01] Ignore import error when loading sglang.srt.models.x: "
    "libcudart.so.12: cannot open shared object file: No such file or directory"
)
DEAD = "2026-11-28T12:28:13+0000 d0 python[370]: [2026-11-28 12:28:13] Rank 0 scheduler is dead. Please check if there are relevant logs."
CODE = "2026-11-28T12:28:13+0000 d0 python[370]: [2026-11-28 12:28:13] Exit code: 1"
HIT = "2026-11-28T12:28:12+0000 d0 python[372]: [2026-11-28 12:28:12 TP0] Scheduler hit an exception: Traceback (most recent call last):"
OTHER = "2026-11-28T12:28:12+0000 d0 python[373]: [2026-11-28 12:28:12 TP1] Load weight end."
OTHER_FULL = "2026-11-28T12:28:12+0000 d0 python[373]: [2026-11-28 12:28:12 TP1] could not write: [Errno 28] No space left on device"
BY_HAND = "2026-11-28T12:28:14+0000 d0 systemd[1]: Started sglang-decode-0.service - SGLang decode-0, rank 0 of 1 (decode)."
TAKEN = "2026-11-28T12:28:13+0000 d0 python[372]: OSError: [Errno 98] address already in use"


def found_in(path: Path) -> last_words.Cause | None:
    """Return what is found where the whole of a log is the last run of an engine."""
    return last_words.cause(LOADED, [*path.read_text(encoding="utf-8", errors="replace").splitlines(), AGAIN])


@pytest.mark.parametrize("path", LOGS, ids=[str(path.relative_to(doctorlogs.CORPUS)) for path in LOGS])
def test_it_is_what_the_doctor_finds(path: Path) -> None:
    found = found_in(path)
    if found is not None:
        case = doctorlogs.CORPUS / path.relative_to(doctorlogs.CORPUS).parts[0]
        assert found.id in doctorlogs.case(case)["expect"]["findings"]
        assert "{" not in found.title + found.fix


def test_each_cause_that_stays_is_named_at_least_once() -> None:
    told = {found.id for found in map(found_in, LOGS) if found is not None}
    assert told == {signature.id for signature in LOADED.signatures.values() if signature.stays}


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], None),
        ([BEGUN, KILLED, AGAIN], None),
        ([BEGUN, CUT_OFF, KILLED, AGAIN], "L26"),
        ([BEGUN, CUT_OFF, KILLED, AGAIN, BEGUN, FULL], "L26"),
        # A start before the last one, and one that goes on.
        ([BEGUN, CUT_OFF, AGAIN, BEGUN, KILLED, AGAIN], None),
        ([BEGUN, KILLED, AGAIN, BEGUN, CUT_OFF], None),
        # What follows from the first, and what it only warns of.
        ([BEGUN, CUT_OFF, FULL, KILLED, AGAIN], "L26"),
        ([WARNED, BEGUN, TAKEN, AGAIN], None),
        ([BEGUN, WARNED, TAKEN, AGAIN], None),
        # SGLang's own last lines, and other processes' ordinary ones after the first that ends.
        ([BEGUN, CUT_OFF, DEAD, CODE, AGAIN], "L26"),
        ([BEGUN, HIT, CUT_OFF, OTHER, KILLED, AGAIN], "L26"),
        ([BEGUN, HIT, OTHER_FULL, KILLED, AGAIN], None),
        # A start by hand between.
        ([BEGUN, CUT_OFF, BY_HAND, TAKEN, AGAIN], None),
        # Another start may find the port free.
        ([BEGUN, TAKEN, AGAIN], None),
    ],
)
def test_the_first_of_the_last_words_is_named(lines: list[str], told: str | None) -> None:
    found = last_words.cause(LOADED, lines)
    assert (found.id if found else None) == told
