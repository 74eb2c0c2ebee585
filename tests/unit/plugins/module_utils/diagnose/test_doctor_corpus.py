# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The corpus: every case as it was written, told in other words, at another time, and with all logs in one file.

Precision and recall are those of the ids above a note: both must be 1, that is the sets must be equal.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import catalogue
from ansible_collections.railyard.sglang.tests.unit.support import doctorlogs

FOLDERS = sorted(path for path in doctorlogs.CORPUS.iterdir() if (path / "case.toml").exists()) if doctorlogs.CORPUS.is_dir() else []
CASES = [(folder, variant) for folder in FOLDERS for variant in [None, *sorted(folder.glob("variant-*"))]]


@pytest.fixture(scope="module")
def loaded() -> catalogue.Catalogue:
    return catalogue.load()


def check(path: Path, expected: dict[str, Any], loaded: catalogue.Catalogue) -> None:
    """Assert that the doctor says of logs what a case expects."""
    found = doctorlogs.diagnosed(path, loaded)
    first = found.first
    assert set(doctorlogs.ids(found)) == set(expected["findings"])
    assert (first.id if first else "") == expected["first"]
    if first and "host" in expected:
        assert first.host == expected["host"]
    if first and "guilty" in expected:
        assert expected["guilty"] in (first.guilty_host, first.guilty, first.signature.guilty)
    parents = {finding.id: finding.parent for finding in found.findings}
    for consequence, cause in expected.get("causes", {}).items():
        assert parents[consequence] == cause


def test_there_is_a_corpus() -> None:
    assert len(FOLDERS) >= 60


@pytest.mark.parametrize(
    ("folder", "variant"), CASES, ids=[f"{folder.name}{'/' + variant.name if variant else ''}" for folder, variant in CASES]
)
def test_case(folder: Path, variant: Path | None, loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    check(variant or doctorlogs.copied(folder, tmp_path / "logs"), doctorlogs.case(folder)["expect"], loaded)


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
def test_case_at_another_time(folder: Path, loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    check(doctorlogs.retimed(folder, tmp_path / "logs", 47), doctorlogs.case(folder)["expect"], loaded)


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
def test_case_in_one_file(folder: Path, loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    path = doctorlogs.interleaved(folder, tmp_path / "logs")
    if path is None:
        pytest.skip("one log only, or logs whose lines do not name their host")
    check(path, doctorlogs.case(folder)["expect"], loaded)
