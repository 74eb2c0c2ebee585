# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel caches on real directories: whole, half, cut off at every step, passed on."""

from __future__ import annotations

import contextlib
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.jitcache import entries, store
from ansible_collections.railyard.sglang.plugins.module_utils.jitcache.errors import CacheError
from ansible_collections.railyard.sglang.plugins.module_utils.model import record
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.jitcache.kernels import NAMES, PARTS, kernel, kernels, tree

KEY, OTHER = "0123456789abcdef", "fedcba9876543210"


@pytest.fixture(name="path")
def name_path(tmp_path: Path) -> Path:
    (tmp_path / "cache" / "sglang").mkdir(parents=True)
    return tmp_path / "cache" / "sglang" / "deep_gemm"


@pytest.fixture(name="cache")
def made(path: Path) -> store.CacheStore:
    """Return a cache with one whole key in use."""
    return compile_key(path, KEY)


def compile_key(path: Path, name: str, own: dict[str, Any] | None = None, names: tuple[str, ...] = NAMES) -> store.CacheStore:
    cache, parts = store.CacheStore(str(path)), PARTS if own is None else own
    with cache.lock():
        cache.prepare(name, parts)
    for one in names:
        if not (Path(cache.partial(name)) / "cache" / one).exists():
            kernel(Path(cache.partial(name)), one)
    with cache.lock():
        assert cache.finish(name, parts).state == store.WHOLE
        cache.prune(2, name)
    return cache


def test_a_compilation(path: Path) -> None:
    cache = store.CacheStore(str(path))
    assert cache.state(KEY) == store.State(store.MISSING)
    cache = compile_key(path, KEY)
    assert path.is_symlink()
    assert str(path.readlink()) == f".versions/deep_gemm/{KEY}"
    assert cache.state(KEY).kernels == len(NAMES)
    assert cache.request(KEY) == PARTS
    assert set(cache.sums(KEY)) == {f"cache/{name}/{file}" for name in NAMES for file in ("kernel.cu", "kernel.cubin")}
    assert os.listdir(path.parent / ".versions/deep_gemm/.partial") == []


def test_a_kernel_that_an_engine_adds_later_is_no_damage(cache: store.CacheStore, path: Path) -> None:
    kernel(path, "kernel.later.0")
    assert cache.state(KEY, full=True).state == store.WHOLE


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no kernel": (lambda tree: shutil.rmtree(tree / "cache" / NAMES[0]), "is missing"),
    "no file": (lambda tree: (tree / "cache" / NAMES[1] / "kernel.cu").unlink(), "is missing"),
    "shorter": (lambda tree: (tree / "cache" / NAMES[2] / "kernel.cubin").write_bytes(b"x"), "has 1 bytes instead of"),
    "other bytes": (lambda tree: (tree / "cache" / NAMES[3] / "kernel.cu").write_text(f"/* {NAMES[3]}"), "has"),
    "no record": (lambda tree: (tree / ".railyard.json").unlink(), "no record that they are all"),
    "half a record": (lambda tree: (tree / ".railyard.json").write_text('{"format": 1, "wh'), "no record that they are all"),
}


@pytest.mark.parametrize(("damage", "text"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_partial_and_compiled_again(cache: store.CacheStore, path: Path, damage: Callable[[Path], Any], text: str) -> None:
    whole = tree(path)
    damage(Path(cache.tree(KEY)))
    found = cache.state(KEY)
    assert found.state == store.PARTIAL
    assert any(text in line for line in found.problems), found.problems
    cache = compile_key(path, KEY)
    assert cache.state(KEY, full=True).state == store.WHOLE
    assert {name: value for name, value in tree(path).items() if name != ".railyard.json"} == {
        name: value for name, value in whole.items() if name != ".railyard.json"
    }


def test_bytes_of_the_same_length_and_time_are_found_by_reading_all(cache: store.CacheStore, path: Path) -> None:
    file = path / "cache" / NAMES[0] / "kernel.cubin"
    status, content = file.stat(), bytearray(file.read_bytes())
    content[0] ^= 1
    with file.open("r+b") as stream:
        stream.write(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert cache.state(KEY).state == store.WHOLE
    assert cache.state(KEY, full=True).state == store.PARTIAL


def test_a_cache_whose_link_is_gone_is_put_in_use_again(cache: store.CacheStore, path: Path) -> None:
    path.unlink()
    assert cache.state(KEY).state == store.KEPT
    assert cache.settled(KEY).state == store.WHOLE


def test_another_key_and_back(cache: store.CacheStore, path: Path) -> None:
    compile_key(path, OTHER, {**PARTS, "nvcc": "13.0"})
    assert cache.current() == OTHER
    assert cache.state(KEY).state == store.KEPT
    assert cache.differences({**PARTS, "nvcc": "13.0"}) == []
    assert cache.differences(PARTS) == ["nvcc: 13.0 -> 12.9"]
    before = Path(cache.tree(KEY)).stat().st_ino
    assert cache.settled(KEY).state == store.WHOLE
    assert Path(cache.tree(KEY)).stat().st_ino == before


def test_keys_beyond_the_number_to_keep_go(path: Path) -> None:
    for number in range(4):
        cache = compile_key(path, f"{number:016x}", {**PARTS, "arguments": {"tensor_parallel_size": number}})
    assert sorted(cache.versions()) == [f"{number:016x}" for number in (2, 3)]
    assert cache.current() == f"{3:016x}"


@pytest.mark.parametrize(
    ("changed", "taken"), [({"arguments": {"tensor_parallel_size": 8}}, 4), ({"nvcc": "13.0"}, 0), ({"stack": "x"}, 0)],
)
def test_kernels_of_the_same_compiler_are_begun_with(cache: store.CacheStore, changed: dict[str, Any], taken: int) -> None:
    assert cache.prepare(OTHER, {**PARTS, **changed}) == taken
    assert cache.prepare(OTHER, {**PARTS, **changed}, fresh=True) == 0


@pytest.mark.parametrize("name", [KEY, OTHER])
def test_a_damaged_key_lends_what_is_right(cache: store.CacheStore, name: str) -> None:
    (Path(cache.tree(KEY)) / "cache" / NAMES[0] / "kernel.cubin").write_bytes(b"other bytes")
    assert cache.prepare(name, PARTS) == len(NAMES) - 1
    assert sorted(os.listdir(Path(cache.partial(name)) / "cache")) == sorted(NAMES[1:])


def test_the_link_is_not_switched_under_an_engine_that_runs(cache: store.CacheStore, path: Path) -> None:
    parts = {**PARTS, "nvcc": "13.0"}
    cache.prepare(OTHER, parts)
    kernels(Path(cache.partial(OTHER)))
    with cache.lock():
        assert cache.finish(OTHER, parts, switch=False).state == store.KEPT
        assert cache.prune(1, OTHER) == []
    assert (cache.current(), cache.state(KEY, full=True).state) == (KEY, store.WHOLE)
    # Stopped, it gets the other one, and the first one goes by number only.
    assert cache.settled(OTHER).state == store.WHOLE
    assert cache.prune(1, OTHER) == [KEY]


def test_what_an_engine_has_made_is_not_moved_from_under_it(path: Path) -> None:
    kernels(path)
    cache = store.CacheStore(str(path))
    cache.prepare(KEY, PARTS)
    kernels(Path(cache.partial(KEY)))
    assert cache.finish(KEY, PARTS, switch=False).state == store.KEPT
    assert path.is_dir()
    assert not path.is_symlink()


@pytest.mark.parametrize("committed", [False, True])
def test_a_compilation_that_was_killed_is_gone_on_with(path: Path, committed: bool) -> None:
    cache = store.CacheStore(str(path))
    cache.prepare(KEY, PARTS)
    partial = Path(cache.partial(KEY))
    kernels(partial, NAMES[:2], committed)
    # In the middle of two others: one is being made, one was renamed without its content.
    (partial / "tmp" / "uuid").mkdir(parents=True)
    (partial / "tmp" / "uuid" / "kernel.cu").write_text("x")
    (partial / "tmp" / "stray.ii").write_text("x")
    kernel(partial, NAMES[2], cubin=b"")
    (partial / "locks").mkdir()
    (partial / "locks" / "one.lock").write_text("")
    found = cache.state(KEY)
    assert (found.state, found.kernels) == (store.PARTIAL, 3)
    assert not path.exists()
    with pytest.raises(CacheError, match="is not whole"):
        cache.finish(KEY, PARTS)
    assert cache.prepare(KEY, PARTS) == 2
    assert entries.look(str(partial)) == entries.Entries(list(NAMES[:2]), [], [])
    kernel(partial, NAMES[2], committed)
    assert cache.finish(KEY, PARTS).state == store.WHOLE


def test_a_kernel_without_its_mark_is_half_where_others_have_one(path: Path) -> None:
    cache = store.CacheStore(str(path))
    cache.prepare(KEY, PARTS)
    kernel(Path(cache.partial(KEY)), NAMES[0], committed=True)
    kernel(Path(cache.partial(KEY)), NAMES[1])
    with pytest.raises(CacheError, match=NAMES[1]):
        cache.finish(KEY, PARTS)


def test_no_kernel_is_not_whole(path: Path) -> None:
    cache = store.CacheStore(str(path))
    cache.prepare(KEY, PARTS)
    with pytest.raises(CacheError, match=r"made no kernel.*deepgemm_compile_at_start"):
        cache.finish(KEY, PARTS)
    assert not path.exists()


class Killed(BaseException):
    """The process ends here."""


STEPS = ("os.rename", "os.replace", "os.symlink", "os.remove", "shutil.rmtree", "os.fsync")


def killed_at(monkeypatch: pytest.MonkeyPatch, number: int) -> list[int]:
    """Have the process end before its Nth step that changes something; return the counter."""
    count = [0]

    def guard(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*given: Any, **more: Any) -> Any:
            count[0] += 1
            if count[0] == number:
                raise Killed
            return real(*given, **more)
        return step

    for name in STEPS:
        module, attribute = name.split(".")
        target = {"os": os, "shutil": shutil}[module]
        monkeypatch.setattr(target, attribute, guard(getattr(target, attribute)))
    return count


def in_use(path: Path) -> str:
    """Return the key in use, and prove that it is whole."""
    if not path.is_symlink():
        return ""
    assert path.exists(), "a link that leads nowhere is no cache"
    cache = store.CacheStore(str(path))
    name = cache.current()
    rows = record.read(str(path))["files"]
    assert rows
    assert record.damaged(str(path), rows, True) == {}
    return name


def cut(tmp_path: Path, act: Callable[[store.CacheStore], Any], build: Callable[[Path], store.CacheStore], final: str) -> None:
    """Cut an act off at each of its steps; what is in use is always whole, and the same act again ends right."""
    number = 0
    while True:
        number += 1
        place = tmp_path / str(number)
        place.mkdir()
        cache = build(place / "deep_gemm")
        with pytest.MonkeyPatch.context() as patch:
            count = killed_at(patch, number)
            with contextlib.suppress(Killed):
                act(cache)
        before = in_use(place / "deep_gemm")
        assert before in ("", KEY, OTHER)
        act(store.CacheStore(str(place / "deep_gemm")))
        assert in_use(place / "deep_gemm") == final
        assert not [name for name in os.listdir(cache.staging) if not name.startswith("replaced")]
        if count[0] < number:
            break
    assert number > 5


def test_a_record_that_is_cut_off(tmp_path: Path) -> None:
    def build(path: Path) -> store.CacheStore:
        cache = compile_key(path, KEY)
        cache.prepare(OTHER, {**PARTS, "nvcc": "13.0"})
        kernels(Path(cache.partial(OTHER)))
        return cache

    def act(cache: store.CacheStore) -> None:
        with cache.lock():
            cache.finish(OTHER, {**PARTS, "nvcc": "13.0"})
            cache.prune(2, OTHER)

    cut(tmp_path, act, build, OTHER)


def test_a_repair_that_is_cut_off(tmp_path: Path) -> None:
    def build(path: Path) -> store.CacheStore:
        cache = compile_key(path, KEY)
        shutil.rmtree(Path(cache.tree(KEY)) / "cache" / NAMES[0])
        cache.prepare(KEY, PARTS)
        kernel(Path(cache.partial(KEY)), NAMES[0])
        path.unlink()
        return cache

    def act(cache: store.CacheStore) -> None:
        with cache.lock():
            cache.finish(KEY, PARTS)
            cache.prune(2, KEY)

    cut(tmp_path, act, build, KEY)


def test_a_copy_that_is_cut_off(tmp_path: Path) -> None:
    source = compile_key(tmp_path / "source", KEY)
    packed = source.pack(KEY)
    parts, sums = source.request(KEY), source.sums(KEY)

    def build(path: Path) -> store.CacheStore:
        return compile_key(path, OTHER, {**PARTS, "nvcc": "13.0"})

    def act(cache: store.CacheStore) -> None:
        with cache.lock():
            cache.unpack(KEY, parts, packed["path"], packed["sha256"], sums)
            cache.prune(2, KEY)

    cut(tmp_path, act, build, KEY)


def test_an_archive_is_the_same_on_the_other_host(cache: store.CacheStore, path: Path, tmp_path: Path) -> None:
    packed = cache.pack(KEY)
    assert cache.pack(KEY)["sha256"] == packed["sha256"]
    assert cache.leftovers() == [packed["path"]]
    other = store.CacheStore(str(tmp_path / "other" / "deep_gemm"))
    with other.lock():
        found = other.unpack(KEY, PARTS, packed["path"], packed["sha256"], cache.sums(KEY))
    assert (found.state, found.kernels) == (store.WHOLE, len(NAMES))
    assert {name: value for name, value in tree(tmp_path / "other" / "deep_gemm").items() if name != ".railyard.json"} == {
        name: value for name, value in tree(path).items() if name != ".railyard.json"
    }
    assert other.request(KEY) == PARTS
    assert other.prune(2, KEY) == cache.prune(2, KEY) == []


def flipped(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    content[520] ^= 1
    archive.write_bytes(content)


def foreign(name: str) -> Callable[[Path], None]:
    def change(archive: Path) -> None:
        with tarfile.open(archive, "a") as rows:
            rows.addfile(tarfile.TarInfo(name))
    return change


def a_link(archive: Path) -> None:
    with tarfile.open(archive, "a") as rows:
        row = tarfile.TarInfo("cache/link")
        row.type, row.linkname = tarfile.SYMTYPE, "/etc/passwd"
        rows.addfile(row)


CHANGES: tuple[Callable[[Path], Any], ...] = (
    flipped, foreign("../outside"), foreign("/etc/cron.d/x"), foreign("cache/x"), a_link, lambda path: path.write_bytes(b""),
)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("sum_follows", [False, True])
def test_an_archive_that_was_changed_is_refused(
    cache: store.CacheStore, tmp_path: Path, change: Callable[[Path], Any], sum_follows: bool,
) -> None:
    packed = cache.pack(KEY)
    change(Path(packed["path"]))
    digest = store.directory.sha256(packed["path"]) if sum_follows else packed["sha256"]
    other = store.CacheStore(str(tmp_path / "other" / "deep_gemm"))
    with other.lock(), pytest.raises((CacheError, tarfile.TarError)):
        other.unpack(KEY, PARTS, packed["path"], digest, cache.sums(KEY))
    assert not os.path.lexists(other.path)
    assert not (tmp_path / "outside").exists()


def test_a_directory_of_an_engine_is_moved_aside(path: Path) -> None:
    kernels(path)
    cache = store.CacheStore(str(path))
    assert (cache.current(), cache.state(KEY).state) == ("", store.MISSING)
    compile_key(path, KEY)
    assert path.is_symlink()
    aside = path.parent / ".versions/deep_gemm/.unrecorded"
    assert (aside / "cache" / NAMES[0]).is_dir()
    compile_key(path, OTHER, {**PARTS, "nvcc": "13.0"})
    assert not aside.exists(), "it is kept for one run"


@pytest.mark.parametrize("make", [lambda path: path.write_text("x"), lambda path: path.symlink_to("/somewhere")])
def test_what_is_not_ours_is_left_alone(path: Path, make: Callable[[Path], Any]) -> None:
    make(path)
    with pytest.raises(CacheError, match="move it away"):
        store.CacheStore(str(path)).current()


def test_all_of_it_is_removed(cache: store.CacheStore, path: Path) -> None:
    cache.pack(KEY)
    gone = [str(path), str(path.parent / ".versions/deep_gemm")]
    assert cache.remove(check=True) == gone
    assert path.exists()
    assert cache.remove() == gone
    assert cache.remove() == []
    assert os.listdir(path.parent / ".versions") == []
