# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests for templates, their documentation, and systemd's own opinion where it is here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from ansible_collections.railyard.sglang.plugins.test import journal

TESTS = journal.TestModule().tests()
ANALYZE = shutil.which("systemd-analyze")
TAKEN = [
    *("-2h", "-90min", "2h ago", "30 min ago", "1 day 2 hours ago", "-1.5h", "now", "yesterday", "@1790000000"),
    *("2026-11-20", "2026-11-20 06:00", "2026-11-20 06:00:00", "2026-11-20T06:00:00Z", "2026-11-20 06:00:00 UTC", "06:00"),
    "Fri 2026-11-20 06:00:00 Europe/Berlin",
]
REFUSED = ["", "2 hours of them?", "20.11.2026", "-2h; rm -r /", "last week", "2026/11/20", "-2h\n"]


@pytest.mark.parametrize(("text", "taken"), [*((text, True) for text in TAKEN), *((text, False) for text in REFUSED)])
def test_journal_time(text: str, taken: bool) -> None:
    assert TESTS["journal_time"](text) is taken


@pytest.mark.parametrize("value", [7, None, ["-2h"], {"-2h": 1}])
def test_what_is_no_text_is_no_time(value: object) -> None:
    assert TESTS["journal_time"](value) is False


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not here")
@pytest.mark.parametrize("text", [text for text in TAKEN if "T" not in text and "/" not in text])  # systemd 252 takes neither
def test_systemd_takes_them(text: str) -> None:
    subprocess.run([str(ANALYZE), "timestamp", "--", text], check=True, capture_output=True)


def test_each_test_is_documented() -> None:
    documents = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in Path(journal.__file__).parent.glob("*.yml")}
    assert set(documents) == set(TESTS)
    assert [row["DOCUMENTATION"]["name"] for row in documents.values()] == list(documents)
