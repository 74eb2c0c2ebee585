# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model of a real signed mirror, mounted and over HTTP: fetched, mended, followed, and refused where anything was changed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.mirror import manifest
from ansible_collections.railyard.sglang.plugins.module_utils.mirror.build import Request, build
from ansible_collections.railyard.sglang.plugins.module_utils.model import directory
from ansible_collections.railyard.sglang.plugins.modules import model
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.mirror.test_mirror import make_key
from ansible_collections.railyard.sglang.tests.unit.support import models
from ansible_collections.railyard.sglang.tests.unit.support.modules import run


@dataclass
class World:
    """A model, the mirror that has it, and a host."""

    base: Path
    public: str
    request: Request

    @property
    def source(self) -> Path:
        return self.base / "source"

    @property
    def path(self) -> Path:
        return self.base / "host" / "models" / "m"

    @contextlib.contextmanager
    def at(self, way: str) -> Iterator[str]:
        """Give out the mirror."""
        if way == "path":
            yield str(self.request.root)
        else:
            with models.served(self.request.root) as site:
                yield site.address

    def fetch(self, place: str, check: bool = False, **more: Any) -> dict[str, Any]:
        given = {"path": str(self.path), "origin": {"type": "mirror", "name": "m"}, "mirror": place, "signers": [self.public]}
        return run(model.main, {**given, "reserve_gib": 0, **more}, check)


@pytest.fixture(name="world")
def make_world(tmp_path: Path) -> World:
    public = make_key(tmp_path / "key")
    source = models.write(tmp_path / "source")
    (source / "a note.txt").write_text("x", encoding="utf-8")
    (source / ".gitattributes").write_text("*", encoding="utf-8")
    request = Request(tmp_path / "mirror", [], tmp_path / "key", models={"m": source})
    build(request)
    return World(tmp_path, public, request)


@pytest.mark.parametrize("way", ["path", "server"])
def test_fetched_mended_and_followed(world: World, way: str) -> None:
    data = json.loads((world.request.root / manifest.NAME).read_text("utf-8"))
    (world.source / ".gitattributes").unlink()
    wanted = directory.manifest(str(world.source))
    with world.at(way) as place:
        predicted = world.fetch(place, check=True)
        assert not (world.base / "host").exists()
        done = world.fetch(place)
        assert (predicted["fetched"], predicted["version"]) == (done["fetched"], done["version"])
        assert directory.manifest(str(world.path)) == wanted
        assert done["checksum"] == data["models"]["m"]["checksum"]
        assert not world.fetch(place)["changed"]
        models.flip(world.path / "model-1.safetensors")
        assert world.fetch(place)["fetched"] == ["model-1.safetensors"]
        # What the mirror has now is what the host gets, and the rest is shared.
        models.shard(world.source / "model-0.safetensors", "new", 200_000)
        build(world.request)
        assert world.fetch(place)["fetched"] == ["model-0.safetensors"]
        assert directory.manifest(str(world.path)) == directory.manifest(str(world.source))
        # Unless a checksum says what is wanted.
        refused = world.fetch(place, checksum=data["models"]["m"]["checksum"])
        assert f"wanted {data['models']['m']['checksum']}" in refused["msg"]


def test_one_that_is_pinned_asks_nobody_until_it_is_damaged(world: World) -> None:
    checksum = json.loads((world.request.root / manifest.NAME).read_text("utf-8"))["models"]["m"]["checksum"]
    with models.served(world.request.root) as site:
        world.fetch(site.address, checksum=checksum)
        site.asked.clear()
        assert not world.fetch(site.address, checksum=checksum)["changed"]
        assert site.asked == []
        models.flip(world.path / "model-1.safetensors")
        assert world.fetch(site.address, checksum=checksum)["fetched"] == ["model-1.safetensors"]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no mirror": ({"mirror": ""}, "model_mirror: is empty, and model_origin.type is mirror. Fix: set stack_mirror"),
    "no name": ({"origin": {"type": "mirror"}}, "model_origin.name: is not set"),
    "another name": ({"origin": {"type": "mirror", "name": "x"}}, "it lacks model x. Fix: add it to mirror_models"),
    "no signers": ({"signers": []}, "no public key is given"),
    "no such mirror": ({"mirror": "/nonexistent"}, "/nonexistent/manifest.json cannot be read"),
}


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(("more", "text"), REFUSED.values(), ids=REFUSED)
def test_refusals(world: World, more: dict[str, Any], text: str, check: bool) -> None:
    result = world.fetch(str(world.request.root), check, **more)
    assert text in result["msg"]
    assert not world.path.exists()


@pytest.mark.parametrize("way", ["path", "server"])
def test_tampering_is_refused(world: World, way: str) -> None:
    with world.at(way) as place:
        other = make_key(world.base / "other")
        assert "the signature of the manifest is not good" in world.fetch(place, signers=[other])["msg"]
        shard = next(world.request.root.rglob("model-2.safetensors"))
        models.flip(shard)
        assert "model-2.safetensors from model m of the mirror" in world.fetch(place)["msg"]
        assert not world.path.exists()
        models.flip(shard)
        assert world.fetch(place)["changed"]


def test_another_key_signs_what_is_there(world: World) -> None:
    public = make_key(world.base / "next")
    build(replace(world.request, key=world.base / "next"))
    assert world.fetch(str(world.request.root), signers=[world.public, public])["changed"]
