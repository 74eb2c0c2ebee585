# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds of stand-ins by the code that builds DeepEP: staged, proven, carried, killed, tampered with, taken away."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.deepep import build, unpack
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import MARKER, Place, hold, read_marker, settle_in
from ansible_collections.railyard.sglang.tests.unit.support import kernelkit

needs_make = pytest.mark.skipif(not shutil.which("make") or not shutil.which("cc"), reason="there is no make or no C compiler")


def left(job: build.Job) -> list[str]:
    """Return what is in the store besides locks."""
    store = job.place.store
    return sorted(path.name for path in store.iterdir() if not path.name.endswith(".lock")) if store.is_dir() else []


def test_a_build_is_proven_and_then_used(tmp_path: Path) -> None:
    job = kernelkit.job(tmp_path)
    assert build.state_of(job) == {"complete": False, "current": False}
    assert build.make(job)
    assert not build.make(job)
    assert build.use(job, 2) == []
    assert build.state_of(job) == {"complete": True, "current": True}
    marker = read_marker(job.place.tree)
    assert marker is not None
    assert marker["proof"]["deep_ep"]["version"] == "1.2.1"
    assert marker["kind"]["architectures"] == ["9.0"]
    assert (job.link / "deep_ep_cpp.py").read_text(encoding="utf-8").strip() == (
        "{'TORCH_CUDA_ARCH_LIST': '9.0', 'GIT_DIR': '/nonexistent', 'SOURCE_DATE_EPOCH': '315532800'}"
    )
    assert left(job) == [job.place.tree.name]
    assert build.is_whole(job.place.tree)
    (job.place.tree / "deep_ep_cpp.py").write_text("", encoding="utf-8")
    assert not build.is_whole(job.place.tree)


def test_memory_that_the_kernel_gives_back_counts(tmp_path: Path) -> None:
    path = tmp_path / "meminfo"
    path.write_text("MemTotal: 263000000 kB\nMemFree:  1048576 kB\nMemAvailable:   209715200 kB\n", encoding="ascii")
    assert build.available_mib(path) == 204800
    assert build.available_mib(tmp_path / "none") > 0


def test_a_link_of_running_services_stays_and_so_does_its_tree(tmp_path: Path) -> None:
    first = kernelkit.job(tmp_path)
    build.make(first)
    build.use(first, 2)
    for number in range(3):
        job = replace(first, kind=replace(first.kind, torch=f"2.10.{number}"))
        build.make(job)
        build.use(job, 1, held=True)
        assert first.link.readlink() == first.place.tree
        assert read_marker(first.place.tree) is not None
        assert left(job) == sorted([first.place.tree.name, job.place.tree.name]), "what nothing leads to goes"
    build.use(job, 1)
    assert first.link.readlink() == job.place.tree
    assert left(job) == [job.place.tree.name]


def test_a_tree_that_a_process_uses_is_not_pruned(tmp_path: Path) -> None:
    first = kernelkit.job(tmp_path)
    build.make(first)
    build.use(first, 2)
    with (first.place.tree / "deep_ep_cpp.py").open(encoding="utf-8"):
        job = replace(first, kind=replace(first.kind, torch="2.10.0"))
        build.make(job)
        assert build.use(job, 1) == []
        with pytest.raises(StackError, match=f"processes use {first.place.tree}"):
            build.may_remove(first.root, lambda _link: [])
    assert build.use(job, 1) == [first.place.tree.name]


def test_the_link_leads_to_a_whole_tree_at_every_moment_of_a_build_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = kernelkit.job(tmp_path)
    build.make(job)
    build.use(job, 2)
    seen = []

    def watch(place: Place) -> None:
        # The successor is complete before it gets the name, and the name is not free for a moment.
        seen.append((read_marker(place.new) is not None, read_marker(job.link) is not None))
        monkeypatch.setattr(os, "rename", stray)
        settle_in(place)
        monkeypatch.undo()
        seen.append((read_marker(place.new) is not None, read_marker(job.link) is not None))

    def stray(*names: object) -> None:
        pytest.fail(f"renamed {names}: the link leads to nothing in between")

    former = job.place.tree.stat().st_ino
    monkeypatch.setattr(build, "settle_in", watch)
    assert build.make(job, anew=True)
    assert seen == [(True, True), (True, True)]
    assert job.place.tree.stat().st_ino != former
    assert left(job) == [job.place.tree.name]


def test_a_tree_without_a_marker_that_a_link_leads_to_stays_until_its_successor_is_there(tmp_path: Path) -> None:
    job = kernelkit.job(tmp_path)
    build.make(job)
    build.use(job, 2)
    (job.place.tree / MARKER).unlink()
    nvcc = tmp_path / "cuda/bin/nvcc"
    good = nvcc.read_text(encoding="utf-8")
    nvcc.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    with pytest.raises(StackError, match="probe"):
        build.make(job)
    assert (job.link / "deep_ep_cpp.py").exists()
    nvcc.write_text(good, encoding="utf-8")
    assert build.make(job)
    assert read_marker(job.link) is not None


@needs_make
def test_libgdrapi_is_built_by_make_and_loads(tmp_path: Path) -> None:
    job = kernelkit.job(tmp_path, gdrcopy=True)
    build.make(job)
    assert sorted(path.name for path in (job.place.tree / "lib").iterdir()) == ["libgdrapi.so.2", "libgdrapi.so.2.5"]
    alone = replace(kernelkit.job(tmp_path, root="other", gdrcopy=True), kernels=False)
    build.make(alone)
    assert sorted(path.name for path in alone.place.tree.iterdir()) == [MARKER, "lib"]


def test_the_same_build_gives_the_same_archive_and_another_host_takes_it(tmp_path: Path) -> None:
    job, other = kernelkit.job(tmp_path), kernelkit.job(tmp_path, root="other")
    build.make(job)
    offer = build.offer(job)
    assert build.offer(job) == offer
    assert build.make(other, Path(offer["path"]), offer["sha256"], "p0")
    assert build.use(other, 2) == []
    marker = read_marker(other.place.tree)
    assert marker is not None
    assert marker["origin"] == "p0"
    assert marker["files"] == (read_marker(job.place.tree) or {})["files"]
    again = kernelkit.job(tmp_path, root="again")
    build.make(again)
    assert build.offer(again)["sha256"] == offer["sha256"]


def test_a_carried_archive_that_was_changed_is_refused(tmp_path: Path) -> None:
    job, other = kernelkit.job(tmp_path), kernelkit.job(tmp_path, root="other")
    build.make(job)
    offer = build.offer(job)
    path = Path(offer["path"])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(StackError, match=r"has the sha256 .* and not"):
        build.make(other, path, offer["sha256"])
    assert left(other) == []
    assert build.offer(job) == offer, "a damaged archive is made anew"


FAULTS = {
    "sources that were changed": ("sources/deepep.tar.gz", "", r"deepep\.tar\.gz is not what the recipe names.*sha256"),
    "sources that are not there": ("sources/deepep.tar.gz", None, r"deepep\.tar\.gz is not there.*https://archive\.example"),
    "an NVSHMEM without IBGDA": (
        "stack/site/nvidia/nvshmem/lib/nvshmem_transport_ibgda.so", None,
        r"lacks lib/nvshmem_transport_ibgda\.so\.3.*NVSHMEM_IBGDA_SUPPORT=1",
    ),
    "an nvcc that fails": (
        "cuda/bin/nvcc", "#!/bin/sh\necho unsupported GNU version >&2\nexit 1\n", r"the step probe failed.*unsupported GNU version",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_fails_leaves_nothing(name: str, tmp_path: Path) -> None:
    job = kernelkit.job(tmp_path)
    place, text, message = FAULTS[name]
    path = tmp_path / place
    if text is None:
        path.unlink()
    else:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(StackError, match=message):
        build.make(job)
    assert left(job) == []
    assert not job.link.is_symlink()


def test_an_import_that_fails_or_is_another_version_is_never_current(tmp_path: Path) -> None:
    job = kernelkit.job(tmp_path)
    build.make(job)
    build.use(job, 2)
    former = os.readlink(job.link)
    other = replace(job, kind=replace(job.kind, torch="2.9.2"), recipe=replace(job.recipe, patches=()))
    with pytest.raises(StackError, match=r"the step build failed.*SECONDS 100"):
        build.make(other)
    archive = build.offer(job)
    wrong = replace(job, kind=replace(job.kind, torch="2.9.3"), recipe=replace(job.recipe, version="9"))
    with pytest.raises(StackError, match=r"imports as 1\.2\.1, the recipe says 9"):
        build.make(wrong, Path(archive["path"]), archive["sha256"])
    assert os.readlink(job.link) == former
    assert left(job) == [f"{job.place.tree.name}", f"{job.place.tree.name}.tar.gz", f"{job.place.tree.name}.tar.gz.sha256"]


def test_a_build_anew_replaces_the_former_one_only_when_it_is_good(tmp_path: Path) -> None:
    job = kernelkit.job(tmp_path)
    build.make(job)
    build.use(job, 2)
    (job.place.tree / "deep_ep_cpp.py").write_text("raise ImportError\n", encoding="utf-8")
    nvcc = tmp_path / "cuda/bin/nvcc"
    good = nvcc.read_text(encoding="utf-8")
    nvcc.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    with pytest.raises(StackError, match="probe"):
        build.make(job, anew=True)
    assert read_marker(job.place.tree) is not None
    nvcc.write_text(good, encoding="utf-8")
    assert build.make(job, anew=True)
    assert build.is_whole(job.place.tree)
    assert left(job) == [job.place.tree.name]


def test_old_trees_go_with_their_archives(tmp_path: Path) -> None:
    jobs = []
    for number in range(3):
        base = kernelkit.job(tmp_path)
        job = replace(base, kind=replace(base.kind, torch=f"2.9.{number}"))
        build.make(job)
        build.offer(job)
        gone = build.use(job, 2)
        jobs.append(job)
        time.sleep(0.02)
    assert gone == [jobs[0].place.tree.name]
    assert not list(jobs[0].place.store.glob(f"{jobs[0].place.tree.name}*"))


def test_absent_removes_its_own_files_only(tmp_path: Path) -> None:
    job = kernelkit.job(tmp_path)
    build.make(job)
    build.use(job, 2)
    build.offer(job)
    mine = job.place.store / "notes.txt"
    mine.write_text("mine", encoding="utf-8")
    link = job.link.with_name("mine")
    link.symlink_to("/tmp")
    with pytest.raises(StackError, match=r"a\.service runs with .*deepep/sglang-x"):
        build.may_remove(job.root, lambda link: ["a.service"] if link == job.link else [])
    build.may_remove(job.root, lambda _link: [])
    with hold(job.place.lock, 1, "test"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "REMOVE_SECONDS", 0)
        with pytest.raises(StackError, match="another run holds"):
            build.remove(job.root)
    assert job.link.is_symlink()
    gone = build.remove(job.root)
    assert str(job.link) in gone
    assert mine.exists()
    assert link.is_symlink()
    assert left(job) == ["notes.txt"]
    mine.unlink()
    link.unlink()
    build.remove(job.root)
    assert not (job.root / "deepep").exists()


PROGRAM = """
import sys
from pathlib import Path
from ansible_collections.railyard.sglang.plugins.module_utils.deepep import build
from ansible_collections.railyard.sglang.tests.unit.support import kernelkit
build.make(kernelkit.job(Path(sys.argv[1])))
"""


def test_kill_in_the_middle_of_a_build_then_the_same_again(tmp_path: Path) -> None:
    job = kernelkit.job(tmp_path)
    (tmp_path / "cuda/wait").write_text("", encoding="utf-8")
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, start_new_session=True)
    until = time.monotonic() + 60
    while not (tmp_path / "cuda/waits").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert build.state_of(job) == {"complete": False, "current": False}
    assert any(name.endswith(".building") for name in left(job))
    # The compilers of the killed run still run and hold its lock: that of this test ends them, a host's reboot or their own end would.
    found = subprocess.run(["pgrep", "-f", str(job.place.work)], capture_output=True, text=True, check=False).stdout.split()
    for pid in found:
        os.kill(int(pid), signal.SIGKILL)
    (tmp_path / "cuda/wait").unlink()
    assert build.make(job)
    build.use(job, 2)
    assert build.state_of(job) == {"complete": True, "current": True}
    assert left(job) == [job.place.tree.name]


def test_a_rename_without_a_marker_does_not_count(tmp_path: Path) -> None:
    job = kernelkit.job(tmp_path)
    build.make(job)
    (job.place.tree / MARKER).unlink()
    (job.place.tree / "half").write_text("", encoding="utf-8")
    assert build.make(job)
    assert not (job.place.tree / "half").exists()


def test_archives_that_lead_out_are_refused(tmp_path: Path) -> None:
    import io
    import tarfile

    for name, link in (("top/../../x", ""), ("/abs/x", ""), ("top/x", "../../../etc"), ("top/x", "/etc")):
        path = tmp_path / "bad.tar"
        with tarfile.open(path, "w") as stream:
            row = tarfile.TarInfo(name)
            if link:
                row.type, row.linkname = tarfile.SYMTYPE, link
                stream.addfile(row)
            else:
                stream.addfile(row, io.BytesIO(b""))
        with pytest.raises(StackError, match="leads out"):
            unpack.unpack(path, tmp_path / "out", "test")
    path.write_bytes(b"no archive")
    with pytest.raises(StackError, match="cannot be unpacked"):
        unpack.unpack(path, tmp_path / "out", "test")
