# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small real models in safetensors, and a web server that has them."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import os
import struct
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.model import directory


def shard(path: Path, seed: str, size: int) -> None:
    """Write a safetensors file with so many bytes of weights."""
    data = b"".join(hashlib.sha256(f"{seed} {index}".encode()).digest() for index in range(size // 32 + 1))[:size]
    text = json.dumps({seed: {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write(folder: Path, shards: int = 3, size: int = 200_000, seed: str = "a") -> Path:
    """Write a model of some shards with its index, and a file in a directory of its own."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"seed": seed}), encoding="utf-8")
    (folder / "original").mkdir()
    (folder / "original" / "params.json").write_text("{}", encoding="utf-8")
    names = [f"model-{index}.safetensors" for index in range(shards)]
    for name in names:
        shard(folder / name, f"{seed}{name}", size)
    index = {"weight_map": {f"{seed}{name}": name for name in names}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def sums(folder: Path) -> str:
    """Write the folder's SHA256SUMS and return the checksum of the whole."""
    rows = directory.manifest(str(folder))
    (folder / directory.SUMS).write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(rows.items())), encoding="utf-8")
    return directory.checksum(rows)


class Site:
    """What a web server was asked, and how it misbehaves.

    :ivar cut: bytes after which an answer breaks off, by path; once for each entry.
    :ivar flip: paths whose last byte is sent wrong.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.cut: dict[str, list[int]] = {}
        self.flip: set[str] = set()
        self.ranges = True
        self.token = ""
        self.elsewhere = ""
        self.address = ""

    def bodies(self, path: str) -> list[str]:
        """Return the ranges with which a path was fetched."""
        return [headers.get("Range", "") for method, asked, headers in self.asked if method == "GET" and asked == path]


@contextlib.contextmanager
def served(root: Path) -> Iterator[Site]:
    """Serve a directory at C(Site.address) by HTTP."""
    site = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_args: Any, **_more: Any) -> None:
            pass

        def _answer(self, body: bool) -> None:
            site.asked.append((self.command, self.path, dict(self.headers)))
            if site.token and self.headers.get("Authorization") != f"Bearer {site.token}":
                self.send_error(401)
                return
            if site.elsewhere and self.path.endswith(".safetensors"):
                self.send_response(302)
                self.send_header("Location", site.elsewhere + self.path)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            path = root / urllib.parse.unquote(self.path.partition("?")[0]).lstrip("/")
            if not path.is_file():
                self.send_error(404)
                return
            content = path.read_bytes()
            if self.path in site.flip:
                content = content[:-1] + bytes([content[-1] ^ 1])
            start = 0
            if self.headers.get("Range") and site.ranges:
                start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            if body:
                end = len(content)
                if site.cut.get(self.path):
                    end = min(end, start + site.cut[self.path].pop(0))
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(content[start:end])

        def do_GET(self) -> None:
            self._answer(True)

        def do_HEAD(self) -> None:
            self._answer(False)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()


def inodes(folder: Path) -> dict[str, int]:
    """Return the inode of every file of a model."""
    return {name: os.stat(folder / name).st_ino for name in directory.files(str(folder))}


def flip(path: Path, quietly: bool = False) -> None:
    """Turn the last bit of a file around; quietly, with the time that it had."""
    before = path.stat()
    with path.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        last = stream.read(1)[0]
        stream.seek(-1, os.SEEK_END)
        stream.write(bytes([last ^ 1]))
    if quietly:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
