# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the doctor takes from a bundle besides its logs: from the archive, unpacked, packed again, and from what others may send instead."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.bundle import reading
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import catalogue, confirming, diagnosis, sources, standing
from ansible_collections.railyard.sglang.tests.unit.support import doctorlogs

FAILED = {"LoadState": "loaded", "ActiveState": "failed", "SubState": "failed", "Result": "exit-code", "NRestarts": "5"}
HOSTS: dict[str, Any] = {
    "gpu-a": {"in_plan": True, "hostname": "p0", "begins": 1763618400.5, "cut": True, "missing": {"journal": "the newest messages only"}},
    "gpu-b": {"in_plan": True, "hostname": "", "cut": False, "missing": {"host": "not reached: no route"}},
    "gpu/c": {"in_plan": True, "hostname": "d0", "begins": None, "cut": False, "missing": {}},
}
FINDINGS = [{"rule": "r", "severity": "error", "host": "gpu-a", "text": "t"}]
COMPARED = [{"rule": "compare.clock", "severity": "error", "host": "gpu-a", "text": "the clock is at least 5 s behind that of gpu/c; x"}]
CRASH = ["Scheduler hit an exception: Traceback (most recent call last):", "OSError: [Errno 28] No space left on device"]
FILES: dict[str, Any] = {
    "manifest.json": {"bundle": 1, "hosts": HOSTS, "incomplete": {"logs/gpu-a.log": "cut off"}, "files": []},
    "README.txt": "Scheduler hit an exception: Traceback (most recent call last):",
    "plan/findings.json": FINDINGS,
    "facts/summary.json": {"findings": COMPARED, "hosts": []},
    "checks/hosts/gpu-a.json": [{"rule": "preflight.shm", "state": "error", "text": "RuntimeError: CUDA error: an illegal memory access"}],
    "checks/hosts/gpu_c.json": [{"rule": "c", "state": "ok", "text": ""}],
    "units/hosts/gpu-a.json": {"sglang-prefill-0.service": FAILED},
    "units/hosts/gpu_c.json": {"sglang-decode-0.service": {"LoadState": "loaded", "ActiveState": "inactive", "SubState": "dead"}},
    "logs/gpu-a.log": "\n".join(doctorlogs.stamped(second, text, "p0") for second, text in enumerate([doctorlogs.arguments(), *CRASH])),
}


def data(value: Any) -> bytes:
    """Return the bytes of a file."""
    return (value if isinstance(value, str) else json.dumps(value, indent=1)).encode() + b"\n"


def packed(path: Path, files: dict[str, Any], prefix: str = "") -> Path:
    """Write an archive, files in the given order."""
    with tarfile.open(path, "w:gz") as archive:
        for name, value in files.items():
            entry = tarfile.TarInfo(prefix + name)
            entry.size = len(data(value))
            archive.addfile(entry, io.BytesIO(data(value)))
    return path


def unpacked(path: Path, files: dict[str, Any]) -> Path:
    """Write files below a directory."""
    for name, value in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data(value))
    return path


def check(path: Path) -> None:
    """Assert that a path is understood as the bundle that is described above."""
    found = reading.evidence(str(path))
    assert found.findings == FINDINGS
    assert found.compared == COMPARED
    assert {host: [row["rule"] for row in rows] for host, rows in found.checks.items()} == {"gpu-a": ["preflight.shm"], "gpu/c": ["c"]}
    assert found.unreachable == ["gpu-b"]
    assert standing.names(found.journals) == {"p0": "gpu-a", "d0": "gpu/c"}
    assert standing.begins(found.journals) == {"gpu-a": 1763618400.5}
    assert found.not_read == [
        {"file": "gpu-a", "why": "its journal: the newest messages only"},
        {"file": "logs/gpu-a.log", "why": "cut off"},
    ]
    live = {
        "gpu-a": {"hostname": "p0", "units": [{"Id": "sglang-prefill-0.service", **FAILED}]},
        "gpu/c": {"hostname": "d0", "units": [{"Id": "sglang-decode-0.service", "LoadState": "loaded", "ActiveState": "inactive",
                                               "SubState": "dead"}]},
    }  # fmt: skip
    logs = doctorlogs.write(path.parent / "live", gpu_a=FILES["logs/gpu-a.log"].split("\n"))

    def said(where: Path, journals: dict[str, Any], away: list[str]) -> list[Any]:
        done = diagnosis.diagnose(str(where), catalogue.load(), standing=standing.standing(journals, away), names=standing.names(journals))
        return [(row["id"], row["host"], row["follows_from"], row["severity"]) for row in diagnosis.document(done)["findings"]]

    of_bundle = said(path, found.journals, found.unreachable)
    assert of_bundle == said(logs, live, ["gpu-b"])
    assert {"L53", "L54", "L55", "L29"} <= {row[0] for row in of_bundle}
    assert "L12" not in {row[0] for row in of_bundle}


@pytest.mark.parametrize("prefix", ["", "./", "case/", "./case/"])
@pytest.mark.parametrize("last", [False, True])
def test_an_archive(tmp_path: Path, prefix: str, last: bool) -> None:
    files = dict(sorted(FILES.items(), key=lambda item: (item[0] == "manifest.json") == last)) if last else FILES
    check(packed(tmp_path / "x.tgz", files, prefix))


@pytest.mark.parametrize("below", [".", "case"])
def test_a_directory(tmp_path: Path, below: str) -> None:
    unpacked(tmp_path / "x" / below, FILES)
    check(tmp_path / "x")


def test_only_logs_are_read_as_logs(tmp_path: Path) -> None:
    files = {name: FILES[name] for name in sorted(FILES)}
    path = packed(tmp_path / "x.tgz", files, "case/")
    assert [source.name for source in sources.read(str(path), sources.Reading())] == ["x.tgz!case/logs/gpu-a.log"]


def test_what_is_no_bundle_says_nothing(tmp_path: Path) -> None:
    assert reading.evidence(str(tmp_path)) == reading.Evidence()
    assert reading.evidence(str(tmp_path / "none")) == reading.Evidence()
    (tmp_path / "a.log").write_text("x\n", encoding="utf-8")
    assert reading.evidence(str(tmp_path / "a.log")) == reading.Evidence()
    other = packed(tmp_path / "x.tgz", {"manifest.json": {"version": 1}, "plan/findings.json": FINDINGS})
    assert reading.evidence(str(other)) == reading.Evidence()


DEEP = "[" * 200000


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("bad", [{"a": 1}, DEEP, "{", ["x", 1, None], None, "\udcff"])
def test_what_others_send_is_taken_for_what_it_is(tmp_path: Path, archive: bool, bad: Any) -> None:
    files = {
        "manifest.json": FILES["manifest.json"], "checks/hosts/bad.json": bad, "checks/hosts/gpu-a.json": FILES["checks/hosts/gpu-a.json"],
        "plan/findings.json": bad, "units/hosts/bad.json": bad, "units/hosts/gpu-a.json": FILES["units/hosts/gpu-a.json"],
    }  # fmt: skip
    if bad == "\udcff":
        files = {name: "\x00" if value == bad else value for name, value in files.items()}
    path = packed(tmp_path / "x.tgz", files) if archive else unpacked(tmp_path / "x", files)
    found = reading.evidence(str(path))
    assert found.findings == []
    assert [row["rule"] for row in found.checks["gpu-a"]] == ["preflight.shm"]
    assert found.journals["gpu-a"]["units"][0]["ActiveState"] == "failed"
    if isinstance(bad, str):
        assert {"checks/hosts/bad.json", "plan/findings.json", "units/hosts/bad.json"} <= {row["file"] for row in found.not_read}


def test_rows_of_others_can_be_compared(tmp_path: Path) -> None:
    rows = [{"rule": ["a"], "host": 3, "state": None, "severity": {}}, {"rule": "b"}]
    found = reading.evidence(
        str(packed(tmp_path / "x.tgz", {"manifest.json": {"bundle": 1}, "plan/findings.json": rows, "checks/hosts/h.json": rows}))
    )
    finding = {"probe": {"rules": ["a", "b"]}, "host": "", "guilty": {"host": ""}, "places": []}
    document = {"findings": [finding]}
    confirming.confirm(document, found.findings, found.checks)
    assert [row["rule"] for row in document["findings"][0]["confirmed"]] == ["b", "b"]


@pytest.mark.parametrize("manifest", [{"bundle": 1, "hosts": []}, {"bundle": 1, "hosts": {"a": 1, "b": {"missing": 1, "hostname": 2}}}])
def test_manifests_of_others(tmp_path: Path, manifest: Any) -> None:
    found = reading.evidence(str(packed(tmp_path / "x.tgz", {"manifest.json": manifest})))
    assert (found.unreachable, found.journals, found.not_read) == ([], {}, [])


def test_pipes_and_links_are_not_followed(tmp_path: Path) -> None:
    place = unpacked(tmp_path / "x", {"manifest.json": FILES["manifest.json"]})
    (place / "plan").mkdir()
    os.mkfifo(place / "plan/findings.json")
    (place / "checks/hosts").mkdir(parents=True)
    (tmp_path / "outside.json").write_text(json.dumps([{"rule": "secret"}]), encoding="utf-8")
    (place / "checks/hosts/h.json").symlink_to(tmp_path / "outside.json")
    found = reading.evidence(str(place))
    assert (found.findings, found.checks) == ([], {})
    assert {row["file"] for row in found.not_read} >= {"plan/findings.json", "checks/hosts/h.json"}
    (tmp_path / "y").mkdir()
    os.mkfifo(tmp_path / "y/manifest.json")
    assert reading.evidence(str(tmp_path / "y")) == reading.Evidence()
    reached = sources.Reading()
    assert list(sources.read(str(tmp_path / "y"), reached)) == []
    assert [skipped.why for skipped in reached.skipped] == ["not a plain file"]


def test_all_files_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "TOTAL", 4000)
    rows = [{"rule": "x" * 1000}]
    files = {"manifest.json": FILES["manifest.json"], **{f"checks/hosts/h{number}.json": rows for number in range(9)}}
    found = reading.evidence(str(packed(tmp_path / "x.tgz", files)))
    assert 0 < len(found.checks) < 9
    assert len([row for row in found.not_read if "more than is read" in row["why"]]) == 9 - len(found.checks)


def test_a_file_that_goes_meanwhile_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = doctorlogs.write(tmp_path / "logs", a=["one"], b=["two"])
    listed = list(sources._files(str(place), sources.Reading()))
    monkeypatch.setattr(sources, "_files", lambda *_given: iter(listed))
    (place / "a.log").unlink()
    reached = sources.Reading()
    assert [source.name for source in sources.read(str(place), reached)] == ["b.log"]
    assert [skipped.name for skipped in reached.skipped] == ["a.log"]
