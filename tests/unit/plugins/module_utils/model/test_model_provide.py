# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Models from directories and a real web server: whole, resumed, mended, kept, and killed at any point."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.model import directory, provide, record
from ansible_collections.railyard.sglang.plugins.module_utils.model.errors import ModelError
from ansible_collections.railyard.sglang.plugins.module_utils.model.http import Mirror
from ansible_collections.railyard.sglang.plugins.module_utils.model.progress import Meter
from ansible_collections.railyard.sglang.plugins.module_utils.model.source import BLOCK, Directory, File, Source, checked, sums
from ansible_collections.railyard.sglang.tests.unit.support import models


def options(path: Path, **more: Any) -> provide.Options:
    return provide.Options(str(path), {"asked": "for this"}, reserve=0, **more)


def run(source: Source, path: Path, **more: Any) -> provide.Outcome:
    return provide.Provider(source, options(path, **more)).run()


@pytest.fixture(name="source")
def write_source(tmp_path: Path) -> Path:
    return models.write(tmp_path / "source")


@pytest.fixture(name="path")
def name_path(tmp_path: Path) -> Path:
    return tmp_path / "models" / "m"


def test_from_a_directory(source: Path, path: Path) -> None:
    predicted = run(Directory(str(source)), path, check=True)
    assert not path.parent.exists()
    done = run(Directory(str(source)), path)
    for name in ("changed", "problems", "fetched", "fetched_bytes", "after"):
        assert getattr(predicted, name) == getattr(done, name), name
    assert done.changed
    assert done.fetched == directory.files(str(source))
    assert done.checksum == directory.checksum(directory.manifest(str(source)))
    assert directory.problems(str(path)) == []
    assert directory.manifest(str(path)) == directory.manifest(str(source))
    assert os.readlink(path) == f".versions/m/{done.after}"
    assert (path / "config.json").stat().st_mode & 0o777 == 0o644


def test_a_second_run_reads_nothing(source: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(Directory(str(source)), path)
    before = models.inodes(path)

    def never(name: str) -> str:
        raise AssertionError(f"{name} was read")

    monkeypatch.setattr(directory, "sha256", never)
    second = run(Directory(str(source)), path)
    assert not second.changed
    assert second.checksum == first.checksum
    assert models.inodes(path) == before


def test_a_file_that_was_touched_is_read_and_kept(source: Path, path: Path) -> None:
    run(Directory(str(source)), path)
    os.utime(path / "model-1.safetensors")
    before = models.inodes(path)
    assert not run(Directory(str(source)), path).changed
    assert models.inodes(path) == before
    known = record.read(str(path))["files"]["model-1.safetensors"]
    assert record.same(str(path), "model-1.safetensors", known)


@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing"])
def test_a_damaged_shard_is_mended_alone(source: Path, path: Path, damage: str) -> None:
    first = run(Directory(str(source)), path)
    shard = path / "model-1.safetensors"
    if damage == "flipped":
        models.flip(shard)
    elif damage == "truncated":
        os.truncate(shard, 1000)
    else:
        shard.unlink()
    before = models.inodes(path)
    predicted = run(Directory(str(source)), path, check=True)
    done = run(Directory(str(source)), path)
    assert predicted.fetched == done.fetched == ["model-1.safetensors"]
    assert done.changed
    assert done.after == first.after
    after = models.inodes(path)
    assert {name for name in after if before.get(name) != after[name]} == {"model-1.safetensors"}
    assert directory.manifest(str(path)) == directory.manifest(str(source))


def test_a_bit_that_turned_by_itself_is_found_by_full_verification(source: Path, path: Path) -> None:
    run(Directory(str(source)), path)
    models.flip(path / "model-2.safetensors", quietly=True)
    assert not run(Directory(str(source)), path).changed
    done = run(Directory(str(source)), path, full=True)
    assert done.problems == ["model-2.safetensors has other bytes than its checksum says"]
    assert directory.manifest(str(path)) == directory.manifest(str(source))


def test_a_new_version_shares_what_is_the_same_and_old_ones_go(source: Path, path: Path) -> None:
    models.sums(source)
    first = run(Directory(str(source)), path).after
    keys = [first]
    for number in range(2):
        models.shard(source / "model-0.safetensors", f"new {number}", 200_000)
        models.sums(source)
        predicted = run(Directory(str(source)), path, check=True)
        done = run(Directory(str(source)), path)
        assert predicted.fetched == done.fetched == ["model-0.safetensors"]
        assert predicted.linked == done.linked
        assert "model-1.safetensors" in done.linked
        assert predicted.pruned == done.pruned
        keys.append(done.after)
    assert done.pruned == [first]
    assert sorted(name for name in os.listdir(path.parent / ".versions" / "m") if not name.startswith(".")) == sorted(keys[1:])
    # Back to what is still here: only the link is switched.
    models.shard(source / "model-0.safetensors", "new 0", 200_000)
    models.sums(source)
    back = run(Directory(str(source)), path)
    assert (back.changed, back.fetched, back.after) == (True, [], keys[1])


def test_keep_none_removes_none(source: Path, path: Path) -> None:
    for number in range(3):
        models.shard(source / "model-0.safetensors", f"new {number}", 1000)
        assert run(Directory(str(source)), path, keep=0).pruned == []
    assert len(provide.Store(str(path)).versions()) == 3


def test_an_incomplete_source_is_never_current(source: Path, path: Path) -> None:
    (source / "model-1.safetensors").unlink()
    with pytest.raises(ModelError, match=r"not whole: model-1.safetensors is missing. Fix: complete the source"):
        run(Directory(str(source)), path)
    assert not path.exists()


def test_what_the_operator_put_there_is_left_alone(source: Path, path: Path) -> None:
    path.mkdir(parents=True)
    (path / "file").write_text("mine", encoding="utf-8")
    for check in (True, False):
        with pytest.raises(ModelError, match="was not put there by this stage, and is left alone"):
            run(Directory(str(source)), path, check=check)
    assert (path / "file").read_text(encoding="utf-8") == "mine"


def test_no_room(source: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provide, "free_bytes", lambda _path: 100_000)
    for check in (True, False):
        with pytest.raises(ModelError, match=r"GiB are to come and 0.0 GiB stay free, 0.0 GiB are free. Fix: free space"):
            run(Directory(str(source)), path, check=check)
    assert not path.exists()


def test_another_checksum_than_wanted(source: Path, path: Path) -> None:
    models.sums(source)
    with pytest.raises(ModelError, match="wanted 000"):
        run(Directory(str(source)), path, checksum="0" * 64)
    assert not path.exists()


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "", "a//b", "."])
def test_names_that_lead_out_are_refused(name: str) -> None:
    with pytest.raises(ModelError, match="outside of the model"):
        checked([File(name, 1)], "it")


def test_sums_are_those_of_sha256sum() -> None:
    digest = "a" * 64
    assert sums(f"{digest}  ./a b\n{digest} *c/d\n\n", "it") == {"a b": digest, "c/d": digest}
    with pytest.raises(ModelError, match="sha256sum does not write"):
        sums("<html>", "it")


def test_by_http(source: Path, path: Path) -> None:
    wanted = models.sums(source)
    with models.served(source) as site:
        done = run(Mirror(site.address), path, checksum=wanted)
        assert done.checksum == wanted
        assert directory.manifest(str(path)) == directory.manifest(str(source))
        count = len(site.asked)
        assert not run(Mirror(site.address), path, checksum=wanted).changed
        # Nobody is asked for what is known.
        assert len(site.asked) == count
        models.flip(path / "model-0.safetensors")
        assert run(Mirror(site.address), path, checksum=wanted).fetched == ["model-0.safetensors"]
        assert {asked for _method, asked, _headers in site.asked[count:]} == {"/model-0.safetensors"}


@pytest.mark.parametrize("ranges", [True, False])
def test_an_answer_that_breaks_off_is_gone_on_with(source: Path, path: Path, ranges: bool) -> None:
    models.sums(source)
    with models.served(source) as site:
        site.ranges = ranges
        site.cut["/model-1.safetensors"] = [70_000, 50_000]
        run(Mirror(site.address, pause=0.01), path)
        asked = site.bodies("/model-1.safetensors")
    assert asked == (["", "bytes=70000-", "bytes=120000-"] if ranges else ["", "bytes=70000-", "bytes=50000-"])
    assert directory.manifest(str(path)) == directory.manifest(str(source))


def test_a_part_of_an_earlier_run_that_is_damaged(source: Path, path: Path) -> None:
    models.sums(source)
    with models.served(source) as site:
        predicted = run(Mirror(site.address), path, check=True)
        part = Path(provide.Store(str(path)).partial(predicted.after), "model-1.safetensors.part")
        part.parent.mkdir(parents=True)
        part.write_bytes(b"x" * 1000)
        run(Mirror(site.address), path)
        assert site.bodies("/model-1.safetensors") == ["bytes=1000-", ""]
    assert directory.manifest(str(path)) == directory.manifest(str(source))


def test_wrong_bytes_are_refused_by_name_and_the_rest_is_kept(source: Path, path: Path) -> None:
    models.sums(source)
    with models.served(source) as site:
        site.flip = {"/model-2.safetensors"}
        with pytest.raises(ModelError, match=r"model-2.safetensors from http.*has the checksum \w+ instead of"):
            run(Mirror(site.address), path, threads=1)
        assert not path.exists()
        site.flip = set()
        done = run(Mirror(site.address), path)
        assert "model-2.safetensors" in done.fetched
        assert "model-0.safetensors" not in done.fetched
    assert directory.manifest(str(path)) == directory.manifest(str(source))


def test_a_server_that_is_not_there(path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be fetched"):
        run(Mirror("http://127.0.0.1:9", pause=0.001), path)


def test_a_token_goes_to_its_server_alone(source: Path, path: Path) -> None:
    models.sums(source)
    with models.served(source) as other, models.served(source) as site:
        site.token = "s3cret-token"
        with pytest.raises(ModelError, match="answers 401") as found:
            run(Mirror(site.address, "another-token"), path)
        assert "another-token" not in str(found.value)
        site.elsewhere = other.address
        run(Mirror(site.address, "s3cret-token"), path)
        assert other.asked
        assert not any("Authorization" in headers for _method, _path, headers in other.asked)
    assert "s3cret" not in Path(str(path), directory.RECORD).read_text(encoding="utf-8")


class Slow(Directory):
    """A directory that is read slowly, so that a kill meets every step."""

    def fetch(self, file: File, target: str, progress: Any) -> None:
        with Path(self.said, file.name).open("rb") as stream, open(target, "ab", buffering=0) as output:
            stream.seek(output.tell())
            for block in iter(lambda: stream.read(BLOCK // 32), b""):
                time.sleep(0.004)
                output.write(block)
                progress(len(block))


def work(source: str, path: str) -> None:
    """Be the run that is killed."""
    print("begun", flush=True)
    provide.Provider(Slow(source), provide.Options(path, {"asked": "for this"}, reserve=0, threads=2)).run()


def test_killed_at_any_point_the_same_command_ends_right(source: Path, path: Path) -> None:
    models.sums(source)
    command = [sys.executable, "-c", f"from {__name__} import work; work({str(source)!r}, {str(path)!r})"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    killed = 0
    # Seconds that a run has: on an idle machine it needs about a quarter of one.
    for number, seconds in enumerate([0, 0.02, 0.04, 0.07, 0.1, 0.15, 0.01, 0.03, 0.05, 0.08, 0.12, 0.2]):
        if number == 6:
            # A version is current now or soon; then it has a successor, and one shard is damaged.
            run(Directory(str(source)), path)
            models.shard(source / "model-0.safetensors", "new", 300_000)
            models.sums(source)
            models.flip(path / "model-1.safetensors")
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
            assert process.stdout
            assert process.stdout.readline() == b"begun\n"
            time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
        killed += process.returncode == -signal.SIGKILL
        if path.exists() and number < 6:
            assert directory.problems(str(path)) == []
    assert killed >= 4
    run(Slow(str(source)), path)
    assert directory.manifest(str(path)) == directory.manifest(str(source))
    assert os.listdir(path.parent / ".versions" / "m" / ".partial") == []
    assert not run(Directory(str(source)), path).changed


def test_another_run_is_waited_for_and_then_named(source: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ansible_collections.railyard.sglang.plugins.module_utils.model.store.LOCK_SECONDS", 0.1)
    with provide.Store(str(path)).lock(), pytest.raises(ModelError, match="another run is at work"):
        run(Directory(str(source)), path)


def test_the_outcome_names_every_file(source: Path, path: Path) -> None:
    done = dataclasses.asdict(run(Directory(str(source)), path))
    assert {name: row["sha256"] for name, row in done["files"].items()} == directory.manifest(str(source))


def two_versions(source: Path, path: Path) -> tuple[str, str]:
    """Have two versions that differ in one shard and share the others; return their keys."""
    models.sums(source)
    first = run(Directory(str(source)), path).after
    models.shard(source / "model-0.safetensors", "new", 200_000)
    models.sums(source)
    return first, run(Directory(str(source)), path).after


def back(source: Path) -> None:
    """Have the source offer the first of two versions again."""
    models.shard(source / "model-0.safetensors", "amodel-0.safetensors", 200_000)
    models.sums(source)


@pytest.mark.parametrize("quietly", [True, False])
def test_a_rotten_file_that_two_versions_share_is_mended_in_both(source: Path, path: Path, quietly: bool) -> None:
    first, second = two_versions(source, path)
    assert models.inodes(path)["model-1.safetensors"] in models.inodes(path.parent / ".versions" / "m" / first).values()
    models.flip(path / "model-1.safetensors", quietly)
    predicted = run(Directory(str(source)), path, full=quietly, check=True)
    done = run(Directory(str(source)), path, full=quietly)
    assert (predicted.fetched, predicted.linked) == (done.fetched, done.linked) == (["model-1.safetensors"], [])
    assert done.after == second
    assert directory.manifest(str(path)) == directory.manifest(str(source))
    # The other version has the rotten bytes still: what a run of it finds is not what its record says.
    back(source)
    done = run(Directory(str(source)), path)
    assert done.after == first
    assert directory.manifest(str(path)) == directory.manifest(str(source))
    assert done.linked == ["model-1.safetensors"]


def test_a_file_of_another_version_is_read_before_it_is_shared(source: Path, path: Path) -> None:
    models.sums(source)
    first = run(Directory(str(source)), path).after
    models.flip(path / "model-1.safetensors", quietly=True)
    models.shard(source / "model-0.safetensors", "new", 200_000)
    models.sums(source)
    done = run(Directory(str(source)), path)
    assert (done.fetched, "model-2.safetensors" in done.linked) == (["model-0.safetensors", "model-1.safetensors"], True)
    assert directory.manifest(str(path)) == directory.manifest(str(source))
    back(source)
    assert run(Directory(str(source)), path).after == first
    assert directory.manifest(str(path)) == directory.manifest(str(source))


def test_what_was_found_rotten_stays_so_until_it_is_mended(source: Path, path: Path) -> None:
    run(Directory(str(source)), path)
    models.flip(path / "model-1.safetensors", quietly=True)
    (source / "model-1.safetensors").rename(source / "elsewhere")
    with pytest.raises(ModelError):
        run(Broken(str(source)), path, full=True)
    (source / "elsewhere").rename(source / "model-1.safetensors")
    assert run(Directory(str(source)), path).fetched == ["model-1.safetensors"]
    assert directory.manifest(str(path)) == directory.manifest(str(source))


class Broken(Directory):
    """A directory whose list is that of a moment ago."""

    def listing(self) -> list[File]:
        (Path(self.said) / "elsewhere").rename(Path(self.said) / "model-1.safetensors")
        found = super().listing()
        (Path(self.said) / "model-1.safetensors").rename(Path(self.said) / "elsewhere")
        return found


def test_a_live_file_is_never_gone_while_another_takes_its_place(source: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_versions(source, path)
    shard, linked, link = path / "model-1.safetensors", [], os.link
    shard.unlink()
    shard.write_bytes(b"x" * 100)

    def seen(here: str, there: str) -> None:
        linked.append(shard.exists())
        link(here, there)

    monkeypatch.setattr(os, "link", seen)
    (path / "model-1.safetensors.part").write_bytes(b"what a killed run has left")
    assert run(Directory(str(source)), path).linked == ["model-1.safetensors"]
    assert linked == [True]
    assert directory.manifest(str(path)) == directory.manifest(str(source))


@pytest.mark.parametrize("left", [[], ["config.json"], ["config.json", "model-0.safetensors"]])
def test_what_a_killed_mend_has_left_beside_a_whole_version(source: Path, path: Path, left: list[str]) -> None:
    key = run(Directory(str(source)), path).after
    partial = Path(provide.Store(str(path)).partial(key))
    partial.mkdir()
    for name in left:
        (partial / name).write_bytes(b"half")
    run(Directory(str(source)), path)
    assert not partial.exists()
    assert directory.manifest(str(path)) == directory.manifest(str(source))


def test_a_run_that_gets_on_is_waited_for(source: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ansible_collections.railyard.sglang.plugins.module_utils.model.store.LOCK_SECONDS", 3.0)
    held, ended = threading.Event(), threading.Event()

    def other() -> None:
        with provide.Store(str(path)).lock():
            held.set()
            meter, now = Meter(provide.Store(str(path)).folder, 1000), time.monotonic()
            while time.monotonic() - now < 7:
                meter.add(1)
                time.sleep(0.2)
            meter.close()
            ended.set()

    thread = threading.Thread(target=other)
    thread.start()
    held.wait(10)
    assert run(Directory(str(source)), path).changed
    assert ended.is_set()
    thread.join()


def test_reading_counts_as_getting_on(source: Path, path: Path) -> None:
    run(Directory(str(source)), path)
    files = [File(name, (path / name).stat().st_size) for name in directory.files(str(path))]
    for rows in ({}, dict(record.read(str(path))["files"])):
        counted: list[int] = []
        assert provide.look(str(path), files, rows, options(path, full=True), counted.append) == {}
        assert sum(counted) == sum(file.size for file in files)
