# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archive: names in it and in the names of its files, digests, what is broken, and that it is written whole or not at all."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import subprocess
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.bundle import pack, reading
from ansible_collections.railyard.sglang.plugins.module_utils.bundle.pack import BundleError, Item, Packer
from ansible_collections.railyard.sglang.plugins.module_utils.bundle.replacing import Replacing
from ansible_collections.railyard.sglang.plugins.module_utils.bundle.secrets import MARK, Secrets
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import sources

TEN = "10."
MADE = 1795000000.5
EXPORT = b"_HOSTNAME=other9\nMESSAGE=from gpu7 to other9\n\n"
FINDINGS = [{"rule": "port.twice", "host": "gpu7", "severity": "error", "text": "gpu7"}]
CHECKS = [{"rule": "preflight.memlock", "state": "error", "text": f"at {TEN}0.0.5"}]


def items(tmp_path: Path) -> list[Item]:
    """Return some files, one of each kind."""
    below = tmp_path / "in/logs"
    below.mkdir(parents=True)
    (below / "gpu7.export.gz").write_bytes(gzip.compress(EXPORT))
    (below / "notes.txt").write_bytes(b"password=abc \xff of gpu7")
    made = [pack.readme(), pack.json_item(pack.FINDINGS, FINDINGS), pack.json_item(f"{pack.CHECKS}gpu7.json", CHECKS)]
    return pack.ordered([*pack.files_below(str(tmp_path / "in")), *made])


def packed(tmp_path: Path, files: list[Item], replacing: Replacing | None) -> tuple[pack.Packed, dict[str, bytes]]:
    packer = Packer(Secrets(), replacing)
    about = {"hosts": {"gpu7": {"missing": {"facts": f"no answer from {TEN}0.0.5"}}}}
    packer.learn(files, json.dumps(about))
    found = packer.write(files, about, str(tmp_path / "bundle.tar.gz"), MADE)
    with tarfile.open(tmp_path / "bundle.tar.gz") as archive:
        entries = {entry.name: (entry, archive.extractfile(entry)) for entry in archive}
        assert all(entry.mode == 0o600 and entry.mtime == int(MADE) for entry, _inner in entries.values())
        return found, {name: inner.read() for name, (_entry, inner) in entries.items() if inner is not None}


def unpacked(archive: Path, directory: Path) -> None:
    """Unpack an archive; tarfile's own way to do that safely came with Python 3.11.4."""
    directory.mkdir(parents=True)
    subprocess.run(["tar", "-xzf", archive, "-C", directory], check=True)


def test_names_in_files_and_of_files(tmp_path: Path) -> None:
    told, found = packed(tmp_path, items(tmp_path), Replacing(["gpu7"]))
    assert list(found) == [
        "manifest.json", "README.txt", "checks/hosts/host1.json", "plan/findings.json", "logs/host1.export.gz", "logs/notes.txt",
    ]  # fmt: skip
    assert gzip.decompress(found["logs/host1.export.gz"]) == b"_HOSTNAME=host2\nMESSAGE=from host1 to host2\n\n"
    assert found["logs/notes.txt"] == f"password={MARK} ".encode() + b"\xff of host1"
    manifest = json.loads(found["manifest.json"])
    assert manifest["hosts"] == {"host1": {"missing": {"facts": "no answer from 203.0.113.5"}}}
    assert manifest["incomplete"] == {}
    for row in manifest["files"]:
        assert (row["size"], row["sha256"]) == (len(found[row["name"]]), hashlib.sha256(found[row["name"]]).hexdigest())
    whole = (tmp_path / "bundle.tar.gz").read_bytes()
    assert (told.size, told.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    assert stat.S_IMODE((tmp_path / "bundle.tar.gz").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle.tar.gz", "in"]


def test_without_replacing_secrets_are_masked_all_the_same(tmp_path: Path) -> None:
    _told, found = packed(tmp_path, items(tmp_path), None)
    assert gzip.decompress(found["logs/gpu7.export.gz"]) == EXPORT
    assert found["logs/notes.txt"] == f"password={MARK} ".encode() + b"\xff of gpu7"


def test_a_broken_journal_is_noted(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(b"MESSAGE=%d\n\n" % number for number in range(5000)))
    (tmp_path / "a.export.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b.export.gz").write_bytes(gzip.compress(b"MESSAGE=one\n\nMESSAGE=tw"))
    files = [Item(f"logs/{name}.export.gz", str(tmp_path / f"{name}.export.gz"), form=pack.EXPORT) for name in "ab"]
    told, found = packed(tmp_path, files, Replacing())
    assert set(told.problems) == {"logs/a.export.gz", "logs/b.export.gz"}
    assert told.problems["logs/b.export.gz"] == "cut off"
    assert json.loads(found["manifest.json"])["incomplete"] == told.problems
    assert gzip.decompress(found["logs/a.export.gz"]).startswith(b"MESSAGE=0\n\nMESSAGE=1\n\n")
    assert gzip.decompress(found["logs/b.export.gz"]) == b"MESSAGE=one\n\n"


def test_files_of_the_same_name_are_refused_and_the_old_archive_stays(tmp_path: Path) -> None:
    (tmp_path / "bundle.tar.gz").write_bytes(b"old")
    with pytest.raises(BundleError, match=r"two files of the bundle would be called a\. Fix: "):
        packed(tmp_path, [Item("a", data=b"1"), Item("a", data=b"2")], None)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        packed(tmp_path, [Item("manifest.json", data=b"1")], None)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("bundle.tar.gz", b"old")]


def test_an_archive_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "bundle.tar.gz").mkdir()
    with pytest.raises(IsADirectoryError):
        packed(tmp_path, [Item("a", data=b"1")], None)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle.tar.gz"]


def test_of_a_bundle_only_its_logs_are_logs(tmp_path: Path) -> None:
    packed(tmp_path, items(tmp_path), Replacing(["gpu7"]))
    names = [source.name for source in sources.read(str(tmp_path / "bundle.tar.gz"), sources.Reading())]
    assert names == ["bundle.tar.gz!logs/host1.export.gz", "bundle.tar.gz!logs/notes.txt"]
    # Unpacked, unpacked within others, and packed anew with a directory above it.
    unpacked(tmp_path / "bundle.tar.gz", tmp_path / "out/case-7")
    names = [source.name for source in sources.read(str(tmp_path / "out"), sources.Reading())]
    assert names == ["case-7/logs/host1.export.gz", "case-7/logs/notes.txt"]
    with tarfile.open(tmp_path / "again.tar", "w") as archive:
        archive.add(tmp_path / "out/case-7/manifest.json", "case-7/manifest.json")
        archive.add(tmp_path / "out/case-7", "case-7")
        archive.add(tmp_path / "out/case-7/README.txt", "mail.txt")
    names = [source.name for source in sources.read(str(tmp_path / "again.tar"), sources.Reading())]
    assert sorted(names) == ["again.tar!case-7/logs/host1.export.gz", "again.tar!case-7/logs/notes.txt", "again.tar!mail.txt"]


def test_another_manifest_is_a_file_like_others(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"files": []}\n', encoding="utf-8")
    (tmp_path / "a.log").write_text("a\n", encoding="utf-8")
    names = [source.name for source in sources.read(str(tmp_path), sources.Reading())]
    assert names == ["a.log", "manifest.json"]
    with tarfile.open(tmp_path.parent / "other.tar", "w") as archive:
        archive.add(tmp_path / "manifest.json", "manifest.json")
        archive.add(tmp_path / "a.log", "a.log")
    rows = [(source.name, source.stream.read()) for source in sources.read(str(tmp_path.parent / "other.tar"), sources.Reading())]
    assert rows == [("other.tar!manifest.json", b'{"files": []}\n'), ("other.tar!a.log", b"a\n")]


def test_what_confirms_findings_is_read_from_a_bundle(tmp_path: Path) -> None:
    packed(tmp_path, items(tmp_path), Replacing(["gpu7"]))
    wanted = reading.Evidence(
        findings=[{"rule": "port.twice", "host": "host1", "severity": "error", "text": "host1"}],
        checks={"host1": [{"rule": "preflight.memlock", "state": "error", "text": "at 203.0.113.5"}]},
    )
    assert reading.evidence(str(tmp_path / "bundle.tar.gz")) == wanted
    unpacked(tmp_path / "bundle.tar.gz", tmp_path / "out")
    assert reading.evidence(str(tmp_path / "out")) == wanted
    (tmp_path / "out/manifest.json").write_text("{}", encoding="utf-8")
    for path in ("out", "in", "nothing", "in/logs/notes.txt"):
        assert reading.evidence(str(tmp_path / path)) == reading.Evidence()


def test_memory_is_bounded_and_it_says_how_far_it_is(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.export.gz", "wb", compresslevel=1) as stream:
        for number in range(2000):
            stream.write(b"_HOSTNAME=gpu7\nMESSAGE=%d from gpu7 %s\n\n" % (number, b"of many " * 500))
    files = [Item("logs/a.export.gz", str(tmp_path / "a.export.gz"), form=pack.EXPORT), Item("b", data=b"x" * 1000)]
    shares: list[float] = []
    packer = Packer(Secrets(), Replacing(["gpu7"]), shares.append)
    tracemalloc.start()
    packer.learn(files, "")
    packer.write(files, {}, str(tmp_path / "bundle.tar.gz"), MADE)
    _now, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 6 << 20
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert 0.5 < shares[-1] < 1.0


def test_a_saved_file_is_whole_and_its_owners(tmp_path: Path) -> None:
    pack.save(str(tmp_path / "map.json"), "one")
    pack.save(str(tmp_path / "map.json"), "two")
    assert [(path.name, path.read_text("utf-8")) for path in tmp_path.iterdir()] == [("map.json", "two")]
    assert stat.S_IMODE((tmp_path / "map.json").stat().st_mode) == 0o600
    (tmp_path / "map").mkdir()
    with pytest.raises(OSError, match="directory"):
        pack.save(str(tmp_path / "map"), "three")
    assert sorted(os.listdir(tmp_path)) == ["map", "map.json"]


def test_long_lines_are_changed_as_wholes() -> None:
    out = io.BytesIO()
    packer = Packer(Secrets())
    text = b"a" * (pack.PIECE - 3) + b"\npassword=abcdef\n" + b"b" * (2 * pack.PIECE) + b" password=abcdef"
    packer._copy(Item("a", data=text), out)
    assert out.getvalue() == text.replace(b"=abcdef", b"=" + MARK.encode())
