# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules model, model_fanout and model_progress, where a model is fetched."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.model import directory
from ansible_collections.railyard.sglang.plugins.module_utils.model.progress import NAME, Meter
from ansible_collections.railyard.sglang.plugins.module_utils.model.store import Store
from ansible_collections.railyard.sglang.plugins.modules import model, model_fanout, model_progress
from ansible_collections.railyard.sglang.tests.unit.support import models
from ansible_collections.railyard.sglang.tests.unit.support.modules import run


@pytest.fixture(name="source")
def write_source(tmp_path: Path) -> Path:
    return models.write(tmp_path / "source")


def fetch(source: Path, path: Path, check: bool = False, **more: Any) -> dict[str, Any]:
    given = {"path": str(path), "origin": {"type": "directory", "path": str(source)}, "reserve_gib": 0, **more}
    return run(model.main, given, check)


def test_check_mode_predicts_what_the_run_does_and_the_second_run_nothing(tmp_path: Path, source: Path) -> None:
    path = tmp_path / "models" / "m"
    predicted = fetch(source, path, check=True)
    assert not path.parent.exists()
    done = fetch(source, path)
    for name in ("changed", "fetched", "fetched_bytes", "version", "problems", "diff"):
        assert predicted[name] == done[name], name
    assert done["diff"]["before"] == "no version\n"
    assert done["diff"]["after"] == f"version {done['version']} from {source}\n"
    assert done["mount"]["free_gib"] > 0
    second = fetch(source, path)
    assert (second["changed"], second["fetched"], "diff" in second) == (False, [], False)
    # Without an origin it is proven as any directory of the operator.
    checked = run(model.main, {"path": str(path), "checksum": done["checksum"]})
    assert checked == {"changed": False, "checksum": done["checksum"], "problems": []}


def test_a_damaged_shard_is_in_the_diff(tmp_path: Path, source: Path) -> None:
    path = tmp_path / "models" / "m"
    fetch(source, path)
    models.flip(path / "model-0.safetensors")
    done = fetch(source, path)
    assert done["diff"]["before"].splitlines()[1] == "model-0.safetensors has other bytes than its checksum says"
    assert done["fetched"] == ["model-0.safetensors"]


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"mount": "/proc"}, ", not on /proc. Fix: mount /proc, or correct model_mount"),
        ({"origin": {"type": "directory"}}, "model_origin.path: is not set, and type directory needs it"),
        ({"origin": {"type": "directory", "path": "/proc/none"}}, "/proc/none: no such directory on this host. Fix: mount it"),
        ({"origin": {"type": "http", "url": "http://127.0.0.1:9/"}}, "sglang_model.checksum: is empty"),
    ],
)
@pytest.mark.parametrize("check", [False, True])
def test_failures(tmp_path: Path, source: Path, more: dict[str, Any], text: str, check: bool) -> None:
    result = fetch(source, tmp_path / "models" / "m", check, **more)
    assert result["failed"]
    assert text in result["msg"]
    assert not (tmp_path / "models").exists() or not list((tmp_path / "models").glob("m"))


def test_a_token_is_in_no_result(tmp_path: Path, source: Path) -> None:
    checksum = models.sums(source)
    with models.served(source) as site:
        site.token = "rightrighttoken"
        given = {"checksum": checksum, "origin": {"type": "http", "url": site.address}}
        refused = fetch(source, tmp_path / "models" / "m", token="wrongwrongtoken", **given)
        assert refused["failed"]
        done = fetch(source, tmp_path / "models" / "m", token="rightrighttoken", **given)
    assert done["checksum"] == checksum
    assert "wrongwrong" not in json.dumps(refused)
    assert "rightright" not in json.dumps(done)
    kept = "".join(path.read_text(encoding="latin-1") for path in (tmp_path / "models").rglob("*") if path.is_file())
    assert "rightright" not in kept


def test_a_read_rate_that_no_disk_has(tmp_path: Path) -> None:
    source = models.write(tmp_path / "source", shards=1, size=10 << 20)
    result = fetch(source, tmp_path / "models" / "m", min_read_mib=10**9)
    # Where the file system cannot be read past the page cache there is no figure.
    assert ("the weights are read at" in result.get("msg", "")) != ("read_mib" in result and result["read_mib"] is None)


def looked(path: Path, offer: dict[str, Any], check: bool = False) -> dict[str, Any]:
    given = {"state": "looked", "path": str(path), "version": offer["version"], "files": offer["files"]}
    return run(model_fanout.main, given, check)


def test_what_a_host_lacks(tmp_path: Path, source: Path) -> None:
    offer = fetch(source, tmp_path / "s" / "m")
    other = tmp_path / "other" / "m"
    assert looked(other, offer, check=True) == {"changed": True, "needed": True, "problems": ["this version is not here"], "pruned": []}
    assert looked(other, offer)["needed"]
    # The same version by another way, and then a newer one beside it.
    fetch(source, other)
    assert looked(other, offer) == {"changed": False, "needed": False, "problems": [], "pruned": []}
    models.shard(source / "model-0.safetensors", "new", 1000)
    fetch(source, other)
    # It lacks nothing of the former one: the link is switched back.
    assert looked(other, offer, check=True)["changed"]
    assert directory.manifest(str(other)) == directory.manifest(str(source))
    assert looked(other, offer)["changed"]
    assert directory.manifest(str(other)) == directory.manifest(str(tmp_path / "s" / "m"))
    (other / "model-1.safetensors").unlink()
    assert looked(other, offer)["problems"] == ["model-1.safetensors is missing"]


def test_taking_part_without_an_address_or_a_token(tmp_path: Path, source: Path) -> None:
    offer = fetch(source, tmp_path / "s" / "m")
    given = {"state": "shared", "path": str(tmp_path / "a" / "m"), "version": offer["version"], "files": offer["files"], "host": "a"}
    hosts = [{"name": "s", "address": "127.0.0.1"}, {"name": "a", "address": ""}]
    both = [hosts[0], {**hosts[1], "address": "127.0.0.2"}]
    for more in ({"hosts": hosts, "token": "x" * 40}, {"hosts": hosts[:1], "token": "x" * 40}, {"hosts": both}):
        result = run(model_fanout.main, {**given, **more})
        assert "no address of a, or no token" in result["msg"]


def test_progress(tmp_path: Path) -> None:
    folder = Path(Store(str(tmp_path / "m")).folder)
    assert run(model_progress.main, {"path": str(tmp_path / "m")})["progress"] == {}
    folder.mkdir(parents=True)
    now = [0.0]
    meter = Meter(str(folder), 1000, lambda: now[0])
    meter.add(10)
    now[0] = 10
    meter.set(210, state="receiving")
    found = run(model_progress.main, {"path": str(tmp_path / "m")})["progress"]
    assert {key: found[key] for key in ("total_bytes", "done_bytes", "bytes_per_second", "seconds_left", "state")} == {
        "total_bytes": 1000, "done_bytes": 210, "bytes_per_second": 21, "seconds_left": 38, "state": "receiving",
    }
    meter.close()
    assert not (folder / NAME).exists()


def test_check_mode_on_a_bare_host_for_the_hub(tmp_path: Path) -> None:
    hub = {"type": "hub", "repo": "a/b", "revision": "0" * 40}
    given = {"path": str(tmp_path / "models" / "m"), "origin": hub, "hub_python": str(tmp_path / "bin" / "python"), "reserve_gib": 0}
    done = run(model.main, given, True)
    assert (done["changed"], done["version"], done["files"], done["fetched"]) == (True, "", {}, [])
    assert done["problems"] == [f"what there is to fetch is not known yet: {tmp_path}/bin/python is not on this host"]
    other = looked(tmp_path / "other" / "m", done, check=True)
    assert (other["changed"], other["needed"]) == (True, True)
    assert run(model.main, given)["failed"]
    assert looked(tmp_path / "other" / "m", done)["failed"]


@pytest.mark.parametrize("name", ["origin", "tiny"])
def test_services_can_read_it_whatever_the_umask_is(tmp_path: Path, source: Path, name: str) -> None:
    path = tmp_path / "deep" / "models" / "m"
    before = os.umask(0o077)
    try:
        done = fetch(source, path) if name == "origin" else run(model.main, {"path": str(path), "source": "tiny"})
    finally:
        os.umask(before)
    assert done["changed"]
    for place in (path.parent.parent, path.parent, path.resolve().parent, path.resolve(), *path.resolve().iterdir()):
        assert place.stat().st_mode & 0o555 == (0o555 if place.is_dir() else 0o444), place
