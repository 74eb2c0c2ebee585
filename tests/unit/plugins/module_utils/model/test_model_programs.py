# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real rclone against a small object store, and the real huggingface_hub against a small hub, both on this machine."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.server
import json
import os
import shutil
import sys
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.model import directory, origin, provide, source
from ansible_collections.railyard.sglang.plugins.module_utils.model.errors import ModelError
from ansible_collections.railyard.sglang.plugins.module_utils.model.programs import Hub, ObjectStore, hidden
from ansible_collections.railyard.sglang.tests.unit.support import models

HUB_PYTHON = os.environ.get("RAILYARD_STACK_PYTHON", "")
HUB_PROGRAM = Path(directory.__file__).resolve().parents[3].joinpath("roles", "model", "files", "hub.py").read_text(encoding="utf-8")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_notarealtoken"
Handle = Callable[[Any, dict[str, str]], None]


@contextlib.contextmanager
def server(handle: Handle) -> Iterator[str]:
    """Answer requests by a function."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_args: Any, **_more: Any) -> None:
            pass

        def do_GET(self) -> None:
            parts = urllib.parse.urlsplit(self.path)
            handle(self, {"path": urllib.parse.unquote(parts.path), **dict(urllib.parse.parse_qsl(parts.query))})

        def do_HEAD(self) -> None:
            self.do_GET()

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.daemon_threads = True
    threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{web.server_address[1]}"
    finally:
        web.shutdown()
        web.server_close()


def answer(request: Any, body: bytes, headers: dict[str, str] | None = None, status: int = 200) -> None:
    """Send a body, or the part of it that is asked for."""
    start = 0
    if status == 200 and request.headers.get("Range"):
        status, start = 206, int(request.headers["Range"].removeprefix("bytes=").split("-")[0])
    request.send_response(status)
    if status == 206:
        request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
    for name, value in {"Content-Length": str(len(body) - start), **(headers or {})}.items():
        request.send_header(name, value)
    request.end_headers()
    if request.command == "GET":
        request.wfile.write(body[start:])


def etag(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def bucket(root: Path, asked: list[tuple[str, str]]) -> Handle:
    """Be an object store with one bucket, as far as rclone reads one."""

    def handle(request: Any, query: dict[str, str]) -> None:
        asked.append((query["path"], request.headers.get("Authorization", "")))
        name = query["path"].removeprefix("/models/")
        if query["path"].rstrip("/") == "/models":
            prefix = query.get("prefix", "")
            rows = [(path, f"{path.relative_to(root)}") for path in sorted(root.rglob("*")) if path.is_file()]
            text = "".join(
                f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
                f"<ETag>&quot;{etag(path.read_bytes())}&quot;</ETag><Size>{path.stat().st_size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
                for path, key in rows if key.startswith(prefix)
            )
            head = f"<Name>models</Name><Prefix>{prefix}</Prefix><IsTruncated>false</IsTruncated>"
            body = f'<?xml version="1.0"?><ListBucketResult>{head}{text}</ListBucketResult>'
            answer(request, body.encode(), {"Content-Type": "application/xml"})
        elif (root / name).is_file():
            content = (root / name).read_bytes()
            answer(request, content, {"ETag": f'"{etag(content)}"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"})
        else:
            answer(request, b"<Error><Code>NoSuchKey</Code></Error>", status=404)

    return handle


@pytest.mark.skipif(not shutil.which("rclone"), reason="rclone is not here")
def test_an_object_store(tmp_path: Path) -> None:
    root = tmp_path / "bucket"
    model = models.write(root / "llm" / "m")
    wanted, asked = models.sums(model), []  # type: str, list[tuple[str, str]]
    with server(bucket(root, asked)) as address:
        settings = {"provider": "Other", "endpoint": address, "access_key_id": "AKIATEST", "secret_access_key": "verysecret"}
        store = ObjectStore("models", "llm/m", settings)
        path = tmp_path / "models" / "m"
        options = provide.Options(str(path), {"a": 1}, checksum=wanted, reserve=0)
        part = Path(provide.Store(str(path)).partial(source.key(store.listing())), "model-1.safetensors.part")
        part.parent.mkdir(parents=True)
        part.write_bytes((model / "model-1.safetensors").read_bytes()[:150_000])
        done = provide.Provider(store, options).run()
        assert done.fetched_bytes == sum((model / name).stat().st_size for name in directory.files(str(model))) - 150_000
        assert directory.manifest(str(path)) == directory.manifest(str(model))
        assert all("AKIATEST" in header and "verysecret" not in header for _path, header in asked)
        (model / "SHA256SUMS").write_text(f"{'0' * 64}  gone\n", encoding="utf-8")
        with pytest.raises(ModelError, match="names what is not there: gone"):
            store.listing()
        with pytest.raises(ModelError) as found:
            ObjectStore("models", "nothing", settings).listing()
        assert "verysecret" not in str(found.value)


def hub(root: Path, asked: list[str]) -> Handle:
    """Be a hub with one repository at one commit, as far as huggingface_hub reads one."""

    def handle(request: Any, query: dict[str, str]) -> None:
        asked.append(query["path"])
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            answer(request, b"{}", status=401)
            return
        if query["path"].startswith("/api/models/org/m/revision/"):
            rows = []
            for name in directory.files(str(root)):
                content = (root / name).read_bytes()
                row: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": source.git_blob(str(root / name))}
                if name.endswith(".safetensors"):
                    row["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
                rows.append(row)
            body = {"id": "org/m", "modelId": "org/m", "sha": COMMIT, "siblings": rows, "tags": [], "private": False}
            answer(request, json.dumps(body).encode(), {"Content-Type": "application/json"})
            return
        name = query["path"].removeprefix(f"/org/m/resolve/{COMMIT}/")
        content = (root / name).read_bytes()
        large = name.endswith(".safetensors")
        tag = hashlib.sha256(content).hexdigest() if large else source.git_blob(str(root / name))
        linked = {"X-Linked-ETag": f'"{tag}"', "X-Linked-Size": str(len(content))} if large else {}
        answer(request, content, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT, **linked})

    return handle


@pytest.mark.skipif(not HUB_PYTHON, reason="RAILYARD_STACK_PYTHON names no Python with huggingface_hub")
def test_the_hub(tmp_path: Path) -> None:
    model, asked = models.write(tmp_path / "m"), []  # type: Path, list[str]
    with server(hub(model, asked)) as address:
        path = tmp_path / "models" / "m"

        def run(revision: str, token: str) -> provide.Outcome:
            where = Hub(HUB_PYTHON, HUB_PROGRAM, {"repo": "org/m", "revision": revision, "endpoint": address}, token)
            return provide.Provider(where, provide.Options(str(path), {"a": 1}, reserve=0)).run()

        with pytest.raises(ModelError, match=f"write the commit that it is now: revision: {COMMIT}"):
            run("main", TOKEN)
        with pytest.raises(ModelError, match="check model_origin") as found:
            run(COMMIT, "hf_another")
        assert "hf_another" not in str(found.value)
        done = run(COMMIT, TOKEN)
        assert done.checksum == directory.checksum(directory.manifest(str(model)))
        assert directory.manifest(str(path)) == directory.manifest(str(model))
        count = len(asked)
        assert not run(COMMIT, TOKEN).changed
        assert len(asked) == count
        models.flip(path / "model-2.safetensors")
        assert run(COMMIT, TOKEN).fetched == ["model-2.safetensors"]


def test_secrets_are_in_no_command_line(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    program = f"import os, sys; open({str(seen)!r}, 'wb').write(open('/proc/self/cmdline', 'rb').read()); sys.exit(os.environ['HF_TOKEN'])"
    where = Hub(sys.executable, program, {"repo": "org/m", "revision": COMMIT, "endpoint": ""}, TOKEN)
    with pytest.raises(ModelError, match=r"ended with status 1: \*{8}") as found:
        where.listing()
    assert TOKEN not in str(found.value)
    assert TOKEN.encode() not in seen.read_bytes()


SLOWLY = """
import json, os, sys, time
given = json.load(sys.stdin)
if given["do"] == "list":
    json.dump({"commit": given["revision"], "files": [{"name": "d/w", "size": 400000, "sha256": "", "blob": ""}]}, sys.stdout)
else:
    place = os.path.join(given["directory"], ".cache", "w.incomplete")
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place, "ab", buffering=0) as stream:
        while stream.tell() < 400000:
            stream.write(b"x" * min(50000, 400000 - stream.tell()))
            time.sleep(float(os.environ.get("HF_TOKEN", "0")))
    os.makedirs(os.path.join(given["directory"], "d"), exist_ok=True)
    os.replace(place, os.path.join(given["directory"], given["name"]))
    sys.stdout.write("{}")
"""


def slow_hub(python: str = sys.executable, pause: str = "0") -> Hub:
    """Be a hub whose library takes its time: a program of this test, as the real one writes beside the file until it is whole."""
    return Hub(python, SLOWLY, {"repo": "org/m", "revision": COMMIT, "endpoint": ""}, pause)


def test_progress_of_the_hub_grows_while_a_file_comes(tmp_path: Path) -> None:
    came: list[int] = []
    target = tmp_path / "d" / "w.part"
    file = slow_hub().listing()[0]
    place = Path(f"{target}.hub.part", ".cache", "w.incomplete")
    place.parent.mkdir(parents=True)
    place.write_bytes(b"x" * 100_000)
    slow_hub(pause="0.5").fetch(file, str(target), came.append)
    assert target.stat().st_size == 400_000
    # What was there before is not counted once more.
    assert sum(came) == 300_000
    assert len([count for count in came if count]) >= 3


def test_what_the_hub_has_brought_needs_no_room_again(tmp_path: Path) -> None:
    path = tmp_path / "models" / "m"
    options = provide.Options(str(path), {"a": 1}, reserve=0, check=True)
    done = provide.Provider(slow_hub(), options).run()
    assert done.fetched_bytes == 400_000
    place = Path(provide.Store(str(path)).partial(done.after), "d", "w.part.hub.part", ".cache", "w.incomplete")
    place.parent.mkdir(parents=True)
    place.write_bytes(b"x" * 100_000)
    assert provide.Provider(slow_hub(), options).run().fetched_bytes == 300_000


def test_check_mode_before_the_python_of_the_hub_is_installed(tmp_path: Path) -> None:
    hub = slow_hub(str(tmp_path / "stack" / "bin" / "python"))
    options = provide.Options(str(tmp_path / "models" / "m"), {"a": 1}, reserve=0, check=True)
    done = provide.Provider(hub, options).run()
    assert (done.changed, done.fetched, done.after) == (True, [], "")
    assert done.problems == [f"what there is to fetch is not known yet: {tmp_path}/stack/bin/python is not on this host"]
    assert not (tmp_path / "models").exists()
    with pytest.raises(ModelError, match=r"stack/bin/python is not on this host. Fix: check model_origin"):
        provide.Provider(hub, dataclasses.replace(options, check=False)).run()
    # rclone is nothing that an earlier stage brings.
    with pytest.raises(ModelError, match="no-such-rclone is not on this host"):
        provide.Provider(ObjectStore("b", "p", {}, "no-such-rclone"), options).run()


def test_hidden() -> None:
    assert hidden("a\nsecret b", ["secret", ""]) == "a ******** b"
    assert len(hidden("x" * 5000, [])) == 600


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(ModelError, match=r"no-such-rclone is not on this host\. Fix: install rclone"):
        ObjectStore("b", "p", {}, "no-such-rclone").listing()


def test_rclone_is_given_secrets_by_its_environment(tmp_path: Path) -> None:
    program = tmp_path / "rclone"
    program.write_text(f"#!/bin/sh\nenv > {tmp_path}/env\nprintf '%s\\n' \"$@\" > {tmp_path}/words\nexit 3\n", encoding="utf-8")
    program.chmod(0o755)
    settings = {"provider": "AWS", "access_key_id": "AKIA1", "secret_access_key": "abcd1234", "env_auth": ""}
    with pytest.raises(ModelError, match="ended with status 3"):
        ObjectStore("b", "p", settings, str(program)).listing()
    environment = (tmp_path / "env").read_text(encoding="utf-8").splitlines()
    assert "RCLONE_S3_SECRET_ACCESS_KEY=abcd1234" in environment
    assert "RCLONE_CONFIG=/dev/null" in environment
    assert not any(line.startswith("RCLONE_S3_ENV_AUTH") for line in environment)
    assert "abcd1234" not in (tmp_path / "words").read_text(encoding="utf-8")


ORIGINS: dict[str, tuple[dict[str, str], str, str]] = {
    "hub without a revision": ({"type": "hub", "repo": "a/b"}, "", "model_origin.revision: is not set, and type hub needs it"),
    "hub with a path": (
        {"type": "hub", "repo": "a/b", "revision": COMMIT, "path": "/x"}, "", "model_origin.path: is nothing that type hub knows",
    ),
    "hub without a Python": ({"type": "hub", "repo": "a/b", "revision": COMMIT}, "", "model_hub_python: is empty"),
    "http without a checksum": ({"type": "http", "url": "http://m/x"}, "", "sglang_model.checksum: is empty"),
    "http with a user": ({"type": "http", "url": "http://u:p@m/x"}, "0" * 64, "model_origin.url: is no address"),
    "ftp": ({"type": "http", "url": "ftp://m/x"}, "0" * 64, "model_origin.url: is no address"),
    "s3 without a checksum": ({"type": "s3", "bucket": "b"}, "", "sglang_model.checksum: is empty"),
}


@pytest.mark.parametrize(("given", "checksum", "text"), ORIGINS.values(), ids=ORIGINS)
def test_origins_that_are_refused(given: dict[str, str], checksum: str, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        origin.make(given, checksum, {}, "", HUB_PROGRAM)


def test_a_request_holds_no_secret_and_what_is_empty_says_nothing() -> None:
    assert origin.request({"type": "s3", "bucket": "b", "region": None}, "c") == {"origin": {"type": "s3", "bucket": "b"}, "checksum": "c"}
