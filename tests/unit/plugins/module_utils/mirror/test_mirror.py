# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real mirrors of a tiny stack, a tiny model and a source: built, signed by ssh-keygen, served over HTTP, taken from, and tampered with."""

from __future__ import annotations

import functools
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.mirror import manifest, signature, sync, transfer
from ansible_collections.railyard.sglang.plugins.module_utils.mirror.build import Item, Request, build, inspect, is_published
from ansible_collections.railyard.sglang.plugins.module_utils.model import directory as models
from ansible_collections.railyard.sglang.plugins.module_utils.model import tiny as model
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import parse_definition
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.wheels import local_target, sha256
from ansible_collections.railyard.sglang.plugins.modules import mirror as mirror_module
from ansible_collections.railyard.sglang.plugins.modules import mirror_files
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.stack.conftest import uv_wheel
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.stack.tiny_stack import MINOR, Tiny, mounted, needs_root
from ansible_collections.railyard.sglang.tests.unit.support.models import served
from ansible_collections.railyard.sglang.tests.unit.support.modules import run

__all__ = ["uv_wheel"]
BIG = 24 << 20


def make_key(path: Path) -> str:
    """Make a key of ssh-keygen and return its public half."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "mirror", "-f", str(path)], check=True)
    return path.with_name(path.name + ".pub").read_text(encoding="utf-8")


@dataclass
class World:
    """A connected machine: what a mirror is made of, the mirror, and the public key."""

    base: Path
    tiny: Tiny
    public: str
    request: Request
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.request.root

    def wish(self, **more: Any) -> sync.Wish:
        """Return what a host wants of everything."""
        return sync.Wish(
            [parse_definition(self.tiny.data)], [[local_target(MINOR)]], **{"models": ["toy"], "sources": ["notes.tar"], **more}
        )

    def take(self, source: str = "", signers: list[str] | None = None, **more: Any) -> sync.Taken:
        """Take everything to a host."""
        options: dict[str, Any] = {"copy": True, **more}
        return sync.take(
            source or str(self.root), signers or [self.public], options.pop("wish", self.wish()), self.base / "host", **options
        )


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model."""
    place = tmp_path_factory.mktemp("toy")
    model.write(str(place))
    return place


@pytest.fixture
def world(tmp_path: Path, uv_wheel: Path, toy: Path) -> World:
    tiny = Tiny(tmp_path, uv_wheel)
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/wheels").symlink_to(tiny.wheels)
    shutil.copytree(toy, tmp_path / "toy")
    (tmp_path / "notes").write_bytes(os.urandom(5000))
    public = make_key(tmp_path / "key")
    request = Request(
        tmp_path / "mirror",
        [parse_definition(tiny.data)],
        tmp_path / "key",
        [Item("notes.tar", str(tmp_path / "notes"), sha256(tmp_path / "notes"))],
        {"toy": tmp_path / "toy"},
        {"debian12": ["libnuma1"]},
    )
    return World(tmp_path, tiny, public, request)


class Handler(http.server.SimpleHTTPRequestHandler):
    """A file server that can begin in the middle, slowly if it is told to, and that writes down what it was asked for."""

    asked: list[tuple[str, str]]
    pace: dict[str, float]

    def log_request(self, *_words: object) -> None:
        """Say nothing of what is asked for."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        self.asked.append((self.path, self.headers.get("Range", "")))
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        begin = int((re.match(r"bytes=(\d+)-", self.headers.get("Range", "")) or [0, "0"])[1])
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        for place in range(begin, len(content), 1 << 16):
            self.wfile.write(content[place : place + (1 << 16)])
            time.sleep(self.pace["seconds"])


@pytest.fixture
def serve() -> Iterator[Callable[[Path], tuple[str, list[tuple[str, str]], dict[str, float]]]]:
    """Serve a directory: return address, what was asked for, and the pace."""
    servers: list[tuple[http.server.ThreadingHTTPServer, threading.Thread]] = []

    def start(root: Path) -> tuple[str, list[tuple[str, str]], dict[str, float]]:
        own = type("Own", (Handler,), {"asked": [], "pace": {"seconds": 0.0}})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(own, directory=str(root)))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}", own.asked, own.pace

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def flip(path: Path) -> None:
    """Change one bit in the middle of a file, its length stays."""
    content = bytearray(path.resolve().read_bytes())
    content[len(content) // 2] ^= 1
    path.resolve().write_bytes(content)


def test_build_and_build_again(world: World) -> None:
    before = inspect(world.request)
    assert before.missing == ["source notes.tar", "model toy"]
    assert not (world.root / manifest.NAME).exists()
    content = build(world.request)
    assert is_published(world.request, content)
    names = {path: path.stat().st_mtime_ns for path in world.root.rglob("*") if path.is_file()}
    again = build(world.request)
    assert again.missing == []
    assert {path: path.stat().st_mtime_ns for path in world.root.rglob("*") if path.is_file()} == names
    data = json.loads((world.root / manifest.NAME).read_text("utf-8"))
    on_disk = {path: sha256(world.root / path) for path in data["files"]}
    assert on_disk == {path: row["sha256"] for path, row in data["files"].items()}
    assert data["os_packages"] == {"debian12": ["libnuma1"]}
    assert data["models"]["toy"]["path"].startswith("models/toy-")


def test_the_signature_is_what_ssh_keygen_checks_by_itself(world: World, tmp_path: Path) -> None:
    build(world.request)
    text = (world.root / manifest.NAME).read_text("utf-8")
    (tmp_path / "allowed").write_text(f"somebody {world.public}", encoding="utf-8")
    words = ["ssh-keygen", "-Y", "verify", "-f", str(tmp_path / "allowed"), "-I", "somebody", "-n", signature.NAMESPACE]
    words += ["-s", str(world.root / manifest.signature_of(text))]
    assert subprocess.run(words, input=text, text=True, check=False, capture_output=True).returncode == 0
    assert subprocess.run(words, input=text + " ", text=True, check=False, capture_output=True).returncode != 0


def test_bill_of_materials(world: World) -> None:
    build(world.request)
    data = json.loads((world.root / manifest.NAME).read_text("utf-8"))
    bill = json.loads((world.root / data["sbom"]).read_text("utf-8"))
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bill["serialNumber"])
    refs = [row["bom-ref"] for row in bill["components"]]
    assert len(set(refs)) == len(refs)
    assert {row["type"] for row in bill["components"]} == {"application", "library", "machine-learning-model", "file"}
    by_name = {row["name"]: row for row in bill["components"]}
    assert by_name["tiny"]["purl"] == "pkg:pypi/tiny@1.0?file_name=tiny-1.0-py3-none-any.whl"
    assert by_name["tiny"]["hashes"] == [{"alg": "SHA-256", "content": sha256(world.tiny.wheels / "tiny-1.0-py3-none-any.whl")}]
    for row in bill["components"]:
        assert all(re.fullmatch(r"[0-9a-f]{64}", entry["content"]) for entry in row.get("hashes", []))
    for row in bill["dependencies"]:
        assert {row["ref"], *row["dependsOn"]} <= {*refs, "mirror"}
    of_files = {row["bom-ref"] for row in bill["components"] if row["type"] in ("library", "file")}
    assert of_files == {path for path in data["files"] if path.startswith(("wheels/", "sources/"))}


@pytest.mark.parametrize("way", ["path", "server"])
def test_take_and_take_again(world: World, way: str, serve: Callable[..., Any]) -> None:
    build(world.request)
    source, asked, _pace = serve(world.root) if way == "server" else (str(world.root), [], {})
    predicted = world.take(source, check=True).copied
    assert not (world.base / "host").exists()
    taken = world.take(source)
    assert taken.copied == predicted
    data = json.loads((world.root / manifest.NAME).read_text("utf-8"))
    assert {path for path in data["files"] if not path.startswith("sbom/")} == set(predicted)
    for path in predicted:
        assert sha256(world.base / "host" / path) == data["files"][path]["sha256"]
    asked.clear()
    assert world.take(source).copied == []
    assert {path.partition("?")[0].split("/")[1] for path, _range in asked} <= {manifest.NAME, manifest.SIGNATURES}
    (world.base / "host" / predicted[0]).unlink()
    assert world.take(source).copied == [predicted[0]]
    flip(world.base / "host" / taken.models["toy"] / "config.json")
    assert [Path(path).name for path in world.take(source).copied] == ["config.json"]


def test_mirror_that_is_mounted(world: World) -> None:
    build(world.request)
    taken = world.take(copy=False)
    assert (taken.copied, taken.place) == ([], world.root)
    assert Path(taken.models["toy"]).is_dir()
    flip(world.root / "sources/notes.tar")
    with pytest.raises(StackError, match=r"not as in its signed manifest: sources/notes.tar"):
        world.take(copy=False)


def test_tampered_file_is_refused_and_named(world: World, serve: Callable[..., Any]) -> None:
    build(world.request)
    address, _asked, _pace = serve(world.root)
    wheel = world.root / "wheels/tiny-1.0-py3-none-any.whl"
    flip(wheel)
    with pytest.raises(StackError, match=r"tiny-1.0-py3-none-any.whl was corrupted or exchanged"):
        world.take(address)
    assert not (world.base / "host/wheels/tiny-1.0-py3-none-any.whl").exists()
    assert not list((world.base / "host").rglob("*.partial"))
    flip(wheel)
    assert "wheels/tiny-1.0-py3-none-any.whl" in world.take(address).copied


def test_tampered_or_foreign_manifest_is_refused(world: World) -> None:
    build(world.request)
    path = world.root / manifest.NAME
    text = path.read_text("utf-8")
    with pytest.raises(StackError, match="the signature of the manifest is not good"):
        world.take(signers=[make_key(world.base / "other")])
    other = text.replace("notes.tar", "notes.tax")
    path.write_text(other, encoding="utf-8")
    with pytest.raises(StackError, match=r"signatures/[0-9a-f]{64}.sig cannot be read"):
        world.take()
    (world.root / manifest.signature_of(other)).write_bytes((world.root / manifest.signature_of(text)).read_bytes())
    with pytest.raises(StackError, match="the signature of the manifest is not good"):
        world.take()
    assert not (world.base / "host").exists()


@pytest.mark.parametrize("signers", [[], ["hello"], ["ssh-ed25519 AAAA x\nmallory ssh-ed25519 BBBB"]])
def test_what_is_no_key(world: World, signers: list[str]) -> None:
    build(world.request)
    with pytest.raises(StackError, match=r"no public key"):
        sync.open_mirror(str(world.root), signers)


BAD_PATHS = ["../etc/passwd", "/etc/passwd", "wheels/../../x", "wheels//x", ".state.json", "models/x/.git", "a/b\\c", "a/b\nc", "", "a/ b"]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_path_that_leads_out_of_the_mirror(path: str) -> None:
    files = {path: {"size": 1, "sha256": "0" * 64}}
    with pytest.raises(StackError, match="has an entry that is not usable"):
        manifest.read(json.dumps({"format": manifest.FORMAT, "files": files}), "mirror x")
    # And none is written, which would be signed and refused by every host.
    with pytest.raises(StackError, match="has an entry that is not usable"):
        manifest.write(files, {})


def test_a_model_as_hubs_have_it(world: World, serve: Callable[..., Any]) -> None:
    """Names that were signed and then refused, directories, an empty file."""
    toy = world.base / "toy"
    more = {"original/params.json": "{}", "assets/a picture (1) of 100%#.txt": "x", "_private.json": "{}", "empty": "", "ümlaut.txt": "u"}
    left = {".gitattributes": "*", ".railyard.json": "{}", ".cache/huggingface/x": "x", "sub/.hidden": "x", "half.part": "x"}
    for name, text in {**more, **left}.items():
        (toy / name).parent.mkdir(parents=True, exist_ok=True)
        (toy / name).write_text(text, encoding="utf-8")
    (toy / "SHA256SUMS").write_text("", encoding="utf-8")
    build(world.request)
    assert inspect(replace(world.request, verify=True)).missing == []
    before = {path: path.stat().st_mtime_ns for path in world.root.rglob("*")}
    build(replace(world.request, verify=True))
    assert {path: path.stat().st_mtime_ns for path in world.root.rglob("*")} == before
    address, _asked, _pace = serve(world.root)
    for source in (str(world.root), address):
        taken = world.take(source)
        place = Path(taken.models["toy"])
        names = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
        assert names == {*more, *model.parts()}
        for name, text in more.items():
            assert (place / name).read_text("utf-8") == text
        shutil.rmtree(world.base / "host")
    assert world.take(copy=False).models
    data = json.loads((world.root / manifest.NAME).read_text("utf-8"))
    row = data["models"]["toy"]
    assert row["checksum"] == models.checksum(models.manifest(str(world.root / row["path"])))


def test_a_name_that_no_mirror_can_have_is_named_before_anything_is_signed(world: World) -> None:
    (world.base / "toy/back\\slash").write_text("x", encoding="utf-8")
    with pytest.raises(StackError, match=r"model toy: .*back.*slash.* cannot be in a mirror. Fix: rename it"):
        build(world.request)
    assert not (world.root / manifest.NAME).exists()


@pytest.mark.parametrize("size", [0, None])
@pytest.mark.parametrize("way", ["path", "server"])
def test_an_empty_file(tmp_path: Path, serve: Callable[..., Any], way: str, size: int | None) -> None:
    (tmp_path / "empty").touch()
    address, _asked, _pace = serve(tmp_path)
    source = f"{address}/empty" if way == "server" else str(tmp_path / "empty")
    transfer.bring(source, tmp_path / "host" / "empty", sha256(tmp_path / "empty"), "test", size)
    assert (tmp_path / "host" / "empty").stat().st_size == 0


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("cuts", [[70_000], [70_000, 50_000, 20_000, 10_000, 5000, 0]])
def test_a_connection_that_breaks_is_no_tampering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sized: bool, cuts: list[int]) -> None:
    monkeypatch.setattr(transfer, "PAUSE", 0.01)
    (tmp_path / "big").write_bytes(os.urandom(200_000))
    target = tmp_path / "host" / "big"
    with served(tmp_path) as site:
        site.cut["/big"] = list(cuts)
        transfer.bring(f"{site.address}/big", target, sha256(tmp_path / "big"), "test", 200_000 if sized else None)
        begins = [int(text.strip("bytes=-") or 0) for text in site.bodies("/big")]
    # Every byte came once.
    assert begins == [sum(cuts[:count]) for count in range(len(cuts) + 1)]
    assert sha256(target) == sha256(tmp_path / "big")


@pytest.mark.parametrize("sized", [True, False])
def test_a_server_that_always_breaks_off_is_named_and_what_came_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sized: bool,
) -> None:
    monkeypatch.setattr(transfer, "PAUSE", 0.01)
    (tmp_path / "big").write_bytes(os.urandom(200_000))
    target, digest = tmp_path / "host" / "big", sha256(tmp_path / "big")
    with served(tmp_path) as site:
        site.cut["/big"] = [70_000, *[0] * 100]
        with pytest.raises(StackError, match=r"cannot be fetched \(.*130000.*run again: what is there is gone on with"):
            transfer.bring(f"{site.address}/big", target, digest, "test", 200_000 if sized else None)
        assert transfer.partial_of(target).stat().st_size == 70_000
        site.cut.clear()
        transfer.bring(f"{site.address}/big", target, digest, "test", 200_000 if sized else None)
        assert site.bodies("/big")[-1] == "bytes=70000-"
    assert sha256(target) == digest


def test_a_source_that_was_fetched_whole_before_the_kill_is_not_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(os.urandom(2000))
    target = tmp_path / "host" / "big"
    target.parent.mkdir()
    shutil.copy(tmp_path / "big", transfer.partial_of(target))
    with served(tmp_path) as site:
        transfer.bring(f"{site.address}/big", target, sha256(tmp_path / "big"), "test", 2000)
        assert site.asked == []
    assert sha256(target) == sha256(tmp_path / "big")


ORIGINS = {
    "https://user:secret@h:8443/a/b.tar?X-Amz-Signature=secret#secret": "https://h:8443/a/b.tar",
    "http://[2001:db8::1]:80/a?token=secret": "http://[2001:db8::1]:80/a",
    "/srv/a?b#c": "/srv/a?b#c",
}


@pytest.mark.parametrize(("origin", "said"), ORIGINS.items())
def test_no_secret_of_an_address_is_published(origin: str, said: str) -> None:
    assert transfer.public(origin) == said


def test_a_presigned_address_is_in_no_manifest_and_no_message(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PAUSE", 0.01)

    def request(address: str) -> Request:
        return replace(world.request, sources=[Item("notes.tar", address, sha256(world.base / "notes"))])

    with served(world.base) as site:
        with pytest.raises(StackError, match="cannot be fetched") as found:
            build(request(f"{site.address}/nothing?X-Amz-Signature=verysecret"))
        assert "verysecret" not in str(found.value)
        (world.base / "other").write_bytes(b"other")
        with pytest.raises(StackError, match="is not that of the manifest") as found:
            build(request(f"{site.address}/other?X-Amz-Signature=verysecret"))
        assert "verysecret" not in str(found.value)
        site.elsewhere = ""
        build(request(f"{site.address}/notes?X-Amz-Signature=verysecret"))
    said = "".join(path.read_text("latin-1") for path in world.root.rglob("*") if path.is_file() and "wheels" not in path.parts)
    assert "verysecret" not in said
    assert f"{site.address}/notes" in said


def test_another_key_signs_anew(world: World) -> None:
    content = build(world.request)
    assert is_published(world.request, content)
    public = make_key(world.base / "next")
    other = replace(world.request, key=world.base / "next")
    assert not is_published(other, content)
    build(other)
    assert is_published(other, content)
    assert not is_published(world.request, content)
    world.take(signers=[public])
    with pytest.raises(StackError, match="the signature of the manifest is not good"):
        world.take()
    # The public half alone, whose private one ssh-agent has, tells it too.
    assert is_published(replace(world.request, key=world.base / "next.pub"), content)
    # A signature that is damaged is made anew.
    text = (world.root / manifest.NAME).read_text("utf-8")
    (world.root / manifest.signature_of(text)).write_text("damaged", encoding="utf-8")
    assert not is_published(other, content)
    build(other)
    world.take(signers=[public])


KILLED_BUILD = """
import os, signal, sys
from pathlib import Path
from ansible_collections.railyard.sglang.plugins.module_utils.mirror import build

def die(*words):
    os.kill(os.getpid(), signal.SIGKILL)

build.write_synced = die
build.build(build.Request(Path(sys.argv[1]), [], Path(sys.argv[2]), (), {"toy": Path(sys.argv[3])}, verify=True))
"""


def test_a_published_model_is_there_at_every_moment(world: World) -> None:
    """A run that repairs a model and is killed before it keeps account of it."""
    build(world.request)
    data = json.loads((world.root / manifest.NAME).read_text("utf-8"))
    place = world.root / data["models"]["toy"]["path"]
    inodes = {path.name: path.stat().st_ino for path in place.iterdir()}
    flip(place / "model.safetensors")
    (world.root / ".state.json").unlink()
    command = [sys.executable, "-c", KILLED_BUILD, str(world.root), str(world.request.key), str(world.base / "toy")]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False)
    assert done.returncode == -signal.SIGKILL
    # The damaged file alone was exchanged.
    assert {path.name for path in place.iterdir() if path.stat().st_ino != inodes[path.name]} == {"model.safetensors"}
    assert models.manifest(str(place)) == models.manifest(str(world.base / "toy"))
    build(world.request)
    assert world.take().copied


def test_hosts_and_servers_can_read_it_whatever_the_umask_is(world: World) -> None:
    (world.base / "toy/original").mkdir()
    (world.base / "toy/original/params.json").write_text("{}", encoding="utf-8")
    shutil.rmtree(world.root)
    arguments: dict[str, Any] = {"path": str(world.root), "definitions": [], "key": str(world.request.key)}
    arguments["models"] = {"toy": str(world.base / "toy")}
    wanted = {"source": str(world.root), "signers": [world.public], "path": str(world.base / "deep/host"), "models": ["toy"]}
    before = os.umask(0o077)
    try:
        assert run(mirror_module.main, arguments)["changed"]
        os.umask(0o077)
        assert run(mirror_files.main, wanted)["changed"]
    finally:
        os.umask(before)
    for root in (world.root, world.base / "deep"):
        for path in (root, *root.rglob("*")):
            if not path.name.startswith("."):
                assert path.stat().st_mode & 0o555 == (0o555 if path.is_dir() else 0o444), path


def test_what_the_mirror_lacks_is_named(world: World) -> None:
    build(world.request)
    with pytest.raises(StackError, match=r"it lacks model other. Fix: add it and run playbooks/mirror.yml"):
        world.take(wish=world.wish(models=["other"]))
    world.tiny.release("2.0")
    with pytest.raises(StackError, match=rf"it lacks tiny==2.0 for Python 3.{MINOR}"):
        world.take()


def test_a_host_without_its_python_yet(world: World) -> None:
    build(world.request)
    definition = parse_definition({**world.tiny.data, "python": ["3.98", f"3.{MINOR}"]})
    assert mirror_files.minors(parse_definition({**world.tiny.data, "python": ["3.98", "3.99"]}), "") == [98, 99]
    with pytest.raises(StackError, match="does not run"):
        mirror_files.minors(definition, "/nonexistent/python")
    either = sync.Wish([definition], [[replace(local_target(MINOR), machine="other"), local_target(MINOR)]])
    assert "wheels/tiny-1.0-py3-none-any.whl" in world.take(wish=either).copied


def test_a_new_lock_or_model_is_published_beside_the_old_one(world: World) -> None:
    build(world.request)
    old = json.loads((world.root / manifest.NAME).read_text("utf-8"))
    (world.base / "toy/README.md").write_text("new\n", encoding="utf-8")
    assert inspect(world.request).missing == ["model toy"]
    build(world.request)
    new = json.loads((world.root / manifest.NAME).read_text("utf-8"))
    assert new["models"]["toy"]["path"] != old["models"]["toy"]["path"]
    assert all((world.root / path).is_file() for path in old["files"])
    assert (world.root / new["models"]["toy"]["path"] / "README.md").read_text("utf-8") == "new\n"


def test_without_a_key_the_former_mirror_stays(world: World) -> None:
    build(world.request)
    text = (world.root / manifest.NAME).read_text("utf-8")
    (world.base / "toy/README.md").write_text("new\n", encoding="utf-8")
    with pytest.raises(StackError, match=r"the key .* is not there. Fix: name a file made by ssh-keygen"):
        build(replace(world.request, key=world.base / "none"))
    assert (world.root / manifest.NAME).read_text("utf-8") == text
    assert world.take().copied


def test_key_with_a_passphrase_does_not_hang(world: World) -> None:
    key = world.base / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(key)], check=True)
    with pytest.raises(StackError, match="could not sign"):
        build(replace(world.request, key=key))


def test_wheels_come_first(world: World) -> None:
    world.tiny.release("3.0")
    (world.tiny.wheels / "tiny-3.0-py3-none-any.whl").unlink()
    with pytest.raises(StackError, match=r"it lacks a wheel of tiny==3.0. Fix: fill the directory wheels"):
        build(replace(world.request, definitions=[parse_definition(world.tiny.data)]))


def test_damaged_things_are_brought_anew_by_verify(world: World) -> None:
    build(world.request)
    flip(world.root / "sources/notes.tar")
    data = json.loads((world.root / manifest.NAME).read_text("utf-8"))
    shard = world.root / data["models"]["toy"]["path"] / "model.safetensors"
    status = shard.stat()
    flip(shard)
    os.utime(shard, ns=(status.st_atime_ns, status.st_mtime_ns))
    checked = replace(world.request, verify=True)
    assert sorted(inspect(checked).missing) == ["model toy", "source notes.tar"]
    build(checked)
    assert inspect(checked).missing == []
    assert sha256(shard) == data["files"][f"{data['models']['toy']['path']}/model.safetensors"]["sha256"]


def test_incomplete_model_is_refused(world: World) -> None:
    (world.base / "toy/config.json").unlink()
    with pytest.raises(StackError, match=r"model toy: .* is no whole model: config.json is missing"):
        build(world.request)


def test_exchanged_source_is_refused(world: World) -> None:
    flip(world.base / "notes")
    with pytest.raises(StackError, match=r"source notes.tar: the sha256 of .*notes is not that of the manifest"):
        build(world.request)
    assert not (world.root / manifest.NAME).exists()


KILLED = """
import pickle, sys
from pathlib import Path
from ansible_collections.railyard.sglang.plugins.module_utils.mirror import build, sync, transfer
transfer.bring(sys.argv[1], Path(sys.argv[2]), sys.argv[3], "test", int(sys.argv[4]))
"""


def test_killed_transfer_is_gone_on_with(tmp_path: Path, serve: Callable[..., Any]) -> None:
    (tmp_path / "files").mkdir()
    big = tmp_path / "files/big"
    big.write_bytes(os.urandom(BIG))
    address, asked, pace = serve(tmp_path / "files")
    pace["seconds"] = 0.02
    target = tmp_path / "host/big"
    command = [sys.executable, "-c", KILLED, f"{address}/big", str(target), sha256(big), str(BIG)]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    partial = transfer.partial_of(target)
    while not partial.exists() or partial.stat().st_size < BIG // 4:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not target.exists()
    got = partial.stat().st_size
    pace["seconds"] = 0
    transfer.bring(f"{address}/big", target, sha256(big), "test", BIG)
    assert asked[-1] == ("/big", f"bytes={got}-")
    assert sha256(target) == sha256(big)
    assert not partial.exists()


def test_partial_file_of_something_else_is_thrown_away(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"good" * 100)
    target = tmp_path / "target"
    transfer.partial_of(target).write_bytes(b"bad" * 10)
    transfer.bring(str(tmp_path / "source"), target, sha256(tmp_path / "source"), "test", 400)
    assert target.read_bytes() == b"good" * 100


def test_server_that_is_not_there(world: World) -> None:
    with pytest.raises(StackError, match=r"mirror http://127.0.0.1:9: .*manifest.json cannot be read .*Fix: name the directory"):
        world.take("http://127.0.0.1:9")


@needs_root
def test_full_disk_and_read_only_target(world: World, tmp_path: Path) -> None:
    build(world.request)
    with mounted(tmp_path / "host", "-t", "tmpfs", "-o", "size=1m", "tmpfs") as host:
        with pytest.raises(StackError, match=r"became full at uv-.*Fix: free space and run again"):
            world.take()
        subprocess.run(["mount", "-o", "remount,size=200m", str(host)], check=True)
        world.take()
        assert world.take().copied == []
        subprocess.run(["mount", "-o", "remount,ro", str(host)], check=True)
        assert world.take().copied == []
        build(replace(world.request, sources=[*world.request.sources, Item("more", str(tmp_path / "notes"), sha256(tmp_path / "notes"))]))
        with pytest.raises(StackError, match="Read-only file system"):
            world.take(wish=world.wish(sources=["more"]))


@needs_root
def test_mirror_whose_disk_is_full(world: World, tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=64k", "tmpfs") as small:
        (small / "wheels").symlink_to(world.tiny.wheels)
        request = replace(world.request, root=small)
        with pytest.raises(StackError, match="became full"):
            build(request)
        assert not (small / manifest.NAME).exists()
        subprocess.run(["mount", "-o", "remount,size=8m", str(small)], check=True)
        build(request)
        assert world.take(str(small)).copied


def test_modules(world: World) -> None:
    arguments: dict[str, Any] = {"path": str(world.root), "definitions": [world.tiny.data], "key": str(world.request.key)}
    arguments["models"] = {"toy": str(world.base / "toy")}
    predicted = run(mirror_module.main, arguments, True)
    assert (predicted["changed"], predicted["missing"]) == (True, ["model toy"])
    assert not (world.root / manifest.NAME).exists()
    assert run(mirror_module.main, arguments)["changed"] is True
    assert run(mirror_module.main, arguments)["changed"] is False
    wanted = {"source": str(world.root), "signers": [world.public], "path": str(world.base / "host"), "definitions": [world.tiny.data]}
    wanted["python"] = sys.executable
    predicted = run(mirror_files.main, wanted, True)
    first = run(mirror_files.main, wanted)
    assert first["changed"] is True
    assert first["copied"] == predicted["copied"]
    assert first["wheels"] == str(world.base / "host/wheels")
    assert run(mirror_files.main, wanted)["changed"] is False
    bad = run(mirror_module.main, {**arguments, "models": {"../x": "/tmp"}})
    assert "cannot be a name in a mirror" in bad["msg"]
    url = run(mirror_files.main, {**wanted, "source": "http://127.0.0.1:9", "copy": False})
    assert "is no directory of this host" in url["msg"]
